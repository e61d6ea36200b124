//! What every store keeps, as tests over a fixture: [`crate::ports::store::Store`] says it in words.
//!
//! [`store_contract!`](crate::store_contract) makes one test of each function. Each starts on an empty place of its own.
//! Two functions are no part of it, since not every S3 server keeps them: [`listing_follows_whole_keys`] and
//! [`racing_uploads_have_one_winner`]. Speed, power failure and refusals of one kind of store are not looked at here.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::domain::object_key::Key;
use crate::ports::store::{Head, ObjectMeta, PART_BYTES, Put, Store, StoreError, Upload};

mod documents;
mod listing;
mod uploads;

pub use documents::*;
pub use listing::*;
pub use uploads::*;

/// A store on an empty place, and what a test must know of it.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Another client on the same place, which shares nothing with the first in memory.
    pub second: Arc<dyn Store>,
    /// Names what unfinished uploads have left behind: temporary files, open multipart uploads.
    pub leftovers: Box<dyn Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync>,
    /// Held for as long as the place must exist.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Makes one test of each function of the suite; `$fixture` names an async function that returns a [`Fixture`].
#[macro_export]
macro_rules! store_contract {
    ($fixture:path) => {
        $crate::store_contract!(@each $fixture:
            a_first_put_stores_and_a_second_finds_it,
            sixteen_racing_puts_have_one_winner,
            facts_come_back_where_the_store_keeps_them,
            odd_keys_are_kept_apart,
            a_stem_is_found_with_and_without_extension,
            a_stem_is_not_confused_with_a_longer_one,
            reading_streams_the_exact_bytes,
            a_document_larger_than_allowed_is_corrupt,
            what_is_not_there_is_none,
            an_overwritten_document_is_the_newest,
            listing_is_in_order_and_pages,
            pages_visit_each_key_once,
            listing_stays_below_its_folder,
            addresses_are_absolute_and_differ,
            the_probe_passes_and_clears_up,
            a_check_passes,
            an_upload_gives_the_whole_of_its_parts,
            an_upload_of_one_short_part_gives_it,
            an_upload_of_nothing_gives_an_empty_object,
            nothing_is_visible_before_finish,
            an_aborted_upload_leaves_nothing,
            a_dropped_upload_leaves_nothing,
            finishing_over_an_object_keeps_the_first,
            finishing_again_says_exists,
        );
    };
    (@each $fixture:path: $($name:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::testing::contracts::store::$name($fixture().await).await;
            }
        )+
    };
}

const PLAIN: ObjectMeta<'static> = ObjectMeta { media_type: "application/octet-stream", facts: None };

/// Waits for at most half a minute until nothing is left of unfinished uploads.
async fn assert_nothing_left(fixture: &Fixture) {
    for _ in 0..300 {
        if (fixture.leftovers)().await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = (fixture.leftovers)().await;
    panic!("unfinished uploads must leave nothing, but there is still {left:?}");
}

async fn put(store: &dyn Store, key: &str, content: &'static str) -> Put {
    store
        .put_if_absent(&Key::new(key), Bytes::from_static(content.as_bytes()), PLAIN)
        .await
        .unwrap_or_else(|error| panic!("a put to {key} must work: {error}"))
}

async fn content_of(store: &dyn Store, key: &Key) -> Option<Bytes> {
    let stream = store.read(key).await.unwrap_or_else(|error| panic!("{key} must open for reading: {error}"))?;
    let chunks: Vec<Bytes> =
        stream.try_collect().await.unwrap_or_else(|error| panic!("{key} must be read to its end: {error}"));
    Some(Bytes::from(chunks.concat()))
}

async fn assert_holds(store: &dyn Store, key: &Key, expected: &[u8]) {
    let content = content_of(store, key).await;
    let content = content.unwrap_or_else(|| panic!("{key} must be there"));
    assert_eq!(content.len(), expected.len(), "{key} must have its size");
    assert!(content == expected, "{key} must have the very bytes that were put");
    let head = store.head(key).await.expect("a head must be answered");
    let bytes = head.map(|head| head.bytes);
    assert_eq!(bytes, Some(expected.len() as u64), "the head of {key} must tell its size");
}

async fn assert_absent(store: &dyn Store, key: &Key) {
    let head = store.head(key).await.expect("a head must be answered");
    assert_eq!(head, None, "nothing may stand at {key}");
    let found = store.find(key).await.expect("a find must be answered");
    assert_eq!(found, None, "nothing may be found at {key}");
    assert!(content_of(store, key).await.is_none(), "nothing may be read at {key}");
    let folder = key.as_str().rsplit_once('/').expect("the suite's keys have a folder").0;
    let listed = store.list(&Key::new(folder), None, 1000).await.expect("a list must be answered");
    assert!(!listed.contains(key), "{key} may not be listed");
}

/// Bytes that differ from part to part and place to place.
fn pattern(seed: u8, length: usize) -> Bytes {
    let mut state = u32::from(seed) | 0x9e37_0000;
    let bytes = (0..length).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    });
    bytes.collect()
}

async fn begun(store: &dyn Store, key: &Key) -> Box<dyn Upload> {
    store.begin(key, PLAIN).await.unwrap_or_else(|error| panic!("an upload to {key} must begin: {error}"))
}

async fn parted(upload: &mut dyn Upload, parts: &[Bytes]) {
    for (index, part) in parts.iter().enumerate() {
        upload.part(part.clone()).await.unwrap_or_else(|error| panic!("part {index} must be taken: {error}"));
    }
}

async fn finished(upload: &mut dyn Upload) -> Put {
    upload.finish().await.unwrap_or_else(|error| panic!("an upload must finish: {error}"))
}
