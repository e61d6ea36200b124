//! Keeps deliveries ours while they are worked on.
//!
//! One keeper extends every held lease when a third of it has gone, from receive until the delivery is settled, also while it
//! waits and while the worker drains. Whoever holds a lost lease is told, stops fetching and settles nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::hands::Hand;
use super::looking::OfTeam;
use super::outage::wait_after;
use super::stop::Stop;
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Extended, Lease, Queue, QueueError};

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
        Held { keeper: Arc::clone(self), lease, lost, hand: None, of_team: None }
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
        let extended = self.queue.extend(&leases).await.unwrap_or_else(|error| {
            debug!(%error, "leases could not be extended");
            Extended { lost: Vec::new(), unanswered: leases.clone() }
        });
        self.note(&leases, &extended, (asked_at, length));
    }

    fn note(&self, asked: &[Lease], Extended { lost, unanswered }: &Extended, (asked_at, length): (Instant, Duration)) {
        let unanswered: HashSet<&Lease> = unanswered.iter().collect();
        let mut entries = self.entries();
        for lease in asked {
            // What was settled meanwhile is held no more.
            let Some(entry) = entries.get_mut(lease) else { continue };
            if !unanswered.contains(lease) {
                entry.runs_from = asked_at;
            } else if entry.runs_from.elapsed() >= length && !entry.lost.is_cancelled() {
                // It has run out meanwhile and is somebody else's.
                warn!(lease = lease.0, "a lease ran out because the queue did not answer");
                entry.lost.cancel();
            }
        }
        for lease in lost {
            if let Some(entry) = entries.get(lease) {
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
    of_team: Option<OfTeam>,
}

impl Held {
    /// The same as one that `of_team` counts.
    #[must_use]
    pub fn counted_by(mut self, of_team: Option<OfTeam>) -> Self {
        self.of_team = of_team;
        self
    }

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

    /// Whether it has given its place up.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        self.hand.as_ref().is_some_and(Hand::is_aside)
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
                Ok(()) => {
                    if let (Some(of_team), Settlement::PutOff { .. } | Settlement::HandBack { .. }) =
                        (&self.of_team, settlement)
                    {
                        of_team.goes_back();
                    }
                    return true;
                }
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::ports::queue::{Delivery, Depth, Order, Outgoing};

    /// Answers for all leases but `deaf`.
    struct HalfDeaf;

    #[async_trait]
    impl Queue for HalfDeaf {
        async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
            let unanswered = leases.iter().filter(|lease| lease.0 == "deaf").cloned().collect();
            Ok(Extended { lost: Vec::new(), unanswered })
        }

        fn lease_length(&self) -> Duration {
            Duration::from_secs(30)
        }

        fn order(&self) -> Order {
            Order::Own
        }

        fn count_lag(&self) -> Duration {
            Duration::ZERO
        }

        async fn receive(&self, _room: usize) -> Result<Vec<Delivery>, QueueError> {
            Ok(Vec::new())
        }

        async fn settle(&self, _lease: &Lease, _settlement: &Settlement) -> Result<(), QueueError> {
            Ok(())
        }

        async fn send(&self, _messages: &[Outgoing]) -> Result<(), QueueError> {
            Ok(())
        }

        async fn depth(&self) -> Result<Depth, QueueError> {
            Ok(Depth::default())
        }

        async fn due(&self, _span: Duration) -> Result<u64, QueueError> {
            Ok(0)
        }

        async fn close(&self) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_the_queue_does_not_answer_for_is_lost_when_its_time_is_up_and_alone() {
        let keeper = Keeper::new(Arc::new(HalfDeaf));
        let (deaf, other) = (keeper.hold(Lease("deaf".to_owned())), keeper.hold(Lease("other".to_owned())));
        let began = Instant::now();
        tokio::select! {
            () = keeper.run() => {}
            () = deaf.was_lost() => {}
        }
        assert_eq!(began.elapsed().as_secs(), 30);
        tokio::select! {
            () = keeper.run() => {}
            () = sleep(Duration::from_secs(100)) => {}
        }
        assert!(!other.is_lost());
    }
}
