//! What a deployment decides for the engine, in the engine's own terms.

use std::sync::Arc;
use std::time::Duration;

use super::limits::LimitTable;
use super::retry::RetryPolicy;
use crate::domain::message::Trusted;
use crate::domain::plan::Policy;
use crate::domain::settlement::MessageBackoff;

/// What a deployment decides.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Deliveries in hand at once.
    pub messages_in_hand: usize,
    /// How many messages of a busy team may be put off at once, where the queue does not choose by team.
    pub lookahead: u32,
    /// Attachments in flight at once.
    pub attachments_in_flight: usize,
    /// Bytes for parts and pixels.
    pub memory_bytes: usize,
    /// The largest attachment in bytes.
    pub attachment_bytes_max: u64,
    /// Attempts after which a task ends with what it has.
    pub max_attempts: u32,
    /// How long one delivery is worked on.
    pub hold: Duration,
    /// Delays between deliveries of one message.
    pub backoff: MessageBackoff,
    /// Tries within one delivery.
    pub retry: RetryPolicy,
    /// Limits of places and teams.
    pub limits: LimitTable,
    /// What is allowed at all.
    pub policy: Policy,
    /// Whose envelopes are taken.
    pub trusted: Arc<Trusted>,
    /// How long a stopping worker finishes what it has.
    pub grace: Duration,
}

impl Settings {
    /// How many messages may be ours: in hand, beside, looked at, and some that are next.
    #[must_use]
    pub fn messages_at_most(&self) -> usize {
        self.messages_in_hand.saturating_mul(5)
    }

    /// The same while a crowd is looked past.
    #[must_use]
    pub fn messages_at_most_in_a_crowd(&self) -> usize {
        self.messages_in_hand.saturating_mul(3).saturating_add(self.messages_moved())
    }

    /// How many messages may be received only to be looked at.
    #[must_use]
    pub fn messages_looked_at(&self) -> usize {
        self.messages_in_hand
    }

    /// How many messages may be on their way behind at once. A moved message is confirmed after many milliseconds, so only many at
    /// once are moved quickly: with these, 20,000 in less than a second and a half on two cores. They are not ours for long: what
    /// is in hand when a process is killed becomes suspicious by it, begun or not.
    #[must_use]
    pub fn messages_moved(&self) -> usize {
        self.messages_in_hand.saturating_mul(32)
    }

    /// How long attachments are copied within `hold`: the rest is for the receipt and the completion.
    #[must_use]
    pub fn hold_for_copying(&self) -> Duration {
        self.hold.saturating_sub(self.hold / 20)
    }
}
