//! Finds what two teams of one file both lay claim to. Between files, directories and replicas the claims in the store decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::section::Mistake;
use crate::domain::access::ClaimKind;
use crate::domain::id::TeamId;
use crate::domain::team::KnownTeam;

/// Notes each role, service account, tenant, storage account and bucket that two teams list; overlapping patterns are one bucket.
pub(super) fn clashes(teams: &BTreeMap<TeamId, Arc<KnownTeam>>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let roles = teams.values().filter_map(|team| {
        let role = team.record.aws.as_ref()?.role_arn.as_deref()?;
        Some((&team.id, ClaimKind::Role.canonical(role)))
    });
    let roles: Vec<_> = roles.collect();
    let roles: Vec<_> = roles.iter().map(|(team, role)| (*team, role.as_ref())).collect();
    add_clashes("role", &roles, &mut mistakes);
    let accounts = teams.values().filter_map(|team| {
        let account = team.record.gcp.as_ref()?.service_account.as_deref()?;
        Some((&team.id, account))
    });
    add_clashes("service account", &accounts.collect::<Vec<_>>(), &mut mistakes);
    let tenants = teams.values().filter_map(|team| {
        let tenant = team.record.azure.as_ref()?.tenant_id.as_str();
        // One that is missing or bad was noted before.
        (!tenant.is_empty()).then_some((&team.id, tenant))
    });
    add_clashes("Azure tenant", &tenants.collect::<Vec<_>>(), &mut mistakes);
    let storage = teams.values().flat_map(|team| {
        let accounts = team.record.azure.iter().flat_map(|grant| &grant.accounts);
        accounts.map(|account| (&team.id, account.as_str()))
    });
    add_clashes("storage account", &storage.collect::<Vec<_>>(), &mut mistakes);
    let s3 = teams.values().flat_map(|team| {
        let buckets = team.record.aws.iter().flat_map(|grant| &grant.buckets);
        buckets.map(|bucket| (&team.id, bucket.as_str()))
    });
    add_clashes("S3 bucket", &s3.collect::<Vec<_>>(), &mut mistakes);
    let gcs = teams.values().flat_map(|team| {
        let buckets = team.record.gcp.iter().flat_map(|grant| &grant.buckets);
        buckets.map(|bucket| (&team.id, bucket.as_str()))
    });
    add_clashes("GCS bucket", &gcs.collect::<Vec<_>>(), &mut mistakes);
    mistakes
}

fn add_clashes(what: &str, listed: &[(&TeamId, &str)], mistakes: &mut Vec<Mistake>) {
    let mut first: BTreeMap<&str, &TeamId> = BTreeMap::new();
    let (patterns, exact): (Vec<_>, Vec<_>) = listed.iter().copied().partition(|(_, name)| name.contains('*'));
    for (team, name) in exact {
        let owner = *first.entry(name).or_insert(team);
        if owner != team {
            mistakes.push(clash(what, name, owner, team));
        }
    }
    // Patterns are few: each is held against everything.
    for (index, (team, pattern)) in patterns.iter().enumerate() {
        let others = first.iter().map(|(name, owner)| (*owner, *name));
        for (other, name) in others.chain(patterns[..index].iter().copied()) {
            if other != *team && overlap(pattern.as_bytes(), name.as_bytes()) {
                mistakes.push(clash(what, pattern, other, team));
            }
        }
    }
}

fn clash(what: &str, name: &str, first: &TeamId, second: &TeamId) -> Mistake {
    Mistake {
        team: Some(second.to_string()),
        line: None,
        problem: format!("{what} {name} is listed by team {first} too"),
    }
}

/// Whether some name fits both patterns. Row by row: `fits[j]` tells whether what was read of `left` and `right[..j]` can be
/// the same text, so that no pattern takes longer than the product of the lengths.
fn overlap(left: &[u8], right: &[u8]) -> bool {
    let mut fits = vec![false; right.len() + 1];
    fits[0] = true;
    for (j, byte) in right.iter().enumerate() {
        fits[j + 1] = fits[j] && *byte == b'*';
    }
    for byte in left {
        let before = fits.clone();
        fits[0] = before[0] && *byte == b'*';
        for (j, other) in right.iter().enumerate() {
            fits[j + 1] = if *byte == b'*' || *other == b'*' {
                // A star stands for nothing, or for one more of the other side.
                before[j + 1] || fits[j] || before[j]
            } else {
                before[j] && byte == other
            };
        }
    }
    fits[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_when_one_name_fits_both() {
        for (left, right, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("*", "", true),
            ("acme-*", "acme-raw", true),
            ("acme-*", "acme", false),
            ("acme-*", "*-raw", true),
            ("a*c", "ab*", true),
            ("a*c", "b*c", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*a*", "b*", true),
            ("ab", "a", false),
        ] {
            assert_eq!(overlap(left.as_bytes(), right.as_bytes()), expected, "{left} {right}");
            assert_eq!(overlap(right.as_bytes(), left.as_bytes()), expected, "{right} {left}");
        }
    }
}
