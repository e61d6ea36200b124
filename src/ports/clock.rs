//! The time of day. Spans are measured with `tokio::time`; this tells only what stands in receipts.

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time of day.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that starts at a given moment and goes on with tokio's time, which tests can pause.
    Started {
        /// What it showed…
        shown: Timestamp,
        /// …at this moment.
        at: Instant,
    },
}

impl Clock {
    /// A clock that shows `shown` now and goes on with tokio's time.
    #[must_use]
    pub fn starting(shown: Timestamp) -> Self {
        Self::Started { shown, at: Instant::now() }
    }

    /// The time of day, cut to milliseconds.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let now = match self {
            Self::System => Timestamp::now(),
            Self::Started { shown, at } => {
                let gone = SignedDuration::try_from(at.elapsed()).unwrap_or(SignedDuration::MAX);
                shown.checked_add(gone).unwrap_or(Timestamp::MAX)
            }
        };
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}
