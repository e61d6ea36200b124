//! A store that takes conditions and ignores them, as some S3-compatible servers do: what probe and contract must find out.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryStore;
use crate::adapters::store::probe::{Probed, probe};
use crate::domain::object_key::Key;
use crate::domain::webhook::body::Link;
use crate::ports::store::{Head, ObjectMeta, ObjectStream, Put, Store, StoreError, Upload};

/// A memory store whose puts or uploads overwrite.
#[derive(Debug, Clone)]
pub struct Careless {
    inner: MemoryStore,
    puts: bool,
    uploads: bool,
    answer: Option<Put>,
}

impl Careless {
    /// Puts overwrite and say `Stored`.
    #[must_use]
    pub fn with_puts() -> Self {
        Self { inner: MemoryStore::new(), puts: true, uploads: false, answer: None }
    }

    /// Puts keep the first, but uploads overwrite: a server that knows the condition on `PutObject` only.
    #[must_use]
    pub fn with_uploads() -> Self {
        Self { inner: MemoryStore::new(), puts: false, uploads: true, answer: None }
    }

    /// Puts overwrite and say `Exists`.
    #[must_use]
    pub fn and_silent() -> Self {
        Self { inner: MemoryStore::new(), puts: true, uploads: true, answer: Some(Put::Exists) }
    }

    /// What it really holds.
    #[must_use]
    pub fn inner(&self) -> &MemoryStore {
        &self.inner
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Careless {
    fn keeps_facts(&self) -> bool {
        self.inner.keeps_facts()
    }

    async fn put_if_absent(&self, key: &Key, content: Bytes, meta: ObjectMeta<'_>) -> Result<Put, StoreError> {
        if self.puts {
            self.inner.remove(key).await?;
        }
        let put = self.inner.put_if_absent(key, content, meta).await?;
        Ok(self.answer.unwrap_or(put))
    }

    async fn begin(&self, key: &Key, meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        let inner = self.inner.begin(key, meta).await?;
        let (store, key) = (self.clone(), key.clone());
        Ok(Box::new(CarelessUpload { inner, store, key }))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        self.inner.head(key).await
    }

    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        self.inner.find(stem).await
    }

    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError> {
        self.inner.read(key).await
    }

    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key, bytes_max).await
    }

    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        self.inner.overwrite(key, content).await
    }

    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.inner.list(folder, after, limit).await
    }

    fn uri(&self, key: &Key) -> String {
        self.inner.uri(key)
    }

    async fn link(&self, key: &Key, lasts: Duration) -> Result<Option<Link>, StoreError> {
        self.inner.link(key, lasts).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        probe(self).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }
}

#[async_trait]
impl Probed for Careless {
    async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        self.inner.remove(key).await
    }
}

struct CarelessUpload {
    inner: Box<dyn Upload>,
    store: Careless,
    key: Key,
}

#[async_trait]
impl Upload for CarelessUpload {
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError> {
        self.inner.part(content).await
    }

    async fn finish(&mut self) -> Result<Put, StoreError> {
        if self.store.uploads {
            self.store.inner.remove(&self.key).await?;
        }
        let put = self.inner.finish().await?;
        Ok(self.store.answer.unwrap_or(put))
    }

    async fn abort(&mut self) {
        self.inner.abort().await;
    }
}
