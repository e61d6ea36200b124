//! The deliveries that we hold: those that wait to be handed out, and those that are being worked on.
//!
//! A delivery lives as long as the channel it came on. Each channel has an epoch; a lease names epoch and tag, so one from
//! a lost channel never meets a delivery of a later one, whose tags begin at 1 again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lapin::{Acker, BasicProperties, Channel};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::connection::SharedLink;
use super::trouble::Trouble;
use crate::ports::queue::Lease;

/// A delivery that the broker counts as ours.
#[derive(Debug)]
pub(super) struct Held {
    /// Its channel's epoch.
    pub(super) epoch: u64,
    /// Its tag on that channel.
    pub(super) tag: u64,
    /// Settles it.
    pub(super) acker: Acker,
    /// Its properties, as they came.
    pub(super) properties: BasicProperties,
    /// Its body.
    pub(super) body: Bytes,
    /// Deliveries that began before it.
    pub(super) unfinished: u32,
}

impl Held {
    /// Returns the delivery's lease.
    pub(super) fn lease(&self) -> Lease {
        Lease(format!("{}-{}", self.epoch, self.tag))
    }
}

/// What became of a lease.
pub(super) enum Found {
    /// It is ours.
    Held(Arc<Held>),
    /// It was settled on a channel that still stands.
    Settled,
    /// Its channel is gone.
    Lost,
}

/// Whether deliveries come.
#[derive(Debug, Clone)]
pub(super) enum Flow {
    /// The first connection is being made.
    Starting,
    /// They come.
    Running,
    /// They do not, since a moment.
    Down(Trouble, Instant),
}

/// Whether somebody wants deliveries.
enum Demand {
    /// A call of `receive` waits.
    Now,
    /// None does just now; one did, and the next may come before this moment.
    Until(Instant),
    /// Nobody does.
    Gone,
}

/// How long after a call of `receive` the next one is expected.
const GRACE: Duration = Duration::from_millis(500);

/// How long a broker may be away before it is told to who receives: a restart of it, or of a proxy, takes seconds.
const BLIP: Duration = Duration::from_secs(5);

struct Inner {
    epoch: u64,
    highest_tag: u64,
    held: HashMap<u64, Arc<Held>>,
    /// Of all bodies that are held.
    bytes: usize,
    ready: VecDeque<u64>,
    flow: Flow,
    receivers: usize,
    last_receive: Option<Instant>,
    closed: bool,
    /// Kept here so that deliveries in hand can be settled when nothing is received any more.
    channel: Option<(Channel, SharedLink)>,
}

/// Keeps deliveries, for one task that brings them and any number that take them.
pub(super) struct Shelf {
    inner: Mutex<Inner>,
    changed: Notify,
}

