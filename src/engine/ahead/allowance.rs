//! How much may be moved where moves are paid for.

use tokio::time::Instant;

/// The moves that are allowed at once where they are paid for, and those that come with each second and each message that ends.
/// A move costs a receive, a send and a delete of ten messages each, a whole way of a message two of the three: with these
/// numbers a busy flow needs less than half a request for a message.
const ALLOWED_AT_ONCE: f64 = 100.0;
const ALLOWED_A_SECOND: f64 = 10.0;
const ALLOWED_AN_END: f64 = 0.2;

/// How many moves are left, as of when.
#[derive(Debug)]
pub(super) struct Allowance {
    left: f64,
    since: Option<Instant>,
}

impl Allowance {
    /// All that is allowed at once.
    pub(super) fn full() -> Self {
        Self { left: ALLOWED_AT_ONCE, since: None }
    }

    /// Notes that a message has ended.
    pub(super) fn ended(&mut self) {
        self.left = (self.left + ALLOWED_AN_END).min(ALLOWED_AT_ONCE);
    }

    /// Takes a move, if one is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let since = self.since.replace(now).unwrap_or(now);
        let more = now.duration_since(since).as_secs_f64() * ALLOWED_A_SECOND;
        self.left = (self.left + more).min(ALLOWED_AT_ONCE);
        let has_one = self.left >= 1.0;
        if has_one {
            self.left -= 1.0;
        }
        has_one
    }
}
