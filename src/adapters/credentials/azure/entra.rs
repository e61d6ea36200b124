//! What Entra ID's answers to a request for a token mean.
//!
//! Its `error` decides, and its numbers only where that word says too little, as Microsoft asks for: "Microsoft Entra
//! authentication and authorization error codes". The number and the trace id go into the fault, since they are what an
//! administrator looks for; its sentences stay out.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::adapters::credentials::kept::Fresh;
use crate::domain::access::azure::AzureTenant;
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::credentials::AzureToken;
use crate::ports::token_service::TokenAnswer;

/// No token is believed to last longer.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why there is no token.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Our own application could not even ask: why, for the log.
    Ours(String),
    /// Our own application is refused: the fault, and why, for the log.
    Refused(AttachmentFault, String),
    /// Something else.
    Other(AttachmentFault),
}

/// The token in an answer, which must be the tenant's.
///
/// # Errors
/// [`Trouble`].
pub(super) fn read(answer: &TokenAnswer, tenant: &AzureTenant) -> Result<Fresh<AzureToken>, Trouble> {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        return Err(refusal(answer, &document, tenant));
    }
    let other = |code, words: &str| Trouble::Other(AttachmentFault::new(code, words).with_status(answer.status));
    let token = document["access_token"].as_str().filter(|token| !token.is_empty());
    let secs = &document["expires_in"];
    let secs = secs.as_u64().or_else(|| secs.as_str()?.parse().ok()).filter(|secs| *secs > 0);
    let (Some(token), Some(secs)) = (token, secs) else {
        return Err(other(Code::Unavailable, "Azure's token service answered without a token"));
    };
    // Whoever answers, a token of another tenant is never sent anywhere.
    if tenant_of(token).is_some_and(|issuer| !issuer.eq_ignore_ascii_case(&tenant.id)) {
        return Err(other(Code::IntegrationBroken, "Azure's token service answered with another tenant's token"));
    }
    Ok(Fresh { keys: AzureToken(token.into()), life: Duration::from_secs(secs).min(LIFE_MAX) })
}

/// The tenant that a token names, where it can be read: it is storage's to read and not ours.
fn tenant_of(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims["tid"].as_str().map(str::to_owned)
}

fn refusal(answer: &TokenAnswer, document: &Value, tenant: &AzureTenant) -> Trouble {
    let word = document["error"].as_str().filter(|word| is_word(word)).unwrap_or_default();
    let number = document["error_codes"].get(0).and_then(Value::as_u64);
    let status = answer.status;
    let make = |code: Code, words: String| {
        let trace = document["trace_id"].as_str().filter(|id| id.len() <= 64 && is_id(id));
        let number = number.map(|number| format!("AADSTS{number}"));
        let mut fault = AttachmentFault::new(code, words).with_status(status);
        fault.provider_code = number.or_else(|| (!word.is_empty()).then(|| word.to_owned()));
        fault.request_id = trace.map(str::to_owned);
        fault.retry_after = answer.retry_after.filter(|_| code.is_transient());
        fault
    };
    let broken = |words: &str| {
        let message = format!("Azure tenant {} gives our application no token: {words}", tenant.id);
        Trouble::Other(make(Code::IntegrationBroken, message))
    };
    match meaning(status, word, number) {
        Meaning::NoTenant => broken("there is no such tenant"),
        Meaning::NoConsent => {
            broken("it has not consented, or no longer; an administrator of it must grant consent to the application")
        }
        Meaning::Policy => broken("one of its policies forbids it; its administrator must let the application in"),
        Meaning::Ours => {
            let why = match number {
                Some(number) => format!("Entra ID answered {status} {word}, AADSTS{number}"),
                None => format!("Entra ID answered {status} {word}"),
            };
            Trouble::Refused(make(Code::Internal, String::new()), why)
        }
        Meaning::Throttled => Trouble::Other(make(Code::Throttled, "Azure's token service throttles us".to_owned())),
        Meaning::Passing => {
            Trouble::Other(make(Code::Unavailable, "Azure's token service had a fault of its own".to_owned()))
        }
    }
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The tenant is none.
    NoTenant,
    /// The tenant has not let our application in.
    NoConsent,
    /// The tenant's policies keep it out.
    Policy,
    /// Our application is not the one that it says to be, or asks for what is no question.
    Ours,
    /// Too many questions.
    Throttled,
    /// It may pass.
    Passing,
}

fn meaning(status: u16, word: &str, number: Option<u64>) -> Meaning {
    match (word, number) {
        ("temporarily_unavailable", _) | (_, Some(90_006 | 90_012 | 90_024 | 90_033)) => Meaning::Passing,
        (_, Some(90_055)) => Meaning::Throttled,
        _ if status == 429 => Meaning::Throttled,
        ("server_error", _) => Meaning::Passing,
        _ if status >= 500 => Meaning::Passing,
        // "Invalid request" is said of tenants that are none, too.
        ("invalid_request", Some(90_002 | 900_021 | 900_023)) => Meaning::NoTenant,
        ("invalid_client", _) => Meaning::Ours,
        ("unauthorized_client" | "consent_required" | "invalid_resource", _) => Meaning::NoConsent,
        (_, Some(65_001 | 90_094 | 500_011 | 700_016 | 7_000_112)) => Meaning::NoConsent,
        ("access_denied" | "interaction_required" | "invalid_grant", _) => Meaning::Policy,
        (_, Some(53_003 | 530_032)) => Meaning::Policy,
        ("invalid_request" | "invalid_scope" | "unsupported_grant_type", _) => Meaning::Ours,
        // Not a word of the standard's: whoever answers is no token service.
        _ => Meaning::Passing,
    }
}

