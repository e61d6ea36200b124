//! Dead letters and copies: what stays of a message that was not sent by us.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, LongString};
use longshore::domain::settlement::{DeadLetter, Reason, Settlement};
use longshore::ports::queue::{Chosen, DeadLetters, Queue};

use super::bench::{Bench, send, table, take, text};

/// A message as another system might send it.
fn foreign() -> BasicProperties {
    let headers = table(&[
        ("team", text("acme")),
        ("traceparent", AMQPValue::ByteArray(ByteArray::from(&b"00-aa-bb-01"[..]))),
        ("priority", AMQPValue::LongInt(7)),
        ("binary", AMQPValue::LongString(LongString::from(&[0xffu8, 0xfe][..]))),
        ("nested", AMQPValue::FieldTable(table(&[("deep", text("kept"))]))),
    ]);
    BasicProperties::default()
        .with_message_id("foreign-1".into())
        .with_correlation_id("c-1".into())
        .with_content_type("text/plain".into())
        .with_timestamp(1_700_000_000)
        .with_expiration("600000".into())
        .with_headers(headers)
}

#[tokio::test]
async fn headers_of_every_type_survive_a_retry_a_hand_back_and_a_dead_letter() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    queue.send(&[]).await.unwrap();
    queue.depth().await.unwrap();
    bench.publish(foreign(), b"body").await;
    let first = take(&queue, 1).await.remove(0);
    let attributes: Vec<_> = first.message.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(attributes, [("priority", "7"), ("team", "acme"), ("traceparent", "00-aa-bb-01")]);
    assert_eq!(first.sent_at.unwrap().as_second(), 1_700_000_000);
    let steps = [
        Settlement::Retry { attempts: 1, delay: Duration::from_secs(1) },
        Settlement::HandBack { delay: Duration::ZERO },
        Settlement::HandBack { delay: Duration::from_millis(10) },
    ];
    let mut delivery = first;
    for step in steps {
        queue.settle(&delivery.lease, &step).await.unwrap();
        delivery = take(&queue, 1).await.remove(0);
    }
    assert_eq!((delivery.attempts, delivery.unfinished), (1, 1));
    let detail = "ä".repeat(5_000);
    let letter = DeadLetter { reason: Reason::Undecodable, detail, attempts: 1 };
    queue.settle(&delivery.lease, &Settlement::DeadLetter(letter)).await.unwrap();

    let got = bench.get(&bench.dead()).await.expect("it is in the dead-letter queue");
    assert_eq!(got.delivery.data, b"body");
    let (properties, sent) = (&got.delivery.properties, foreign());
    assert_eq!(properties.correlation_id(), sent.correlation_id());
    assert_eq!(properties.content_type(), sent.content_type());
    assert_eq!(properties.expiration(), &None, "a dead letter does not expire");
    let headers = properties.headers().as_ref().unwrap().inner();
    for (name, value) in sent.headers().as_ref().unwrap() {
        assert_eq!(headers.get(name), Some(value), "{name}");
    }
    let own: Vec<_> = headers.keys().map(|n| n.as_str()).filter(|n| n.starts_with("longshore-")).collect();
    let expected = ["longshore-attempts", "longshore-detail", "longshore-failed-at", "longshore-reason"];
    assert_eq!(own, expected);
    let brokers: Vec<_> = headers.keys().map(|n| n.as_str()).filter(|n| n.starts_with("x-")).collect();
    assert_eq!(brokers, ["x-delivery-count"], "which is added anew");
}

#[tokio::test]
async fn letters_with_one_id_are_told_apart() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    for (name, detail) in [("same", "first"), ("same", "second"), ("other", "third")] {
        send(&queue, &[name]).await;
        let delivery = take(&queue, 1).await.remove(0);
        let letter = DeadLetter { reason: Reason::UnknownTeam, detail: detail.to_owned(), attempts: 0 };
        queue.settle(&delivery.lease, &Settlement::DeadLetter(letter)).await.unwrap();
    }
    let dead = bench.dead_letters();
    let listed = dead.list(10).await.unwrap();
    let details: Vec<_> = listed.iter().map(|letter| letter.detail.as_str()).collect();
    assert_eq!(details, ["first", "second", "third"]);
    assert_ne!(listed[0].id, listed[1].id);
    assert_eq!(listed[2].id, "other");
    assert_eq!(dead.purge(&Chosen::Ids(vec![listed[1].id.clone()])).await.unwrap(), 1);
    let left = dead.list(10).await.unwrap();
    assert_eq!(left.iter().map(|letter| letter.detail.as_str()).collect::<Vec<_>>(), ["first", "third"]);
}

#[tokio::test]
async fn what_was_rejected_by_hand_is_a_dead_letter_too() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    send(&queue, &["a"]).await;
    let channel = bench.hand().await;
    let got = channel.basic_get(bench.name.as_str().into(), lapin::options::BasicGetOptions::default()).await;
    let got = got.unwrap().unwrap();
    got.delivery.acker.reject(lapin::options::BasicRejectOptions { requeue: false }).await.unwrap();
    let dead = bench.dead_letters();
    super::bench::becomes("it is dead", || async { dead.list(10).await.unwrap().len() == 1 }).await;
    let letter = dead.list(10).await.unwrap().remove(0);
    assert_eq!((letter.id.as_str(), letter.reason.as_str()), ("a", "rejected"));
    assert_eq!(dead.replay(&Chosen::All).await.unwrap(), 1);
    assert_eq!(super::bench::ids(&take(&queue, 1).await), ["a"]);
}

#[tokio::test]
async fn a_message_with_enormous_headers_can_be_settled() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    queue.depth().await.unwrap();
    let enormous = text(&"x".repeat(130_950));
    let headers = table(&[("enormous", enormous), ("team", text("acme"))]);
    bench.publish(BasicProperties::default().with_headers(headers), b"body").await;
    let delivery = take(&queue, 1).await.remove(0);
    let retry = Settlement::Retry { attempts: 1, delay: Duration::ZERO };
    queue.settle(&delivery.lease, &retry).await.unwrap();
    let again = take(&queue, 1).await.remove(0);
    assert_eq!(again.attempts, 1);
    assert_eq!(again.message.attributes["team"], "acme");
}
