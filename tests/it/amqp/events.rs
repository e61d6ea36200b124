//! Completions on a topic exchange.

use bytes::Bytes;
use lapin::options::{ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use longshore::adapters::amqp::{AmqpEventOptions, AmqpPublisher};
use longshore::domain::id::TeamId;
use longshore::ports::publisher::{Event, PublishError, Publisher};

use super::bench::{Bench, broker_url};

fn options(bench: &Bench) -> AmqpEventOptions {
    AmqpEventOptions {
        url: broker_url().to_string().into(),
        tls: None,
        exchange: format!("{}.events", bench.name),
        declare: true,
        mandatory: true,
    }
}

fn event(id: &str, team: &str) -> Event {
    Event {
        id: id.to_owned(),
        kind: "task.completed".to_owned(),
        team: TeamId::new(team).unwrap(),
        body: Bytes::from_static(b"{\"type\":\"task.completed\"}"),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

/// Binds the bench's queue to all events of the team `acme`.
async fn bind(bench: &Bench) {
    let channel = bench.hand().await;
    let queue = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(bench.name.as_str().into(), queue, FieldTable::default()).await.unwrap();
    let (exchange, key) = (options(bench).exchange, "acme.#");
    let binding = QueueBindOptions::default();
    let bound = channel.queue_bind(
        bench.name.as_str().into(),
        exchange.as_str().into(),
        key.into(),
        binding,
        FieldTable::default(),
    );
    bound.await.unwrap();
}

async fn delete_exchange(bench: &Bench) {
    let exchange = options(bench).exchange;
    bench.hand().await.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn an_event_that_no_queue_takes_is_an_error_until_one_does() {
    let bench = Bench::new().await;
    let publisher = AmqpPublisher::new(options(&bench)).unwrap();
    let published = publisher.publish(&event("e-1", "acme")).await;
    assert!(matches!(published, Err(PublishError::Unroutable(_))), "{published:?}");
    let lenient = AmqpPublisher::new(AmqpEventOptions { mandatory: false, ..options(&bench) }).unwrap();
    lenient.publish(&event("e-2", "acme")).await.unwrap();

    bind(&bench).await;
    publisher.publish(&event("e-1", "acme")).await.unwrap();
    let got = bench.get(&bench.name).await.expect("the event is in the queue");
    assert_eq!(got.delivery.data, b"{\"type\":\"task.completed\"}");
    assert_eq!(got.delivery.routing_key.as_str(), "acme.task.completed");
    let properties = &got.delivery.properties;
    assert_eq!(properties.message_id(), &Some("e-1".into()));
    assert_eq!(properties.content_type(), &Some("application/json".into()));
    assert_eq!(properties.delivery_mode(), &Some(2));
    let headers: Vec<_> = properties.headers().as_ref().unwrap().inner().keys().map(|n| n.as_str()).collect();
    assert_eq!(headers, ["id", "team", "traceparent", "type"]);
    assert!(bench.get(&bench.name).await.is_none(), "one event, and not the one that came before the binding");
    delete_exchange(&bench).await;
}

#[tokio::test]
async fn of_many_events_at_once_each_is_told_its_own_fate() {
    let bench = Bench::new().await;
    let publisher = AmqpPublisher::new(options(&bench)).unwrap();
    let _declared = publisher.publish(&event("first", "acme")).await;
    bind(&bench).await;
    let publishing = (0..200).map(|number| {
        let team = if number % 2 == 0 { "acme" } else { "nobody" };
        let (publisher, event) = (&publisher, event(&format!("e-{number}"), team));
        async move { (team, publisher.publish(&event).await) }
    });
    for (team, published) in futures::future::join_all(publishing).await {
        match team {
            "acme" => published.unwrap(),
            _ => assert!(matches!(published, Err(PublishError::Unroutable(_))), "{published:?}"),
        }
    }
    delete_exchange(&bench).await;
}

#[tokio::test]
async fn an_exchange_that_is_missing_is_not_declared_unless_we_may() {
    let bench = Bench::new().await;
    let passive = AmqpPublisher::new(AmqpEventOptions { declare: false, ..options(&bench) }).unwrap();
    let published = passive.publish(&event("e-1", "acme")).await;
    let Err(PublishError::Unavailable(why)) = published else { panic!("{published:?}") };
    assert!(why.contains(&options(&bench).exchange), "{why}");
}

#[tokio::test]
async fn a_deleted_exchange_is_declared_again() {
    let bench = Bench::new().await;
    let publisher = AmqpPublisher::new(AmqpEventOptions { mandatory: false, ..options(&bench) }).unwrap();
    publisher.publish(&event("e-1", "acme")).await.unwrap();
    delete_exchange(&bench).await;
    let published = publisher.publish(&event("e-2", "acme")).await;
    assert!(matches!(published, Err(PublishError::Unavailable(_))), "{published:?}");
    publisher.publish(&event("e-2", "acme")).await.unwrap();
    delete_exchange(&bench).await;
}
