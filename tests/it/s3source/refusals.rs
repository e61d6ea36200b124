//! What S3 refuses, and what is reported: never more than a second answer proves.

use serde_json::{Value, json};

use super::cloud::{Cloud, Plan, allow, read_only};
use super::*;

/// A role that may list all of its bucket and read a part of it.
fn read_open_part(bucket: &str) -> Value {
    json!([
        allow(&["s3:GetObject"], &format!("arn:aws:s3:::{bucket}/open/*")),
        allow(&["s3:ListBucket"], &format!("arn:aws:s3:::{bucket}")),
    ])
}

async fn check(cloud: &Cloud, key: &str, expected: Code) -> AttachmentFault {
    let found = read(&cloud.fetcher().await, &cloud.grant(), object(&cloud.bucket, key)).await;
    check_code(found, expected)
}

#[tokio::test]
async fn a_missing_key_is_missing_to_those_who_may_list() {
    let cloud = Cloud::new(Plan::default()).await;
    let fault = check(&cloud, "missing", Code::NotFound).await;
    assert_eq!(fault.provider_code.as_deref(), Some("NoSuchKey"));
    assert_eq!(fault.http_status, Some(404));
}

#[tokio::test]
async fn a_missing_key_is_missing_or_denied_to_those_who_may_not() {
    let cloud = Cloud::new(Plan { role_policies: read_only, ..Plan::default() }).await;
    let fault = check(&cloud, "missing", Code::AccessDeniedOrMissing).await;
    assert_eq!(fault.provider_code.as_deref(), Some("AccessDenied"));
    assert!(fault.request_id.is_some());
}

#[tokio::test]
async fn a_key_that_is_listed_and_not_readable_is_denied() {
    let objects = json!({"open/a": "x", "shut/a b+c": "y"});
    let cloud = Cloud::new(Plan { role_policies: read_open_part, objects, ..Plan::default() }).await;
    check(&cloud, "shut/a b+c", Code::AccessDenied).await;
    // The list shows a longer key first, or none.
    check(&cloud, "shut/a", Code::NotFound).await;
    check(&cloud, "shut/z", Code::NotFound).await;
}

#[tokio::test]
async fn a_bucket_of_another_owner_is_said_to_be_one_only_when_proven() {
    let cloud = Cloud::new(Plan::default()).await;
    let elsewhere = AwsGrant { bucket_owner: Some("111122223333".to_owned()), ..cloud.grant() };
    let fetcher = cloud.fetcher().await;
    let found = read(&fetcher, &elsewhere, object(&cloud.bucket, "a.txt")).await;
    check_code(found, Code::WrongOwner);
    let closed = Cloud::new(Plan { role_policies: |_| json!([]), ..Plan::default() }).await;
    let elsewhere = AwsGrant { bucket_owner: Some("111122223333".to_owned()), ..closed.grant() };
    let found = read(&closed.fetcher().await, &elsewhere, object(&closed.bucket, "a.txt")).await;
    check_code(found, Code::AccessDeniedOrMissing);
}

#[tokio::test]
async fn an_archived_object_is_archived() {
    let objects = json!({"cold": {"text": "x", "StorageClass": "GLACIER"}});
    let cloud = Cloud::new(Plan { objects, ..Plan::default() }).await;
    let fault = check(&cloud, "cold", Code::Archived).await;
    assert_eq!(fault.provider_code.as_deref(), Some("InvalidObjectState"));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_not_found() {
    let cloud = Cloud::new(Plan::default()).await;
    let missing = format!("{}-missing", cloud.bucket);
    let found = read(&cloud.fetcher().await, &cloud.grant(), object(&missing, "a")).await;
    check_code(found, Code::NotFound);
}

#[tokio::test]
async fn codes_count_before_statuses() {
    for (status, code, expected) in [
        (400, "KMS.DisabledException", Code::KmsDenied),
        (400, "RequestTimeout", Code::Timeout),
        (503, "SlowDown", Code::Throttled),
        (500, "InternalError", Code::Unavailable),
        (403, "RequestTimeTooSkewed", Code::Internal),
        (403, "SignatureDoesNotMatch", Code::Internal),
        (403, "AllAccessDisabled", Code::AccessDenied),
    ] {
        let cloud = Cloud::new(Plan::default()).await;
        cloud.fail(status, code, json!({"Retry-After": "7"})).await;
        let fault = check(&cloud, "a.txt", expected).await;
        assert_eq!(fault.provider_code.as_deref(), Some(code));
        let expected = (status == 503).then_some(Duration::from_secs(7));
        assert_eq!(fault.retry_after, expected, "{code}");
        assert!(!fault.message.contains("injected"), "{}", fault.message);
        assert_eq!(cloud.assumed().await.len(), 1);
    }
}

#[tokio::test]
async fn throttling_and_outages_of_sts_pass() {
    for (status, code, expected) in [
        (400, "Throttling", Code::Throttled),
        (503, "ServiceUnavailable", Code::Unavailable),
        (403, "ExpiredToken", Code::Unavailable),
    ] {
        let cloud = Cloud::new(Plan::default()).await;
        let grant = cloud.grant();
        let desk = super::sessions::Desk::refusing(status, code).await;
        let fetcher = desk.fetcher().await;
        let fault = check_code(read(&fetcher, &grant, object(&cloud.bucket, "a.txt")).await, expected);
        assert!(fault.fault().is_transient());
        assert_eq!(fault.provider_code.as_deref(), Some(code));
        assert!(cloud.asked().await.is_empty());
    }
}
