//! Tells of a task that has ended: its completion, built from its receipt.

use std::time::Duration;

use tracing::warn;

use super::Pipeline;
use crate::domain::receipt::Receipt;
use crate::domain::settlement::Settlement;
use crate::domain::task::Task;
use crate::engine::isolation::{Verdict, hand_back};
use crate::ports::crash;
use crate::ports::publisher::PublishError;
use crate::ports::queue::{Delivery, QueueError};
use crate::ports::teams::Lookup;

/// How long an ended task of a team that is not known any more waits for it, as long as tasks of unknown teams do at least.
const UNKNOWN_FOR: Duration = Duration::from_secs(30 * 60);

impl Pipeline {
    /// Hands the completion on, as an event and as a webhook, then lets the message go. Waits while a broker is away,
    /// until whoever calls ends it; what nobody takes goes back to the queue and is tried again without end.
    pub(super) async fn announce(&self, task: &Task, receipt: &Receipt, delivery: &Delivery) -> Verdict {
        let handing_on = async {
            self.publish(receipt, delivery).await.map_err(|error| error.to_string())?;
            self.hand_webhook_on(task, receipt).await
        };
        match handing_on.await {
            Ok(()) => Verdict::Settle(Settlement::Done),
            Err(error) => {
                warn!(task.id = %receipt.task_id, team = %receipt.team, error, "a completion was not taken; it is tried again");
                hand_back(self.wait_by_age(receipt))
            }
        }
    }

    async fn publish(&self, receipt: &Receipt, delivery: &Delivery) -> Result<(), PublishError> {
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let traceparent = delivery.message.attributes.get("traceparent").filter(|text| is_traceparent(text)).cloned();
        let event = self.receipts.event(receipt, traceparent);
        let is_outage = |error: &PublishError| matches!(error, PublishError::Unavailable(_));
        self.gates.events.until_answered(is_outage, || publisher.publish(&event)).await?;
        crash::point("event-published");
        Ok(())
    }

    /// # Errors
    /// In words, what keeps the webhook from being durable.
    async fn hand_webhook_on(&self, task: &Task, receipt: &Receipt) -> Result<(), String> {
        let Some(outbox) = &self.webhooks else { return Ok(()) };
        // The record as it is now: a callback that was set right since is served.
        let team = match self.look_up(&receipt.team).await {
            Lookup::Known(team) => team,
            // A directory can lag, and a teams file be edited: what was due to the team must not be lost by that.
            Lookup::Unknown if self.age_of(receipt.finished_at) < UNKNOWN_FOR => {
                return Err(format!("no team {} is known now, so its webhook waits", receipt.team));
            }
            Lookup::Unknown => {
                warn!(task.id = %receipt.task_id, team = %receipt.team, "the team is gone: nobody is told by webhook");
                return Ok(());
            }
        };
        let gate = &self.gates.webhooks;
        let hand_on = || outbox.hand_on(task, &team, receipt, self.clock.now());
        gate.until_answered(QueueError::is_transient, hand_on).await.map_err(|error| error.to_string())?;
        crash::point("webhook-enqueued");
        Ok(())
    }

    /// A wait that grows with what is waited for: doubled each time, by the receipt's age, within the message's delays.
    fn wait_by_age(&self, receipt: &Receipt) -> Duration {
        self.wait_since(receipt.finished_at)
    }
}

/// Whether `text` has the form of a W3C `traceparent` of version 00: what has not is carried nowhere.
fn is_traceparent(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).eq([2, 32, 16, 2]);
    lengths && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}
