//! The way in: consumes the task queue, and goes on doing so whatever happens to the broker.
//!
//! It is one task with four states: connecting, consuming, resting, waiting for the next try. When its channel ends, for
//! whatever reason (the connection broke, the broker closed the channel or cancelled the consumer), all deliveries in
//! hand are lost to us and come again; it drops them, connects anew and goes on. It rests, and gives back what it took
//! ahead, while nobody receives: a worker that pauses hides no message from the others. A delivery that is back before
//! its time goes on to another tier without being handed out.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::message::Delivery as Delivered;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::connection::{Backoff, Link, SharedLink, answered};
use super::headers;
use super::settle::Settler;
use super::shelf::{Held, Shelf};
use super::topology::Topology;
use super::trouble::Trouble;
use crate::ports::queue::QueueError;

/// A connection that lived as long is not counted as a failed try when it ends.
const STABLE: Duration = Duration::from_secs(10);

/// A rest that is waited out in hand rather than in a tier.
const SHORT_REST: Duration = Duration::from_millis(250);

/// How long a copy that could not be made waits for the next try.
const COPY_AGAIN: Duration = Duration::from_secs(2);

/// How long the broker may take to end a consumer, and to take one message back.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(5);

/// Consumes one queue.
pub(super) struct Intake {
    pub(super) address: Address,
    pub(super) topology: Topology,
    pub(super) queue: ShortString,
    pub(super) prefetch: u16,
    pub(super) shelf: Arc<Shelf>,
    pub(super) settler: Arc<Settler>,
    pub(super) stop: CancellationToken,
}

impl Intake {
    /// Runs until it is stopped, and then gives back what was not handed out.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            let opening = async {
                self.shelf.wanted().await;
                self.open().await
            };
            let Some(opened) = self.stop.run_until_cancelled(opening).await else {
                return;
            };
            let cause = match opened {
                Ok((link, channel)) => {
                    if backoff.tries() > 0 {
                        tracing::info!("consuming {} again after {} tries", self.queue, backoff.tries());
                    }
                    let began = Instant::now();
                    let Err(cause) = self.work(link, channel).await else {
                        return;
                    };
                    if began.elapsed() >= STABLE {
                        backoff = Backoff::default();
                    }
                    cause
                }
                Err(cause) => cause,
            };
            let (link, lost) = self.shelf.end(cause.clone());
            drop(link);
            if backoff.tries() == 0 {
                tracing::warn!(lost, "not consuming {}, trying again: {}", self.queue, cause.text());
            }
            if self.stop.run_until_cancelled(sleep(backoff.next_wait())).await.is_none() {
                return;
            }
        }
    }

    async fn open(&self) -> Result<(SharedLink, Channel), Trouble> {
        let link = Link::open(&self.address, "consumer").await?;
        self.topology.ensure(&link).await?;
        let channel = link.channel().await?;
        let setting = channel.basic_qos(self.prefetch, BasicQosOptions::default());
        answered(|| link.is_open(), setting).await?;
        Ok((Arc::new(link), channel))
    }

    /// Consumes and rests by turns on one channel; `Ok` when we were stopped, else why the channel ended.
    async fn work(&self, link: SharedLink, channel: Channel) -> Result<(), Trouble> {
        let mut session = Session { epoch: 0, walks: JoinSet::new(), channel: channel.clone() };
        let consumer = self.consume(&channel).await?;
        session.epoch = self.shelf.begin(channel, link);
        let mut consumer = Some(consumer);
        loop {
            let consuming = match consumer.take() {
                Some(first) => first,
                None => self.consume(&session.channel).await?,
            };
            self.take_in(consuming, &mut session).await?;
            if self.stop.run_until_cancelled(self.shelf.wanted()).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn consume(&self, channel: &Channel) -> Result<Consumer, Trouble> {
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(self.queue.clone(), ShortString::default(), options, arguments);
        answered(|| channel.status().connected(), consuming).await.map_err(|trouble| trouble.at(self.queue.as_str()))
    }

    /// Takes deliveries until nobody wants them or we are stopped.
    async fn take_in(&self, mut consumer: Consumer, session: &mut Session) -> Result<(), Trouble> {
        loop {
            while session.walks.try_join_next().is_some() {}
            let next = tokio::select! {
                next = consumer.next() => next,
                () = self.stop.cancelled() => return self.give_back(consumer, session).await,
                () = self.shelf.unwanted() => return self.give_back(consumer, session).await,
            };
            match next {
                Some(Ok(delivered)) => self.accept(delivered, session),
                Some(Err(error)) => return Err(ended(error)),
                None => return Err(Trouble::Away("the broker cancelled our consumer".to_owned())),
            }
        }
    }

    fn accept(&self, delivered: Delivered, session: &mut Session) {
        let held = Arc::new(held(session.epoch, delivered));
        self.shelf.keep(Arc::clone(&held));
        if self.settler.rest_of(&held).is_zero() {
            self.shelf.offer(&held);
        } else {
            session.walks.spawn(walk(Arc::clone(&self.settler), Arc::clone(&self.shelf), held));
        }
    }

    /// Takes no more, and gives back what nobody has begun to work on.
    async fn give_back(&self, mut consumer: Consumer, session: &mut Session) -> Result<(), Trouble> {
        let cancelling = session.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        let cancelled = timeout(GIVE_BACK_LIMIT, cancelling).await;
        cancelled.map_err(|_| Trouble::Away("the broker did not end our consumer".to_owned()))?.map_err(ended)?;
        while let Some(delivered) = consumer.next().await {
            self.accept(delivered.map_err(ended)?, session);
        }
        if self.stop.is_cancelled() {
            self.shelf.close();
        }
        let unworked = self.shelf.clear();
        futures::future::join_all(unworked.iter().map(|held| async {
            // What cannot be given back now goes back with the channel.
            let _given = timeout(GIVE_BACK_LIMIT, self.settler.give_back_unworked(held)).await;
            self.shelf.remove(held);
        }))
        .await;
        Ok(())
    }
}

/// What belongs to one channel.
struct Session {
    epoch: u64,
    channel: Channel,
    /// Dropped with the session: a walk to another tier ends with the channel of its delivery.
    walks: JoinSet<()>,
}

/// Takes a delivery that is not due to another tier, or waits out a short rest.
async fn walk(settler: Arc<Settler>, shelf: Arc<Shelf>, held: Arc<Held>) {
    loop {
        let rest = settler.rest_of(&held);
        if rest <= SHORT_REST {
            sleep(rest).await;
            return shelf.offer(&held);
        }
        match settler.send_on(&held, rest).await {
            Ok(()) => return shelf.remove(&held),
            Err(QueueError::LeaseLost) => return,
            Err(QueueError::Unavailable(_) | QueueError::Refused(_)) => sleep(COPY_AGAIN).await,
        }
    }
}

fn held(epoch: u64, delivered: Delivered) -> Held {
    let unfinished = headers::unfinished(&delivered.properties, delivered.redelivered);
    Held {
        epoch,
        tag: delivered.delivery_tag,
        acker: delivered.acker,
        properties: delivered.properties,
        body: delivered.data.into(),
        unfinished,
    }
}

/// While we consume, even a final word of the broker may pass: a channel closed for a slow task opens again.
fn ended(error: lapin::Error) -> Trouble {
    Trouble::Away(Trouble::from(error).text().to_owned())
}
