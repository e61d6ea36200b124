//! Amazon SQS: the task queue, its dead letters, and a queue for completions, standard and FIFO alike.
//!
//! What it promises beyond the ports: whatever changes about a message (a counted attempt, a long wait, its end as a dead
//! letter) is written as a copy before the original is deleted; a throttled or absent SQS is asked with growing, jittered
//! pauses; deletes, sends and extensions travel in batches, so that a busy worker needs less than one request for two
//! messages. What it does not do: create or change queues, order messages, or count attempts by SQS's own receive count,
//! which only says how often a delivery began.
//!
//! A message's way: [`intake`] polls and sorts out what is not due, [`held`] remembers what is in hand, [`settle`] ends it.
//! [`parcel`] is a message between two requests and [`letter`] its form on the wire: read these two next.

mod address;
mod attributes;
mod batch;
mod client;
mod dead;
mod events;
mod held;
mod intake;
mod letter;
mod overflow;
mod pace;
mod parcel;
mod queue;
mod requests;
mod settle;
mod stored;
mod sweep;
mod terms;
mod trace;
mod trouble;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;

pub use address::BadQueueUrl;
pub use dead::SqsDeadLetters;
pub use events::SqsPublisher;
pub use queue::SqsQueue;

use crate::ports::clock::Clock;
use crate::ports::store::Store;

/// How to reach a queue and its dead letters.
#[derive(Clone)]
pub struct SqsOptions {
    /// The queue: `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, or an emulator's URL.
    pub queue_url: String,
    /// Where dead letters go: a queue of the same type.
    pub dead_letter_url: String,
    /// What its dead letters say of where they came from, for several queues that share a dead-letter queue; none for tasks.
    pub name: Option<&'static str>,
    /// The worker's own identity, HTTP client and defaults. Its retries and time-outs are not used.
    pub sdk: SdkConfig,
    /// Asked instead of the queue URLs' own host.
    pub endpoint_url: Option<String>,
    /// The region; without it the queue URL's, then that of [`SqsOptions::sdk`].
    pub region: Option<String>,
    /// How long a delivery stays ours without being extended: whole seconds, at least one, at most 12 h.
    pub lease: Duration,
    /// How long a poll waits for a first message: whole seconds, at most 20. Closing takes as long at most.
    pub poll_wait: Duration,
    /// How many messages may be received ahead of the room there is, 9 at most. They are only while so many were handed
    /// over within the last second; without any, each place that becomes free costs a request of its own.
    pub read_ahead: usize,
    /// Where copies and dead letters go that are too large for SQS beside what we write; without it they are refused.
    pub store: Option<Arc<dyn Store>>,
    /// The time of day.
    pub clock: Clock,
}

impl SqsOptions {
    /// Options with a lease of 2 min, polls of 5 s, 9 messages ahead, no store and the machine's clock.
    #[must_use]
    pub fn new(queue_url: &str, dead_letter_url: &str, sdk: SdkConfig) -> Self {
        Self {
            queue_url: queue_url.to_owned(),
            dead_letter_url: dead_letter_url.to_owned(),
            name: None,
            sdk,
            endpoint_url: None,
            region: None,
            lease: Duration::from_secs(120),
            poll_wait: Duration::from_secs(5),
            read_ahead: 9,
            store: None,
            clock: Clock::System,
        }
    }
}

impl fmt::Debug for SqsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the identity nor the store has anything to say in a log.
        f.debug_struct("SqsOptions")
            .field("queue_url", &self.queue_url)
            .field("dead_letter_url", &self.dead_letter_url)
            .field("endpoint_url", &self.endpoint_url)
            .field("region", &self.region)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// How to reach the queue for completions.
#[derive(Debug, Clone)]
pub struct SqsEventOptions {
    /// The queue.
    pub queue_url: String,
    /// As [`SqsOptions::sdk`].
    pub sdk: SdkConfig,
    /// As [`SqsOptions::endpoint_url`].
    pub endpoint_url: Option<String>,
    /// As [`SqsOptions::region`].
    pub region: Option<String>,
}
