//! How fast messages are handed over, and how long to leave a troubled SQS alone.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Counts what was handed over within about the last second.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    count: usize,
    before: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), count: 0, before: 0 }
    }

    pub(super) fn note(&mut self, count: usize) {
        self.turn();
        self.count += count;
    }

    /// How many were handed over in this second or in the one before it, whichever is more.
    pub(super) fn recent(&mut self) -> usize {
        self.turn();
        self.count.max(self.before)
    }

    fn turn(&mut self) {
        let gone = self.since.elapsed();
        if gone >= SECOND {
            self.before = if gone < SECOND * 2 { self.count } else { 0 };
            self.count = 0;
            self.since = Instant::now();
        }
    }
}

/// A pause after `failures` in a row: random up to a bound that doubles each time, never shorter than 0.2 s.
pub(super) fn pause_after(failures: u32) -> Duration {
    let bound = PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    rand::rng().random_range(PAUSE_MIN..=bound.max(PAUSE_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        for failures in [0, 1, 5, u32::MAX] {
            let pauses: Vec<_> = (0..200).map(|_| pause_after(failures)).collect();
            assert!(pauses.iter().all(|pause| (PAUSE_MIN..=PAUSE_MAX).contains(pause)));
            let longest = pauses.iter().max().unwrap();
            assert!(*longest <= PAUSE_MIN * 2u32.pow(failures.min(6)));
        }
        assert!((0..200).any(|_| pause_after(9) > SECOND), "a long outage is asked seldom");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_second_or_two_count() {
        let mut pace = Pace::new();
        pace.note(5);
        assert_eq!(pace.recent(), 5);
        tokio::time::advance(SECOND).await;
        assert_eq!(pace.recent(), 5);
        tokio::time::advance(SECOND).await;
        assert_eq!(pace.recent(), 0);
        pace.note(2);
        tokio::time::advance(SECOND * 5).await;
        assert_eq!(pace.recent(), 0);
    }
}
