//! Takes deliveries with room until stopped, or until none is due, and drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::crowd::Crowd;
use super::delivery::Deliverer;
use super::endpoints::Endpoints;
use super::outbox::Outbox;
use crate::engine::intake::Until;
use crate::engine::isolation::Isolation;
use crate::engine::lease::Keeper;
use crate::engine::memory::{Grant, Pool};
use crate::engine::outage::{Gates, wait_after};
use crate::engine::receipts::Receipts;
use crate::engine::started::{End, Started};
use crate::engine::stop::Stop;
use crate::engine::tally::{Counted, Tally};
use crate::engine::worker::{AbortOnDrop, Common};
use crate::ports::clock::Clock;
use crate::ports::queue::{Delivery, MESSAGE_BYTES_MAX, Queue};
use crate::ports::store::Store;
use crate::ports::teams::Teams;
use crate::ports::webhook::Webhook;

/// Deliveries in hand at once: most of them wait for a stranger's answer and hold some kilobytes.
pub const IN_HAND: usize = 256;
/// Memory for their messages, which are small unless somebody else wrote them.
const MESSAGES_BYTES: usize = 16 * MESSAGE_BYTES_MAX;
/// Deliveries that come due within this time are waited for where an empty queue ends the work.
const SOON: Duration = Duration::from_secs(10);
/// How often a paused intake asks whether the store is back.
const PAUSE: Duration = Duration::from_millis(500);
/// How often an empty queue is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The world that webhooks are sent in.
#[derive(Clone)]
pub struct WebhookPorts {
    /// Where pending deliveries wait.
    pub outbox: Outbox,
    /// Where receipts are.
    pub store: Arc<dyn Store>,
    /// Who the teams are.
    pub teams: Arc<dyn Teams>,
    /// Sends.
    pub webhook: Arc<dyn Webhook>,
    /// The time of day.
    pub clock: Clock,
}

/// A worker of the role `webhooks`. Dropped, it lets go of everything at once and settles nothing.
pub struct WebhookWorker {
    queue: Arc<dyn Queue>,
    store: Arc<dyn Store>,
    deliverer: Arc<Deliverer>,
    keeper: Arc<Keeper>,
    in_hand: Arc<Semaphore>,
    messages: Pool,
    started: Started,
    stop: Stop,
    grace: Duration,
    tally: Arc<Tally>,
    gates: Gates,
    isolation: Isolation,
}

impl WebhookWorker {
    /// Puts a worker together; it does nothing before [`WebhookWorker::run`]. What it counts, what it waits for and who works
    /// alone is `common` to it and the process's other worker.
    #[must_use]
    pub fn new(ports: &WebhookPorts, grace: Duration, stop: &Stop, common: Common) -> Self {
        let (queue, store) = (Arc::clone(&ports.outbox.queue), Arc::clone(&ports.store));
        let Common { tally, gates, isolation } = common;
        let deliverer = Deliverer {
            receipts: Receipts::new(Arc::clone(&store), gates.store.clone()),
            teams: Arc::clone(&ports.teams),
            webhook: Arc::clone(&ports.webhook),
            endpoints: Endpoints::new(Arc::clone(&store)),
            crowd: Crowd::default(),
            allow_networks: ports.outbox.allow_networks.clone(),
            clock: ports.clock,
            tally: Arc::clone(&tally),
            gates: gates.clone(),
            stop: stop.clone(),
            reads: Deliverer::reads(),
            isolation: isolation.clone(),
        };
        Self {
            keeper: Keeper::new(Arc::clone(&queue)),
            queue,
            store,
            deliverer: Arc::new(deliverer),
            in_hand: Arc::new(Semaphore::new(IN_HAND)),
            messages: Pool::new(MESSAGES_BYTES),
            started: Started::default(),
            stop: stop.clone(),
            grace,
            tally,
            gates,
            isolation,
        }
    }

