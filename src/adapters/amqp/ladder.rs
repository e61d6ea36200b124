//! The ladder of delays: which tier queue a message waits in.
//!
//! A broker queue can hold all its messages back for one fixed time, so there is one queue for each tier. A longer or odd
//! wait is walked: the message goes through several tiers until it is due. It is never back before its time, and late by
//! less than one tier.

use std::time::Duration;

/// A queue that holds each message back for a fixed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tier {
    /// How long a message stays, in milliseconds: the unit of `x-message-ttl`.
    pub(super) millis: u32,
    /// What follows `.retry.` in the queue's name.
    suffix: &'static str,
}

const SECOND: Tier = Tier { millis: 1_000, suffix: "1s" };

/// All tiers, shortest first. A change of a wait needs a new name: the broker refuses other arguments for an old one.
pub(super) const LADDER: [Tier; 8] = [
    Tier { millis: 200, suffix: "200ms" },
    Tier { millis: 500, suffix: "500ms" },
    SECOND,
    Tier { millis: 5_000, suffix: "5s" },
    Tier { millis: 15_000, suffix: "15s" },
    Tier { millis: 60_000, suffix: "1m" },
    Tier { millis: 300_000, suffix: "5m" },
    Tier { millis: 900_000, suffix: "15m" },
];

impl Tier {
    /// Returns the tier's queue beside the task queue `queue`.
    pub(super) fn queue_of(self, queue: &str) -> String {
        format!("{queue}.retry.{}", self.suffix)
    }

    /// How long a message stays.
    pub(super) fn wait(self) -> Duration {
        Duration::from_millis(u64::from(self.millis))
    }
}

/// Returns the tier for the next leg of `wait`.
///
/// A tier that is longer by no more than a quarter ends the walk; otherwise the longest one within the wait is taken, and
/// the rest is walked when the message comes back. What is left of less than a second is walked in one leg, or but for a moment.
pub(super) fn tier_for(wait: Duration) -> Tier {
    let [shortest, ..] = LADDER;
    if wait <= SECOND.wait() {
        return LADDER.into_iter().find(|tier| tier.wait() + tier.wait() / 4 >= wait).unwrap_or(SECOND);
    }
    let ends_it = LADDER.into_iter().find(|tier| tier.wait() >= wait && tier.wait() <= wait + wait / 4);
    let within = LADDER.into_iter().rev().find(|tier| tier.wait() <= wait);
    ends_it.or(within).unwrap_or(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks `wait` and returns how late the message is and in how many legs.
    fn walk(wait: Duration) -> (Duration, u32) {
        let (mut walked, mut legs) = (Duration::ZERO, 0);
        while walked < wait {
            walked += tier_for(wait.checked_sub(walked).unwrap()).wait();
            legs += 1;
        }
        (walked.checked_sub(wait).unwrap(), legs)
    }

    #[test]
    fn a_wait_that_is_a_tier_is_one_leg_and_exact() {
        for tier in LADDER {
            assert_eq!(walk(tier.wait()), (Duration::ZERO, 1));
        }
    }

    #[test]
    fn no_wait_is_cut_short_nor_late_by_a_tier() {
        for millis in (1..1_000).chain((1_000..4_000_000).step_by(733)) {
            let wait = Duration::from_millis(millis);
            let (late, legs) = walk(wait);
            assert!(late < Duration::from_secs(1).max(wait / 4), "{wait:?} is late by {late:?}");
            assert!(legs < 25, "{wait:?} takes {legs} legs");
        }
    }

    #[test]
    fn less_than_a_second_is_one_leg_but_for_a_moment() {
        for wait in (1..=1_000).map(Duration::from_millis) {
            let leg = tier_for(wait).wait();
            assert!(leg.saturating_sub(wait) < Duration::from_millis(400), "{wait:?} is late after {leg:?}");
            assert!(wait.saturating_sub(leg) <= Duration::from_millis(125), "{wait:?} has a rest after {leg:?}");
        }
    }

    #[test]
    fn tiers_are_named_after_the_task_queue() {
        assert_eq!(tier_for(Duration::from_secs(5)).queue_of("tasks"), "tasks.retry.5s");
    }
}
