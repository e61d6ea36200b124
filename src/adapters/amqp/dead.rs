//! The dead-letter queue as an operator works it.
//!
//! Each call opens a connection of its own and takes messages without acknowledging them; what was only looked at goes back
//! when the connection is closed, or breaks. While a call runs, those messages are hidden from others.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use lapin::message::BasicGetMessage;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel};
use tokio::time::sleep;

use super::AmqpOptions;
use super::address::{Address, BadAmqp};
use super::connection::{Link, answered};
use super::headers::{self, ATTEMPTS, BROKER_REASON, DETAIL, FAILED_AT, QUEUE, REASON};
use super::outbox::{Letter, Outbox};
use super::topology::{Queues, Topology, Wanted, checked_name, ready_messages};
use super::trouble::Trouble;
use crate::domain::digest::Sha256;
use crate::ports::queue::{Chosen, DeadLetters, DeadMessage, QueueError};

/// The dead letters of a task queue, and of others that share the dead-letter queue with it, on RabbitMQ. Connects anew for
/// each call.
pub struct AmqpDeadLetters {
    address: Address,
    topology: Topology,
    queues: Queues,
    others: Vec<ShortString>,
    outbox: Outbox,
}

/// How often messages are looked for that were named, and how long after each other: who names them has just looked at them, and a
/// broker has them in the queue again a moment after it has said so.
const LOOKS: usize = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What is done with a chosen message before it leaves the dead-letter queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Replay,
    Purge,
}

impl AmqpDeadLetters {
    /// Makes it; nothing is connected yet.
    ///
    /// # Errors
    /// [`BadAmqp`] when the URL or a name cannot be right.
    pub fn new(options: AmqpOptions) -> Result<Self, BadAmqp> {
        let address = Address::parse(&options.url, options.tls)?;
        let queues = Queues::new(&options.queue, &options.dead_letter)?;
        let topology = Topology { wanted: Wanted::Queues(queues.clone()), declare: options.declare };
        let outbox = Outbox::new(address.clone(), topology.clone(), "dead letters");
        Ok(Self { address, topology, queues, others: Vec::new(), outbox })
    }

    /// The same with another queue whose dead letters lie there too, and are put back on it.
    ///
    /// # Errors
    /// [`BadAmqp`] when the name cannot be right.
    pub fn with(mut self, queue: &str) -> Result<Self, BadAmqp> {
        self.others.push(checked_name("queue", queue)?);
        Ok(self)
    }

    /// The queue that a dead letter came from, as far as we know it.
    fn home_of(&self, properties: &BasicProperties) -> ShortString {
        let named = headers::text(properties, QUEUE);
        let other = self.others.iter().find(|other| named.as_deref() == Some(other.as_str()));
        other.unwrap_or(&self.queues.task).clone()
    }

    async fn open(&self) -> Result<(Link, Channel), Trouble> {
        let link = Link::open(&self.address, "dead letters").await?;
        self.topology.ensure(&link).await?;
        let channel = link.channel().await?;
        Ok((link, channel))
    }

    async fn get(&self, channel: &Channel) -> Result<Option<BasicGetMessage>, Trouble> {
        answered(
            || channel.status().connected(),
            channel.basic_get(self.queues.dead.clone(), BasicGetOptions::default()),
        )
        .await
    }

    async fn look(&self, channel: &Channel, limit: usize) -> Result<Vec<DeadMessage>, Trouble> {
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(got) = self.get(channel).await? else {
                break;
            };
            found.push(dead_message(&got));
        }
        // Two calls at once give their messages back in any order.
        found.sort_by_key(|(message, _)| message.failed_at);
        Ok(with_short_ids(found))
    }

    async fn dispose(&self, channel: &Channel, chosen: &Chosen, fate: Fate) -> Result<u64, Trouble> {
        // What is dead-lettered while we work is left for the next call: a replay may fail at once and come back.
        let there = ready_messages(channel, self.queues.dead.clone()).await?;
        let mut disposed = 0;
        for _ in 0..there {
            let Some(got) = self.get(channel).await? else {
                break;
            };
            if !is_chosen(chosen, &got) {
                continue;
            }
            if fate == Fate::Replay {
                let properties = headers::copied(&got.delivery.properties, &[]);
                let body = got.delivery.data.clone().into();
                self.outbox
                    .publish(&Letter::to_queue(self.home_of(&got.delivery.properties), properties, body))
                    .await?;
            }
            let acker = &got.delivery.acker;
            if !answered(|| !acker.poisoned(), acker.ack(BasicAckOptions::default())).await? {
                return Err(Trouble::Away("the connection broke before a message was acknowledged".to_owned()));
            }
            disposed += 1;
        }
        Ok(disposed)
    }

    async fn dispose_of(&self, chosen: &Chosen, fate: Fate) -> Result<u64, QueueError> {
        let mut disposed = self.dispose_once(chosen, fate).await?;
        let Chosen::Ids(ids) = chosen else { return Ok(disposed) };
        for _ in 1..LOOKS {
            if disposed >= ids.len() as u64 {
                break;
            }
            sleep(LOOK_AGAIN).await;
            disposed += self.dispose_once(chosen, fate).await?;
        }
        Ok(disposed)
    }

    async fn dispose_once(&self, chosen: &Chosen, fate: Fate) -> Result<u64, QueueError> {
        let (link, channel) = self.open().await?;
        let disposed = self.dispose(&channel, chosen, fate).await;
        put_back(link, &channel).await;
        Ok(disposed?)
    }
}