    /// Runs until stopped, or until none is due soon and `upstream` has ended, which puts deliveries on the queue; then takes
    /// no more and finishes what is in hand within the grace.
    pub async fn run(&self, until: Until, upstream: &CancellationToken) -> End {
        let keeper = Arc::clone(&self.keeper);
        let keeping = AbortOnDrop(tokio::spawn(async move { keeper.run().await }));
        self.take(until, upstream).await;
        let end = self.started.drain(self.queue.as_ref(), &self.stop, self.grace, "webhooks").await;
        drop(keeping);
        end
    }

    async fn take(&self, until: Until, upstream: &CancellationToken) {
        if until == Until::Empty {
            // Who only waits for a place is due.
            self.deliverer.crowd.wait_at_most(SOON / 2);
        }
        let mut failures = 0;
        let mut empty_since: Option<Instant> = None;
        while !self.stop.has_begun() {
            let Some(room) = self.stop.unless_begun(self.room()).await else {
                break;
            };
            let receiving = self.queue.receive(room.len());
            let Some(received) = self.stop.unless_begun(receiving).await else {
                break;
            };
            match received {
                Ok(deliveries) if !deliveries.is_empty() => {
                    failures = 0;
                    self.gates.webhooks.came_back();
                    empty_since = None;
                    self.start(deliveries, room);
                    continue;
                }
                Ok(_) => {
                    failures = 0;
                    self.gates.webhooks.came_back();
                }
                Err(error) => {
                    self.gates.webhooks.went_down(&error);
                    failures += 1;
                    let _ = self.stop.unless_begun(sleep(wait_after(failures))).await;
                    empty_since = None;
                    continue;
                }
            }
            drop(room);
            if until == Until::Empty && upstream.is_cancelled() && self.is_empty(&mut empty_since).await {
                break;
            }
        }
    }

    /// Waits for room: a place and memory for at least one message, and the store; and until nobody is alone.
    async fn room(&self) -> Vec<(OwnedSemaphorePermit, Grant)> {
        self.isolation.nobody_is_alone().await;
        while self.gates.store.is_down() {
            if self.store.check().await.is_ok() {
                self.gates.store.came_back();
                break;
            }
            sleep(PAUSE).await;
        }
        let first = Arc::clone(&self.in_hand).acquire_owned().await.expect("room is never closed");
        let grant = self.messages.take(MESSAGE_BYTES_MAX).await.expect("the pool has room for one message");
        let mut room = vec![(first, grant)];
        while let Ok(permit) = Arc::clone(&self.in_hand).try_acquire_owned()
            && let Some(grant) = self.messages.try_take(MESSAGE_BYTES_MAX)
        {
            room.push((permit, grant));
        }
        room
    }

    fn start(&self, deliveries: Vec<Delivery>, room: Vec<(OwnedSemaphorePermit, Grant)>) {
        debug_assert!(deliveries.len() <= room.len(), "a queue never gives more than there is room for");
        for (delivery, (permit, mut grant)) in deliveries.into_iter().zip(room) {
            grant.shrink_to(delivery.message.body.len());
            let held = self.keeper.hold(delivery.lease.clone());
            let (deliverer, tally) = (Arc::clone(&self.deliverer), Arc::clone(&self.tally));
            self.started.spawn(async move {
                let _counted = Counted::one(&tally.webhooks.in_hand);
                deliverer.run(delivery, held).await;
                drop((permit, grant));
            });
        }
    }

    /// Whether nothing has been due soon, with nothing in hand, for as long as the queue's counts may lag behind.
    async fn is_empty(&self, empty_since: &mut Option<Instant>) -> bool {
        let seen = match self.queue.due(SOON).await {
            Ok(due) => due == 0 && self.started.is_empty(),
            Err(error) => {
                debug!(%error, "the webhook queue could not be counted");
                false
            }
        };
        if !seen {
            *empty_since = None;
            let _ = self.stop.unless_begun(sleep(LOOK)).await;
            return false;
        }
        empty_since.get_or_insert_with(Instant::now).elapsed() >= self.queue.count_lag()
    }
}
