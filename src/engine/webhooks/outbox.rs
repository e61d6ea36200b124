//! Hands webhooks on: the last thing before a task's message is settled.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::domain::receipt::{Receipt, Warning};
use crate::domain::task::Task;
use crate::domain::team::KnownTeam;
use crate::domain::webhook::destination::{bad_callback, destination};
use crate::domain::webhook::endpoint::Endpoint;
use crate::domain::webhook::pending::Pending;
use crate::ports::queue::{Attributes, Outgoing, Queue, QueueError};

/// Where pending deliveries go. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    /// Their queue.
    pub queue: Arc<dyn Queue>,
    /// Networks that callback URLs may reach beside public addresses.
    pub allow_networks: Vec<IpNet>,
}

impl Outbox {
    /// Puts the delivery of a completion on the queue, if one is to be made; `Ok` once it is durable. Repeated, it is made
    /// once more, under the same id.
    ///
    /// # Errors
    /// As [`Queue::send`].
    pub async fn hand_on(
        &self, task: &Task, team: &KnownTeam, receipt: &Receipt, now: Timestamp,
    ) -> Result<(), QueueError> {
        // What is refused was told in the receipt.
        let Ok(Some(url)) = destination(task.callback_url.as_deref(), &team.record, &self.allow_networks) else {
            return Ok(());
        };
        let group = Endpoint::of(&receipt.team, &url).group();
        let pending = Pending {
            team: receipt.team.clone(),
            task_id: receipt.task_id.clone(),
            round: receipt.round,
            url,
            event_id: receipt.event_id.clone(),
            created_at: now,
        };
        let message = Outgoing {
            id: pending.event_id.clone(),
            body: pending.encode().into(),
            attributes: Attributes::new(),
            group: Some(group),
        };
        self.queue.send(&[message]).await
    }
}

/// What stands in the receipt about a callback that gets nothing.
#[must_use]
pub fn warning(outbox: Option<&Outbox>, task: &Task, team: &KnownTeam) -> Option<Warning> {
    let allow = outbox.map_or(&[][..], |outbox| &outbox.allow_networks);
    match destination(task.callback_url.as_deref(), &team.record, allow) {
        Ok(Some(_)) if outbox.is_none() => Some(bad_callback("webhooks are not configured")),
        Ok(_) => None,
        Err(warning) => Some(warning),
    }
}
