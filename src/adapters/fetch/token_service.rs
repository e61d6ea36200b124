//! Asks token services with the client that fetches attachments: the same certificates, no proxy, no redirects, no retries.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use rustls::RootCertStore;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use url::form_urlencoded;

use super::address_guard::AddressGuard;
use super::answer;
use super::client::{self, ClientError};
use super::http_options::HttpOptions;
use super::resolve::SystemNames;
use super::wire::{Wire, host};
use crate::domain::fault::AttachmentFault;
use crate::ports::budget::Unlimited;
use crate::ports::token_service::{ANSWER_BYTES_MAX, NoAnswer, TokenAnswer, TokenBody, TokenRequest, TokenService};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one question may take in all.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait that a service may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// Asks token services over HTTP.
pub struct HttpTokenService {
    wire: Wire,
}

impl HttpTokenService {
    /// With the system's resolver and trusted certificates. Reads the latter from files: once, at the start.
    ///
    /// # Errors
    /// [`ClientError`] if the machine's TLS set-up is unusable.
    pub fn new() -> Result<Self, ClientError> {
        Self::with(client::system_roots())
    }

    /// The same with other trusted certificates.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(roots: RootCertStore) -> Result<Self, ClientError> {
        let options = HttpOptions { connect_timeout: CONNECT_TIMEOUT, idle_timeout: TIMEOUT, ..HttpOptions::default() };
        let names = Arc::new(SystemNames::default());
        let wire = Wire::new(options, AddressGuard::open(), Arc::new(Unlimited), names, roots)?;
        Ok(Self { wire })
    }

    async fn send(&self, request: TokenRequest) -> Result<Response, NoAnswer> {
        let TokenRequest { url, fields, body } = request;
        let mut fields = fields_of(fields).ok_or_else(|| {
            NoAnswer(format!("{}: what is to be sent holds characters that no header field can", host(&url)))
        })?;
        let shown = |fault: AttachmentFault| NoAnswer(fault.message);
        let (kind, body) = match body {
            TokenBody::None => return self.wire.send(Method::GET, &url, fields).await.map_err(shown),
            TokenBody::Form(pairs) => ("application/x-www-form-urlencoded", form(&pairs)),
            TokenBody::Json(document) => ("application/json", document.to_string()),
        };
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self.wire.post(&url, fields, Bytes::from(body)).await.map_err(shown)
    }

    async fn answer(&self, request: TokenRequest) -> Result<TokenAnswer, NoAnswer> {
        let response = self.send(request).await?;
        let retry_after = answer::retry_after(response.headers(), Timestamp::now(), RETRY_AFTER_MAX);
        let status = response.status().as_u16();
        let body = self.wire.words(response, ANSWER_BYTES_MAX).await;
        Ok(TokenAnswer { status, retry_after, body })
    }
}

fn fields_of(pairs: Vec<(String, secrecy::SecretString)>) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for (name, value) in pairs {
        let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
        // No log of the client's ever shows it.
        value.set_sensitive(true);
        fields.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(fields)
}

fn form(pairs: &[(&'static str, secrecy::SecretString)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| (*name, value.expose_secret()));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[async_trait]
impl TokenService for HttpTokenService {
    async fn ask(&self, request: TokenRequest) -> Result<TokenAnswer, NoAnswer> {
        let name = host(&request.url).to_owned();
        let asked = timeout(TIMEOUT, self.answer(request)).await;
        asked.unwrap_or_else(|_| Err(NoAnswer(format!("{name}: the answer took too long"))))
    }
}
