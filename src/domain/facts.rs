//! What was learned of an object while it was copied; it stands beside the object and never changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::digest::Sha256;

/// What a source calls the present state of its object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceVersion {
    /// The strong ETag, as sent, with its quotes. Weak ones name no bytes and are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The version or generation id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the source says that it changed last. Names no version: a second is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Timestamp>,
}

impl SourceVersion {
    /// What names these bytes for good, if the source offers anything that does.
    #[must_use]
    pub fn pin(&self) -> Option<&str> {
        self.version.as_deref().or(self.etag.as_deref())
    }
}

/// The source's side of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SourceFacts {
    /// What the content was.
    pub media_type: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// The strong ETag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The version or generation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the source says that it changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_modified: Option<Timestamp>,
}

/// What was learned of an object while it was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What the stored content is.
    pub media_type: String,
    /// The stored size in bytes.
    pub bytes: u64,
    /// The stored content's digest.
    pub sha256: Sha256,
    /// An image's width in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// An image's height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// What it was copied from.
    pub source: SourceFacts,
    /// What normalization did, in order.
    #[serde(default)]
    pub normalized: Vec<String>,
}
