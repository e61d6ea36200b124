//! What Google's refusals mean: told apart where something proves it, and waited out where it asks for patience.

use serde_json::json;

use super::google::{Customer, Google, US};
use super::*;

async fn asked(google: &Google, customer: &Customer, name: &str) -> Result<String, AttachmentFault> {
    read(&google.fetcher(), &customer.record(), object(&customer.bucket, name)).await
}

#[tokio::test]
async fn forbidden_and_missing_are_told_apart_only_by_the_list() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let account = customer.account.as_str();
    for (rights, name, expected) in [
        (json!({"readers": [account]}), "missing", Some(Code::NotFound)),
        (json!({"getters": [account]}), "missing", Some(Code::AccessDeniedOrMissing)),
        (json!({"getters": [account]}), "a.txt", None),
        (json!({"listers": [account]}), "a.txt", Some(Code::AccessDenied)),
        (json!({"listers": [account]}), "a", Some(Code::NotFound)),
        (json!({"listers": [account]}), "zzz", Some(Code::NotFound)),
        (json!({}), "a.txt", Some(Code::AccessDeniedOrMissing)),
    ] {
        google.grant(&customer, &[US], rights.clone()).await;
        let found = asked(&google, &customer, name).await;
        assert_eq!(found.err().map(|fault| fault.code), expected, "{rights} {name}");
    }
    assert!(!google.readers().await.contains(&US.to_owned()));
}

#[tokio::test]
async fn a_403_that_asks_for_patience_is_no_refusal() {
    let google = Google::start().await;
    let customer = google.customer().await;
    for (status, reason, expected) in [
        (403, "rateLimitExceeded", Code::Throttled),
        (403, "userRateLimitExceeded", Code::Throttled),
        (403, "quotaExceeded", Code::Throttled),
        (429, "rateLimitExceeded", Code::Throttled),
        (503, "backendError", Code::Unavailable),
        (500, "internalError", Code::Unavailable),
        (408, "requestTimeout", Code::Timeout),
        (403, "cloudKmsDisabledKey", Code::KmsDenied),
        (400, "invalidArgument", Code::HttpStatus),
    ] {
        google.fail(&customer.bucket, 1, status, reason).await;
        let fault = check_code(asked(&google, &customer, "a.txt").await, expected);
        assert_eq!(fault.http_status, Some(status), "{reason}");
        assert_eq!(fault.provider_code.map(|code| code.to_lowercase()), Some(reason.to_lowercase()));
        // The next one goes well: nothing is kept of it.
        assert_eq!(asked(&google, &customer, "a.txt").await.unwrap(), "the content");
    }
}

#[tokio::test]
async fn readers_pay_only_with_a_project_that_the_team_names() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let rights = json!({"readers": [customer.account], "payers": ["acme-billing"]});
    google.grant(&customer, &[US], rights).await;
    let fault = check_code(asked(&google, &customer, "a.txt").await, Code::RequesterPays);
    assert_eq!((fault.http_status, fault.provider_code.as_deref()), (Some(400), Some("UserProjectMissing")));
    assert_eq!(google.statuses().await, [400, 400], "a second answer proves it");
    for (project, expected) in [("acme-billing", Ok("the content")), ("other", Err(Code::RequesterPays))] {
        let agreed = GcpGrant { user_project: Some(project.to_owned()), ..customer.record() };
        let found = read(&google.fetcher(), &agreed, object(&customer.bucket, "a.txt")).await;
        assert_eq!(found.map_err(|fault| fault.code).as_deref(), expected.as_ref().map(|text| *text), "{project}");
    }
    // What only one answer says is not claimed.
    google.grant(&customer, &[US], json!({"readers": [customer.account]})).await;
    google.fail(&customer.bucket, 1, 400, "userProjectMissing").await;
    check_code(asked(&google, &customer, "a.txt").await, Code::AccessDenied);
}

#[tokio::test]
async fn tokens_that_are_refused_again_and_again_are_broken() {
    let google = Google::start().await;
    let customer = google.customer().await;
    google.fail(&customer.bucket, 2, 401, "authError").await;
    check_code(asked(&google, &customer, "a.txt").await, Code::IntegrationBroken);
    assert_eq!(google.impersonations(&customer).await, 2, "one other token is tried");
    google.fail(&customer.bucket, 2, 401, "authError").await;
    google.grant(&customer, &[US], json!({"readers": [US]})).await;
    let listing = GcpGrant { buckets: vec![customer.bucket.clone()], ..GcpGrant::default() };
    let found = read(&google.fetcher(), &listing, object(&customer.bucket, "a.txt")).await;
    check_code(found, Code::Unavailable);
}

#[tokio::test]
async fn whoever_checks_a_grant_finds_an_object_to_try() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let asked = request(&customer.record(), object(&customer.bucket, "x"), Want::Head).unwrap();
    let fetcher = google.fetcher();
    let any = || fetcher.any_object(&asked.team, &asked.grant, &customer.bucket);
    assert_eq!(any().await.unwrap().as_deref(), Some("a.txt"));
    customer.delete("a.txt").await;
    assert_eq!(any().await.unwrap(), None);
    for (rights, expected) in [
        (json!({"getters": [customer.account]}), Code::AccessDenied),
        (json!({"readers": [customer.account], "payers": []}), Code::RequesterPays),
    ] {
        google.grant(&customer, &[US], rights).await;
        check_code(any().await, expected);
    }
    let found = fetcher.any_object(&asked.team, &asked.grant, "gcs-that-is-not-there").await;
    check_code(found, Code::AccessDenied);
}
