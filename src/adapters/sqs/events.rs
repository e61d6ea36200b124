//! Completions, as messages on a queue of their own.

use std::time::Duration;

use async_trait::async_trait;

use super::SqsEventOptions;
use super::address::{Address, BadQueueUrl};
use super::attributes::Value;
use super::batch::{Batcher, Sends};
use super::client::{ClientOptions, client};
use super::letter::Letter;
use super::queue::post;
use super::requests::Remote;
use super::trouble::Trouble;
use crate::ports::publisher::{Event, PublishError, Publisher};

/// Puts completions on a queue, with their id, type and team beside them.
pub struct SqsPublisher {
    queue: Remote,
    sends: Batcher<Sends>,
}

impl SqsPublisher {
    /// Makes it; nothing is asked yet.
    ///
    /// # Errors
    /// When the URL cannot be a queue's.
    pub fn new(options: &SqsEventOptions) -> Result<Self, BadQueueUrl> {
        let address = Address::parse(&options.queue_url)?;
        let made_of = ClientOptions {
            sdk: &options.sdk,
            endpoint_url: options.endpoint_url.as_deref(),
            region: options.region.as_deref(),
            poll_wait: Duration::ZERO,
        };
        let (client, _) = client(&address, &made_of);
        let queue = Remote { client, url: address.url, fifo: address.fifo };
        Ok(Self { sends: Batcher::new(queue.clone()), queue })
    }
}

#[async_trait]
impl Publisher for SqsPublisher {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let mut attributes =
            vec![("id", event.id.as_str()), ("type", event.kind.as_str()), ("team", event.team.as_str())];
        attributes.extend(event.traceparent.as_deref().map(|parent| ("traceparent", parent)));
        let body = String::from_utf8(event.body.to_vec());
        let letter = Letter {
            body: body.map_err(|_| Trouble::Refused("an event's body is no text".to_owned()))?,
            attributes: attributes.into_iter().map(|(name, value)| (name.to_owned(), Value::text(value))).collect(),
            trace: None,
            group: Some(event.team.as_str().to_owned()),
        };
        let mut post = post(letter, Duration::ZERO, &[], &self.queue);
        post.delay_secs = None;
        // The one id that must be the same each time: receivers know events by it.
        post.deduplication_id.clone_from(&event.id);
        self.sends.ask(post).await?;
        Ok(())
    }
}
