//! What every [`Fetcher`] keeps, whatever it fetches from.
//!
//! An [`Origin`] puts objects where its fetcher finds them; each function below is one sentence of the contract.
//! [`keeps_the_contract`] runs all of them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use crate::adapters::memory::fetcher::{MemoryFetcher, MemoryObject};
use crate::domain::access::Grant;
use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::source::Source;
use crate::domain::team::{KnownTeam, Team};
use crate::ports::fetcher::{FetchRequest, Fetched, Fetcher, Want};

/// Where a suite's objects lie.
#[async_trait]
pub trait Origin: Send + Sync {
    /// The fetcher under test.
    fn fetcher(&self) -> Arc<dyn Fetcher>;

    /// With whose rights its sources are read.
    fn grant(&self) -> Grant {
        Grant::None
    }

    /// Puts `object` under `name`, in place of what was there, and returns where it is fetched from. Of an object only bytes,
    /// ETag, ranges, failures (as 503) and truncations count.
    async fn put(&self, name: &str, object: MemoryObject) -> Source;

    /// A source below which nothing lies.
    async fn missing(&self) -> Source;
}

/// The memory fetcher as its own origin.
#[derive(Default)]
pub struct MemoryOrigin(Arc<MemoryFetcher>);

#[async_trait]
impl Origin for MemoryOrigin {
    fn fetcher(&self) -> Arc<dyn Fetcher> {
        self.0.clone()
    }

    async fn put(&self, name: &str, object: MemoryObject) -> Source {
        let source = memory_source(name);
        self.0.put(&source, object);
        source
    }

    async fn missing(&self) -> Source {
        memory_source("missing")
    }
}

fn memory_source(name: &str) -> Source {
    Source::parse(&format!("https://origin.test/{name}")).expect("names of the suite are plain")
}

/// Runs the whole suite.
///
/// # Panics
/// Where the contract is broken.
pub async fn keeps_the_contract(origin: &dyn Origin) {
    a_body_comes_whole_with_its_length_and_version(origin).await;
    a_head_tells_as_much_without_a_body(origin).await;
    what_is_not_there_is_not_found(origin).await;
    a_failure_is_told_and_not_retried(origin).await;
    a_broken_body_ends_in_truncated_after_the_bytes_that_came(origin).await;
    the_rest_of_a_broken_body_is_the_rest_of_the_same_version(origin).await;
    a_source_without_ranges_or_version_gives_no_rest(origin).await;
    a_body_may_be_left_half_read(origin).await;
}

/// The bytes, what is left unsaid of them, and one request's story.
async fn a_body_comes_whole_with_its_length_and_version(origin: &dyn Origin) {
    for size in [0, 1, 200_000] {
        let bytes = pattern(size);
        let source = origin.put("whole", MemoryObject::new(bytes.clone()).with_etag("\"v1\"")).await;
        let fetched = open(origin, &source, Want::Body).await.expect("it is there");
        assert_eq!(fetched.length, Some(size as u64));
        assert_eq!(fetched.version.etag.as_deref(), Some("\"v1\""));
        assert!(fetched.resumable && fetched.hops.len() == 1, "{:?}", fetched.hops);
        assert!(read(fetched).await == (bytes, None), "{size} bytes");
    }
    let source = origin.put("plain", MemoryObject::new(pattern(9))).await;
    let fetched = open(origin, &source, Want::Body).await.expect("it is there");
    assert!(fetched.version.pin().is_none() && !fetched.resumable);
}

async fn a_head_tells_as_much_without_a_body(origin: &dyn Origin) {
    let source = origin.put("head", MemoryObject::new(pattern(777)).with_etag("\"v1\"")).await;
    let head = open(origin, &source, Want::Head).await.expect("it is there");
    assert_eq!(head.version.etag.as_deref(), Some("\"v1\""));
    assert_eq!(head.length, Some(777));
    assert!(read(head).await == (Bytes::new(), None));
}

async fn what_is_not_there_is_not_found(origin: &dyn Origin) {
    let source = origin.missing().await;
    for want in [Want::Body, Want::Head, rest(3, "\"v1\"")] {
        let fault = open(origin, &source, want).await.expect_err("nothing is there");
        assert_eq!(fault.code, Code::NotFound);
    }
}

