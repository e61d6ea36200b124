//! Pairs of queues that exist for one test, and clients of them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName};
use longshore::adapters::sqs::{SqsDeadLetters, SqsOptions, SqsQueue};
use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{Delivery, Depth, Extended, Lease, Order, Outgoing, Queue, QueueError};
use longshore::testing::contracts::queue::{Client, QueueFixture};
use uuid::Uuid;

use crate::bed;

/// The type of a pair of queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Standard,
    Fifo,
}

/// A task queue and its dead-letter queue, deleted when the last user is gone.
pub(crate) struct Pair {
    pub(crate) sdk: SdkConfig,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) task: String,
    pub(crate) dead: String,
}

/// The identity of an account of the emulator, as the adapter takes it.
pub(crate) async fn identity() -> SdkConfig {
    bed::require("ministack");
    let root = Credentials::new("111122223333", "test", None, None, "test");
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(root))
        .endpoint_url(bed::ministack_endpoint())
        .load()
        .await
}

impl Pair {
    pub(crate) async fn new(kind: Kind) -> Arc<Self> {
        Self::with(kind, &[]).await
    }

    /// A pair whose task queue has these settings besides.
    pub(crate) async fn with(kind: Kind, settings: &[(QueueAttributeName, &str)]) -> Arc<Self> {
        let sdk = identity().await;
        let sqs = aws_sdk_sqs::Client::new(&sdk);
        let name = Uuid::new_v4().simple().to_string();
        let task = create(&sqs, &format!("t-{name}"), kind, settings).await;
        let dead = create(&sqs, &format!("d-{name}"), kind, &[]).await;
        Arc::new(Self { sdk, sqs, task, dead })
    }

    pub(crate) fn options(&self) -> SqsOptions {
        SqsOptions { poll_wait: Duration::from_secs(1), ..SqsOptions::new(&self.task, &self.dead, self.sdk.clone()) }
    }

    pub(crate) fn queue(&self) -> SqsQueue {
        SqsQueue::new(&self.options()).unwrap()
    }

    pub(crate) fn dead_letters(&self) -> SqsDeadLetters {
        SqsDeadLetters::new(&self.options()).unwrap()
    }

    /// Sends a message as another system would.
    pub(crate) async fn send(&self, body: &str, attributes: &[(&str, &str)]) {
        let mut sent = self.sqs.send_message().queue_url(&self.task).message_body(body);
        for (name, text) in attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(*text);
            sent = sent.message_attributes(*name, value.build().unwrap());
        }
        if self.task.ends_with(".fifo") {
            sent = sent.message_group_id("acme").message_deduplication_id(Uuid::new_v4().to_string());
        }
        sent.send().await.unwrap();
    }

    /// Looks at one queue's messages as another system would, and leaves them hidden.
    pub(crate) async fn look(&self, url: &str) -> Vec<Message> {
        let asked = self.sqs.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(30);
        let asked = asked.message_attribute_names("All").wait_time_seconds(2);
        let asked = asked.message_system_attribute_names(MessageSystemAttributeName::All);
        asked.send().await.unwrap().messages.unwrap_or_default()
    }
}

/// Makes a queue and returns its URL.
pub(crate) async fn create(
    sqs: &aws_sdk_sqs::Client, name: &str, kind: Kind, settings: &[(QueueAttributeName, &str)],
) -> String {
    let mut asked = sqs.create_queue();
    asked = match kind {
        Kind::Standard => asked.queue_name(name),
        Kind::Fifo => asked.queue_name(format!("{name}.fifo")).attributes(QueueAttributeName::FifoQueue, "true"),
    };
    for (setting, value) in settings {
        asked = asked.attributes(setting.clone(), *value);
    }
    asked.send().await.unwrap().queue_url.unwrap()
}

impl Drop for Pair {
    fn drop(&mut self) {
        let (sdk, urls) = (self.sdk.clone(), [self.task.clone(), self.dead.clone()]);
        // The test's own runtime may be about to end.
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let sqs = aws_sdk_sqs::Client::new(&sdk);
                for url in urls {
                    // A test that killed the emulator has nothing left to delete.
                    let _ = sqs.delete_queue().queue_url(url).send().await;
                }
            });
        };
        let _ = std::thread::spawn(delete).join();
    }
}

/// The text of an attribute of a message that was looked at.
pub(crate) fn attribute<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.message_attributes()?.get(name)?.string_value()
}

/// Receives until something comes.
pub(crate) async fn take_one(queue: &dyn Queue) -> Delivery {
    for _ in 0..30 {
        if let Some(delivery) = queue.receive(1).await.unwrap().pop() {
            return delivery;
        }
    }
    panic!("no message came within 30 polls");
}

/// A client of a pair of queues, with what the contract needs around it.
struct Contract {
    queue: SqsQueue,
    fifo: bool,
    _pair: Arc<Pair>,
}

#[async_trait]
impl Queue for Contract {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        self.queue.receive(room).await
    }

    fn order(&self) -> Order {
        self.queue.order()
    }
    fn lease_length(&self) -> Duration {
        self.queue.lease_length()
    }

    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        self.queue.extend(leases).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        self.queue.settle(lease, settlement).await
    }

    /// The contract knows no groups that wait for each other, which is what FIFO queues make of a common group.
    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        let mut messages = messages.to_vec();
        for message in messages.iter_mut().filter(|_| self.fifo) {
            message.group = Some(message.id.clone());
        }
        self.queue.send(&messages).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth().await
    }

    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        self.queue.due(span).await
    }

    fn count_lag(&self) -> Duration {
        self.queue.count_lag()
    }

    async fn close(&self) {
        self.queue.close().await;
    }
}

/// Standard queues for the contract.
pub(crate) struct Standard(Arc<Pair>, Duration);
/// FIFO queues for the contract.
pub(crate) struct Fifo(Arc<Pair>, Duration);

fn client(pair: &Arc<Pair>, lease: Duration, fifo: bool) -> Client {
    let options = SqsOptions { lease, ..pair.options() };
    let queue = Contract { queue: SqsQueue::new(&options).unwrap(), fifo, _pair: Arc::clone(pair) };
    Client { queue: Arc::new(queue), dead: Arc::new(SqsDeadLetters::new(&options).unwrap()) }
}

#[async_trait]
impl QueueFixture for Standard {
    async fn fresh(lease: Duration) -> Self {
        Self(Pair::new(Kind::Standard).await, lease)
    }

    async fn client(&self) -> Client {
        client(&self.0, self.1, false)
    }

    /// The emulator keeps its messages in its own memory.
    async fn restart(&mut self) -> bool {
        false
    }
}

#[async_trait]
impl QueueFixture for Fifo {
    async fn fresh(lease: Duration) -> Self {
        Self(Pair::new(Kind::Fifo).await, lease)
    }

    async fn client(&self) -> Client {
        client(&self.0, self.1, true)
    }

    async fn restart(&mut self) -> bool {
        false
    }
}
