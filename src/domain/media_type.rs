//! What content is: media types, told by the bytes themselves.
//!
//! A name, a server's header and a task's declaration are hints: they choose between types that look alike ([`refine`]) and
//! may be contradicted ([`contradicts`]), but never decide alone. The set of types that content can be found to be is closed,
//! and so is the set of extensions. Whether content is *sound* is not told here: only how it begins is looked at.
//!
//! Point clouds have no registered types; ours are `application/vnd.pcd`, `application/vnd.ply`, `application/vnd.las` (the
//! last is registered) and `application/vnd.laszip`.

use std::fmt;

use Family::{Heif, Iso, Las, Loose, Matroska, MpegAudio, NoMagic, Ogg, Ole, Own, PlainText, Points, Text, Tiff, Zip};

mod compare;
mod image_size;
mod signature;
mod sniff;

pub use compare::{contradicts, refine};
pub use image_size::image_size;
pub use sniff::sniff;

/// What is known of no type.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// A media type without parameters, in lower case, in its usual spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaType(String);

impl MediaType {
    /// Reads `TYPE/SUBTYPE` with or without parameters; other spellings of one type become its usual one. `None` for what is
    /// no media type.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.split(';').next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = bare.split_once('/')?;
        let token = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/,()<>@\"[]?=\\".contains(&byte);
            !part.is_empty() && part.len() <= 127 && part.bytes().all(allowed)
        };
        if !token(kind) || !token(subtype) {
            return None;
        }
        let usual = ALIASES.iter().find(|(alias, _)| *alias == bare);
        Some(Self(usual.map_or(bare.clone(), |(_, usual)| (*usual).to_owned())))
    }

    /// The type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is known of the content.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0 == OCTET_STREAM
    }

    /// Whether this is one of the image types.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.0.starts_with("image/")
    }

    fn unknown() -> Self {
        Self(OCTET_STREAM.to_owned())
    }

    fn of(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.media_type == self.0)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the extension that objects of this type have; `""` for unknown content and types outside the closed set.
#[must_use]
pub fn extension(media_type: &MediaType) -> &'static str {
    media_type.known().map_or("", |known| known.extension)
}

/// Returns every extension that [`extension`] can give, but for the empty one.
pub fn extensions_all() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.extension)
}

/// Which types look alike, and how surely content shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Its own signature, in every file.
    Own,
    /// A signature that not every file has.
    Loose,
    /// Text that shows by its content what it is.
    Text,
    /// Text that only its name or its sender tells from other text.
    PlainText,
    /// Nothing to tell it by.
    NoMagic,
    /// Point clouds with a text header.
    Points,
    /// Laser scans, plain and compressed.
    Las,
    /// Zip archives with a meaning.
    Zip,
    /// Microsoft's older compound documents.
    Ole,
    /// TIFF and the raw formats made from it.
    Tiff,
    /// Still images in ISO's container.
    Heif,
    /// Sound and pictures in ISO's container.
    Iso,
    /// Matroska and WebM.
    Matroska,
    /// Whatever an Ogg stream holds.
    Ogg,
    /// MPEG's audio frames.
    MpegAudio,
}

struct Known {
    media_type: &'static str,
    extension: &'static str,
    family: Family,
}

macro_rules! known {
    ($($media_type:literal $extension:literal $family:ident,)*) => {
        &[$(Known { media_type: $media_type, extension: $extension, family: $family },)*]
    };
}

