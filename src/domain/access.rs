//! With whose rights a source is read: one rule decides, and there is never a fall-back to a weaker identity.
//!
//! `s3://` is read with the team's role if it has one, and then only with that role; without a role with the worker's own
//! identity, as far as the deployment's cross-account rule allows. `gs://` likewise: [`gcp`]. Blobs in Azure Storage are read
//! with the consent of the team's own tenant: [`azure`]. Any other URL is read without any credential; those that are an
//! object's, and are to be read so, were recognised before: [`recognize`](super::recognize).

pub mod azure;
pub mod gcp;

use serde::{Deserialize, Serialize};

use self::azure::AzureTenant;
use self::gcp::GcpAccount;
use super::azure_blob;
use super::fault::{AttachmentFault, Code};
use super::source::Source;
use super::team::{AwsGrant, Team};

/// How far the worker's own identity may read customers' buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CrossAccount {
    /// Only buckets that the team lists, by their exact names.
    #[default]
    Declared,
    /// Any bucket; claims still decide whose it is.
    Open,
    /// None.
    Off,
}

/// With whose rights a source is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// Nobody's.
    None,
    /// A role of the team's, assumed.
    AwsRole(AwsRole),
    /// The worker's own AWS identity.
    AwsOwn(AwsReading),
    /// A service account of the team's, impersonated.
    GcpAccount(GcpAccount),
    /// The worker's own service account.
    GcpOwn,
    /// The tenant that the team named, which consented to our application, and no other.
    AzureTenant(AzureTenant),
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsRole {
    /// Its ARN.
    pub role_arn: String,
    /// What we made for the team; without one only where the team's record says `insecure`.
    pub external_id: Option<String>,
    /// How the buckets are read with it.
    pub reading: AwsReading,
}

/// How a team's buckets are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsReading {
    /// The account that must own the bucket.
    pub expected_owner: Option<String>,
    /// Regions that may be read; empty: every region.
    pub regions: Vec<String>,
    /// Whether the team pays for requests where a bucket wants that.
    pub requester_pays: bool,
}

/// What a grant uses that belongs to one team only; claimed before it is used first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// What it is.
    pub kind: ClaimKind,
    /// Its name.
    pub name: String,
    /// What another team's claim of it means for the attachment.
    pub refusal: Code,
}

/// What can belong to a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// A bucket.
    Bucket,
    /// An AWS role's ARN.
    Role,
    /// An external id.
    ExternalId,
    /// A Google service account.
    ServiceAccount,
    /// The uid in a service account's name.
    Uid,
    /// An Azure tenant.
    Tenant,
    /// An Azure storage account.
    Account,
}

impl ClaimKind {
    /// All kinds, in the order of the interface.
    pub const ALL: &[Self] =
        &[Self::Bucket, Self::Role, Self::ExternalId, Self::ServiceAccount, Self::Uid, Self::Tenant, Self::Account];

    /// The kind as operators write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Role => "role",
            Self::ExternalId => "external_id",
            Self::ServiceAccount => "service_account",
            Self::Uid => "uid",
            Self::Tenant => "tenant",
            Self::Account => "account",
        }
    }

    /// Reads a kind as operators write it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// What a name of this kind must look like, if `name` does not: a claim under another spelling would protect nothing.
    #[must_use]
    pub fn problem_of(self, name: &str) -> Option<&'static str> {
        let is_word =
            |text: &str| !text.is_empty() && !text.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control());
        let (is_right, expected) = match self {
            Self::Bucket => (is_word(name.strip_prefix("gs://").unwrap_or(name)), "a bucket's bare name, or gs://NAME"),
            Self::Role => {
                let is_arn = name.starts_with("arn:") && name.contains(":role/");
                (is_arn && !name.contains(char::is_whitespace), "a role's whole ARN, arn:aws:iam::ACCOUNT:role/NAME")
            }
            Self::ServiceAccount => {
                let is_lower = !name.contains(|c: char| c.is_ascii_uppercase());
                (is_word(name) && name.contains('@') && is_lower, "a service account's address, name@project.iam…")
            }
            Self::ExternalId => (!name.trim().is_empty(), "an external id as the team's record has it"),
            Self::Tenant => (azure::tenant_id(name).as_deref() == Some(name), "a tenant's id, a GUID in lower case"),
            Self::Account => (azure_blob::is_account(name), "a storage account's bare name, 3 to 24 of a-z and 0-9"),
            Self::Uid => (is_word(name), "one word"),
        };
        (!is_right).then_some(expected)
    }
}

