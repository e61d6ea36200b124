//! Asks a service that hands out tokens: one request, one short answer.
//!
//! Such services are the operator's choice, or a cloud's own, never a customer's: no address guard stands before them.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

/// A longer answer is cut: no token is as long.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// One question.
#[derive(Debug)]
pub struct TokenRequest {
    /// Who is asked.
    pub url: Url,
    /// Further header fields, name and value.
    pub fields: Vec<(String, SecretString)>,
    /// What is sent with it.
    pub body: TokenBody,
}

/// What is sent with a question.
#[derive(Debug)]
pub enum TokenBody {
    /// Nothing: the question is a GET.
    None,
    /// A form, posted.
    Form(Vec<(&'static str, SecretString)>),
    /// A JSON document, posted.
    Json(serde_json::Value),
}

/// What was answered.
pub struct TokenAnswer {
    /// The status.
    pub status: u16,
    /// When to come back, if the service said so.
    pub retry_after: Option<Duration>,
    /// The body, of at most [`ANSWER_BYTES_MAX`].
    pub body: Vec<u8>,
}

impl std::fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The body is what a token is in.
        f.debug_struct("TokenAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// There was no answer, in words that hold no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// Asks services that hand out tokens.
#[async_trait]
pub trait TokenService: Send + Sync + 'static {
    /// Asks once and returns what was answered, whatever its status; redirects are answers too and not followed.
    ///
    /// Connecting, sending and reading are bounded in time together. May be repeated; dropped, it closes the connection.
    ///
    /// # Errors
    /// [`NoAnswer`], which may pass.
    async fn ask(&self, request: TokenRequest) -> Result<TokenAnswer, NoAnswer>;
}
