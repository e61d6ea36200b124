//! Asks IAM Credentials for a service account's token, in the worker's own name: one request, which nobody but the account's
//! owner can allow.
//!
//! A refusal carries Google's code, since it is what a customer's administrator asks for; Google's words stay out, since they
//! may name our identity to whoever reads a completion.

use std::sync::Arc;

use serde_json::Value;
use url::Url;

use super::exchange::{self, Scope};
use super::own::Own;
use crate::adapters::credentials::kept::Fresh;
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::clock::Clock;
use crate::ports::credentials::GcpToken;
use crate::ports::token_service::{TokenAnswer, TokenService};

/// Google's own.
const ENDPOINT: &str = "https://iamcredentials.googleapis.com";
/// How long a token lasts: Google's longest without an exception of the organisation's.
const LIFETIME_SECS: u64 = 3600;

/// IAM Credentials.
pub(super) struct Impersonate {
    endpoint: String,
    service: Arc<dyn TokenService>,
    own: Arc<Own>,
}

impl Impersonate {
    pub(super) fn new(endpoint: Option<Url>, service: Arc<dyn TokenService>, own: Arc<Own>) -> Self {
        let endpoint = endpoint.map_or_else(|| ENDPOINT.to_owned(), String::from);
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), service, own }
    }

    /// Returns a new token of the account's.
    ///
    /// # Errors
    /// `integration_broken` where it may not be impersonated; what passes for the rest.
    pub(super) async fn token(&self, service_account: &str) -> Result<Fresh<GcpToken>, AttachmentFault> {
        let url = self.url(service_account)?;
        let mut renewed = false;
        loop {
            // Asked for first, so that its absence is told from the account's refusal.
            let own = self.own.token(Scope::Iam).await?;
            let request = exchange::impersonation(url.clone(), &own, Scope::Storage, LIFETIME_SECS);
            let answer = self.service.ask(request).await.map_err(|error| {
                AttachmentFault::new(Code::Unavailable, format!("Google's IAM Credentials was not reached: {error}"))
            })?;
            let refusal = Refusal::of(&answer);
            match refusal.meaning() {
                Meaning::Token => {
                    self.own.say_there();
                    let fresh = exchange::generated_token(&answer, Clock::System.now());
                    let none = || AttachmentFault::new(Code::Unavailable, "IAM Credentials answered without a token");
                    return fresh.ok_or_else(none);
                }
                Meaning::OwnToken if !renewed => {
                    renewed = true;
                    self.own.drop_if(Scope::Iam, &own).await;
                }
                Meaning::OwnToken => {
                    self.own.drop_if(Scope::Iam, &own).await;
                    let fault = self.own.say_missing("IAM Credentials does not take its tokens");
                    return Err(refusal.beside(fault, &answer));
                }
                Meaning::OwnProject => {
                    let why = "the IAM Credentials API is switched off in the worker's own project";
                    return Err(refusal.beside(self.own.say_missing(why), &answer));
                }
                Meaning::Other(code, words) => {
                    return Err(refusal.beside(AttachmentFault::new(code, words), &answer));
                }
            }
        }
    }

    fn url(&self, service_account: &str) -> Result<Url, AttachmentFault> {
        let unusable =
            || AttachmentFault::new(Code::IntegrationBroken, "the team's service account has no usable name");
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
        if !service_account.bytes().all(allowed) {
            return Err(unusable());
        }
        let path = format!("v1/projects/-/serviceAccounts/{service_account}:generateAccessToken");
        Url::parse(&format!("{}/{path}", self.endpoint)).map_err(|_| unusable())
    }
}

/// What IAM Credentials said.
struct Refusal {
    status: u16,
    /// Google's canonical code, as `PERMISSION_DENIED`.
    code: Option<String>,
    /// The reason beside it, as `SERVICE_DISABLED`.
    reason: Option<String>,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// It holds a token.
    Token,
    /// The worker's own token is the matter.
    OwnToken,
    /// The worker's own project is.
    OwnProject,
    /// Something else, and what it says to a person.
    Other(Code, &'static str),
}

impl Refusal {
    fn of(answer: &TokenAnswer) -> Self {
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let error = &document["error"];
        let details = error["details"].as_array().into_iter().flatten();
        let reason = details.filter_map(|detail| word(&detail["reason"])).next();
        Self { status: answer.status, code: word(&error["status"]), reason }
    }

    fn meaning(&self) -> Meaning {
        let (code, words) = match (self.status, self.reason.as_deref()) {
            (200, _) => return Meaning::Token,
            (401, _) => return Meaning::OwnToken,
            (403, Some("SERVICE_DISABLED")) => return Meaning::OwnProject,
            (429, _) | (403, Some("RATE_LIMIT_EXCEEDED")) => (Code::Throttled, "IAM Credentials throttles us"),
            (408 | 500..=599, _) => (Code::Unavailable, "IAM Credentials had a fault of its own"),
            _ => (
                Code::IntegrationBroken,
                "the team's service account cannot be impersonated: it must be there, and our own must be a \
                 Service Account Token Creator on it",
            ),
        };
        Meaning::Other(code, words)
    }

    fn beside(&self, fault: AttachmentFault, answer: &TokenAnswer) -> AttachmentFault {
        let retry_after = answer.retry_after.filter(|_| fault.code.is_transient());
        AttachmentFault { http_status: Some(self.status), provider_code: self.code.clone(), retry_after, ..fault }
    }
}

/// A code or reason, unless it is anything else.
fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let good = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::of(&TokenAnswer { status, retry_after: None, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn refusals_are_told_from_troubles() {
        for (status, body, expected) in [
            (403, r#"{"error":{"code":403,"status":"PERMISSION_DENIED"}}"#, Code::IntegrationBroken),
            (404, r#"{"error":{"code":404,"status":"NOT_FOUND"}}"#, Code::IntegrationBroken),
            (400, r#"{"error":{"code":400,"status":"FAILED_PRECONDITION"}}"#, Code::IntegrationBroken),
            (403, "no JSON", Code::IntegrationBroken),
            (429, "{}", Code::Throttled),
            (403, r#"{"error":{"details":[{"reason":"RATE_LIMIT_EXCEEDED"}]}}"#, Code::Throttled),
            (503, "", Code::Unavailable),
            (500, "", Code::Unavailable),
        ] {
            let found = refusal(status, body).meaning();
            assert!(matches!(found, Meaning::Other(code, _) if code == expected), "{status} {body}: {found:?}");
        }
        let disabled = r#"{"error":{"status":"PERMISSION_DENIED","details":[{"a":1},{"reason":"SERVICE_DISABLED"}]}}"#;
        assert_eq!(refusal(403, disabled).meaning(), Meaning::OwnProject);
        assert_eq!(refusal(401, "{}").meaning(), Meaning::OwnToken);
    }

    #[test]
    fn googles_words_stay_out_and_its_code_comes_along() {
        let answer = TokenAnswer {
            status: 403,
            retry_after: None,
            body: br#"{"error":{"status":"PERMISSION_DENIED","message":"us@x may not"}}"#.to_vec(),
        };
        let fault = Refusal::of(&answer).beside(AttachmentFault::new(Code::IntegrationBroken, "no"), &answer);
        assert_eq!((fault.provider_code.as_deref(), fault.http_status), (Some("PERMISSION_DENIED"), Some(403)));
        assert_eq!(refusal(403, r#"{"error":{"status":"us@x may not"}}"#).code, None);
    }
}
