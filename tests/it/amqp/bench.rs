//! What each test needs: a broker that answers, names of its own, clients, and a hand on the broker beside them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use longshore::adapters::amqp::{AmqpDeadLetters, AmqpOptions, AmqpQueue};
use longshore::ports::queue::{Delivery, Outgoing, Queue};
use tokio::time::{Instant, sleep};
use url::Url;
use uuid::Uuid;

use super::relay::Relay;
use crate::bed;

/// How long a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The broker that tests may break.
pub(super) fn broker_url() -> Url {
    variable("LONGSHORE_TEST_AMQP_URL", bed::rabbit_url())
}

/// The same broker with TLS.
pub(super) fn tls_url() -> Url {
    variable("LONGSHORE_TEST_AMQPS_URL", bed::amqps_url())
}

#[expect(clippy::disallowed_methods, reason = "where the broker is, is the test's setting, not the program's")]
fn variable(name: &str, default: &str) -> Url {
    let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    text.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5672))
}

/// Queues of one test.
pub(super) struct Bench {
    pub(super) name: String,
    hand: Connection,
}

/// The names of the retry queues, as they stand on the broker.
const TIERS: [&str; 8] = ["200ms", "500ms", "1s", "5s", "15s", "1m", "5m", "15m"];

impl Bench {
    /// Makes a name that nobody else uses.
    ///
    /// # Panics
    /// When there is no broker.
    pub(super) async fn new() -> Self {
        let name = format!("test.{}", Uuid::new_v4().simple());
        Self { name, hand: connect().await }
    }

    pub(super) fn dead(&self) -> String {
        format!("{}.dead", self.name)
    }

    /// The settings of a client that goes straight to the broker.
    pub(super) fn options(&self) -> AmqpOptions {
        AmqpOptions {
            url: broker_url().to_string().into(),
            tls: None,
            queue: self.name.clone(),
            dead_letter: self.dead(),
            declare: true,
            prefetch: 10,
            prefetch_in_a_crowd: 10,
        }
    }

    pub(super) fn queue(&self) -> AmqpQueue {
        AmqpQueue::new(self.options()).unwrap()
    }

    pub(super) fn dead_letters(&self) -> AmqpDeadLetters {
        AmqpDeadLetters::new(self.options()).unwrap()
    }

    /// A client behind a relay.
    pub(super) async fn relayed(&self, delay: Duration) -> (Arc<AmqpQueue>, Relay) {
        let mut url = broker_url();
        let relay = Relay::start(host_and_port(&url), delay).await;
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(relay.port())).unwrap();
        let options = AmqpOptions { url: url.to_string().into(), prefetch: 100, ..self.options() };
        (Arc::new(AmqpQueue::new(options).unwrap()), relay)
    }

    /// A channel beside all clients.
    pub(super) async fn hand(&self) -> Channel {
        self.hand.create_channel().await.unwrap()
    }

    /// Publishes by hand.
    pub(super) async fn publish(&self, properties: BasicProperties, body: &[u8]) {
        let channel = self.hand().await;
        channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let sent = channel.basic_publish("".into(), self.name.as_str().into(), options, body, properties);
        let confirmed = sent.await.unwrap().await.unwrap();
        assert_eq!(confirmed, lapin::Confirmation::Ack(None));
    }

    /// Takes one message away by hand.
    pub(super) async fn get(&self, queue: &str) -> Option<lapin::message::BasicGetMessage> {
        let options = BasicGetOptions { no_ack: true };
        self.hand().await.basic_get(queue.into(), options).await.unwrap()
    }
}

async fn connect() -> Connection {
    let url = broker_url();
    let connecting = Connection::connect(url.as_str(), ConnectionProperties::default());
    let connected = tokio::time::timeout(Duration::from_secs(10), connecting).await;
    let where_it_is = host_and_port(&url);
    let connected = connected.unwrap_or_else(|_| panic!("no answer from the broker at {where_it_is}: run `make bed`"));
    connected.unwrap_or_else(|error| panic!("no broker at {where_it_is} ({error}): run `make bed`"))
}

impl Drop for Bench {
    fn drop(&mut self) {
        let names = TIERS.iter().map(|tier| format!("{}.retry.{tier}", self.name));
        let names: Vec<_> = names.chain([self.name.clone(), self.dead()]).collect();
        // A thread of its own, since the test's runtime may be on its way out, by a panic too.
        let deleting = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let hand = connect().await;
                for name in names {
                    let channel = hand.create_channel().await.unwrap();
                    channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
                }
            });
        });
        let deleted = deleting.join();
        assert!(deleted.is_ok() || std::thread::panicking(), "the test's queues could not be deleted");
    }
}

/// A message whose content follows from `name`.
pub(super) fn outgoing(name: &str) -> Outgoing {
    Outgoing {
        id: name.to_owned(),
        body: Bytes::from(format!("body of {name}")),
        attributes: [("team".to_owned(), "acme".to_owned())].into(),
        group: None,
    }
}

pub(super) async fn send(queue: &AmqpQueue, names: &[&str]) {
    let messages: Vec<_> = names.iter().map(|name| outgoing(name)).collect();
    queue.send(&messages).await.unwrap();
}

/// Receives `count` deliveries; a broker that is away is waited for.
pub(super) async fn take(queue: &AmqpQueue, count: usize) -> Vec<Delivery> {
    let end = Instant::now() + PATIENCE;
    let mut taken = Vec::new();
    while taken.len() < count {
        assert!(Instant::now() < end, "{} of {count} messages came", taken.len());
        match queue.receive(count - taken.len()).await {
            Ok(received) => taken.extend(received),
            Err(error) if error.is_transient() => sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

pub(super) fn ids(deliveries: &[Delivery]) -> Vec<String> {
    let mut ids: Vec<_> = deliveries.iter().map(|delivery| delivery.message.id.clone().unwrap()).collect();
    ids.sort();
    ids
}

/// Waits until `check` holds.
pub(super) async fn becomes<F: Future<Output = bool>>(what: &str, check: impl Fn() -> F) {
    let end = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < end, "it never came to this: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A text header.
pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// A header table.
pub(super) fn table(headers: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert((*name).into(), value.clone());
    }
    table
}
