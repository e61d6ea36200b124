//! Delivers to customers' endpoints: one POST to a stranger's URL, and what was answered.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use url::Url;

/// What is sent, and where to.
#[derive(Clone)]
pub struct Post {
    /// Where to; user-info in it goes along as Basic authorization.
    pub url: Url,
    /// Header fields beside those of the body and the sender's name, in lower case. They may hold secrets.
    pub fields: Vec<(&'static str, String)>,
    /// The body's media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
    /// Which addresses may be connected to.
    pub reach: Reach,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("host", &self.url.host_str()).field("reach", &self.reach).finish_non_exhaustive()
    }
}

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those that everybody can reach, and those that the operator allowed.
    Public,
    /// Only those that the operator allowed: what is sent must not be read on the way.
    AllowedOnly,
}

/// What an endpoint answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// When it asked us to come back, as a wait from now.
    pub retry_after: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The URL leads to an address that is not connected to. Nothing was sent.
    #[error("{0}")]
    Blocked(String),
    /// Our own way to the world is away. Nothing was sent, and it says nothing of the endpoint.
    #[error("{0}")]
    NoWayOut(String),
    /// No answer came in time; what was sent may have arrived.
    #[error("{0}")]
    TimedOut(String),
    /// The connection was not made, or broke; what was sent may have arrived.
    #[error("{0}")]
    Unreachable(String),
}

/// Sends to endpoints.
#[async_trait]
pub trait Webhook: Send + Sync + 'static {
    /// Sends one POST and returns what was answered, whatever its status; redirects are answers too and not followed.
    ///
    /// Resolving, connecting, sending and reading are bounded in time together, and what is read of the answer in bytes. One
    /// call is one try. Dropped, it closes the connection; what was sent may have arrived.
    ///
    /// # Errors
    /// [`PostError`], in words that quote neither queries nor what was answered.
    async fn post(&self, post: Post) -> Result<Answered, PostError>;
}
