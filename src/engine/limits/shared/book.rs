//! Slots by key, kept in this process: what one replica goes by while the service is away.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::engine::limits::slots::{Full, Slots, Spacing, take_of_all};
use crate::ports::budget::{Answer, Ask, Row};

/// Above this many keys, those whose slots are all past are forgotten.
const KEYS_MAX: usize = 4096;

/// Which slots are taken.
#[derive(Debug, Default)]
pub(super) struct Book(HashMap<String, Slots>);

impl Book {
    /// Answers as [`SharedSlots`](crate::ports::budget::SharedSlots) does, to one of `sharers` who each have an equal share.
    pub(super) fn take(&mut self, asks: &[Ask], sharers: u32, now: Instant) -> Vec<Answer> {
        if self.0.len() > KEYS_MAX {
            self.0.retain(|_, slots| slots.opens_at(now).is_some());
        }
        asks.iter().map(|ask| self.answer(ask, sharers.max(1), now)).collect()
    }

    fn answer(&mut self, ask: &Ask, sharers: u32, now: Instant) -> Answer {
        let share = |row: &Row| match sharers {
            1 => Spacing { interval: row.interval, slack: row.slack },
            _ => Spacing::of_interval(row.interval.saturating_mul(sharers)),
        };
        let of = |row: &Row| (self.0.get(&row.key).copied().unwrap_or_default(), share(row));
        let mut rows: Vec<(Slots, Spacing)> = ask.rows.iter().map(of).collect();
        let mut all: Vec<_> = rows.iter_mut().map(|(slots, spacing)| (slots, *spacing)).collect();
        match take_of_all(&mut all, now, ask.number) {
            Err(Full { by, again }) => Answer::Full { by, again: again.duration_since(now) },
            Ok(first) => {
                let taken = ask.rows.iter().zip(rows).map(|(row, (slots, _))| (row.key.clone(), slots));
                self.0.extend(taken);
                Answer::Taken(first.duration_since(now))
            }
        }
    }

    /// Forgets what was taken.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
