//! `longshore worker`: runs a worker until it is stopped, or until the queues are empty.
//!
//! What is away at the start is waited for, and the admin port says so; what a person must change ends it at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::args::{Role, WorkerArgs};
use super::{Context, output};
use crate::engine::intake::Until;
use crate::engine::outage::wait_after;
use crate::engine::settings::Settings;
use crate::engine::stop::Stop;
use crate::engine::tally::Tally;
use crate::engine::worker::{End, Ports, Worker};
use crate::ports::budget::Budget;
use crate::ports::clock::Clock;
use crate::ports::publisher::Publisher;
use crate::ports::queue::{Queue, QueueError};
use crate::shell::admin::{self, Health, Running};
use crate::shell::config::Loaded;
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring::{self, FileRoots, OpenStore, Trouble};
use crate::shell::{signals, telemetry};

/// How long an opening that is under way may take to end once the worker is stopped.
const CLEAR_UP_WITHIN: Duration = Duration::from_secs(5);

/// Runs a worker.
pub(super) async fn run(args: WorkerArgs, context: &Context) -> Outcome {
    let loaded = context.load()?;
    telemetry::begin(&loaded.config.telemetry, &loaded.config.telemetry.log);
    check_roles(&args.roles)?;
    let (stop, health) = (Stop::default(), Health::default());
    signals::listen(&stop)?;
    if let Some(address) = loaded.config.admin.listen {
        admin::serve(address, health.clone()).await?;
    }
    let teams = wiring::teams(&loaded)?;
    let settings = wiring::settings(&loaded.config);
    let Some(opened) = open(&loaded, &settings, &stop, &health).await? else {
        info!("stopped before everything was there");
        return Ok(Exit::Done);
    };
    let fetcher = wiring::fetcher(&loaded.config, opened.budget, FileRoots::PerTeam).await?;
    let ports = Ports {
        queue: Arc::clone(&opened.queue),
        publisher: opened.publisher,
        store: Arc::clone(&opened.store.store),
        envelopes: wiring::envelopes(&loaded.config).await?,
        teams,
        fetcher,
        clock: Clock::System,
    };
    let worker = Worker::new(&ports, settings, &stop);
    health.runs(Running {
        tally: Arc::clone(&worker.tally),
        gates: worker.gates.clone(),
        pools: worker.pools.clone(),
        queue: opened.queue,
        stop: stop.clone(),
    });
    info!("working");
    let until = if args.until_empty { Until::Empty } else { Until::Stopped };
    let end = worker.run(until).await;
    opened.store.close().await;
    finish(&args, context, &worker.tally, end)
}

fn finish(args: &WorkerArgs, context: &Context, tally: &Tally, end: End) -> Outcome {
    info!("done: {}", tally.line());
    if args.until_empty && context.json {
        output::json(&admin::counts(tally))?;
    } else if args.until_empty {
        output::line(tally.line())?;
    }
    Ok(match end {
        End::Drained => Exit::Done,
        End::HandedBack => Exit::HandedBack,
    })
}

fn check_roles(roles: &[Role]) -> Result<(), Failure> {
    let missing = roles.iter().find(|role| match role {
        Role::Ingest => false,
        Role::Imports | Role::Webhooks => true,
    });
    let name = |role: &Role| match role {
        Role::Ingest => "ingest",
        Role::Imports => "imports",
        Role::Webhooks => "webhooks",
    };
    match missing {
        None => Ok(()),
        Some(role) => {
            Err(Failure::bad_input(format!("--roles: {} is not supported by this version yet; use ingest", name(role))))
        }
    }
}

/// What a worker needs that may be away.
struct Opened {
    store: OpenStore,
    queue: Arc<dyn Queue>,
    publisher: Option<Arc<dyn Publisher>>,
    budget: Arc<dyn Budget>,
}

/// Opens everything, one after the other; `None` if it was stopped meanwhile.
async fn open(loaded: &Loaded, settings: &Settings, stop: &Stop, health: &Health) -> Result<Option<Opened>, Failure> {
    let config = &loaded.config;
    let waiting = Waiting { stop, health };
    let Some(store) = waiting.until("internal storage", || wiring::store(config)).await? else {
        return Ok(None);
    };
    let Some(queue) =
        waiting.until("the task queue", || wiring::task_queue(config, Some(Arc::clone(&store.store)))).await?
    else {
        return Ok(None);
    };
    let met = waiting.until("the task queue", || meet(queue.as_ref())).await?;
    let publisher = waiting.until("the event broker", || wiring::publisher(config)).await?;
    let budget = waiting.until("the Redis of shared limits", || wiring::budget(config, settings)).await?;
    let all = met.zip(publisher).zip(budget);
    Ok(all.map(|(((), publisher), budget)| Opened { store, queue, publisher, budget }))
}

/// Asks the queue's broker for something, so that it is known to be there.
async fn meet(queue: &dyn Queue) -> Result<(), Trouble> {
    match queue.depth().await {
        Ok(_) => Ok(()),
        Err(error @ QueueError::Unavailable(_)) => Err(Trouble::ForNow(format!("queue.url: {error}"))),
        Err(error @ (QueueError::Refused(_) | QueueError::LeaseLost)) => {
            Err(Trouble::ForGood(Failure::bad_input(format!("queue.url: {error}"))))
        }
    }
}

struct Waiting<'a> {
    stop: &'a Stop,
    health: &'a Health,
}

impl Waiting<'_> {
    /// Runs `open`. Once stopped it has some seconds left, so that a probe clears up what it wrote.
    async fn unless_stopped<T>(&self, open: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(open);
        if let Some(opened) = self.stop.unless_begun(&mut open).await {
            return Some(opened);
        }
        let _ = timeout(CLEAR_UP_WITHIN, open).await;
        None
    }

    /// Tries again and again while something is away for now; `None` once stopped.
    async fn until<T, F>(&self, what: &str, mut open: impl FnMut() -> F) -> Result<Option<T>, Failure>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        self.health.waits_for(what);
        let mut tries = 0;
        loop {
            match self.unless_stopped(open()).await {
                None => return Ok(None),
                Some(Ok(opened)) => return Ok(Some(opened)),
                Some(Err(Trouble::ForGood(failure))) => return Err(failure),
                Some(Err(Trouble::ForNow(why))) => {
                    if tries == 0 {
                        warn!(part = what, "{what} is away, waiting for it: {why}");
                    }
                    if self.stop.unless_begun(sleep(wait_after(tries))).await.is_none() {
                        return Ok(None);
                    }
                    tries += 1;
                }
            }
        }
    }
}
