//! How a delivery ends: verdicts, and the settlement that is tried until the queue has taken it.

use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::Pipeline;
use crate::domain::settlement::{DeadLetter, Reason, Settlement};
use crate::engine::isolation::Verdict;
use crate::engine::lease::Held;
use crate::engine::tally::Tally;
use crate::ports::crash;
use crate::ports::queue::Delivery;

impl Pipeline {
    /// Ends a delivery as was decided.
    pub(super) async fn end(&self, delivery: &Delivery, held: &Held, verdict: &Verdict) {
        match verdict {
            Verdict::Settle(settlement) => self.settle(held, settlement).await,
            Verdict::Leave => {
                Tally::add(&self.tally.lost);
                info!(message.id = delivery.message.id, "lost the lease on a delivery: leaving it to whoever has it");
            }
        }
    }

    /// Puts a delivery off that was not begun.
    pub async fn put_off(&self, held: &Held, delay: Duration) {
        self.settle(held, &Settlement::PutOff { delay }).await;
    }

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

pub(super) fn dead(delivery: &Delivery, reason: Reason, detail: String) -> Verdict {
    Verdict::Settle(Settlement::DeadLetter(DeadLetter { reason, detail, attempts: delivery.attempts }))
}

pub(super) fn conflict(delivery: &Delivery) -> Verdict {
    dead(delivery, Reason::TaskConflict, "task_id was used before for a task with other content".to_owned())
}
