//! What a team granted on a cloud, as checks see it: what is checked, what was found, and when it was last looked at.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::access::{ClaimKind, Claimed, Grant};
use super::digest::Sha256;
use super::fault::Code;
use super::id::TeamId;
use super::object_key::Key;
use super::team::{AwsGrant, Team};

/// Where something was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cloud {
    /// Amazon's.
    Aws,
    /// Google's.
    Gcp,
    /// Microsoft's.
    Azure,
    /// Nowhere: plain URLs.
    Http,
}

impl Cloud {
    /// The clouds on which something can be granted.
    pub const GRANTING: [Self; 3] = [Self::Aws, Self::Gcp, Self::Azure];

    /// The cloud's short name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
            Self::Http => "http",
        }
    }

    /// What shows whether the integration works at all.
    #[must_use]
    pub fn first_check(self) -> CheckName {
        match self {
            Self::Aws => CheckName::RoleCanBeAssumed,
            Self::Gcp => CheckName::CanImpersonate,
            Self::Azure => CheckName::TokenIssued,
            Self::Http => CheckName::ObjectReadable,
        }
    }

    /// What shows whether one bucket, or storage account, can be read.
    #[must_use]
    pub fn place_check(self) -> CheckName {
        match self {
            Self::Aws | Self::Gcp => CheckName::BucketReadable,
            Self::Azure => CheckName::ContainerReadable,
            Self::Http => CheckName::ObjectReadable,
        }
    }
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The team's role lets us in with its external id.
    RoleCanBeAssumed,
    /// It does not without it, nor with another.
    ExternalIdRequired,
    /// Objects of a bucket can be read.
    BucketReadable,
    /// The bucket is in a region that the team lists.
    RegionAllowed,
    /// The service account can be impersonated.
    CanImpersonate,
    /// The team's uid is a part of its name.
    UidInName,
    /// The tenant gives us a token.
    TokenIssued,
    /// The token is that tenant's.
    TenantPinned,
    /// Blobs of a container can be read.
    ContainerReadable,
    /// One named object can be read.
    ObjectReadable,
    /// Browsers of an origin may read the bucket.
    Cors,
}

impl CheckName {
    /// The check's name as it is promised.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoleCanBeAssumed => "role_can_be_assumed",
            Self::ExternalIdRequired => "external_id_required",
            Self::BucketReadable => "bucket_readable",
            Self::RegionAllowed => "region_allowed",
            Self::CanImpersonate => "can_impersonate",
            Self::UidInName => "uid_in_name",
            Self::TokenIssued => "token_issued",
            Self::TenantPinned => "tenant_pinned",
            Self::ContainerReadable => "container_readable",
            Self::ObjectReadable => "object_readable",
            Self::Cors => "cors",
        }
    }

    /// Whether it is checked again every day; the others were asked for once.
    #[must_use]
    pub fn is_standing(self) -> bool {
        !matches!(self, Self::ObjectReadable | Self::Cors)
    }
}

/// What a check shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as it should be.
    Good,
    /// It is not.
    Bad,
    /// Neither was shown, which is no success.
    Unproven,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub name: CheckName,
    /// The bucket or URL, where it is about one.
    pub subject: Option<String>,
    /// What it shows.
    pub verdict: Verdict,
    /// What to do, or that all is well.
    pub message: String,
}

impl Finding {
    /// A finding about the integration as a whole.
    #[must_use]
    pub fn new(name: CheckName, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { name, subject: None, verdict, message: message.into() }
    }

    /// A finding about one bucket or URL.
    #[must_use]
    pub fn about(name: CheckName, subject: &str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self { subject: Some(subject.to_owned()), ..Self::new(name, verdict, message) }
    }
}

/// Everything that was found of one integration at one time, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Where.
    pub integration: Cloud,
    /// What was granted then: another grant needs a check of its own.
    pub grant: Sha256,
    /// When.
    pub checked_at: Timestamp,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Whether something that should always hold does not.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.findings.iter().any(|finding| finding.name.is_standing() && finding.verdict == Verdict::Bad)
    }

    /// Whether the role was seen to let us in without its external id: anybody who knows its name could be let in by us.
    #[must_use]
    pub fn shows_open_role(&self) -> bool {
        let is_open = |found: &Finding| found.name == CheckName::ExternalIdRequired && found.verdict == Verdict::Bad;
        self.findings.iter().any(is_open)
    }
}

/// Where the last report of a team's integration stands.
#[must_use]
pub fn report_key(team: &TeamId, cloud: Cloud) -> Key {
    Key::new(format!("{team}/state/checks/{}.json", cloud.as_str()))
}

/// Where replicas say that they are at a team's checks.
#[must_use]
pub fn turn_key(team: &TeamId) -> Key {
    Key::new(format!("{team}/state/checks/turn.json"))
}

/// Where the ids stand that were made for a team when it was invited.
#[must_use]
pub fn invitation_key(team: &TeamId) -> Key {
    Key::new(format!("{team}/state/onboarding.json"))
}

impl AwsGrant {
    /// What tells this role with this external id from any other.
    #[must_use]
    pub fn mark(&self) -> Sha256 {
        let role = self.role_arn.as_deref().unwrap_or_default();
        let id = self.external_id.as_deref().unwrap_or_default();
        Sha256::of_parts(&[b"aws", role.as_bytes(), id.as_bytes()])
    }
}

