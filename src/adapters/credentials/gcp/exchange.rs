//! How each kind of identity becomes a token, and what the answers of Google's token services mean.
//!
//! What goes wrong is told in words that hold no value of a file or an answer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::file::{External, Key, Place, Subject, User};
use super::jwt;
use crate::adapters::credentials::kept::Fresh;
use crate::ports::clock::Clock;
use crate::ports::credentials::GcpToken;
use crate::ports::token_service::{TokenAnswer, TokenBody, TokenRequest, TokenService};

/// Files that hold a token or credentials are shorter.
pub(super) const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Tokens that say when they end are not taken for shorter than this, so that a clock that runs ahead does not make us ask
/// without end.
const LIFE_MIN: Duration = Duration::from_secs(60);
/// No token is believed to last longer.
const LIFE_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Reading Cloud Storage.
    Storage,
    /// Impersonating accounts.
    Iam,
}

impl Scope {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Storage => "https://www.googleapis.com/auth/devstorage.read_only",
            Self::Iam => "https://www.googleapis.com/auth/iam",
        }
    }
}

/// Exchanges a service account's word for a token.
pub(super) async fn with_key(
    service: &dyn TokenService, key: Key, token_url: Option<&Url>, scope: Scope,
) -> Result<Fresh<GcpToken>, String> {
    let url = token_url.unwrap_or(&key.token_url).clone();
    let audience = url.to_string();
    // A signature of this kind takes longer than others may wait for this thread.
    let sign = move || jwt::assertion(&key, &audience, scope.as_str(), Clock::System.now());
    let signed = tokio::task::spawn_blocking(sign).await;
    let assertion = signed.map_err(|_| "signing with its private_key broke off".to_owned())??;
    let form = vec![
        ("grant_type", SecretString::from("urn:ietf:params:oauth:grant-type:jwt-bearer")),
        ("assertion", assertion.into()),
    ];
    oauth_token(&ask(service, url, Vec::new(), TokenBody::Form(form)).await?)
}

/// Exchanges a person's refresh token. What it may do was agreed on when the person logged in.
pub(super) async fn with_refresh_token(
    service: &dyn TokenService, user: &User, token_url: Option<&Url>,
) -> Result<Fresh<GcpToken>, String> {
    let url = token_url.unwrap_or(&user.token_url).clone();
    let form = vec![
        ("grant_type", SecretString::from("refresh_token")),
        ("client_id", user.client_id.as_str().into()),
        ("client_secret", user.client_secret.clone()),
        ("refresh_token", user.refresh_token.clone()),
    ];
    oauth_token(&ask(service, url, Vec::new(), TokenBody::Form(form)).await?)
}

/// Exchanges another provider's token, and what comes out for an account's where the file says so.
pub(super) async fn with_federation(
    service: &dyn TokenService, external: &External, token_url: Option<&Url>, scope: Scope,
) -> Result<Fresh<GcpToken>, String> {
    let subject = subject_token(service, &external.subject).await?;
    let url = token_url.unwrap_or(&external.token_url).clone();
    // Whoever impersonates next needs the right to do so, and no other.
    let wanted = if external.impersonation_url.is_some() { Scope::Iam } else { scope };
    let form = vec![
        ("grant_type", SecretString::from("urn:ietf:params:oauth:grant-type:token-exchange")),
        ("audience", external.audience.as_str().into()),
        ("scope", wanted.as_str().into()),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token".into()),
        ("subject_token", subject),
        ("subject_token_type", external.subject_token_type.as_str().into()),
    ];
    let client = external.client.as_ref().map(|(id, secret)| {
        let pair = STANDARD.encode(format!("{id}:{}", secret.expose_secret()));
        ("authorization".to_owned(), SecretString::from(format!("Basic {pair}")))
    });
    let exchanged = ask(service, url, client.into_iter().collect(), TokenBody::Form(form)).await?;
    let federated = oauth_token(&exchanged)?;
    let Some(url) = &external.impersonation_url else {
        return Ok(federated);
    };
    let request = impersonation(url.clone(), &federated.keys, scope, external.lifetime_secs);
    let answer = service.ask(request).await.map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("impersonating the file's service account was answered with {}", answer.status));
    }
    generated_token(&answer, Clock::System.now()).ok_or_else(|| "the answer to it holds no token".to_owned())
}

/// Asks the machine's own metadata server.
pub(super) async fn with_metadata(
    service: &dyn TokenService, host: &str, scope: Scope,
) -> Result<Fresh<GcpToken>, String> {
    let address = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let mut url = Url::parse(&address).map_err(|_| "GCE_METADATA_HOST names no host".to_owned())?;
    url.query_pairs_mut().append_pair("scopes", scope.as_str());
    let fields = vec![("metadata-flavor".to_owned(), SecretString::from("Google"))];
    oauth_token(&ask(service, url, fields, TokenBody::None).await?)
}

/// The question for an account's token, in the name of whoever has `token`.
pub(super) fn impersonation(url: Url, token: &GcpToken, scope: Scope, lifetime_secs: u64) -> TokenRequest {
    let bearer = format!("Bearer {}", token.0.expose_secret());
    TokenRequest {
        url,
        fields: vec![("authorization".to_owned(), bearer.into())],
        body: TokenBody::Json(json!({"scope": [scope.as_str()], "lifetime": format!("{lifetime_secs}s")})),
    }
}

