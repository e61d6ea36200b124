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
    pub const ALL: &[Self] =
        &[Self::Undecodable, Self::UnknownTeam, Self::TaskConflict, Self::AttemptsExhausted, Self::WebhookExhausted];

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

impl Settlement {
    /// How a delivery ends whose parts end so, in their order. It comes again as long as any part has to, counted if any part
    /// counts: what is done then answers by its receipt. Only when nothing is left to be done a part's dead letter is the whole
    /// message's.
    #[must_use]
    pub fn of_parts(parts: Vec<Self>) -> Self {
        let (mut attempts, mut delay, mut dead) = (None, None, None::<(usize, DeadLetter)>);
        let mut more_dead = 0_usize;
        for (index, part) in parts.into_iter().enumerate() {
            match part {
                Self::Done => {}
                Self::Retry { attempts: counted, delay: wished } => {
                    attempts = attempts.max(Some(counted));
                    delay = delay.max(Some(wished));
                }
                Self::HandBack { delay: wished } | Self::PutOff { delay: wished } => delay = delay.max(Some(wished)),
                Self::DeadLetter(_) if dead.is_some() => more_dead += 1,
                Self::DeadLetter(letter) => dead = Some((index, letter)),
            }
        }
        match (attempts, delay, dead) {
            (Some(attempts), Some(delay), _) => Self::Retry { attempts, delay },
            (_, Some(delay), _) => Self::HandBack { delay },
            (_, None, Some((index, mut letter))) => {
                let more = if more_dead > 0 { format!(" (and {more_dead} more parts of it)") } else { String::new() };
                letter.detail = format!("part {} of the message: {}{more}", index + 1, letter.detail);
                Self::DeadLetter(letter)
            }
            (_, None, None) => Self::Done,
        }
    }
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
    fn a_message_of_several_parts_goes_on_as_long_as_any_part_does() {
        let secs = Duration::from_secs;
        let retry = |delay| Settlement::Retry { attempts: 2, delay: secs(delay) };
        let hand_back = |delay| Settlement::HandBack { delay: secs(delay) };
        let letter = |detail: &str| DeadLetter { reason: Reason::Undecodable, detail: detail.to_owned(), attempts: 1 };
        let dead = |detail: &str| Settlement::DeadLetter(letter(detail));
        let done = || Settlement::Done;
        for (parts, expected) in [
            (vec![], done()),
            (vec![done(), done()], done()),
            (vec![done(), hand_back(3), hand_back(0)], hand_back(3)),
            (vec![hand_back(9), retry(5), done()], retry(9)),
            (vec![dead("x"), retry(5)], retry(5)),
            (vec![hand_back(1), dead("x")], hand_back(1)),
            (vec![done(), dead("x"), done()], dead("part 2 of the message: x")),
            (vec![dead("x"), dead("y"), dead("z")], dead("part 1 of the message: x (and 2 more parts of it)")),
        ] {
            assert_eq!(Settlement::of_parts(parts.clone()), expected, "{parts:?}");
        }
    }

    #[test]
    fn delays_double_up_to_the_longest_and_never_overflow() {
        let backoff = MessageBackoff { base: Duration::from_secs(5), max: Duration::from_secs(900) };
        let secs = |attempts| backoff.after(attempts).as_secs();
        assert_eq!([secs(0), secs(1), secs(2), secs(3)], [5, 5, 10, 20]);
        assert_eq!([secs(9), secs(40), secs(u32::MAX)], [900, 900, 900]);
    }
}
