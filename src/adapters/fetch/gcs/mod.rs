//! Fetches objects from Google Cloud Storage: located, with the grant's token, and read down the same path as every other
//! source.
//!
//! A token is asked for before each request, so that a download outlives the one that it began with; one that Google calls
//! ended is replaced once. What was begun goes on with the very generation that it began with. No redirect is followed, and
//! no token goes to another host than the service's own. A refusal is looked into before it is reported: [`proof`].

mod announced;
mod ask;
mod check;
mod place;
mod proof;
mod refusal;

use std::sync::Arc;

use async_trait::async_trait;
use rustls::RootCertStore;
use url::Url;

use self::announced::Sums;
use self::ask::Asked;
use self::place::Service;
use self::refusal::{Meaning, Refusal};
use super::address_guard::AddressGuard;
use super::answer::{self, Coding};
use super::client::{self, ClientError};
use super::http_options::HttpOptions;
use super::part::Part;
use super::resolve::{Names, SystemNames};
use super::wire::{Reader, Wire};
use crate::adapters::fetch::part::is_judged;
use crate::adapters::fetch::worded::WORDS_BYTES_MAX;
use crate::domain::access::Grant;
use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::ports::budget::Budget;
use crate::ports::credentials::{GcpCredentials, GcpToken};
use crate::ports::fetcher::{FetchRequest, Fetched, Fetcher, Hop, Want};

pub use check::GcsChecks;

/// What the operator sets for Google Cloud Storage as a source.
#[derive(Debug, Clone, Default)]
pub struct GcsSourceOptions {
    /// An emulator or private endpoint; not set: Google's.
    pub endpoint_url: Option<Url>,
    /// Limits and permissions as for plain sources; `allow_networks` is that of these sources, and the endpoint passes by
    /// itself. Redirects and plain http play no part.
    pub http: HttpOptions,
}

/// Fetches objects from Google Cloud Storage.
pub struct GcsFetcher {
    wire: Wire,
    service: Service,
    credentials: Arc<dyn GcpCredentials>,
}

impl GcsFetcher {
    /// A fetcher with the system's resolver and trusted certificates. Reads the latter from files: once, at the start.
    ///
    /// # Errors
    /// [`ClientError`] if the machine's TLS set-up is unusable.
    pub fn new(
        options: GcsSourceOptions, credentials: Arc<dyn GcpCredentials>, budget: Arc<dyn Budget>,
    ) -> Result<Self, ClientError> {
        let names = Arc::new(SystemNames::default());
        Self::with(options, credentials, budget, names, client::system_roots())
    }

