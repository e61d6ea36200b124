//! How a delivery ends, and the delays between deliveries: pure decisions.

use std::time::Duration;

/// Why a message went to the dead-letter queue. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The message cannot be decoded, or breaks a rule of its shape.
    Undecodable,
    /// No directory knows the team.
    UnknownTeam,
    /// The task id was used for other content.
    TaskConflict,
    /// Deliveries that ran alone never finished.
    AttemptsExhausted,
    /// A webhook's last try failed.
    WebhookExhausted,
}

impl Reason {
    /// All reasons, in the order of the interface.
    pub const ALL: &[Self] = &[
        Self::Undecodable,
        Self::UnknownTeam,
        Self::TaskConflict,
        Self::AttemptsExhausted,
        Self::WebhookExhausted,
    ];

    /// The reason as it stands in attributes and headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::UnknownTeam => "unknown_team",
            Self::TaskConflict => "task_conflict",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::WebhookExhausted => "webhook_exhausted",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands beside a dead-lettered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why.
    pub reason: Reason,
    /// What exactly, for a person; names the field for what is undecodable.
    pub detail: String,
    /// How many attempts were counted.
    pub attempts: u32,
}

/// How a delivery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// The message is done with and goes away.
    Done,
    /// An attempt that failed by the task's own fault: again after `delay`, counted.
    Retry {
        /// How many attempts have been counted with this one.
        attempts: u32,
        /// How long the message stays hidden.
        delay: Duration,
    },
    /// Nothing was wrong with the task: again after `delay`, uncounted.
    HandBack {
        /// How long the message stays hidden; zero: at once.
        delay: Duration,
    },
    /// Nobody has begun it: again after `delay`, as it came.
    PutOff {
        /// How long the message stays hidden; zero: at once.
        delay: Duration,
    },
    /// The message goes to the dead-letter queue, body and attributes unchanged.
    DeadLetter(DeadLetter),
}

/// Growing delays between deliveries of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageBackoff {
    /// The first delay.
    pub base: Duration,
    /// The longest.
    pub max: Duration,
}

impl MessageBackoff {
    /// The delay after `attempts` counted attempts (1 for the first): doubled each time, never above the longest.
    #[must_use]
    pub fn after(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_never_overflow() {
        let backoff = MessageBackoff { base: Duration::from_secs(5), max: Duration::from_secs(900) };
        let secs = |attempts| backoff.after(attempts).as_secs();
        assert_eq!([secs(0), secs(1), secs(2), secs(3)], [5, 5, 10, 20]);
        assert_eq!([secs(9), secs(40), secs(u32::MAX)], [900, 900, 900]);
    }
}
