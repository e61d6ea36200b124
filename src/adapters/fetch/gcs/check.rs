//! Checks what a team granted on Google's cloud: that its service account may be impersonated and bears its uid, and that its
//! buckets can be read.
//!
//! A bucket's list names an object, which is then opened; an empty bucket answers for a made-up name that there is none. Where
//! the list is shut nothing but an object's own name would show more, and then it is said so. Nothing is ever written.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::GcsFetcher;
use crate::domain::access::Grant;
use crate::domain::access::gcp::{GcpAccount, problem_of_uid};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::integration::{CheckName, Cloud, Finding, Verdict};
use crate::domain::source::Source;
use crate::domain::team::GcpGrant;
use crate::ports::credentials::GcpUse;
use crate::ports::fetcher::{FetchRequest, Fetcher, Want};
use crate::ports::integrations::{CheckAsked, IntegrationChecks};

/// Checks integrations with Google's cloud.
pub struct GcsChecks {
    gcs: Arc<GcsFetcher>,
}

impl GcsChecks {
    /// Checks by way of a fetcher.
    #[must_use]
    pub fn new(gcs: Arc<GcsFetcher>) -> Self {
        Self { gcs }
    }

    /// The account that the team's buckets are read with, unless it may not be used; and what was found of it.
    async fn account(&self, asked: &CheckAsked, record: &GcpGrant) -> (Option<Grant>, Vec<Finding>) {
        let Some(service_account) = record.service_account.clone() else {
            return (Some(Grant::GcpOwn), Vec::new());
        };
        let uid = record.uid.clone().unwrap_or_default();
        let named = match problem_of_uid(&service_account, &uid) {
            None => {
                Finding::new(CheckName::UidInName, Verdict::Good, format!("{service_account} bears the team's uid"))
            }
            Some(problem) => {
                let message = format!(
                    "the uid {problem}: `longshore team onboard {} --cloud gcp` tells how the account must be named",
                    asked.team.id
                );
                let unused = "not tried, since its name does not bear the team's uid";
                let tried = Finding::new(CheckName::CanImpersonate, Verdict::Unproven, unused);
                return (None, vec![Finding::new(CheckName::UidInName, Verdict::Bad, message), tried]);
            }
        };
        let user_project = record.user_project.clone();
        let grant = Grant::GcpAccount(GcpAccount { service_account: service_account.clone(), uid, user_project });
        let token = self.gcs.credentials.token(GcpUse { team: &asked.team.id, grant: &grant }).await;
        let (used, verdict, message) = match token {
            Ok(_) => (Some(grant), Verdict::Good, format!("{service_account} may be impersonated")),
            Err(fault) => {
                let message = format!(
                    "{service_account}: {}; grant our service account roles/iam.serviceAccountTokenCreator on it, as \
                     `longshore team onboard {} --cloud gcp` says",
                    fault.message, asked.team.id
                );
                (None, verdict_of(&fault), message)
            }
        };
        (used, vec![named, Finding::new(CheckName::CanImpersonate, verdict, message)])
    }

    async fn bucket(&self, asked: &CheckAsked, grant: &Grant, bucket: &str) -> (Verdict, String) {
        match self.gcs.any_object(&asked.team, grant, bucket).await {
            Ok(Some(object)) => match self.open(asked, grant, bucket, &object).await {
                Ok(()) => (Verdict::Good, format!("gs://{bucket}/{object} can be read")),
                Err(fault) if is_refusal(&fault) => {
                    let message = "the bucket's list is open, and its objects are not: grant storage.objects.get, as \
                                   roles/storage.objectViewer does";
                    (Verdict::Bad, message.to_owned())
                }
                Err(fault) => (verdict_of(&fault), fault.message),
            },
            Ok(None) => self.made_up(asked, grant, bucket, Verdict::Bad).await,
            // Whoever may not list may read all the same.
            Err(fault) if is_refusal(&fault) => self.made_up(asked, grant, bucket, Verdict::Unproven).await,
            Err(fault) => (verdict_of(&fault), fault.message),
        }
    }

    /// What an object that is not there shows; `refused` is what its refusal means.
    async fn made_up(&self, asked: &CheckAsked, grant: &Grant, bucket: &str, refused: Verdict) -> (Verdict, String) {
        let object = format!("longshore-check-{}", Uuid::new_v4());
        match self.open(asked, grant, bucket, &object).await {
            Ok(()) => (Verdict::Good, format!("gs://{bucket} can be read")),
            Err(fault) if fault.code == Code::NotFound => (Verdict::Good, format!("gs://{bucket} can be read")),
            Err(fault) if is_refusal(&fault) => {
                let message = format!(
                    "gs://{bucket} is refused, or its list is: grant the account roles/storage.objectViewer on it, or check an \
                     object with --url gs://{bucket}/OBJECT"
                );
                (refused, message)
            }
            Err(fault) => (verdict_of(&fault), fault.message),
        }
    }

    /// Opens an object, and lets its body go unread.
    async fn open(&self, asked: &CheckAsked, grant: &Grant, bucket: &str, object: &str) -> Result<(), AttachmentFault> {
        let source = Source::Gcs { bucket: bucket.to_owned(), object: object.to_owned(), pin: None };
        let request = FetchRequest { team: Arc::clone(&asked.team), source, grant: grant.clone(), want: Want::Body };
        self.gcs.open(request).await.map(drop)
    }
}

#[async_trait]
impl IntegrationChecks for GcsChecks {
    fn cloud(&self) -> Cloud {
        Cloud::Gcp
    }

    async fn check(&self, asked: &CheckAsked) -> Vec<Finding> {
        let Some(record) = &asked.team.record.gcp else { return Vec::new() };
        let (grant, mut findings) = self.account(asked, record).await;
        for bucket in &asked.places {
            let (verdict, message) = match &grant {
                Some(grant) => self.bucket(asked, grant, bucket).await,
                None => (Verdict::Unproven, "not looked at, since the service account cannot be used".to_owned()),
            };
            findings.push(Finding::about(CheckName::BucketReadable, bucket, verdict, message));
        }
        if asked.cors_origin.is_some() && !(asked.places.is_empty() && asked.objects.is_empty()) {
            let message =
                "pre-flight requests are made for buckets of S3 only: look at the bucket's CORS rules by hand";
            findings.push(Finding::new(CheckName::Cors, Verdict::Unproven, message));
        }
        findings
    }
}

fn is_refusal(fault: &AttachmentFault) -> bool {
    matches!(fault.code, Code::AccessDenied | Code::AccessDeniedOrMissing)
}

/// What passes shows nothing.
fn verdict_of(fault: &AttachmentFault) -> Verdict {
    if fault.code.is_transient() { Verdict::Unproven } else { Verdict::Bad }
}
