//! Ports that fail: each call may be refused before it happens, or after it has, as a seed decides.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore::domain::object_key::Key;
use longshore::domain::settlement::Settlement;
use longshore::domain::webhook::body::Link;
use longshore::ports::publisher::{Event, PublishError, Publisher};
use longshore::ports::queue::{Delivery, Depth, Extended, Lease, Order, Outgoing, Queue, QueueError};
use longshore::ports::store::{Head, ObjectMeta, ObjectStream, Put, Store, StoreError, Upload};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::time::sleep;

/// Decides what becomes of each call. Clones share the dice.
#[derive(Clone)]
pub(super) struct Fate {
    dice: Arc<Mutex<StdRng>>,
    per_mille: u32,
    away: Arc<AtomicBool>,
    /// Calls, or effects of calls, until the process is killed; negative: it is not.
    left: Arc<AtomicI64>,
    killed: Arc<Notify>,
    /// How long closing the queue takes.
    closing_secs: Arc<AtomicU64>,
    /// What is put off never is, and nobody is told.
    moves_hang: Arc<AtomicBool>,
}

/// What becomes of one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Happens,
    FailsBefore,
    FailsAfter,
}

impl Fate {
    pub(super) fn new(seed: u64, per_mille: u32) -> Self {
        let dice = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let left = Arc::new(AtomicI64::new(-1));
        Self {
            dice,
            per_mille,
            away: Arc::default(),
            left,
            killed: Arc::default(),
            closing_secs: Arc::default(),
            moves_hang: Arc::default(),
        }
    }

    /// From now on whatever is to be put off hangs.
    pub(super) fn hang_moves(&self) {
        self.moves_hang.store(true, Ordering::SeqCst);
    }

    /// Closing the queue takes so many seconds from now on.
    pub(super) fn closes_in_secs(&self, secs: u64) {
        self.closing_secs.store(secs, Ordering::SeqCst);
    }

    /// Kills the process before or after the `calls`th call from now; without a number it lives on.
    pub(super) fn kill_after(&self, calls: Option<u32>) {
        self.left.store(calls.map_or(-1, i64::from), Ordering::SeqCst);
    }

    /// Waits until the process is killed.
    pub(super) async fn killed(&self) {
        self.killed.notified().await;
    }

