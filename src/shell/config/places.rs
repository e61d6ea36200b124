//! Where each setting was set, so that a mistake found late still names its line or variable.

use std::collections::BTreeMap;

use super::errors::ConfigError;

/// Where each setting was set, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(pub(super) BTreeMap<String, String>);

impl Places {
    /// Returns where `key`, or the first key below it, was set: `defaults` where nobody did.
    #[must_use]
    pub fn of(&self, key: &str) -> &str {
        // Hosts are kept in lower case, whatever the file's spelling.
        let same = |known: &str| known.eq_ignore_ascii_case(key);
        let below = |known: &str| {
            let above = known.get(..key.len());
            above.is_some_and(same) && known[key.len()..].starts_with('.')
        };
        let exact = self.0.iter().find(|(known, _)| same(known));
        let found = exact.or_else(|| self.0.iter().find(|(known, _)| below(known)));
        found.map_or("defaults", |(_, place)| place)
    }

    /// Tells whether somebody set `key`.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn error(&self, key: &str, message: String) -> ConfigError {
        ConfigError { key: key.to_owned(), place: self.of(key).to_owned(), message }
    }
}
