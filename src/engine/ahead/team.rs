//! One team: what it has in hand, away and on its way back, and how quick it is.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::rush::Rush;

/// What is believed at least of a team's pace, in messages a second; and how many times what it just did.
const LEAST_PACE: f64 = 20.0;
pub(super) const MORE: f64 = 2.0;
/// What comes back within so long of each other is counted together.
const TOGETHER: Duration = Duration::from_millis(500);
/// How long a pace is measured before it is believed.
const MEASURED_FOR: Duration = Duration::from_secs(1);
/// For so long messages are expected that were brought back.
pub(super) const EXPECTED_FOR: Duration = Duration::from_secs(2);

/// A team, as far as messages of it were seen.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) in_hand: usize,
    /// Messages ended a second, measured from `since` on.
    pub(super) pace: f64,
    pub(super) ended: u32,
    pub(super) since: Instant,
    /// When the last one that was put off has its turn.
    pub(super) last_turn: Instant,
    pub(super) away: Away,
    /// When the last of those that were away and have to wait longer is looked at again.
    pub(super) next_look: Instant,
    pub(super) expected: Expected,
    pub(super) rush: Rush,
    pub(super) used: Instant,
}

impl Busy {
    /// One of which nothing is known but the pace that it is believed to have.
    pub(super) fn new(pace: f64, now: Instant) -> Self {
        Self {
            in_hand: 0,
            pace,
            ended: 0,
            since: now,
            last_turn: now,
            away: Away::default(),
            next_look: now,
            expected: Expected::default(),
            rush: Rush::none(now),
            used: now,
        }
    }

    /// Messages a second, lately.
    pub(super) fn pace(&mut self, now: Instant) -> f64 {
        let measured = now.duration_since(self.since);
        if measured >= MEASURED_FOR {
            let pace = f64::from(self.ended) / measured.as_secs_f64();
            self.pace = (self.pace + pace) / 2.0;
            (self.ended, self.since) = (0, now);
        }
        (self.pace * MORE).max(LEAST_PACE)
    }
}

/// Messages that were brought back and have not come yet.
#[derive(Debug, Default)]
pub(super) struct Expected {
    count: usize,
    since: Option<Instant>,
}

impl Expected {
    /// So many more are on their way.
    pub(super) fn add(&mut self, count: usize, now: Instant) {
        self.count += count;
        self.since = Some(now);
    }

    /// One has come, expected or not.
    pub(super) fn arrived(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// How many; none when nothing more was for long: another replica has them.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        if self.since.is_none_or(|since| now.duration_since(since) > EXPECTED_FOR) {
            self.count = 0;
        }
        self.count
    }
}

/// How many of a team's messages are away, by when they are back.
#[derive(Debug, Default)]
pub(super) struct Away {
    pub(super) count: u32,
    /// Those that are back by each moment; moments close to each other are one.
    back: BTreeMap<Instant, u32>,
}

impl Away {
    /// So many more are away until then.
    pub(super) fn add(&mut self, back: Instant, count: u32) {
        self.count = self.count.saturating_add(count);
        let near = self.back.range(back..back + TOGETHER).next().map(|(moment, _)| *moment);
        let there = self.back.entry(near.unwrap_or(back)).or_default();
        *there = there.saturating_add(count);
    }

    /// How many are away now.
    pub(super) fn count(&mut self, now: Instant) -> u32 {
        while let Some(first) = self.back.first_entry().filter(|first| *first.key() <= now) {
            self.count = self.count.saturating_sub(first.remove());
        }
        self.count
    }
}
