//! Checks what a team granted on AWS: its role, its buckets, and whether browsers may read them.
//!
//! The role is tried three times: with the team's external id, without any and with a random one. Only a plain refusal counts
//! as one. A bucket is asked for its region, its list and one object ([`bucket`]); where its list is shut, nothing but an
//! object's own name would show more, and then it is said so. Nothing is ever written.

mod bucket;
mod cors;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::S3Fetcher;
use super::ask::Asked;
use crate::domain::access::{AwsReading, AwsRole, Grant};
use crate::domain::fault::Code;
use crate::domain::integration::{CheckName, Cloud, Finding, Verdict};
use crate::domain::source::{Place, Source};
use crate::domain::team::AwsGrant;
use crate::ports::credentials::{AwsRoles, RoleTried};
use crate::ports::integrations::{CheckAsked, IntegrationChecks};

/// Checks integrations with AWS.
pub struct AwsChecks {
    s3: Arc<S3Fetcher>,
    roles: Arc<dyn AwsRoles>,
}

/// What checking the role showed of the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    /// It lets us in, or is the worker's own.
    Open,
    /// It does not.
    Shut,
}

impl AwsChecks {
    /// Checks by way of a fetcher and of whoever tries roles.
    #[must_use]
    pub fn new(s3: Arc<S3Fetcher>, roles: Arc<dyn AwsRoles>) -> Self {
        Self { s3, roles }
    }

    async fn role(&self, asked: &CheckAsked, grant: &AwsGrant, role_arn: &str) -> (Door, Vec<Finding>) {
        let tried = self.roles.try_role(&asked.team.id, role_arn, grant.external_id.as_deref()).await;
        let (door, verdict, message) = match tried {
            RoleTried::LetIn => (Door::Open, Verdict::Good, format!("{role_arn} lets us in")),
            RoleTried::Refused => {
                let message = format!(
                    "{role_arn} refuses us: its trust policy must let our identity assume it with the team's external id; \
                     `longshore team onboard {} --cloud aws` prints it",
                    asked.team.id
                );
                (Door::Shut, Verdict::Bad, message)
            }
            RoleTried::Unclear(fault) => {
                let is_theirs = fault.code == Code::IntegrationBroken;
                let verdict = if is_theirs { Verdict::Bad } else { Verdict::Unproven };
                (Door::Shut, verdict, format!("{role_arn} could not be tried: {}", fault.message))
            }
        };
        let mut findings = vec![Finding::new(CheckName::RoleCanBeAssumed, verdict, message)];
        if grant.external_id.is_some() {
            findings.push(self.external_id(asked, role_arn, door).await);
        }
        (door, findings)
    }

    /// Whether the role asks for the team's external id and for no other.
    async fn external_id(&self, asked: &CheckAsked, role_arn: &str, door: Door) -> Finding {
        let found = |verdict, message: String| Finding::new(CheckName::ExternalIdRequired, verdict, message);
        let random = Uuid::new_v4().to_string();
        let tries = [("without an external id", None), ("with a made-up external id", Some(random.as_str()))];
        for (how, id) in tries {
            match self.roles.try_role(&asked.team.id, role_arn, id).await {
                RoleTried::Refused => {}
                RoleTried::LetIn => {
                    let message = format!(
                        "External ID configured insecurely: {role_arn} lets us in {how}, and so for any other customer; its \
                         trust policy needs the condition StringEquals sts:ExternalId with the team's id. The role is not used \
                         until then"
                    );
                    return found(Verdict::Bad, message);
                }
                RoleTried::Unclear(fault) => {
                    return found(Verdict::Unproven, format!("{role_arn} could not be tried {how}: {}", fault.message));
                }
            }
        }
        match door {
            Door::Open => found(Verdict::Good, format!("{role_arn} lets nobody in without the team's external id")),
            Door::Shut => {
                let message = "not shown while the role cannot be assumed with the right id: it refuses everybody";
                found(Verdict::Unproven, message.to_owned())
            }
        }
    }

    /// What is asked of one bucket, with the rights that would read it.
    fn asked(asked: &CheckAsked, grant: &AwsGrant, bucket: &str, key: &str) -> Asked {
        let reading = AwsReading {
            expected_owner: grant.bucket_owner.clone(),
            regions: grant.regions.clone(),
            requester_pays: grant.requester_pays,
        };
        let used = match grant.role_arn.clone() {
            Some(role_arn) => {
                let external_id = grant.external_id.clone();
                Grant::AwsRole(AwsRole { role_arn, external_id, reading: reading.clone() })
            }
            None => Grant::AwsOwn(reading.clone()),
        };
        let source = Source::S3 { bucket: bucket.to_owned(), key: key.to_owned(), pin: None, region: None };
        let place: Place = source.place();
        Asked {
            team: Arc::clone(&asked.team),
            grant: used,
            reading,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            pin: None,
            region: None,
            place,
        }
    }
}

#[async_trait]
impl IntegrationChecks for AwsChecks {
    fn cloud(&self) -> Cloud {
        Cloud::Aws
    }

    async fn check(&self, asked: &CheckAsked) -> Vec<Finding> {
        let Some(grant) = &asked.team.record.aws else { return Vec::new() };
        let (door, mut findings) = match &grant.role_arn {
            Some(role_arn) => self.role(asked, grant, role_arn).await,
            None => (Door::Open, Vec::new()),
        };
        for bucket in &asked.places {
            findings.extend(match door {
                Door::Open => self.s3.check_bucket(&Self::asked(asked, grant, bucket, &made_up_key())).await,
                Door::Shut => {
                    let message = "not looked at, since the role cannot be assumed";
                    vec![Finding::about(CheckName::BucketReadable, bucket, Verdict::Unproven, message)]
                }
            });
        }
        if let Some(origin) = &asked.cors_origin {
            for (bucket, key) in places(asked) {
                findings.push(match door {
                    Door::Open => self.s3.check_cors(&Self::asked(asked, grant, &bucket, &key), origin).await,
                    Door::Shut => {
                        let message = "not looked at, since the role cannot be assumed";
                        Finding::about(CheckName::Cors, &bucket, Verdict::Unproven, message)
                    }
                });
            }
        }
        findings
    }
}

/// Each bucket once, with a key in it.
fn places(asked: &CheckAsked) -> Vec<(String, String)> {
    let mut places: Vec<(String, String)> = asked.places.iter().map(|bucket| (bucket.clone(), made_up_key())).collect();
    for object in &asked.objects {
        if let Source::S3 { bucket, key, .. } = object
            && places.iter().all(|(known, _)| known != bucket)
        {
            places.push((bucket.clone(), key.clone()));
        }
    }
    places
}

/// A key that no object has.
fn made_up_key() -> String {
    format!("longshore-check-{}", Uuid::new_v4())
}
