//! When so many messages of a team are put off that looking past them is all that counts.

use std::time::Duration;

use tokio::time::Instant;

/// So many messages that are put off within so long make a rush, which ends when a whole such time has fewer.
pub(super) const MANY: i64 = 100;
pub(super) const WINDOW: Duration = Duration::from_millis(100);
/// For each message that ends so many may be put off that are no part of a rush: a quick team's come back, and some of them too early.
const FOR_EACH_END: i64 = 4;
/// The longest rush: enough for `lookahead`'s messages on two processors, and an end where more come, or the same ones again. There is
/// none then until fewer come.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// How many of a team's messages were put off beyond those that end, in this window and in the one before it.
#[derive(Debug)]
pub(super) struct Rush {
    since: Instant,
    count: i64,
    before: i64,
    /// When many came first.
    began: Option<Instant>,
}

impl Rush {
    pub(super) fn none(now: Instant) -> Self {
        Self { since: now, count: 0, before: 0, began: None }
    }

    /// Notes that a message is put off.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.turn(now);
        self.count += 1;
        if self.count >= MANY {
            self.began.get_or_insert(now);
        }
    }

    /// Notes that a message has ended.
    pub(super) fn ended(&mut self, now: Instant) {
        self.turn(now);
        self.count -= FOR_EACH_END;
    }

    pub(super) fn is_on(&mut self, now: Instant) -> bool {
        self.turn(now);
        self.began.is_some_and(|began| now.duration_since(began) < LONGEST)
    }

    fn turn(&mut self, now: Instant) {
        let gone = now.duration_since(self.since);
        if gone < WINDOW {
            return;
        }
        self.before = if gone < WINDOW * 2 { self.count } else { 0 };
        (self.count, self.since) = (0, now);
        if self.before < MANY {
            self.began = None;
        }
    }
}
