//! What may be written nowhere, in every spelling in which it could be.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Shorter texts stand in innocent places.
const BYTES_MIN: usize = 8;

/// Secrets by their spellings, each with what it is.
#[derive(Default, Clone)]
pub(super) struct Secrets(BTreeMap<String, String>);

/// A place that something was written to, and what stands there.
pub(super) type Written = (String, String);

impl Secrets {
    /// Adds a secret as it is, percent-encoded and in base64; of what has lines each line, and of a signed token its signature.
    pub(super) fn add(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= BYTES_MIN, "{what} is too short to be looked for: {secret}");
        let mut parts = vec![secret];
        parts.extend(secret.lines().filter(|line| line.len() >= BYTES_MIN && !line.starts_with("-----")));
        parts.extend(secret.rsplit_once('.').map(|(_, end)| end).filter(|end| end.len() >= 2 * BYTES_MIN));
        for part in parts {
            let encoded = url::form_urlencoded::byte_serialize(part.as_bytes()).collect();
            for spelling in [part.to_owned(), encoded, STANDARD.encode(part), URL_SAFE_NO_PAD.encode(part)] {
                self.0.insert(spelling, what.to_owned());
            }
        }
    }

    /// Adds secrets of which there must be some.
    pub(super) fn add_all<'a>(&mut self, what: &str, secrets: impl IntoIterator<Item = &'a str>) {
        let added = secrets.into_iter().map(|secret| self.add(what, secret)).count();
        assert!(added > 0, "{what}: none was used, the test sees nothing");
    }

    /// These and the others.
    pub(super) fn and(&self, others: &Self) -> Self {
        Self(self.0.clone().into_iter().chain(others.0.clone()).collect())
    }

    /// What stands somewhere all the same: the place, what it is, and the line.
    pub(super) fn found_in(&self, written: &[Written]) -> Vec<String> {
        let mut found = Vec::new();
        for (place, text) in written {
            for (spelling, what) in &self.0 {
                if let Some(at) = text.find(spelling) {
                    let begin = text.floor_char_boundary(at.saturating_sub(200));
                    let end = text.floor_char_boundary(at + spelling.len() + 50);
                    found.push(format!("{place} holds {what}: …{}…", &text[begin..end]));
                }
            }
        }
        found
    }

    /// Every secret, in every spelling, is found where it stands.
    pub(super) fn check_each_is_found(&self) {
        for spelling in self.0.keys() {
            let planted = [("planted".to_owned(), format!("a line\nDEBUG token={spelling}, a rest"))];
            assert!(!self.found_in(&planted).is_empty(), "{spelling} is not found");
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
