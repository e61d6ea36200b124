//! Internal storage: objects that appear whole or not at all and never change, and a few small documents beside them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::domain::object_key::Key;
use crate::domain::webhook::body::Link;

/// Multipart uploads and buffers count in parts of this size: 8 MiB.
pub const PART_BYTES: usize = 8 * 1024 * 1024;

/// What became of a conditional put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Our bytes are there now.
    Stored,
    /// Something was there before and still is; perhaps our own earlier try, whose answer was lost.
    Exists,
}

/// What stands at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its size in bytes.
    pub bytes: u64,
    /// The facts that were put with it, where the store keeps them beside the object.
    pub facts: Option<Bytes>,
}

/// What is said of an object when it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectMeta<'a> {
    /// Its media type.
    pub media_type: &'a str,
    /// Its facts as JSON, at most 1.5 kB: kept beside the object in the same put, or dropped where
    /// [`Store::keeps_facts`] says no.
    pub facts: Option<&'a [u8]>,
}

/// What can go wrong with any store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is overloaded or does not answer; whatever was asked may or may not have happened.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// It refuses us: rights, a missing bucket, a full disk. A person must change it.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// What it holds is not what was sent, or not what it said itself.
    #[error("the store broke its word: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the same call may be repeated with hope. A refusal too: rights and disks are mended while tasks wait.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Refused(_) => true,
            Self::Corrupt(_) => false,
        }
    }
}

/// Bytes of an object, in order.
pub type ObjectStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// Internal storage. All keys are below the store's own prefix.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Whether a single put keeps facts beside the object. If not, they become a document of their own.
    fn keeps_facts(&self) -> bool;

    /// Stores `content` at `key` unless something is there. It becomes visible whole or not at all, and only if the store has
    /// received exactly these bytes. At `Stored` it outlives a power failure. May be repeated: the first whole copy stays.
    /// Dropped half-way, the object is there whole or not at all.
    ///
    /// # Errors
    /// [`StoreError`]; after `Unavailable` the bytes may be there: repeating then gives `Exists`.
    async fn put_if_absent(&self, key: &Key, content: Bytes, meta: ObjectMeta<'_>) -> Result<Put, StoreError>;

    /// Begins an object of unknown length at `key`; nothing is visible before [`Upload::finish`].
    ///
    /// # Errors
    /// [`StoreError`].
    async fn begin(&self, key: &Key, meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError>;

    /// What stands at `key`, if anything.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError>;

    /// The key at `stem` itself or at `stem` with one extension, if anything is there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError>;

    /// Opens an object for reading, if it is there.
    ///
    /// # Errors
    /// [`StoreError`]; a broken read is the stream's last item.
    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError>;

    /// A whole document of at most `bytes_max`, if it is there.
    ///
    /// # Errors
    /// [`StoreError`]; a larger one is `Corrupt`.
    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError>;

    /// Writes a document whether or not one is there. For our own changing papers only (states, moved claims), never for
    /// objects, facts or receipts.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError>;

    /// Up to `limit` keys below `folder` (a key without trailing slash) in order, after `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError>;

    /// The address of `key` as it stands in receipts: `s3://BUCKET/KEY` or an absolute `file:///…`.
    fn uri(&self, key: &Key) -> String;

    /// A link that opens `key` for whoever has it, for `lasts` at most; none from a store that cannot make one.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn link(&self, key: &Key, lasts: Duration) -> Result<Option<Link>, StoreError>;

    /// Proves that the store can be reached and honours conditional puts; writes below `_probe/` and clears up.
    ///
    /// # Errors
    /// `Refused` for a store that overwrites; else as any call.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Answers quickly whether the store can be reached now; changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn check(&self) -> Result<(), StoreError>;
}

/// An object that is being written part by part.
#[async_trait]
pub trait Upload: Send + 'static {
    /// Adds the next part: [`PART_BYTES`] or a multiple of it, less only for the last. `Ok` once the store has it. A part
    /// whose answer was an error may be sent again.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError>;

    /// Makes the object visible unless something is there. May be repeated after `Unavailable`; a lost answer shows as
    /// `Exists`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn finish(&mut self) -> Result<Put, StoreError>;

    /// Throws all parts away; quiet when there is nothing left. An upload that is only dropped is thrown away as soon as the
    /// adapter can, and by the bucket's own rules at the latest.
    async fn abort(&mut self);
}
