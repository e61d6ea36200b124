//! When so many messages of a team are put off that looking past them is all that counts.

use std::time::Duration;

use tokio::time::Instant;

/// So many more messages that are away, within so long, make a rush, which ends when a whole such time has fewer. Those that come back
/// and are put off once more are no more than before.
pub(super) const MANY: u32 = 100;
pub(super) const WINDOW: Duration = Duration::from_millis(100);
/// The longest rush: enough for `lookahead`'s messages on two processors, and an end where more come. There is none then until fewer
/// come.
pub(super) const LONGEST: Duration = Duration::from_secs(5);

/// How many of a team's messages were away when this window began, and whether many more are since.
#[derive(Debug)]
pub(super) struct Rush {
    since: Instant,
    away: u32,
    is_many: bool,
    /// When many came first.
    began: Option<Instant>,
}

impl Rush {
    pub(super) fn none(now: Instant) -> Self {
        Self { since: now, away: 0, is_many: false, began: None }
    }

    /// Whether there is a rush, while so many are away.
    pub(super) fn is_on(&mut self, away: u32, now: Instant) -> bool {
        let gone = now.duration_since(self.since);
        if gone >= WINDOW {
            if !self.is_many || gone >= WINDOW * 2 {
                self.began = None;
            }
            (self.since, self.away, self.is_many) = (now, away, false);
        }
        // What came back makes room for as many.
        self.away = self.away.min(away);
        if away - self.away >= MANY {
            self.is_many = true;
            self.began.get_or_insert(now);
        }
        self.began.is_some_and(|began| now.duration_since(began) < LONGEST)
    }
}
