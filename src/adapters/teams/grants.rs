//! Reads what a team granted on each cloud. A grant that others could use too is a mistake, unless the team says it knows.

use super::section::Section;
use crate::domain::access::azure::tenant_id;
use crate::domain::access::gcp::problem_of_uid;
use crate::domain::azure_blob;
use crate::domain::team::{AwsGrant, AzureGrant, GcpGrant};

/// STS's bounds for external ids.
const EXTERNAL_ID_BYTES: std::ops::RangeInclusive<usize> = 2..=1224;

/// Whose rights are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Those that the team delegated.
    Delegated,
    /// The worker's own.
    Own,
}

/// `access`, or what the other keys mean where it is missing.
fn access(section: &mut Section<'_>, names: [&str; 2], delegated: bool) -> Access {
    let Some(text) = section.text("access") else {
        return if delegated { Access::Delegated } else { Access::Own };
    };
    if text == names[0] {
        Access::Delegated
    } else {
        if text != names[1] {
            section.mistake("access", &format!("must be {} or {}", names[0], names[1]));
        }
        Access::Own
    }
}

pub(super) fn aws(mut section: Section<'_>, role_name: &str) -> AwsGrant {
    let delegated = section.has("role_arn") || section.has("account_id");
    let access = access(&mut section, ["delegated", "cross-account"], delegated);
    let role_arn = role_arn(&mut section, role_name);
    let account = role_arn.as_deref().and_then(account_of);
    let grant = AwsGrant {
        external_id: section.text("external_id"),
        buckets: buckets(&mut section, access),
        regions: regions(&mut section),
        bucket_owner: account_id(&mut section, "bucket_owner").or(account),
        recognize_https: section.flag("recognize_https"),
        requester_pays: section.flag("requester_pays"),
        insecure: section.flag("insecure"),
        role_arn,
    };
    match access {
        Access::Delegated => check_delegated(&section, &grant),
        Access::Own => check_cross_account(&section, &grant),
    }
    section.end();
    grant
}

fn role_arn(section: &mut Section<'_>, role_name: &str) -> Option<String> {
    let role = section.text("role_arn");
    let account = account_id(section, "account_id");
    if role.is_some() && account.is_some() {
        section.mistake("account_id", "and role_arn exclude each other");
    }
    if let Some(role) = &role
        && account_of(role).is_none()
    {
        section.mistake("role_arn", "must have the form arn:aws:iam::ACCOUNT:role/NAME");
    }
    role.or_else(|| account.map(|account| format!("arn:aws:iam::{account}:role/{role_name}")))
}

/// The account in a role's ARN, if it is one.
fn account_of(role_arn: &str) -> Option<String> {
    let parts: Vec<&str> = role_arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts[..] else {
        return None;
    };
    let name = resource.strip_prefix("role/")?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@/-".contains(&byte);
    let good = partition.starts_with("aws") && is_account(account) && !name.is_empty() && name.bytes().all(allowed);
    good.then(|| account.to_owned())
}

fn account_id(section: &mut Section<'_>, key: &str) -> Option<String> {
    let account = section.text(key)?;
    if !is_account(&account) {
        section.mistake(key, "must be the 12 digits of an account");
    }
    Some(account)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn check_delegated(section: &Section<'_>, grant: &AwsGrant) {
    // A role that was written but is bad was noted before, and is no missing one.
    if grant.role_arn.is_none() && !section.has("role_arn") && !section.has("account_id") {
        section.mistake("role_arn", "or account_id is missing");
    }
    match &grant.external_id {
        Some(id) => check_external_id(section, id),
        None if section.has("external_id") => {}
        None if !grant.insecure => {
            section.mistake("external_id", "is missing, and insecure = true is not said");
        }
        None => check_insecure(section, grant),
    }
}

fn check_external_id(section: &Section<'_>, id: &str) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    if !EXTERNAL_ID_BYTES.contains(&id.len()) || !id.bytes().all(allowed) {
        section.mistake("external_id", "must be 2 to 1224 characters of A-Z, a-z, 0-9 and _+=,.@:/-");
    }
}

/// Whoever goes without an external id says at least what may be read with the role.
fn check_insecure(section: &Section<'_>, grant: &AwsGrant) {
    for (key, missing) in [("buckets", grant.buckets.is_empty()), ("regions", grant.regions.is_empty())] {
        if missing {
            section.mistake(key, "must be listed where insecure = true");
        }
    }
    if grant.buckets.iter().any(|bucket| !bucket.is_empty() && bucket.bytes().all(|byte| byte == b'*')) {
        section.mistake("buckets", "must say which, where insecure = true: a pattern that fits every name lists none");
    }
}

