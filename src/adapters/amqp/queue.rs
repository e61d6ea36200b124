//! The task queue on RabbitMQ.
//!
//! It connects when it is first used: for sending, counting and settling on one connection, for receiving on another. A
//! delivery is ours as long as its channel lives, so a lease is never extended, only asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::AmqpOptions;
use super::address::{Address, BadAmqp};
use super::connection::SharedLink;
use super::headers::{self, ATTEMPTS, PERSISTENT};
use super::intake::Intake;
use super::ladder::{LADDER, Tier};
use super::outbox::{Letter, Outbox};
use super::returning::Returning;
use super::settle::Settler;
use super::shelf::{Found, Held, Shelf};
use super::topology::{Queues, Topology, Wanted, ready_messages};
use super::trouble::Trouble;
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Delivery, Depth, Extended, Lease, Message, Order, Outgoing, Queue, QueueError, Room};

/// How long a call of `receive` waits for the first message.
const RECEIVE_WAIT: Duration = Duration::from_secs(1);

/// How long the first call waits for a connection and the topology.
const START_WAIT: Duration = Duration::from_secs(20);

/// How often it is worth asking which deliveries were lost.
const LEASE: Duration = Duration::from_secs(30);

/// How many messages of one call of `send` are in flight.
const SENDS_IN_FLIGHT: usize = 256;

/// A queue of messages on RabbitMQ.
///
/// Must be made and used within a tokio runtime. Dropped, it leaves the broker, which gives what was in hand to
/// the next consumer.
pub struct AmqpQueue {
    settler: Arc<Settler>,
    returning: Arc<Returning>,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
    intake: Mutex<IntakeState>,
}

enum IntakeState {
    Unstarted(Box<Intake>),
    Running(JoinHandle<()>),
    Closed,
}

impl AmqpQueue {
    /// Makes the queue; nothing is connected yet.
    ///
    /// # Errors
    /// [`BadAmqp`] when the URL or a name cannot be right.
    pub fn new(options: AmqpOptions) -> Result<Self, BadAmqp> {
        let queues = Queues::new(&options.queue, &options.dead_letter)?;
        Self::on(queues, options)
    }

    /// The same for a queue whose dead-letter queue is another's, too.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn beside(options: AmqpOptions) -> Result<Self, BadAmqp> {
        let queues = Queues::new(&options.queue, &options.dead_letter)?;
        Self::on(Queues { shares_dead: true, ..queues }, options)
    }

    fn on(queues: Queues, options: AmqpOptions) -> Result<Self, BadAmqp> {
        let address = Address::parse(&options.url, options.tls)?;
        let topology = Topology { wanted: Wanted::Queues(queues.clone()), declare: options.declare };
        let outbox = Outbox::new(address.clone(), topology.clone(), "publisher");
        let settler = Arc::new(Settler::new(outbox, queues.clone()));
        let (shelf, stop) = (Arc::new(Shelf::new()), CancellationToken::new());
        let returning = Returning::new(Arc::clone(&settler), Arc::clone(&shelf), stop.clone());
        let intake = Box::new(Intake {
            address,
            topology,
            queue: queues.task,
            prefetch: options.prefetch.max(1),
            prefetch_in_a_crowd: options.prefetch_in_a_crowd,
            shelf: Arc::clone(&shelf),
            settler: Arc::clone(&settler),
            returning: Arc::clone(&returning),
            stop: stop.clone(),
        });
        Ok(Self { settler, returning, shelf, stop, intake: Mutex::new(IntakeState::Unstarted(intake)) })
    }

    /// Starts to consume; a process that only sends never does.
    fn start(&self) {
        let mut state = self.intake_state();
        *state = match std::mem::replace(&mut *state, IntakeState::Closed) {
            IntakeState::Unstarted(intake) => IntakeState::Running(tokio::spawn(intake.run())),
            other @ (IntakeState::Running(_) | IntakeState::Closed) => other,
        };
    }

    fn intake_state(&self) -> std::sync::MutexGuard<'_, IntakeState> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is visible, and what waits in the tiers that `wanted` names.
    async fn counted(&self, wanted: impl Fn(Tier) -> bool + Send) -> Result<(u64, u64), QueueError> {
        let link = self.settler.outbox.link().await?;
        let tiers: Vec<Tier> = LADDER.into_iter().filter(|tier| wanted(*tier)).collect();
        match self.counts(&link, &tiers).await {
            Ok(counts) => Ok(counts),
            Err(trouble) => {
                // A queue may be gone; a new connection looks for it or makes it again.
                self.settler.outbox.forget(&link).await;
                Err(QueueError::Unavailable(trouble.text().to_owned()))
            }
        }
    }

    async fn counts(&self, link: &SharedLink, tiers: &[Tier]) -> Result<(u64, u64), Trouble> {
        let channel = link.channel().await?;
        let mut delayed = 0;
        for tier in tiers.iter().copied() {
            delayed += u64::from(ready_messages(&channel, self.settler.queues.tier(tier)).await?);
        }
        // Last, since messages move from the tiers to here: one that moves meanwhile is counted twice, not missed.
        let visible = u64::from(ready_messages(&channel, self.settler.queues.task.clone()).await?);
        Ok((visible, delayed))
    }
}

