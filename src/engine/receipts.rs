//! Earlier rounds of a task, and the receipt that decides: the first one written is the truth, whoever wrote it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::outage::Gate;
use crate::domain::completion;
use crate::domain::digest::Sha256;
use crate::domain::id::{TaskId, TeamId};
use crate::domain::object_key::{Key, receipt_key};
use crate::domain::receipt::{Receipt, Status};
use crate::domain::task::{Again, Task};
use crate::domain::webhook::body::Link;
use crate::ports::publisher::Event;
use crate::ports::queue::Delivery;
use crate::ports::store::{ObjectMeta, Put, Store, StoreError};

/// The largest receipt that is read: 10,000 attachments with long names and errors, and a message's metadata.
pub const RECEIPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Rounds are looked for one after the other, so there is an end to them.
const ROUNDS_MAX: u32 = 10_000;

/// What is known of a task before it is worked on.
#[derive(Debug)]
pub enum Earlier {
    /// Nothing has ended it: this round is to be worked on.
    Open {
        /// The round, from 1.
        round: u32,
    },
    /// It has ended: this is the answer.
    Ended(Box<Receipt>),
    /// The id was used for other content.
    Conflict,
}

/// Receipts in the store.
#[derive(Clone)]
pub struct Receipts {
    store: Arc<dyn Store>,
    gate: Gate,
}

/// The message that a round is begun by: its own id, or its content where it has none.
#[must_use]
pub fn cause_of(delivery: &Delivery) -> String {
    let content = || format!("sha256:{}", Sha256::of(&delivery.message.body));
    delivery.message.id.as_ref().map_or_else(content, |id| format!("message:{id}"))
}

impl Receipts {
    /// Receipts in `store`; waits behind `gate` while it is away.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, gate: Gate) -> Self {
        Self { store, gate }
    }

    /// Finds out what has become of `task` so far. A message that began a round is answered with that round, whatever came
    /// after it.
    ///
    /// # Errors
    /// A receipt that cannot be read is the store's broken word: `Corrupt`.
    pub async fn earlier(&self, task: &Task, digest: Sha256, delivery: &Delivery) -> Result<Earlier, StoreError> {
        let mut latest: Option<Receipt> = None;
        for round in 1..=ROUNDS_MAX {
            let Some(receipt) = self.round(&task.team, &task.task_id, round).await? else { break };
            if receipt.task_digest != digest {
                return Ok(Earlier::Conflict);
            }
            if began(&receipt, delivery) {
                return Ok(Earlier::Ended(Box::new(receipt)));
            }
            latest = Some(receipt);
        }
        let Some(latest) = latest else { return Ok(Earlier::Open { round: 1 }) };
        let goes_again = match task.again {
            Again::No => false,
            Again::AfterFailure => latest.status == Status::Failed,
            Again::Always => true,
        };
        Ok(if goes_again { Earlier::Open { round: latest.round + 1 } } else { Earlier::Ended(Box::new(latest)) })
    }

    /// The latest round's receipt, if any round has ended.
    ///
    /// # Errors
    /// `Corrupt`.
    pub async fn latest(&self, team: &TeamId, task: &TaskId) -> Result<Option<Receipt>, StoreError> {
        let mut latest = None;
        for round in 1..=ROUNDS_MAX {
            match self.round(team, task, round).await? {
                Some(receipt) => latest = Some(receipt),
                None => break,
            }
        }
        Ok(latest)
    }

    /// One round's receipt, if it has ended.
    ///
    /// # Errors
    /// `Corrupt`.
    pub async fn round(&self, team: &TeamId, task: &TaskId, round: u32) -> Result<Option<Receipt>, StoreError> {
        let key = receipt_key(team, task, round);
        let found =
            self.gate.until_answered(StoreError::is_transient, || self.store.get(&key, RECEIPT_BYTES_MAX)).await?;
        found.map(|bytes| read(&key, &bytes)).transpose()
    }

    /// Writes the receipt unless one is there, and returns the one that is there afterwards.
    ///
    /// # Errors
    /// `Corrupt`.
    pub async fn decide(&self, receipt: Receipt) -> Result<Receipt, StoreError> {
        let key = receipt_key(&receipt.team, &receipt.task_id, receipt.round);
        let content = Bytes::from(serde_json::to_vec(&receipt).expect("a receipt is JSON with text keys"));
        let meta = ObjectMeta { media_type: "application/json", facts: None };
        let put = self
            .gate
            .until_answered(StoreError::is_transient, || self.store.put_if_absent(&key, content.clone(), meta))
            .await?;
        match put {
            // Read from the bytes that were written, like everybody else's: so the event has the same bytes whoever sends it.
            Put::Stored => read(&key, &content),
            Put::Exists => {
                let written = self.round(&receipt.team, &receipt.task_id, receipt.round).await?;
                written.ok_or_else(|| StoreError::Corrupt(format!("{key} was written and is not there")))
            }
        }
    }

    /// Where `receipt` stands.
    #[must_use]
    pub fn uri(&self, receipt: &Receipt) -> String {
        self.store.uri(&receipt_key(&receipt.team, &receipt.task_id, receipt.round))
    }

    /// A link that opens `receipt` for `lasts` at most, where the store can make one.
    ///
    /// # Errors
    /// `Corrupt`.
    pub async fn link(&self, receipt: &Receipt, lasts: Duration) -> Result<Option<Link>, StoreError> {
        let key = receipt_key(&receipt.team, &receipt.task_id, receipt.round);
        self.gate.until_answered(StoreError::is_transient, || self.store.link(&key, lasts)).await
    }

    /// The event that announces `receipt`: always the same bytes.
    #[must_use]
    pub fn event(&self, receipt: &Receipt, traceparent: Option<String>) -> Event {
        let uri = self.uri(receipt);
        Event {
            id: receipt.event_id.clone(),
            kind: completion::kind(receipt),
            team: receipt.team.clone(),
            body: Bytes::from(completion::body(receipt, &uri)),
            traceparent,
        }
    }
}

/// Whether this very message began the round: then its redelivery begins no other. A message without an id is known by its
/// content, and then only as a redelivery: the same content sent twice on purpose is two wishes.
fn began(latest: &Receipt, delivery: &Delivery) -> bool {
    let same = latest.began_by.as_deref() == Some(cause_of(delivery).as_str());
    same && (delivery.message.id.is_some() || !delivery.is_first())
}

fn read(key: &Key, bytes: &[u8]) -> Result<Receipt, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("{key} is no receipt: {error}")))
}
