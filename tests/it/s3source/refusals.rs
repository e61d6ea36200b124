//! What S3 refuses, and what is reported: never more than a second answer proves.

use serde_json::{Value, json};

use longshore::ports::credentials::AwsKeys;

use super::access::Fixed;
use super::cloud::{Cloud, Plan, allow, read_only};
use super::*;
use crate::fetch::server::{Server, answer, head};

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

/// A bucket that lets in only those who pay, at an address of its own.
async fn where_readers_pay() -> (S3Fetcher, Server) {
    let refusal = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
    let server = Server::start(move |asked| match asked.fields.get("x-amz-request-payer").map(String::as_str) {
        Some("requester") if asked.method == "GET" => answer(200, "ETag: \"e\"\r\n", b"paid"),
        Some("requester") => vec![head(200, "Content-Length: 4\r\n")],
        _ => answer(403, "", refusal),
    });
    let server = server.await;
    let keys = AwsKeys { access_key_id: "k".into(), secret_access_key: "s".into(), session_token: None };
    (fetcher(&server.url("/"), Arc::new(Fixed(Arc::new(keys)))), server)
}

#[tokio::test]
async fn a_bucket_whose_readers_pay_is_read_by_those_who_agreed_and_said_to_be_one_when_proven() {
    let (fetcher, server) = where_readers_pay().await;
    let agreed = AwsGrant { buckets: vec!["bucket".into()], requester_pays: true, ..AwsGrant::default() };
    assert_eq!(read(&fetcher, &agreed, object("bucket", "a.txt")).await.unwrap(), "paid");
    let not_agreed = AwsGrant { requester_pays: false, ..agreed };
    let found = read(&fetcher, &not_agreed, object("bucket", "a.txt")).await;
    let fault = check_code(found, Code::RequesterPays);
    assert!(fault.message.contains("requester_pays = true"), "{fault:?}");
    // The first answer alone proved nothing; what proved it asked for no body.
    let asked = server.seen().split_off(1);
    let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["GET", "HEAD"]);
}

#[tokio::test]
async fn what_a_key_service_refuses_is_kms_denied() {
    let body = b"<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: \
                 kms:Decrypt on resource: arn:aws:kms:us-west-2:1:key/k because no identity-based policy allows it</Message></Error>";
    let server = Server::saying(answer(403, "x-amz-request-id: r-1\r\n", body)).await;
    let keys = AwsKeys { access_key_id: "k".into(), secret_access_key: "s".into(), session_token: None };
    let fetcher = fetcher(&server.url("/"), Arc::new(Fixed(Arc::new(keys))));
    let grant = AwsGrant { buckets: vec!["bucket".into()], ..AwsGrant::default() };
    let fault = check_code(read(&fetcher, &grant, object("bucket", "a.txt")).await, Code::KmsDenied);
    assert_eq!(fault.request_id.as_deref(), Some("r-1"));
    assert_eq!(server.seen().len(), 1, "it said why itself");
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
