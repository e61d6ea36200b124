//! One named queue in the database, as [`Queue`].
//!
//! The next message is the oldest one of the team that has the fewest in hand, over all processes. Leases and delays are wall-clock
//! times in the file; a clock that is set forward ends leases early, which doubles work and loses nothing.
//! Nothing is received ahead. What this file does not do is SQL: see `messages.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::database::LocalDatabase;
use super::messages::{self, Next};
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Delivery, Depth, Extended, Lease, MESSAGE_BYTES_MAX, Order, Outgoing, Queue, QueueError};

/// How soon what another process sent is seen.
const POLL: Duration = Duration::from_millis(100);

/// How many messages share one transaction, so that none is long.
const SEND_MAX: usize = 500;
const ROOM_MAX: usize = 256;

/// How a queue is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalQueueOptions {
    /// How long a delivery stays ours without being extended.
    pub lease: Duration,
    /// How long a receive waits for a first message.
    pub wait: Duration,
}

impl Default for LocalQueueOptions {
    fn default() -> Self {
        Self { lease: Duration::from_secs(60), wait: Duration::from_secs(5) }
    }
}

/// A queue of a [`LocalDatabase`].
#[derive(Debug)]
pub struct LocalQueue {
    pub(super) database: LocalDatabase,
    pub(super) name: Arc<str>,
    options: LocalQueueOptions,
    pub(super) bell: Arc<Notify>,
    closed: AtomicBool,
}

impl LocalQueue {
    /// The queue `name` of `database`; it is there as soon as something is sent to it.
    #[must_use]
    pub fn new(database: LocalDatabase, name: &str, options: LocalQueueOptions) -> Self {
        let bell = database.bell(name);
        Self { database, name: name.into(), options, bell, closed: AtomicBool::new(false) }
    }

    /// When the oldest message that could be received now was sent.
    ///
    /// # Errors
    /// As [`Queue::depth`].
    pub async fn oldest_sent_at(&self) -> Result<Option<Timestamp>, QueueError> {
        let name = Arc::clone(&self.name);
        let oldest = self.database.read(move |connection| messages::oldest(connection, &name)).await?;
        Ok(oldest.and_then(|sent_at| Timestamp::from_millisecond(sent_at).ok()))
    }

    /// How many messages each group has, with the body of its oldest one.
    ///
    /// # Errors
    /// As [`Queue::depth`].
    pub async fn groups(&self) -> Result<Vec<(u64, Bytes)>, QueueError> {
        let name = Arc::clone(&self.name);
        Ok(self.database.read(move |connection| messages::groups(connection, &name)).await?)
    }

    async fn next(&self) -> Result<Next, QueueError> {
        let name = Arc::clone(&self.name);
        Ok(self.database.read(move |connection| messages::next(connection, &name)).await?)
    }

    async fn take(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        let (name, lease) = (Arc::clone(&self.name), self.options.lease);
        let (database, bell) = (self.database.clone(), Arc::clone(&self.bell));
        let offer = self.database.write(move |connection| {
            let deliveries = messages::take(connection, &name, room.min(ROOM_MAX), lease)?;
            Ok(Offer { database, bell, name, deliveries })
        });
        Ok(offer.await?.accept())
    }
}

/// Leased messages on their way to the receiver. Dropped on the way, it gives them back as if they had never been leased.
struct Offer {
    database: LocalDatabase,
    bell: Arc<Notify>,
    name: Arc<str>,
    deliveries: Vec<Delivery>,
}

impl Offer {
    fn accept(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.deliveries.is_empty() {
            return;
        }
        let leases: Vec<_> = self.deliveries.iter().map(|delivery| delivery.lease.clone()).collect();
        let (name, bell) = (Arc::clone(&self.name), Arc::clone(&self.bell));
        self.database.write_detached(move |connection| {
            messages::release(connection, &name, &leases)?;
            bell.notify_waiters();
            Ok(())
        });
    }
}

#[async_trait]
impl Queue for LocalQueue {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        let end = Instant::now() + self.options.wait;
        // A busy queue has something more often than not: the first try is made without looking.
        let mut expected = Some(Next::Ready);
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            // Whoever rings from here on is heard, also while we look.
            rung.as_mut().enable();
            if room == 0 || self.closed.load(Ordering::SeqCst) {
                return Ok(Vec::new());
            }
            // Looking keeps those who only wait away from the lock that writers share.
            let next = match expected.take() {
                Some(next) => next,
                None => self.next().await?,
            };
            let pause = match next {
                Next::Ready => {
                    let taken = self.take(room).await?;
                    if !taken.is_empty() {
                        return Ok(taken);
                    }
                    Duration::ZERO
                }
                Next::In(left) => left.min(POLL),
                Next::Never => POLL,
            };
            if Instant::now() >= end {
                return Ok(Vec::new());
            }
            let _rung_or_time = timeout_at(end.min(Instant::now() + pause), rung).await;
        }
    }

    fn order(&self) -> Order {
        Order::Own
    }

    fn lease_length(&self) -> Duration {
        self.options.lease
    }

    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        let (name, leases, length) = (Arc::clone(&self.name), leases.to_vec(), self.options.lease);
        let extend = self.database.write(move |connection| messages::extend(connection, &name, &leases, length));
        Ok(Extended::but(extend.await?))
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        let (name, lease, wanted) = (Arc::clone(&self.name), lease.clone(), settlement.clone());
        let settle = self.database.write(move |connection| messages::settle(connection, &name, &lease, &wanted));
        if !settle.await? {
            return Err(QueueError::LeaseLost);
        }
        match settlement {
            Settlement::Retry { .. } | Settlement::HandBack { .. } | Settlement::PutOff { .. } => {
                self.bell.notify_waiters()
            }
            Settlement::Done | Settlement::DeadLetter(_) => {}
        }
        Ok(())
    }

    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        if let Some(large) = messages.iter().find(|message| message.size() > MESSAGE_BYTES_MAX) {
            return Err(QueueError::Refused(format!("message {} is above {MESSAGE_BYTES_MAX} bytes", large.id)));
        }
        for part in messages.chunks(SEND_MAX) {
            let (name, part) = (Arc::clone(&self.name), part.to_vec());
            self.database.write(move |connection| messages::send(connection, &name, &part)).await?;
            self.bell.notify_waiters();
        }
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let name = Arc::clone(&self.name);
        Ok(self.database.read(move |connection| messages::depth(connection, &name)).await?)
    }

    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        let name = Arc::clone(&self.name);
        Ok(self.database.read(move |connection| messages::due(connection, &name, span)).await?)
    }

    fn count_lag(&self) -> Duration {
        // Counts are read in one transaction: they are exact.
        Duration::ZERO
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.bell.notify_waiters();
    }
}