impl Shelf {
    /// An empty shelf, before the first epoch.
    pub(super) fn new() -> Self {
        let inner = Inner {
            epoch: 0,
            highest_tag: 0,
            held: HashMap::new(),
            bytes: 0,
            ready: VecDeque::new(),
            flow: Flow::Starting,
            receivers: 0,
            last_receive: None,
            closed: false,
            channel: None,
        };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the epoch of a new channel and returns its number.
    pub(super) fn begin(&self, channel: Channel, link: SharedLink) -> u64 {
        let mut inner = self.inner();
        // Not counted up: no other process may have the same lease on another delivery.
        inner.epoch = rand::random();
        inner.highest_tag = 0;
        inner.flow = Flow::Running;
        inner.channel = Some((channel, link));
        let epoch = inner.epoch;
        drop(inner);
        self.changed.notify_waiters();
        epoch
    }

    /// Drops everything held: its channel is gone. Returns the connection, and how many deliveries were lost.
    pub(super) fn end(&self, cause: Trouble) -> (Option<SharedLink>, usize) {
        let (channel, lost) = {
            let mut inner = self.inner();
            inner.ready.clear();
            let since = match &inner.flow {
                Flow::Down(_, since) => *since,
                Flow::Starting | Flow::Running => Instant::now(),
            };
            inner.flow = Flow::Down(cause, since);
            inner.bytes = 0;
            (inner.channel.take(), std::mem::take(&mut inner.held))
        };
        self.changed.notify_waiters();
        (channel.map(|(_channel, link)| link), lost.len())
    }

    /// Keeps a delivery that is not to be handed out yet.
    pub(super) fn keep(&self, held: Arc<Held>) {
        let mut inner = self.inner();
        inner.highest_tag = inner.highest_tag.max(held.tag);
        inner.bytes += held.body.len();
        inner.held.insert(held.tag, held);
    }

    /// How many bytes the bodies have that are held.
    pub(super) fn bytes(&self) -> usize {
        self.inner().bytes
    }

    /// Offers a kept delivery to whoever receives.
    pub(super) fn offer(&self, held: &Held) {
        let mut inner = self.inner();
        if inner.epoch == held.epoch && inner.held.contains_key(&held.tag) {
            inner.ready.push_back(held.tag);
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Forgets a delivery that was settled.
    pub(super) fn remove(&self, held: &Held) {
        let mut inner = self.inner();
        if inner.epoch == held.epoch && inner.held.remove(&held.tag).is_some() {
            inner.bytes -= held.body.len();
        }
    }

    /// Says what became of `lease`.
    pub(super) fn find(&self, lease: &Lease) -> Found {
        let inner = self.inner();
        match parsed(lease) {
            Some((epoch, tag)) if epoch == inner.epoch => match inner.held.get(&tag) {
                Some(held) if held.acker.poisoned() => Found::Lost,
                Some(held) => Found::Held(Arc::clone(held)),
                None if inner.channel.is_some() && tag <= inner.highest_tag => Found::Settled,
                None => Found::Lost,
            },
            Some(_) | None => Found::Lost,
        }
    }

    /// How many deliveries are ours.
    pub(super) fn count(&self) -> usize {
        self.inner().held.values().filter(|held| !held.acker.poisoned()).count()
    }

    /// Takes up to `room` deliveries, waiting up to `wait` for the first, and for a first connection up to `start_wait`.
    pub(super) async fn take(
        &self, room: usize, wait: Duration, start_wait: Duration,
    ) -> Result<Vec<Arc<Held>>, Trouble> {
        let _receiving = Receiving::begin(self);
        let began = Instant::now();
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before looking, so that nothing is missed between looking and waiting.
            changed.as_mut().enable();
            let (taken, flow) = self.take_now(room);
            if !taken.is_empty() {
                return Ok(taken);
            }
            let until = match &flow {
                Flow::Starting => began + start_wait,
                Flow::Down(Trouble::Away(_), since) => (began + wait).max(*since + BLIP),
                Flow::Running | Flow::Down(..) => began + wait,
            };
            if timeout_at(until, changed).await.is_err() {
                return match flow {
                    Flow::Running => Ok(Vec::new()),
                    Flow::Down(cause, _) => Err(cause),
                    Flow::Starting => Err(Trouble::Away("the broker has not answered yet".to_owned())),
                };
            }
        }
    }

    fn take_now(&self, room: usize) -> (Vec<Arc<Held>>, Flow) {
        let mut inner = self.inner();
        if inner.closed {
            return (Vec::new(), Flow::Running);
        }
        let count = room.min(inner.ready.len());
        let tags: Vec<u64> = inner.ready.drain(..count).collect();
        (tags.iter().filter_map(|tag| inner.held.get(tag).cloned()).collect(), inner.flow.clone())
    }

    /// Takes away what waits to be handed out.
    pub(super) fn clear(&self) -> Vec<Arc<Held>> {
        let mut inner = self.inner();
        let tags = std::mem::take(&mut inner.ready);
        tags.iter().filter_map(|tag| inner.held.get(tag).cloned()).collect()
    }

    /// Hands out nothing any more.
    pub(super) fn close(&self) {
        self.inner().closed = true;
        self.changed.notify_waiters();
    }

    fn demand(&self) -> Demand {
        let inner = self.inner();
        match inner.last_receive {
            _ if inner.receivers > 0 => Demand::Now,
            Some(last) if last.elapsed() < GRACE => Demand::Until(last + GRACE),
            Some(_) | None => Demand::Gone,
        }
    }

    /// Waits until somebody wants deliveries.
    pub(super) async fn wanted(&self) {
        self.demand_becomes(|demand| matches!(demand, Demand::Now | Demand::Until(_))).await;
    }

    /// Waits until nobody wants deliveries.
    pub(super) async fn unwanted(&self) {
        self.demand_becomes(|demand| matches!(demand, Demand::Gone)).await;
    }

    async fn demand_becomes(&self, is_right: impl Fn(&Demand) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let demand = self.demand();
            if is_right(&demand) {
                return;
            }
            match demand {
                Demand::Until(end) => {
                    // Either the grace ends or something changes; both are looked at above.
                    let _looked_at_again = timeout_at(end, changed).await;
                }
                Demand::Now | Demand::Gone => changed.await,
            }
        }
    }
}

/// A call of `receive` in progress; a dropped one ends too.
struct Receiving<'a>(&'a Shelf);

impl<'a> Receiving<'a> {
    fn begin(shelf: &'a Shelf) -> Self {
        shelf.inner().receivers += 1;
        shelf.changed.notify_waiters();
        Self(shelf)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        inner.receivers -= 1;
        inner.last_receive = Some(Instant::now());
        drop(inner);
        self.0.changed.notify_waiters();
    }
}

/// Reads what [`Held::lease`] wrote.
fn parsed(lease: &Lease) -> Option<(u64, u64)> {
    let (epoch, tag) = lease.0.split_once('-')?;
    Some((epoch.parse().ok()?, tag.parse().ok()?))
}
