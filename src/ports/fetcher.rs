//! Opens a source and gives its bytes as a stream.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::domain::access::Grant;
use crate::domain::crc::Crc;
use crate::domain::digest::Sha256;
use crate::domain::facts::SourceVersion;
use crate::domain::fault::AttachmentFault;
use crate::domain::id::TeamId;
use crate::domain::source::Source;
use crate::domain::team::KnownTeam;

/// What to open.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// Whose request it is: its rights, its allowed hosts, its limits.
    pub team: Arc<KnownTeam>,
    /// What to open.
    pub source: Source,
    /// With whose rights: those, and never others.
    pub grant: Grant,
    /// Whether the body is wanted.
    pub want: Want,
}

/// How much of a source is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Everything.
    Body,
    /// Only what is said of it. A source that answers no such request fails or tells nothing.
    Head,
    /// Everything from an offset on, of exactly this version; what changed meanwhile is `checksum_mismatch`, a source that
    /// gives no ranges is `truncated`.
    Rest {
        /// The first byte wanted.
        from: u64,
        /// The strong ETag or version that the first bytes had.
        version: SourceVersion,
    },
}

/// Digests that a source announced for the bytes that it sends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announced {
    /// SHA-256 of the whole representation (`Repr-Digest`).
    pub sha256: Option<Sha256>,
    /// A checksum of the whole content that is no digest, as object stores keep it.
    pub crc: Option<Crc>,
    /// MD5 of the whole body (`Content-MD5`).
    pub md5: Option<[u8; 16]>,
}

/// One request of a fetch, for the task's story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The URL without its secrets.
    pub url: String,
    /// The address that was connected to.
    pub address: Option<IpAddr>,
    /// The status that was answered.
    pub status: Option<u16>,
}

/// Bytes of a source, in order; the last item may be the fault that broke it.
pub type BodyStream = BoxStream<'static, Result<Bytes, AttachmentFault>>;

/// A source that has answered.
pub struct Fetched {
    /// What the source calls this state.
    pub version: SourceVersion,
    /// How many bytes will come in this body, where it is known; a body of another length ends in `truncated`.
    pub length: Option<u64>,
    /// Whether the rest of a broken body can be asked for: ranges are offered and the version is strong.
    pub resumable: bool,
    /// Digests of the whole content.
    pub announced: Announced,
    /// The requests that led here.
    pub hops: Vec<Hop>,
    /// The bytes; empty for [`Want::Head`].
    pub body: BodyStream,
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched").field("version", &self.version).field("length", &self.length).finish_non_exhaustive()
    }
}

/// Opens sources.
#[async_trait]
pub trait Fetcher: Send + Sync + 'static {
    /// Opens a source and returns once its head is there; the body streams as it is read.
    ///
    /// Connecting, idling, dripping and the whole are bounded in time; time that the reader takes does not count against the
    /// source. One call is one try: nothing is retried here but redirects followed, each checked like the first URL. May be
    /// repeated. Dropped, it closes the connection.
    ///
    /// # Errors
    /// The attachment's fault, with the code that would stand in the completion.
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault>;

    /// Drops what is kept of a team's rights: its record has changed, or is gone. May be repeated; whoever keeps nothing does
    /// nothing.
    async fn forget(&self, team: &TeamId) {
        let _ = team;
    }
}
