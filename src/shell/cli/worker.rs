//! `longshore worker`: runs a worker until it is stopped, or until the queues are empty.
//!
//! What is away at the start is waited for, and the admin port says so; what a person must change ends it at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::args::{Role, WorkerArgs};
use super::{Context, output};
use crate::engine::claims::Claims;
use crate::engine::intake::Until;
use crate::engine::integrations::Integrations;
use crate::engine::integrations::recheck::Recheck;
use crate::engine::outage::{Gates, wait_after};
use crate::engine::settings::Settings;
use crate::engine::stop::Stop;
use crate::engine::tally::Tally;
use crate::engine::webhooks::outbox::Outbox;
use crate::engine::webhooks::worker::{WebhookPorts, WebhookWorker};
use crate::engine::worker::{Common, End, Ports, Worker};
use crate::ports::clock::Clock;
use crate::ports::envelopes::Envelopes;
use crate::ports::fetcher::Fetcher;
use crate::ports::integrations::IntegrationChecks;
use crate::ports::publisher::Publisher;
use crate::ports::queue::{Queue, QueueError};
use crate::ports::teams::Teams;
use crate::ports::webhook::Webhook;
use crate::shell::admin::{self, Health, Running};
use crate::shell::config::{Config, Loaded, QueueUrl};
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring::{self, FileRoots, OpenStore, Trouble};
use crate::shell::{signals, telemetry};

/// How long an opening that is under way may take to end once the worker is stopped.
const CLEAR_UP_WITHIN: Duration = Duration::from_secs(5);

/// Runs a worker.
pub(super) async fn run(args: WorkerArgs, context: &Context) -> Outcome {
    let loaded = context.load()?;
    telemetry::begin(&loaded.config.telemetry, &loaded.config.telemetry.log);
    let roles = Roles::of(&args.roles, &loaded.config)?;
    let (stop, health) = (Stop::default(), Health::default());
    signals::listen(&stop)?;
    if let Some(address) = loaded.config.admin.listen {
        admin::serve(address, health.clone()).await?;
    }
    let parts = Parts {
        teams: wiring::teams(&loaded)?,
        settings: wiring::settings(&loaded.config),
        webhook: wiring::webhook(&loaded.config)?,
        check_every: loaded.config.teams.check_every.get(),
    };
    let Some(opened) = open(&loaded, roles, &parts.settings, &stop, &health).await? else {
        info!("stopped before everything was there");
        return Ok(Exit::Done);
    };
    let workers = Workers::new(roles, parts, &opened, &stop);
    health.runs(workers.running(&opened, &stop));
    info!("working");
    let until = if args.until_empty { Until::Empty } else { Until::Stopped };
    let end = workers.run(until).await;
    opened.store.close().await;
    finish(&args, context, &workers.tally, end)
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

/// What a worker works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Roles {
    ingest: bool,
    webhooks: bool,
    /// Whether the role `webhooks` was named, not only meant.
    webhooks_named: bool,
}

impl Roles {
    /// The roles that were asked for; without any all that can be had.
    fn of(asked: &[Role], config: &Config) -> Result<Self, Failure> {
        if asked.contains(&Role::Imports) {
            let line = "--roles: imports is not supported by this version yet; use ingest, webhooks";
            return Err(Failure::bad_input(line));
        }
        let has_queue = !matches!(config.queue.url, QueueUrl::Sqs { .. }) || config.webhooks.queue_url.is_some();
        if asked.is_empty() {
            return Ok(Self { ingest: true, webhooks: has_queue, webhooks_named: false });
        }
        let webhooks = asked.contains(&Role::Webhooks);
        if webhooks && !has_queue {
            let line = "webhooks.queue_url: is missing: on SQS the role webhooks needs a queue of its own";
            return Err(Failure::bad_input(line));
        }
        Ok(Self { ingest: asked.contains(&Role::Ingest), webhooks, webhooks_named: webhooks })
    }
}

