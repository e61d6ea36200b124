//! Attempts, waits and what other systems see of them.

use std::time::Duration;

use aws_sdk_sqs::types::{
    MessageSystemAttributeName as System, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
};
use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{Outgoing, Queue};
use tokio::time::Instant;

use super::fixture::{Kind, Pair, attribute, take_one};

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[tokio::test]
async fn a_counted_attempt_stands_in_a_copy_that_others_can_read() {
    for kind in [Kind::Standard, Kind::Fifo] {
        let pair = Pair::new(kind).await;
        pair.send("{}", &[("team", "acme")]).await;
        let queue = pair.queue();
        let delivery = take_one(&queue).await;
        let retry = Settlement::Retry { attempts: 3, delay: Duration::ZERO };
        queue.settle(&delivery.lease, &retry).await.unwrap();
        let seen = pair.look(&pair.task).await;
        assert_eq!(seen.len(), 1, "{kind:?}: the copy alone");
        assert_eq!(attribute(&seen[0], "longshore-attempts"), Some("3"));
        assert_eq!(attribute(&seen[0], "team"), Some("acme"));
        assert_ne!(seen[0].message_id, delivery.message.id, "it is a copy");
        let group = seen[0].attributes.as_ref().unwrap().get(&System::MessageGroupId);
        assert_eq!(group.map(String::as_str), (kind == Kind::Fifo).then_some("acme"));
    }
}

#[tokio::test]
async fn sends_name_the_team_as_their_group() {
    for kind in [Kind::Standard, Kind::Fifo] {
        let pair = Pair::new(kind).await;
        let message =
            Outgoing { id: "t-1".to_owned(), body: "{}".into(), attributes: [].into(), group: Some("acme".to_owned()) };
        // Sent twice, it is there twice, on FIFO queues too.
        pair.queue().send(&[message.clone(), message]).await.unwrap();
        let seen = pair.look(&pair.task).await;
        assert_eq!(seen.len(), 2, "{kind:?}");
        for message in seen {
            assert_eq!(message.attributes.unwrap()[&System::MessageGroupId], "acme");
        }
    }
}

#[tokio::test]
async fn a_message_that_comes_too_early_is_hidden_until_it_is_due() {
    for kind in [Kind::Standard, Kind::Fifo] {
        let pair = Pair::new(kind).await;
        let due = now_ms() + 2500;
        pair.send("{}", &[("longshore-not-before", &due.to_string())]).await;
        let delivery = take_one(&pair.queue()).await;
        assert!(now_ms() >= due, "{kind:?}: {} ms too early", due - now_ms());
        assert!(delivery.is_first(), "hiding it was no delivery: {delivery:?}");
    }
}

#[tokio::test]
async fn a_message_that_comes_far_too_early_is_sent_on_with_a_delay() {
    let pair = Pair::new(Kind::Standard).await;
    let due = now_ms() + 3_600_000;
    pair.send("{}", &[("longshore-not-before", &due.to_string())]).await;
    let queue = pair.queue();
    assert_eq!(queue.receive(10).await.unwrap(), []);
    let end = Instant::now() + Duration::from_secs(10);
    while queue.depth().await.unwrap().delayed != 1 || queue.depth().await.unwrap().total() != 1 {
        assert!(Instant::now() < end, "{:?}", queue.depth().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn awss_trace_header_becomes_a_traceparent() {
    let pair = Pair::new(Kind::Standard).await;
    let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let value = MessageSystemAttributeValue::builder().data_type("String").string_value(header);
    let sent = pair.sqs.send_message().queue_url(&pair.task).message_body("{}");
    let name = MessageSystemAttributeNameForSends::AwsTraceHeader;
    sent.message_system_attributes(name, value.build().unwrap()).send().await.unwrap();
    let delivery = take_one(&pair.queue()).await;
    let expected = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    assert_eq!(delivery.message.attributes["traceparent"], expected);
}

#[tokio::test]
async fn closing_gives_back_what_was_received_ahead() {
    let pair = Pair::new(Kind::Standard).await;
    for number in 0..20 {
        pair.send(&number.to_string(), &[]).await;
    }
    let closed = pair.queue();
    let mut taken = closed.receive(3).await.unwrap();
    taken.extend(closed.receive(1).await.unwrap());
    closed.close().await;
    let other = pair.queue();
    let mut left = Vec::new();
    while left.len() + taken.len() < 20 {
        let received = other.receive(20).await.unwrap();
        assert!(!received.is_empty(), "only {} came, {} are held", left.len(), taken.len());
        left.extend(received);
    }
}

mod long {
    use aws_sdk_sqs::types::QueueAttributeName;
    use longshore::adapters::sqs::{SqsOptions, SqsQueue};

    use super::*;

    #[tokio::test]
    async fn a_message_that_has_become_old_is_renewed_and_outlives_its_retention() {
        let retention = [(QueueAttributeName::MessageRetentionPeriod, "60")];
        let pair = Pair::with(Kind::Standard, &retention).await;
        pair.send("old", &[]).await;
        let sent = Instant::now();
        tokio::time::sleep_until(sent + Duration::from_secs(35)).await;
        let options = SqsOptions { lease: Duration::from_secs(5), ..pair.options() };
        let queue = SqsQueue::new(&options).unwrap();
        let renewed = take_one(&queue).await;
        tokio::time::sleep_until(sent + Duration::from_secs(63)).await;
        let again = take_one(&queue).await;
        assert_eq!(again.message, renewed.message);
        assert_eq!(again.sent_at, renewed.sent_at, "it was first sent once");
    }
}
