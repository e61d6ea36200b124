//! A small world in memory: a queue, a store, teams, sources and a place for events, and workers that may die.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use longshore::adapters::memory::envelopes::MemoryEnvelopes;
use longshore::adapters::memory::fetcher::{MemoryFetcher, MemoryObject};
use longshore::adapters::memory::publisher::MemoryPublisher;
use longshore::adapters::memory::queue::MemoryQueue;
use longshore::adapters::memory::store::MemoryStore;
use longshore::adapters::memory::teams::MemoryTeams;
use longshore::domain::access::CrossAccount;
use longshore::domain::id::{TaskId, TeamId};
use longshore::domain::object_key::{Key, receipt_key};
use longshore::domain::plan::Policy;
use longshore::domain::receipt::Receipt;
use longshore::domain::settlement::MessageBackoff;
use longshore::domain::source::Source;
use longshore::engine::intake::Until;
use longshore::engine::limits::LimitTable;
use longshore::engine::retry::RetryPolicy;
use longshore::engine::settings::Settings;
use longshore::engine::stop::Stop;
use longshore::engine::worker::{End, Ports, Worker};
use longshore::ports::clock::Clock;
use longshore::ports::queue::{DeadLetters, DeadMessage, Outgoing, Queue};
use longshore::ports::store::Store;

/// Everything that outlives a worker.
pub(super) struct World {
    pub(super) queue: Arc<MemoryQueue>,
    pub(super) store: MemoryStore,
    pub(super) teams: MemoryTeams,
    pub(super) envelopes: MemoryEnvelopes,
    pub(super) fetcher: Arc<MemoryFetcher>,
    pub(super) events: Arc<MemoryPublisher>,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
}

pub(super) const LEASE: Duration = Duration::from_secs(60);

impl World {
    pub(super) fn new() -> Self {
        let clock = Clock::starting("2026-11-21T20:00:00Z".parse().unwrap());
        Self {
            queue: Arc::new(MemoryQueue::new(LEASE, clock)),
            store: MemoryStore::new(),
            teams: MemoryTeams::new().with("acme").with("other"),
            envelopes: MemoryEnvelopes::default(),
            fetcher: Arc::new(MemoryFetcher::default()),
            events: Arc::new(MemoryPublisher::new()),
            clock,
            settings: settings(),
        }
    }

    pub(super) fn ports(&self) -> Ports {
        Ports {
            queue: Arc::new(self.queue.another()),
            publisher: Some(Arc::clone(&self.events) as _),
            store: Arc::new(self.store.clone()),
            envelopes: Arc::new(self.envelopes.clone()),
            teams: Arc::new(self.teams.clone()),
            fetcher: Arc::clone(&self.fetcher) as _,
            webhooks: None,
            clock: self.clock,
        }
    }

    /// Scripts what is at a URL.
    pub(super) fn put(&self, url: &str, object: MemoryObject) {
        self.fetcher.put(&source(url), object);
    }

    pub(super) async fn send(&self, body: &str) {
        let number = body.len();
        let id = format!("m-{number}-{}", longshore::domain::digest::Sha256::of(body.as_bytes()));
        self.send_as(&id, body).await;
    }

    pub(super) async fn send_as(&self, id: &str, body: &str) {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let message = Outgoing { id: id.to_owned(), body, attributes: Default::default(), group: Some("acme".into()) };
        self.queue.send(&[message]).await.unwrap();
    }

    /// Runs a worker until there is nothing left.
    pub(super) async fn work(&self) -> End {
        let stop = Stop::default();
        Worker::new(&self.ports(), self.settings.clone(), &stop).run(Until::Empty).await
    }

    /// Runs a worker that is told to stop after `span`.
    pub(super) async fn work_for(&self, span: Duration) -> End {
        let stop = Stop::default();
        let worker = Worker::new(&self.ports(), self.settings.clone(), &stop);
        let stopping = async {
            tokio::time::sleep(span).await;
            stop.begin();
        };
        tokio::join!(worker.run(Until::Stopped), stopping).0
    }

    pub(super) async fn receipt(&self, task: &str, round: u32) -> Option<Receipt> {
        self.receipt_of("acme", task, round).await
    }

    pub(super) async fn receipt_of(&self, team: &str, task: &str, round: u32) -> Option<Receipt> {
        let key = receipt_key(&TeamId::new(team).unwrap(), &TaskId::new(task).unwrap(), round);
        let bytes = self.store.get(&key, 1 << 30).await.unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    pub(super) async fn dead(&self) -> Vec<DeadMessage> {
        self.queue.list(10_000).await.unwrap()
    }

    pub(super) async fn keys(&self, folder: &str) -> Vec<Key> {
        self.store.list(&Key::new(folder), None, 100_000).await.unwrap()
    }

    /// The bytes of the object at `uri`.
    pub(super) async fn object(&self, uri: &str) -> Bytes {
        let mut all = self.keys("acme").await;
        all.extend(self.keys("other").await);
        let key = all.iter().find(|key| self.store.uri(key) == uri).expect("the object is there");
        let pieces = self.store.read(key).await.unwrap().unwrap();
        let pieces: Vec<_> = pieces.map(Result::unwrap).collect().await;
        pieces.concat().into()
    }
}

pub(super) fn source(url: &str) -> Source {
    Source::parse(url).unwrap()
}

/// A task of `acme` with these URLs.
pub(super) fn task(id: &str, urls: &[&str]) -> String {
    serde_json::json!({"task_id": id, "team": "acme", "attachments": urls}).to_string()
}

fn settings() -> Settings {
    Settings {
        messages_in_hand: 8,
        lookahead: 20_000,
        attachments_in_flight: 16,
        memory_bytes: 64 << 20,
        attachment_bytes_max: 1 << 30,
        max_attempts: 5,
        hold: Duration::from_secs(25 * 60),
        backoff: MessageBackoff { base: Duration::from_secs(5), max: Duration::from_secs(900) },
        retry: RetryPolicy {
            tries: 5,
            base: Duration::from_millis(200),
            max: Duration::from_secs(30),
            budget_percent: 20,
        },
        limits: LimitTable::default(),
        policy: Policy {
            allow_plain: true,
            cross_account: CrossAccount::Declared,
            own_buckets: vec!["internal".into()],
            azure_suffixes: Vec::new(),
            profiles: vec!["standard".into(), "original".into()],
        },
        trusted: Arc::default(),
        grace: Duration::from_secs(25),
    }
}