/// `invalid_client` and its like: nothing that could hold a value.
fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn is_id(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    const TENANT: &str = "7c2f36a1-0000-4000-8000-0123456789ab";

    fn answered(status: u16, document: &Value) -> Result<Fresh<AzureToken>, Trouble> {
        let retry_after = Some(Duration::from_secs(7));
        let answer = TokenAnswer { status, retry_after, body: document.to_string().into_bytes() };
        read(&answer, &AzureTenant { id: TENANT.to_owned() })
    }

    fn token(tenant: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(json!({"tid": tenant}).to_string()))
    }

    fn code(trouble: &Trouble) -> Code {
        match trouble {
            Trouble::Ours(_) => Code::Internal,
            Trouble::Refused(fault, _) | Trouble::Other(fault) => fault.code,
        }
    }

    #[test]
    fn refusals_say_whose_move_it_is() {
        for (status, error, number, expected) in [
            (400, "invalid_request", 90_002, Code::IntegrationBroken),
            (400, "unauthorized_client", 700_016, Code::IntegrationBroken),
            (400, "unauthorized_client", 1, Code::IntegrationBroken),
            (401, "unauthorized_client", 7_000_112, Code::IntegrationBroken),
            (400, "invalid_resource", 500_011, Code::IntegrationBroken),
            (400, "invalid_grant", 65_001, Code::IntegrationBroken),
            (400, "invalid_grant", 53_003, Code::IntegrationBroken),
            (400, "interaction_required", 50_076, Code::IntegrationBroken),
            (401, "invalid_client", 7_000_215, Code::Internal),
            (401, "invalid_client", 7_000_222, Code::Internal),
            (401, "invalid_client", 700_027, Code::Internal),
            (400, "invalid_request", 900_144, Code::Internal),
            (400, "invalid_scope", 70_011, Code::Internal),
            (400, "temporarily_unavailable", 90_006, Code::Unavailable),
            (400, "invalid_request", 90_033, Code::Unavailable),
            (429, "unauthorized_client", 90_055, Code::Throttled),
            (429, "", 0, Code::Throttled),
            (503, "", 0, Code::Unavailable),
            (404, "no such call", 0, Code::Unavailable),
        ] {
            let said = answered(status, &json!({"error": error, "error_codes": [number]})).err().expect("a refusal");
            assert_eq!(code(&said), expected, "{status} {error} {number}");
        }
        let page = TokenAnswer { status: 403, retry_after: None, body: b"<html>".to_vec() };
        let said = read(&page, &AzureTenant { id: TENANT.to_owned() }).err().expect("a refusal");
        assert_eq!(code(&said), Code::Unavailable);
    }

    #[test]
    fn a_refusal_holds_number_and_trace_and_no_sentence() {
        let said = answered(
            400,
            &json!({
                "error": "unauthorized_client", "error_description": "AADSTS700016: hush", "error_codes": [700_016],
                "trace_id": "0d1f-aa", "correlation_id": "hush",
            }),
        );
        let Err(Trouble::Other(fault)) = said else { panic!("the tenant refuses") };
        assert_eq!(fault.provider_code.as_deref(), Some("AADSTS700016"));
        assert_eq!((fault.request_id.as_deref(), fault.http_status), (Some("0d1f-aa"), Some(400)));
        assert_eq!(fault.retry_after, None, "waiting helps nothing");
        assert!(fault.message.contains(TENANT) && fault.message.contains("consent"), "{}", fault.message);
        assert!(!fault.message.contains("hush"), "{}", fault.message);
        let said = answered(401, &json!({"error": "invalid_client", "error_codes": [7_000_215]}));
        let Err(Trouble::Refused(fault, why)) = said else { panic!("we are refused") };
        assert_eq!((fault.code, why.as_str()), (Code::Internal, "Entra ID answered 401 invalid_client, AADSTS7000215"));
        let Err(Trouble::Other(fault)) = answered(429, &json!({})) else { panic!("throttled") };
        assert_eq!(fault.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_token_is_taken_only_of_the_tenant_that_was_asked() {
        for tid in [TENANT.to_owned(), TENANT.to_uppercase()] {
            let good = answered(200, &json!({"access_token": token(&tid), "expires_in": 3599})).expect("a token");
            assert_eq!((good.keys.0.expose_secret(), good.life.as_secs()), (token(&tid).as_str(), 3599));
        }
        let opaque = answered(200, &json!({"access_token": "opaque", "expires_in": "60"}));
        assert_eq!(opaque.expect("a token").life.as_secs(), 60);
        let other = token("11111111-0000-4000-8000-0123456789ab");
        for (document, expected) in [
            (json!({"access_token": other, "expires_in": 3599}), Code::IntegrationBroken),
            (json!({"access_token": "", "expires_in": 3599}), Code::Unavailable),
            (json!({"access_token": "x"}), Code::Unavailable),
            (json!({"access_token": "x", "expires_in": 0}), Code::Unavailable),
            (json!({}), Code::Unavailable),
        ] {
            assert_eq!(code(&answered(200, &document).err().expect("no token")), expected, "{document}");
        }
    }
}
