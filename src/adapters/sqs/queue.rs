//! The task queue: what its parts share, and the port.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::SqsOptions;
use super::address::{Address, BadQueueUrl};
use super::batch::{Batcher, Deletes, Hides, Sends};
use super::client::{ClientOptions, Counter, client};
use super::held::Hand;
use super::intake::Intake;
use super::letter::Letter;
use super::pace::pause_after;
use super::parcel::Parcel;
use super::requests::{Post, Remote};
use super::stored::Stored;
use super::terms::{self, Terms};
use super::trouble::Trouble;
use super::waiting::Waiting;
use crate::domain::digest::Sha256;
use crate::domain::settlement::Settlement;
use crate::ports::clock::Clock;
use crate::ports::queue::{Delivery, Depth, Extended, Lease, Order, Outgoing, Queue, QueueError};

/// How often entries of a batch that SQS did not take are sent again before the caller hears of it.
const SEND_TRIES: u32 = 4;

/// A task queue on SQS.
pub struct SqsQueue(Arc<Core>);

/// What the parts of the adapter share.
pub(super) struct Core {
    pub(super) queue: Remote,
    pub(super) dead: Remote,
    pub(super) sends: Batcher<Sends>,
    pub(super) buries: Batcher<Sends>,
    pub(super) deletes: Batcher<Deletes>,
    pub(super) hides: Batcher<Hides>,
    pub(super) stored: Stored,
    pub(super) hand: Hand,
    pub(super) intake: Intake,
    pub(super) waiting: Waiting,
    pub(super) lease: Duration,
    pub(super) poll_wait: Duration,
    pub(super) clock: Clock,
    pub(super) name: Option<&'static str>,
    terms: OnceCell<Terms>,
    counter: Counter,
}

impl Core {
    pub(super) fn new(options: &SqsOptions) -> Result<Self, BadQueueUrl> {
        let address = Address::parse(&options.queue_url)?;
        let dead = Address::parse(&options.dead_letter_url)?;
        let made_of = ClientOptions {
            sdk: &options.sdk,
            endpoint_url: options.endpoint_url.as_deref(),
            region: options.region.as_deref(),
            poll_wait: options.poll_wait,
        };
        let (client, counter) = client(&address, &made_of);
        let remote = |address: Address| Remote { client: client.clone(), url: address.url, fifo: address.fifo };
        let (queue, dead) = (remote(address), remote(dead));
        Ok(Self {
            sends: Batcher::new(queue.clone()),
            buries: Batcher::new(dead.clone()),
            deletes: Batcher::new(queue.clone()),
            hides: Batcher::new(queue.clone()),
            queue,
            dead,
            stored: Stored(options.store.clone()),
            hand: Hand::default(),
            intake: Intake::new(options.read_ahead),
            waiting: Waiting::default(),
            lease: options.lease.clamp(Duration::from_secs(1), Duration::from_secs(43_200)),
            poll_wait: options.poll_wait.min(Duration::from_secs(20)),
            clock: options.clock,
            name: options.name,
            terms: OnceCell::new(),
            counter,
        })
    }

    /// What we know of the queue; read and checked once.
    pub(super) async fn terms(&self) -> Result<Terms, Trouble> {
        self.terms.get_or_try_init(|| terms::checked(&self.queue, &self.dead, self.name)).await.copied()
    }

    /// Sends posts, again where SQS did not take one, and says why where it never did.
    async fn send_all(&self, mut posts: Vec<Post>) -> Result<(), Trouble> {
        for round in 1.. {
            let outcomes = self.sends.ask_all(posts.clone()).await;
            let failed = posts.into_iter().zip(outcomes);
            let failed: Vec<_> = failed.filter_map(|(post, outcome)| Some((post, outcome.err()?))).collect();
            let Some((_, trouble)) = failed.first() else {
                break;
            };
            let is_final = |trouble: &Trouble| matches!(trouble, Trouble::Refused(_));
            if round >= SEND_TRIES || failed.iter().any(|(_, trouble)| is_final(trouble)) {
                return Err(trouble.clone());
            }
            posts = failed.into_iter().map(|(post, _)| post).collect();
            sleep(pause_after(round)).await;
        }
        Ok(())
    }
}

