//! What the clouds' object services have in common when they refuse: a short document with a code in it, and a fault that hands
//! the code on. What a code means is each cloud's own.

use reqwest::header::HeaderMap;

use super::answer;
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::clock::Clock;

/// Longest error document, or page of a list, that is looked at.
pub(super) const WORDS_BYTES_MAX: usize = 64 << 10;

/// An answer that is no success, apart from what it means.
pub(super) struct Worded<'a> {
    /// Who answered, as a person knows it.
    pub(super) who: &'a str,
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    /// The provider's own code.
    pub(super) code: Option<&'a str>,
    /// The header field of the provider's request id.
    pub(super) request_id: &'static str,
}

impl Worded<'_> {
    /// The attachment's fault, with the provider's own code and request id beside ours.
    pub(super) fn fault(&self, code: Code, words: &str) -> AttachmentFault {
        // The plain reading of the head knows when to come back.
        let plain = answer::refusal(self.status, self.headers, "", Clock::System.now());
        AttachmentFault {
            code,
            message: format!("{} answered {}: {words}", self.who, self.status),
            http_status: Some(self.status),
            provider_code: self.code.map(str::to_owned),
            request_id: answer::text(self.headers, self.request_id),
            retry_after: plain.retry_after,
            is_unreached: false,
            is_elsewhere: false,
        }
    }
}

/// The text of the first element of this name. The clouds' errors and lists are flat enough to be read so, and what is found
/// is checked by whoever uses it.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// Whether a text has the form of a provider's code: what has not is handed on to nobody.
pub(super) fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_codes_are_short_words() {
        let xml = "<Error><Code> NoSuchKey </Code><Code>other</Code><Open>";
        assert_eq!(element(xml, "Code"), Some("NoSuchKey"));
        assert_eq!((element(xml, "Open"), element(xml, "Message")), (None, None));
        for (text, expected) in [("KMS.Disabled_x1", true), ("", false), ("a b", false), ("a<b", false)] {
            assert_eq!(is_code(text), expected, "{text}");
        }
        assert!(!is_code(&"a".repeat(65)));
    }
}
