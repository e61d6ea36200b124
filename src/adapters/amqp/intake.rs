//! The way in: consumes the task queue, and goes on doing so whatever happens to the broker.
//!
//! It is one task with four states: connecting, consuming, resting, waiting for the next try. When its channel ends, for
//! whatever reason (the connection broke, the broker closed the channel or cancelled the consumer), all deliveries in
//! hand are lost to us and come again; it drops them, connects anew and goes on. It rests, and gives back what it took
//! ahead, while nobody receives: a worker that pauses hides no message from the others. A delivery that is back before
//! its time goes on to another tier, and a parcel is unpacked, without being handed out.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lapin::message::Delivery as Delivered;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::connection::{Backoff, Link, SharedLink, answered};
use super::headers;
use super::returning::{GIVE_BACK_LIMIT, Returning};
use super::settle::Settler;
use super::shelf::{Held, Shelf};
use super::topology::Topology;
use super::trouble::Trouble;

/// A connection that lived as long is not counted as a failed try when it ends.
const STABLE: Duration = Duration::from_secs(10);

/// How many bytes of bodies may be in hand while many messages are taken because of a crowd. The broker counts messages only, and a
/// crowd's are small; when there are large ones among them, few are taken at once. Below a quarter of it many are again.
const CROWD_BYTES_MAX: usize = 16 << 20;

/// How often it is looked whether there is a crowd.
const LOOK_FOR_CROWDS: Duration = Duration::from_millis(100);

/// Consumes one queue.
pub(super) struct Intake {
    pub(super) address: Address,
    pub(super) topology: Topology,
    pub(super) queue: ShortString,
    pub(super) prefetch: u16,
    pub(super) prefetch_in_a_crowd: u16,
    pub(super) shelf: Arc<Shelf>,
    pub(super) settler: Arc<Settler>,
    pub(super) returning: Arc<Returning>,
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
        Ok((Arc::new(link), channel))
    }

    /// Consumes and rests by turns on one channel; `Ok` when we were stopped, else why the channel ended.
    async fn work(&self, link: SharedLink, channel: Channel) -> Result<(), Trouble> {
        let mut session = Session { epoch: 0, returning: JoinSet::new(), channel: channel.clone() };
        let consuming = self.consume(&channel).await?;
        session.epoch = self.shelf.begin(channel, link);
        let mut first = Some(consuming);
        loop {
            let consuming = match first.take() {
                Some(first) => first,
                None => self.consume(&session.channel).await?,
            };
            self.take_in(consuming, &mut session).await?;
            if self.stop.run_until_cancelled(self.shelf.wanted()).await.is_none() {
                self.leave(&mut session).await;
                return Ok(());
            }
        }
    }

    /// Consumes with the prefetch that is right just now: the broker's count is a consumer's.
    async fn consume(&self, channel: &Channel) -> Result<Consuming, Trouble> {
        let in_a_crowd = self.takes_many(false);
        let prefetch = if in_a_crowd { self.prefetch_in_a_crowd } else { self.prefetch };
        let setting = channel.basic_qos(prefetch, BasicQosOptions::default());
        answered(|| channel.status().connected(), setting).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let consuming = channel.basic_consume(self.queue.clone(), ShortString::default(), options, arguments);
        let consumer = answered(|| channel.status().connected(), consuming).await;
        Ok(Consuming { consumer: consumer.map_err(|trouble| trouble.at(self.queue.as_str()))?, in_a_crowd })
    }

    /// Takes deliveries until nobody wants them, another prefetch is right, or we are stopped.
    async fn take_in(
        &self, Consuming { mut consumer, in_a_crowd }: Consuming, session: &mut Session,
    ) -> Result<(), Trouble> {
        let mut look = interval(LOOK_FOR_CROWDS);
        loop {
            while session.returning.try_join_next().is_some() {}
            let next = tokio::select! {
                next = consumer.next() => next,
                () = self.stop.cancelled() => return self.give_back(consumer, session).await,
                () = self.shelf.unwanted() => return self.give_back(consumer, session).await,
                _ = look.tick() => {
                    if self.takes_many(in_a_crowd) == in_a_crowd {
                        continue;
                    }
                    if self.shelf.bytes() > CROWD_BYTES_MAX {
                        self.settler.packing.disperse();
                    }
                    self.end(consumer, session).await?;
                    if in_a_crowd {
                        self.give_back_unworked().await;
                    }
                    return Ok(());
                }
            };
            match next {
                Some(Ok(delivered)) => self.accept(delivered, session),
                Some(Err(error)) => return Err(ended(error)),
                None => return Err(Trouble::Away("the broker cancelled our consumer".to_owned())),
            }
        }
    }

    /// Whether many messages are to be taken at once, which they are or not until now.
    fn takes_many(&self, until_now: bool) -> bool {
        let bytes_max = if until_now { CROWD_BYTES_MAX } else { CROWD_BYTES_MAX / 4 };
        let is_wider = self.prefetch_in_a_crowd > self.prefetch;
        is_wider && self.settler.packing.is_crowded() && self.shelf.bytes() <= bytes_max
    }

    fn accept(&self, delivered: Delivered, session: &mut Session) {
        let held = Arc::new(held(session.epoch, delivered));
        self.shelf.keep(Arc::clone(&held));
        if self.returning.is_for_us(&held) {
            session.returning.spawn(Arc::clone(&self.returning).take(held));
        } else {
            self.shelf.offer(&held);
        }
    }

    /// Ends a consumer, and takes what was on its way.
    async fn end(&self, mut consumer: Consumer, session: &mut Session) -> Result<(), Trouble> {
        let cancelling = session.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
        let cancelled = timeout(GIVE_BACK_LIMIT, cancelling).await;
        cancelled.map_err(|_| Trouble::Away("the broker did not end our consumer".to_owned()))?.map_err(ended)?;
        while let Some(delivered) = consumer.next().await {
            self.accept(delivered.map_err(ended)?, session);
        }
        Ok(())
    }

    /// Takes no more, and gives back what nobody has begun to work on.
    async fn give_back(&self, consumer: Consumer, session: &mut Session) -> Result<(), Trouble> {
        self.end(consumer, session).await?;
        self.give_back_unworked().await;
        Ok(())
    }

    async fn give_back_unworked(&self) {
        let unworked = self.shelf.clear();
        futures::future::join_all(unworked.iter().map(|held| async {
            // What cannot be given back now goes back with the channel.
            let _given = timeout(GIVE_BACK_LIMIT, self.settler.give_back_unworked(held)).await;
            self.shelf.remove(held);
        }))
        .await;
    }

    /// Hands out nothing any more, now that we are stopped.
    async fn leave(&self, session: &mut Session) {
        self.shelf.close();
        // What is half-way unpacked would else be there twice.
        let _ended = timeout(GIVE_BACK_LIMIT, async { while session.returning.join_next().await.is_some() {} }).await;
        self.give_back_unworked().await;
    }
}

/// A consumer, and for what its prefetch is.
struct Consuming {
    consumer: Consumer,
    in_a_crowd: bool,
}

/// What belongs to one channel.
struct Session {
    epoch: u64,
    channel: Channel,
    /// Dropped with the session: what is sent on or unpacked ends with the channel of its delivery.
    returning: JoinSet<()>,
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
