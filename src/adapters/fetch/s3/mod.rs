//! Fetches objects from S3: located, signed with the grant's keys, and read down the same path as every other source.
//!
//! Keys are asked for before each request, so that a download outlives the session that it began with; keys that S3 calls
//! ended are replaced once. A bucket's region is learned from the first answer that names it, and remembered. Nothing is
//! asked in a region that the team does not list, no redirect is followed, and no signature goes to a host that an answer
//! named: hosts are made of checked region names only. A refusal is looked into before it is reported: [`proof`].

mod address;
mod announced;
mod ask;
mod check;
mod proof;
mod refusal;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;
use reqwest::Method;
use rustls::RootCertStore;

use self::ask::{Asked, Spelling, Way};
use self::refusal::{Meaning, Refusal};
use super::address_guard::AddressGuard;
use super::client::{self, ClientError};
use super::http_options::HttpOptions;
use super::part::Part;
use super::resolve::{Names, SystemNames};
use super::wire::{Reader, Wire};
use super::{answer, part};
use crate::adapters::fetch::part::is_judged;
use crate::adapters::fetch::worded::WORDS_BYTES_MAX;
use crate::domain::access::Grant;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::ports::budget::Budget;
use crate::ports::credentials::AwsCredentials;
use crate::ports::fetcher::{FetchRequest, Fetched, Fetcher, Hop, Want};

pub use address::{Addressing, Region};
pub use check::AwsChecks;

/// Buckets whose regions are remembered at most…
const KEPT_REGIONS_MAX: u64 = 10_000;
/// …and for how long: a bucket may be made anew elsewhere.
const KEEP_REGION: Duration = Duration::from_secs(60 * 60);

/// What the operator sets for S3 sources.
#[derive(Debug, Clone)]
pub struct S3SourceOptions {
    /// How buckets are addressed.
    pub addressing: Addressing,
    /// The region that is asked first.
    pub region: Region,
    /// Limits and permissions as for plain sources; `allow_networks` is that of S3 sources, and the endpoint of
    /// [`Addressing::Endpoint`] passes by itself. Redirects and plain http play no part.
    pub http: HttpOptions,
}

/// Fetches objects from S3.
pub struct S3Fetcher {
    wire: Wire,
    addressing: Addressing,
    region: Region,
    regions: Cache<String, Region>,
    credentials: Arc<dyn AwsCredentials>,
}

impl S3Fetcher {
    /// A fetcher with the system's resolver and trusted certificates. Reads the latter from files: once, at the start.
    ///
    /// # Errors
    /// [`ClientError`] if the machine's TLS set-up is unusable.
    pub fn new(
        options: S3SourceOptions, credentials: Arc<dyn AwsCredentials>, budget: Arc<dyn Budget>,
    ) -> Result<Self, ClientError> {
        let names = Arc::new(SystemNames::default());
        Self::with(options, credentials, budget, names, client::system_roots())
    }

