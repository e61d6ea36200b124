//! One request on the wire, and its body: what plain sources and signed ones have in common.
//!
//! The guard stands where connections are made and at the peer that answered; whoever sends checks the host as it is written
//! before, so that nobody is paid for what is refused. Redirects are answers here, and nothing is retried.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response};
use rustls::RootCertStore;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use url::Url;

use super::address_guard::AddressGuard;
use super::answer::Coding;
use super::body::{Expected, Pace, Payer, Watched, too_large};
use super::client::{Client, ClientError};
use super::connect::Peer;
use super::decode::decoded;
use super::http_options::HttpOptions;
use super::part::Part;
use super::resolve::{CheckedNames, Names};
use crate::domain::attachment_url::redacted;
use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::Place;
use crate::domain::team::KnownTeam;
use crate::ports::budget::Budget;
use crate::ports::fetcher::{Announced, BodyStream, Fetched, Hop, Want};

/// The client, the guard before it, and who pays for what it sends.
pub(super) struct Wire {
    client: Client,
    pub(super) guard: Arc<AddressGuard>,
    pub(super) options: HttpOptions,
    pub(super) budget: Arc<dyn Budget>,
}

/// Whose body it is, and where its bytes are paid for.
pub(super) struct Reader {
    pub(super) team: Arc<KnownTeam>,
    pub(super) place: Place,
    pub(super) hops: Vec<Hop>,
}

impl Wire {
    pub(super) fn new(
        options: HttpOptions, guard: AddressGuard, budget: Arc<dyn Budget>, names: Arc<dyn Names>, roots: RootCertStore,
    ) -> Result<Self, ClientError> {
        let guard = Arc::new(guard);
        let checked = CheckedNames::new(names, Arc::clone(&guard), options.keep_names);
        let client = Client::new(&options, checked, roots)?;
        Ok(Self { client, guard, options, budget })
    }

    /// Sends one request and returns its answer, whatever its status.
    ///
    /// # Errors
    /// The fault of a request that got no answer in time, or one from a peer that we do not talk to.
    pub(super) async fn send(&self, method: Method, url: &Url, fields: HeaderMap) -> Result<Response, AttachmentFault> {
        self.within_patience(self.client.send(method, url, fields, Bytes::new()), url).await
    }

    /// The same for a request with a body: of the URL, its user-info becomes Basic authorization.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn post(&self, url: &Url, fields: HeaderMap, body: Bytes) -> Result<Response, AttachmentFault> {
        self.within_patience(self.client.send(Method::POST, url, fields, body), url).await
    }

    async fn within_patience(
        &self, sending: impl Future<Output = Result<Response, AttachmentFault>>, url: &Url,
    ) -> Result<Response, AttachmentFault> {
        let patience = self.options.connect_timeout.saturating_add(self.options.idle_timeout);
        let response = match timeout(patience, sending).await {
            Ok(answered) => answered?,
            Err(_) => {
                let message = format!("{}: the answer took too long", host(url));
                return Err(AttachmentFault::new(Code::Timeout, message));
            }
        };
        // The last gate: whatever led here, this peer must be one that we may talk to.
        let peer = peer(&response).map(|peer| self.guard.check(peer));
        match peer {
            Some(Ok(())) => Ok(response),
            Some(Err(_)) | None => Err(blocked(url, "the host is not publicly reachable")),
        }
    }

    /// Reads the beginning of a body that says why a request was refused; what is cut, slow or broken is left out.
    pub(super) async fn words(&self, response: Response, bytes_max: usize) -> Vec<u8> {
        let (mut stream, mut words) = (response.bytes_stream(), Vec::new());
        let reading = async {
            while let Some(Ok(chunk)) = stream.next().await {
                let room = bytes_max - words.len();
                words.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if words.len() == bytes_max {
                    break;
                }
            }
        };
        // What came before the time was up may hold enough.
        let _ = timeout(self.options.idle_timeout, reading).await;
        words
    }

    /// Turns an answer that is what was asked for into what the port promises.
    ///
    /// # Errors
    /// `too_large`, by what the head announces.
    pub(super) fn fetched(
        &self, response: Response, part: &Part, version: SourceVersion, reader: Reader, want: &Want,
    ) -> Result<Fetched, AttachmentFault> {
        let host = host(response.url()).to_owned();
        let bytes_max = self.options.max_bytes;
        if part.total.is_some_and(|total| total > bytes_max) {
            return Err(too_large(&host, bytes_max));
        }
        let encoded = part.coding != Coding::Identity;
        let announced = if encoded { Announced::default() } else { part.announced.clone() };
        let hops = reader.hops.clone();
        let body = match want {
            Want::Head => stream::empty().boxed(),
            Want::Body | Want::Rest { .. } => self.body(response, host, reader, part),
        };
        Ok(Fetched {
            resumable: !encoded && version.etag.is_some() && part.ranges,
            version,
            length: part.length.filter(|_| !encoded),
            announced,
            hops,
            body,
        })
    }

    fn body(&self, response: Response, host: String, reader: Reader, part: &Part) -> BodyStream {
        let payer = Payer { budget: Arc::clone(&self.budget), team: reader.team, place: reader.place };
        let bytes_max = self.options.max_bytes;
        let encoded = part.coding != Coding::Identity;
        // A digest of the encoded bytes is of use only here: nobody behind the decoder sees them.
        let expected = Expected {
            length: part.length,
            bytes_max,
            sha256: part.announced.sha256.filter(|_| encoded),
            crc: part.announced.crc.filter(|_| encoded),
        };
        let source = response.bytes_stream().boxed();
        let body = Watched::new(source, host.clone(), self.pace(), payer, expected).into_stream();
        if encoded { decoded(body, part.coding, host, bytes_max) } else { body }
    }

    fn pace(&self) -> Pace {
        Pace {
            idle: self.options.idle_timeout,
            total: self.options.total_timeout,
            min_rate: self.options.min_rate,
            window: self.options.rate_window,
        }
    }
}

/// What a request that was answered adds to the task's story.
pub(super) fn hop(url: &Url, response: &Response) -> Hop {
    Hop { url: redacted(url.as_str()), address: peer(response), status: Some(response.status().as_u16()) }
}

/// A token as the field `Authorization`; no log of the client's ever shows it.
///
/// # Errors
/// `internal` for a token that no field can hold.
pub(super) fn bearer(token: &SecretString) -> Result<HeaderValue, AttachmentFault> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .map_err(|_| AttachmentFault::new(Code::Internal, "the token holds characters that no field can"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The address that the answer came from, also where a proxy connected us to it.
pub(super) fn peer(response: &Response) -> Option<IpAddr> {
    response.extensions().get::<Peer>().map(|peer| peer.0.ip())
}

/// The URL's host; a literal IPv6 address has its brackets.
pub(super) fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// The fault of a host that is not connected to.
pub(super) fn blocked(url: &Url, what: &str) -> AttachmentFault {
    AttachmentFault::new(Code::BlockedAddress, format!("{}: {what}", host(url)))
}
