//! Keeps deliveries ours while they are worked on.
//!
//! One keeper extends every held lease when a third of it has gone, from receive until the delivery is settled, also while it
//! waits and while the worker drains. Whoever holds a lost lease is told, stops fetching and settles nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::hands::Hand;
use super::outage::wait_after;
use super::stop::Stop;
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Lease, Queue, QueueError};

/// The shortest time between two rounds of extensions.
const ROUND_SHORTEST: Duration = Duration::from_millis(100);
/// How often a settlement is tried once the worker was told to let go.
const SETTLE_TRIES_CUT: u32 = 4;

#[derive(Debug)]
struct Entry {
    lost: CancellationToken,
    runs_from: Instant,
}

/// Extends the leases that are held.
pub struct Keeper {
    queue: Arc<dyn Queue>,
    held: Mutex<HashMap<Lease, Entry>>,
}

impl Keeper {
    /// A keeper of leases on `queue`; does nothing until [`Keeper::run`] is polled.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>) -> Arc<Self> {
        Arc::new(Self { queue, held: Mutex::default() })
    }

    /// Holds `lease` until the guard is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>, lease: Lease) -> Held {
        let lost = CancellationToken::new();
        let entry = Entry { lost: lost.clone(), runs_from: Instant::now() };
        self.entries().insert(lease.clone(), entry);
        Held { keeper: Arc::clone(self), lease, lost, hand: None }
    }

    /// Extends without end. Ends only by being dropped: a worker that drains still needs its leases.
    pub async fn run(&self) {
        let length = self.queue.lease_length();
        loop {
            sleep((length / 3).max(ROUND_SHORTEST)).await;
            self.extend_all(length).await;
        }
    }

    async fn extend_all(&self, length: Duration) {
        let leases: Vec<Lease> = self.entries().keys().cloned().collect();
        if leases.is_empty() {
            return;
        }
        // The lease runs from before the call, whenever the queue's answer comes.
        let asked_at = Instant::now();
        match self.queue.extend(&leases).await {
            Ok(lost) => self.note(&leases, &lost, asked_at),
            Err(error) => self.note_silence(&error, length),
        }
    }

    fn note(&self, asked: &[Lease], lost: &[Lease], asked_at: Instant) {
        let mut entries = self.entries();
        for lease in asked {
            if let Some(entry) = entries.get_mut(lease) {
                entry.runs_from = asked_at;
            }
        }
        for lease in lost {
            if let Some(entry) = entries.get(lease) {
                entry.lost.cancel();
            }
        }
    }

    /// The queue does not answer: a lease that has run out meanwhile is somebody else's.
    fn note_silence(&self, error: &QueueError, length: Duration) {
        debug!(%error, "leases could not be extended");
        for entry in self.entries().values() {
            if entry.runs_from.elapsed() >= length && !entry.lost.is_cancelled() {
                warn!(%error, "a lease ran out because the queue did not answer");
                entry.lost.cancel();
            }
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<Lease, Entry>> {
        self.held.lock().expect("nothing panics while it holds this lock")
    }
}

/// A delivery that is kept ours; let go when dropped.
pub struct Held {
    keeper: Arc<Keeper>,
    lease: Lease,
    lost: CancellationToken,
    hand: Option<Hand>,
}

impl Held {
    /// The same with the place that it takes.
    #[must_use]
    pub fn at(mut self, hand: Hand) -> Self {
        self.hand = Some(hand);
        self
    }

    /// Gives its place to the next, if there is one aside.
    pub fn step_aside(&self) {
        if let Some(hand) = &self.hand {
            hand.step_aside();
        }
    }

    /// Whether others wait for its place.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        self.hand.as_ref().is_some_and(Hand::is_in_the_way)
    }

    /// The lease.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether the lease was lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    /// Waits until the lease is lost; for ever if it never is.
    pub async fn was_lost(&self) {
        self.lost.cancelled().await;
    }

    /// Settles the delivery until that is done, and returns `true`, or until the lease is lost: where a lease does not run out
    /// by itself, as on AMQP, a delivery that was merely left would be nobody's. Once work was cut it gives up after some tries.
    pub async fn settle(&self, settlement: &Settlement, stop: &Stop) -> bool {
        let mut tries = 0;
        loop {
            match self.keeper.queue.settle(&self.lease, settlement).await {
                Ok(()) => return true,
                Err(QueueError::LeaseLost) => return false,
                Err(error) => debug!(%error, "a settlement was not taken"),
            }
            tokio::select! {
                biased;
                () = self.was_lost() => return false,
                () = stop.was_cut(), if tries >= SETTLE_TRIES_CUT => return false,
                () = sleep(wait_after(tries)) => {}
            }
            tries += 1;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.entries().remove(&self.lease);
    }
}
