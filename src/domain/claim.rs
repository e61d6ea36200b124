//! Which spellings of a claimed name are one name: whoever writes it otherwise must not get a second claim.

use std::borrow::Cow;

use super::access::ClaimKind;

impl ClaimKind {
    /// The one spelling that stands for all of `name`'s.
    ///
    /// Buckets and external ids have one spelling only. A role's name is unique in its account whatever its case and path
    /// ("`CreateRole`" in the IAM API reference). Google's and Azure's names are in lower case, and services that read them
    /// look at no case; a tenant's id may do without its hyphens.
    #[must_use]
    pub fn canonical(self, name: &str) -> Cow<'_, str> {
        match self {
            Self::Bucket | Self::ExternalId => Cow::Borrowed(name),
            Self::Role => Cow::Owned(role(&name.to_ascii_lowercase())),
            Self::ServiceAccount | Self::Uid | Self::Account => Cow::Owned(name.to_ascii_lowercase()),
            Self::Tenant => Cow::Owned(tenant(&name.to_ascii_lowercase())),
        }
    }

    /// Whether both are spellings of one name.
    #[must_use]
    pub fn is_same(self, left: &str, right: &str) -> bool {
        self.canonical(left) == self.canonical(right)
    }
}

/// A role's ARN without the path.
fn role(arn: &str) -> String {
    match arn.split_once(":role/") {
        Some((account, path)) => format!("{account}:role/{}", path.rsplit('/').next().unwrap_or_default()),
        None => arn.to_owned(),
    }
}

/// A tenant's id of 32 digits, without hyphens; any other name as it stands.
fn tenant(name: &str) -> String {
    let digits: String = name.chars().filter(|c| *c != '-').collect();
    let is_id = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { digits } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one_name() {
        for (kind, left, right) in [
            (ClaimKind::Role, "arn:aws:iam::111122223333:role/Longshore", "arn:aws:iam::111122223333:role/longshore"),
            (
                ClaimKind::Role,
                "arn:aws:iam::111122223333:role/Longshore",
                "arn:aws:iam::111122223333:role/a/b/Longshore",
            ),
            (ClaimKind::Tenant, "7C2F0000-AB00-0000-0000-000000000000", "7c2f0000-ab00-0000-0000-000000000000"),
            (ClaimKind::Tenant, "7c2f0000ab0000000000000000000000", "7c2f0000-ab00-0000-0000-000000000000"),
            (ClaimKind::Tenant, "Acme.onmicrosoft.com", "acme.onmicrosoft.com"),
            (ClaimKind::Account, "AcmeBlob", "acmeblob"),
            (ClaimKind::ServiceAccount, "L-AB@p.iam.gserviceaccount.com", "l-ab@p.iam.gserviceaccount.com"),
            (ClaimKind::Uid, "AB12CD34", "ab12cd34"),
        ] {
            assert!(kind.is_same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn different_names_stay_different() {
        for (kind, left, right) in [
            (ClaimKind::Role, "arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223334:role/a"),
            (ClaimKind::Role, "arn:aws:iam::111122223333:role/a", "arn:aws-cn:iam::111122223333:role/a"),
            (ClaimKind::Role, "arn:aws:iam::111122223333:role/a", "arn:aws:iam::111122223333:role/b/ab"),
            // S3 made buckets in capitals once, and an id is what the trust policy says, to the letter.
            (ClaimKind::Bucket, "Acme", "acme"),
            (ClaimKind::Bucket, "gs://acme", "acme"),
            (ClaimKind::ExternalId, "6F1D", "6f1d"),
            (ClaimKind::Tenant, "7c2f0000-ab00-0000-0000-000000000000", "7c2f0000-ab00-0000-0000-000000000001"),
            (ClaimKind::Account, "acmeblob", "acme-blob"),
        ] {
            assert!(!kind.is_same(left, right), "{left} {right}");
        }
    }
}
