//! How a delivery ends: the verdict on it, and the settlement that is tried until the queue has taken it.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::Pipeline;
use crate::domain::settlement::{DeadLetter, Reason, Settlement};
use crate::engine::lease::Held;
use crate::engine::tally::Tally;
use crate::ports::crash;
use crate::ports::queue::Delivery;

/// How work on a delivery ended before its settlement.
pub(super) enum Verdict {
    /// Settle it so.
    Settle(Settlement),
    /// It is not ours any more: leave it.
    Leave,
}

impl Pipeline {
    /// Settles until it is done or the lease is lost.
    pub(super) async fn settle(&self, held: &Held, settlement: &Settlement) {
        if held.settle(settlement, &self.stop).await {
            crash::point("settled");
            return self.count_settled(settlement);
        }
        Tally::add(&self.tally.lost);
        info!("could not settle a delivery: it will come again and find its work done");
    }

    fn count_settled(&self, settlement: &Settlement) {
        match settlement {
            Settlement::Done => {}
            Settlement::Retry { .. } => Tally::add(&self.tally.retried),
            Settlement::HandBack { .. } => Tally::add(&self.tally.handed_back),
            Settlement::PutOff { .. } => Tally::add(&self.tally.put_off),
            Settlement::DeadLetter(letter) => {
                warn!(reason = %letter.reason, detail = letter.detail, "dead-lettered a message");
                self.tally.add_dead(letter.reason);
            }
        }
    }

    pub(super) fn retry(&self, attempts: u32, wished: Option<Duration>) -> Verdict {
        let delay = self.settings.backoff.after(attempts).max(wished.unwrap_or_default());
        Verdict::Settle(Settlement::Retry { attempts, delay: delay.min(self.settings.backoff.max) })
    }

    /// As long as has gone since then, within the message's delays: so a wait is doubled each time.
    pub(super) fn wait_since(&self, then: Timestamp) -> Duration {
        self.age_of(then).clamp(self.settings.backoff.base, self.settings.backoff.max)
    }

    /// How long ago that was.
    pub(super) fn age_of(&self, then: Timestamp) -> Duration {
        Duration::try_from(self.clock.now().duration_since(then)).unwrap_or_default()
    }
}

pub(super) fn hand_back(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::HandBack { delay })
}

/// For a delivery that nobody has begun.
pub(super) fn put_off(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::PutOff { delay })
}

pub(super) fn dead(delivery: &Delivery, reason: Reason, detail: String) -> Verdict {
    Verdict::Settle(Settlement::DeadLetter(DeadLetter { reason, detail, attempts: delivery.attempts }))
}

pub(super) fn conflict(delivery: &Delivery) -> Verdict {
    dead(delivery, Reason::TaskConflict, "task_id was used before for a task with other content".to_owned())
}