fn check_cross_account(section: &Section<'_>, grant: &AwsGrant) {
    for key in ["role_arn", "account_id", "external_id"] {
        if section.has(key) {
            section.mistake(key, "has no meaning with access = \"cross-account\"");
        }
    }
    if grant.insecure {
        section.mistake("insecure", "has no meaning with access = \"cross-account\"");
    }
}

/// Names of regions, each whole: before a bucket was asked, only its region's own name could tell whether it fits a pattern.
fn regions(section: &mut Section<'_>) -> Vec<String> {
    let regions = section.texts("regions");
    for region in &regions {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=32).contains(&region.len()) || !region.bytes().all(allowed) {
            section.mistake("regions", &format!("must hold names of regions as us-west-2, not {region:?}"));
        }
    }
    regions
}

/// Bucket names; patterns with `*` only where the team's own rights decide what they open.
fn buckets(section: &mut Section<'_>, access: Access) -> Vec<String> {
    let buckets = section.texts("buckets");
    for bucket in &buckets {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'*');
        if bucket.is_empty() || bucket.len() > 222 || !bucket.bytes().all(allowed) {
            section.mistake("buckets", &format!("must hold names of buckets, not {bucket:?}"));
        } else if access == Access::Own && bucket.contains('*') {
            section.mistake("buckets", &format!("must hold exact names without a delegation, not {bucket:?}"));
        }
    }
    buckets
}

pub(super) fn gcp(mut section: Section<'_>) -> GcpGrant {
    let delegated = section.has("service_account");
    let access = access(&mut section, ["impersonate", "cross-project"], delegated);
    let grant = GcpGrant {
        // An address has no case: written otherwise it is still the same.
        service_account: section.text("service_account").map(|account| account.to_ascii_lowercase()),
        uid: section.text("uid"),
        buckets: buckets(&mut section, access),
        user_project: user_project(&mut section),
        recognize_https: section.flag("recognize_https"),
    };
    match (access, &grant.service_account) {
        (Access::Delegated, Some(account)) => check_uid(&section, account, grant.uid.as_deref()),
        (Access::Delegated, None) => section.mistake("service_account", "is missing"),
        (Access::Own, _) => {
            // Nobody could tell whose project the worker's own account would let pay.
            for key in ["service_account", "uid", "user_project"] {
                if section.has(key) {
                    section.mistake(key, "has no meaning with access = \"cross-project\"");
                }
            }
        }
    }
    section.end();
    grant
}

fn check_uid(section: &Section<'_>, account: &str, uid: Option<&str>) {
    let Some((name, domain)) = account.split_once('@') else {
        return section.mistake("service_account", "must be an e-mail address");
    };
    if name.is_empty() || !domain.ends_with(".gserviceaccount.com") {
        section.mistake("service_account", "must be a service account's e-mail address");
    }
    let problem = uid.map_or(Some("is missing"), |uid| problem_of_uid(account, uid));
    if let Some(problem) = problem {
        section.mistake("uid", problem);
    }
}

/// A project's id or number, which stands in a header.
fn user_project(section: &mut Section<'_>) -> Option<String> {
    let project = section.text("user_project")?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte);
    if project.is_empty() || project.len() > 64 || !project.bytes().all(allowed) {
        section.mistake("user_project", "must be a project's id or number");
    }
    Some(project)
}

pub(super) fn azure(mut section: Section<'_>) -> AzureGrant {
    let tenant = section.text("tenant_id");
    if tenant.is_none() && !section.has("tenant_id") {
        section.mistake("tenant_id", "is missing");
    }
    // Only by its id: a tenant has several domains, and a claim of one would say nothing of the others.
    let tenant_id = tenant.as_deref().map(|text| {
        tenant_id(text).unwrap_or_else(|| {
            section.mistake("tenant_id", "must be a tenant's id, such as 7c2f36a1-0000-4000-8000-0123456789ab");
            String::new()
        })
    });
    let tenant_id = tenant_id.unwrap_or_default();
    let accounts = section.texts("accounts");
    for account in &accounts {
        if !azure_blob::is_account(account) {
            section.mistake("accounts", &format!("must hold names of storage accounts, not {account:?}"));
        }
    }
    section.end();
    AzureGrant { tenant_id, accounts }
}
