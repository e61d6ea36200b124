//! What is in a container: names as customers really choose them, states, tiers and checksums.

use longshore::domain::facts::SourceVersion;
use longshore::domain::source::Source;
use md5::{Digest, Md5};

use super::customer::{Customer, as_owner};
use super::*;

/// Blobs' names, as they stand percent-encoded in a URL.
const NAMES: [&str; 20] = [
    "plain.jpg",
    "a%20b.jpg",
    "a%2Bb.jpg",
    "a+c.jpg",
    "a%2520b.jpg",
    "dir/a",
    "dir//a",
    "dir/a/",
    "a%3Fb%3Dc%26d",
    "a%23b",
    "a%25",
    "%C3%A4/%C3%B6.jpg",
    "%E5%86%99%E7%9C%9F.png",
    "a'(b)!*.txt",
    "a;b,c@d$e",
    "a%5Bb%5D%7Bc%7D",
    "...",
    "a..b",
    "a%3Ab",
    "a~b_c-d",
];

#[tokio::test]
async fn every_blob_is_asked_for_by_its_own_name() {
    let (customer, fetcher) = (Customer::new().await, fetcher());
    for (at, name) in NAMES.iter().enumerate() {
        customer.put(name, format!("{at} {name}").as_bytes()).await;
    }
    for (at, name) in NAMES.iter().enumerate() {
        let found = read(&fetcher, &customer.grant(), &customer.url(name)).await;
        assert_eq!(found.unwrap_or_else(|fault| panic!("{name}: {fault:?}")), format!("{at} {name}"));
    }
}

#[tokio::test]
async fn a_blob_of_the_root_container_is_found() {
    let customer = Customer::new().await;
    // It may be there already; if it could not be made, the put says so.
    as_owner(customer.account, "PUT", "/$root?restype=container", &[], b"").await;
    let name = format!("{}.txt", customer.container);
    let block = [("x-ms-blob-type", "BlockBlob")];
    super::customer::owner(customer.account, "PUT", &format!("/$root/{name}"), &block, b"at the root").await;
    customer.grants("$root").await;
    for path in [name.clone(), format!("$root/{name}"), format!("%24root/{name}")] {
        let url = format!("https://{}.{SUFFIX}/{path}", customer.account);
        assert_eq!(read(&fetcher(), &customer.grant(), &url).await.unwrap(), "at the root", "{path}");
    }
}

#[tokio::test]
async fn what_is_missing_is_not_found() {
    let (customer, fetcher) = (Customer::new().await, fetcher());
    let found = read(&fetcher, &customer.grant(), &customer.url("missing")).await;
    let fault = check_code(found, Code::NotFound, "BlobNotFound");
    assert!(fault.request_id.is_some(), "{fault:?}");
    let missing = format!("{}x", customer.container);
    customer.grants(&missing).await;
    let url = format!("https://{}.{SUFFIX}/{missing}/a", customer.account);
    check_code(read(&fetcher, &customer.grant(), &url).await, Code::NotFound, "ContainerNotFound");
}

#[tokio::test]
async fn an_archived_blob_is_archived() {
    let customer = Customer::new().await;
    customer.owner("PUT", "/a.txt?comp=tier", &[("x-ms-access-tier", "Archive")], b"").await;
    let found = read(&fetcher(), &customer.grant(), &customer.url("a.txt")).await;
    check_code(found, Code::Archived, "BlobArchived");
}

#[tokio::test]
async fn a_snapshot_stays_as_it_was() {
    let (customer, fetcher) = (Customer::new().await, fetcher());
    let made = customer.owner("PUT", "/a.txt?comp=snapshot", &[], b"").await;
    let snapshot = made.field("x-ms-snapshot").unwrap().to_owned();
    customer.put("a.txt", b"newer").await;
    let found = read(&fetcher, &customer.grant(), &customer.url(&format!("a.txt?snapshot={snapshot}"))).await;
    assert_eq!(found.unwrap(), "the content");
    assert_eq!(read(&fetcher, &customer.grant(), &customer.url("a.txt")).await.unwrap(), "newer");
}

#[tokio::test]
async fn the_rest_of_a_blob_that_changed_is_refused() {
    let (customer, fetcher) = (Customer::new().await, fetcher());
    let fetched = open(&fetcher, &customer.grant(), &customer.url("a.txt")).await.unwrap();
    assert!(fetched.resumable && fetched.version.etag.is_some() && fetched.version.last_modified.is_some());
    let version = SourceVersion { etag: fetched.version.etag, ..SourceVersion::default() };
    let rest = || Want::Rest { from: 4, version: version.clone() };
    let asked = || request(&customer.grant(), &customer.url("a.txt"), rest()).unwrap();
    let rest = fetcher.open(asked()).await.unwrap();
    let body = rest.body.try_collect::<Vec<_>>().await.unwrap().concat();
    assert_eq!((rest.length, body.as_slice()), (Some(7), &b"content"[..]));
    customer.put("a.txt", b"the content").await;
    assert_eq!(fetcher.open(asked()).await.unwrap_err().code, Code::ChecksumMismatch);
}

#[tokio::test]
async fn the_checksum_that_a_blob_is_stored_with_comes_along() {
    let customer = Customer::new().await;
    let fetched = open(&fetcher(), &customer.grant(), &customer.url("a.txt")).await.unwrap();
    let md5: [u8; 16] = Md5::digest(b"the content").into();
    assert_eq!((fetched.announced.md5, fetched.length), (Some(md5), Some(11)));
}

#[tokio::test]
async fn nothing_is_asked_for_what_is_no_blob() {
    let customer = Customer::new().await;
    let container = format!("https://{}.{SUFFIX}/{}?restype=container&comp=list", customer.account, customer.container);
    for url in [container, customer.url(""), customer.url("a%2F..%2Fb")] {
        let found = read(&fetcher(), &customer.grant(), &url).await;
        assert_eq!(found.unwrap_err().code, Code::BadUrl, "{url}");
    }
    let plain = Source::parse(&customer.url("a.txt?sig=x")).unwrap();
    let record = Team { azure: Some(customer.grant()), ..Team::default() };
    assert_eq!(recognized_for(&record, plain.clone(), &[SUFFIX.to_owned()]), Ok(plain));
    assert!(customer.tokens().await.is_empty() && customer.asked().await.is_empty());
}
