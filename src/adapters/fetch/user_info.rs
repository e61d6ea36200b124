//! The user-info of a URL, and what it is as Basic authorization.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use url::Url;

/// User and password, percent-decoded. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct UserInfo {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl UserInfo {
    /// What `url` holds before its host, if anything.
    pub(super) fn of(url: &Url) -> Option<Self> {
        if url.username().is_empty() && url.password().is_none() {
            return None;
        }
        Some(Self { user: decoded(url.username()), password: decoded(url.password().unwrap_or_default()) })
    }

    /// `Basic …`, as RFC 7617 writes it; no log of the client's ever shows it.
    pub(super) fn basic(&self) -> HeaderValue {
        let both = [&self.user[..], b":", &self.password[..]].concat();
        let text = format!("Basic {}", STANDARD.encode(both));
        let mut value = HeaderValue::from_str(&text).expect("base64 is text that a header can hold");
        value.set_sensitive(true);
        value
    }
}

/// A mark that is no escape stands for itself.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut found, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| Some(digit(at + 1)? * 16 + digit(at + 2)?)).flatten();
        match escaped.and_then(|code| u8::try_from(code).ok()) {
            Some(code) => {
                found.push(code);
                at += 3;
            }
            None => {
                found.push(*byte);
                at += 1;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Option<&str>) {
        let found = UserInfo::of(&Url::parse(url).unwrap()).map(|info| info.basic());
        let expected = expected.map(|both| format!("Basic {}", STANDARD.encode(both)));
        assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected.as_deref(), "{url}");
    }

    #[test]
    fn user_and_password_are_decoded_and_joined_by_a_colon() {
        check("http://h/", None);
        check("http://me@h/", Some("me:"));
        check("http://:hush@h/", Some(":hush"));
        check("http://us%40er:hu%3Ash%25@h/", Some("us@er:hu:sh%"));
        check("http://%C3%A9:%2@h/", Some("é:%2"));
    }
}
