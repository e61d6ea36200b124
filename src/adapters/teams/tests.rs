//! What teams files mean and what is wrong with them.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::domain::team::CallbackFormat;

mod watching;

/// The example of Standard Webhooks' reference libraries.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn options(folder: &Path) -> TeamsOptions {
    TeamsOptions {
        integration_role_name: "Longshore-Integration".into(),
        folder: folder.to_owned(),
        environment: Arc::new(|name| (name == "HOOK_SECRET").then(|| SECRET.to_owned())),
    }
}

fn read(text: &str) -> Result<Directory, Vec<String>> {
    check(text, &options(Path::new("."))).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn team(directory: &Directory, name: &str) -> crate::domain::team::Team {
    let id = TeamId::new(name).expect("a good name");
    directory.get(&id).expect("the team is there").record.clone()
}

/// Each text is part of one mistake, in this order, and there are no more.
fn check_mistakes(text: &str, expected: &[&str]) {
    let mistakes = read(text).expect_err("mistakes");
    assert_eq!(mistakes.len(), expected.len(), "{text}\n{mistakes:#?}");
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.contains(expected), "{mistake:?} does not say {expected:?}");
    }
}

const WHOLE: &str = r#"
[acme]
normalize = "standard"
[acme.aws]
access = "delegated"
role_arn = "arn:aws:iam::111122223333:role/Longshore-Integration"
external_id = "6f1d-x"
buckets = ["acme-raw", "acme-frames-*"]
regions = ["us-west-2"]
recognize_https = false
requester_pays = true
[acme.gcp]
access = "impersonate"
service_account = "longshore-ab12cd34@acme.iam.gserviceaccount.com"
uid = "ab12cd34"
buckets = ["acme-gcs"]
recognize_https = true
[acme.azure]
tenant_id = "7c2f0000-0000-0000-0000-000000000000"
accounts = ["acmeblob"]
[acme.http]
allowed_hosts = ["CDN.acme.com", "*.acme.net"]
[acme.callback]
url = "https://acme.com/hooks"
secret = "env:HOOK_SECRET"
previous_secret = ""
format = "standard"
auth_key = ""
[acme.limits]
requests_per_second = 50
in_flight = 32
bytes_per_second = "10MiB"
weight = 1
"#;

#[test]
fn a_whole_record_is_read() {
    let team = team(&read(WHOLE).expect("a good file"), "acme");
    assert_eq!(team.normalize.as_deref(), Some("standard"));
    let aws = team.aws.expect("a grant");
    assert_eq!(aws.role_arn.as_deref(), Some("arn:aws:iam::111122223333:role/Longshore-Integration"));
    assert_eq!(aws.bucket_owner.as_deref(), Some("111122223333"), "the role's account");
    assert_eq!(aws.buckets, ["acme-raw", "acme-frames-*"]);
    assert!(aws.requester_pays && !aws.recognize_https && !aws.insecure);
    let gcp = team.gcp.expect("a grant");
    assert_eq!(gcp.uid.as_deref(), Some("ab12cd34"));
    assert!(gcp.recognize_https);
    assert_eq!(team.azure.expect("a grant").accounts, ["acmeblob"]);
    assert_eq!(team.allowed_hosts, ["cdn.acme.com", "*.acme.net"]);
    let callback = team.callback.expect("a callback");
    assert_eq!(callback.secret.as_deref(), Some(SECRET));
    assert_eq!((callback.previous_secret, callback.auth_key), (None, None));
    assert_eq!(callback.format, CallbackFormat::Standard);
    assert_eq!(team.limits.bytes_per_second, Some(10 << 20));
    assert_eq!(team.limits.in_flight, Some(32));
}

#[test]
fn an_account_stands_for_the_deployments_role() {
    let directory = read("[a.aws]\naccount_id = \"111122223333\"\nexternal_id = \"xx\"\n").expect("good");
    assert_eq!(
        team(&directory, "a").aws.and_then(|grant| grant.role_arn).as_deref(),
        Some("arn:aws:iam::111122223333:role/Longshore-Integration")
    );
}

#[test]
fn an_empty_table_is_a_team_and_an_empty_file_a_directory() {
    assert_eq!(read("").expect("good").iter().count(), 0);
    assert_eq!(team(&read("[acme]").expect("good"), "acme"), crate::domain::team::Team::default());
}

