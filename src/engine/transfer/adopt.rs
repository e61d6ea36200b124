//! Taking over a copy that is there: the receipt gets the facts of the object that stands, never one's own.

use bytes::Bytes;
use futures::StreamExt;
use tracing::debug;

use super::{Job, Stored, Transfer, broken_store};
use crate::domain::digest::Sha256Hasher;
use crate::domain::facts::{Facts, SourceFacts};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::media_type;
use crate::domain::object_key::{Key, ObjectId, facts_key};
use crate::engine::tally::Tally;
use crate::ports::store::{ObjectMeta, StoreError};

/// Facts are a few hundred bytes; anything near this is not ours.
const FACTS_BYTES_MAX: usize = 64 * 1024;
/// How much of an object's beginning tells its type and an image's size.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

impl Transfer {
    /// The copy named `id`, if it is there, checked against what the sender promised of it.
    pub(super) async fn adopt(&self, job: &Job, id: &ObjectId) -> Result<Option<Stored>, AttachmentFault> {
        let stem = id.stem();
        let Some(key) = self.ask_store(|| self.store.find(&stem)).await? else {
            return Ok(None);
        };
        let facts = self.facts_of(&key).await?;
        Self::check_promises(job, &facts)?;
        Tally::add(&self.tally.adopted);
        debug!(attachment.id = %job.attachment.id, object = %key, "adopted a copy that was there");
        Ok(Some(Stored { key, facts, is_new: false }))
    }

    /// The facts of the object at `key`: from its metadata, else from their own document, else from its bytes.
    pub(super) async fn facts_of(&self, key: &Key) -> Result<Facts, AttachmentFault> {
        let head = self.ask_store(|| self.store.head(key)).await?;
        let head =
            head.ok_or_else(|| AttachmentFault::new(Code::Internal, "an object vanished from internal storage"))?;
        if let Some(facts) = head.facts.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok()) {
            return Ok(facts);
        }
        if let Some(facts) = self.facts_document(key).await? {
            return Ok(facts);
        }
        let facts = self.read_back(key).await?;
        self.write_facts(key, facts).await
    }

    /// Writes the facts' document unless one is there, and returns the one that is there afterwards.
    pub(super) async fn write_facts(&self, object: &Key, facts: Facts) -> Result<Facts, AttachmentFault> {
        let content = Bytes::from(serde_json::to_vec(&facts).expect("facts are JSON with text keys"));
        let meta = ObjectMeta { media_type: "application/json", facts: None };
        let key = facts_key(object);
        match self.ask_store(|| self.store.put_if_absent(&key, content.clone(), meta)).await? {
            crate::ports::store::Put::Stored => Ok(facts),
            crate::ports::store::Put::Exists => Ok(self.facts_document(object).await?.unwrap_or(facts)),
        }
    }

    async fn facts_document(&self, object: &Key) -> Result<Option<Facts>, AttachmentFault> {
        let key = facts_key(object);
        let found = self.ask_store(|| self.store.get(&key, FACTS_BYTES_MAX)).await?;
        found
            .map(|bytes| serde_json::from_slice(&bytes).map_err(|error| StoreError::Corrupt(format!("{key}: {error}"))))
            .transpose()
            .map_err(|error| broken_store(&error))
    }

    /// Whoever wrote the object was stopped before its facts: they are taken from the object itself.
    async fn read_back(&self, key: &Key) -> Result<Facts, AttachmentFault> {
        self.ask_store(|| self.read_back_once(key)).await
    }

    async fn read_back_once(&self, key: &Key) -> Result<Facts, StoreError> {
        let gone = || StoreError::Corrupt(format!("{key} vanished"));
        let mut stream = self.store.read(key).await?.ok_or_else(gone)?;
        let (mut sha256, mut bytes, mut head) = (Sha256Hasher::default(), 0u64, Vec::new());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            sha256.update(&chunk);
            bytes += chunk.len() as u64;
            head.extend_from_slice(&chunk[..chunk.len().min(HEAD_BYTES.saturating_sub(head.len()))]);
        }
        let found = media_type::sniff(&head);
        let extension = key.as_str().rsplit_once('.').map(|(_, extension)| extension);
        let media_type = media_type::refine(found, None, extension).to_string();
        let size = media_type::image_size(&head);
        let sha256 = sha256.finish();
        let source = SourceFacts {
            media_type: media_type.clone(),
            bytes,
            sha256,
            etag: None,
            version: None,
            last_modified: None,
        };
        let (width, height) = (size.map(|size| size.0), size.map(|size| size.1));
        Ok(Facts { media_type, bytes, sha256, width, height, source, normalized: Vec::new() })
    }
}
