//! A world of its own for one test: queue, store, origin, teams and configuration, and workers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::broker::Broker;
use super::check::{self, Report};
use super::customers::{self, Customer, Customers, OUR_ACCOUNT, OUR_SECRET, Object};
use super::embedded::Embedded;
use super::expect::{Sent, Wanted};
use super::origin::Origin;
use super::process::Worker;
use super::queue::Queue;
use super::seen::Seen;
use super::sqs::Sqs;
use super::vault::{BUCKET, Vault};
use crate::bed;
use crate::ran::Ran;
use crate::sqs::fixture::Kind;

/// The whole of a size where a person asks for it (`make test-long`), else the usual one.
#[expect(clippy::disallowed_methods, reason = "how long a test may take is the test's setting")]
pub(crate) fn sized<T>(whole: T, usual: T) -> T {
    if std::env::var_os("LONGSHORE_TEST_LONG").is_some() { whole } else { usual }
}

/// Which of the supported deployments a world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// RabbitMQ and SeaweedFS.
    AmqpS3,
    /// SQS standard queues and SeaweedFS.
    SqsS3,
    /// SQS FIFO queues and SeaweedFS.
    FifoS3,
    /// The embedded queue and a folder.
    LocalFile,
}

/// A world.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) origin: Origin,
    pub(crate) vault: Vault,
    pub(crate) folder: TempDir,
    pub(crate) queue: Queue,
    /// Whose buckets tasks may name, where there are any.
    pub(crate) customers: Option<Customers>,
    environment: BTreeMap<String, String>,
    /// What workers do.
    roles: &'static str,
    workers: AtomicU32,
    was_killed: AtomicBool,
    /// Whether teams have endpoints, and how many tries each of them fails at first.
    endpoints: Option<u32>,
    /// Whether several workers race with answers that differ.
    pub(crate) raced: bool,
}

/// The teams that there are.
const TEAMS: &str = "[acme]\n[beta]\n[slow]\n";
/// Those of them whose sources are plain URLs.
pub(crate) const PLAIN_TEAMS: [&str; 2] = ["acme", "beta"];

impl Setup {
    /// Whether its queues are SQS's.
    pub(crate) fn is_sqs(self) -> bool {
        matches!(self, Self::SqsS3 | Self::FifoS3)
    }
}

