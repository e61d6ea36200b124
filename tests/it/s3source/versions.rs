//! Versions, pins and checksums: the very bytes that were meant, or none.

use aws_sdk_s3::primitives::ByteStream;
use longshore::domain::crc::Crc;
use longshore::domain::digest::Sha256;
use serde_json::json;

use super::cloud::{Cloud, Plan};
use super::*;

async fn overwrite(cloud: &Cloud) {
    let body = ByteStream::from_static(b"newer");
    let put = cloud.customer().put_object().bucket(&cloud.bucket).key("a.txt").body(body);
    put.send().await.unwrap();
}

#[tokio::test]
async fn a_pinned_version_is_read_after_it_was_overwritten_and_not_after_it_is_gone() {
    let cloud = Cloud::new(Plan { versions: true, ..Plan::default() }).await;
    let (fetcher, grant) = (cloud.fetcher().await, cloud.grant());
    let first = open(&fetcher, &grant, object(&cloud.bucket, "a.txt")).await.unwrap();
    let version = first.version.version.clone().expect("the bucket keeps versions");
    overwrite(&cloud).await;
    let source = || pinned(&cloud.bucket, "a.txt", Some(Pin::Version(version.clone())));
    assert_eq!(read(&fetcher, &grant, source()).await.unwrap(), "the content");
    assert_eq!(read(&fetcher, &grant, object(&cloud.bucket, "a.txt")).await.unwrap(), "newer");
    let delete = cloud.customer().delete_object().bucket(&cloud.bucket).key("a.txt").version_id(&version);
    delete.send().await.unwrap();
    check_code(read(&fetcher, &grant, source()).await, Code::NotFound);
}

#[tokio::test]
async fn a_pinned_etag_that_is_gone_is_not_found() {
    let cloud = Cloud::new(Plan::default()).await;
    let (fetcher, grant) = (cloud.fetcher().await, cloud.grant());
    let first = open(&fetcher, &grant, object(&cloud.bucket, "a.txt")).await.unwrap();
    assert_eq!(first.version.version, None, "without versions there is none, whatever it is called");
    let etag = first.version.etag.clone().unwrap();
    for pin in [etag.clone(), etag.trim_matches('"').to_owned()] {
        let source = pinned(&cloud.bucket, "a.txt", Some(Pin::Etag(pin)));
        assert_eq!(read(&fetcher, &grant, source).await.unwrap(), "the content");
    }
    overwrite(&cloud).await;
    let source = pinned(&cloud.bucket, "a.txt", Some(Pin::Etag(etag)));
    check_code(read(&fetcher, &grant, source).await, Code::NotFound);
}

#[tokio::test]
async fn the_rest_of_an_object_that_changed_is_refused() {
    let cloud = Cloud::new(Plan::default()).await;
    let (fetcher, grant) = (cloud.fetcher().await, cloud.grant());
    let version = open(&fetcher, &grant, object(&cloud.bucket, "a.txt")).await.unwrap().version;
    let rest = || Want::Rest { from: 4, version: version.clone() };
    let asked = || request(&grant, object(&cloud.bucket, "a.txt"), rest()).unwrap();
    let fetched = fetcher.open(asked()).await.unwrap();
    let body = fetched.body.try_collect::<Vec<_>>().await.unwrap().concat();
    assert_eq!((fetched.length, body.as_slice()), (Some(7), &b"content"[..]));
    overwrite(&cloud).await;
    assert_eq!(fetcher.open(asked()).await.unwrap_err().code, Code::ChecksumMismatch);
}

#[tokio::test]
async fn the_checksum_that_an_object_was_stored_with_comes_along() {
    let objects = json!({
        "sha256": {"text": "abc", "ChecksumAlgorithm": "SHA256"},
        "crc32": {"text": "123456789", "ChecksumAlgorithm": "CRC32"},
    });
    let cloud = Cloud::new(Plan { objects, ..Plan::default() }).await;
    let fetcher = cloud.fetcher().await;
    let sha256 = open(&fetcher, &cloud.grant(), object(&cloud.bucket, "sha256")).await.unwrap();
    assert_eq!(sha256.announced.sha256, Some(Sha256::of(b"abc")));
    let crc32 = open(&fetcher, &cloud.grant(), object(&cloud.bucket, "crc32")).await.unwrap();
    assert_eq!(crc32.announced.crc, Some(Crc::Crc32(0xcbf4_3926)));
    assert_eq!(crc32.announced.md5, None, "an ETag is no digest");
}
