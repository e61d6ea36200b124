//! How many requests of one lane may be under way at once: a window that opens while answers come and halves when the host
//! is overloaded.
//!
//! It opens by one for each good answer until it is cut first, and after that by one for each window's worth. A few troubles
//! among many good answers are single objects' own and cut nothing; trouble that belongs to a window which was cut already cuts
//! nothing more. At a window of one further trouble makes pauses, doubled each
//! time. A host that cannot be connected to is tried by one at a time until it answers.

use std::time::Duration;

use tokio::time::Instant;

/// The first window: enough for a healthy host to show that it is one, little where there is none.
const FIRST: f64 = 8.0;
/// How much one answer counts in the share of trouble among the latest ones, and from which share on a window is cut: four
/// troubles in a row, or a fifth of many answers.
const WEIGHT: f64 = 1.0 / 16.0;
const CUT_FROM: f64 = 0.2;
/// The first and the longest pause at a window of one.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// After so many pauses in a row nothing is tried again here and now.
const STRUGGLING_FROM: u32 = 5;
/// From so many failed connections in a row on, one try speaks for all; the first and the longest time until the next try.
const UNREACHABLE_FROM: u32 = 3;
const TRIED_AGAIN_FIRST: Duration = Duration::from_secs(1);
const TRIED_AGAIN_LAST: Duration = Duration::from_secs(30);

/// What one request showed of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answers.
    Well,
    /// It has too much to do: 429, 503, or it took too long.
    Overloaded {
        /// When it asked to be asked again.
        retry_after: Option<Duration>,
    },
    /// No connection was made.
    Unreachable,
    /// Nothing: the request was let go, or broke for reasons of its own.
    Nothing,
}

/// The window of one lane.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    window: f64,
    /// The share of trouble among the latest answers.
    trouble: f64,
    /// Whether it was never cut.
    opening: bool,
    cut_at: Option<Instant>,
    pauses: u32,
    unreachable: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { window: FIRST, trouble: 0.0, opening: true, cut_at: None, pauses: 0, unreachable: 0 }
    }

    /// How many may be under way; `most` is the limit that was configured.
    pub(super) fn window(&self, most: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and the limit")]
        let window = self.window as usize;
        window.clamp(1, most.max(1))
    }

    /// Whether one try speaks for all, and then how long it does.
    pub(super) fn unreachable_for(&self) -> Option<Duration> {
        let times = self.unreachable.checked_sub(UNREACHABLE_FROM)?;
        Some(TRIED_AGAIN_FIRST.saturating_mul(1 << times.min(10)).min(TRIED_AGAIN_LAST))
    }

    /// Whether it has paused some times in a row without a good answer.
    pub(super) fn is_struggling(&self) -> bool {
        self.pauses >= STRUGGLING_FROM
    }

    /// Follows the sign of a request that began at `began`; returns how long to pause.
    pub(super) fn follow(&mut self, sign: Sign, began: Instant, now: Instant, most: usize) -> Option<Duration> {
        match sign {
            Sign::Nothing => None,
            Sign::Well => {
                self.well(most);
                None
            }
            Sign::Overloaded { .. } => self.overloaded(began, now),
            Sign::Unreachable => {
                self.unreachable = self.unreachable.saturating_add(1);
                (self.window, self.opening) = (1.0, false);
                None
            }
        }
    }

    fn well(&mut self, most: usize) {
        if self.unreachable_for().is_some() {
            // It is back, and nothing is known of it.
            self.opening = true;
        }
        (self.unreachable, self.pauses) = (0, 0);
        self.trouble -= self.trouble * WEIGHT;
        let step = if self.opening { 1.0 } else { 1.0 / self.window };
        #[expect(clippy::cast_precision_loss, reason = "limits are small numbers")]
        let most = most.max(1) as f64;
        self.window = (self.window + step).min(most);
    }

    fn overloaded(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        self.trouble += (1.0 - self.trouble) * WEIGHT;
        if self.trouble < CUT_FROM || self.cut_at.is_some_and(|cut_at| began < cut_at) {
            return None;
        }
        self.opening = false;
        self.cut_at = Some(now);
        if self.window > 1.0 {
            self.window = (self.window / 2.0).max(1.0);
            return None;
        }
        let pause = PAUSE_FIRST.saturating_mul(1 << self.pauses.min(20)).min(PAUSE_LONGEST);
        self.pauses = self.pauses.saturating_add(1);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLOADED: Sign = Sign::Overloaded { retry_after: None };

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_quickly_before_the_first_trouble_and_by_one_a_window_after_it() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        for _ in 0..24 {
            pace.follow(Sign::Well, now, now, 32);
        }
        assert_eq!(pace.window(32), 32);
        pace.follow(Sign::Well, now, now, 32);
        assert_eq!(pace.window(32), 32, "never above the limit");
        for _ in 0..4 {
            pace.follow(OVERLOADED, now, now + secs(1), 32);
        }
        assert_eq!(pace.window(32), 16);
        for _ in 0..17 {
            pace.follow(Sign::Well, now, now, 32);
        }
        assert_eq!(pace.window(32), 17, "one more for a window's worth");
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_troubles_among_many_good_answers_cut_nothing() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        for number in 0..400u64 {
            let sign = if number % 20 == 7 { OVERLOADED } else { Sign::Well };
            pace.follow(sign, now + secs(number), now + secs(number), 32);
        }
        assert_eq!(pace.window(32), 32, "one in twenty");
        for number in 0..400u64 {
            let sign = if number.is_multiple_of(3) { OVERLOADED } else { Sign::Well };
            pace.follow(sign, now + secs(400 + number), now + secs(400 + number), 32);
        }
        assert!(pace.window(32) < 8, "one in three");
    }

    #[tokio::test(start_paused = true)]
    async fn one_window_is_cut_once_and_the_least_one_pauses() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        for _ in 0..5 {
            assert_eq!(pace.follow(OVERLOADED, now, now + secs(1), 32), None);
        }
        assert_eq!(pace.window(32), 4, "five answers to one window cut it once");
        let mut pauses = Vec::new();
        for round in 2..14 {
            pauses.extend(pace.follow(OVERLOADED, now + secs(round), now + secs(round), 32));
        }
        assert_eq!(pace.window(32), 1);
        assert_eq!(pauses[..3], [250, 500, 1000].map(Duration::from_millis));
        assert_eq!(pauses.last(), Some(&PAUSE_LONGEST));
        pace.follow(Sign::Well, now, now, 32);
        pace.follow(OVERLOADED, now + secs(20), now + secs(20), 32);
        assert_eq!(pace.window(32), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_cannot_be_connected_to_is_tried_by_one_until_it_answers() {
        let (mut pace, now) = (Pace::new(), Instant::now());
        pace.follow(Sign::Unreachable, now, now, 32);
        assert_eq!((pace.window(32), pace.unreachable_for()), (1, None));
        pace.follow(Sign::Unreachable, now, now, 32);
        pace.follow(Sign::Unreachable, now, now, 32);
        assert_eq!(pace.unreachable_for(), Some(secs(1)));
        pace.follow(Sign::Unreachable, now, now, 32);
        assert_eq!(pace.unreachable_for(), Some(secs(2)));
        for _ in 0..7 {
            pace.follow(Sign::Well, now, now, 32);
        }
        assert_eq!((pace.window(32), pace.unreachable_for()), (8, None));
    }
}