#[async_trait]
impl DeadLetters for AmqpDeadLetters {
    async fn list(&self, limit: usize) -> Result<Vec<DeadMessage>, QueueError> {
        let (link, channel) = self.open().await?;
        let found = self.look(&channel, limit).await;
        put_back(link, &channel).await;
        Ok(found?)
    }

    async fn replay(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        self.dispose_of(chosen, Fate::Replay).await
    }

    async fn purge(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        self.dispose_of(chosen, Fate::Purge).await
    }
}

/// Gives back all that was not acknowledged, and ends the connection in good order, so that the next call finds it there.
async fn put_back(link: Link, channel: &Channel) {
    const ALL_ON_THIS_CHANNEL: u64 = 0;
    let options = BasicNackOptions { multiple: true, requeue: true };
    // Without an answer the messages go back when the broker notices that the connection is gone.
    let _given = answered(|| link.is_open(), channel.basic_nack(ALL_ON_THIS_CHANNEL, options)).await;
    let _closed = answered(|| link.is_open(), channel.close(200, "done".into())).await;
    link.close().await;
}

fn is_chosen(chosen: &Chosen, got: &BasicGetMessage) -> bool {
    match chosen {
        Chosen::All => true,
        Chosen::Ids(ids) => {
            let digest = digest_id(got);
            ids.iter().any(|id| *id == digest || message_id(&got.delivery.properties) == Some(id))
        }
    }
}

fn message_id(properties: &BasicProperties) -> Option<&str> {
    properties.message_id().as_ref().map(|id| id.as_str()).filter(|id| !id.is_empty())
}

/// Returns an id that tells messages of one sender's id apart, and is the same each time a message is looked at.
fn digest_id(got: &BasicGetMessage) -> String {
    let properties = &got.delivery.properties;
    let attributes: Vec<String> =
        headers::attributes(properties).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let own = [FAILED_AT, REASON, DETAIL, ATTEMPTS].map(|name| headers::text(properties, name).unwrap_or_default());
    let mut parts: Vec<&[u8]> = vec![&got.delivery.data, message_id(properties).unwrap_or_default().as_bytes()];
    parts.extend(own.iter().chain(&attributes).map(String::as_bytes));
    let mut digits = Sha256::of_parts(&parts).to_string();
    digits.truncate(16);
    digits
}

/// Reads a dead letter; its id is the digest for now, its attributes hold what the sender wrote.
fn dead_message(got: &BasicGetMessage) -> (DeadMessage, Option<String>) {
    let properties = &got.delivery.properties;
    // What lies here without a reason of ours was put here by the broker, or by hand.
    let reason = headers::text(properties, REASON).or_else(|| headers::text(properties, BROKER_REASON));
    let message = DeadMessage {
        id: digest_id(got),
        reason: reason.unwrap_or_else(|| "unknown".to_owned()),
        detail: headers::text(properties, DETAIL).unwrap_or_default(),
        attempts: headers::count(properties, ATTEMPTS),
        failed_at: headers::text(properties, FAILED_AT).and_then(|text| text.parse().ok()),
        body: got.delivery.data.clone().into(),
        attributes: headers::attributes(properties),
    };
    (message, message_id(properties).map(str::to_owned))
}

/// Names each message by its sender's id where that is one message's only.
fn with_short_ids(found: Vec<(DeadMessage, Option<String>)>) -> Vec<DeadMessage> {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for (_, id) in &found {
        if let Some(id) = id {
            *uses.entry(id.clone()).or_default() += 1;
        }
    }
    let named = found.into_iter().map(|(mut message, id)| {
        if let Some(id) = id.filter(|id| uses.get(id) == Some(&1)) {
            message.id = id;
        }
        message
    });
    named.collect()
}
