//! Facts as object metadata: JSON as it is where a header can carry it, else base64url. S3 gives 2 KB for all metadata.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

const NAME: &str = "longshore-facts";

pub(super) fn encoded(facts: &[u8]) -> String {
    match std::str::from_utf8(facts) {
        Ok(text) if passes_unchanged(text) => text.to_owned(),
        Ok(_) | Err(_) => URL_SAFE_NO_PAD.encode(facts),
    }
}

pub(super) fn metadata(encoded: String) -> HashMap<String, String> {
    HashMap::from([(NAME.to_owned(), encoded)])
}

/// The facts in an object's metadata. What cannot be read is no facts: the object is then read back and looked at anew.
pub(super) fn kept(metadata: &HashMap<String, String>) -> Option<Bytes> {
    let value = metadata.get(NAME)?;
    if value.starts_with('{') {
        return Some(Bytes::copy_from_slice(value.as_bytes()));
    }
    URL_SAFE_NO_PAD.decode(value).ok().map(Bytes::from)
}

/// Headers lose spaces at their ends, signatures fold runs of them, and only ASCII passes everywhere. The brackets tell JSON
/// from base64.
fn passes_unchanged(text: &str) -> bool {
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    printable && !text.contains("  ") && text.starts_with('{') && text.ends_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_pass_through_a_header_unchanged() {
        for (facts, plain) in [
            (r#"{"a":1,"b":"x y"}"#, true),
            ("{}", true),
            ("{ }  ", false),
            ("{\"a\":\"x  y\"}", false),
            ("{\"a\":\"é\"}", false),
            ("{\n}", false),
            ("[]", false),
            ("", false),
        ] {
            let value = encoded(facts.as_bytes());
            assert_eq!(value == facts && !facts.is_empty(), plain, "{facts}");
            assert!(value.is_ascii() && value.trim() == value, "{value}");
            let back = kept(&metadata(value));
            assert_eq!(back.as_deref(), Some(facts.as_bytes()));
        }
        assert_eq!(kept(&metadata("not base64!".to_owned())), None);
        assert!(encoded(&[0xc3; 1500]).len() + NAME.len() <= 2048);
    }
}
