//! Looks at every call that a worker makes of the world, and notes what must never be: at the moment when it would be.
//!
//! These stand closest to the doubles: what is refused or lost on the way there has not happened. Whose turn it is to begin is
//! looked at where it is decided: [`turns`] holds the fairness bound.

mod turns;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use longshore::adapters::memory::publisher::MemoryPublisher;
use longshore::adapters::memory::store::MemoryStore;
use longshore::domain::access::Grant;
use longshore::domain::fault::AttachmentFault;
use longshore::domain::id::{TaskId, TeamId};
use longshore::domain::object_key::{Key, receipt_key};
use longshore::domain::receipt::Receipt;
use longshore::domain::settlement::Settlement;
use longshore::domain::source::{Place, Source};
use longshore::domain::team::KnownTeam;
use longshore::domain::webhook::body::Link;
use longshore::engine::lanes::look_on;
use longshore::engine::limits::Limit;
use longshore::ports::budget::Budget;
use longshore::ports::fetcher::{BodyStream, FetchRequest, Fetched, Fetcher, Want};
use longshore::ports::publisher::{Event, PublishError, Publisher};
use longshore::ports::queue::{Delivery, Depth, Lease, Order, Outgoing, Queue, QueueError};
use longshore::ports::store::{Head, ObjectMeta, ObjectStream, PART_BYTES, Put, Store, StoreError, Upload};
use serde_json::Value;
use tokio::time::Instant;

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

/// Sources, as they are asked. Each host and bucket is named after the team that may read it.
pub(super) struct WatchedFetcher<F>(pub(super) F, pub(super) Watch);

#[async_trait]
impl<F: Fetcher> Fetcher for WatchedFetcher<F> {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let (watch, id) = (&self.1, request.team.id.clone());
        let team = id.to_string();
        let place = match request.source.place() {
            Place::Host(name) => name,
            Place::Bucket(name) => name.trim_start_matches("s3://").to_owned(),
            Place::Local => String::new(),
        };
        let is_bucket = matches!(request.source, Source::S3 { .. });
        let with_rights = match &request.grant {
            Grant::AwsRole(role) => is_bucket && role.role_arn.ends_with(&format!("/{team}")),
            Grant::AwsOwn(_) | Grant::AzureTenant(_) | Grant::GcpAccount(_) | Grant::GcpOwn => false,
            Grant::None => !is_bucket,
        };
        if !place.starts_with(&format!("{team}-")) || !with_rights {
            watch.breaks(format!("{team} asked {place} with {:?}", request.grant));
        }
        let mut names = vec![(format!("team {team}"), watch.0.bounds.team.in_flight)];
        if !is_bucket {
            names.push((format!("host {place}"), watch.0.bounds.host.in_flight));
        }
        let open = watch.opens(names);
        let want = request.want.clone();
        let mut fetched = self.0.open(request).await?;
        if want == Want::Head {
            // It has no body: with its answer it has ended.
            return Ok(fetched);
        }
        let whole_of = (want == Want::Body).then_some(id);
        fetched.body = until_it_ends(std::mem::replace(&mut fetched.body, stream::empty().boxed()), open, whole_of);
        Ok(fetched)
    }
}

/// The same body, in flight until it ends, breaks or is let go. What comes whole is noted for the team `whole_of`.
fn until_it_ends(body: BodyStream, open: Open, whole_of: Option<TeamId>) -> BodyStream {
    stream::unfold((body, Some(open), 0), move |(mut body, mut open, mut bytes)| {
        let whole_of = whole_of.clone();
        async move {
            let next = body.next().await;
            match &next {
                Some(Ok(chunk)) => bytes += chunk.len(),
                Some(Err(_)) => open = None,
                None => {
                    let ended = open.take().zip(whole_of);
                    // A larger one may be let go after its last byte, before anybody has looked at it.
                    if let Some((open, team)) = ended.filter(|_| bytes < PART_BYTES) {
                        open.watch.0.turns.lock().unwrap().brought(&team, bytes as f64);
                    }
                }
            }
            next.map(|item| (item, (body, open, bytes)))
        }
    })
    .boxed()
}

