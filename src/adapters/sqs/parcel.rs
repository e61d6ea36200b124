//! A message between two requests: the sender's own and what we know about it.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::attributes::{Value, is_ours};
use super::overflow::Values;
use super::trace::traceparent;
use crate::domain::settlement::DeadLetter;
use crate::ports::queue::{Attributes, Outgoing};

/// A message, independent of which copy of it is at hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parcel {
    /// The sender's id, or SQS's id of the first copy.
    pub(super) id: String,
    /// The body, unchanged.
    pub(super) body: Bytes,
    /// The sender's attributes.
    pub(super) attributes: Values,
    /// The header of AWS's own tracing, which SQS keeps apart.
    pub(super) trace: Option<String>,
    /// Whose message it is, as far as SQS knows.
    pub(super) group: Option<String>,
    /// When it was first sent, in milliseconds.
    pub(super) sent_ms: Option<i64>,
    /// Attempts that were counted.
    pub(super) attempts: u32,
    /// Deliveries of earlier copies that began since the last counted attempt.
    pub(super) unfinished: u32,
    /// When it is due, in milliseconds.
    pub(super) not_before_ms: Option<i64>,
    /// What stands beside a dead letter.
    pub(super) dead: Option<Dead>,
    /// Where body and attributes lie, while they are not here.
    pub(super) stored: Option<String>,
}

/// What stands beside a dead letter; its attempts are the parcel's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Dead {
    /// Its id where it is not the one of SQS: it was moved since.
    pub(super) id: Option<String>,
    /// Why, as text.
    pub(super) reason: String,
    /// What exactly.
    pub(super) detail: String,
    /// When.
    pub(super) failed_at: Option<Timestamp>,
    /// The queue that it came from; none for tasks.
    pub(super) queue: Option<String>,
}

impl Parcel {
    /// A message that is sent for the first time.
    pub(super) fn new(outgoing: &Outgoing, now: Timestamp) -> Self {
        let text = |(name, text): (&String, &String)| (name.clone(), Value::text(text));
        Self {
            id: outgoing.id.clone(),
            body: outgoing.body.clone(),
            attributes: outgoing.attributes.iter().filter(|(name, _)| !is_ours(name)).map(text).collect(),
            group: outgoing.group.clone(),
            sent_ms: Some(now.as_millisecond()),
            ..Self::default()
        }
    }

    /// The attributes as the engine sees them: those that are text, and AWS's trace as `traceparent` where there is no other.
    pub(super) fn text_attributes(&self) -> Attributes {
        let text = |(name, value): (&String, &Value)| Some((name.clone(), value.as_text()?.to_owned()));
        let mut attributes: Attributes = self.attributes.iter().filter_map(text).collect();
        if let Some(parent) = self.trace.as_deref().and_then(traceparent) {
            attributes.entry("traceparent".to_owned()).or_insert(parent);
        }
        attributes
    }

    /// The same message after one more counted attempt.
    pub(super) fn retried(&self, attempts: u32, due: Option<i64>) -> Self {
        Self { attempts, unfinished: 0, not_before_ms: due, ..self.clone() }
    }

    /// The same message, handed back: no attempt, but no first delivery either.
    pub(super) fn handed_back(&self, unfinished: u32, due: Option<i64>) -> Self {
        Self { unfinished: unfinished.max(1), not_before_ms: due, ..self.clone() }
    }

    /// The same message as a dead letter.
    pub(super) fn buried(&self, letter: &DeadLetter, queue: Option<&str>, now: Timestamp) -> Self {
        let dead = Dead {
            id: None,
            reason: letter.reason.to_string(),
            detail: letter.detail.clone(),
            failed_at: Some(now),
            queue: queue.map(str::to_owned),
        };
        Self { attempts: letter.attempts, unfinished: 0, not_before_ms: None, dead: Some(dead), ..self.clone() }
    }

    /// The original message, to begin anew.
    pub(super) fn raised(&self) -> Self {
        Self { attempts: 0, unfinished: 0, not_before_ms: None, dead: None, ..self.clone() }
    }

    /// How long the message must still wait.
    pub(super) fn waits(&self, now: Timestamp) -> Option<Duration> {
        let left = self.not_before_ms?.saturating_sub(now.as_millisecond());
        u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
    }
}

/// The moment `delay` after `now` in milliseconds; none without a delay.
pub(super) fn due_after(delay: Duration, now: Timestamp) -> Option<i64> {
    let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    (delay > 0).then(|| now.as_millisecond().saturating_add(delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_senders_own_traceparent_goes_before_awss() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let mut parcel = Parcel { trace: Some(header.to_owned()), ..Parcel::default() };
        assert!(parcel.text_attributes()["traceparent"].starts_with("00-5759e988bd"));
        parcel.attributes.insert("traceparent".to_owned(), Value::text("00-own"));
        assert_eq!(parcel.text_attributes()["traceparent"], "00-own");
    }

    #[test]
    fn a_wait_ends_at_its_moment() {
        let now = Timestamp::from_millisecond(1_000_000).unwrap();
        let parcel = Parcel::default().retried(1, due_after(Duration::from_millis(1500), now));
        assert_eq!(parcel.waits(now), Some(Duration::from_millis(1500)));
        let later = Timestamp::from_millisecond(1_001_500).unwrap();
        assert_eq!(parcel.waits(later), None);
        assert_eq!(due_after(Duration::ZERO, now), None);
    }
}
