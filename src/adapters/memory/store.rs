//! A store in memory that keeps the whole contract, and one that breaks it on purpose.
//!
//! Clones of a [`MemoryStore`] are clients of one place. Nothing outlives the process.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;

use crate::adapters::store::probe::{Probed, probe};
use crate::domain::object_key::Key;
use crate::domain::webhook::body::Link;
use crate::ports::store::{Head, ObjectMeta, ObjectStream, Put, Store, StoreError, Upload};

mod careless;
#[cfg(test)]
mod tests;

pub use careless::Careless;

/// A reading's pieces are at most this large, so that readers meet more than one.
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone)]
struct Object {
    content: Bytes,
    facts: Option<Bytes>,
}

/// A place in memory; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<Key, Object>>>,
    keeps_facts: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty place that keeps facts, as S3 does.
    #[must_use]
    pub fn new() -> Self {
        Self { objects: Arc::default(), keeps_facts: true }
    }

    /// An empty place that keeps no facts, as a folder does not.
    #[must_use]
    pub fn without_facts() -> Self {
        Self { objects: Arc::default(), keeps_facts: false }
    }

    /// How many keys are taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects().len()
    }

    /// Whether no key is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Object>> {
        // No code of ours panics while it holds the lock, and a map is whole between its own calls.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, meta: ObjectMeta<'_>) -> Option<Bytes> {
        let facts = meta.facts.filter(|_| self.keeps_facts);
        facts.map(Bytes::copy_from_slice)
    }

    fn insert_if_absent(&self, key: &Key, object: Object) -> Put {
        let mut objects = self.objects();
        if objects.contains_key(key) {
            return Put::Exists;
        }
        objects.insert(key.clone(), object);
        Put::Stored
    }

    fn content(&self, key: &Key) -> Option<Bytes> {
        self.objects().get(key).map(|object| object.content.clone())
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn keeps_facts(&self) -> bool {
        self.keeps_facts
    }

    async fn put_if_absent(&self, key: &Key, content: Bytes, meta: ObjectMeta<'_>) -> Result<Put, StoreError> {
        let facts = self.kept(meta);
        Ok(self.insert_if_absent(key, Object { content, facts }))
    }

    async fn begin(&self, key: &Key, meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(MemoryUpload {
            store: self.clone(),
            key: key.clone(),
            facts: self.kept(meta),
            parts: BytesMut::new(),
        }))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        Ok(self
            .objects()
            .get(key)
            .map(|object| Head { bytes: object.content.len() as u64, facts: object.facts.clone() }))
    }

    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        let objects = self.objects();
        let from = objects.range(stem.clone()..).map(|(key, _)| key);
        let mut near = from.take_while(|key| key.as_str().starts_with(stem.as_str()));
        Ok(near.find(|key| key.has_stem(stem)).cloned())
    }

    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError> {
        Ok(self.content(key).map(pieces))
    }

    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        match self.content(key) {
            Some(content) if content.len() > bytes_max => {
                Err(StoreError::Corrupt(format!("{key} has {} bytes, and {bytes_max} are allowed", content.len())))
            }
            content => Ok(content),
        }
    }

    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        let object = Object { content, facts: None };
        self.objects().insert(key.clone(), object);
        Ok(())
    }

    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        let prefix = format!("{folder}/");
        let first = Key::new(format!("{prefix}\u{1}"));
        let from = match after {
            Some(after) if *after > first => Bound::Excluded(after.clone()),
            Some(_) | None => Bound::Included(first),
        };
        let objects = self.objects();
        let below = objects.range((from, Bound::Unbounded)).map(|(key, _)| key);
        let below = below.take_while(|key| key.as_str().starts_with(&prefix));
        Ok(below.take(limit).cloned().collect())
    }

    fn uri(&self, key: &Key) -> String {
        format!("memory://store/{key}")
    }

    async fn link(&self, _key: &Key, _lasts: Duration) -> Result<Option<Link>, StoreError> {
        Ok(None)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        probe(self).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Probed for MemoryStore {
    async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.objects().remove(key);
        Ok(())
    }
}

fn pieces(content: Bytes) -> ObjectStream {
    let pieces = futures::stream::unfold(content, |mut rest| async move {
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some((Ok(piece), rest))
    });
    pieces.boxed()
}

struct MemoryUpload {
    store: MemoryStore,
    key: Key,
    facts: Option<Bytes>,
    parts: BytesMut,
}

#[async_trait]
impl Upload for MemoryUpload {
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError> {
        self.parts.extend_from_slice(&content);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Put, StoreError> {
        let content = self.parts.clone().freeze();
        let object = Object { content, facts: self.facts.clone() };
        Ok(self.store.insert_if_absent(&self.key, object))
    }

    async fn abort(&mut self) {
        self.parts.clear();
    }
}
