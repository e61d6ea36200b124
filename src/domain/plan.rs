//! What will be done for a task: for each attachment what to fetch, or why it is refused. Cannot fail: refusals are part of it.

use super::access::{CrossAccount, Grant};
use super::azure_blob;
use super::fault::{AttachmentFault, Code};
use super::source::{Door, Source};
use super::task::{Attachment, Content, Task};
use super::team::Team;

/// What the deployment allows, whatever a team's record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Whether `http:` attachments are accepted like `https:`.
    pub allow_plain: bool,
    /// How far the worker's own identity may read customers' buckets.
    pub cross_account: CrossAccount,
    /// The store's own bucket and those of messages' bodies, which are nobody's source.
    pub own_buckets: Vec<String>,
    /// What stands behind the account in the hosts of Azure's blobs, such as `blob.core.windows.net`.
    pub azure_suffixes: Vec<String>,
    /// The names of the profiles that there are.
    pub profiles: Vec<String>,
}

/// A normalization profile, as far as names and receipts need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Changes when what the profile does changes, so that copies made before are told from copies made after.
    pub fingerprint: String,
}

/// One attachment's part of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The attachment.
    pub attachment: Attachment,
    /// What to fetch and with whose rights, or why nothing is fetched.
    pub way: Result<Way, AttachmentFault>,
}

/// What to fetch, and with whose rights.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// What to fetch.
    pub source: Source,
    /// With whose rights.
    pub grant: Grant,
}

impl Way {
    /// How `team` comes to what a URL names.
    ///
    /// # Errors
    /// Why nothing is fetched.
    pub fn to(url: &str, team: &Team, policy: &Policy) -> Result<Self, AttachmentFault> {
        let source = Source::parse(url)?.recognized_for(team);
        Self::from(azure_blob::recognized_for(team, source, &policy.azure_suffixes)?, team, policy)
    }

    fn from(source: Source, team: &Team, policy: &Policy) -> Result<Self, AttachmentFault> {
        refuse(&source, team, policy)?;
        let grant = Grant::of(&source, team, policy.cross_account)?;
        Ok(Self { source, grant })
    }
}

impl Planned {
    /// Where it is asked for, if anything is fetched.
    #[must_use]
    pub fn door(&self) -> Option<Door> {
        self.way.as_ref().ok().map(|way| way.source.door())
    }
}

/// What will be done for a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Which profile the copies are made by.
    pub profile: Profile,
    /// The attachments, in the order of the task.
    pub attachments: Vec<Planned>,
}

impl Plan {
    /// Plans `task` for a team with this record under this policy.
    #[must_use]
    pub fn of(task: &Task, team: &Team, policy: &Policy) -> Self {
        let name = task.normalize.as_deref().or(team.normalize.as_deref()).unwrap_or("standard");
        let known = policy.profiles.iter().any(|profile| profile == name);
        let planned = |attachment: &Attachment| {
            let way = if known { way_of(attachment, team, policy) } else { Err(unknown_profile(name)) };
            Planned { attachment: attachment.clone(), way }
        };
        // `@0`: bytes are stored as they are; it changes with the first profile that changes them.
        let profile = Profile { name: name.to_owned(), fingerprint: format!("{name}@0") };
        Self { profile, attachments: task.attachments.iter().map(planned).collect() }
    }
}

fn unknown_profile(name: &str) -> AttachmentFault {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    AttachmentFault::new(Code::UnsupportedMedia, format!("there is no normalization profile named {name:?}"))
}

fn way_of(attachment: &Attachment, team: &Team, policy: &Policy) -> Result<Way, AttachmentFault> {
    let source = match &attachment.content {
        Content::Text(text) => Source::Text(text.clone()),
        Content::Url(url) => return Way::to(url, team, policy),
        Content::Object { bucket, key, pin } => {
            Source::S3 { bucket: bucket.clone(), key: key.clone(), pin: Some(pin.clone()), region: None }
        }
    };
    Way::from(source, team, policy)
}