/// What a worker needs that is always there.
struct Parts {
    teams: Arc<dyn Teams>,
    settings: Settings,
    webhook: Arc<dyn Webhook>,
    check_every: Duration,
}

/// What a worker needs that may be away.
struct Opened {
    store: OpenStore,
    ingest: Option<Ingest>,
    outbox: Option<Outbox>,
}

/// What the role `ingest` needs besides.
struct Ingest {
    queue: Arc<dyn Queue>,
    publisher: Option<Arc<dyn Publisher>>,
    fetcher: Arc<dyn Fetcher>,
    envelopes: Arc<dyn Envelopes>,
    checks: Vec<Arc<dyn IntegrationChecks>>,
}

/// The workers of this process, one for each role.
struct Workers {
    ingest: Option<Worker>,
    webhooks: Option<WebhookWorker>,
    recheck: Option<Recheck>,
    tally: Arc<Tally>,
    gates: Gates,
}

impl Workers {
    fn new(roles: Roles, parts: Parts, opened: &Opened, stop: &Stop) -> Self {
        let (grace, policy) = (parts.settings.grace, parts.settings.policy.clone());
        let ingest = opened.ingest.as_ref().map(|ingest| {
            let ports = Ports {
                queue: Arc::clone(&ingest.queue),
                publisher: ingest.publisher.clone(),
                store: Arc::clone(&opened.store.store),
                teams: Arc::clone(&parts.teams),
                fetcher: Arc::clone(&ingest.fetcher),
                envelopes: Arc::clone(&ingest.envelopes),
                webhooks: opened.outbox.clone(),
                clock: Clock::System,
            };
            Worker::new(&ports, parts.settings.clone(), stop)
        });
        let common = match &ingest {
            Some(worker) => worker.common(),
            None => Common::new(&opened.store.store, &parts.settings, stop),
        };
        let Common { tally, gates, .. } = common.clone();
        let recheck = ingest.as_ref().zip(opened.ingest.as_ref()).map(|(worker, ingest)| Recheck {
            integrations: Integrations {
                store: Arc::clone(&opened.store.store),
                claims: Claims::new(Arc::clone(&opened.store.store), Clock::System),
                fetcher: Arc::clone(&ingest.fetcher),
                checks: ingest.checks.clone(),
                policy,
                clock: Clock::System,
            },
            standing: Arc::clone(&worker.standing),
            teams: Arc::clone(&parts.teams),
            every: parts.check_every,
            tally: Arc::clone(&tally),
            stop: stop.clone(),
        });
        let webhooks = opened.outbox.clone().filter(|_| roles.webhooks).map(|outbox| {
            let ports = WebhookPorts {
                outbox,
                store: Arc::clone(&opened.store.store),
                teams: parts.teams,
                webhook: parts.webhook,
                clock: Clock::System,
            };
            WebhookWorker::new(&ports, grace, stop, common)
        });
        Self { ingest, webhooks, recheck, tally, gates }
    }

    fn running(&self, opened: &Opened, stop: &Stop) -> Running {
        let webhooks = opened.outbox.as_ref().filter(|_| self.webhooks.is_some());
        Running {
            tally: Arc::clone(&self.tally),
            gates: self.gates.clone(),
            pools: self.ingest.as_ref().map(|worker| worker.pools.clone()),
            queue: opened.ingest.as_ref().map(|ingest| Arc::clone(&ingest.queue)),
            webhooks: webhooks.map(|outbox| Arc::clone(&outbox.queue)),
            stop: stop.clone(),
        }
    }

    /// Runs all of them. What ingestion hands on is still delivered: webhooks end after it. Integrations are looked at for as
    /// long as anything runs.
    async fn run(&self, until: Until) -> End {
        let looks = async {
            if let Some(recheck) = &self.recheck {
                recheck.run().await;
            }
            std::future::pending().await
        };
        tokio::select! {
            end = self.run_queues(until) => end,
            () = looks => unreachable!("what never ends has ended"),
        }
    }

