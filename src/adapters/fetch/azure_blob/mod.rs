//! Fetches blobs from Azure Storage: located, sent with a token of the grant's tenant, and read down the same path as every
//! other source.
//!
//! A token is asked for before each request, so that a download outlives the one that it began with; a token that storage
//! calls ended is replaced once. A token goes only to a host that we built of account and configured suffix: no redirect is
//! followed, and the tenant that a challenge names is never asked, since with one application for all customers it would be
//! somebody else's consent. Such a challenge is a refusal: [`challenge`].

mod address;
mod challenge;
mod check;
mod listing;
mod refusal;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Response};
use rustls::RootCertStore;

use self::refusal::{Meaning, Refusal};
use super::address_guard::AddressGuard;
use super::answer::{self, Coding};
use super::client::{self, ClientError};
use super::http_options::HttpOptions;
use super::part::{self, Part};
use super::resolve::{Names, SystemNames};
use super::wire::{Reader, Wire, bearer, hop};
use crate::adapters::fetch::part::is_judged;
use crate::adapters::fetch::worded::WORDS_BYTES_MAX;
use crate::domain::access::Grant;
use crate::domain::access::azure::AzureTenant;
use crate::domain::azure_blob::AzureBlob;
use crate::domain::crc::Crc;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::source::{Place, Source};
use crate::ports::budget::Budget;
use crate::ports::credentials::{AzureCredentials, AzureToken, AzureUse};
use crate::ports::fetcher::{Announced, FetchRequest, Fetched, Fetcher, Hop, Want};

pub use address::BlobAddressing;
pub use check::AzureChecks;

/// The version of the service's interface that is spoken. Tokens need 2017-11-09 or later, versions 2019-12-12.
const SERVICE_VERSION: HeaderValue = HeaderValue::from_static("2021-12-02");

/// What the operator sets for Azure sources.
#[derive(Debug, Clone)]
pub struct AzureSourceOptions {
    /// How blobs are addressed.
    pub addressing: BlobAddressing,
    /// Limits and permissions as for plain sources; `allow_networks` is that of Azure sources, and the endpoint of
    /// [`BlobAddressing::Endpoint`] passes by itself. Redirects and plain http play no part.
    pub http: HttpOptions,
}

/// Fetches blobs.
pub struct AzureFetcher {
    wire: Wire,
    addressing: BlobAddressing,
    credentials: Arc<dyn AzureCredentials>,
}

/// What a fetch is about.
struct Asked<'a> {
    request: &'a FetchRequest,
    blob: &'a AzureBlob,
    tenant: &'a AzureTenant,
    place: Place,
}

impl<'a> Asked<'a> {
    fn of(request: &'a FetchRequest) -> Result<Self, AttachmentFault> {
        let Source::AzureBlob(blob) = &request.source else {
            return Err(AttachmentFault::new(Code::UnsupportedScheme, "only Azure's blobs are fetched here"));
        };
        let tenant = match &request.grant {
            Grant::AzureTenant(tenant) => tenant,
            Grant::AwsRole(_) | Grant::AwsOwn(_) | Grant::GcpAccount(_) | Grant::GcpOwn | Grant::None => {
                let message = format!("no grant of the team covers {}", blob.host());
                return Err(AttachmentFault::new(Code::IntegrationMissing, message));
            }
        };
        Ok(Self { request, blob, tenant, place: request.source.place() })
    }

    fn usage(&self) -> AzureUse<'a> {
        AzureUse { team: &self.request.team.id, grant: &self.request.grant }
    }
}

impl AzureFetcher {
    /// A fetcher with the system's resolver and trusted certificates. Reads the latter from files: once, at the start.
    ///
    /// # Errors
    /// [`ClientError`] if the machine's TLS set-up is unusable.
    pub fn new(
        options: AzureSourceOptions, credentials: Arc<dyn AzureCredentials>, budget: Arc<dyn Budget>,
    ) -> Result<Self, ClientError> {
        Self::with(options, credentials, budget, Arc::new(SystemNames::default()), client::system_roots())
    }

