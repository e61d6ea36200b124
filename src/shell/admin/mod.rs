//! The admin port of a worker: whether it lives, whether it is ready, what it has done.
//!
//! It has no log-in and shows nothing of a customer: numbers and names of our own parts only. `/metrics` is Prometheus's text
//! form ([`mod@metrics`]), `/status.json` the same for a person's tools.

mod metrics;

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::exit::Failure;
use crate::engine::memory::Pools;
use crate::engine::outage::Gates;
use crate::engine::stop::Stop;
use crate::engine::tally::Tally;
use crate::ports::queue::{Depth, Queue};

/// How long a broker may take to count its messages while somebody waits for metrics.
const COUNT_WITHIN: Duration = Duration::from_secs(2);

/// A worker that runs, as the admin port sees it.
pub struct Running {
    /// What it has done.
    pub tally: Arc<Tally>,
    /// What may be away.
    pub gates: Gates,
    /// Its memory; none without the role `ingest`.
    pub pools: Option<Pools>,
    /// Where its tasks come from, if it takes any.
    pub queue: Option<Arc<dyn Queue>>,
    /// Where webhooks wait, if it sends any.
    pub webhooks: Option<Arc<dyn Queue>>,
    /// Whether it is ending.
    pub stop: Stop,
}

/// What is known of this process's worker. Clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    began: Instant,
    waits_for: Mutex<Option<String>>,
    running: OnceLock<Running>,
}

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Inner { began: Instant::now(), waits_for: Mutex::default(), running: OnceLock::new() }))
    }
}

impl Health {
    /// Notes what a starting worker waits for.
    pub fn waits_for(&self, what: &str) {
        *self.0.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
    }

    /// Notes that the worker runs. Only the first one counts.
    pub fn runs(&self, running: Running) {
        let _ = self.0.running.set(running);
    }

    /// What keeps the worker from being ready; empty if nothing does.
    fn hindrances(&self) -> Vec<String> {
        let Some(running) = self.0.running.get() else {
            let waits_for = self.0.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return vec![waits_for.map_or_else(|| "starting".to_owned(), |what| format!("waiting for {what}"))];
        };
        let down = running.gates.down().map(|gate| format!("{} is away", gate.name()));
        let ending = running.stop.has_begun().then(|| "stopping".to_owned());
        down.chain(ending).collect()
    }
}

/// Listens on `address` until the process ends and returns the server's task.
///
/// # Errors
/// An address that is taken, or not ours.
pub async fn serve(address: SocketAddr, health: Health) -> Result<JoinHandle<()>, Failure> {
    let refused = |error| {
        let line = format!("admin.listen: {address} cannot be listened on: {error}; choose another, or \"\" for none");
        Failure::unreachable(line)
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let picked = listener.local_addr().map_err(refused)?;
    info!(address = %picked, "the admin port listens on {picked}");
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/status.json", get(status))
        .with_state(health);
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            warn!(%error, "the admin port has ended");
        }
    }))
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(health): State<Health>) -> Response {
    let hindrances = health.hindrances();
    if hindrances.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", hindrances.join("\n"))).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    let text = match health.0.running.get() {
        Some(running) => {
            let (tasks, webhooks) = tokio::join!(depth(running.queue.as_ref()), depth(running.webhooks.as_ref()));
            metrics::text(running, tasks, webhooks)
        }
        None => String::new(),
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn depth(queue: Option<&Arc<dyn Queue>>) -> Option<Depth> {
    timeout(COUNT_WITHIN, queue?.depth()).await.ok()?.ok()
}

fn shown(depth: Option<Depth>) -> Value {
    depth.map_or(
        Value::Null,
        |depth| json!({"visible": depth.visible, "leased": depth.leased, "delayed": depth.delayed}),
    )
}

async fn status(State(health): State<Health>) -> Json<Value> {
    let hindrances = health.hindrances();
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_secs": health.0.began.elapsed().as_secs(),
        "ready": hindrances.is_empty(),
        "not_ready_because": hindrances,
    });
    if let Some(running) = health.0.running.get() {
        let (tasks, webhooks) = tokio::join!(depth(running.queue.as_ref()), depth(running.webhooks.as_ref()));
        status["queue"] = shown(tasks);
        status["webhooks"] = shown(webhooks);
        status["buffered_bytes"] = json!(running.pools.as_ref().map_or(0, |pools| pools.parts.held()));
        status["counts"] = Value::Object(counts(&running.tally));
    }
    Json(status)
}

/// All that a tally counts, by name.
#[must_use]
pub fn counts(tally: &Tally) -> Map<String, Value> {
    let number = |counter: &AtomicU64| json!(counter.load(Relaxed));
    let named = [
        ("completed", number(&tally.completed)),
        ("partial", number(&tally.partial)),
        ("failed", number(&tally.failed)),
        ("dead", number(&tally.dead)),
        ("retried", number(&tally.retried)),
        ("handed_back", number(&tally.handed_back)),
        ("ignored", number(&tally.ignored)),
        ("lost", number(&tally.lost)),
        ("stored", number(&tally.stored)),
        ("adopted", number(&tally.adopted)),
        ("attachments_failed", tally.attachments_failed().into()),
        ("bytes", number(&tally.bytes)),
        ("retries", number(&tally.retries)),
        ("in_hand", number(&tally.in_hand)),
        ("in_flight", number(&tally.in_flight)),
        ("webhooks_delivered", number(&tally.webhooks.delivered)),
        ("webhooks_failed", number(&tally.webhooks.failed)),
        ("webhooks_exhausted", number(&tally.webhooks.exhausted)),
        ("webhooks_in_hand", number(&tally.webhooks.in_hand)),
    ];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
