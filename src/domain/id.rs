//! Names of teams, tasks, attachments and imports: text that has been checked once and is safe in keys ever after.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with a name, in words for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct BadId {
    /// The message field that held the name.
    pub field: &'static str,
    /// What it breaks.
    pub problem: String,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// [`BadId`] says which rule it breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                match $check(&text) {
                    None => Ok(Self(text)),
                    Some(problem) => Err(BadId { field: $field, problem }),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name_type!(
    /// A customer account: the unit of credentials, limits, fairness and isolation.
    TeamId,
    "team",
    team_problem
);
name_type!(
    /// The idempotency key of a task within its team.
    TaskId,
    "task_id",
    task_problem
);
name_type!(
    /// The idempotency key of an import within its team.
    ImportId,
    "import_id",
    task_problem
);
name_type!(
    /// An attachment's name, unique in its task.
    AttachmentId,
    "attachments[].id",
    attachment_problem
);

fn team_problem(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        return Some("must be 1 to 64 characters of a-z, 0-9, _ and -".to_owned());
    }
    // A leading underscore is Longshore's own part of the store (`_claims`, `_dead`, `_probe`).
    text.starts_with('_').then(|| "must not begin with an underscore".to_owned())
}

fn task_problem(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    if text.is_empty() || text.len() > 128 || !text.bytes().all(allowed) {
        return Some("must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'".to_owned());
    }
    matches!(text, "." | "..").then(|| "must not be '.' or '..'".to_owned())
}

fn attachment_problem(text: &str) -> Option<String> {
    let bad = text.is_empty() || text.len() > 256 || text.chars().any(char::is_control);
    bad.then(|| "must be 1 to 256 characters without control characters".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_task(text: &str, good: bool) {
        assert_eq!(TaskId::new(text).is_ok(), good, "{text:?}");
    }

    #[test]
    fn task_ids_hold_only_what_is_safe_in_a_key() {
        for good in ["t-123", "a", "A.b_c:d-9", "...", &"x".repeat(128)] {
            check_task(good, true);
        }
        for bad in ["", ".", "..", "a/b", "a b", "a~2", "ä", "a\0", &"x".repeat(129)] {
            check_task(bad, false);
        }
    }

    #[test]
    fn team_ids_are_lower_case_and_never_ours() {
        for (text, good) in
            [("acme", true), ("a_b-9", true), ("Acme", false), ("", false), ("_claims", false), ("a.b", false)]
        {
            assert_eq!(TeamId::new(text).is_ok(), good, "{text:?}");
        }
        assert!(TeamId::new("x".repeat(65)).is_err());
    }

    #[test]
    fn a_bad_name_says_which_field_and_rule() {
        let error = TaskId::new("a/b").expect_err("a slash is refused");
        assert!(error.to_string().starts_with("task_id must be 1 to 128 characters"));
    }
}