impl Grant {
    /// Decides with whose rights `team` reads `source`.
    ///
    /// # Errors
    /// `bucket_not_allowed` for a bucket outside the team's list; `integration_missing` where no grant covers the source;
    /// `integration_broken` for a role that may not be used as it is recorded.
    pub fn of(source: &Source, team: &Team, cross_account: CrossAccount) -> Result<Self, AttachmentFault> {
        match source {
            Source::S3 { bucket, .. } => aws(bucket, team.aws.as_ref(), cross_account),
            Source::Gcs { bucket, .. } => gcp::grant(bucket, team.gcp.as_ref()),
            Source::AzureBlob(blob) => azure::grant(blob, team.azure.as_ref()),
            Source::Http(_) | Source::File(_) | Source::Text(_) => Ok(Self::None),
        }
    }

    /// What must belong to the team before this grant is used on `source`.
    #[must_use]
    pub fn claims(&self, source: &Source) -> Vec<Claimed> {
        let bucket = match source {
            Source::S3 { bucket, .. } => Some(bucket.clone()),
            Source::Gcs { bucket, .. } => Some(format!("gs://{bucket}")),
            Source::AzureBlob(_) | Source::Http(_) | Source::File(_) | Source::Text(_) => None,
        };
        let mut claims = Vec::new();
        if let Some(name) = bucket {
            claims.push(Claimed { kind: ClaimKind::Bucket, name, refusal: Code::BucketNotAllowed });
        }
        match (self, source) {
            (Self::AwsRole(role), _) => {
                let broken = Code::IntegrationBroken;
                claims.push(Claimed { kind: ClaimKind::Role, name: role.role_arn.clone(), refusal: broken });
                let id = role.external_id.iter().cloned();
                claims.extend(id.map(|name| Claimed { kind: ClaimKind::ExternalId, name, refusal: broken }));
            }
            (Self::GcpAccount(account), _) => claims.extend(gcp::claims(account)),
            (Self::AzureTenant(tenant), Source::AzureBlob(blob)) => claims.extend(azure::claims(tenant, blob)),
            (Self::AwsOwn(_) | Self::GcpOwn | Self::AzureTenant(_) | Self::None, _) => {}
        }
        claims
    }
}

fn aws(bucket: &str, grant: Option<&AwsGrant>, cross_account: CrossAccount) -> Result<Grant, AttachmentFault> {
    let none = AwsGrant::default();
    let grant = grant.unwrap_or(&none);
    let reading = AwsReading {
        expected_owner: grant.bucket_owner.clone(),
        regions: grant.regions.clone(),
        requester_pays: grant.requester_pays,
    };
    let Some(role_arn) = &grant.role_arn else {
        return own(bucket, grant, cross_account, reading);
    };
    if grant.external_id.is_none() && !grant.insecure {
        let message =
            "the team's role has no external id; give it one, or say insecure = true and list buckets and regions";
        return Err(AttachmentFault::new(Code::IntegrationBroken, message));
    }
    if grant.external_id.is_none() && (grant.buckets.is_empty() || grant.regions.is_empty()) {
        let message = "the team's role has no external id, and so its buckets and regions must be listed";
        return Err(AttachmentFault::new(Code::IntegrationBroken, message));
    }
    let listed = grant.buckets.iter().any(|pattern| fits(pattern, bucket));
    if !(listed || grant.buckets.is_empty()) {
        let message = format!("bucket {bucket} is not in the team's list");
        return Err(AttachmentFault::new(Code::BucketNotAllowed, message));
    }
    let (role_arn, external_id) = (role_arn.clone(), grant.external_id.clone());
    Ok(Grant::AwsRole(AwsRole { role_arn, external_id, reading }))
}

fn own(
    bucket: &str, grant: &AwsGrant, cross_account: CrossAccount, reading: AwsReading,
) -> Result<Grant, AttachmentFault> {
    // Exact names only: a pattern would hand out buckets that nobody has declared.
    let listed = grant.buckets.iter().any(|name| name == bucket);
    match cross_account {
        CrossAccount::Open => Ok(Grant::AwsOwn(reading)),
        CrossAccount::Declared if listed => Ok(Grant::AwsOwn(reading)),
        CrossAccount::Declared => {
            Err(missing(&format!("the team has no role, and bucket {bucket} is not among those that it lists")))
        }
        CrossAccount::Off => Err(missing("the team has no role, and cross-account reading is switched off")),
    }
}

impl Team {
    /// Whether the record lists this bucket, by its name or, for a role, by a pattern.
    #[must_use]
    pub fn declares_bucket(&self, bucket: &str) -> bool {
        self.aws.as_ref().is_some_and(|grant| {
            let by_pattern = grant.role_arn.is_some();
            grant.buckets.iter().any(|listed| if by_pattern { fits(listed, bucket) } else { listed == bucket })
        })
    }
}

fn missing(message: &str) -> AttachmentFault {
    AttachmentFault::new(Code::IntegrationMissing, message)
}

