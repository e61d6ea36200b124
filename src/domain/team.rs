//! A team's record: what the customer granted, and how its work is treated.

use serde::{Deserialize, Serialize};

use super::id::TeamId;

/// A team's record as the engine sees it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Team {
    /// The profile used where a task names none.
    pub normalize: Option<String>,
    /// Hosts that plain URLs may name; empty: any public host. Lower case, a leading `*.` stands for any sub-domain.
    pub allowed_hosts: Vec<String>,
    /// The team's own limits.
    pub limits: TeamLimits,
    /// The team's AWS integration, if it has one.
    pub aws: Option<AwsGrant>,
    /// The team's Google Cloud integration, if it has one.
    pub gcp: Option<GcpGrant>,
    /// Whether the team has an Azure integration.
    pub azure: Option<AzureGrant>,
    /// Where completions go beside the events.
    pub callback: Option<Callback>,
}

/// A team's own limits; what is missing follows the deployment's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TeamLimits {
    /// Requests a second over all hosts.
    pub requests_per_second: Option<u32>,
    /// Requests at the same time over all hosts.
    pub in_flight: Option<u32>,
    /// Bytes a second over all hosts.
    pub bytes_per_second: Option<u64>,
    /// Share when teams compete; 1 where it is missing.
    pub weight: Option<u32>,
}

/// What a team granted on AWS.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AwsGrant {
    /// The role to assume; without one the worker's own identity is used as far as `cross_account` allows.
    pub role_arn: Option<String>,
    /// The external id that we made for this team.
    pub external_id: Option<String>,
    /// Buckets, or patterns with `*`; empty: every bucket of a delegated role, none of cross-account.
    pub buckets: Vec<String>,
    /// Regions; empty: every region.
    pub regions: Vec<String>,
    /// The account that must own the buckets.
    pub bucket_owner: Option<String>,
    /// Treats https URLs of S3 objects as `s3://`.
    pub recognize_https: bool,
    /// Agrees to pay for requests.
    pub requester_pays: bool,
    /// The grant needs no external id, and the team knows.
    pub insecure: bool,
}

/// What a team granted on Google Cloud.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GcpGrant {
    /// The service account to impersonate; without one the worker's own is used for the buckets that are listed.
    pub service_account: Option<String>,
    /// Must be part of the service account's name.
    pub uid: Option<String>,
    /// Buckets, or patterns with `*`; empty: every bucket of an impersonated account, none of cross-project.
    pub buckets: Vec<String>,
    /// The project that the team lets pay for requests where a bucket wants that.
    pub user_project: Option<String>,
    /// Treats https URLs of GCS objects as `gs://`.
    pub recognize_https: bool,
}

/// What a team granted on Azure.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AzureGrant {
    /// The tenant that consented.
    pub tenant_id: String,
    /// Storage accounts that may be read.
    pub accounts: Vec<String>,
}

/// Where and how a team's completions are announced by webhook.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Callback {
    /// The team's own endpoint.
    pub url: Option<String>,
    /// Signs deliveries.
    pub secret: Option<String>,
    /// Signs deliveries too, while a secret is rotated.
    pub previous_secret: Option<String>,
    /// The body's form.
    pub format: CallbackFormat,
    /// Header value of the `scale` format.
    pub auth_key: Option<String>,
    /// Deliveries may go out without a signature.
    pub unsigned: bool,
    /// Further hosts that may get the `auth_key`.
    pub allowed_hosts: Vec<String>,
}

impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Secrets never reach a log, not even by way of `{:?}`.
        f.debug_struct("Callback").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The form of a webhook's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallbackFormat {
    /// Standard Webhooks.
    #[default]
    Standard,
    /// The form that Scale's receivers expect.
    Scale,
    /// CloudEvents 1.0, structured.
    Cloudevents,
}

/// A team and its record, taken together at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownTeam {
    /// Its name.
    pub id: TeamId,
    /// Its record.
    pub record: Team,
}

impl KnownTeam {
    /// In whose name we read what is no customer's: without grants and without limits. The name only stands in the log.
    #[must_use]
    pub fn ourselves() -> Self {
        Self { id: TeamId::new("longshore").expect("a good name"), record: Team::default() }
    }
}

impl Team {
    /// Whether this record grants and allows the same as `other`; limits and callbacks aside.
    #[must_use]
    pub fn has_rights_of(&self, other: &Self) -> bool {
        let Self { allowed_hosts, aws, gcp, azure, normalize: _, limits: _, callback: _ } = self;
        *allowed_hosts == other.allowed_hosts && *aws == other.aws && *gcp == other.gcp && *azure == other.azure
    }

    /// Whether a plain URL may name `host`.
    #[must_use]
    pub fn allows_host(&self, host: &str) -> bool {
        self.allowed_hosts.is_empty() || self.allowed_hosts.iter().any(|allowed| fits_host(allowed, host))
    }
}

/// Whether `host` is the one that `allowed` names; a leading `*.` stands for any sub-domain.
#[must_use]
pub fn fits_host(allowed: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match allowed.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(parent).is_some_and(|left| left.ends_with('.')),
        None => *allowed == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_hosts_fit_whole_names_only() {
        let team = Team { allowed_hosts: vec!["cdn.acme.com".into(), "*.b.com".into()], ..Team::default() };
        for (host, allowed) in [
            ("cdn.acme.com", true),
            ("CDN.acme.com.", true),
            ("x.b.com", true),
            ("b.com", false),
            ("xb.com", false),
            ("cdn.acme.com.evil.com", false),
            ("evilcdn.acme.com", false),
        ] {
            assert_eq!(team.allows_host(host), allowed, "{host}");
        }
        assert!(Team::default().allows_host("any.host"));
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let callback = Callback { secret: Some("whsec_x".into()), auth_key: Some("k-9".into()), ..Callback::default() };
        let shown = format!("{callback:?}");
        assert!(!shown.contains("whsec_x") && !shown.contains("k-9"), "{shown}");
    }
}
