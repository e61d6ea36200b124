//! Names, generations, ranges, checksums and codings: the very bytes that were meant, or none.

use std::io;
use std::net::IpAddr;

use async_compression::tokio::bufread::GzipEncoder;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore::adapters::fetch::HttpOptions;
use longshore::adapters::fetch::gcs::GcsSourceOptions;
use longshore::adapters::fetch::resolve::Names;
use longshore::domain::crc::{Crc, CrcHasher};
use longshore::ports::budget::Unlimited;
use longshore::ports::credentials::{GcpCredentials, GcpToken, GcpUse};
use rustls::RootCertStore;
use tokio::io::AsyncReadExt;

use super::google::{Google, fetcher};
use super::*;
use crate::fetch::server::{Server, answer};

/// Names that differ from each other only where an encoding could lose something.
const NAMES: [&str; 32] = [
    "plain.jpg",
    "a b.jpg",
    "a+b.jpg",
    "a%20b.jpg",
    "a%2Bb.jpg",
    "100%",
    "%2F",
    "dir/a",
    "dir%2Fa",
    "a?b=c&d=e",
    "a#b",
    "a;b:c,d@e",
    "a$b!c'd\"e",
    "a(b)*c",
    "a[b]{c}",
    "a|b^c`d",
    "a<b>",
    "a\\b",
    "a~b_c-d.e",
    "...",
    ".hidden",
    "a..b",
    "dir/.../a",
    "ä/ö/ü.jpg",
    "a\u{308}.jpg",
    "日本語/写真.png",
    "🚢.bin",
    " lead",
    "trail ",
    "é+ü %41",
    "generation=7",
    "o?alt=media",
];

#[tokio::test]
async fn every_name_is_asked_for_as_it_is() {
    let google = Google::start().await;
    let customer = google.customer().await;
    for (at, name) in NAMES.iter().enumerate() {
        customer.put(name, format!("{at} {name}").as_bytes()).await;
    }
    let fetcher = google.fetcher();
    for (at, name) in NAMES.iter().enumerate() {
        let found = read(&fetcher, &customer.record(), object(&customer.bucket, name)).await;
        assert_eq!(found.unwrap_or_else(|fault| panic!("{name:?}: {fault:?}")), format!("{at} {name}"));
    }
}

#[tokio::test]
async fn an_object_comes_with_generation_length_and_checksums() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let made = customer.put("a.bin", b"123456789").await;
    let generation = made["generation"].as_str();
    let fetcher = google.fetcher();
    for want in [Want::Body, Want::Head] {
        let asked = request(&customer.record(), object(&customer.bucket, "a.bin"), want.clone()).unwrap();
        let fetched = fetcher.open(asked).await.unwrap();
        assert_eq!(fetched.version.pin(), generation);
        assert!(fetched.version.etag.is_some() && fetched.version.last_modified.is_some());
        assert_eq!((fetched.length, fetched.resumable), (Some(9), true));
        // The check value of the catalogue of CRC algorithms.
        assert_eq!(fetched.announced.crc, Some(Crc::Crc32c(0xe306_9283)));
        assert!(fetched.announced.md5.is_some());
        let body = bytes(fetched).await.unwrap();
        assert_eq!(body.as_slice(), if want == Want::Body { &b"123456789"[..] } else { &b""[..] });
    }
}

#[tokio::test]
async fn a_pinned_generation_that_is_gone_is_not_found() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let (fetcher, record) = (google.fetcher(), customer.record());
    let first = open(&fetcher, &record, object(&customer.bucket, "a.txt")).await.unwrap().version;
    let by_generation = || pinned(&customer.bucket, "a.txt", first.version.clone().map(Pin::Version));
    assert_eq!(read(&fetcher, &record, by_generation()).await.unwrap(), "the content");
    customer.put("a.txt", b"newer").await;
    check_code(read(&fetcher, &record, by_generation()).await, Code::NotFound);
    assert_eq!(read(&fetcher, &record, object(&customer.bucket, "a.txt")).await.unwrap(), "newer");
}

#[tokio::test]
async fn the_rest_of_an_object_is_of_the_same_generation_or_of_none() {
    let google = Google::start().await;
    let customer = google.customer().await;
    let (fetcher, record) = (google.fetcher(), customer.record());
    let version = open(&fetcher, &record, object(&customer.bucket, "a.txt")).await.unwrap().version;
    let rest = |from| {
        let want = Want::Rest { from, version: version.clone() };
        fetcher.open(request(&record, object(&customer.bucket, "a.txt"), want).unwrap())
    };
    let fetched = rest(4).await.unwrap();
    assert_eq!((fetched.length, fetched.resumable, statuses(&fetched)), (Some(7), true, vec![206]));
    assert_eq!(bytes(fetched).await.unwrap(), b"content");
    customer.put("a.txt", b"another text of this name").await;
    check_code(rest(4).await, Code::ChecksumMismatch);
    customer.delete("a.txt").await;
    check_code(rest(4).await, Code::NotFound);
}

