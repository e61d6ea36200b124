//! Tells what content is by how it begins.
//!
//! Text is told first, since many signatures are two letters that text begins with as well ("BM", "MZ"). A signature that is
//! too short to be trusted counts for nothing.

use super::{MediaType, signature};

/// How many bytes are looked at.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Elements by which a page without a document type is told.
const HTML_ELEMENTS: &[&str] =
    &["html", "head", "body", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b", "br", "p"];

/// Returns what content is that begins with `head`; at most 8 KiB of it are looked at. Nothing, or nothing known, is
/// `application/octet-stream`.
#[must_use]
pub fn sniff(head: &[u8]) -> MediaType {
    let head = &head[..head.len().min(HEAD_BYTES_MAX)];
    if head.is_empty() {
        return MediaType::unknown();
    }
    if let Some(found) = signature::with_text_header(head) {
        return MediaType::of(found);
    }
    if let Some(text) = utf8_text(head) {
        return MediaType::of(text_type(text));
    }
    if is_utf16_text(head) {
        return MediaType::of("text/plain");
    }
    signature::binary(head).map_or_else(MediaType::unknown, MediaType::of)
}

/// The head as text, but for a character that its end cuts in two; `None` if it is none.
fn utf8_text(head: &[u8]) -> Option<&str> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.chars().any(is_binary)).then_some(text)
}

/// Characters that stand in no text: control characters beside white space, back space and escape (terminals' colours).
fn is_binary(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x08' | '\x1b')
}

fn is_utf16_text(head: &[u8]) -> bool {
    let unit: fn([u8; 2]) -> u16 = match head {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return false,
    };
    let units: Vec<u16> = head[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    let last = units.len();
    char::decode_utf16(units).enumerate().all(|(index, decoded)| decoded.map_or(index + 1 >= last, |c| !is_binary(c)))
}

fn text_type(text: &str) -> &'static str {
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[']) && is_json(trimmed) {
        return "application/json";
    }
    if trimmed.starts_with('<') {
        return markup_type(trimmed);
    }
    "text/plain"
}

/// Whether this is JSON, or lines of JSON, as far as it goes: an end that comes too early is the head's.
fn is_json(text: &str) -> bool {
    serde_json::Deserializer::from_str(text)
        .into_iter::<serde::de::IgnoredAny>()
        .find_map(Result::err)
        .is_none_or(|error| error.is_eof())
}

/// Tells markup by its document type or first element, past declarations and comments.
fn markup_type(text: &str) -> &'static str {
    let mut rest = text;
    let mut declared = false;
    loop {
        rest = rest.trim_start();
        let skipped = if rest.starts_with("<?") {
            declared = true;
            rest.split_once("?>")
        } else if rest.starts_with("<!--") {
            rest.split_once("-->")
        } else if is_doctype(rest) {
            if rest[9..].trim_start().get(..4).is_some_and(|name| name.eq_ignore_ascii_case("html")) {
                return "text/html";
            }
            declared = true;
            rest.split_once('>')
        } else {
            break;
        };
        match skipped {
            Some((_, behind)) => rest = behind,
            None => break,
        }
    }
    element_type(rest, declared)
}

fn is_doctype(text: &str) -> bool {
    text.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"))
}

