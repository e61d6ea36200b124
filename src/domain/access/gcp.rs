//! With whose rights an object in Google Cloud Storage is read.
//!
//! With the team's service account, impersonated, if it has one, and then only with that one. Google knows no external id: the
//! team's uid stands in the account's name instead, so that nobody else's account can be given to us under this team's name.
//! Without an account the worker's own reads the buckets that the team lists by their exact names, and no others.

use super::{Claimed, Grant, fits, missing};
use crate::domain::access::ClaimKind;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::team::GcpGrant;

/// Shorter uids could be part of a service account's name by chance.
pub const UID_BYTES_MIN: usize = 8;

/// A service account to impersonate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcpAccount {
    /// Its e-mail address.
    pub service_account: String,
    /// What we made for the team, which stands in the account's name.
    pub uid: String,
    /// The project that pays for requests where a bucket wants that.
    pub user_project: Option<String>,
}

/// What is wrong with a uid, if anything is: whoever controls an account must have been given it by us.
#[must_use]
pub fn problem_of_uid(service_account: &str, uid: &str) -> Option<&'static str> {
    let name = service_account.split_once('@').map_or("", |(name, _)| name);
    if uid.len() < UID_BYTES_MIN {
        Some("must have at least 8 characters")
    } else if name.split('-').all(|token| token != uid) {
        Some("must be a whole part, between hyphens, of the service account's name")
    } else {
        None
    }
}

/// Decides with whose rights `bucket` is read.
pub(super) fn grant(bucket: &str, grant: Option<&GcpGrant>) -> Result<Grant, AttachmentFault> {
    let none = GcpGrant::default();
    let grant = grant.unwrap_or(&none);
    let Some(service_account) = &grant.service_account else {
        // Exact names only: a pattern would hand out buckets that nobody has declared.
        let listed = grant.buckets.iter().any(|name| name == bucket);
        let refusal =
            || missing(&format!("the team has no service account, and gs://{bucket} is not among those that it lists"));
        return if listed { Ok(Grant::GcpOwn) } else { Err(refusal()) };
    };
    let uid = grant.uid.clone().unwrap_or_default();
    if let Some(problem) = problem_of_uid(service_account, &uid) {
        let message = format!("the team's service account is not used: its uid {problem}");
        return Err(AttachmentFault::new(Code::IntegrationBroken, message));
    }
    if !(grant.buckets.is_empty() || grant.buckets.iter().any(|pattern| fits(pattern, bucket))) {
        let message = format!("bucket gs://{bucket} is not in the team's list");
        return Err(AttachmentFault::new(Code::BucketNotAllowed, message));
    }
    let user_project = grant.user_project.clone();
    Ok(Grant::GcpAccount(GcpAccount { service_account: service_account.clone(), uid, user_project }))
}

/// What of an account must belong to the team before it is used. An address has no case: whoever writes it otherwise claims
/// the same one.
pub(super) fn claims(account: &GcpAccount) -> [Claimed; 2] {
    let claimed = |kind, name: &str| Claimed { kind, name: name.to_owned(), refusal: Code::IntegrationBroken };
    [
        claimed(ClaimKind::ServiceAccount, &account.service_account.to_ascii_lowercase()),
        claimed(ClaimKind::Uid, &account.uid),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::CrossAccount;
    use crate::domain::source::Source;
    use crate::domain::team::Team;

    const ACCOUNT: &str = "longshore-ab12cd34@acme.iam.gserviceaccount.com";

    fn impersonating(buckets: &[&str]) -> GcpGrant {
        GcpGrant {
            service_account: Some(ACCOUNT.into()),
            uid: Some("ab12cd34".into()),
            buckets: buckets.iter().map(|name| (*name).to_owned()).collect(),
            ..GcpGrant::default()
        }
    }

    fn object() -> Source {
        Source::Gcs { bucket: "acme-raw".into(), object: "k".into(), pin: None }
    }

    fn check(gcp: Option<GcpGrant>, expected: Result<&str, Code>) {
        let team = Team { gcp: gcp.clone(), ..Team::default() };
        // What is allowed on AWS changes nothing here.
        for cross_account in [CrossAccount::Declared, CrossAccount::Open, CrossAccount::Off] {
            let found = Grant::of(&object(), &team, cross_account);
            let found = found.map_err(|fault| fault.code).map(|grant| match grant {
                Grant::GcpAccount(account) => account.service_account,
                Grant::GcpOwn => "own".to_owned(),
                other => format!("{other:?}"),
            });
            assert_eq!(found, expected.map(str::to_owned), "{gcp:?}");
        }
    }

    #[test]
    fn a_team_with_an_account_reads_with_that_account_only() {
        check(Some(impersonating(&[])), Ok(ACCOUNT));
        check(Some(impersonating(&["acme-raw"])), Ok(ACCOUNT));
        check(Some(impersonating(&["acme-*"])), Ok(ACCOUNT));
        check(Some(impersonating(&["other", "acme"])), Err(Code::BucketNotAllowed));
    }

    #[test]
    fn without_an_account_only_exactly_listed_buckets_are_read() {
        let listing = |name: &str| GcpGrant { buckets: vec![name.to_owned()], ..GcpGrant::default() };
        check(None, Err(Code::IntegrationMissing));
        check(Some(GcpGrant::default()), Err(Code::IntegrationMissing));
        check(Some(listing("acme-raw")), Ok("own"));
        for pattern in ["acme-*", "*", "acme-ra"] {
            check(Some(listing(pattern)), Err(Code::IntegrationMissing));
        }
    }

    #[test]
    fn an_account_without_the_teams_uid_is_broken() {
        for (service_account, uid) in [
            (ACCOUNT, None),
            (ACCOUNT, Some("")),
            (ACCOUNT, Some("ab12cd3")),
            (ACCOUNT, Some("zz99zz99")),
            (ACCOUNT, Some("b12cd34")),
            (ACCOUNT, Some("longshore-ab12cd34")),
            (ACCOUNT, Some("ab12cd34@acme")),
            ("longshore-xab12cd34@acme.iam.gserviceaccount.com", Some("ab12cd34")),
            ("longshore@ab12cd34.iam.gserviceaccount.com", Some("ab12cd34")),
            ("ab12cd34", Some("ab12cd34")),
        ] {
            let (service_account, uid) = (Some(service_account.to_owned()), uid.map(str::to_owned));
            let grant = GcpGrant { service_account, uid, ..GcpGrant::default() };
            check(Some(grant), Err(Code::IntegrationBroken));
        }
    }

    #[test]
    fn bucket_account_and_uid_are_claimed_first() {
        let shouting = GcpGrant { service_account: Some(ACCOUNT.replace("acme", "ACME")), ..impersonating(&[]) };
        for gcp in [impersonating(&[]), shouting] {
            let team = Team { gcp: Some(gcp), ..Team::default() };
            let grant = Grant::of(&object(), &team, CrossAccount::Off).expect("an account");
            let claims = grant.claims(&object());
            let claims: Vec<_> = claims.iter().map(|claim| (claim.kind, claim.name.as_str(), claim.refusal)).collect();
            assert_eq!(
                claims,
                [
                    (ClaimKind::Bucket, "gs://acme-raw", Code::BucketNotAllowed),
                    (ClaimKind::ServiceAccount, ACCOUNT, Code::IntegrationBroken),
                    (ClaimKind::Uid, "ab12cd34", Code::IntegrationBroken),
                ]
            );
        }
        let own: Vec<_> = Grant::GcpOwn.claims(&object()).into_iter().map(|claim| claim.kind).collect();
        assert_eq!(own, [ClaimKind::Bucket]);
    }
}
