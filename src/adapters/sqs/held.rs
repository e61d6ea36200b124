//! What is in hand: each delivery with the copy that a settlement may need.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;
use uuid::Uuid;

use super::parcel::Parcel;
use crate::ports::queue::Lease;

/// A message as one receive brought it.
#[derive(Debug)]
pub(super) struct Held {
    /// Our name for this delivery.
    pub(super) lease: Lease,
    /// SQS's name for it.
    pub(super) handle: String,
    /// SQS's id of this copy.
    pub(super) message_id: String,
    /// How often SQS gave this copy to anybody.
    pub(super) receive_count: u32,
    /// Deliveries that began before this one since the last counted attempt.
    pub(super) unfinished: u32,
    /// The message.
    pub(super) parcel: Parcel,
    /// Whether a copy that replaces this message is already there: only the delete is left.
    pub(super) is_copied: AtomicBool,
    /// Whether a settlement is under way: its visibility must not be changed any more.
    pub(super) is_settling: AtomicBool,
    until: Mutex<Instant>,
}

/// What a receive tells of a message.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) handle: String,
    pub(super) message_id: String,
    pub(super) receive_count: u32,
    pub(super) unfinished: u32,
    pub(super) parcel: Parcel,
}

impl Held {
    /// When the lease ends, unless it is extended.
    pub(super) fn until(&self) -> Instant {
        *self.until.lock().expect("nobody panics while holding it")
    }

    /// Makes the lease end at `until`.
    pub(super) fn extend_to(&self, until: Instant) {
        *self.until.lock().expect("nobody panics while holding it") = until;
    }
}

/// All deliveries in hand.
#[derive(Debug, Default)]
pub(super) struct Hand {
    held: Mutex<HashMap<Lease, Arc<Held>>>,
}

impl Hand {
    /// Takes a delivery in hand until its lease ends, and lets go of those whose leases ended unseen.
    pub(super) fn take(&self, received: Received, until: Instant) -> Arc<Held> {
        // Whatever process asks: a lease of one is unknown to every other.
        let lease = Lease(format!("{}/{}", received.message_id, Uuid::new_v4()));
        let now = Instant::now();
        let held = Arc::new(Held {
            lease: lease.clone(),
            handle: received.handle,
            message_id: received.message_id,
            receive_count: received.receive_count,
            unfinished: received.unfinished,
            parcel: received.parcel,
            is_copied: AtomicBool::new(false),
            is_settling: AtomicBool::new(false),
            until: Mutex::new(until),
        });
        let mut all = self.all();
        all.retain(|_, held| held.until() > now);
        all.insert(lease, Arc::clone(&held));
        held
    }

    /// The delivery called `lease`, as long as it is ours. By the clock, since SQS takes deletes of lost messages for good.
    pub(super) fn get(&self, lease: &Lease) -> Option<Arc<Held>> {
        let found = self.all().get(lease).cloned();
        found.filter(|held| held.until() > Instant::now())
    }

    /// Lets go of a delivery.
    pub(super) fn drop(&self, lease: &Lease) {
        self.all().remove(lease);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Lease, Arc<Held>>> {
        self.held.lock().expect("nobody panics while holding it")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn received() -> Received {
        Received {
            handle: "h".to_owned(),
            message_id: "m".to_owned(),
            receive_count: 1,
            unfinished: 0,
            parcel: Parcel::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_by_the_clock_unless_it_is_extended() {
        let hand = Hand::default();
        let length = Duration::from_secs(10);
        let until = Instant::now() + length;
        let (ends, lasts) = (hand.take(received(), until), hand.take(received(), until));
        assert_ne!(ends.lease, lasts.lease);
        lasts.extend_to(Instant::now() + length * 2);
        tokio::time::advance(length).await;
        assert!(hand.get(&ends.lease).is_none());
        assert!(hand.get(&lasts.lease).is_some());
        hand.take(received(), Instant::now() + length);
        assert_eq!(hand.all().len(), 2, "what ended unseen is let go");
    }
}
