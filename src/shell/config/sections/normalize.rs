//! `[normalize.NAME]`: profiles of the operator's own.

use serde::{Deserialize, Serialize};

/// A named normalization profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// Remove EXIF and other metadata.
    pub strip_metadata: bool,
    /// Scale down to this many pixels on the longer side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_side: Option<u32>,
    /// The images' format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// 1 to 100, for formats with loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
    /// A second object with this many pixels on its longer side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<u32>,
    /// Media types taken; none listed: all.
    pub accept: Vec<String>,
}

/// A format that images are turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// JPEG, with loss.
    Jpeg,
    /// PNG, without loss.
    Png,
    /// WebP.
    Webp,
}
