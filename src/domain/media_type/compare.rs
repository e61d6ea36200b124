//! What hints are worth against what the content shows.

use super::{Family, Known, MediaType, hinted};

/// Whether content that was found to be `found` cannot be what was declared.
///
/// A declaration that says nothing (`application/octet-stream`), that is no media type or that names a type unknown here
/// contradicts nothing. Text is compatible with text, and a container with whatever it may hold. Content that shows nothing
/// contradicts only a type that always shows itself.
#[must_use]
pub fn contradicts(declared: &str, found: &MediaType) -> bool {
    let Some(declared) = MediaType::parse(declared) else {
        return false;
    };
    if declared.is_unknown() || declared == *found {
        return false;
    }
    if let Some((kind, "*")) = declared.as_str().split_once('/') {
        return wildcard_contradicts(kind, found);
    }
    let Some(declared) = family(&declared) else {
        return false;
    };
    match found.known() {
        None => always_shows(declared),
        Some(found) => !compatible(declared, found.family),
    }
}

/// The family of a type; text by its form where the type is none of ours.
fn family(media_type: &MediaType) -> Option<Family> {
    let text = media_type.as_str();
    let is_text = text.starts_with("text/") || text.ends_with("+json") || text.ends_with("+xml");
    media_type.known().map(|known| known.family).or(is_text.then_some(Family::Text))
}

fn wildcard_contradicts(kind: &str, found: &MediaType) -> bool {
    let Some((found_kind, _)) = found.as_str().split_once('/') else {
        return false;
    };
    // Sound and pictures share containers, and JSON is text.
    let same = match kind {
        "audio" | "video" => matches!(found_kind, "audio" | "video"),
        "text" => found.known().is_some_and(|known| is_textual(known.family)),
        "image" => found_kind == "image",
        _ => true,
    };
    !same && !found.is_unknown()
}

/// Whether every file of the family begins with a signature that we know.
fn always_shows(family: Family) -> bool {
    match family {
        Family::Own
        | Family::Las
        | Family::Zip
        | Family::Tiff
        | Family::Heif
        | Family::Iso
        | Family::Matroska
        | Family::Ogg => true,
        Family::Loose
        | Family::Text
        | Family::PlainText
        | Family::NoMagic
        | Family::Points
        | Family::Ole
        | Family::MpegAudio => false,
    }
}

/// Whether content of family `found` may be of a type of family `declared` that is not the same type.
fn compatible(declared: Family, found: Family) -> bool {
    match declared {
        // Nothing tells such content, so what it seems to be may be chance.
        Family::NoMagic => true,
        Family::Text | Family::PlainText => is_textual(found) || found == Family::Points,
        Family::Points => is_textual(found) || found == Family::Points,
        Family::Own | Family::Loose => false,
        Family::Las
        | Family::Zip
        | Family::Ole
        | Family::Tiff
        | Family::Heif
        | Family::Iso
        | Family::Matroska
        | Family::Ogg
        | Family::MpegAudio => declared == found,
    }
}

fn is_textual(family: Family) -> bool {
    matches!(family, Family::Text | Family::PlainText)
}