/// What is refused whatever anybody granted.
fn refuse(source: &Source, team: &Team, policy: &Policy) -> Result<(), AttachmentFault> {
    match source {
        Source::Http(url) if url.scheme() == "http" && !policy.allow_plain => {
            Err(AttachmentFault::new(Code::UnsupportedScheme, "plain http is switched off here; use https"))
        }
        Source::Http(url) if !team.allows_host(url.host_str().unwrap_or_default()) => {
            let host = url.host_str().unwrap_or_default();
            let message = format!("host {host} is not among the team's allowed hosts");
            Err(AttachmentFault::new(Code::BlockedAddress, message))
        }
        // A store may be asked by S3's protocol and be Google's.
        Source::S3 { bucket, .. } | Source::Gcs { bucket, .. } if policy.own_buckets.contains(bucket) => {
            let message = "what the deployment itself stores is never a source";
            Err(AttachmentFault::new(Code::BucketNotAllowed, message))
        }
        Source::Http(_)
        | Source::S3 { .. }
        | Source::Gcs { .. }
        | Source::AzureBlob(_)
        | Source::File(_)
        | Source::Text(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::tests::task;
    use super::*;

    fn check(url: &str, team: &Team, expected: Result<(), Code>) {
        let policy = Policy {
            allow_plain: false,
            cross_account: CrossAccount::Off,
            own_buckets: vec!["internal".into(), "bodies".into()],
            azure_suffixes: vec!["blob.core.windows.net".into()],
            profiles: vec!["standard".into()],
        };
        let plan = Plan::of(&task(url), team, &policy);
        let found = plan.attachments[0].way.as_ref().map(|_| ()).map_err(|fault| fault.code);
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn every_attachment_has_a_source_or_a_reason() {
        let team = Team { allowed_hosts: vec!["ok.com".into()], ..Team::default() };
        check("https://ok.com/a", &team, Ok(()));
        check("https://other.com/a", &team, Err(Code::BlockedAddress));
        check("http://ok.com/a", &team, Err(Code::UnsupportedScheme));
        check("ftp://ok.com/a", &team, Err(Code::UnsupportedScheme));
        check("s3://bucket/a", &team, Err(Code::IntegrationMissing));
        check("s3://internal/a", &team, Err(Code::BucketNotAllowed));
        check("s3://bodies/a", &team, Err(Code::BucketNotAllowed));
        check("nonsense", &team, Err(Code::BadUrl));
    }

    #[test]
    fn a_team_with_a_tenant_is_never_read_for_without_it() {
        let url = "https://acmeblob.blob.core.windows.net/raw/k";
        let tenant = |id: &str, accounts: &[&str]| {
            let accounts = accounts.iter().map(|name| (*name).to_owned()).collect();
            let azure = Some(super::super::team::AzureGrant { tenant_id: id.into(), accounts });
            Team { azure, allowed_hosts: vec!["ok.com".into()], ..Team::default() }
        };
        let id = "7c2f0000-0000-0000-0000-000000000000";
        check(url, &tenant(id, &[]), Ok(()));
        check(url, &tenant(id, &["acmeblob"]), Ok(()));
        check(url, &tenant(id, &["other"]), Err(Code::BucketNotAllowed));
        check(url, &tenant("", &[]), Err(Code::IntegrationBroken));
        check("https://acmeblob.blob.core.windows.net/", &tenant(id, &[]), Err(Code::BadUrl));
        // Signed by itself, or of a team without a tenant: a URL like any other.
        check(&format!("{url}?sig=x"), &tenant(id, &[]), Err(Code::BlockedAddress));
        check(url, &Team::default(), Ok(()));
    }

    #[test]
    fn a_profile_that_there_is_not_fails_the_attachments_and_not_the_message() {
        check(
            "https://ok.com/a",
            &Team { normalize: Some("huge".into()), ..Team::default() },
            Err(Code::UnsupportedMedia),
        );
    }
}
