//! The way out: messages that are published, confirmed and known to lie in a queue.
//!
//! It publishes on a connection of its own, since a broker short of memory stops reading from those that publish.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::time::{Instant, timeout};

use super::address::Address;
use super::connection::{Backoff, Link, SharedLink};
use super::post::Post;
use super::topology::Topology;
use super::trouble::Trouble;

/// How long a message may take from our hands to the broker's confirm.
const CONFIRM_LIMIT: Duration = Duration::from_secs(30);

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
    Open(Arc<Post>),
    /// The last try failed; the next one waits.
    Down { cause: Trouble, until: Instant, backoff: Backoff },
}

/// Publishes messages.
pub(super) struct Outbox {
    address: Address,
    topology: Topology,
    purpose: &'static str,
    state: tokio::sync::Mutex<State>,
}

impl Outbox {
    /// Makes an outbox; it connects when it is first used.
    pub(super) fn new(address: Address, topology: Topology, purpose: &'static str) -> Self {
        let state = tokio::sync::Mutex::new(State::Unopened(Backoff::default()));
        Self { address, topology, purpose, state }
    }

    /// Publishes `letter`; `Ok` once the broker has it safely in a queue. Dropped, it may or may not have gone out.
    pub(super) async fn publish(&self, letter: &Letter) -> Result<(), Trouble> {
        let sending = async {
            let post = self.post().await?;
            let sent = post.publish(letter.clone()).await;
            if sent.as_ref().is_err_and(|trouble| letter.target_is_gone(trouble)) {
                // A new connection looks for the topology again, or makes it.
                self.forget(&post.link).await;
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
        self.post().await.map(|post| Arc::clone(&post.link))
    }

    async fn post(&self) -> Result<Arc<Post>, Trouble> {
        let mut state = self.state.lock().await;
        let mut backoff = match &*state {
            State::Open(post) if post.link.is_open() => return Ok(Arc::clone(post)),
            State::Open(_) => Backoff::default(),
            State::Unopened(backoff) => *backoff,
            State::Down { cause, until, .. } if Instant::now() < *until => return Err(cause.clone()),
            State::Down { backoff, .. } => *backoff,
        };
        match self.open().await {
            Ok(post) => {
                if backoff.tries() > 0 {
                    tracing::info!("publishing to {} again", self.address);
                }
                *state = State::Open(Arc::clone(&post));
                Ok(post)
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

    async fn open(&self) -> Result<Arc<Post>, Trouble> {
        let link = Link::open(&self.address, self.purpose).await?;
        self.topology.ensure(&link).await?;
        Ok(Post::new(Arc::new(link)))
    }

    /// Gives up the connection: what it relied on is gone.
    pub(super) async fn forget(&self, link: &SharedLink) {
        let mut state = self.state.lock().await;
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(&open.link, link)) {
            *state = State::Unopened(Backoff::default());
        }
    }
}
