//! A world of its own for one test: queue, store, origin, teams and configuration, and workers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use longshore::ports::queue::Outgoing;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::broker::Broker;
use super::check::{self, Report};
use super::embedded::Embedded;
use super::expect::Sent;
use super::origin::Origin;
use super::process::Worker;
use super::seen::Seen;
use super::vault::{BUCKET, Vault};
use crate::bed;

/// Which of the supported deployments a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// RabbitMQ and SeaweedFS.
    AmqpS3,
    /// The embedded queue and a folder.
    LocalFile,
}

enum Queue {
    Broker(Broker),
    Embedded(Embedded),
}

/// A world.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) origin: Origin,
    pub(crate) vault: Vault,
    pub(crate) folder: TempDir,
    queue: Queue,
    environment: BTreeMap<String, String>,
    workers: AtomicU32,
    was_killed: AtomicBool,
    /// Whether several workers race with answers that differ.
    pub(crate) raced: bool,
}

/// The teams that there are.
const TEAMS: &str = "[acme]\n[beta]\n[slow]\n";

impl World {
    /// Makes a world whose origin answers on one host.
    pub(crate) async fn new(setup: Setup) -> Self {
        Self::with_hosts(setup, 1).await
    }

    /// Makes a world whose origin answers on 127.0.0.1 to 127.0.0.`hosts`.
    pub(crate) async fn with_hosts(setup: Setup, hosts: u8) -> Self {
        let folder = TempDir::with_prefix("longshore-").unwrap();
        let name = format!("e2e-{}", uuid::Uuid::now_v7());
        let (queue, vault) = match setup {
            Setup::AmqpS3 => {
                bed::require("rabbit");
                bed::require("weed");
                (Queue::Broker(Broker::new(&name).await), Vault::in_bucket(&name).await)
            }
            Setup::LocalFile => {
                let root = folder.path().join("store");
                (Queue::Embedded(Embedded::new(folder.path())), Vault::Folder(root))
            }
        };
        let mut world = Self {
            setup,
            origin: Origin::start(hosts).await,
            vault,
            folder,
            queue,
            environment: BTreeMap::new(),
            workers: AtomicU32::new(0),
            was_killed: AtomicBool::new(false),
            raced: false,
        };
        world.write_files();
        world.set("LIMITS__PER_HOST__REQUESTS_PER_SECOND", "5000");
        world.set("LIMITS__PER_HOST__IN_FLIGHT", "128");
        world
    }

    fn write_files(&self) {
        let (queue, store) = match (&self.queue, &self.vault) {
            (Queue::Broker(broker), Vault::Bucket { prefix, .. }) => {
                let endpoint = bed::weed_endpoint();
                (
                    broker.config(),
                    format!("url = \"s3://{BUCKET}/{prefix}\"\nendpoint_url = \"{endpoint}\"\nregion = \"us-east-1\""),
                )
            }
            (Queue::Embedded(embedded), Vault::Folder(root)) => {
                (embedded.config(), format!("url = \"file:{}\"", root.display()))
            }
            (Queue::Broker(_), Vault::Folder(_)) | (Queue::Embedded(_), Vault::Bucket { .. }) => {
                unreachable!("a set-up is one or the other")
            }
        };
        let config = format!(
            "state_dir = \"state\"\n{queue}[store]\n{store}\n[sources.http]\nallow_networks = [\"127.0.0.0/8\"]\n\
             [admin]\nlisten = \"\"\n"
        );
        std::fs::write(self.folder.path().join("longshore.toml"), config).unwrap();
        std::fs::write(self.folder.path().join("teams.toml"), TEAMS).unwrap();
    }

