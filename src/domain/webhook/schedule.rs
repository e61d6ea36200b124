//! When a delivery is tried again: at once, 5 s, 1 min, 5 min, 30 min, then hourly to 24 h, at least 20 tries.
//!
//! Each wait runs from the try before, so that a worker that was away for hours does not fire what it missed in one burst.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// How long a delivery is tried.
const LASTS: Duration = HOUR.saturating_mul(24);
/// No more tries than fit into that time without jitter…
const TRIES_MAX: u32 = 28;
/// …and no fewer than these, however much of it was spent waiting.
const TRIES_MIN: u32 = 20;
/// How much longer than planned a wait may be, as a share of it: what failed together does not come back together.
const JITTER: f64 = 0.1;
/// The longest wait that an endpoint may ask for.
pub const RETRY_AFTER_MAX: Duration = LASTS;

/// What follows a try that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another try after this wait.
    After(Duration),
    /// None: that was the last.
    Never,
}

/// Returns what follows after `tries` tries were sent in vain. `jitter` is between 0 and 1.
#[must_use]
pub fn next(tries: u32, created_at: Timestamp, now: Timestamp, retry_after: Option<Duration>, jitter: f64) -> Next {
    if tries >= TRIES_MAX {
        return Next::Never;
    }
    let planned = wait_after(tries).mul_f64(1.0 + JITTER * jitter.clamp(0.0, 1.0));
    let wait = planned.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
    if tries >= TRIES_MIN && age(created_at, now).saturating_add(wait) > LASTS {
        return Next::Never;
    }
    Next::After(wait)
}

/// Whether a delivery that cannot be sent as things are has waited long enough for somebody to change them.
#[must_use]
pub fn is_over(created_at: Timestamp, now: Timestamp) -> bool {
    age(created_at, now) >= LASTS
}

fn age(created_at: Timestamp, now: Timestamp) -> Duration {
    let age: SignedDuration = now.duration_since(created_at);
    Duration::try_from(age).unwrap_or_default()
}

/// The wait after the `tries`th try.
fn wait_after(tries: u32) -> Duration {
    match tries {
        0 => Duration::ZERO,
        1 => SECOND * 5,
        2 => MINUTE,
        3 => MINUTE * 5,
        4 => MINUTE * 30,
        _ => HOUR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-21T20:00:00Z".parse().expect("a time")
    }

    fn at(after: Duration) -> Timestamp {
        start() + SignedDuration::try_from(after).expect("hours")
    }

    /// Tries on and on; each try fails after `takes` and asks for `retry_after`. Returns when each was sent.
    fn walk(takes: Duration, retry_after: Option<Duration>, jitter: f64) -> Vec<Duration> {
        let (mut now, mut sent) = (Duration::ZERO, Vec::new());
        loop {
            sent.push(now);
            now += takes;
            let tries = u32::try_from(sent.len()).expect("few");
            match next(tries, start(), at(now), retry_after, jitter) {
                Next::After(wait) => now += wait,
                Next::Never => return sent,
            }
        }
    }

    #[test]
    fn the_first_waits_are_those_of_the_interface() {
        let waits: Vec<u64> =
            walk(Duration::ZERO, None, 0.0).windows(2).map(|two| (two[1] - two[0]).as_secs()).collect();
        assert_eq!(waits[..6], [5, 60, 300, 1800, 3600, 3600]);
        assert!(waits[4..].iter().all(|wait| *wait == 3600));
    }

    #[test]
    fn at_least_twenty_tries_and_none_after_a_day() {
        for jitter in [0.0, 0.5, 1.0] {
            for takes in [0, 20, 60] {
                let sent = walk(Duration::from_secs(takes), None, jitter);
                assert!((20..=28).contains(&sent.len()), "{jitter} {takes}: {} tries", sent.len());
                let last = sent.last().copied().unwrap_or_default();
                assert!(last <= LASTS && last >= HOUR * 22, "{jitter} {takes}: the last after {last:?}");
            }
        }
    }

    #[test]
    fn the_next_try_is_at_the_later_of_schedule_and_retry_after() {
        let wait = |tries, asked| next(tries, start(), start(), Some(Duration::from_secs(asked)), 0.0);
        assert_eq!(wait(1, 120), Next::After(Duration::from_secs(120)));
        assert_eq!(wait(3, 120), Next::After(Duration::from_secs(300)));
        assert_eq!(wait(1, u64::MAX), Next::After(RETRY_AFTER_MAX), "nobody asks for ever");
    }

    #[test]
    fn an_endpoint_that_asks_for_long_waits_still_gets_its_tries() {
        assert_eq!(walk(Duration::ZERO, Some(HOUR * 5), 0.0).len(), 20);
    }

    #[test]
    fn a_delivery_that_is_days_old_when_it_is_replayed_begins_anew() {
        let old = at(HOUR * 72);
        assert_eq!(next(1, start(), old, None, 0.0), Next::After(SECOND * 5));
        assert_eq!(next(20, start(), old, None, 0.0), Next::Never);
    }

    #[test]
    fn what_cannot_be_sent_waits_a_day() {
        assert!(!is_over(start(), at(HOUR * 23)));
        assert!(is_over(start(), at(HOUR * 24)));
        assert!(!is_over(at(HOUR), start()), "a clock that is behind");
    }
}
