//! When so many messages are put off that looking past them is all that counts.

use std::time::Duration;

use tokio::time::Instant;

/// So many messages that are put off within so long make a rush, which ends when a whole such time has fewer.
pub(super) const MANY: i64 = 100;
pub(super) const WINDOW: Duration = Duration::from_millis(100);
/// For each message that ends so many may be put off that are no part of a rush: a quick team's come back, and some of them too early.
const FOR_EACH_END: i64 = 4;

/// How many messages were put off beyond those, in this window and in the one before it.
#[derive(Debug)]
pub(super) struct Rush {
    since: Instant,
    count: i64,
    before: i64,
}

impl Rush {
    pub(super) fn none(now: Instant) -> Self {
        Self { since: now, count: 0, before: 0 }
    }

    /// Notes that a message is put off.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.turn(now);
        self.count += 1;
    }

    /// Notes that a message has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        self.turn(now);
        self.count -= FOR_EACH_END;
    }

    pub(super) fn is_on(&mut self, now: Instant) -> bool {
        self.turn(now);
        self.count.max(self.before) >= MANY
    }

    fn turn(&mut self, now: Instant) {
        let gone = now.duration_since(self.since);
        if gone >= WINDOW {
            self.before = if gone < WINDOW * 2 { self.count } else { 0 };
            (self.count, self.since) = (0, now);
        }
    }
}