async fn gzipped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzipEncoder::new(text.as_bytes()).read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn an_object_that_is_stored_compressed_is_unpacked_and_checked() {
    let google = Google::start().await;
    let customer = google.customer().await;
    customer.put_coded("a.txt.gz", "gzip", &gzipped("hello, harbour").await).await;
    let fetched = open(&google.fetcher(), &customer.record(), object(&customer.bucket, "a.txt.gz")).await.unwrap();
    // What is announced is of the packed bytes, which nobody behind the fetcher sees.
    assert_eq!((fetched.length, fetched.resumable, fetched.announced.crc), (None, false, None));
    assert!(fetched.version.version.is_some());
    assert_eq!(bytes(fetched).await.unwrap(), b"hello, harbour");
}

/// Any token.
pub(super) struct AnyToken;

#[async_trait]
impl GcpCredentials for AnyToken {
    async fn token(&self, _: GcpUse<'_>) -> Result<Arc<GcpToken>, AttachmentFault> {
        Ok(Arc::new(GcpToken("any".into())))
    }
    async fn refused(&self, _: GcpUse<'_>, _: &GcpToken) {}
    async fn forget(&self, _: &TeamId) {}
}

/// What becomes of an object that is served with these fields: its bytes, and whether they have the sum that is announced.
async fn served(fields: &str, body: Vec<u8>) -> Result<(Vec<u8>, bool), AttachmentFault> {
    let fields = format!("X-Goog-Generation: 7\r\n{fields}");
    let server = Server::start(move |_| answer(200, &fields, &body)).await;
    let fetcher = fetcher(&server.url(""), Arc::new(AnyToken));
    let listing = GcpGrant { buckets: vec!["b".to_owned()], ..GcpGrant::default() };
    let fetched = open(&fetcher, &listing, object("b", "k")).await?;
    let announced = fetched.announced.crc.map(CrcHasher::new);
    let body = bytes(fetched).await?;
    let fits = announced.is_none_or(|mut sum| {
        sum.update(&body);
        sum.fits()
    });
    let asked = server.seen()[0].fields.clone();
    assert_eq!((asked["accept-encoding"].as_str(), asked["authorization"].as_str()), ("gzip", "Bearer any"));
    Ok((body, fits))
}

fn sum(bytes: &[u8]) -> String {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes);
    STANDARD.encode(u32::try_from(sum).unwrap().to_be_bytes())
}

#[tokio::test]
async fn sums_are_held_against_the_bytes_that_they_are_of() {
    const TEXT: &str = "hello, harbour";
    let packed = gzipped(TEXT).await;
    let (of_text, of_packed, wrong) = (sum(TEXT.as_bytes()), sum(&packed), sum(b"another"));
    let broken = Err(Code::ChecksumMismatch);
    for (what, coding, stored, sum, expected) in [
        ("as it is stored", "", "identity", &of_text, Ok(true)),
        ("damaged", "", "identity", &wrong, Ok(false)),
        ("packed as it is stored", "gzip", "gzip", &of_packed, Ok(true)),
        ("packed and damaged", "gzip", "gzip", &wrong, broken),
        ("packed on its way", "gzip", "identity", &of_text, Ok(true)),
        ("packed on its way and damaged", "gzip", "identity", &wrong, Ok(false)),
        ("unpacked on its way", "", "gzip", &of_packed, Ok(true)),
    ] {
        let body = if coding.is_empty() { TEXT.as_bytes().to_vec() } else { packed.clone() };
        let coding = if coding.is_empty() { String::new() } else { format!("Content-Encoding: {coding}\r\n") };
        let fields = format!("{coding}X-Goog-Stored-Content-Encoding: {stored}\r\nX-Goog-Hash: crc32c={sum}\r\n");
        let found = served(&fields, body).await.map_err(|fault| fault.code);
        assert_eq!(found, expected.map(|fits| (TEXT.as_bytes().to_vec(), fits)), "{what}");
    }
}

/// Every name is this machine.
struct Loopback;

#[async_trait]
impl Names for Loopback {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

#[tokio::test]
async fn googles_own_host_passes_the_guard_like_any_other() {
    let listing = GcpGrant { buckets: vec!["b".to_owned()], ..GcpGrant::default() };
    for (allow, expected) in [(Vec::new(), Code::BlockedAddress), (vec!["127.0.0.0/8"], Code::Unavailable)] {
        let allow_networks = allow.iter().map(|network| network.parse().unwrap()).collect();
        let http = HttpOptions { allow_networks, ..HttpOptions::default() };
        let options = GcsSourceOptions { endpoint_url: None, http };
        let (names, budget) = (Arc::new(Loopback), Arc::new(Unlimited));
        let fetcher = GcsFetcher::with(options, Arc::new(AnyToken), budget, names, RootCertStore::empty()).unwrap();
        // Nobody listens on the port of https here.
        let fault = check_code(open(&fetcher, &listing, object("b", "k")).await, expected);
        assert!(fault.message.starts_with("storage.googleapis.com"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_token_follows_no_redirect() {
    let elsewhere = Server::saying(answer(200, "", b"not for them")).await;
    let location = format!("Location: {}\r\n", elsewhere.url("/"));
    for status in [301, 302, 303, 307, 308] {
        let server = Server::saying(answer(status, &location, b"moved")).await;
        let fetcher = fetcher(&server.url(""), Arc::new(AnyToken));
        let listing = GcpGrant { buckets: vec!["b".to_owned()], ..GcpGrant::default() };
        check_code(open(&fetcher, &listing, object("b", "k")).await, Code::HttpStatus);
    }
    assert_eq!(elsewhere.connections(), 0);
}