    /// The same with another resolver and other trusted certificates.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(
        options: S3SourceOptions, credentials: Arc<dyn AwsCredentials>, budget: Arc<dyn Budget>, names: Arc<dyn Names>,
        roots: RootCertStore,
    ) -> Result<Self, ClientError> {
        let S3SourceOptions { addressing, region, http } = options;
        let guard = match addressing.is_own() {
            // The operator's own endpoint is the only host that is ever connected to.
            true => AddressGuard::open(),
            false => AddressGuard::new(http.allow_networks.clone()),
        };
        let regions = Cache::builder().max_capacity(KEPT_REGIONS_MAX).time_to_live(KEEP_REGION).build();
        Ok(Self { wire: Wire::new(http, guard, budget, names, roots)?, addressing, region, regions, credentials })
    }

    /// The region to ask first: the one that is known, else of the one that the URL names and the usual one the first that the
    /// team allows, else one that it does.
    async fn first_region(&self, asked: &Asked) -> Region {
        if let Some(known) = self.regions.get(asked.bucket.as_str()).await {
            return known;
        }
        let usual = [asked.region.as_ref(), Some(&self.region)].into_iter().flatten();
        if let Some(allowed) = usual.into_iter().find(|region| asked.allows(region)) {
            return allowed.clone();
        }
        let mut listed = asked.reading.regions.iter();
        listed.find_map(|region| Region::parse(region)).unwrap_or_else(|| self.region.clone())
    }

    /// Opens the object, with one change of region and one of keys at most.
    async fn answer(&self, asked: &Asked, want: &Want) -> Result<Fetched, AttachmentFault> {
        let (mut readdressed, mut renewed, mut hops) = (false, false, Vec::new());
        let (mut region, mut spelling) = (self.first_region(asked).await, Spelling::OfTheKey);
        loop {
            let keys = self.credentials.keys(asked.usage()).await?;
            let way = Way { region, keys, spelling };
            let response = self.send(asked, &way, &asked.object(want)?, &mut hops).await?;
            let status = response.status().as_u16();
            if is_judged(status, want) {
                return self.fetched(asked, response, hops, want);
            }
            let headers = response.headers().clone();
            let refusal = Refusal::new(status, headers, &self.wire.words(response, WORDS_BYTES_MAX).await);
            match refusal.meaning() {
                Meaning::BadSignature if spelling == Spelling::OfTheKey && address::walks(&asked.key) => {
                    (region, spelling) = (way.region, Spelling::AsSent);
                }
                Meaning::OtherRegion if !readdressed => {
                    readdressed = true;
                    region = self.find_region(asked, &way, &refusal, &mut hops).await?;
                    self.regions.insert(asked.bucket.clone(), region.clone()).await;
                }
                Meaning::KeysEnded if !renewed => {
                    renewed = true;
                    self.credentials.refused(asked.usage(), &way.keys).await;
                    region = way.region;
                }
                meaning => return Err(self.explain(asked, &way, &refusal, meaning, want).await),
            }
        }
    }

    /// The region that the bucket is in, from what was said, else from asking for the bucket itself.
    async fn find_region(
        &self, asked: &Asked, way: &Way, refusal: &Refusal, hops: &mut Vec<Hop>,
    ) -> Result<Region, AttachmentFault> {
        if let Some(named) = refusal.region.clone().filter(|named| *named != way.region) {
            return Ok(named);
        }
        let response = self.send(asked, way, &asked.bucket_itself(Method::HEAD), hops).await?;
        let named = refusal::region_in(response.headers()).filter(|named| *named != way.region);
        let words = "the bucket is elsewhere, and its region is not told";
        named.ok_or_else(|| refusal.fault(&asked.bucket, Code::HttpStatus, words))
    }

    fn fetched(
        &self, asked: &Asked, response: reqwest::Response, hops: Vec<Hop>, want: &Want,
    ) -> Result<Fetched, AttachmentFault> {
        let (status, mut headers) = (response.status().as_u16(), response.headers().clone());
        announced::drop_upload_coding(&mut headers);
        let host = format!("s3://{}", asked.bucket);
        let mut part = Part::of(status, &headers, &host, want)?;
        part.announced = announced::of(&headers, &part);
        let version = answer::s3_version(&headers);
        let reader = Reader { team: Arc::clone(&asked.team), place: asked.place.clone(), hops };
        self.wire.fetched(response, &part, version, reader, want)
    }

    /// What the attachment's fault is, once a refusal could not be helped.
    async fn explain(
        &self, asked: &Asked, way: &Way, refusal: &Refusal, meaning: Meaning, want: &Want,
    ) -> AttachmentFault {
        let fault = |code, words| refusal.fault(&asked.bucket, code, words);
        match meaning {
            Meaning::Final(code, words) => fault(code, words),
            Meaning::BadSignature => fault(Code::Internal, "our signature was not understood"),
            Meaning::OtherRegion => fault(Code::HttpStatus, "the bucket sends us from region to region"),
            Meaning::KeysEnded => match asked.grant {
                Grant::AwsRole(_) => fault(Code::IntegrationBroken, "new keys of the team's role were refused"),
                Grant::AwsOwn(_) | Grant::GcpAccount(_) | Grant::GcpOwn | Grant::AzureTenant(_) | Grant::None => {
                    fault(Code::Unavailable, "the worker's own keys were refused")
                }
            },
            // Nobody is told of a HEAD's fault: what it means is asked when the body is wanted.
            Meaning::Denied if *want == Want::Head => fault(Code::AccessDeniedOrMissing, "refused"),
            Meaning::Denied => {
                let (code, words) = self.prove(asked, way).await;
                fault(code, words)
            }
        }
    }
}

#[async_trait]
impl Fetcher for S3Fetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let asked = Asked::of(&request)?;
        self.answer(&asked, &request.want).await
    }

    async fn forget(&self, team: &TeamId) {
        self.credentials.forget(team).await;
    }
}
