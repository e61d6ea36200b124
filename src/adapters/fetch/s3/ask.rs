//! One question to a bucket: what is asked, for whom, and how it is sent.

use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, Response};

use super::address::{Region, Target};
use super::sign::Signing;
use super::{S3Fetcher, part};
use crate::adapters::fetch::part::quoted;
use crate::adapters::fetch::wire::hop;
use crate::domain::access::{AwsReading, Grant};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::{Pin, Place, Source};
use crate::domain::team::KnownTeam;
use crate::ports::clock::Clock;
use crate::ports::credentials::{AwsKeys, AwsUse};
use crate::ports::fetcher::{FetchRequest, Hop, Want};

/// What a fetch is about.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) team: Arc<KnownTeam>,
    pub(super) grant: Grant,
    pub(super) reading: AwsReading,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) pin: Option<Pin>,
    /// The region that the source's URL named.
    pub(super) region: Option<Region>,
    pub(super) place: Place,
}

/// Where a request goes and who signs it.
pub(super) struct Way {
    pub(super) region: Region,
    pub(super) keys: Arc<AwsKeys>,
    pub(super) spelling: Spelling,
}

/// Which spelling of the path is signed; they differ only for keys that [walk](super::address::walks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// The key's own.
    OfTheKey,
    /// The one that is sent.
    AsSent,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) key: Option<&'a str>,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) fields: HeaderMap,
}

impl Asked {
    /// Reads a request to fetch.
    ///
    /// # Errors
    /// `integration_missing` where no grant of AWS's came along.
    pub(super) fn of(request: &FetchRequest) -> Result<Self, AttachmentFault> {
        let Source::S3 { bucket, key, pin, region } = &request.source else {
            let message = "only objects of S3 are fetched here";
            return Err(AttachmentFault::new(Code::UnsupportedScheme, message));
        };
        let reading = match &request.grant {
            Grant::AwsRole(role) => role.reading.clone(),
            Grant::AwsOwn(reading) => reading.clone(),
            Grant::None | Grant::GcpAccount(_) | Grant::GcpOwn | Grant::AzureTenant(_) => {
                let message = format!("no grant of the team covers s3://{bucket}");
                return Err(AttachmentFault::new(Code::IntegrationMissing, message));
            }
        };
        Ok(Self {
            team: Arc::clone(&request.team),
            grant: request.grant.clone(),
            reading,
            bucket: bucket.clone(),
            key: key.clone(),
            pin: pin.clone(),
            region: region.as_deref().and_then(Region::parse),
            place: request.source.place(),
        })
    }

    pub(super) fn usage(&self) -> AwsUse<'_> {
        AwsUse { team: &self.team.id, grant: &self.grant, bucket: &self.bucket }
    }

    /// Whether the team's buckets may be in this region.
    pub(super) fn allows(&self, region: &Region) -> bool {
        let regions = &self.reading.regions;
        regions.is_empty() || regions.iter().any(|listed| listed == region.as_str())
    }

    /// The request for what is wanted of the object.
    ///
    /// # Errors
    /// `truncated` where the rest of a version is wanted that nothing names; `not_found` for a pin that no object can have.
    pub(super) fn object(&self, want: &Want) -> Result<Ask<'_>, AttachmentFault> {
        let mut fields = part::range_fields(want)?;
        let mut query = Vec::new();
        match &self.pin {
            Some(Pin::Version(version)) => query.push(("versionId", version.as_str())),
            Some(Pin::Etag(etag)) if *want == Want::Body || *want == Want::Head => {
                fields.insert(IF_MATCH, quoted(etag)?);
            }
            // The rest of a body has its own condition: the very ETag that the pinned beginning had.
            Some(Pin::Etag(_)) | None => {}
        }
        let method = match want {
            Want::Head => Method::HEAD,
            Want::Body | Want::Rest { .. } => Method::GET,
        };
        if *want == Want::Body {
            fields.insert("x-amz-checksum-mode", HeaderValue::from_static("ENABLED"));
        }
        self.set_conditions(&mut fields);
        let key = Some(self.key.as_str());
        Ok(Ask { method, key, query, fields })
    }

    /// A request for the bucket itself.
    pub(super) fn bucket_itself(&self, method: Method) -> Ask<'_> {
        let mut fields = HeaderMap::new();
        self.set_conditions(&mut fields);
        Ask { method, key: None, query: Vec::new(), fields }
    }

    fn set_conditions(&self, fields: &mut HeaderMap) {
        // The teams' directory takes only 12 digits for an account, so that they fit a field.
        let owner = self.reading.expected_owner.as_deref();
        if let Some(owner) = owner.and_then(|owner| HeaderValue::from_str(owner).ok()) {
            fields.insert(EXPECTED_OWNER, owner);
        }
        if self.reading.requester_pays {
            fields.insert(REQUEST_PAYER, HeaderValue::from_static("requester"));
        }
    }
}

/// The field by which a bucket of another account refuses us.
pub(super) const EXPECTED_OWNER: &str = "x-amz-expected-bucket-owner";
/// The field by which a reader agrees to pay.
pub(super) const REQUEST_PAYER: &str = "x-amz-request-payer";

impl S3Fetcher {
    /// Sends one signed request, paid for on the bucket, in a region that the team allows.
    pub(super) async fn send(
        &self, asked: &Asked, way: &Way, ask: &Ask<'_>, hops: &mut Vec<Hop>,
    ) -> Result<Response, AttachmentFault> {
        let region = way.region.as_str();
        if !asked.allows(&way.region) {
            let message = format!("bucket {} is in region {region}, which the team does not list", asked.bucket);
            return Err(AttachmentFault::new(Code::BucketNotAllowed, message));
        }
        let target = Target { bucket: &asked.bucket, key: ask.key, query: &ask.query };
        let mut located = self.addressing.locate(&way.region, target)?;
        if way.spelling == Spelling::AsSent {
            located.signed_path = located.url.path().to_owned();
        }
        self.wire.budget.request(&asked.team, &asked.place).await;
        let mut fields = ask.fields.clone();
        let signing = Signing {
            method: ask.method.as_str(),
            located: &located,
            region,
            at: Clock::System.now(),
            keys: &way.keys,
        };
        let unusable = |_| AttachmentFault::new(Code::Internal, "the keys hold characters that no field can");
        signing.sign(&mut fields).map_err(unusable)?;
        let response = self.wire.send(ask.method.clone(), &located.url, fields).await?;
        hops.push(hop(&located.url, &response));
        Ok(response)
    }
}
