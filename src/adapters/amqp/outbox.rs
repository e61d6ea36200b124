//! The way out: messages that are published, confirmed and known to lie in a queue.
//!
//! A broker says that a message had nowhere to go by sending it back, and then confirms it all the same. The client
//! library pins a returned message to whichever confirm comes next, so with two in flight on one channel the wrong one may
//! be told. Therefore each message in flight has a channel to itself; channels are kept and used again.
//! It publishes on a connection of its own, since a broker short of memory stops reading from those that publish.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::address::Address;
use super::connection::{Backoff, Link, SharedLink, answered};
use super::topology::Topology;
use super::trouble::Trouble;

/// How long a message may take from our hands to the broker's confirm.
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);

/// How many messages are in flight at most.
const IN_FLIGHT_MAX: usize = 128;

/// A message to publish.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// The exchange; empty for the one that knows all queues by name.
    pub(super) exchange: ShortString,
    /// The routing key.
    pub(super) key: ShortString,
    /// Whether a message that no queue takes is an error.
    pub(super) mandatory: bool,
    /// The properties.
    pub(super) properties: BasicProperties,
    /// The body.
    pub(super) body: Bytes,
}

impl Letter {
    /// A message to one queue.
    pub(super) fn to_queue(queue: ShortString, properties: BasicProperties, body: Bytes) -> Self {
        Self { exchange: ShortString::default(), key: queue, mandatory: true, properties, body }
    }

    /// Whether `trouble` means that our queue or exchange is not there any more. An event that comes back from an exchange
    /// only lacks a binding, which is not ours to make.
    fn target_is_gone(&self, trouble: &Trouble) -> bool {
        match trouble {
            Trouble::Refused(_) => true,
            Trouble::Returned(_) => self.exchange.as_str().is_empty(),
            Trouble::Away(_) | Trouble::Rejected(_) => false,
        }
    }
}

/// The connection in use, or why there is none.
enum State {
    /// Never tried, or just lost.
    Unopened(Backoff),
    /// In use.
    Open(Arc<Session>),
    /// The last try failed; the next one waits.
    Down { cause: Trouble, until: Instant, backoff: Backoff },
}

/// A connection with its channels that nobody uses just now.
struct Session {
    link: SharedLink,
    idle: Mutex<Vec<Channel>>,
}

/// Publishes messages.
pub(super) struct Outbox {
    address: Address,
    topology: Topology,
    purpose: &'static str,
    state: tokio::sync::Mutex<State>,
    in_flight: Semaphore,
}

impl Outbox {
    /// Makes an outbox; it connects when it is first used.
    pub(super) fn new(address: Address, topology: Topology, purpose: &'static str) -> Self {
        let state = tokio::sync::Mutex::new(State::Unopened(Backoff::default()));
        Self { address, topology, purpose, state, in_flight: Semaphore::new(IN_FLIGHT_MAX) }
    }

    /// Publishes `letter`; `Ok` once the broker has it safely in a queue. Dropped, it may or may not have gone out.
    pub(super) async fn publish(&self, letter: &Letter) -> Result<(), Trouble> {
        let sending = async {
            let _room = self.in_flight.acquire().await.expect("the semaphore is never closed");
            let session = self.session().await?;
            let sent = session.publish(letter).await;
            if sent.as_ref().is_err_and(|trouble| letter.target_is_gone(trouble)) {
                // A new connection looks for the topology again, or makes it.
                self.forget(&session.link).await;
            }
            sent
        };
        match timeout(CONFIRM_LIMIT, sending).await {
            Ok(sent) => sent,
            Err(_) => {
                let secs = CONFIRM_LIMIT.as_secs();
                Err(Trouble::Away(format!("the broker did not confirm a message within {secs} s")))
            }
        }
    }

    /// Returns the open connection, or opens one; all who wait share one try, and its failure for a while.
    pub(super) async fn link(&self) -> Result<SharedLink, Trouble> {
        self.session().await.map(|session| Arc::clone(&session.link))
    }

    async fn session(&self) -> Result<Arc<Session>, Trouble> {
        let mut state = self.state.lock().await;
        let mut backoff = match &*state {
            State::Open(session) if session.link.is_open() => return Ok(Arc::clone(session)),
            State::Open(_) => Backoff::default(),
            State::Unopened(backoff) => *backoff,
            State::Down { cause, until, .. } if Instant::now() < *until => return Err(cause.clone()),
            State::Down { backoff, .. } => *backoff,
        };
        match self.open().await {
            Ok(session) => {
                if backoff.tries() > 0 {
                    tracing::info!("publishing to {} again", self.address);
                }
                *state = State::Open(Arc::clone(&session));
                Ok(session)
            }
            Err(cause) => {
                if backoff.tries() == 0 {
                    tracing::warn!("cannot publish to the broker: {}", cause.text());
                }
                let until = Instant::now() + backoff.next_wait();
                *state = State::Down { cause: cause.clone(), until, backoff };
                Err(cause)
            }
        }
    }

    async fn open(&self) -> Result<Arc<Session>, Trouble> {
        let link = Link::open(&self.address, self.purpose).await?;
        self.topology.ensure(&link).await?;
        Ok(Arc::new(Session { link: Arc::new(link), idle: Mutex::default() }))
    }

    /// Gives up the connection: what it relied on is gone.
    pub(super) async fn forget(&self, link: &SharedLink) {
        let mut state = self.state.lock().await;
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(&open.link, link)) {
            *state = State::Unopened(Backoff::default());
        }
    }
}

impl Session {
    async fn publish(&self, letter: &Letter) -> Result<(), Trouble> {
        let channel = self.channel().await?;
        let options = BasicPublishOptions { mandatory: letter.mandatory, immediate: false };
        let (exchange, key) = (letter.exchange.clone(), letter.key.clone());
        let publishing = async {
            let properties = letter.properties.clone();
            channel.basic_publish(exchange, key, options, &letter.body, properties).await?.await
        };
        let confirmation = answered(|| channel.status().connected(), publishing).await?;
        // Only a channel whose message was answered may carry another one; dropped before, it is closed.
        self.idle().push(channel);
        verdict(confirmation, letter)
    }

    async fn channel(&self) -> Result<Channel, Trouble> {
        loop {
            let Some(channel) = self.idle().pop() else { break };
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = self.link.channel().await?;
        answered(|| self.link.is_open(), channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verdict(confirmation: Confirmation, letter: &Letter) -> Result<(), Trouble> {
    let (exchange, key) = (&letter.exchange, &letter.key);
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            let why = &returned.reply_text;
            Err(Trouble::Returned(format!("no queue takes `{key}` from the exchange `{exchange}`: {why}")))
        }
        Confirmation::Nack(None) => {
            Err(Trouble::Rejected(format!("a queue behind `{key}` of the exchange `{exchange}` is full")))
        }
        Confirmation::NotRequested => Err(Trouble::Away("the channel is not in confirm mode".to_owned())),
    }
}