/// Returns the more exact type where content only shows a general one: plain text that is declared, or named, as CSV is CSV.
/// The declaration goes before the extension of the URL's path; neither turns content into what it does not look like.
#[must_use]
pub fn refine(found: MediaType, declared: Option<&str>, url_extension: Option<&str>) -> MediaType {
    let declared = declared.and_then(MediaType::parse);
    let hints = [declared.and_then(|declared| declared.known()), url_extension.and_then(hinted)];
    let fits = |hint: &&Known| match found.as_str() {
        "text/plain" => hint.family == Family::PlainText,
        "application/zip" => hint.family == Family::Zip,
        "application/vnd.las" => hint.family == Family::Las,
        super::OCTET_STREAM => hint.family == Family::NoMagic,
        _ => false,
    };
    match hints.into_iter().flatten().find(fits) {
        Some(hint) => MediaType::of(hint.media_type),
        None => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media_type(text: &str) -> MediaType {
        MediaType::parse(text).expect("a media type")
    }

    #[test]
    fn a_declaration_contradicts_content_that_is_surely_something_else() {
        for (declared, found) in [
            ("image/png", "image/jpeg"),
            ("image/jpeg", "text/html"),
            ("image/jpeg", "application/octet-stream"),
            ("application/pdf", "text/plain"),
            ("text/csv", "image/png"),
            ("application/json", "application/gzip"),
            ("application/geo+json", "application/zip"),
            ("audio/mpeg", "text/html"),
            ("video/mp4", "video/webm"),
            ("audio/wav", "audio/mpeg"),
            ("application/zip", "application/octet-stream"),
            ("application/vnd.pcd", "image/png"),
            ("image/*", "text/html"),
            ("text/*", "image/png"),
        ] {
            assert!(contradicts(declared, &media_type(found)), "{declared} and {found}");
        }
    }

    #[test]
    fn what_may_be_true_is_no_contradiction() {
        for (declared, found) in [
            ("application/octet-stream", "image/png"),
            ("binary/octet-stream; x=y", "text/html"),
            ("application/x-unheard-of", "image/png"),
            ("nonsense", "image/png"),
            ("", "image/png"),
            ("*/*", "image/png"),
            ("image/jpg", "image/jpeg"),
            ("IMAGE/JPEG", "image/jpeg"),
            ("image/*", "image/png"),
            ("image/*", "application/octet-stream"),
            ("video/*", "audio/ogg"),
            ("text/*", "application/json"),
            ("text/csv", "text/plain"),
            ("text/plain", "application/json"),
            ("application/xml", "image/svg+xml"),
            ("application/geo+json", "application/json"),
            ("text/x-log", "text/plain"),
            ("text/plain", "application/vnd.pcd"),
            ("text/csv", "application/octet-stream"),
            ("audio/mpeg", "application/octet-stream"),
            ("audio/mp4", "video/mp4"),
            ("video/quicktime", "video/mp4"),
            ("video/ogg", "audio/ogg"),
            ("audio/webm", "video/webm"),
            ("image/heic", "image/heif"),
            ("application/zip", "application/epub+zip"),
            ("application/x-protobuf", "audio/mpeg"),
        ] {
            assert!(!contradicts(declared, &media_type(found)), "{declared} and {found}");
        }
    }

    fn check_refined(found: &str, declared: Option<&str>, extension: Option<&str>, expected: &str) {
        let refined = refine(media_type(found), declared, extension);
        assert_eq!(refined.as_str(), expected, "{found} {declared:?} {extension:?}");
    }

    #[test]
    fn hints_choose_between_types_that_look_alike() {
        check_refined("text/plain", Some("text/csv; header=present"), None, "text/csv");
        check_refined("text/plain", None, Some("CSV"), "text/csv");
        check_refined("text/plain", Some("text/plain"), Some(".tsv"), "text/tab-separated-values");
        check_refined("text/plain", Some("text/markdown"), Some("csv"), "text/markdown");
        check_refined(
            "application/zip",
            None,
            Some("docx"),
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        );
        check_refined("application/vnd.las", None, Some("laz"), "application/vnd.laszip");
        check_refined("application/octet-stream", Some("application/x-protobuf"), None, "application/x-protobuf");
    }

    #[test]
    fn no_hint_makes_content_what_it_does_not_look_like() {
        check_refined("text/plain", Some("application/json"), Some("json"), "text/plain");
        check_refined("application/octet-stream", Some("image/png"), Some("png"), "application/octet-stream");
        check_refined("application/octet-stream", Some("text/csv"), Some("csv"), "application/octet-stream");
        check_refined("image/png", Some("text/csv"), Some("csv"), "image/png");
        check_refined("text/html", None, Some("csv"), "text/html");
        check_refined("text/plain", None, None, "text/plain");
    }
}
