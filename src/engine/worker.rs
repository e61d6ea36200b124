//! A worker: ports and settings put together, run until it is stopped or has nothing left to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::alone::Alone;
use super::claims::Claims;
use super::hands::Hands;
use super::in_work::InWork;
use super::intake::{Intake, Looking, Until};
use super::lanes::Lanes;
use super::lease::Keeper;
use super::memory::Pools;
use super::outage::Gates;
use super::pipeline::Pipeline;
use super::receipts::Receipts;
use super::recent::Recent;
use super::settings::Settings;
use super::stop::Stop;
use super::suspects::Suspects;
use super::tally::Tally;
use super::transfer::Transfer;
use super::webhooks::outbox::Outbox;
use crate::ports::clock::Clock;
use crate::ports::envelopes::Envelopes;
use crate::ports::fetcher::Fetcher;
use crate::ports::publisher::Publisher;
use crate::ports::queue::Queue;
use crate::ports::store::Store;
use crate::ports::teams::Teams;

/// How long settling may take after work was cut.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// How many begun tasks are remembered: forgetting one costs a fetch at most.
const BEGUN_MAX: usize = 10_000;

/// The world that a worker works in.
#[derive(Clone)]
pub struct Ports {
    /// Where tasks come from.
    pub queue: Arc<dyn Queue>,
    /// Where completions go, if anywhere.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// Where copies and receipts go.
    pub store: Arc<dyn Store>,
    /// Proves envelopes of messages, and fetches bodies that lie elsewhere.
    pub envelopes: Arc<dyn Envelopes>,
    /// Who the teams are.
    pub teams: Arc<dyn Teams>,
    /// Opens sources.
    pub fetcher: Arc<dyn Fetcher>,
    /// Where webhooks are handed on, where they are configured.
    pub webhooks: Option<Outbox>,
    /// The time of day.
    pub clock: Clock,
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything in hand was settled.
    Drained,
    /// Work was handed back.
    HandedBack,
}

/// A worker that is ready to run. Dropped, it lets go of everything at once and settles nothing, as if it had been killed.
pub struct Worker {
    intake: Intake,
    keeper: Arc<Keeper>,
    grace: Duration,
    _alive: DropGuard,
    /// What it has done so far.
    pub tally: Arc<Tally>,
    /// What it waits for: the parts that may be away.
    pub gates: Gates,
    /// The memory it uses.
    pub pools: Pools,
}

impl Worker {
    /// Puts a worker together; it does nothing before [`Worker::run`].
    #[must_use]
    pub fn new(ports: &Ports, settings: Settings, stop: &Stop) -> Self {
        let tally = Arc::new(Tally::default());
        let pools = Pools::sharing(settings.memory_bytes);
        let gates = Gates::default();
        let transfer = Transfer {
            store: Arc::clone(&ports.store),
            fetcher: Arc::clone(&ports.fetcher),
            claims: Claims::new(Arc::clone(&ports.store), ports.clock),
            store_gate: gates.store.clone(),
            parts: pools.parts.clone(),
            lanes: Lanes::new(settings.attachments_in_flight, settings.limits.clone()),
            retry: settings.retry,
            bytes_max: settings.attachment_bytes_max,
            tally: Arc::clone(&tally),
        };
        let grace = settings.grace;
        let dropped = CancellationToken::new();
        let hands = Hands::new(settings.messages_in_hand);
        let looking = Looking::new(ports.queue.as_ref(), &settings);
        let alone = Arc::new(Alone::default());
        let pipeline = Arc::new(Pipeline {
            queue: Arc::clone(&ports.queue),
            publisher: ports.publisher.clone(),
            envelopes: Arc::clone(&ports.envelopes),
            bodies: pools.bodies.clone(),
            teams: Arc::clone(&ports.teams),
            receipts: Receipts::new(Arc::clone(&ports.store), gates.store.clone()),
            alone: Arc::clone(&alone),
            suspects: Suspects::new(Arc::clone(&ports.store), gates.store.clone()),
            transfer,
            webhooks: ports.webhooks.clone(),
            in_work: InWork::default(),
            begun: Recent::new(BEGUN_MAX),
            clock: ports.clock,
            settings,
            tally: Arc::clone(&tally),
            gates: gates.clone(),
            stop: stop.clone(),
        });
        let keeper = Keeper::new(Arc::clone(&ports.queue));
        let intake = Intake {
            queue: Arc::clone(&ports.queue),
            store: Arc::clone(&ports.store),
            pipeline,
            keeper: Arc::clone(&keeper),
            messages: pools.messages.clone(),
            hands,
            looking,
            alone,
            started: TaskTracker::new(),
            dropped: dropped.clone(),
            stop: stop.clone(),
            tally: Arc::clone(&tally),
            gates: gates.clone(),
        };
        Self { intake, keeper, grace, _alive: dropped.drop_guard(), tally, gates, pools }
    }

    /// Runs until stopped, or until there is nothing left, and then drains: takes no more, finishes what is in hand within
    /// the grace, hands back the rest.
    pub async fn run(&self, until: Until) -> End {
        let keeper = Arc::clone(&self.keeper);
        let keeping = AbortOnDrop(tokio::spawn(async move { keeper.run().await }));
        self.intake.run(until).await;
        let end = self.drain().await;
        drop(keeping);
        end
    }

    async fn drain(&self) -> End {
        let intake = &self.intake;
        intake.queue.close().await;
        intake.started.close();
        let in_hand = intake.started.len();
        if in_hand > 0 {
            info!(in_hand, "finishing what is in hand");
        }
        let finished = intake.stop.unless_cut(timeout(self.grace, intake.started.wait())).await;
        if let Some(Ok(())) = finished {
            return End::Drained;
        }
        let left = intake.started.len();
        warn!(left, "the grace ran out: handing back what is left");
        intake.stop.cut();
        if timeout(SETTLE_WITHIN, intake.started.wait()).await.is_err() {
            warn!("some deliveries could not be handed back: their leases will run out");
        }
        End::HandedBack
    }
}

/// A task that ends with its owner.
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
