//! Tells of a task that has ended: its completion, built from its receipt.

use std::time::Duration;

use tracing::warn;

use super::Pipeline;
use super::settling::{Verdict, hand_back};
use crate::domain::receipt::Receipt;
use crate::domain::settlement::Settlement;
use crate::engine::crash;
use crate::ports::publisher::PublishError;
use crate::ports::queue::Delivery;

impl Pipeline {
    /// Hands the completion on, then lets the message go. Waits as long as the broker is away; an event that nobody takes
    /// goes back to the queue and is tried again without end.
    pub(super) async fn announce(&self, receipt: &Receipt, delivery: &Delivery) -> Verdict {
        let Some(publisher) = &self.publisher else {
            return Verdict::Settle(Settlement::Done);
        };
        let traceparent = delivery.message.attributes.get("traceparent").filter(|text| is_traceparent(text)).cloned();
        let event = self.receipts.event(receipt, traceparent);
        let is_outage = |error: &PublishError| matches!(error, PublishError::Unavailable(_));
        let publishing = self.gates.events.until_answered(is_outage, || publisher.publish(&event));
        match self.stop.unless_cut(publishing).await {
            Some(Ok(())) => {
                crash::point("event-published");
                Verdict::Settle(Settlement::Done)
            }
            Some(Err(error)) => {
                warn!(task.id = %receipt.task_id, team = %receipt.team, %error, "a completion was not taken; it is tried again");
                hand_back(self.wait_by_age(receipt))
            }
            None => hand_back(Duration::ZERO),
        }
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