#[test]
fn all_mistakes_are_told_at_once_with_team_and_line() {
    check_mistakes(
        "[Acme]\ncolour = 1\n[b.aws]\nrole_arn = \"x\"\nbuckets = [1]\n[c]\nlimits = 3\nnormalize = true\n[c.callback]\nurl = \"ftp://h\"\nformat = \"x\"\n",
        &[
            "team Acme, line 1: the team's name must be",
            "team Acme, line 2: colour is no key",
            "team b, line 3: aws.external_id is missing",
            "team b, line 4: aws.role_arn must have the form",
            "team b, line 5: aws.buckets must be a list of texts",
            "team c, line 7: limits must be a table",
            "team c, line 8: normalize must be text",
            "team c, line 10: callback.url must be an http",
            "team c, line 10: callback.url needs callback.secret",
            "team c, line 11: callback.format must be",
        ],
    );
    check_mistakes("[acme\n", &["line 1"]);
    check_mistakes("[acme]\nnormalize = \"a\"\nnormalize = \"b\"\n", &["line 3"]);
    check_mistakes("acme = 1\n", &["team acme, line 1: must be a table"]);
}

#[test]
fn a_delegation_that_others_could_use_is_a_mistake() {
    let role = "[a.aws]\nrole_arn = \"arn:aws:iam::111122223333:role/x\"\n";
    check_mistakes(role, &["aws.external_id is missing"]);
    check_mistakes(&format!("{role}insecure = true\n"), &["aws.buckets must be listed", "aws.regions must be listed"]);
    check_mistakes(&format!("{role}external_id = \"a b\"\n"), &["aws.external_id must be 2 to 1224"]);
    let insecure =
        |buckets: &str| format!("{role}insecure = true\nbuckets = [\"{buckets}\"]\nregions = [\"us-west-2\"]\n");
    assert!(read(&insecure("b")).is_ok() && read(&insecure("b-*")).is_ok());
    check_mistakes(&insecure("*"), &["aws.buckets must say which"]);
    check_mistakes(
        &format!("{role}external_id = \"xx\"\nregions = [\"us-*\"]\n"),
        &["aws.regions must hold names of regions"],
    );
    check_mistakes(
        "[a.aws]\naccess = \"delegated\"\nexternal_id = \"xx\"\n",
        &["aws.role_arn or account_id is missing"],
    );
    check_mistakes(
        &format!("{role}external_id = \"xx\"\naccount_id = \"1\"\n"),
        &["aws.account_id must be the 12 digits", "aws.account_id and role_arn exclude"],
    );
}

#[test]
fn cross_account_lists_hold_exact_names_only() {
    assert!(read("[a.aws]\nbuckets = [\"b\"]\n").is_ok());
    check_mistakes("[a.aws]\naccess = \"cross-account\"\nbuckets = [\"b-*\"]\n", &["exact names"]);
    check_mistakes(
        "[a.aws]\naccess = \"cross-account\"\nexternal_id = \"xx\"\ninsecure = true\n",
        &["aws.external_id has no meaning", "aws.insecure has no meaning"],
    );
    check_mistakes("[a.aws]\naccess = \"open\"\n", &["aws.access must be delegated or cross-account"]);
    check_mistakes("[a.gcp]\nbuckets = [\"b-*\"]\n", &["exact names"]);
}

#[test]
fn a_uid_is_a_whole_part_of_the_service_accounts_name() {
    let with = |uid: &str| {
        format!("[a.gcp]\nservice_account = \"longshore-ab12cd34@p.iam.gserviceaccount.com\"\nuid = \"{uid}\"\n")
    };
    assert!(read(&with("ab12cd34")).is_ok());
    check_mistakes(&with("ab12cd3"), &["at least 8"]);
    check_mistakes(&with("longshore-ab12cd34"), &["whole part"]);
    check_mistakes(&with(""), &["gcp.uid is missing"]);
    check_mistakes("[a.gcp]\naccess = \"impersonate\"\n", &["gcp.service_account is missing"]);
    check_mistakes(
        &with("ab12cd34").replace("p.iam.gserviceaccount.com", "mail.com"),
        &["must be a service account's"],
    );
    let domain = "[a.azure]\ntenant_id = \"acme.onmicrosoft.com\"\n";
    check_mistakes(domain, &["azure.tenant_id must be a tenant's id"]);
    check_mistakes("[a.azure]\naccounts = [\"X\"]\n", &["azure.tenant_id is missing", "azure.accounts must hold"]);
}

#[test]
fn only_a_team_whose_account_is_impersonated_names_who_pays() {
    let account = "service_account = \"longshore-ab12cd34@p.iam.gserviceaccount.com\"\nuid = \"ab12cd34\"\n";
    let directory = read(&format!("[a.gcp]\n{account}user_project = \"acme-billing\"\n")).expect("good");
    assert_eq!(team(&directory, "a").gcp.and_then(|gcp| gcp.user_project).as_deref(), Some("acme-billing"));
    check_mistakes(&format!("[a.gcp]\n{account}user_project = \"a b\"\n"), &["gcp.user_project must be a project's"]);
    check_mistakes("[a.gcp]\nbuckets = [\"b\"]\nuser_project = \"p\"\n", &["gcp.user_project has no meaning"]);
}

