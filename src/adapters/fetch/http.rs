//! Fetches plain http(s) URLs: one GET or HEAD, its redirects, and the body as a stream.
//!
//! Three gates stand before a stranger's URL reaches anything: its host as it is written is checked before each hop, names
//! resolve only to checked addresses ([`super::resolve`]), and the peer that we really have is checked once more before its
//! answer is believed. Every request is paid for on its own host. Nothing is retried here.
//!
//! A redirect from `http` to `https` is followed, one back to `http` is not. Read [`super::body`] next.

use std::sync::Arc;

use async_trait::async_trait;
use reqwest::{Method, Response};
use rustls::RootCertStore;
use url::Url;

use super::address_guard::AddressGuard;
use super::answer;
use super::client::{self, ClientError};
use super::http_options::HttpOptions;
use super::part::{Part, range_fields};
use super::resolve::{Names, SystemNames};
use super::wire::{Reader, Wire, blocked, hop, host};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::{Place, Source, URL_BYTES_MAX};
use crate::domain::team::KnownTeam;
use crate::ports::budget::Budget;
use crate::ports::fetcher::{FetchRequest, Fetched, Fetcher, Hop, Want};

/// Fetches plain http(s) sources.
pub struct HttpFetcher {
    wire: Wire,
}

impl HttpFetcher {
    /// A fetcher with the system's resolver and trusted certificates. Reads the latter from files: once, at the start.
    ///
    /// # Errors
    /// [`ClientError`] if the machine's TLS set-up is unusable.
    pub fn new(options: HttpOptions, budget: Arc<dyn Budget>) -> Result<Self, ClientError> {
        let names = Arc::new(SystemNames::default());
        Self::with(options, budget, names, client::system_roots())
    }

    /// The same with another resolver and other trusted certificates.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        options: HttpOptions, budget: Arc<dyn Budget>, names: Arc<dyn Names>, roots: RootCertStore,
    ) -> Result<Self, ClientError> {
        let guard = AddressGuard::new(options.allow_networks.clone());
        let wire = Wire::new(options, guard, budget, names, roots)?;
        Ok(Self { wire })
    }

    /// Follows redirects to the answer that is none.
    async fn answer(&self, url: Url, team: &KnownTeam, want: &Want) -> Result<Answer, AttachmentFault> {
        let (mut url, mut hops) = (url, Vec::new());
        for followed in 0..=self.wire.options.max_redirects {
            self.check(&url, team)?;
            self.wire.budget.request(team, &place(&url)).await;
            let response = self.send(&url, want).await.map_err(|fault| of_hop(fault, followed))?;
            let status = response.status().as_u16();
            hops.push(hop(&url, &response));
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Ok(Answer { response, url, hops });
            }
            if followed < self.wire.options.max_redirects {
                url = redirected(&url, &response)?;
            }
        }
        let most = self.wire.options.max_redirects;
        let message = format!("{}: more than {most} redirects", host(&url));
        Err(AttachmentFault::new(Code::TooManyRedirects, message))
    }

    /// The first gate: what the URL itself says.
    fn check(&self, url: &Url, team: &KnownTeam) -> Result<(), AttachmentFault> {
        if url.scheme() != "https" && !(url.scheme() == "http" && self.wire.options.allow_plain) {
            let message = format!("scheme {} is not fetched", url.scheme());
            return Err(AttachmentFault::new(Code::UnsupportedScheme, message));
        }
        let passes = url.host().is_some_and(|host| self.wire.guard.check_host(&host).is_ok());
        if !passes {
            return Err(blocked(url, "the host is not publicly reachable"));
        }
        if !team.record.allows_host(host(url)) {
            return Err(blocked(url, "the host is not one of the team's allowed hosts"));
        }
        Ok(())
    }

    async fn send(&self, url: &Url, want: &Want) -> Result<Response, AttachmentFault> {
        let method = match want {
            Want::Head => Method::HEAD,
            Want::Body | Want::Rest { .. } => Method::GET,
        };
        // The client turns user-info into Basic authorization for this one request; redirects lose theirs.
        self.wire.send(method, url, range_fields(want)?).await
    }
}

/// Where a redirect leads to may be anywhere: that nobody is there says nothing of the host that was asked for.
fn of_hop(fault: AttachmentFault, followed: u32) -> AttachmentFault {
    if fault.is_unreached && followed > 0 && !fault.is_of_our_way_out() {
        return AttachmentFault { is_unreached: false, is_elsewhere: true, ..fault };
    }
    fault
}

#[async_trait]
impl Fetcher for HttpFetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let FetchRequest { team, source, want, grant: _ } = request;
        let Source::Http(url) = source else {
            let message = "only http and https are fetched here";
            return Err(AttachmentFault::new(Code::UnsupportedScheme, message));
        };
        let Answer { response, url, hops } = self.answer(url, &team, &want).await?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        let part = Part::of(status, headers, host(&url), &want)?;
        let version = answer::version(headers, host(&url));
        let place = place(&url);
        let reader = Reader { team, place, hops };
        self.wire.fetched(response, &part, version, reader, &want)
    }
}

/// The answer that is no redirect, and the way there.
struct Answer {
    response: Response,
    url: Url,
    hops: Vec<Hop>,
}

fn redirected(from: &Url, response: &Response) -> Result<Url, AttachmentFault> {
    let status = response.status().as_u16();
    let nowhere = || {
        let message = format!("{} answered {status} without a place to go to", host(from));
        AttachmentFault::new(Code::HttpStatus, message).with_status(status)
    };
    let location = answer::location(response.headers()).filter(|location| location.len() <= URL_BYTES_MAX);
    let mut next = from.join(location.ok_or_else(nowhere)?).map_err(|_| nowhere())?;
    let downgraded = from.scheme() == "https" && next.scheme() == "http";
    if downgraded || !matches!(next.scheme(), "http" | "https") {
        let message = format!("{}: redirects to scheme {} are not followed", host(from), next.scheme());
        return Err(AttachmentFault::new(Code::UnsupportedScheme, message).with_status(status));
    }
    // Credentials go to the host that they were written for, in the URL that we were given. Both setters refuse only URLs
    // without a host, which no http URL is.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    if next.as_str().len() > URL_BYTES_MAX {
        return Err(nowhere());
    }
    Ok(next)
}

fn place(url: &Url) -> Place {
    Place::Host(host(url).trim_end_matches('.').to_owned())
}
