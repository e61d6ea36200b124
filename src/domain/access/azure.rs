//! With which tenant's consent blobs in Azure Storage are read: the one in the team's record, and no other.
//!
//! The tenant is part of the grant, so that whoever gets a token for it asks that tenant alone; what a storage account says of
//! its own tenant is never followed.

use uuid::Uuid;

use super::{ClaimKind, Claimed, Grant};
use crate::domain::azure_blob::AzureBlob;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::team::AzureGrant;

/// A tenant that consented to our application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureTenant {
    /// Its id, a GUID in lower case.
    pub id: String,
}

/// Reads a tenant's id, a GUID with its hyphens, and returns it in lower case; `None` for a tenant's domain or anything else.
#[must_use]
pub fn tenant_id(text: &str) -> Option<String> {
    let id = Uuid::try_parse(text).ok().filter(|id| !id.is_nil())?.hyphenated().to_string();
    text.eq_ignore_ascii_case(&id).then_some(id)
}

/// Decides with which tenant's consent `blob` is read.
pub(super) fn grant(blob: &AzureBlob, team: Option<&AzureGrant>) -> Result<Grant, AttachmentFault> {
    let account = &blob.account;
    let Some(team) = team else {
        let message = format!("the team has no Azure tenant to read storage account {account} with");
        return Err(AttachmentFault::new(Code::IntegrationMissing, message));
    };
    let id = tenant_id(&team.tenant_id).ok_or_else(|| {
        let message = "the team's record does not name its Azure tenant by its id";
        AttachmentFault::new(Code::IntegrationBroken, message)
    })?;
    // No list: every account that the tenant lets our application read.
    if !team.accounts.is_empty() && !team.accounts.contains(account) {
        let message = format!("storage account {account} is not in the team's list");
        return Err(AttachmentFault::new(Code::BucketNotAllowed, message));
    }
    Ok(Grant::AzureTenant(AzureTenant { id }))
}

/// What must be the team's own: the tenant first, so that whoever has none of its own lays claim to no account.
pub(super) fn claims(tenant: &AzureTenant, blob: &AzureBlob) -> [Claimed; 2] {
    let broken = |kind, name: &str| Claimed { kind, name: name.to_owned(), refusal: Code::IntegrationBroken };
    [broken(ClaimKind::Tenant, &tenant.id), broken(ClaimKind::Account, &blob.account)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::CrossAccount;
    use crate::domain::source::Source;
    use crate::domain::team::Team;

    const TENANT: &str = "7c2f36a1-0000-4000-8000-0123456789ab";

    fn blob() -> Source {
        Source::AzureBlob(AzureBlob {
            account: "acmeblob".into(),
            suffix: "blob.core.windows.net".into(),
            container: "raw".into(),
            blob: "a".into(),
            state: None,
        })
    }

    fn of(tenant: &str, accounts: &[&str]) -> Result<Grant, Code> {
        let accounts = accounts.iter().map(|name| (*name).to_owned()).collect();
        let azure = Some(AzureGrant { tenant_id: tenant.into(), accounts });
        let team = Team { azure, ..Team::default() };
        Grant::of(&blob(), &team, CrossAccount::Open).map_err(|fault| fault.code)
    }

    #[test]
    fn a_blob_is_read_with_the_teams_own_tenant_only() {
        let expected = Ok(Grant::AzureTenant(AzureTenant { id: TENANT.into() }));
        assert_eq!(of(TENANT, &[]), expected);
        assert_eq!(of(&TENANT.to_uppercase(), &["other", "acmeblob"]), expected);
        assert_eq!(of(TENANT, &["other"]), Err(Code::BucketNotAllowed));
        assert_eq!(of("acme.onmicrosoft.com", &[]), Err(Code::IntegrationBroken));
        let found = Grant::of(&blob(), &Team::default(), CrossAccount::Open);
        assert_eq!(found.map_err(|fault| fault.code), Err(Code::IntegrationMissing));
    }

    #[test]
    fn tenant_and_account_are_claimed_first_and_in_one_spelling() {
        let grant = of(&TENANT.to_uppercase(), &[]).unwrap();
        let claims: Vec<_> = grant.claims(&blob()).into_iter().map(|claim| (claim.kind, claim.name)).collect();
        assert_eq!(claims, [(ClaimKind::Tenant, TENANT.to_owned()), (ClaimKind::Account, "acmeblob".to_owned())]);
        assert!(grant.claims(&blob()).iter().all(|claim| claim.refusal == Code::IntegrationBroken));
        for (kind, name, is_right) in [
            (ClaimKind::Tenant, TENANT, true),
            (ClaimKind::Tenant, "7C2F36A1-0000-4000-8000-0123456789AB", false),
            (ClaimKind::Tenant, "acme.onmicrosoft.com", false),
            (ClaimKind::Account, "acmeblob", true),
            (ClaimKind::Account, "acmeblob.blob.core.windows.net", false),
        ] {
            assert_eq!(kind.problem_of(name).is_none(), is_right, "{name}");
        }
    }

    #[test]
    fn a_tenant_is_named_by_its_id() {
        for text in [
            "",
            "common",
            "organizations",
            "acme.com",
            "7c2f36a1000040008000012345678901",
            "{7c2f36a1-0000-4000-8000-0123456789ab}",
            "urn:uuid:7c2f36a1-0000-4000-8000-0123456789ab",
            "00000000-0000-0000-0000-000000000000",
            "7c2f36a1-0000-4000-8000-0123456789ab/x",
        ] {
            assert_eq!(tenant_id(text), None, "{text}");
        }
        assert_eq!(tenant_id(&TENANT.to_uppercase()).as_deref(), Some(TENANT));
    }
}
