//! A worker: ports and settings put together, run until it is stopped or has nothing left to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::claims::Claims;
use super::hands::Hands;
use super::in_work::InWork;
use super::intake::{Intake, Until};
use super::integrations::standing::Standing;
use super::isolation::Isolation;
use super::lanes::Lanes;
use super::lease::Keeper;
use super::looking::Looking;
use super::memory::Pools;
use super::outage::Gates;
use super::pipeline::Pipeline;
use super::receipts::Receipts;
use super::recent::Recent;
use super::records::Records;
use super::retry_budget::Retries;
use super::settings::Settings;
use super::started::Started;
use super::stop::Stop;
use super::tally::Tally;
use super::transfer::Transfer;
use super::webhooks::outbox::Outbox;
use crate::ports::clock::Clock;
use crate::ports::envelopes::Envelopes;
use crate::ports::fetcher::Fetcher;
use crate::ports::publisher::Publisher;
use crate::ports::queue::{Queue, Room};
use crate::ports::store::Store;
use crate::ports::teams::Teams;

pub use super::started::End;

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

/// A worker that is ready to run. Dropped, it lets go of everything at once and settles nothing, as if it had been killed.
pub struct Worker {
    intake: Intake,
    keeper: Arc<Keeper>,
    grace: Duration,
    /// What it has done so far.
    pub tally: Arc<Tally>,
    /// What it waits for: the parts that may be away.
    pub gates: Gates,
    /// Who works alone in its process.
    pub isolation: Isolation,
    /// The memory it uses.
    pub pools: Pools,
    /// What checks have found against roles, and which roles nobody has looked at.
    pub standing: Arc<Standing>,
}

impl Worker {
    /// Puts a worker together; it does nothing before [`Worker::run`].
    #[must_use]
    pub fn new(ports: &Ports, settings: Settings, stop: &Stop) -> Self {
        let Common { tally, gates, isolation } = Common::new(&ports.store, &settings, stop);
        let pools = Pools::sharing(settings.memory_bytes);
        let standing = Arc::new(Standing::new(Arc::clone(&ports.store)));
        let transfer = Transfer {
            store: Arc::clone(&ports.store),
            fetcher: Arc::clone(&ports.fetcher),
            claims: Claims::new(Arc::clone(&ports.store), ports.clock),
            standing: Arc::clone(&standing),
            store_gate: gates.store.clone(),
            way_out: gates.way_out.clone(),
            parts: pools.parts.clone(),
            lanes: Lanes::new(settings.attachments_in_flight, settings.limits.clone()),
            retries: Retries::new(settings.retry),
            bytes_max: settings.attachment_bytes_max,
            tally: Arc::clone(&tally),
        };
        let grace = settings.grace;
        let hands = Hands::new(settings.messages_in_hand);
        let looking = Looking::new(ports.queue.as_ref(), &settings, &hands);
        if let Some(looking) = &looking {
            ports.queue.ask(Arc::clone(looking) as Arc<dyn Room>);
        }
        let pipeline = Arc::new(Pipeline {
            queue: Arc::clone(&ports.queue),
            publisher: ports.publisher.clone(),
            envelopes: Arc::clone(&ports.envelopes),
            bodies: pools.bodies.clone(),
            teams: Arc::clone(&ports.teams),
            records: Records::new(Arc::clone(&ports.fetcher)),
            receipts: Receipts::new(Arc::clone(&ports.store), gates.store.clone()),
            isolation: isolation.clone(),
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
            isolation: isolation.clone(),
            started: Started::default(),
            stop: stop.clone(),
            tally: Arc::clone(&tally),
            gates: gates.clone(),
        };
        Self { intake, keeper, grace, tally, gates, isolation, pools, standing }
    }

    /// What another worker of the same process shares with it.
    #[must_use]
    pub fn common(&self) -> Common {
        Common { tally: Arc::clone(&self.tally), gates: self.gates.clone(), isolation: self.isolation.clone() }
    }

    /// Runs until stopped, or until there is nothing left, and then drains: takes no more, finishes what is in hand within
    /// the grace, hands back the rest.
    pub async fn run(&self, until: Until) -> End {
        let keeper = Arc::clone(&self.keeper);
        let keeping = AbortOnDrop(tokio::spawn(async move { keeper.run().await }));
        self.intake.run(until).await;
        let intake = &self.intake;
        let end = intake.started.drain(intake.queue.as_ref(), &intake.stop, self.grace, "messages").await;
        drop(keeping);
        end
    }
}

/// What the workers of one process have in common.
#[derive(Clone)]
pub struct Common {
    /// What was done so far.
    pub tally: Arc<Tally>,
    /// What may be away.
    pub gates: Gates,
    /// Who works alone.
    pub isolation: Isolation,
}

impl Common {
    /// For a process whose papers on suspects lie in `store`.
    #[must_use]
    pub fn new(store: &Arc<dyn Store>, settings: &Settings, stop: &Stop) -> Self {
        let gates = Gates::default();
        let isolation = Isolation::new(store, &gates, settings, stop);
        Self { tally: Arc::default(), gates, isolation }
    }
}

/// A task that ends with its owner.
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
