//! How an object's name becomes the path of a URL, and is asked for as it is.
//!
//! Every byte that is not unreserved is percent-encoded, once. URL libraries take `.` and `..` between slashes for ways up and
//! down a tree, so that next to these the slash is sent as `%2F`, which servers read back as the same name.

use std::fmt::Write;

/// Percent-encodes everything but unreserved characters and slashes.
pub(super) fn encoded(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len() * 2);
    for byte in name.bytes() {
        push(&mut encoded, byte, byte == b'/');
    }
    encoded
}

/// Parameters as they are sent, in the order in which they are given.
pub(super) fn encoded_query(query: &[(&str, &str)]) -> String {
    let mut encoded = String::new();
    for (name, value) in query {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        name.bytes().for_each(|byte| push(&mut encoded, byte, false));
        encoded.push('=');
        value.bytes().for_each(|byte| push(&mut encoded, byte, false));
    }
    encoded
}

fn push(text: &mut String, byte: u8, plain: bool) {
    if plain || byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
        text.push(char::from(byte));
    } else {
        write!(text, "%{byte:02X}").expect("a string takes what is written to it");
    }
}

/// Hides each `.` and `..` segment of an encoded name behind an encoded slash at one of its sides.
pub(super) fn guarded(encoded: &str) -> String {
    let mut guarded = String::with_capacity(encoded.len());
    let mut segments = encoded.split('/').peekable();
    while let Some(segment) = segments.next() {
        guarded.push_str(segment);
        let Some(next) = segments.peek() else { break };
        let hides = is_dots(segment) || is_dots(next);
        guarded.push_str(if hides { "%2F" } else { "/" });
    }
    guarded
}

/// Whether a segment is one that walks.
pub(super) fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

/// The path of a base without query.
pub(super) fn path_of(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.find('/').map_or("", |slash| &rest[slash..])
}
