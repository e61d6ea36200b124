//! Where messages come from: a queue with leases.
//!
//! Delivery is at least once. A message is ours from [`Queue::receive`] until it is settled or its lease runs out; whoever
//! loses a lease settles nothing. Redelivery is always to be expected, also after an `Ok`: AMQP sends no reply to an
//! acknowledgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::domain::id::TeamId;
use crate::domain::settlement::Settlement;

/// Text attributes of a message: SQS message attributes, AMQP headers.
pub type Attributes = BTreeMap<String, String>;

pub use crate::domain::message::MESSAGE_BYTES_MAX;

/// In which order a queue gives messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Its own: it lets teams take turns, or its order is a promise.
    Own,
    /// As they were sent. What a busy team has queued stands before everybody else's, and the engine looks past it by putting
    /// messages off, which costs only work.
    AsSent,
    /// As they were sent, and each request is paid for: the engine looks past a busy team's messages with measure.
    AsSentAndPaid,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender's or the broker's id of the message, where there is one that outlives redelivery.
    pub id: Option<String>,
    /// The body, unchanged.
    pub body: Bytes,
    /// The attributes that are text.
    pub attributes: Attributes,
}

/// Names one delivery of a message to us; worth nothing once the lease is lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease(pub String);

/// A message that is ours for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Names this delivery.
    pub lease: Lease,
    /// The message.
    pub message: Message,
    /// Attempts that were counted before this delivery.
    pub attempts: u32,
    /// Deliveries that began before this one since the last counted attempt, as far as the broker knows: 0 is a first one.
    pub unfinished: u32,
    /// When the message was first sent, where the broker tells.
    pub sent_at: Option<Timestamp>,
}

impl Delivery {
    /// Whether nobody has worked on this message before.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.attempts == 0 && self.unfinished == 0
    }
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Names the message for whoever must tell it from its redelivery.
    pub id: String,
    /// The body.
    pub body: Bytes,
    /// Text attributes.
    pub attributes: Attributes,
    /// Whose message it is, for queues that choose by team.
    pub group: Option<String>,
}

impl Outgoing {
    /// What counts against [`MESSAGE_BYTES_MAX`]: the bytes of body, attribute names and attribute values.
    #[must_use]
    pub fn size(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes: usize = attributes.map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + attributes
    }
}

/// What came of extending leases: those that are named in neither list run anew, or are being settled just now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extended {
    /// Lost.
    pub lost: Vec<Lease>,
    /// Nothing is known of these, since the broker did not answer for them: they run on.
    pub unanswered: Vec<Lease>,
}

impl Extended {
    /// The broker answered for all of them, and `lost` are lost.
    #[must_use]
    pub fn but(lost: Vec<Lease>) -> Self {
        Self { lost, unanswered: Vec::new() }
    }
}

/// How many messages a queue holds, as far as it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Could be received now.
    pub visible: u64,
    /// Are leased: on SQS and `local` by anybody, on AMQP by this process.
    pub leased: u64,
    /// Wait for a delay to end.
    pub delayed: u64,
}

impl Depth {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.visible.saturating_add(self.leased).saturating_add(self.delayed)
    }
}

/// What can go wrong with any queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The lease was lost: the message is, or will be, somebody else's. Not to be repeated.
    #[error("the lease on this delivery was lost")]
    LeaseLost,
    /// The broker cannot be reached or does not confirm. May be repeated; what was sent may arrive twice.
    #[error("the queue cannot be reached: {0}")]
    Unavailable(String),
    /// The broker refuses us: rights, a missing queue, other arguments than ours. A person must change it.
    #[error("the queue refuses: {0}")]
    Refused(String),
}

impl QueueError {
    /// Whether waiting may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::LeaseLost | Self::Refused(_) => false,
        }
    }
}

/// Says whose messages would begin just now, to a queue that keeps together what was put off.
pub trait Room: Send + Sync + 'static {
    /// How long `count` messages of `team` that were put off together have to wait yet. Nothing: they are expected, and count as in
    /// hand for a moment.
    fn wait(&self, team: &TeamId, count: usize) -> Duration;
}

/// A queue of messages with leases, delayed redelivery and a dead-letter queue.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// Receives up to `room` messages, waiting some seconds for the first; none is no error.
    ///
    /// Never gives more than `room`. Dropped while waiting, it leaves no message leased for longer than a lease.
    ///
    /// # Errors
    /// `Unavailable`: the caller waits and asks again. `Refused`: a person must act.
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError>;

    /// In whose order it gives messages.
    fn order(&self) -> Order;

    /// Names who is asked before messages that were put off together are brought back. A queue that does not keep them together
    /// asks nobody.
    fn ask(&self, _room: Arc<dyn Room>) {}

    /// How long a delivery stays ours without being extended. Held deliveries are extended well before.
    fn lease_length(&self) -> Duration;

    /// Makes the leases run anew from now. On AMQP, where a delivery is ours as long as its channel lives, it only tells which
    /// channels died.
    ///
    /// # Errors
    /// `Unavailable`: nothing is known of any of the leases; they run on.
    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError>;

    /// Ends a delivery. A retry, a hand-back and a dead letter exist durably before the delivered message goes away, so a
    /// crash between the two doubles the message and never loses it. May be repeated.
    ///
    /// # Errors
    /// `LeaseLost`: nothing was settled, the message comes again. `Unavailable`: the same, or it was settled.
    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError>;

    /// Puts messages on the queue; `Ok` once all are durable. Repeated, it doubles them.
    ///
    /// # Errors
    /// `Unavailable`: some may have been sent.
    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError>;

    /// Counts the messages.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// Counts the messages that can be received now, are leased, or become due within `span`. What waits longer is left out as
    /// far as the queue can tell: on AMQP by the tier in which a message waits, on SQS by what this process knows.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn due(&self, span: Duration) -> Result<u64, QueueError>;

    /// How long counts may lag behind: a queue is empty when it has been seen so for this long.
    fn count_lag(&self) -> Duration;

    /// Gives back, at once and uncounted, whatever was received ahead and not yet handed to the engine, and takes no more.
    async fn close(&self);
}

/// A dead-lettered message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadMessage {
    /// Names it in the dead-letter queue, for as long as it stays there.
    pub id: String,
    /// The reason, as text.
    pub reason: String,
    /// What exactly.
    pub detail: String,
    /// Counted attempts.
    pub attempts: u32,
    /// When it was dead-lettered.
    pub failed_at: Option<Timestamp>,
    /// The original body.
    pub body: Bytes,
    /// The original attributes.
    pub attributes: Attributes,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// All of them.
    All,
    /// These ids.
    Ids(Vec<String>),
}

/// A dead-letter queue as an operator works it.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Lists up to `limit` dead letters, oldest first, and leaves them where they are.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    async fn list(&self, limit: usize) -> Result<Vec<DeadMessage>, QueueError>;

    /// Puts the chosen messages back on the queue that they came from, with their original body and attributes, each safely
    /// there before it leaves the dead-letter queue, and returns how many. Killed half-way, it may double one.
    ///
    /// # Errors
    /// As [`Queue::send`].
    async fn replay(&self, chosen: &Chosen) -> Result<u64, QueueError>;

    /// Deletes the chosen messages for good and returns how many.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    async fn purge(&self, chosen: &Chosen) -> Result<u64, QueueError>;
}
