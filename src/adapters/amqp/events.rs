//! Completions to a topic exchange, with the routing key `TEAM.TYPE`.

use async_trait::async_trait;
use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::AmqpEventOptions;
use super::address::{Address, BadAmqp};
use super::headers::PERSISTENT;
use super::outbox::{Letter, Outbox};
use super::topology::{Topology, Wanted, checked_name};
use crate::ports::publisher::{Event, PublishError, Publisher};

/// Publishes events to RabbitMQ: persistent, confirmed, and by default only where a queue takes them.
///
/// It connects when it is first used; must be used within a tokio runtime.
pub struct AmqpPublisher {
    outbox: Outbox,
    exchange: ShortString,
    mandatory: bool,
}

impl AmqpPublisher {
    /// Makes the publisher; nothing is connected yet.
    ///
    /// # Errors
    /// [`BadAmqp`] when the URL or the exchange's name cannot be right.
    pub fn new(options: AmqpEventOptions) -> Result<Self, BadAmqp> {
        let exchange = checked_name("exchange", &options.exchange)?;
        let topology = Topology { wanted: Wanted::Exchange(exchange.clone()), declare: options.declare };
        let outbox = Outbox::new(Address::parse(&options.url, options.tls)?, topology, "events");
        Ok(Self { outbox, exchange, mandatory: options.mandatory })
    }
}

#[async_trait]
impl Publisher for AmqpPublisher {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let letter = letter(event, self.exchange.clone(), self.mandatory)?;
        Ok(self.outbox.publish(&letter).await?)
    }
}

fn letter(event: &Event, exchange: ShortString, mandatory: bool) -> Result<Letter, PublishError> {
    let short = |text: String| {
        let too_long = || PublishError::Unroutable(format!("longer than the 255 bytes of AMQP: {text}"));
        ShortString::try_new(text.clone()).map_err(|_| too_long())
    };
    let mut table = FieldTable::default();
    let mut header = |name: &str, value: &str| {
        table.insert(name.into(), AMQPValue::LongString(value.as_bytes().into()));
    };
    header("id", &event.id);
    header("type", &event.kind);
    header("team", event.team.as_str());
    if let Some(traceparent) = &event.traceparent {
        header("traceparent", traceparent);
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(short(event.id.clone())?)
        .with_type(short(event.kind.clone())?)
        .with_timestamp(u64::try_from(Timestamp::now().as_second()).unwrap_or(0))
        .with_headers(table);
    let key = short(format!("{}.{}", event.team, event.kind))?;
    Ok(Letter { exchange, key, mandatory, properties, body: event.body.clone() })
}