/// The token in the answer to [`impersonation`].
pub(super) fn generated_token(answer: &TokenAnswer, now: Timestamp) -> Option<Fresh<GcpToken>> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    let token = document["accessToken"].as_str().filter(|token| !token.is_empty())?;
    let ends_at: Timestamp = document["expireTime"].as_str()?.parse().ok()?;
    let left = Duration::try_from(ends_at.duration_since(now)).unwrap_or_default();
    Some(Fresh { keys: GcpToken(token.into()), life: left.clamp(LIFE_MIN, LIFE_MAX) })
}

async fn ask(
    service: &dyn TokenService, url: Url, fields: Vec<(String, SecretString)>, body: TokenBody,
) -> Result<TokenAnswer, String> {
    service.ask(TokenRequest { url, fields, body }).await.map_err(|error| error.to_string())
}

/// The token in an OAuth answer, or what the service says instead, as far as it is a word of the standard's.
fn oauth_token(answer: &TokenAnswer) -> Result<Fresh<GcpToken>, String> {
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        let word = document["error"].as_str().filter(|word| is_word(word)).unwrap_or("no reason");
        return Err(format!("the token service answered {} with {word}", answer.status));
    }
    let token = document["access_token"].as_str().filter(|token| !token.is_empty());
    let secs = &document["expires_in"];
    let secs = secs.as_u64().or_else(|| secs.as_str()?.parse().ok()).filter(|secs| *secs > 0);
    match (token, secs) {
        (Some(token), Some(secs)) => {
            Ok(Fresh { keys: GcpToken(token.into()), life: Duration::from_secs(secs).min(LIFE_MAX) })
        }
        (Some(_) | None, _) => Err("the token service answered without a token".to_owned()),
    }
}

/// `invalid_grant` and its like: nothing that could hold a value.
fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

async fn subject_token(service: &dyn TokenService, subject: &Subject) -> Result<SecretString, String> {
    let bytes = match &subject.place {
        Place::File(path) => read_file(path, "the subject token's file").await?,
        Place::Url { url, fields } => {
            let answer = ask(service, url.clone(), fields.clone(), TokenBody::None).await?;
            if answer.status != 200 {
                return Err(format!("the subject token's url answered {}", answer.status));
            }
            answer.body
        }
    };
    let token = match &subject.field {
        None => String::from_utf8(bytes).ok().map(|text| text.trim().to_owned()),
        Some(field) => {
            let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            document[field].as_str().map(str::to_owned)
        }
    };
    let token = token.filter(|token| !token.is_empty()).ok_or("no subject token is where the file says")?;
    Ok(token.into())
}

/// Reads a file of the operator's.
///
/// # Errors
/// That it cannot be read, called by its `name`.
pub(super) async fn read_file(path: &std::path::Path, name: &str) -> Result<Vec<u8>, String> {
    let unread = |error: std::io::Error| format!("{name} cannot be read: {error}");
    let metadata = tokio::fs::metadata(path).await.map_err(unread)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(format!("{name} is too large, or no file"));
    }
    tokio::fs::read(path).await.map_err(unread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> TokenAnswer {
        TokenAnswer { status, retry_after: None, body: body.as_bytes().to_vec() }
    }

    #[test]
    fn an_answer_holds_a_token_or_says_why_not() {
        let good = oauth_token(&answer(200, r#"{"access_token":"t","expires_in":3599,"token_type":"Bearer"}"#));
        let good = good.map(|fresh| (fresh.keys.0.expose_secret().to_owned(), fresh.life.as_secs()));
        assert_eq!(good, Ok(("t".to_owned(), 3599)));
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_grant","error_description":"hush"}"#, "answered 400 with invalid_grant"),
            (403, r#"{"error":{"message":"hush"}}"#, "answered 403 with no reason"),
            (503, "hush", "answered 503 with no reason"),
            (400, r#"{"error":"Hush, Hush"}"#, "answered 400 with no reason"),
            (200, r#"{"access_token":"","expires_in":3599}"#, "without a token"),
            (200, r#"{"access_token":"hush"}"#, "without a token"),
            (200, r#"{"access_token":"hush","expires_in":0}"#, "without a token"),
        ] {
            let told = oauth_token(&answer(status, body)).map(|_| ()).unwrap_err();
            assert!(told.contains(expected) && !told.to_lowercase().contains("hush"), "{told}");
        }
    }

    #[test]
    fn an_accounts_token_lasts_as_it_says_within_bounds() {
        let now: Timestamp = "2026-11-28T03:00:00Z".parse().unwrap();
        for (ends, secs) in [
            ("2026-11-28T04:00:00Z", Some(3600)),
            ("2026-11-28T04:00:00.5Z", Some(3600)),
            ("2026-11-28T02:00:00Z", Some(60)),
            ("2027-11-28T03:00:00Z", Some(12 * 60 * 60)),
            ("soon", None),
        ] {
            let given = answer(200, &format!(r#"{{"accessToken":"t","expireTime":"{ends}"}}"#));
            assert_eq!(generated_token(&given, now).map(|fresh| fresh.life.as_secs()), secs, "{ends}");
        }
        assert!(generated_token(&answer(200, r#"{"expireTime":"2026-11-28T04:00:00Z"}"#), now).is_none());
    }
}
