//! Asks a service over https that the operator named and trusts.

use std::fmt;

use async_trait::async_trait;
use url::Url;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Where.
    pub url: &'a Url,
    /// What the service knows us by.
    pub bearer: Option<&'a str>,
    /// The entity tag of what we have: only another state is wanted.
    pub unless: Option<&'a str>,
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// What a service answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The entity tag, if it gave one.
    pub etag: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// There is no whole answer; the words quote neither credentials nor the URL's query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// A service.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Gets what `question` asks for, whatever the status; redirects are answers too. Time and body are bounded. May be
    /// repeated and dropped.
    ///
    /// # Errors
    /// [`NoAnswer`] where none came, or more than was waited for.
    async fn get(&self, question: Question<'_>) -> Result<Answer, NoAnswer>;
}
