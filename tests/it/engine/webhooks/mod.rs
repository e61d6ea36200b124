//! What the engine promises customers' endpoints, on paused time.

mod arriving;
mod isolation;
mod outages;
mod poison;
mod refused;
mod schedule;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::adapters::memory::queue::MemoryQueue;
use longshore::adapters::memory::webhook::{Does, MemoryWebhook, Received};
use longshore::domain::id::TeamId;
use longshore::domain::object_key::Key;
use longshore::domain::team::{Callback, CallbackFormat, KnownTeam, Team};
use longshore::domain::webhook::endpoint::Endpoint;
use longshore::engine::intake::Until;
use longshore::engine::stop::Stop;
use longshore::engine::tally::Tally;
use longshore::engine::webhooks::endpoints::Endpoints;
use longshore::engine::webhooks::outbox::Outbox;
use longshore::engine::webhooks::worker::{WebhookPorts, WebhookWorker};
use longshore::engine::worker::{Common, Ports, Worker};
use longshore::ports::queue::{Chosen, DeadLetters, DeadMessage, Outgoing, Queue};
use longshore::ports::store::Store;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::world::{LEASE, World, task};

const HOOK: &str = "https://hooks.acme.com/in";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A world with endpoints.
struct Hooks {
    world: World,
    queue: Arc<MemoryQueue>,
    endpoints: MemoryWebhook,
}

fn secret(byte: u8) -> String {
    format!("whsec_{}", STANDARD.encode([byte; 32]))
}

fn signed(url: Option<&str>) -> Callback {
    Callback { url: url.map(str::to_owned), secret: Some(secret(1)), ..Callback::default() }
}

impl Hooks {
    fn new(callback: Callback) -> Self {
        let world = World::new();
        world.put("https://h/a", MemoryObject::new("hello"));
        let queue = Arc::new(MemoryQueue::new(LEASE, world.clock));
        let hooks = Self { world, queue, endpoints: MemoryWebhook::default() };
        hooks.set(callback);
        hooks
    }

    /// Changes the team's callback.
    fn set(&self, callback: Callback) {
        let record = Team { callback: Some(callback), ..Team::default() };
        self.world.teams.put("acme", record);
    }

    fn outbox(&self) -> Outbox {
        let allow_networks = vec!["10.0.0.0/8".parse().unwrap()];
        Outbox { queue: Arc::new(self.queue.another()), allow_networks }
    }

    /// Ends a task of acme, and hands its webhook on.
    async fn end_task(&self, id: &str, callback_url: Option<&str>) {
        let mut body: Value = serde_json::from_str(&task(id, &["https://h/a"])).unwrap();
        if let Some(url) = callback_url {
            body["callback_url"] = url.into();
        }
        self.world.send(&body.to_string()).await;
        self.ingest().await;
    }

    async fn ingest(&self) {
        let ports = Ports { webhooks: Some(self.outbox()), ..self.world.ports() };
        Worker::new(&ports, self.world.settings.clone(), &Stop::default()).run(Until::Empty).await;
    }

    fn worker(&self, stop: &Stop) -> (WebhookWorker, Arc<Tally>) {
        let ports = WebhookPorts {
            outbox: self.outbox(),
            store: Arc::new(self.world.store.clone()),
            teams: Arc::new(self.world.teams.clone()),
            webhook: Arc::new(self.endpoints.clone()),
            clock: self.world.clock,
        };
        let common = self.common(stop);
        let tally = Arc::clone(&common.tally);
        (WebhookWorker::new(&ports, Duration::from_secs(25), stop, common), tally)
    }

    /// What the workers of one process have in common.
    fn common(&self, stop: &Stop) -> Common {
        let store: Arc<dyn Store> = Arc::new(self.world.store.clone());
        Common::new(&store, &self.world.settings, stop)
    }

    /// Sends webhooks for `span`.
    async fn deliver_for(&self, span: Duration) {
        let stop = Stop::default();
        let (worker, _) = self.worker(&stop);
        let upstream = CancellationToken::new();
        tokio::join!(worker.run(Until::Stopped, &upstream), async {
            sleep(span).await;
            stop.begin();
        });
    }

    /// Sends webhooks until none is due soon.
    async fn deliver_until_empty(&self) {
        let upstream = CancellationToken::new();
        upstream.cancel();
        self.worker(&Stop::default()).0.run(Until::Empty, &upstream).await;
    }

    async fn dead(&self) -> Vec<DeadMessage> {
        self.queue.list(1000).await.unwrap()
    }

    async fn warnings(&self, id: &str) -> Vec<(String, String)> {
        let receipt = self.world.receipt(id, 1).await.unwrap();
        receipt.warnings.into_iter().map(|warning| (warning.code, warning.message)).collect()
    }

    async fn left(&self) -> u64 {
        self.queue.depth().await.unwrap().total()
    }
}

/// Whether one of the signatures is that of `secret`, taken by hand.
fn is_signed_with(received: &Received, byte: u8) -> bool {
    let field = |name: &str| received.field(name).unwrap_or_default().to_owned();
    let mut content = format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).into_bytes();
    content.extend_from_slice(&received.post.body);
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]), &content);
    let expected = format!("v1,{}", STANDARD.encode(expected));
    field("webhook-signature").split(' ').any(|signature| signature == expected)
}

fn gaps(received: &[Received]) -> Vec<Duration> {
    received.windows(2).map(|two| two[1].at - two[0].at).collect()
}

/// The task that a test's receipts are of, with a callback.
fn decoded(callback_url: &str) -> longshore::domain::task::Task {
    let mut body: Value = serde_json::from_str(&task("t", &["https://h/a"])).unwrap();
    body["callback_url"] = callback_url.into();
    match longshore::domain::message::decode(body.to_string().as_bytes(), &Default::default()).unwrap() {
        longshore::domain::message::Decoded::Task(task) => *task,
        other => panic!("{other:?}"),
    }
}

impl Hooks {
    fn team(&self) -> KnownTeam {
        let record = Team { callback: Some(signed(None)), ..Team::default() };
        KnownTeam { id: TeamId::new("acme").unwrap(), record }
    }
}
