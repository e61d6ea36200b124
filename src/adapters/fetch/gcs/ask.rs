//! One question to a bucket: what is asked, for whom, and how it is sent.

use std::sync::Arc;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, IF_MATCH, RANGE};
use reqwest::{Method, Response};

use super::GcsFetcher;
use super::place::Target;
use crate::adapters::fetch::part;
use crate::adapters::fetch::part::quoted;
use crate::adapters::fetch::wire::{bearer, hop};
use crate::domain::access::Grant;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::{Pin, Place, Source};
use crate::domain::team::KnownTeam;
use crate::ports::credentials::{GcpToken, GcpUse};
use crate::ports::fetcher::{FetchRequest, Hop, Want};

/// What a fetch is about.
pub(super) struct Asked {
    pub(super) team: Arc<KnownTeam>,
    pub(super) grant: Grant,
    /// Who pays where the bucket wants its readers to.
    pub(super) user_project: Option<String>,
    pub(super) bucket: String,
    pub(super) object: String,
    pub(super) pin: Option<Pin>,
    pub(super) place: Place,
}

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) fields: HeaderMap,
}

impl Asked {
    /// Reads a request to fetch.
    ///
    /// # Errors
    /// `integration_missing` where no grant of Google's came along.
    pub(super) fn of(request: &FetchRequest) -> Result<Self, AttachmentFault> {
        let Source::Gcs { bucket, object, pin } = &request.source else {
            let message = "only objects of Google Cloud Storage are fetched here";
            return Err(AttachmentFault::new(Code::UnsupportedScheme, message));
        };
        let user_project = match &request.grant {
            Grant::GcpAccount(account) => account.user_project.clone(),
            Grant::GcpOwn => None,
            Grant::None | Grant::AwsRole(_) | Grant::AwsOwn(_) | Grant::AzureTenant(_) => {
                let message = format!("no grant of the team covers gs://{bucket}");
                return Err(AttachmentFault::new(Code::IntegrationMissing, message));
            }
        };
        Ok(Self {
            team: Arc::clone(&request.team),
            grant: request.grant.clone(),
            user_project,
            bucket: bucket.clone(),
            object: object.clone(),
            pin: pin.clone(),
            place: request.source.place(),
        })
    }

    pub(super) fn usage(&self) -> GcpUse<'_> {
        GcpUse { team: &self.team.id, grant: &self.grant }
    }

    /// The request for what is wanted of the object.
    ///
    /// # Errors
    /// `truncated` where the rest of a version is wanted that nothing names; `not_found` for a pin that no object can have.
    pub(super) fn object<'a>(&'a self, want: &'a Want) -> Result<Ask<'a>, AttachmentFault> {
        let (mut fields, mut query) = (HeaderMap::new(), Vec::new());
        match (want, &self.pin) {
            (Want::Rest { from, version }, _) if version.version.is_some() => {
                let range = HeaderValue::from_str(&format!("bytes={from}-")).expect("digits fit a field");
                fields.insert(RANGE, range);
                query.extend(version.version.as_deref().map(|generation| ("generation", generation)));
            }
            // Of an object without a generation the rest has its own condition: the very ETag that the beginning had.
            (Want::Rest { .. }, _) => fields = part::range_fields(want)?,
            (Want::Body | Want::Head, Some(Pin::Version(generation))) => query.push(("generation", generation)),
            (Want::Body | Want::Head, Some(Pin::Etag(etag))) => {
                fields.insert(IF_MATCH, quoted(etag)?);
            }
            (Want::Body | Want::Head, None) => {}
        }
        let method = match want {
            Want::Head => Method::HEAD,
            Want::Body | Want::Rest { .. } => Method::GET,
        };
        // Else an object that is stored compressed is unpacked on its way, and nothing tells whether its bytes are right.
        fields.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        Ok(Ask { method, target: Target::Object(&self.object), query, fields })
    }

    /// The request for the first name in the bucket's list that begins with the object's: if it is there, the object's own.
    /// Without an object it is the first of all.
    pub(super) fn list(&self) -> Ask<'_> {
        let query =
            vec![("fields", "items(name),nextPageToken"), ("maxResults", "1"), ("prefix", self.object.as_str())];
        Ask { method: Method::GET, target: Target::List, query, fields: HeaderMap::new() }
    }
}

impl GcsFetcher {
    /// Sends one request with the token, paid for on the bucket.
    pub(super) async fn send(
        &self, asked: &Asked, token: &GcpToken, ask: &Ask<'_>, hops: &mut Vec<Hop>,
    ) -> Result<Response, AttachmentFault> {
        let url = self.service.locate(&asked.bucket, ask.target, &ask.query)?;
        self.wire.budget.request(&asked.team, &asked.place).await;
        let mut fields = ask.fields.clone();
        fields.insert(AUTHORIZATION, bearer(&token.0)?);
        // The teams' directory takes only names of projects, which fit a field.
        let project = asked.user_project.as_deref().and_then(|project| HeaderValue::from_str(project).ok());
        if let Some(project) = project {
            fields.insert("x-goog-user-project", project);
        }
        let response = self.wire.send(ask.method.clone(), &url, fields).await?;
        hops.push(hop(&url, &response));
        Ok(response)
    }
}
