//! Looks at every call that a worker makes of the world, and notes what must never be: at the moment when it would be.
//!
//! These stand closest to the doubles: what is refused or lost on the way there has not happened. Whose turn it is to begin is
//! looked at where it is decided: [`turns`] holds the fairness bound.

mod doubles;
mod turns;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore::adapters::memory::publisher::MemoryPublisher;
use longshore::adapters::memory::store::MemoryStore;
use longshore::domain::id::{TaskId, TeamId};
use longshore::domain::object_key::{Key, receipt_key};
use longshore::domain::receipt::Receipt;
use longshore::domain::settlement::Settlement;
use longshore::domain::source::Place;
use longshore::domain::team::KnownTeam;
use longshore::engine::lanes::look_on;
use longshore::engine::limits::Limit;
use longshore::ports::budget::Budget;
use longshore::ports::queue::Lease;
use longshore::ports::store::Store;
use tokio::time::Instant;

pub(super) use self::doubles::{WatchedFetcher, WatchedPublisher, WatchedQueue, WatchedStore};
use self::turns::Turns;

/// What a place or team may do in this life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) host: Limit,
    pub(super) team: Limit,
    pub(super) memory_bytes: usize,
}

/// What is seen of all lives. Clones share it.
#[derive(Clone)]
pub(super) struct Watch(Arc<Shared>);

struct Shared {
    bounds: Bounds,
    store: MemoryStore,
    events: Arc<MemoryPublisher>,
    broken: Mutex<BTreeSet<String>>,
    /// The budget of the life that is lived now.
    paces: Mutex<Arc<dyn Budget>>,
    /// When requests were let go in this life, by whom they count for.
    sent: Mutex<HashMap<String, VecDeque<Instant>>>,
    /// How many are open, by whom they count for.
    open: Mutex<HashMap<String, usize>>,
    /// Whose task each lease is.
    leases: Mutex<HashMap<Lease, (TeamId, TaskId)>>,
    /// Bytes that the store is being given.
    given: AtomicUsize,
    /// Who was given turns in this life.
    turns: Mutex<Turns>,
}

impl Watch {
    pub(super) fn new(
        bounds: Bounds, store: MemoryStore, events: Arc<MemoryPublisher>, paces: Arc<dyn Budget>,
    ) -> Self {
        Self(Arc::new(Shared {
            bounds,
            store,
            events,
            broken: Mutex::default(),
            paces: Mutex::new(paces),
            sent: Mutex::default(),
            open: Mutex::default(),
            leases: Mutex::default(),
            given: AtomicUsize::new(0),
            turns: Mutex::default(),
        }))
    }

    /// A process begins: limits and turns hold for each by itself.
    pub(super) fn begin_life(&self, paces: Arc<dyn Budget>) {
        *self.0.paces.lock().unwrap() = paces;
        self.0.sent.lock().unwrap().clear();
        self.0.turns.lock().unwrap().begin_life();
        let watch = self.clone();
        look_on(move |team, accounts| {
            let broken = watch.0.turns.lock().unwrap().given(team, accounts);
            broken.into_iter().for_each(|what| watch.breaks(what));
        });
    }

    /// What was broken.
    pub(super) fn broken(&self) -> BTreeSet<String> {
        self.0.broken.lock().unwrap().clone()
    }

    /// How often a turn passed over a team that could run.
    pub(super) fn passes(&self) -> u64 {
        self.0.turns.lock().unwrap().passes()
    }

    fn breaks(&self, what: String) {
        self.0.broken.lock().unwrap().insert(what);
    }

    fn note_sent(&self, name: String, limit: Limit) {
        let now = Instant::now();
        let mut sent = self.0.sent.lock().unwrap();
        let times = sent.entry(name.clone()).or_default();
        times.push_back(now);
        while times.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            times.pop_front();
        }
        let most = (limit.requests_per_second * 1.05).max(limit.requests_per_second + 1.0);
        if times.len() as f64 > most {
            self.breaks(format!("{} requests of {name} within a second, {most} allowed", times.len()));
        }
    }

    fn opens(&self, names: Vec<(String, usize)>) -> Open {
        let mut open = self.0.open.lock().unwrap();
        for (name, most) in &names {
            let count = open.entry(name.clone()).or_default();
            *count += 1;
            if *count > *most {
                let count = *count;
                self.breaks(format!("{count} in flight of {name}, {most} allowed"));
            }
        }
        drop(open);
        Open { watch: self.clone(), names }
    }

    fn gives(&self, bytes: usize) -> Given {
        let given = self.0.given.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if given > self.0.bounds.memory_bytes {
            self.breaks(format!("{given} bytes on their way to the store at once"));
        }
        Given { watch: self.clone(), bytes }
    }

    /// No receipt before its objects.
    async fn check_receipt(&self, content: &Bytes) {
        let Ok(receipt) = serde_json::from_slice::<Receipt>(content) else {
            return self.breaks("a receipt that cannot be read".to_owned());
        };
        let prefix = self.0.store.uri(&Key::new("x")).trim_end_matches('x').to_owned();
        for object in receipt.attachments.iter().filter_map(|outcome| outcome.object.as_ref()) {
            let key = Key::new(object.uri.trim_start_matches(&prefix));
            if !matches!(self.0.store.head(&key).await, Ok(Some(_))) {
                self.breaks(format!("{} has a receipt before its object {key}", receipt.task_id));
            }
        }
    }

    async fn receipt_of(&self, team: &TeamId, task: &TaskId) -> Option<Receipt> {
        let bytes = self.0.store.get(&receipt_key(team, task, 1), 1 << 30).await.ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// No settlement as done before the completion was handed on.
    async fn check_settled(&self, lease: &Lease, settlement: &Settlement) {
        let owner = self.0.leases.lock().unwrap().get(lease).cloned();
        let (Settlement::Done, Some((team, task))) = (settlement, owner) else {
            return;
        };
        match self.receipt_of(&team, &task).await {
            None => self.breaks(format!("{task} was settled before its receipt")),
            Some(receipt) if !self.0.events.events().iter().any(|event| event.id == receipt.event_id) => {
                self.breaks(format!("{task} was settled before its completion"));
            }
            Some(_) => {}
        }
    }
}

/// One that is in flight.
struct Open {
    watch: Watch,
    names: Vec<(String, usize)>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.watch.0.open.lock().unwrap();
        for (name, _) in &self.names {
            *open.get_mut(name).unwrap() -= 1;
        }
    }
}

/// Bytes that the store is being given.
struct Given {
    watch: Watch,
    bytes: usize,
}

impl Drop for Given {
    fn drop(&mut self) {
        self.watch.0.given.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// The budget that sources ask: that of the process that lives now.
#[async_trait]
impl Budget for Watch {
    async fn request(&self, team: &KnownTeam, place: &Place) {
        let paces = Arc::clone(&self.0.paces.lock().unwrap());
        paces.request(team, place).await;
        if let Place::Host(host) = place {
            self.note_sent(format!("host {host}"), self.0.bounds.host);
        }
        self.note_sent(format!("team {}", team.id), self.0.bounds.team);
    }
    async fn bytes(&self, team: &KnownTeam, place: &Place, bytes: u64) {
        let paces = Arc::clone(&self.0.paces.lock().unwrap());
        paces.bytes(team, place, bytes).await;
    }
}