/// The closed set. Where two types share an extension, the first is the one that the extension hints at.
const KNOWN: &[Known] = known! {
    "image/jpeg" "jpg" Own, "image/png" "png" Own, "image/gif" "gif" Own, "image/webp" "webp" Own, "image/bmp" "bmp" Own,
    "image/tiff" "tif" Tiff, "image/x-canon-cr2" "cr2" Tiff, "image/x-adobe-dng" "dng" Tiff,
    "image/avif" "avif" Heif, "image/heic" "heic" Heif, "image/heif" "heif" Heif,
    "image/jp2" "jp2" Loose, "image/jxl" "jxl" Loose, "image/vnd.adobe.photoshop" "psd" Own,
    "video/mp4" "mp4" Iso, "video/quicktime" "mov" Iso, "audio/mp4" "m4a" Iso, "video/3gpp" "3gp" Iso,
    "video/webm" "webm" Matroska, "audio/webm" "webm" Matroska, "video/x-matroska" "mkv" Matroska,
    "video/x-msvideo" "avi" Own, "video/mpeg" "mpg" Loose, "video/mp2t" "ts" Loose, "video/x-flv" "flv" Own,
    "video/x-ms-wmv" "wmv" Loose,
    "audio/mpeg" "mp3" MpegAudio, "audio/aac" "aac" MpegAudio, "audio/wav" "wav" Loose, "audio/flac" "flac" Loose,
    "audio/ogg" "ogg" Ogg, "video/ogg" "ogv" Ogg, "audio/opus" "opus" Ogg, "audio/amr" "amr" Own,
    "audio/aiff" "aif" Own, "audio/midi" "mid" Own,
    "text/plain" "txt" Text, "text/html" "html" Text, "application/json" "json" Text, "application/xml" "xml" Text,
    "image/svg+xml" "svg" Text,
    "text/csv" "csv" PlainText, "text/tab-separated-values" "tsv" PlainText, "text/markdown" "md" PlainText,
    "application/yaml" "yaml" PlainText,
    "application/pdf" "pdf" Own, "application/rtf" "rtf" Own,
    "application/zip" "zip" Zip, "application/epub+zip" "epub" Zip,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document" "docx" Zip,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" "xlsx" Zip,
    "application/vnd.openxmlformats-officedocument.presentationml.presentation" "pptx" Zip,
    "application/vnd.oasis.opendocument.text" "odt" Zip, "application/vnd.oasis.opendocument.spreadsheet" "ods" Zip,
    "application/vnd.oasis.opendocument.presentation" "odp" Zip,
    "application/msword" "doc" Ole, "application/vnd.ms-excel" "xls" Ole, "application/vnd.ms-powerpoint" "ppt" Ole,
    "application/gzip" "gz" Own, "application/zstd" "zst" Own, "application/x-bzip2" "bz2" Own, "application/x-xz" "xz" Own,
    "application/x-lz4" "lz4" Loose, "application/x-7z-compressed" "7z" Own, "application/vnd.rar" "rar" Own,
    "application/x-tar" "tar" Loose,
    "application/vnd.apache.parquet" "parquet" Own, "application/vnd.sqlite3" "sqlite" Own, "application/dicom" "dcm" Loose,
    "application/vnd.pcd" "pcd" Points, "application/vnd.ply" "ply" Points,
    "application/vnd.las" "las" Las, "application/vnd.laszip" "laz" Las,
    "application/x-protobuf" "pb" NoMagic, "model/stl" "stl" NoMagic,
};