/// Makes a letter ready for a queue: FIFO queues need a group, and every group must be a name that SQS takes.
pub(super) fn post(mut letter: Letter, delay: Duration, deduplicated_by: &[&str], queue: &Remote) -> Post {
    let parts: Vec<&[u8]> = deduplicated_by.iter().map(|part| part.as_bytes()).collect();
    let deduplication_id = Sha256::of_parts(&parts).to_string();
    letter.group = match letter.group.take() {
        Some(group) if is_group(&group) => Some(group),
        Some(group) if !group.is_empty() => Some(Sha256::of_parts(&[group.as_bytes()]).to_string()),
        // Without a group nothing asks for an order: each message has one of its own.
        Some(_) | None => queue.fifo.then(|| deduplication_id.clone()),
    };
    Post { letter, delay_secs: (!queue.fifo).then(|| whole_secs(delay).min(900)), deduplication_id }
}

fn is_group(group: &str) -> bool {
    (1..=128).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whole seconds, rounded up: what waits for them comes not before its time.
pub(super) fn whole_secs(span: Duration) -> i32 {
    let secs = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    i32::try_from(secs).unwrap_or(i32::MAX)
}

impl SqsQueue {
    /// Makes it; nothing is asked yet.
    ///
    /// # Errors
    /// When a URL cannot be a queue's.
    pub fn new(options: &SqsOptions) -> Result<Self, BadQueueUrl> {
        Ok(Self(Arc::new(Core::new(options)?)))
    }

    /// Checks the queues' settings; the first receive does so too. May be repeated, and asks only until it succeeded.
    ///
    /// # Errors
    /// `Refused`: a queue that is not there, a redrive policy that takes messages away too early, or a dead-letter queue of
    /// another type. `Unavailable`: nothing is known.
    pub async fn check(&self) -> Result<(), QueueError> {
        self.0.terms().await?;
        Ok(())
    }

    /// How many requests were made so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.counter.get()
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        Ok(self.0.receive(room).await?)
    }

    fn order(&self) -> Order {
        // A FIFO queue goes by group, and its order is a promise.
        if self.0.queue.fifo { Order::Own } else { Order::AsSentAndPaid }
    }

    fn lease_length(&self) -> Duration {
        self.0.lease
    }

    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        Ok(self.0.extend(leases).await)
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        Ok(self.0.settle(lease, settlement).await?)
    }

    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        let mut posts = Vec::with_capacity(messages.len());
        for message in messages {
            let letter = self.0.stored.letter(&Parcel::new(message, self.0.clock.now())).await?;
            // New at each call, the same where one entry of a batch is sent again.
            let unique = Uuid::new_v4().to_string();
            let by = ["send", message.id.as_str(), &unique];
            let mut post = post(letter, Duration::ZERO, &by, &self.0.queue);
            // A delay of the queue's own holds for what is new.
            post.delay_secs = None;
            posts.push(post);
        }
        Ok(self.0.send_all(posts).await?)
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let depth = self.0.counted().await?;
        Ok(self.0.waiting.corrected(depth, self.0.clock.now()))
    }

    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        let depth = self.0.counted().await?;
        let end = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        let now = self.0.clock.now();
        let end = now.checked_add(end).unwrap_or(Timestamp::MAX);
        Ok(self.0.waiting.due(depth, now, end))
    }

    fn count_lag(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn close(&self) {
        let end = Instant::now() + self.0.poll_wait + Duration::from_secs(2);
        self.0.close(end).await;
    }
}

impl Core {
    /// Counts as SQS does.
    async fn counted(&self) -> Result<Depth, Trouble> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let counts = self.queue.attributes(names).await?;
        let [visible, leased, delayed] = counts.map(|text| text.and_then(|text| text.parse().ok()).unwrap_or(0));
        Ok(Depth { visible, leased, delayed })
    }
}
