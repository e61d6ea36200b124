//! Posts to customers' endpoints, with the client, the resolver and the guard that fetch attachments.
//!
//! A redirect is an answer. Of the answer's body at most [`ANSWER_BYTES_MAX`] are read, so that the connection can be used
//! again, and nothing of it is looked at.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use rustls::RootCertStore;
use tokio::time::timeout;
use url::Url;

use super::address_guard::AddressGuard;
use super::answer;
use super::client::{self, ClientError};
use super::http_options::HttpOptions;
use super::resolve::{Names, SystemNames};
use super::way_out::WayOut;
use super::wire::{Wire, host};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::webhook::schedule::RETRY_AFTER_MAX;
use crate::ports::budget::Unlimited;
use crate::ports::webhook::{Answered, Post, PostError, Reach, Webhook};

/// How much of an answer's body is read: enough for what receivers say in good order.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// How long that may take.
const READ_AWAY: Duration = Duration::from_secs(1);

/// What the operator sets for webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookOptions {
    /// Networks that are connected to beside public addresses.
    pub allow_networks: Vec<IpNet>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one try may take in all.
    pub timeout: Duration,
    /// By which way they leave.
    pub way_out: WayOut,
}

/// Sends webhooks over HTTP.
pub struct HttpWebhook {
    public: Wire,
    /// Connects to the operator's networks and nothing else, whatever a name resolves to.
    allowed_only: Wire,
    timeout: Duration,
}

impl HttpWebhook {
    /// A sender with the system's resolver and trusted certificates. Reads the latter from files: once, at the start.
    ///
    /// # Errors
    /// [`ClientError`] if the machine's TLS set-up is unusable.
    pub fn new(options: &WebhookOptions) -> Result<Self, ClientError> {
        Self::with(options, Arc::new(SystemNames::default()), client::system_roots())
    }

    /// The same with another resolver and other trusted certificates.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(options: &WebhookOptions, names: Arc<dyn Names>, roots: RootCertStore) -> Result<Self, ClientError> {
        let allow = options.allow_networks.clone();
        let http = HttpOptions {
            connect_timeout: options.connect_timeout.min(options.timeout),
            idle_timeout: options.timeout,
            way_out: options.way_out.clone(),
            ..HttpOptions::default()
        };
        let wire = |guard| Wire::new(http.clone(), guard, Arc::new(Unlimited), Arc::clone(&names), roots.clone());
        Ok(Self {
            public: wire(AddressGuard::new(allow.clone()))?,
            allowed_only: wire(AddressGuard::only(allow))?,
            timeout: options.timeout,
        })
    }

    /// The answer's head.
    async fn head(&self, wire: &Wire, post: Post) -> Result<Response, PostError> {
        let passes = post.url.host().is_some_and(|host| wire.guard.check_host(&host).is_ok());
        if !passes {
            return Err(PostError::Blocked(format!("{}: the host is not publicly reachable", host(&post.url))));
        }
        let fields = fields(&post)?;
        wire.post(&post.url, fields, post.body).await.map_err(|fault| shown(&fault))
    }
}

fn fields(post: &Post) -> Result<HeaderMap, PostError> {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(post.content_type));
    for (name, text) in &post.fields {
        let bad = |_| PostError::Unreachable(format!("{}: {name} cannot be sent as a header", host(&post.url)));
        let mut value = HeaderValue::from_str(text).map_err(bad)?;
        // No log of the client's ever shows it.
        value.set_sensitive(true);
        fields.insert(HeaderName::from_static(name), value);
    }
    Ok(fields)
}

fn shown(fault: &AttachmentFault) -> PostError {
    match fault.code {
        _ if fault.is_of_our_way_out() => PostError::NoWayOut(fault.message.clone()),
        Code::BlockedAddress => PostError::Blocked(fault.message.clone()),
        Code::Timeout => PostError::TimedOut(fault.message.clone()),
        // What else a request can end with is a connection that was not made, or broke.
        _ => PostError::Unreachable(fault.message.clone()),
    }
}

fn late(url: &Url) -> PostError {
    PostError::TimedOut(format!("{}: the answer took too long", host(url)))
}

#[async_trait]
impl Webhook for HttpWebhook {
    async fn post(&self, post: Post) -> Result<Answered, PostError> {
        let wire = match post.reach {
            Reach::Public => &self.public,
            Reach::AllowedOnly => &self.allowed_only,
        };
        let url = post.url.clone();
        let head = timeout(self.timeout, self.head(wire, post)).await;
        let response = head.unwrap_or_else(|_| Err(late(&url)))?;
        let answered = Answered {
            status: response.status().as_u16(),
            retry_after: answer::retry_after(response.headers(), Timestamp::now(), RETRY_AFTER_MAX),
        };
        // The status is the answer, however its body goes on. A longer or slower body costs its connection.
        let _words = timeout(READ_AWAY, wire.words(response, ANSWER_BYTES_MAX)).await;
        Ok(answered)
    }
}