    /// The same with another resolver and other trusted certificates.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        options: AzureSourceOptions, credentials: Arc<dyn AzureCredentials>, budget: Arc<dyn Budget>,
        names: Arc<dyn Names>, roots: RootCertStore,
    ) -> Result<Self, ClientError> {
        let AzureSourceOptions { addressing, http } = options;
        let guard = match &addressing {
            // The operator's own endpoint is the only host that is ever connected to.
            BlobAddressing::Endpoint(_) => AddressGuard::open(),
            BlobAddressing::Azure { .. } => AddressGuard::new(http.allow_networks.clone()),
        };
        Ok(Self { wire: Wire::new(http, guard, budget, names, roots)?, addressing, credentials })
    }

    /// Opens the blob, with one change of token at most.
    async fn answer(&self, asked: &Asked<'_>) -> Result<Fetched, AttachmentFault> {
        let (mut renewed, mut hops) = (false, Vec::new());
        loop {
            let token = self.credentials.token(asked.usage()).await?;
            let response = self.send(asked, &token, &mut hops).await?;
            if is_judged(response.status().as_u16(), &asked.request.want) {
                return self.fetched(asked, response, hops);
            }
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let refusal = Refusal::new(status, headers, &self.wire.words(response, WORDS_BYTES_MAX).await);
            let host = asked.blob.host();
            match refusal.meaning(&asked.tenant.id) {
                Meaning::TokenEnded if !renewed => {
                    renewed = true;
                    self.credentials.refused(asked.usage(), &token).await;
                }
                Meaning::TokenEnded => {
                    let words = "a new token of the team's tenant was refused";
                    return Err(refusal.fault(&host, Code::IntegrationBroken, words));
                }
                Meaning::Final(code, words) => return Err(refusal.fault(&host, code, words)),
            }
        }
    }

    /// Sends one request with the token, paid for on the storage account.
    async fn send(
        &self, asked: &Asked<'_>, token: &AzureToken, hops: &mut Vec<Hop>,
    ) -> Result<Response, AttachmentFault> {
        let want = &asked.request.want;
        let url = self.addressing.locate(asked.blob)?;
        let mut fields = part::range_fields(want)?;
        fields.insert(AUTHORIZATION, bearer(&token.0)?);
        fields.insert("x-ms-version", SERVICE_VERSION);
        let method = match want {
            Want::Head => Method::HEAD,
            Want::Body | Want::Rest { .. } => Method::GET,
        };
        self.wire.budget.request(&asked.request.team, &asked.place).await;
        let response = self.wire.send(method, &url, fields).await?;
        hops.push(hop(&url, &response));
        Ok(response)
    }

    fn fetched(&self, asked: &Asked<'_>, response: Response, hops: Vec<Hop>) -> Result<Fetched, AttachmentFault> {
        let (status, headers, want) = (response.status().as_u16(), response.headers(), &asked.request.want);
        let mut part = Part::of(status, headers, &asked.blob.host(), want)?;
        part.announced = announced(headers, &part, want);
        let version = answer::azure_version(headers);
        let reader = Reader { team: Arc::clone(&asked.request.team), place: asked.place.clone(), hops };
        self.wire.fetched(response, &part, version, reader, want)
    }
}

#[async_trait]
impl Fetcher for AzureFetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let asked = Asked::of(&request)?;
        self.answer(&asked).await
    }

    async fn forget(&self, team: &TeamId) {
        self.credentials.forget(team).await;
    }
}

/// The checksums of the whole content that came with an answer: the MD5 that the blob is stored with, and Azure's CRC-64, whose
/// polynomial and ways are those of CRC-64/NVME, its bytes in the other order.
fn announced(headers: &HeaderMap, part: &Part, want: &Want) -> Announced {
    let is_whole = *want == Want::Body && part.coding == Coding::Identity;
    let crc64 = answer::text(headers, "x-ms-content-crc64").filter(|_| is_whole);
    let sum = crc64.and_then(|sum| STANDARD.decode(sum).ok()?.try_into().ok());
    let crc = sum.map(|bytes| Crc::Crc64Nvme(u64::from_le_bytes(bytes)));
    Announced { crc, ..part.announced.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(fields: &[(&'static str, &'static str)], want: &Want) -> Announced {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let part = Part::of(200, &headers, "h", want).unwrap();
        announced(&headers, &part, want)
    }

    // The sum of "123456789" as in the catalogue of CRC algorithms, its bytes turned round.
    const CRC64: (&str, &str) = ("x-ms-content-crc64", "iJh5CoYUi64=");
    const MD5: (&str, &str) = ("content-md5", "kAFQmDzST7DWlj99KOF/cg==");

    #[test]
    fn sums_of_the_whole_are_taken() {
        let both = found(&[CRC64, MD5], &Want::Body);
        assert_eq!(both.crc, Some(Crc::Crc64Nvme(0xae8b_1486_0a79_9888)));
        assert_eq!(both.md5.map(|sum| sum[..2].to_vec()), Some(vec![0x90, 0x01]));
        assert_eq!(found(&[CRC64, ("content-encoding", "gzip")], &Want::Body).crc, None);
        assert_eq!(found(&[("x-ms-content-crc64", "AAAA")], &Want::Body).crc, None);
        assert_eq!(found(&[CRC64], &Want::Head).crc, None);
    }
}