impl Drop for AmqpQueue {
    fn drop(&mut self) {
        if let IntakeState::Running(task) = &*self.intake_state() {
            task.abort();
        }
    }
}

#[async_trait]
impl Queue for AmqpQueue {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        if room == 0 {
            return Ok(Vec::new());
        }
        self.start();
        let taken = self.shelf.take(room, RECEIVE_WAIT, START_WAIT).await?;
        Ok(taken.iter().map(|held| delivery(held)).collect())
    }

    fn order(&self) -> Order {
        Order::AsSent
    }

    fn ask(&self, room: Arc<dyn Room>) {
        self.returning.ask(room);
    }

    fn lease_length(&self) -> Duration {
        LEASE
    }

    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        let lost = leases.iter().filter(|lease| !matches!(self.shelf.find(lease), Found::Held(_)));
        Ok(Extended::but(lost.cloned().collect()))
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        let held = match self.shelf.find(lease) {
            Found::Held(held) => held,
            Found::Settled => return Ok(()),
            Found::Lost => return Err(QueueError::LeaseLost),
        };
        self.settler.settle(&held, settlement).await?;
        self.shelf.remove(&held);
        Ok(())
    }

    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        let letters = messages
            .iter()
            .map(|message| letter(message, self.settler.queues.task.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let sending =
            futures::stream::iter(letters).map(|letter| async move { self.settler.outbox.publish(&letter).await });
        sending.buffer_unordered(SENDS_IN_FLIGHT).try_collect::<()>().await?;
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        // Before and after: a message may go from our hands to a tier, or from a queue to our hands, meanwhile.
        let before = self.shelf.count();
        let (visible, delayed) = self.counted(|_| true).await?;
        let leased = before.max(self.shelf.count()) as u64;
        Ok(Depth { visible, leased, delayed })
    }

    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        // Before and after, as in `depth`.
        let before = self.shelf.count();
        let soon = self.counted(|tier| tier.wait() <= span).await?;
        let leased = before.max(self.shelf.count()) as u64;
        Ok(soon.0.saturating_add(soon.1).saturating_add(leased))
    }

    fn count_lag(&self) -> Duration {
        // The broker counts only what is ready, and after a restart nothing for some seconds; what moves from a tier to the
        // queue is counted nowhere meanwhile.
        Duration::from_secs(3)
    }

    async fn close(&self) {
        self.stop.cancel();
        let state = std::mem::replace(&mut *self.intake_state(), IntakeState::Closed);
        if let IntakeState::Running(task) = state {
            // It ends by itself; a panic in it was reported where it happened.
            let _ended = task.await;
        }
        self.shelf.close();
    }
}

fn delivery(held: &Held) -> Delivery {
    let properties = &held.properties;
    let sent_at = properties.timestamp().and_then(|secs| Timestamp::from_second(i64::try_from(secs).ok()?).ok());
    Delivery {
        lease: held.lease(),
        message: Message {
            id: properties.message_id().as_ref().map(|id| id.as_str().to_owned()),
            body: held.body.clone(),
            attributes: headers::attributes(properties),
        },
        attempts: headers::count(properties, ATTEMPTS),
        unfinished: held.unfinished,
        sent_at,
    }
}

fn letter(message: &Outgoing, queue: ShortString) -> Result<Letter, QueueError> {
    let short = |what: &str, text: &str| {
        let too_long = || QueueError::Refused(format!("a message's {what} has more than 255 bytes"));
        ShortString::try_new(text).map_err(|_| too_long())
    };
    let mut table = FieldTable::default();
    for (name, value) in &message.attributes {
        table.insert(short("attribute name", name)?, AMQPValue::LongString(value.as_bytes().into()));
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(short("id", &message.id)?)
        .with_timestamp(u64::try_from(Timestamp::now().as_second()).unwrap_or(0))
        .with_headers(table);
    Ok(Letter::to_queue(queue, properties, message.body.clone()))
}
