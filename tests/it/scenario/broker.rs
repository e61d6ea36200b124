//! The RabbitMQ side of a world: queues of its own on the bed's broker, looked at without the program's adapter.

use std::sync::Arc;

use base64::Engine;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use longshore::adapters::amqp::{AmqpOptions, AmqpQueue};
use longshore::ports::queue::{Outgoing, Queue};

use super::by_hand;
use super::http::ask;
use super::seen::{Dead, Event};
use crate::bed;

/// The queues of one world.
pub(crate) struct Broker {
    name: String,
    sender: Arc<dyn Queue>,
}

impl Broker {
    /// Names queues and exchange after `name`, and listens to the exchange from now on.
    pub(crate) async fn new(name: &str) -> Self {
        let options = AmqpOptions {
            url: bed::rabbit_url().to_owned().into(),
            tls: None,
            queue: format!("{name}.tasks"),
            dead_letter: format!("{name}.dead"),
            declare: true,
            prefetch: 1,
            prefetch_in_a_crowd: 1,
        };
        let broker = Self { name: name.to_owned(), sender: Arc::new(AmqpQueue::new(options).unwrap()) };
        let (_connection, channel) = broker.channel().await;
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let exchange = broker.exchange();
        channel
            .exchange_declare(exchange.clone().into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await
            .unwrap();
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(broker.tap().into(), durable, FieldTable::default()).await.unwrap();
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(broker.tap().into(), exchange.into(), "#".into(), bind, FieldTable::default())
            .await
            .unwrap();
        broker
    }

    fn exchange(&self) -> String {
        format!("{}.events", self.name)
    }

    fn tap(&self) -> String {
        format!("{}.tap", self.name)
    }

    /// The configuration's part about queues.
    pub(crate) fn config(&self) -> String {
        let (name, url) = (&self.name, bed::rabbit_url());
        format!(
            "[queue]\nurl = \"{url}\"\nname = \"{name}.tasks\"\ndead_letter = \"{name}.dead\"\n\
             [events]\nurl = \"{url}\"\nexchange = \"{name}.events\"\n[webhooks]\nname = \"{name}.webhooks\"\n"
        )
    }

    /// Sends through the program's own adapter, which declares the queues.
    pub(crate) async fn send(&self, messages: &[Outgoing]) {
        for some in messages.chunks(500) {
            self.sender.send(some).await.unwrap();
        }
    }

    /// Sends a message with these properties, written by hand, to the queue of tasks, which must be there.
    pub(crate) async fn send_by_hand(&self, properties: &[u8], body: &[u8]) {
        by_hand::publish(&format!("{}.tasks", self.name), properties, body).await;
    }

    async fn channel(&self) -> (Connection, Channel) {
        let connection = Connection::connect(bed::rabbit_url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// Takes all events off the exchange's queue.
    pub(crate) async fn take_events(&self) -> Vec<Event> {
        let taken = self.take_all(&self.tap()).await;
        let header = |message: &lapin::message::Delivery, name: &str| header(message, name).unwrap_or_default();
        let event = |message: lapin::message::Delivery| Event {
            id: header(&message, "id"),
            kind: header(&message, "type"),
            team: header(&message, "team"),
            body: message.data,
        };
        taken.into_iter().map(event).collect()
    }

    /// Takes all dead letters.
    pub(crate) async fn take_dead(&self) -> Vec<Dead> {
        let taken = self.take_all(&format!("{}.dead", self.name)).await;
        let dead = |message: lapin::message::Delivery| Dead {
            reason: header(&message, "longshore-reason").unwrap_or_default(),
            detail: header(&message, "longshore-detail").unwrap_or_default(),
            body: message.data,
        };
        taken.into_iter().map(dead).collect()
    }

    async fn take_all(&self, queue: &str) -> Vec<lapin::message::Delivery> {
        let (_connection, channel) = self.channel().await;
        let mut taken = Vec::new();
        while let Some(got) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() {
            taken.push(got.delivery);
        }
        if let Some(last) = taken.last() {
            last.acker.ack(BasicAckOptions { multiple: true }).await.unwrap();
        }
        taken
    }

    /// How many events have come.
    pub(crate) async fn events_waiting(&self) -> u32 {
        let (_connection, channel) = self.channel().await;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        channel.queue_declare(self.tap().into(), passive, FieldTable::default()).await.unwrap().message_count()
    }

    /// How many messages wait in each queue of this world but for events and dead letters.
    pub(crate) async fn left(&self) -> Vec<(String, u64)> {
        let (_connection, channel) = self.channel().await;
        let mut left = Vec::new();
        for queue in self.queues().await {
            if queue != self.tap() && queue != format!("{}.dead", self.name) {
                let passive = QueueDeclareOptions { passive: true, ..Default::default() };
                let found = channel.queue_declare(queue.clone().into(), passive, FieldTable::default()).await.unwrap();
                left.push((queue, u64::from(found.message_count())));
            }
        }
        left
    }

    /// All queues of this world, as the broker's management knows them.
    async fn queues(&self) -> Vec<String> {
        let address = bed::rabbit_management_url().trim_start_matches("http://").parse().unwrap();
        let login = base64::engine::general_purpose::STANDARD.encode("guest:guest");
        let headers = format!("Authorization: Basic {login}\r\n");
        let answer = ask(
            address,
            "GET",
            "/api/queues/%2f?columns=name&disable_stats=true&enable_queue_totals=false",
            &headers,
            b"",
        )
        .await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).unwrap();
        let names = listed.iter().filter_map(|queue| queue["name"].as_str());
        names.filter(|name| name.starts_with(&format!("{}.", self.name))).map(str::to_owned).collect()
    }

    /// Takes everything away.
    pub(crate) async fn clear(&self) {
        let (_connection, channel) = self.channel().await;
        for queue in self.queues().await {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        channel.exchange_delete(self.exchange().into(), ExchangeDeleteOptions::default()).await.unwrap();
    }
}

fn header(message: &lapin::message::Delivery, name: &str) -> Option<String> {
    match message.properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        other => Some(format!("{other:?}")),
    }
}