#[test]
fn a_callback_is_signed_or_says_that_it_is_not() {
    let url = "[a.callback]\nurl = \"https://h/x\"\n";
    check_mistakes(url, &["needs callback.secret"]);
    check_mistakes(&format!("{url}format = \"scale\"\nsecret = \"{SECRET}\"\n"), &["needs callback.auth_key"]);
    assert!(read(&format!("{url}unsigned = true\n")).is_ok());
    assert!(read(&format!("{url}format = \"scale\"\nauth_key = \"k\"\n")).is_ok());
    assert!(read(&format!("[a.callback]\nsecret = \"{SECRET}\"\n")).is_ok(), "for the tasks' own URLs");
    for key in ["secret", "previous_secret"] {
        check_mistakes(&format!("[a.callback]\n{key} = \"hush\"\n"), &[&format!("callback.{key} must be whsec_")]);
    }
    check_mistakes("[a.callback]\nauth_key = \"a\\u0007b\"\n", &["callback.auth_key must be text that a header"]);
    check_mistakes(
        "[a.callback]\nallowed_hosts = [\"https://h/\"]\n",
        &["callback.allowed_hosts must hold host names"],
    );
}

#[test]
fn a_secret_that_is_not_there_is_a_mistake_that_shows_no_secret() {
    check_mistakes("[a.callback]\nsecret = \"env:NOT_SET\"\n", &["variable NOT_SET, which is not set"]);
    check_mistakes("[a.callback]\nauth_key = \"file:missing\"\n", &["callback.auth_key names the file missing"]);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "k-9\n").expect("written");
    let directory = check("[a.callback]\nauth_key = \"file:key\"\n", &options(folder.path())).expect("good");
    assert_eq!(team(&directory, "a").callback.and_then(|one| one.auth_key).as_deref(), Some("k-9"));
}

#[test]
fn what_two_teams_list_is_a_mistake_of_the_whole_file() {
    let with = |name: &str, role: &str, bucket: &str| {
        format!("[{name}.aws]\naccount_id = \"{role}\"\nexternal_id = \"xx\"\nbuckets = [\"{bucket}\"]\n")
    };
    let two = |role: &str, bucket: &str| with("a", "111122223333", "raw-*") + &with("b", role, bucket);
    assert!(read(&two("111122224444", "other")).is_ok());
    check_mistakes(&two("111122223333", "other"), &["team b, role arn:aws:iam::111122223333"]);
    check_mistakes(&two("111122224444", "raw-1"), &["S3 bucket raw-* is listed by team b too"]);
    check_mistakes(&two("111122224444", "*-1"), &["team b, S3 bucket *-1 is listed by team a too"]);
    check_mistakes(
        "[a.gcp]\nbuckets = [\"g\"]\n[b.gcp]\nbuckets = [\"g\"]\n",
        &["team b, GCS bucket g is listed by team a too"],
    );
    let azure = |name: &str, tenant: &str, account: &str| {
        format!("[{name}.azure]\ntenant_id = \"{tenant}\"\naccounts = [\"{account}\"]\n")
    };
    let (one, other) = ("7c2f36a1-0000-4000-8000-0123456789ab", "11111111-0000-4000-8000-0123456789ab");
    assert!(read(&(azure("a", one, "acmeblob") + &azure("b", other, "boltblob"))).is_ok());
    check_mistakes(
        &(azure("a", one, "acmeblob") + &azure("b", &one.to_uppercase(), "boltblob")),
        &["team b, Azure tenant 7c2f36a1-0000-4000-8000-0123456789ab is listed by team a too"],
    );
    check_mistakes(
        &(azure("a", one, "acmeblob") + &azure("b", other, "acmeblob")),
        &["team b, storage account acmeblob is listed by team a too"],
    );
    let account = "service_account = \"longshore-ab12cd34@p.iam.gserviceaccount.com\"\nuid = \"ab12cd34\"\n";
    check_mistakes(
        &format!("[a.gcp]\n{account}[b.gcp]\n{}", account.replace("@p", "@P")),
        &["team b, service account longshore-ab12cd34@p.iam.gserviceaccount.com is listed by team a too"],
    );
}

#[test]
fn limits_are_whole_numbers_of_at_least_1() {
    check_mistakes(
        "[a.limits]\nrequests_per_second = 0\nin_flight = -1\nbytes_per_second = \"10\"\nweight = 1.5\n",
        &["requests_per_second must", "in_flight must", "bytes_per_second must be a size", "weight must"],
    );
}
