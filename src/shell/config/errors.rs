//! Mistakes in the configuration, each with its key, its place and what to do.

use std::fmt;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[error("{place}: {key}: {message}")]
pub struct ConfigError {
    /// The key, as `queue.lease`; of a file that cannot be read, empty.
    pub key: String,
    /// Where it stands: `longshore.toml:12`, `environment LONGSHORE__QUEUE__LEASE` or `defaults`.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// All mistakes at once, at least one; one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, error) in self.0.iter().enumerate() {
            let line_break = if number == 0 { "" } else { "\n" };
            if error.key.is_empty() {
                write!(formatter, "{line_break}{}: {}", error.place, error.message)?;
            } else {
                write!(formatter, "{line_break}{error}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