    /// The same with another resolver and other trusted certificates.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        options: GcsSourceOptions, credentials: Arc<dyn GcpCredentials>, budget: Arc<dyn Budget>,
        names: Arc<dyn Names>, roots: RootCertStore,
    ) -> Result<Self, ClientError> {
        let GcsSourceOptions { endpoint_url, http } = options;
        let guard = match endpoint_url {
            // The operator's own endpoint is the only host that is ever connected to.
            Some(_) => AddressGuard::open(),
            None => AddressGuard::new(http.allow_networks.clone()),
        };
        let service = Service::new(endpoint_url);
        Ok(Self { wire: Wire::new(http, guard, budget, names, roots)?, service, credentials })
    }

    /// Opens the object, with one change of token at most.
    async fn answer(&self, asked: &Asked, want: &Want) -> Result<Fetched, AttachmentFault> {
        let (mut renewed, mut hops) = (false, Vec::new());
        loop {
            let token = self.credentials.token(asked.usage()).await?;
            let response = self.send(asked, &token, &asked.object(want)?, &mut hops).await?;
            let status = response.status().as_u16();
            if is_judged(status, want) {
                return self.fetched(asked, response, hops, want);
            }
            let headers = response.headers().clone();
            let refusal = Refusal::new(status, headers, &self.wire.words(response, WORDS_BYTES_MAX).await);
            match refusal.meaning() {
                Meaning::TokenEnded if !renewed => {
                    renewed = true;
                    self.credentials.refused(asked.usage(), &token).await;
                }
                meaning => return Err(self.explain(asked, &token, &refusal, meaning, want).await),
            }
        }
    }

    fn fetched(
        &self, asked: &Asked, response: reqwest::Response, hops: Vec<Hop>, want: &Want,
    ) -> Result<Fetched, AttachmentFault> {
        let (status, headers) = (response.status().as_u16(), response.headers());
        let host = format!("gs://{}", asked.bucket);
        let version = answer::gcs_version(headers);
        let mut part = Part::of(status, headers, &host, &same_generation(want, &version, &host)?)?;
        let sums = Sums::of(headers, part.coding);
        part.announced = sums.sent.clone();
        part.ranges = offers_ranges(headers) && sums.is_as_stored;
        let reader = Reader { team: Arc::clone(&asked.team), place: asked.place.clone(), hops };
        let (resumable, coding) = (part.ranges && version.pin().is_some(), part.coding);
        let fetched = self.wire.fetched(response, &part, version, reader, want)?;
        Ok(match coding {
            Coding::Identity => Fetched { resumable, ..fetched },
            Coding::Gzip | Coding::Zstd => Fetched { announced: sums.decoded, ..fetched },
        })
    }

    /// What the attachment's fault is, once a refusal could not be helped.
    async fn explain(
        &self, asked: &Asked, token: &GcpToken, refusal: &Refusal, meaning: Meaning, want: &Want,
    ) -> AttachmentFault {
        let fault = |code, words| refusal.fault(&asked.bucket, code, words);
        match meaning {
            Meaning::Gone(_) if is_pinned(want) && self.is_there(asked, token).await => {
                fault(Code::ChecksumMismatch, "the object changed while it was read")
            }
            Meaning::Gone(words) => fault(Code::NotFound, words),
            Meaning::Final(code, words) => fault(code, words),
            Meaning::TokenEnded => match asked.grant {
                Grant::GcpAccount(_) => {
                    fault(Code::IntegrationBroken, "new tokens of the team's service account were refused")
                }
                Grant::GcpOwn | Grant::AwsRole(_) | Grant::AwsOwn(_) | Grant::AzureTenant(_) | Grant::None => {
                    fault(Code::Unavailable, "the worker's own tokens were refused")
                }
            },
            // Nobody is told of a HEAD's fault: what it means is asked when the body is wanted.
            Meaning::Denied | Meaning::Pays if *want == Want::Head => fault(Code::AccessDeniedOrMissing, "refused"),
            Meaning::Denied => {
                let (code, words) = self.prove_denied(asked, token).await;
                fault(code, words)
            }
            Meaning::Pays => {
                let (code, words) = self.prove_pays(asked, token).await;
                fault(code, words)
            }
        }
    }
}

#[async_trait]
impl Fetcher for GcsFetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let asked = Asked::of(&request)?;
        self.answer(&asked, &request.want).await
    }

    async fn forget(&self, team: &TeamId) {
        self.credentials.forget(team).await;
    }
}

/// Whether the rest of one generation is wanted.
fn is_pinned(want: &Want) -> bool {
    matches!(want, Want::Rest { version, .. } if version.version.is_some())
}

/// What is wanted, told by the ETag of an answer that is of the generation that is wanted. An ETag alone would not do: a mere
/// change of an object's metadata may change it, and the bytes go on.
fn same_generation(want: &Want, found: &SourceVersion, host: &str) -> Result<Want, AttachmentFault> {
    match want {
        Want::Rest { from, version } if version.version.is_some() => {
            // A refusal names no generation; the status will tell.
            if found.version.is_some() && found.version != version.version {
                let message = format!("{host}: the object changed while it was read");
                return Err(AttachmentFault::new(Code::ChecksumMismatch, message));
            }
            Ok(Want::Rest { from: *from, version: SourceVersion { etag: found.etag.clone(), ..version.clone() } })
        }
        Want::Rest { .. } | Want::Body | Want::Head => Ok(want.clone()),
    }
}

/// Whether ranges of this object are given: always, unless the answer says otherwise.
fn offers_ranges(headers: &reqwest::header::HeaderMap) -> bool {
    answer::text(headers, reqwest::header::ACCEPT_RANGES).is_none_or(|units| units.eq_ignore_ascii_case("bytes"))
}