async fn a_failure_is_told_and_not_retried(origin: &dyn Origin) {
    let fault = AttachmentFault::new(Code::Unavailable, "down").with_status(503);
    let source = origin.put("failing", MemoryObject::new(pattern(5)).failing(2, fault)).await;
    for _ in 0..2 {
        let fault = open(origin, &source, Want::Body).await.expect_err("it fails twice");
        assert_eq!((fault.code, fault.http_status), (Code::Unavailable, Some(503)));
    }
    let fetched = open(origin, &source, Want::Body).await.expect("the third goes well");
    assert!(read(fetched).await == (pattern(5), None));
}

async fn a_broken_body_ends_in_truncated_after_the_bytes_that_came(origin: &dyn Origin) {
    let source = origin.put("broken", MemoryObject::new(pattern(100_000)).breaking(1, 30_000)).await;
    let fetched = open(origin, &source, Want::Body).await.expect("the head comes");
    assert_eq!(fetched.length, Some(100_000));
    let (bytes, fault) = read(fetched).await;
    assert!(bytes.len() <= 30_000 && bytes == pattern(100_000)[..bytes.len()]);
    assert_eq!(fault, Some(Code::Truncated));
}

async fn the_rest_of_a_broken_body_is_the_rest_of_the_same_version(origin: &dyn Origin) {
    let object = MemoryObject::new(pattern(100_000));
    let source = origin.put("resumed", object.clone().with_etag("\"v1\"")).await;
    let fetched = open(origin, &source, rest(30_000, "\"v1\"")).await.expect("ranges are given");
    assert_eq!(fetched.length, Some(70_000));
    assert!(fetched.resumable);
    assert!(read(fetched).await == (pattern(100_000).slice(30_000..), None));
    origin.put("resumed", object.with_etag("\"v2\"")).await;
    let fault = open(origin, &source, rest(30_000, "\"v1\"")).await.expect_err("it changed");
    assert_eq!(fault.code, Code::ChecksumMismatch);
}

async fn a_source_without_ranges_or_version_gives_no_rest(origin: &dyn Origin) {
    let mut object = MemoryObject::new(pattern(1000)).with_etag("\"v1\"");
    object.ranges = false;
    let source = origin.put("unranged", object).await;
    let whole = open(origin, &source, Want::Head).await.expect("it is there");
    assert!(!whole.resumable);
    let unpinned = Want::Rest { from: 10, version: SourceVersion::default() };
    for want in [rest(10, "\"v1\""), unpinned] {
        let fault = open(origin, &source, want).await.expect_err("no ranges");
        assert_eq!(fault.code, Code::Truncated);
    }
}

async fn a_body_may_be_left_half_read(origin: &dyn Origin) {
    let source = origin.put("left", MemoryObject::new(pattern(300_000))).await;
    for _ in 0..3 {
        let mut fetched = open(origin, &source, Want::Body).await.expect("it is there");
        assert!(fetched.body.next().await.is_some_and(|piece| piece.is_ok()));
    }
    let fetched = open(origin, &source, Want::Body).await.expect("it is still there");
    assert!(read(fetched).await == (pattern(300_000), None));
}

fn rest(from: u64, etag: &str) -> Want {
    let etag = Some(etag.to_owned());
    Want::Rest { from, version: SourceVersion { etag, ..SourceVersion::default() } }
}

fn pattern(bytes: usize) -> Bytes {
    (0..=250).cycle().take(bytes).collect::<Vec<u8>>().into()
}

async fn open(origin: &dyn Origin, source: &Source, want: Want) -> Result<Fetched, AttachmentFault> {
    let id = TeamId::new("acme").expect("a plain name");
    let team = Arc::new(KnownTeam { id, record: Team::default() });
    origin.fetcher().open(FetchRequest { team, source: source.clone(), grant: origin.grant(), want }).await
}

/// The bytes that came, and the fault that ended them.
async fn read(mut fetched: Fetched) -> (Bytes, Option<Code>) {
    let mut bytes = Vec::new();
    loop {
        match fetched.body.try_next().await {
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return (bytes.into(), None),
            Err(fault) => return (bytes.into(), Some(fault.code)),
        }
    }
}