/// Other spellings of the types above.
const ALIASES: &[(&str, &str)] = &[
    ("binary/octet-stream", OCTET_STREAM),
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/x-png", "image/png"),
    ("image/x-ms-bmp", "image/bmp"),
    ("image/x-bmp", "image/bmp"),
    ("image/tif", "image/tiff"),
    ("image/svg", "image/svg+xml"),
    ("video/x-m4v", "video/mp4"),
    ("application/mp4", "video/mp4"),
    ("audio/m4a", "audio/mp4"),
    ("audio/x-m4a", "audio/mp4"),
    ("video/avi", "video/x-msvideo"),
    ("video/msvideo", "video/x-msvideo"),
    ("video/matroska", "video/x-matroska"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/x-mp3", "audio/mpeg"),
    ("audio/x-mpeg", "audio/mpeg"),
    ("audio/x-wav", "audio/wav"),
    ("audio/wave", "audio/wav"),
    ("audio/vnd.wave", "audio/wav"),
    ("audio/x-flac", "audio/flac"),
    ("audio/x-aac", "audio/aac"),
    ("audio/x-aiff", "audio/aiff"),
    ("application/ogg", "audio/ogg"),
    ("text/json", "application/json"),
    ("application/jsonl", "application/json"),
    ("application/x-ndjson", "application/json"),
    ("application/ndjson", "application/json"),
    ("text/xml", "application/xml"),
    ("application/csv", "text/csv"),
    ("text/x-csv", "text/csv"),
    ("text/x-markdown", "text/markdown"),
    ("text/yaml", "application/yaml"),
    ("text/x-yaml", "application/yaml"),
    ("application/x-yaml", "application/yaml"),
    ("application/x-pdf", "application/pdf"),
    ("text/rtf", "application/rtf"),
    ("application/x-gzip", "application/gzip"),
    ("application/x-zip", "application/zip"),
    ("application/x-zip-compressed", "application/zip"),
    ("application/x-zstd", "application/zstd"),
    ("application/x-bzip", "application/x-bzip2"),
    ("application/x-rar-compressed", "application/vnd.rar"),
    ("application/x-parquet", "application/vnd.apache.parquet"),
    ("application/parquet", "application/vnd.apache.parquet"),
    ("application/x-sqlite3", "application/vnd.sqlite3"),
    ("application/protobuf", "application/x-protobuf"),
    ("application/x-pcd", "application/vnd.pcd"),
    ("application/x-ply", "application/vnd.ply"),
    ("application/x-las", "application/vnd.las"),
];

/// Other extensions of the types above.
const EXTENSION_ALIASES: &[(&str, &str)] = &[
    ("jpeg", "jpg"),
    ("tiff", "tif"),
    ("htm", "html"),
    ("jsonl", "json"),
    ("ndjson", "json"),
    ("yml", "yaml"),
    ("markdown", "md"),
    ("log", "txt"),
];

/// The type that a name's extension hints at.
fn hinted(extension: &str) -> Option<&'static Known> {
    let lower = extension.trim_start_matches('.').to_ascii_lowercase();
    let usual = EXTENSION_ALIASES.iter().find(|(alias, _)| *alias == lower);
    let usual = usual.map_or(lower.as_str(), |(_, usual)| usual);
    KNOWN.iter().find(|known| known.extension == usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_without_parameters_case_and_other_spellings() {
        for (text, expected) in [
            ("Text/CSV; charset=utf-8", Some("text/csv")),
            (" image/JPG ", Some("image/jpeg")),
            ("binary/octet-stream", Some(OCTET_STREAM)),
            ("application/vnd.acme+x", Some("application/vnd.acme+x")),
            ("image", None),
            ("image/", None),
            ("a/b/c", None),
            ("", None),
            ("text/pl ain", None),
        ] {
            let found = MediaType::parse(text);
            assert_eq!(found.as_ref().map(MediaType::as_str), expected, "{text:?}");
        }
    }

    #[test]
    fn types_have_their_usual_extension_and_unknown_ones_none() {
        for (media_type, expected) in [
            ("image/jpeg", "jpg"),
            ("image/tiff", "tif"),
            ("video/quicktime", "mov"),
            ("text/plain", "txt"),
            ("application/vnd.apache.parquet", "parquet"),
            (OCTET_STREAM, ""),
            ("application/x-unheard-of", ""),
        ] {
            let media_type = MediaType::parse(media_type).expect("a type");
            assert_eq!(extension(&media_type), expected, "{media_type}");
        }
    }

    #[test]
    fn the_tables_agree_with_each_other() {
        for (alias, usual) in ALIASES {
            let known = *usual == OCTET_STREAM || KNOWN.iter().any(|one| one.media_type == *usual);
            assert!(known, "{alias} stands for an unknown type");
            assert!(KNOWN.iter().all(|one| one.media_type != *alias), "{alias} is its own usual spelling");
        }
        for (alias, usual) in EXTENSION_ALIASES {
            assert!(extensions_all().any(|one| one == *usual), "{alias}");
        }
        for one in extensions_all() {
            let safe = one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            assert!(safe && (1..=8).contains(&one.len()), "{one} is safe in a key");
        }
    }
}