impl World {
    /// Makes a world of a deployment's usual kind: on SQS with customers that let us into their buckets, in every way there is.
    pub(crate) async fn usual(setup: Setup) -> Self {
        let mut world = Self::new(setup).await;
        if setup.is_sqs() {
            world.let_in(Customers::in_the_emulator(&customers::ALL).await);
        }
        world
    }

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
            Setup::SqsS3 | Setup::FifoS3 => {
                bed::require("weed");
                let kind = if setup == Setup::SqsS3 { Kind::Standard } else { Kind::Fifo };
                (Queue::Sqs(Sqs::new(&name, kind).await), Vault::in_bucket(&name).await)
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
            customers: None,
            environment: BTreeMap::new(),
            roles: "ingest",
            workers: AtomicU32::new(0),
            was_killed: AtomicBool::new(false),
            endpoints: None,
            raced: false,
        };
        world.write_files();
        world.set("LIMITS__PER_HOST__REQUESTS_PER_SECOND", "5000");
        world.set("LIMITS__PER_HOST__IN_FLIGHT", "128");
        world
    }

    fn write_files(&self) {
        let queue = self.queue.config();
        let store = match &self.vault {
            Vault::Bucket { prefix, .. } => {
                let endpoint = bed::weed_endpoint();
                format!("url = \"s3://{BUCKET}/{prefix}\"\nendpoint_url = \"{endpoint}\"\nregion = \"us-east-1\"")
            }
            Vault::Folder(root) => format!("url = \"file:{}\"", root.display()),
        };
        let config = format!(
            "state_dir = \"state\"\n{queue}[store]\n{store}\n[sources.http]\nallow_networks = [\"127.0.0.0/8\"]\n\
             [admin]\nlisten = \"\"\n"
        );
        std::fs::write(self.folder.path().join("longshore.toml"), config).unwrap();
        self.write_teams();
    }

    /// Lets these customers in: their records are in the teams file, and their buckets and roles are asked by their ways.
    pub(crate) fn let_in(&mut self, customers: Customers) {
        self.set("SOURCES__S3__ENDPOINT_URL", &customers.s3.endpoint());
        self.set("AWS__STS_ENDPOINT_URL", &customers.sts.endpoint());
        self.customers = Some(customers);
        self.write_teams();
    }

    /// Gives each team an endpoint at the origin, which fails the first `fail` tries, and workers the role that sends to it.
    pub(crate) fn tell_teams(&mut self, fail: u32) {
        self.roles = "ingest,webhooks";
        self.set("WEBHOOKS__ALLOW_NETWORKS", "[\"127.0.0.0/8\"]");
        self.endpoints = Some(fail);
        self.write_teams();
    }

    fn write_teams(&self) {
        let mut teams = TEAMS.to_owned();
        let customers = self.customers.iter().flat_map(Customers::all).map(|customer| customer.team);
        if let Some(fail) = self.endpoints {
            let secret = base64::engine::general_purpose::STANDARD.encode([7; 32]);
            for team in PLAIN_TEAMS.into_iter().chain(customers) {
                let url = self.origin.url(&format!("/sink/{team}?fail={fail}"));
                teams.push_str(&format!("[{team}.callback]\nurl = \"{url}\"\nsecret = \"whsec_{secret}\"\n"));
            }
        }
        teams.extend(self.customers.iter().map(Customers::records));
        std::fs::write(self.folder.path().join("teams.toml"), teams).unwrap();
    }

    /// Waits until the endpoints have taken as many different events as there are tasks in `sent`.
    pub(crate) async fn told(&self, sent: &[Sent], within: Duration) {
        let tasks: BTreeSet<_> = sent.iter().filter_map(Sent::wanted).map(Wanted::receipt_key).collect();
        let began = Instant::now();
        loop {
            let told = self.told_so_far().await;
            if told >= tasks.len() {
                return;
            }
            assert!(began.elapsed() < within, "{told} of {} webhooks after {within:?}", tasks.len());
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// How many different events the endpoints have taken.
    pub(crate) async fn told_so_far(&self) -> usize {
        let taken = self.origin.log("/sink").await.into_iter().filter(|hook| hook.status == Some(200));
        taken.filter_map(|hook| hook.headers.get("webhook-id").cloned()).collect::<BTreeSet<_>>().len()
    }

    /// Puts what a [`super::tasks::Draw`] has drawn into the customers' buckets.
    pub(crate) async fn put(&self, objects: &[Object]) {
        if let Some(customers) = &self.customers {
            customers.put(objects).await;
        }
    }

    /// Sets a configuration key (`SECTION__KEY`) for all workers from now on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.environment.insert(format!("LONGSHORE__{key}"), value.to_owned());
    }

    /// Sets a variable that is not ours, such as those of the clouds' own tools, likewise.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Lets all workers from now on trust this file's certificates besides.
    pub(crate) fn trust(&mut self, ca_pem: &std::path::Path) {
        self.environment.insert("SSL_CERT_FILE".to_owned(), ca_pem.display().to_string());
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
        self.queue.send(sent).await;
    }

    /// Starts a worker that runs until it is stopped.
    pub(crate) fn worker(&self) -> Worker {
        self.start(&["worker", "--roles", self.roles], None)
    }

    /// Starts a worker that ends when the queue is empty.
    pub(crate) fn worker_until_empty(&self) -> Worker {
        self.start(&["worker", "--roles", self.roles, "--until-empty"], None)
    }

    /// Starts a worker of all roles that ends when the queues are empty.
    pub(crate) fn worker_of_all_roles_until_empty(&self) -> Worker {
        self.start(&["worker", "--until-empty"], None)
    }

    /// Starts a worker that is hit when it passes a crash point: `POINT:kill:COUNT` or `POINT:freeze:COUNT`,
    /// with `:TASK` behind it only by that task.
    pub(crate) fn worker_hit_at(&self, blow: &str) -> Worker {
        self.start(&["worker", "--roles", self.roles], Some(blow))
    }

    /// Starts a worker that ends when the queue is empty, unless it is hit before.
    pub(crate) fn worker_until_empty_hit_at(&self, blow: &str) -> Worker {
        self.start(&["worker", "--roles", self.roles, "--until-empty"], Some(blow))
    }

    fn start(&self, arguments: &[&str], blow: Option<&str>) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("worker-{number}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let mut command = self.command(arguments);
        command.stdout(Stdio::null()).stderr(file);
        if let Some(blow) = blow {
            command.env("LONGSHORE_TEST_CRASH", blow);
        }
        Worker::new(command.spawn().unwrap(), log)
    }

    /// A command of the program in this world.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .arg("--config")
            .arg(self.folder.path().join("longshore.toml"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AWS_ACCESS_KEY_ID", OUR_ACCOUNT)
            .env("AWS_SECRET_ACCESS_KEY", OUR_SECRET)
            .env("LONGSHORE__TELEMETRY__LOG_FORMAT", "text")
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn ran(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into()
    }

    /// Runs a command to its end, asserts that it succeeds, and returns what it printed.
    pub(crate) async fn says(&self, arguments: &[&str]) -> String {
        let ran = self.ran(arguments).await;
        assert_eq!(ran.exit, 0, "{arguments:?}: {}", ran.err);
        ran.out
    }

    /// Runs a command to its end and returns its exit code and what it said on standard error.
    pub(crate) async fn ends(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let ran = self.ran(arguments).await;
        (Some(ran.exit), ran.err)
    }

    /// Runs a command with one more variable, asserts that it calls the configuration bad, and returns what it said.
    pub(crate) async fn refuses(&self, arguments: &[&str], name: &str, value: &str) -> String {
        let mut command = self.command(arguments);
        command.env(name, value);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        said
    }

    /// Runs one worker until the queue is empty.
    pub(crate) async fn run_until_empty(&self, within: Duration) {
        self.worker_until_empty().ends_with(0, within).await;
    }

    /// Brings all of `sent` to its end. On SQS to be sure that a queue is empty takes a worker long, so the test looks itself.
    pub(crate) async fn finish(&self, sent: &[Sent], within: Duration) {
        if !self.setup.is_sqs() {
            return self.run_until_empty(within).await;
        }
        let worker = self.worker();
        self.announced(sent, within).await;
        worker.ends_in_peace().await;
    }

    /// Notes that a worker was killed.
    pub(crate) fn has_killed(&self) {
        self.was_killed.store(true, Ordering::Relaxed);
    }

    /// Waits until there are at least `count` receipts.
    pub(crate) async fn receipts_reach(&self, count: usize, within: Duration) {
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let found = self.receipts().await;
            if found >= count {
                return;
            }
            assert!(began.elapsed() < within, "{found} of {count} receipts after {within:?}");
            // To list a store costs it much: most of the time is the worker's.
            sleep(Duration::from_millis(100).max(asked.elapsed() * 5)).await;
        }
    }

    /// Waits until nothing is left on the queue and all tasks of `sent` have their receipts.
    pub(crate) async fn announced(&self, sent: &[Sent], within: Duration) {
        let began = Instant::now();
        loop {
            while self.queue.is_busy().await {
                assert!(began.elapsed() < within, "not settled after {within:?}");
                sleep(Duration::from_millis(100)).await;
            }
            // Some queues count late.
            let tasks: BTreeSet<_> = sent.iter().filter_map(Sent::wanted).map(Wanted::receipt_key).collect();
            self.receipts_reach(tasks.len(), within.saturating_sub(began.elapsed())).await;
            if !self.queue.is_busy().await {
                return;
            }
        }
    }

    /// How many receipts there are.
    pub(crate) async fn receipts(&self) -> usize {
        self.vault.keys().await.iter().filter(|key| key.contains("/receipts/")).count()
    }

    /// Looks at everything. The queues of events and dead letters are empty afterwards (on RabbitMQ and SQS).
    pub(crate) async fn look(&self, sent: &[Sent]) -> Seen {
        let targets = sent.iter().filter_map(Sent::wanted).flat_map(|wanted| &wanted.parts);
        let oracles = targets.filter_map(|part| part.outcome.oracle());
        let oracles: BTreeSet<(String, u32)> = oracles.map(|(target, times)| (target.to_owned(), times)).collect();
        // The log is read first: asking for the truth is no fetch of the worker's.
        let mut log = self.origin.log("").await;
        log.extend(self.customers.iter().flat_map(Customers::log));
        let served = self.origin.contents(oracles).await;
        let hooks =
            self.endpoints.map(|_| log.iter().filter(|asked| asked.target.starts_with("/sink")).cloned().collect());
        let queue = &self.queue;
        let (events, dead, left) = (queue.events().await, queue.dead().await, queue.left().await);
        Seen {
            kept: self.vault.contents().await,
            uri_prefix: self.vault.uri_prefix(),
            events,
            dead,
            left,
            log,
            served,
            claims: self.claims(),
            was_killed: self.was_killed.load(Ordering::Relaxed),
            raced: self.raced,
            hooks,
            unfinished: self.vault.unfinished().await,
        }
    }

    /// What each customer may claim as its own: kind, name and team.
    fn claims(&self) -> BTreeSet<[String; 3]> {
        let claims = |customer: &Customer| {
            let team = customer.team.to_owned();
            let names = [
                ("bucket", customer.bucket.clone()),
                ("role", customer.role_in_record()),
                ("external_id", customer.recorded_id()),
            ];
            names.map(|(kind, name)| [kind.to_owned(), name, team.clone()])
        };
        self.customers.iter().flat_map(Customers::all).flat_map(claims).collect()
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
        self.queue.clear().await;
    }
}
