//! The store's contract on a real S3 server: SeaweedFS on loopback, as the test bed starts it.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use bytes::Bytes;
use futures::FutureExt;
use longshore::adapters::store::s3::{S3Options, S3Store};
use longshore::domain::object_key::Key;
use longshore::ports::store::{ObjectMeta, Put, Store, StoreError};
use longshore::store_contract;
use longshore::testing::contracts::store::Fixture;

use crate::bed::weed_endpoint;

const BUCKET: &str = "longshore-store-it";

#[expect(clippy::disallowed_methods, reason = "which server the suite meets is the test's setting, not the program's")]
fn endpoint() -> String {
    std::env::var("LONGSHORE_TEST_S3_URL").unwrap_or_else(|_| weed_endpoint().to_owned())
}

fn options(prefix: &str) -> S3Options {
    S3Options {
        bucket: BUCKET.to_owned(),
        prefix: prefix.to_owned(),
        region: None,
        endpoint_url: Some(endpoint()),
        force_path_style: true,
    }
}

/// A client that is not the store's: it looks at what the store really sent.
fn bystander() -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint())
        .force_path_style(true);
    Client::from_conf(config.build())
}

/// Makes the bucket if it is not there. A server that has just started refuses the first tries.
async fn bucket_made() {
    let client = bystander();
    for _ in 0..20 {
        if client.head_bucket().bucket(BUCKET).send().await.is_ok() {
            return;
        }
        // The answer does not matter: another test may be making it.
        let _ = client.create_bucket().bucket(BUCKET).send().await;
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    panic!("no S3 server answers at {} (LONGSHORE_TEST_S3_URL): start the test bed's SeaweedFS", endpoint());
}

pub(super) async fn store(prefix: &str) -> S3Store {
    bucket_made().await;
    S3Store::with_keys(options(prefix), "test", "test")
}

async fn open_uploads(prefix: String) -> Vec<String> {
    let listed = bystander().list_multipart_uploads().bucket(BUCKET).prefix(prefix).send().await;
    let listed = listed.expect("the server lists its open uploads");
    listed.uploads().iter().map(|upload| upload.key().unwrap_or("?").to_owned()).collect()
}

async fn fixture() -> Fixture {
    let prefix = format!("it/{}", uuid::Uuid::now_v7());
    Fixture {
        store: Arc::new(store(&prefix).await),
        second: Arc::new(store(&format!("{prefix}/")).await),
        leftovers: Box::new(move || open_uploads(prefix.clone()).boxed()),
        keep: Box::new(()),
    }
}

store_contract!(fixture);

#[tokio::test]
async fn objects_carry_their_type_and_facts_for_everybody_to_see() {
    let prefix = format!("it/{}", uuid::Uuid::now_v7());
    let store = store(&prefix).await;
    let meta = ObjectMeta { media_type: "image/jpeg", facts: Some(br#"{"bytes":1}"#) };
    let put = store.put_if_absent(&Key::new("acme/a.jpg"), Bytes::from_static(b"x"), meta).await;
    assert_eq!(put.expect("put"), Put::Stored);
    let mut upload = store.begin(&Key::new("acme/b.jpg"), meta).await.expect("begun");
    upload.part(Bytes::from_static(b"y")).await.expect("taken");
    assert_eq!(upload.finish().await.expect("finished"), Put::Stored);
    for name in ["acme/a.jpg", "acme/b.jpg"] {
        let request = bystander().head_object().bucket(BUCKET).key(format!("{prefix}/{name}"));
        let found = request.send().await.expect("there");
        assert_eq!(found.content_type(), Some("image/jpeg"), "{name}");
        assert_eq!(found.content_encoding(), None, "{name}");
        let facts = found.metadata().and_then(|metadata| metadata.get("longshore-facts"));
        assert_eq!(facts.map(String::as_str), Some(r#"{"bytes":1}"#), "{name}");
    }
    let uri = store.uri(&Key::new("acme/a.jpg"));
    assert_eq!(uri, format!("s3://{BUCKET}/{prefix}/acme/a.jpg"));
}

#[tokio::test]
async fn a_listing_of_more_than_a_page_is_whole() {
    let store = Arc::new(store(&format!("it/{}", uuid::Uuid::now_v7())).await);
    let meta = ObjectMeta { media_type: "text/plain", facts: None };
    let expected: Vec<Key> = (0..1100).map(|number| Key::new(format!("acme/receipts/{number:05}"))).collect();
    for some in expected.chunks(50) {
        let puts = some.iter().map(|key| store.put_if_absent(key, Bytes::new(), meta));
        futures::future::try_join_all(puts).await.expect("put");
    }
    let listed = store.list(&Key::new("acme/receipts"), None, 1050).await.expect("listed");
    assert_eq!(listed, expected[..1050]);
    let rest = store.list(&Key::new("acme/receipts"), listed.last(), 2000).await.expect("listed");
    assert_eq!(rest, expected[1050..]);
}

fn refusal(error: StoreError) -> String {
    match error {
        StoreError::Refused(sentence) => sentence,
        StoreError::Unavailable(_) | StoreError::Corrupt(_) => panic!("not a refusal: {error}"),
    }
}

/// Looking at a bucket that is not there. (SeaweedFS makes one for an administrator who puts; Amazon S3 does not.)
#[tokio::test]
async fn a_missing_bucket_is_refused_by_name() {
    bucket_made().await;
    let mut options = options("");
    options.bucket = format!("longshore-no-{}", uuid::Uuid::now_v7());
    let store = S3Store::with_keys(options, "test", "test");
    for error in [
        store.check().await.expect_err("no bucket"),
        store.get(&Key::new("acme/x"), 10).await.expect_err("no bucket"),
        store.list(&Key::new("acme"), None, 10).await.expect_err("no bucket"),
    ] {
        let sentence = refusal(error);
        assert!(sentence.contains("longshore-no-") && sentence.contains("create"), "{sentence}");
    }
}

#[tokio::test]
async fn wrong_keys_are_refused_with_what_to_do() {
    bucket_made().await;
    for (id, secret) in [("nobody", "test"), ("test", "wrong")] {
        let store = S3Store::with_keys(options(""), id, secret);
        let sentence = refusal(store.get(&Key::new("acme/x"), 10).await.expect_err("wrong keys"));
        assert!(sentence.contains("credentials") || sentence.contains("rights"), "{sentence}");
        refusal(store.check().await.expect_err("wrong keys"));
        refusal(store.probe().await.expect_err("wrong keys"));
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_at_once() {
    let mut options = options("");
    // A port that was free a moment ago: nobody listens.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    options.endpoint_url = Some(format!("http://127.0.0.1:{port}"));
    let store = S3Store::with_keys(options, "test", "test");
    let checked = tokio::time::timeout(std::time::Duration::from_secs(5), store.check()).await;
    let error = checked.expect("soon").expect_err("nobody listens");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}