/// The store, as it is told.
pub(super) struct WatchedStore(pub(super) MemoryStore, pub(super) Watch);

#[async_trait]
impl Store for WatchedStore {
    fn keeps_facts(&self) -> bool {
        self.0.keeps_facts()
    }
    async fn put_if_absent(&self, key: &Key, content: Bytes, meta: ObjectMeta<'_>) -> Result<Put, StoreError> {
        if key.as_str().contains("/receipts/") {
            self.1.check_receipt(&content).await;
        }
        let _given = self.1.gives(content.len());
        self.0.put_if_absent(key, content, meta).await
    }
    async fn begin(&self, key: &Key, meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(WatchedUpload(self.0.begin(key, meta).await?, self.1.clone())))
    }
    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        self.0.head(key).await
    }
    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        self.0.find(stem).await
    }
    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError> {
        self.0.read(key).await
    }
    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        self.0.get(key, bytes_max).await
    }
    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        self.0.overwrite(key, content).await
    }
    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.0.list(folder, after, limit).await
    }
    fn uri(&self, key: &Key) -> String {
        self.0.uri(key)
    }
    async fn link(&self, key: &Key, lasts: Duration) -> Result<Option<Link>, StoreError> {
        self.0.link(key, lasts).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        self.0.probe().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.0.check().await
    }
}

struct WatchedUpload(Box<dyn Upload>, Watch);

#[async_trait]
impl Upload for WatchedUpload {
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError> {
        let _given = self.1.gives(content.len());
        self.0.part(content).await
    }
    async fn finish(&mut self) -> Result<Put, StoreError> {
        self.0.finish().await
    }
    async fn abort(&mut self) {
        self.0.abort().await;
    }
}

/// The broker, as it is told of completions.
pub(super) struct WatchedPublisher(pub(super) Arc<dyn Publisher>, pub(super) Watch);

#[async_trait]
impl Publisher for WatchedPublisher {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let body: Value = serde_json::from_slice(&event.body).unwrap_or_default();
        let task = body["data"]["task_id"].as_str().and_then(|text| TaskId::new(text).ok());
        let receipt = match &task {
            Some(task) => self.1.receipt_of(&event.team, task).await,
            None => None,
        };
        if receipt.is_none_or(|receipt| receipt.event_id != event.id) {
            self.1.breaks(format!("{task:?} was announced before its receipt"));
        }
        self.0.publish(event).await
    }
}

/// The queue, as it is told how messages end.
pub(super) struct WatchedQueue<Q>(pub(super) Q, pub(super) Watch);

impl<Q> WatchedQueue<Q> {
    fn note(&self, delivery: &Delivery) {
        let body: Value = serde_json::from_slice(&delivery.message.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        let team = text("team").and_then(|text| TeamId::new(text).ok());
        if let (Some(team), Some(task)) = (team, text("task_id").and_then(|text| TaskId::new(text).ok())) {
            self.1.0.leases.lock().unwrap().insert(delivery.lease.clone(), (team, task));
        }
    }
}

#[async_trait]
impl<Q: Queue> Queue for WatchedQueue<Q> {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        let deliveries = self.0.receive(room).await?;
        deliveries.iter().for_each(|delivery| self.note(delivery));
        Ok(deliveries)
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn lease_length(&self) -> Duration {
        self.0.lease_length()
    }
    async fn extend(&self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        self.0.extend(leases).await
    }
    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        self.1.check_settled(lease, settlement).await;
        self.0.settle(lease, settlement).await
    }
    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        self.0.send(messages).await
    }
    async fn depth(&self) -> Result<Depth, QueueError> {
        self.0.depth().await
    }
    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        self.0.due(span).await
    }
    fn count_lag(&self) -> Duration {
        self.0.count_lag()
    }
    async fn close(&self) {
        self.0.close().await;
    }
}