    /// A moment at which it may be killed.
    async fn moment(&self) {
        if self.left.load(Ordering::SeqCst) >= 0 && self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Whether a process, as one that was frozen, does not do what it believes to have done.
    fn sleeps_over(&self) -> bool {
        self.below(1000) < self.per_mille
    }

    /// Everything fails from now on, or nothing more than fate wants.
    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(super) fn below(&self, bound: u32) -> u32 {
        self.dice.lock().unwrap().random_range(0..bound)
    }

    async fn next(&self) -> Call {
        self.moment().await;
        if self.away.load(Ordering::SeqCst) {
            return Call::FailsBefore;
        }
        if self.below(1000) < self.per_mille {
            sleep(Duration::from_millis(u64::from(self.below(3000)))).await;
        }
        match self.below(2000) {
            roll if roll < self.per_mille => Call::FailsBefore,
            roll if roll < 2 * self.per_mille => Call::FailsAfter,
            _ => Call::Happens,
        }
    }

    /// Makes a call, or does not, and tells of it, or does not.
    async fn call<T, E>(&self, lost: impl Fn() -> E, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        match self.next().await {
            Call::Happens => {
                let answer = call.await;
                self.moment().await;
                answer
            }
            Call::FailsBefore => Err(lost()),
            Call::FailsAfter => {
                // It happens, and nobody hears of it.
                let _ = call.await;
                Err(lost())
            }
        }
    }
}

fn store_lost() -> StoreError {
    StoreError::Unavailable("fate".into())
}

fn queue_lost() -> QueueError {
    QueueError::Unavailable("fate".into())
}

/// A store whose calls fail as fate wants.
pub(super) struct FatedStore<S>(pub(super) S, pub(super) Fate);

#[async_trait]
impl<S: Store> Store for FatedStore<S> {
    fn keeps_facts(&self) -> bool {
        self.0.keeps_facts()
    }
    async fn put_if_absent(&self, key: &Key, content: Bytes, meta: ObjectMeta<'_>) -> Result<Put, StoreError> {
        self.1.call(store_lost, self.0.put_if_absent(key, content, meta)).await
    }
    async fn begin(&self, key: &Key, meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        let upload = self.1.call(store_lost, self.0.begin(key, meta)).await?;
        Ok(Box::new(FatedUpload(upload, self.1.clone())))
    }
    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        self.1.call(store_lost, self.0.head(key)).await
    }
    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        self.1.call(store_lost, self.0.find(stem)).await
    }
    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError> {
        self.1.call(store_lost, self.0.read(key)).await
    }
    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        self.1.call(store_lost, self.0.get(key, bytes_max)).await
    }
    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        self.1.call(store_lost, self.0.overwrite(key, content)).await
    }
    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.1.call(store_lost, self.0.list(folder, after, limit)).await
    }
    fn uri(&self, key: &Key) -> String {
        self.0.uri(key)
    }
    async fn link(&self, key: &Key, lasts: Duration) -> Result<Option<Link>, StoreError> {
        self.1.call(store_lost, self.0.link(key, lasts)).await
    }
    async fn probe(&self) -> Result<(), StoreError> {
        self.0.probe().await
    }
    async fn check(&self) -> Result<(), StoreError> {
        self.1.call(store_lost, self.0.check()).await
    }
}

struct FatedUpload(Box<dyn Upload>, Fate);

#[async_trait]
impl Upload for FatedUpload {
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError> {
        // A part whose answer is lost is sent again by contract, so only "before" is harmless to a double that appends.
        match self.1.next().await {
            Call::Happens => self.0.part(content).await,
            Call::FailsBefore | Call::FailsAfter => Err(store_lost()),
        }
    }
    async fn finish(&mut self) -> Result<Put, StoreError> {
        self.1.call(store_lost, self.0.finish()).await
    }
    async fn abort(&mut self) {
        self.0.abort().await;
    }
}

/// A queue whose calls fail as fate wants.
pub(super) struct FatedQueue<Q>(pub(super) Q, pub(super) Fate);

#[async_trait]
impl<Q: Queue> Queue for FatedQueue<Q> {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        self.1.call(queue_lost, self.0.receive(room)).await
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn lease_length(&self) -> Duration {
        self.0.lease_length()
    }
    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        if self.1.sleeps_over() {
            return Ok(Extended::default());
        }
        self.1.call(queue_lost, self.0.extend(leases)).await
    }
    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        let is_move = matches!(settlement, Settlement::PutOff { delay } if !delay.is_zero());
        if is_move && self.1.moves_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.1.call(queue_lost, self.0.settle(lease, settlement)).await
    }
    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        self.1.call(queue_lost, self.0.send(messages)).await
    }
    async fn depth(&self) -> Result<Depth, QueueError> {
        self.1.call(queue_lost, self.0.depth()).await
    }
    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        self.1.call(queue_lost, self.0.due(span)).await
    }
    fn count_lag(&self) -> Duration {
        self.0.count_lag()
    }
    async fn close(&self) {
        sleep(Duration::from_secs(self.1.closing_secs.load(Ordering::SeqCst))).await;
        self.0.close().await;
    }
}

/// A publisher whose calls fail as fate wants.
pub(super) struct FatedPublisher(pub(super) Arc<dyn Publisher>, pub(super) Fate);

#[async_trait]
impl Publisher for FatedPublisher {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let lost = || PublishError::Unavailable("fate".into());
        self.1.call(lost, self.0.publish(event)).await
    }
}