    async fn run_queues(&self, until: Until) -> End {
        let upstream = CancellationToken::new();
        let ingest = async {
            let end = match &self.ingest {
                Some(worker) => worker.run(until).await,
                None => End::Drained,
            };
            upstream.cancel();
            end
        };
        let webhooks = async {
            match &self.webhooks {
                Some(worker) => worker.run(until, &upstream).await,
                None => End::Drained,
            }
        };
        match tokio::join!(ingest, webhooks) {
            (End::Drained, End::Drained) => End::Drained,
            (End::HandedBack, _) | (_, End::HandedBack) => End::HandedBack,
        }
    }
}

/// Opens everything, one after the other; `None` if it was stopped meanwhile.
async fn open(
    loaded: &Loaded, roles: Roles, settings: &Settings, stop: &Stop, health: &Health,
) -> Result<Option<Opened>, Failure> {
    let config = &loaded.config;
    let waiting = Waiting { stop, health };
    let Some(store) = waiting.until("internal storage", || wiring::store(config)).await? else {
        return Ok(None);
    };
    let mut opened = Opened { store, ingest: None, outbox: None };
    let papers = || Some(Arc::clone(&opened.store.store));
    let Some(webhooks) = waiting.until("the webhook queue", || wiring::webhook_queue(config, papers())).await? else {
        return Ok(None);
    };
    if let Some(queue) = webhooks {
        match waiting.until("the webhook queue", || meet(queue.as_ref(), "webhooks")).await {
            Ok(None) => return Ok(None),
            Ok(Some(())) => opened.outbox = Some(Outbox { queue, allow_networks: wiring::allow_networks(config) }),
            Err(failure) if wants_webhooks(loaded, roles) => return Err(failure),
            Err(failure) => warn!(why = failure.lines.join("; "), "webhooks are off: their queue cannot be used"),
        }
    }
    if !roles.ingest {
        return Ok(Some(opened));
    }
    let papers = || Some(Arc::clone(&opened.store.store));
    let Some(queue) = waiting.until("the task queue", || wiring::task_queue(config, papers())).await? else {
        return Ok(None);
    };
    let met = waiting.until("the task queue", || meet(queue.as_ref(), "queue.url")).await?;
    let publisher = waiting.until("the event broker", || wiring::publisher(config)).await?;
    let budget = waiting.until("the Redis of shared limits", || wiring::budget(config, settings)).await?;
    let Some((((), publisher), budget)) = met.zip(publisher).zip(budget) else {
        return Ok(None);
    };
    let checks = wiring::integration_checks(config, Arc::clone(&budget))?;
    let fetcher = wiring::fetcher(config, budget, FileRoots::PerTeam)?;
    let envelopes = wiring::envelopes(config)?;
    Ok(Some(Opened { ingest: Some(Ingest { queue, publisher, fetcher, envelopes, checks }), ..opened }))
}

/// Whether somebody asked for webhooks. Nobody who has all queues made by hand, and none for webhooks, needs to know of them.
fn wants_webhooks(loaded: &Loaded, roles: Roles) -> bool {
    let is_set = |key| loaded.places.is_set(key);
    loaded.config.queue.declare || roles.webhooks_named || is_set("webhooks.name") || is_set("webhooks.queue_url")
}

/// Asks the queue's broker for something, so that it is known to be there.
async fn meet(queue: &dyn Queue, key: &str) -> Result<(), Trouble> {
    match queue.depth().await {
        Ok(_) => Ok(()),
        Err(error @ QueueError::Unavailable(_)) => Err(Trouble::ForNow(format!("{key}: {error}"))),
        Err(error @ (QueueError::Refused(_) | QueueError::LeaseLost)) => {
            Err(Trouble::ForGood(Failure::bad_input(format!("{key}: {error}"))))
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