/// Whether `name` fits `pattern`, in which `*` stands for any characters, none too.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(buckets: &[&str]) -> AwsGrant {
        AwsGrant {
            role_arn: Some("arn:aws:iam::111122223333:role/r".into()),
            external_id: Some("id".into()),
            buckets: buckets.iter().map(|name| (*name).to_owned()).collect(),
            ..AwsGrant::default()
        }
    }

    fn check(grant: Option<AwsGrant>, cross_account: CrossAccount, expected: Result<&str, Code>) {
        let source = Source::S3 { bucket: "acme-raw".into(), key: "k".into(), pin: None, region: None };
        let team = Team { aws: grant.clone(), ..Team::default() };
        let found = Grant::of(&source, &team, cross_account).map_err(|fault| fault.code).map(|grant| match grant {
            Grant::None => "none",
            Grant::AwsRole(_) => "role",
            Grant::AwsOwn(_) => "own",
            Grant::GcpAccount(_) | Grant::GcpOwn | Grant::AzureTenant(_) => "another cloud's",
        });
        assert_eq!(found, expected, "{grant:?} {cross_account:?}");
    }

    #[test]
    fn a_team_with_a_role_reads_with_that_role_only() {
        for cross_account in [CrossAccount::Declared, CrossAccount::Open, CrossAccount::Off] {
            check(Some(role(&[])), cross_account, Ok("role"));
            check(Some(role(&["acme-raw"])), cross_account, Ok("role"));
            check(Some(role(&["acme-*"])), cross_account, Ok("role"));
            check(Some(role(&["other"])), cross_account, Err(Code::BucketNotAllowed));
        }
    }

    #[test]
    fn a_role_without_external_id_needs_its_word_and_its_lists() {
        let regions = vec!["us-west-2".to_owned()];
        let open = AwsGrant { external_id: None, regions, ..role(&["acme-raw"]) };
        check(Some(open.clone()), CrossAccount::Open, Err(Code::IntegrationBroken));
        let said = AwsGrant { insecure: true, ..open };
        check(Some(said.clone()), CrossAccount::Off, Ok("role"));
        let others = AwsGrant { buckets: vec!["other".into()], ..said.clone() };
        check(Some(others), CrossAccount::Off, Err(Code::BucketNotAllowed));
        let unlisted = AwsGrant { buckets: Vec::new(), ..said.clone() };
        check(Some(unlisted), CrossAccount::Open, Err(Code::IntegrationBroken));
        let anywhere = AwsGrant { regions: Vec::new(), ..said };
        check(Some(anywhere), CrossAccount::Open, Err(Code::IntegrationBroken));
    }

    #[test]
    fn without_a_role_the_deployments_rule_decides() {
        let listing = |name: &str| AwsGrant { buckets: vec![name.to_owned()], ..AwsGrant::default() };
        check(None, CrossAccount::Declared, Err(Code::IntegrationMissing));
        check(None, CrossAccount::Open, Ok("own"));
        check(None, CrossAccount::Off, Err(Code::IntegrationMissing));
        check(Some(listing("acme-raw")), CrossAccount::Declared, Ok("own"));
        check(Some(listing("acme-*")), CrossAccount::Declared, Err(Code::IntegrationMissing));
        check(Some(listing("acme-raw")), CrossAccount::Off, Err(Code::IntegrationMissing));
    }

    #[test]
    fn a_bucket_is_declared_by_name_or_by_a_roles_pattern() {
        let own = |name: &str| AwsGrant { buckets: vec![name.to_owned()], ..AwsGrant::default() };
        for (aws, expected) in [
            (None, false),
            (Some(role(&[])), false),
            (Some(role(&["acme-raw"])), true),
            (Some(role(&["acme-*"])), true),
            (Some(role(&["other"])), false),
            (Some(own("acme-raw")), true),
            (Some(own("acme-*")), false),
        ] {
            let team = Team { aws: aws.clone(), ..Team::default() };
            assert_eq!(team.declares_bucket("acme-raw"), expected, "{aws:?}");
        }
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a-*", "a-", true),
            ("a-*", "a-b-c", true),
            ("*-raw", "acme-raw", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_a_grant_uses_is_claimed_first() {
        let source = Source::S3 { bucket: "acme-raw".into(), key: "k".into(), pin: None, region: None };
        let team = Team { aws: Some(role(&[])), ..Team::default() };
        let grant = Grant::of(&source, &team, CrossAccount::Off).expect("a role");
        let kinds: Vec<_> = grant.claims(&source).iter().map(|claim| (claim.kind, claim.refusal)).collect();
        assert_eq!(
            kinds,
            [
                (ClaimKind::Bucket, Code::BucketNotAllowed),
                (ClaimKind::Role, Code::IntegrationBroken),
                (ClaimKind::ExternalId, Code::IntegrationBroken),
            ]
        );
    }
}