fn element_type(text: &str, declared: bool) -> &'static str {
    let name: String = text
        .strip_prefix('<')
        .unwrap_or_default()
        .chars()
        .take_while(|c| c.is_alphanumeric() || matches!(c, ':' | '_' | '-' | '.'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let ends = text
        .get(name.len() + 1..)
        .is_some_and(|behind| behind.starts_with(|c: char| c.is_whitespace() || matches!(c, '>' | '/')));
    if name == "svg" || name.ends_with(":svg") {
        "image/svg+xml"
    } else if HTML_ELEMENTS.contains(&name.as_str()) && ends {
        "text/html"
    } else if declared || ends && !name.is_empty() && (text.contains("</") || text.contains("/>")) {
        "application/xml"
    } else {
        "text/plain"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(head: &[u8], expected: &str) {
        let shown = String::from_utf8_lossy(&head[..head.len().min(60)]);
        assert_eq!(sniff(head).as_str(), expected, "{shown}");
    }

    #[test]
    fn text_is_told_from_what_is_none() {
        check(b"", "application/octet-stream");
        check(b"hello\r\nworld\t\n", "text/plain");
        check("gr\u{fc}n".as_bytes(), "text/plain");
        check(b"\xEF\xBB\xBFhello", "text/plain");
        check(b"BM is how a bitmap begins, and a letter", "text/plain");
        check(b"MZ too", "text/plain");
        check(b"id,url\n1,https://h/a\n", "text/plain");
        check(b"text\0with a NUL", "application/octet-stream");
        check(b"caf\xE9 in Latin-1", "application/octet-stream");
        check(b"\xFF\xFEh\0i\0", "text/plain");
        check(b"\xFE\xFF\0h\0i", "text/plain");
        check(b"\xFF\xFE\0\0h\0\0\0", "application/octet-stream");
    }

    #[test]
    fn a_character_that_the_heads_end_cuts_in_two_is_still_text() {
        let long = "x".repeat(HEAD_BYTES_MAX - 1) + "\u{fc}";
        check(long.as_bytes(), "text/plain");
    }

    #[test]
    fn json_is_told_by_its_grammar() {
        check(b" {\"a\": [1, 2, {\"b\": null", "application/json");
        check(b"[]", "application/json");
        check(b"\xEF\xBB\xBF{}", "application/json");
        check(b"{\"a\":1}\n{\"a\":2}\n{\"a\"", "application/json");
        check("[".repeat(9000).as_bytes(), "application/json");
        check(b"[2026-11-21] a line of a log", "text/plain");
        check(b"{not json}", "text/plain");
    }

    #[test]
    fn markup_is_told_by_its_first_element() {
        check(b"<!DOCTYPE html><html>", "text/html");
        check(b"\n<!-- c --><HTML lang=en>", "text/html");
        check(b"<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC \"x\">", "text/html");
        check(b"<svg xmlns=\"http://www.w3.org/2000/svg\">", "image/svg+xml");
        check(b"<?xml version=\"1.0\"?>\n<!-- c -->\n<svg>", "image/svg+xml");
        check(b"<!DOCTYPE svg PUBLIC \"x\"><svg>", "image/svg+xml");
        check(b"<?xml version=\"1.0\"?><kml>", "application/xml");
        check(b"<annotation><size/></annotation>", "application/xml");
        check(b"<me@acme.com> wrote", "text/plain");
        check(b"<3", "text/plain");
        check(b"<?xml", "application/xml");
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(head in proptest::collection::vec(any::<u8>(), 0..400)) {
            let found = sniff(&head);
            prop_assert!(found.is_unknown() || found.known().is_some(), "{found} is in the closed set");
        }

        #[test]
        fn any_text_is_something(text in "\\PC{0,80}", start in "(<|<\\?|<!|<!--|\\{|\\[|<!doctype ?|)") {
            let found = sniff(format!("{start}{text}").as_bytes());
            prop_assert!(found.is_unknown() || found.known().is_some(), "{found} is in the closed set");
        }

        #[test]
        fn what_follows_a_signature_breaks_nothing(
            start in proptest::sample::select(vec![
                &b"PK\x03\x04"[..], b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", b"RIFF", b"OggS", b"\x1A\x45\xDF\xA3",
                b"\0\0\0\x20ftyp", b"II*\0", b"MM\0*", b"\xFF\xFE", b"ID3", b"# .PCD", b"ply\n",
            ]),
            rest in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let found = sniff(&[start, &rest].concat());
            prop_assert!(found.is_unknown() || found.known().is_some(), "{found} is in the closed set");
        }
    }
}
