//! Waits that SQS counts as something else, or not in time: those by visibility, copies on FIFO queues that are not due yet, and
//! delayed copies.
//!
//! Only this process's are known, and of many only some. They make the counts of a queue say what they mean; nothing depends
//! on them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;

use crate::ports::queue::Depth;

/// More waits than this are not known.
const KNOWN_MAX: usize = 100_000;
/// Waits that have ended are let go when there are twice as many as were left the last time, and at least so many.
const CLEAN_MIN: usize = 128;

/// As what SQS counts a message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountedAs {
    Visible,
    Leased,
    Delayed,
}

/// What this process knows to be waiting, by SQS's id.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    by_id: HashMap<String, Wait>,
    clean_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    due_ms: i64,
    counted_as: CountedAs,
}

impl Waiting {
    /// Notes that the message waits until it is due.
    pub(super) fn note(&self, message_id: &str, due_ms: i64, counted_as: CountedAs, now: Timestamp) {
        let mut waits = self.waits();
        if waits.by_id.len() >= waits.clean_at {
            waits.by_id.retain(|_, wait| wait.due_ms > now.as_millisecond());
            waits.clean_at = (waits.by_id.len() * 2).max(CLEAN_MIN);
        }
        if waits.by_id.len() < KNOWN_MAX {
            waits.by_id.insert(message_id.to_owned(), Wait { due_ms, counted_as });
        }
    }

    /// Counts as delayed what waits at `now`, instead of as visible or leased.
    pub(super) fn corrected(&self, mut depth: Depth, now: Timestamp) -> Depth {
        for wait in self.waits().by_id.values().filter(|wait| wait.due_ms > now.as_millisecond()) {
            let counted_as = match wait.counted_as {
                CountedAs::Visible => &mut depth.visible,
                CountedAs::Leased => &mut depth.leased,
                CountedAs::Delayed => continue,
            };
            if *counted_as > 0 {
                *counted_as -= 1;
                depth.delayed += 1;
            }
        }
        depth
    }

    /// Counts what is there now or comes until `end`.
    pub(super) fn due(&self, depth: Depth, now: Timestamp, end: Timestamp) -> u64 {
        let there = self.corrected(depth, end);
        let span = now.as_millisecond()..=end.as_millisecond();
        let comes = |wait: &&Wait| wait.counted_as == CountedAs::Delayed && span.contains(&wait.due_ms);
        let coming = self.waits().by_id.values().filter(comes).count() as u64;
        there.visible.saturating_add(there.leased).saturating_add(coming.min(depth.delayed))
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn depth(visible: u64, leased: u64, delayed: u64) -> Depth {
        Depth { visible, leased, delayed }
    }

    #[test]
    fn waits_are_counted_as_such_until_they_are_due() {
        let waiting = Waiting::default();
        waiting.note("a", 100, CountedAs::Leased, at(0));
        waiting.note("b", 100, CountedAs::Visible, at(0));
        assert_eq!(waiting.corrected(depth(2, 2, 1), at(50)), depth(1, 1, 3));
        assert_eq!(waiting.corrected(depth(0, 0, 0), at(50)), depth(0, 0, 0), "counts lag behind");
        assert_eq!(waiting.corrected(depth(2, 2, 1), at(100)), depth(2, 2, 1));
    }

    #[test]
    fn what_comes_soon_is_due_and_what_waits_longer_is_not() {
        let waiting = Waiting::default();
        for (id, due, counted_as) in [
            ("hidden soon", 100, CountedAs::Leased),
            ("hidden long", 900, CountedAs::Leased),
            ("delayed soon", 100, CountedAs::Delayed),
            ("delayed long", 900, CountedAs::Delayed),
        ] {
            waiting.note(id, due, counted_as, at(0));
        }
        assert_eq!(
            waiting.due(depth(1, 2, 2), at(0), at(200)),
            3,
            "one is there, one hidden and one delayed come soon"
        );
        assert_eq!(waiting.due(depth(0, 1, 0), at(0), at(200)), 0, "counts lag behind");
        assert_eq!(waiting.due(depth(0, 0, 1), at(0), at(50)), 0);
    }

    #[test]
    fn waits_that_have_ended_are_let_go() {
        let waiting = Waiting::default();
        for n in 0..100_000 {
            waiting.note(&n.to_string(), n + 10, CountedAs::Delayed, at(n));
        }
        assert!(waiting.waits().by_id.len() < 1000);
    }
}
