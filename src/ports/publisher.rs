//! Where completions go: one event for each receipt.

use async_trait::async_trait;
use bytes::Bytes;

use crate::domain::id::TeamId;

/// A completion, ready to be handed on. One id never has two bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same over retries, redeliveries and replays.
    pub id: String,
    /// `task.completed` and the like.
    pub kind: String,
    /// Whose event it is.
    pub team: TeamId,
    /// The JSON body.
    pub body: Bytes,
    /// W3C trace context to carry on.
    pub traceparent: Option<String>,
}

/// What can go wrong when an event is handed on.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker cannot be reached or does not confirm.
    #[error("the event broker cannot be reached: {0}")]
    Unavailable(String),
    /// The broker has nowhere to put the event: no queue is bound, or it is full.
    #[error("the event broker does not take the event: {0}")]
    Unroutable(String),
}

/// Hands events on.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Hands `event` on; `Ok` once the other side has made it durable. May be repeated: receivers know events by their id.
    /// Dropped half-way, the event may or may not have gone out.
    ///
    /// # Errors
    /// Either error may pass; the event is tried again without end.
    async fn publish(&self, event: &Event) -> Result<(), PublishError>;
}
