//! Asks a service that the operator named, by the same client as everything else: where it is, is not the guard's matter.
//!
//! It goes straight, whatever way plain URLs leave by. Redirects are answers, bodies are bounded, and nothing is retried. What a body ends
//! with when it breaks off is for the reader to miss.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use rustls::RootCertStore;
use tokio::time::timeout;
use url::Url;

use super::address_guard::AddressGuard;
use super::client::{self, ClientError};
use super::http_options::HttpOptions;
use super::resolve::{Names, SystemNames};
use super::wire::{Wire, host};
use crate::ports::budget::Unlimited;
use crate::ports::service::{Answer, NoAnswer, Question, Service};

/// Asks services over HTTP.
pub struct HttpService {
    wire: Wire,
    within: Duration,
    body_bytes_max: usize,
}

impl HttpService {
    /// Asks with the system's resolver and trusted certificates; an answer must be whole `within` the time and have a body
    /// of at most `body_bytes_max`. Reads files: once, at the start.
    ///
    /// # Errors
    /// [`ClientError`] if the machine's TLS set-up is unusable.
    pub fn new(within: Duration, body_bytes_max: usize) -> Result<Self, ClientError> {
        Self::with(within, body_bytes_max, Arc::new(SystemNames::default()), client::system_roots())
    }

    /// The same with another resolver and other trusted certificates.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        within: Duration, body_bytes_max: usize, names: Arc<dyn Names>, roots: RootCertStore,
    ) -> Result<Self, ClientError> {
        let options = HttpOptions { connect_timeout: within, idle_timeout: within, ..HttpOptions::default() };
        let wire = Wire::new(options, AddressGuard::open(), Arc::new(Unlimited), names, roots)?;
        Ok(Self { wire, within, body_bytes_max })
    }

    async fn ask(&self, question: Question<'_>) -> Result<Answer, NoAnswer> {
        let Question { url, bearer, unless } = question;
        let mut fields = HeaderMap::new();
        if let Some(token) = bearer {
            let mut value = field(&format!("Bearer {token}"), url)?;
            value.set_sensitive(true);
            fields.insert(AUTHORIZATION, value);
        }
        if let Some(etag) = unless {
            fields.insert(IF_NONE_MATCH, field(etag, url)?);
        }
        let response = self.wire.send(Method::GET, url, fields).await.map_err(|fault| NoAnswer(fault.message))?;
        let status = response.status().as_u16();
        let etag = response.headers().get(ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = self.wire.words(response, self.body_bytes_max + 1).await;
        if body.len() > self.body_bytes_max {
            return Err(NoAnswer(format!("{}: the answer is larger than {} bytes", host(url), self.body_bytes_max)));
        }
        Ok(Answer { status, etag, body })
    }
}

fn field(text: &str, url: &Url) -> Result<HeaderValue, NoAnswer> {
    HeaderValue::from_str(text).map_err(|_| NoAnswer(format!("{}: what it is asked with fits no header", host(url))))
}

#[async_trait]
impl Service for HttpService {
    async fn get(&self, question: Question<'_>) -> Result<Answer, NoAnswer> {
        let late = |_| NoAnswer(format!("{}: the answer took too long", host(question.url)));
        timeout(self.within, self.ask(question)).await.map_err(late)?
    }
}
