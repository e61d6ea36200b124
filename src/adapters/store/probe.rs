//! Proves once, at start, that a store keeps the one word that everything rests on: the first whole copy stays.
//!
//! A store that takes `If-None-Match: *` and overwrites all the same looks healthy until two workers meet; so it is asked for
//! both ways of putting, and what stands there afterwards is read back. Everything is below `_probe/` and removed again.

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::domain::object_key::Key;
use crate::ports::store::{ObjectMeta, Put, Store, StoreError};

const FIRST: &[u8] = b"first";
const SECOND: &[u8] = b"second";

const META: ObjectMeta<'static> = ObjectMeta { media_type: "text/plain", facts: None };

/// A store that can take away what the probe wrote. No port: nothing else of ours is ever deleted.
#[async_trait]
pub trait Probed: Store {
    /// Removes `key`; quiet when nothing is there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove(&self, key: &Key) -> Result<(), StoreError>;
}

/// Writes twice by put and once by upload, reads back, and clears up whatever came of it.
///
/// # Errors
/// `Refused` for a store that overwrites, `Corrupt` for one that gives back something else, or as any call.
pub async fn probe(store: &(impl Probed + ?Sized)) -> Result<(), StoreError> {
    let id = Uuid::now_v7();
    let put_key = Key::new(format!("_probe/{id}-put"));
    let upload_key = Key::new(format!("_probe/{id}-upload"));
    let answer = probe_keys(store, &put_key, &upload_key).await;
    let cleared = (store.remove(&put_key).await, store.remove(&upload_key).await);
    answer.and(cleared.0).and(cleared.1)
}

async fn probe_keys(store: &(impl Probed + ?Sized), put_key: &Key, upload_key: &Key) -> Result<(), StoreError> {
    // `Exists` is no fault of a first put here: its lost answer is not to be told from it. What is read back decides.
    store.put_if_absent(put_key, Bytes::from_static(FIRST), META).await?;
    let second = store.put_if_absent(put_key, Bytes::from_static(SECOND), META).await?;
    judge(store, put_key, second, "PutObject").await?;
    upload(store, upload_key, FIRST).await?;
    let second = upload(store, upload_key, SECOND).await?;
    judge(store, upload_key, second, "CompleteMultipartUpload").await
}

async fn upload(store: &(impl Probed + ?Sized), key: &Key, content: &'static [u8]) -> Result<Put, StoreError> {
    let mut upload = store.begin(key, META).await?;
    let answer = match upload.part(Bytes::from_static(content)).await {
        Ok(()) => upload.finish().await,
        Err(error) => Err(error),
    };
    if answer.is_err() {
        upload.abort().await;
    }
    answer
}

async fn judge(store: &(impl Probed + ?Sized), key: &Key, second: Put, request: &str) -> Result<(), StoreError> {
    let content = store.get(key, FIRST.len() + SECOND.len()).await?;
    match (second, content.as_deref()) {
        (Put::Exists, Some(FIRST)) => Ok(()),
        (Put::Stored, _) | (Put::Exists, Some(SECOND)) => Err(overwrites(store, key, request)),
        (Put::Exists, other) => Err(StoreError::Corrupt(format!(
            "{} was written and reads back as {} bytes that are not what was written",
            store.uri(key),
            other.map_or(0, <[u8]>::len),
        ))),
    }
}

fn overwrites(store: &(impl Probed + ?Sized), key: &Key, request: &str) -> StoreError {
    StoreError::Refused(format!(
        "it overwrites what is there: a second conditional write to {} was not turned away, so two workers would \
         destroy each other's copies. Use a store that honours `If-None-Match: *` on {request} (Amazon S3 does; of \
         S3-compatible servers mostly newer versions), or a folder",
        store.uri(key),
    ))
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::adapters::memory::store::{Careless, MemoryStore};

    #[tokio::test]
    async fn a_store_that_keeps_its_word_passes_and_nothing_is_left() {
        let store = MemoryStore::new();
        probe(&store).await.expect("it keeps its word");
        assert_eq!(store.len(), 0);
    }

    #[tokio::test]
    async fn a_store_that_overwrites_is_refused_with_what_to_do_and_nothing_is_left() {
        for (store, request) in [
            (Careless::with_puts(), "PutObject"),
            (Careless::with_uploads(), "CompleteMultipartUpload"),
            (Careless::and_silent(), "PutObject"),
        ] {
            let error = probe(&store).await.expect_err("it overwrites");
            let StoreError::Refused(sentence) = error else {
                panic!("a store that overwrites is refused, not {error:?}");
            };
            assert!(sentence.contains(request) && sentence.contains("If-None-Match"), "{sentence}");
            assert_eq!(store.inner().len(), 0);
        }
    }
}