    /// Sets a configuration key (`SECTION__KEY`) for all workers from now on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.environment.insert(format!("LONGSHORE__{key}"), value.to_owned());
    }

    /// Leaves all limits as they are by default.
    pub(crate) fn with_default_limits(&mut self) {
        self.environment.retain(|key, _| !key.contains("__LIMITS__"));
    }

    /// Delays between deliveries that do not make tests long.
    pub(crate) fn hurry(&mut self) {
        self.set("RETRY__BASE", "50ms");
        self.set("RETRY__MESSAGE_BASE", "200ms");
    }

    /// Puts messages on the task queue.
    pub(crate) async fn send(&self, sent: &[Sent]) {
        let messages: Vec<Outgoing> = sent.iter().map(outgoing).collect();
        match &self.queue {
            Queue::Broker(broker) => broker.send(&messages).await,
            Queue::Embedded(embedded) => embedded.send(&messages).await,
        }
    }

    /// Starts a worker that runs until it is stopped.
    pub(crate) fn worker(&self) -> Worker {
        self.start(&["worker", "--roles", "ingest"], None)
    }

    /// Starts a worker that ends when the queue is empty.
    pub(crate) fn worker_until_empty(&self) -> Worker {
        self.start(&["worker", "--roles", "ingest", "--until-empty"], None)
    }

    /// Starts a worker that is hit when it passes a crash point: `POINT:kill:COUNT` or `POINT:freeze:COUNT`,
    /// with `:TASK` behind it only by that task.
    pub(crate) fn worker_hit_at(&self, blow: &str) -> Worker {
        self.start(&["worker", "--roles", "ingest"], Some(blow))
    }

    /// Starts a worker that ends when the queue is empty, unless it is hit before.
    pub(crate) fn worker_until_empty_hit_at(&self, blow: &str) -> Worker {
        self.start(&["worker", "--roles", "ingest", "--until-empty"], Some(blow))
    }

    fn start(&self, arguments: &[&str], blow: Option<&str>) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("worker-{number}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .arg("--config")
            .arg(self.folder.path().join("longshore.toml"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("LONGSHORE__TELEMETRY__LOG_FORMAT", "text")
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        if let Some(blow) = blow {
            command.env("LONGSHORE_TEST_CRASH", blow);
        }
        Worker::new(command.spawn().unwrap(), log)
    }

    /// Runs one worker until the queue is empty.
    pub(crate) async fn run_until_empty(&self, within: Duration) {
        self.worker_until_empty().ends_with(0, within).await;
    }

    /// Notes that a worker was killed.
    pub(crate) fn has_killed(&self) {
        self.was_killed.store(true, Ordering::Relaxed);
    }

    /// Waits until there are at least `count` receipts.
    pub(crate) async fn receipts_reach(&self, count: usize, within: Duration) {
        let began = Instant::now();
        loop {
            let found = self.receipts().await;
            if found >= count {
                return;
            }
            assert!(began.elapsed() < within, "{found} of {count} receipts after {within:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until all of `sent` have their receipts and nothing is left on the queue.
    pub(crate) async fn announced(&self, sent: &[Sent], within: Duration) {
        let began = Instant::now();
        self.receipts_reach(sent.len(), within).await;
        loop {
            let left = match &self.queue {
                Queue::Broker(broker) => broker.events_waiting().await == 0,
                Queue::Embedded(embedded) => embedded.left().await.iter().any(|(_, count)| *count > 0),
            };
            if !left {
                return;
            }
            assert!(began.elapsed() < within, "not settled after {within:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many receipts there are.
    pub(crate) async fn receipts(&self) -> usize {
        self.vault.keys().await.iter().filter(|key| key.contains("/receipts/")).count()
    }

    /// Looks at everything. The queues of events and dead letters are empty afterwards (on RabbitMQ).
    pub(crate) async fn look(&self, sent: &[Sent]) -> Seen {
        let targets = sent.iter().filter_map(Sent::wanted).flat_map(|wanted| &wanted.parts);
        let oracles = targets.filter_map(|part| part.outcome.oracle());
        let oracles: BTreeSet<(String, u32)> = oracles.map(|(target, times)| (target.to_owned(), times)).collect();
        // The log is read first: asking for the truth is no fetch of the worker's.
        let log = self.origin.log("").await;
        let served = self.origin.contents(oracles).await;
        let (events, dead, left) = match &self.queue {
            Queue::Broker(broker) => (broker.take_events().await, broker.take_dead().await, broker.left().await),
            Queue::Embedded(embedded) => (embedded.events().await, embedded.dead().await, embedded.left().await),
        };
        Seen {
            kept: self.vault.contents().await,
            uri_prefix: self.vault.uri_prefix(),
            events,
            dead,
            left,
            log,
            served,
            was_killed: self.was_killed.load(Ordering::Relaxed),
            raced: self.raced,
            unfinished: self.vault.unfinished().await,
        }
    }

    /// Looks at everything, prints the counts, and asserts that all of it is right.
    pub(crate) async fn all_right(&self, title: &str, sent: &[Sent]) -> (Report, Seen) {
        let seen = self.look(sent).await;
        let report = check::check(&seen, sent);
        eprintln!("{}", report.table(&format!("{title} ({:?})", self.setup)));
        report.assert_right();
        (report, seen)
    }

    /// Takes away what is not in the world's own folder.
    pub(crate) async fn clear(self) {
        self.vault.clear().await;
        if let Queue::Broker(broker) = &self.queue {
            broker.clear().await;
        }
    }
}

fn outgoing(sent: &Sent) -> Outgoing {
    let team = sent.team_attribute.clone();
    Outgoing {
        id: sent.id.clone(),
        body: sent.body.clone(),
        attributes: team.map(|team| ("team".to_owned(), team)).into_iter().collect(),
        // As producers are asked to: queues that choose by team choose by it.
        group: sent.wanted().map(|wanted| wanted.team.clone()),
    }
}
