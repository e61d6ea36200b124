//! Message attributes: what SQS takes, and which names are ours.
//!
//! The sender's go with every copy, whatever their type. Ours begin with `longshore-` and never show outside this adapter.

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::MessageAttributeValue;
use bytes::Bytes;

/// Attempts that were counted.
pub(super) const ATTEMPTS: &str = "longshore-attempts";
/// When the message is due, in milliseconds since 1970.
pub(super) const NOT_BEFORE: &str = "longshore-not-before";
/// What the first message of a chain of copies was: JSON with `id`, `sent_ms`, `unfinished`, `dead_id` and `queue`.
pub(super) const ORIGIN: &str = "longshore-origin";
/// The sender's attributes that do not fit, or that SQS does not take: a JSON object.
pub(super) const OVERFLOW: &str = "longshore-attributes";
/// The body, where SQS does not take it as text; of type `String` for an empty one.
pub(super) const BODY: &str = "longshore-body";
/// The key in our store at which body and attributes lie, where they are too large for SQS.
pub(super) const STORED: &str = "longshore-stored";
/// Why a message was dead-lettered.
pub(super) const REASON: &str = "longshore-reason";
/// What exactly.
pub(super) const DETAIL: &str = "longshore-detail";
/// When, as RFC 3339.
pub(super) const FAILED_AT: &str = "longshore-failed-at";

/// How many attributes SQS takes with a message.
pub(super) const ATTRIBUTES_MAX: usize = 10;

const OURS: &str = "longshore-";

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text, or a number written as text.
    Text { kind: String, text: String },
    /// Bytes.
    Binary { kind: String, bytes: Bytes },
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text { kind: "String".to_owned(), text: text.into() }
    }

    pub(super) fn number(number: impl ToString) -> Self {
        Self::Text { kind: "Number".to_owned(), text: number.to_string() }
    }

    pub(super) fn binary(bytes: Bytes) -> Self {
        Self::Binary { kind: "Binary".to_owned(), bytes }
    }

    /// The value as text, unless it is bytes.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { text, .. } => Some(text),
            Self::Binary { .. } => None,
        }
    }

    /// What of it counts against the largest message, its name left out.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text { kind, text } => kind.len() + text.len(),
            Self::Binary { kind, bytes } => kind.len() + bytes.len(),
        }
    }

    /// Whether SQS takes the value as it is.
    pub(super) fn is_allowed(&self) -> bool {
        match self {
            Self::Text { text, .. } => !text.is_empty() && is_allowed_text(text),
            Self::Binary { bytes, .. } => !bytes.is_empty(),
        }
    }

    pub(super) fn from_wire(value: &MessageAttributeValue) -> Self {
        let kind = value.data_type().to_owned();
        match value.binary_value() {
            Some(blob) => Self::Binary { kind, bytes: Bytes::copy_from_slice(blob.as_ref()) },
            None => Self::Text { kind, text: value.string_value().unwrap_or_default().to_owned() },
        }
    }

    pub(super) fn to_wire(&self) -> Result<MessageAttributeValue, BuildError> {
        let wire = MessageAttributeValue::builder();
        match self {
            Self::Text { kind, text } => wire.data_type(kind).string_value(text).build(),
            Self::Binary { kind, bytes } => wire.data_type(kind).binary_value(Blob::new(bytes.as_ref())).build(),
        }
    }
}

/// Whether an attribute is one of ours.
pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

/// Whether SQS takes an attribute of this name.
pub(super) fn is_allowed_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let characters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=256).contains(&name.len())
        && name.bytes().all(characters)
        && !(name.starts_with('.') || name.ends_with('.') || name.contains(".."))
        && !(lower.starts_with("aws.") || lower.starts_with("amazon."))
}

/// Whether SQS takes these characters: those of XML 1.0.
pub(super) fn is_allowed_text(text: &str) -> bool {
    text.chars().all(is_allowed_char)
}

/// The text with a replacement character for each one that SQS does not take, cut after `chars_max`.
pub(super) fn made_allowed(text: &str, chars_max: usize) -> String {
    let allowed = |character| {
        if is_allowed_char(character) { character } else { '\u{FFFD}' }
    };
    text.chars().take(chars_max).map(allowed).collect()
}

fn is_allowed_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_judged_as_sqs_does() {
        for name in ["team", "a.b-c_9", "AWSTraceHeader"] {
            assert!(is_allowed_name(name), "{name}");
        }
        for name in ["", ".a", "a.", "a..b", "AWS.x", "amazon.x", "größe", "a b", &"n".repeat(257)] {
            assert!(!is_allowed_name(name), "{name}");
        }
        assert!(is_allowed_text("Größe 1 · ✓\t\r\n𝄞"));
        for text in ["\0", "\u{1b}", "\u{FFFE}", "\u{FFFF}"] {
            assert!(!is_allowed_text(text), "{text:?}");
        }
        assert_eq!(made_allowed("a\0b✓c", 4), "a\u{FFFD}b✓");
    }

    #[test]
    fn values_survive_the_wire() {
        for value in [Value::text("x"), Value::number(7), Value::binary(Bytes::from_static(b"\x00\xff"))] {
            assert_eq!(Value::from_wire(&value.to_wire().unwrap()), value);
        }
    }
}