impl Team {
    /// What the team granted on a cloud, told from any other grant; `None` where it granted nothing.
    #[must_use]
    pub fn grant_mark(&self, cloud: Cloud) -> Option<Sha256> {
        match cloud {
            Cloud::Aws => self.aws.as_ref().map(AwsGrant::mark),
            Cloud::Gcp => self.gcp.as_ref().map(|grant| {
                let account = grant.service_account.as_deref().unwrap_or_default();
                Sha256::of_parts(&[b"gcp", account.as_bytes()])
            }),
            Cloud::Azure => self.azure.as_ref().map(|grant| Sha256::of_parts(&[b"azure", grant.tenant_id.as_bytes()])),
            Cloud::Http => None,
        }
    }

    /// What the integration as a whole uses, which must be the team's own before it is checked.
    #[must_use]
    pub fn names_of(&self, cloud: Cloud) -> Vec<Claimed> {
        let names: Vec<(ClaimKind, Option<&String>)> = match cloud {
            Cloud::Aws => self
                .aws
                .iter()
                .flat_map(|grant| {
                    [(ClaimKind::Role, grant.role_arn.as_ref()), (ClaimKind::ExternalId, grant.external_id.as_ref())]
                })
                .collect(),
            Cloud::Gcp => self
                .gcp
                .iter()
                .flat_map(|grant| {
                    [(ClaimKind::ServiceAccount, grant.service_account.as_ref()), (ClaimKind::Uid, grant.uid.as_ref())]
                })
                .collect(),
            Cloud::Azure => self.azure.iter().map(|grant| (ClaimKind::Tenant, Some(&grant.tenant_id))).collect(),
            Cloud::Http => Vec::new(),
        };
        let claimed = |(kind, name): (ClaimKind, Option<&String>)| {
            name.map(|name| Claimed { kind, name: name.clone(), refusal: Code::IntegrationBroken })
        };
        names.into_iter().filter_map(claimed).collect()
    }

    /// The buckets, or storage accounts, that the record lists by their exact names: those that can be checked.
    #[must_use]
    pub fn places_of(&self, cloud: Cloud) -> Vec<Claimed> {
        let (kind, prefix, names) = match cloud {
            Cloud::Aws => (ClaimKind::Bucket, "", self.aws.as_ref().map(|grant| &grant.buckets)),
            Cloud::Gcp => (ClaimKind::Bucket, "gs://", self.gcp.as_ref().map(|grant| &grant.buckets)),
            Cloud::Azure => (ClaimKind::Account, "", self.azure.as_ref().map(|grant| &grant.accounts)),
            Cloud::Http => (ClaimKind::Bucket, "", None),
        };
        let exact = names.into_iter().flatten().filter(|name| !name.contains('*'));
        exact.map(|name| Claimed { kind, name: format!("{prefix}{name}"), refusal: Code::BucketNotAllowed }).collect()
    }
}

impl Grant {
    /// Whose cloud the rights are of.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        match self {
            Self::AwsRole(_) | Self::AwsOwn(_) => Cloud::Aws,
            Self::GcpAccount(_) | Self::GcpOwn => Cloud::Gcp,
            Self::AzureTenant(_) => Cloud::Azure,
            Self::None => Cloud::Http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: &[(CheckName, Verdict)]) -> CheckReport {
        let findings = findings.iter().map(|(name, verdict)| Finding::new(*name, *verdict, "x")).collect();
        CheckReport { integration: Cloud::Aws, grant: Sha256::of(b"g"), checked_at: Timestamp::UNIX_EPOCH, findings }
    }

    #[test]
    fn only_what_was_shown_to_be_wrong_breaks_an_integration() {
        for (findings, is_broken, is_open) in [
            (vec![(CheckName::RoleCanBeAssumed, Verdict::Good)], false, false),
            (vec![(CheckName::RoleCanBeAssumed, Verdict::Bad)], true, false),
            (vec![(CheckName::ExternalIdRequired, Verdict::Unproven)], false, false),
            (vec![(CheckName::ExternalIdRequired, Verdict::Bad)], true, true),
            // Asked for once, and nothing that must always hold.
            (vec![(CheckName::ObjectReadable, Verdict::Bad), (CheckName::Cors, Verdict::Bad)], false, false),
        ] {
            let report = report(&findings);
            assert_eq!((report.is_broken(), report.shows_open_role()), (is_broken, is_open), "{findings:?}");
        }
    }

    #[test]
    fn another_role_or_id_is_another_grant_and_patterns_name_no_bucket() {
        let grant = |role: &str, id: Option<&str>| AwsGrant {
            role_arn: Some(role.to_owned()),
            external_id: id.map(str::to_owned),
            buckets: vec!["raw".into(), "frames-*".into()],
            ..AwsGrant::default()
        };
        let mark = grant("r", Some("x")).mark();
        assert_eq!(mark, AwsGrant { buckets: Vec::new(), ..grant("r", Some("x")) }.mark());
        assert!(
            [grant("s", Some("x")), grant("r", Some("y")), grant("r", None)].iter().all(|other| other.mark() != mark)
        );
        let team = Team { aws: Some(grant("r", Some("x"))), ..Team::default() };
        let kinds = |claimed: Vec<Claimed>| claimed.into_iter().map(|one| (one.kind, one.name)).collect::<Vec<_>>();
        assert_eq!(kinds(team.places_of(Cloud::Aws)), [(ClaimKind::Bucket, "raw".to_owned())]);
        let names = [(ClaimKind::Role, "r".to_owned()), (ClaimKind::ExternalId, "x".to_owned())];
        assert_eq!(kinds(team.names_of(Cloud::Aws)), names);
        assert!(team.names_of(Cloud::Gcp).is_empty() && team.grant_mark(Cloud::Azure).is_none());
    }
}
