//! Completions as messages.

use std::sync::Arc;

use aws_sdk_sqs::types::MessageSystemAttributeName as System;
use longshore::adapters::sqs::{SqsEventOptions, SqsPublisher};
use longshore::domain::id::TeamId;
use longshore::ports::publisher::{Event, PublishError, Publisher};

use super::fixture::{Kind, Pair, attribute};

fn publisher(pair: &Pair, url: &str) -> SqsPublisher {
    let options =
        SqsEventOptions { queue_url: url.to_owned(), sdk: pair.sdk.clone(), endpoint_url: None, region: None };
    SqsPublisher::new(&options).unwrap()
}

fn event(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        kind: "task.completed".to_owned(),
        team: TeamId::new("acme").unwrap(),
        body: format!("{{\"id\":\"{id}\"}}").into(),
        traceparent: Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01".to_owned()),
    }
}

#[tokio::test]
async fn an_event_says_beside_its_body_what_it_is() {
    for kind in [Kind::Standard, Kind::Fifo] {
        let pair = Pair::new(kind).await;
        publisher(&pair, &pair.task).publish(&event("e-1")).await.unwrap();
        let seen = pair.look(&pair.task).await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].body.as_deref(), Some("{\"id\":\"e-1\"}"));
        for (name, value) in [
            ("id", "e-1"),
            ("type", "task.completed"),
            ("team", "acme"),
            ("traceparent", event("e-1").traceparent.as_deref().unwrap()),
        ] {
            assert_eq!(attribute(&seen[0], name), Some(value));
        }
        assert_eq!(seen[0].attributes.as_ref().unwrap()[&System::MessageGroupId], "acme");
    }
}

#[tokio::test]
async fn a_repeated_event_is_one_message_on_a_fifo_queue() {
    let pair = Pair::new(Kind::Fifo).await;
    let publisher = publisher(&pair, &pair.task);
    for id in ["e-1", "e-1", "e-2", "e-1"] {
        publisher.publish(&event(id)).await.unwrap();
    }
    assert_eq!(pair.look(&pair.task).await.len(), 2);
}

#[tokio::test]
async fn events_that_go_out_together_all_arrive() {
    let pair = Pair::new(Kind::Standard).await;
    let publisher = Arc::new(publisher(&pair, &pair.task));
    let mut sending = tokio::task::JoinSet::new();
    for number in 0..55 {
        let publisher = Arc::clone(&publisher);
        sending.spawn(async move { publisher.publish(&event(&format!("e-{number}"))).await });
    }
    while let Some(sent) = sending.join_next().await {
        sent.unwrap().unwrap();
    }
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < 55 {
        let seen = pair.look(&pair.task).await;
        assert!(!seen.is_empty(), "only {} arrived", ids.len());
        ids.extend(seen.iter().map(|message| attribute(message, "id").unwrap().to_owned()));
    }
}

#[tokio::test]
async fn a_queue_that_is_not_there_takes_no_event() {
    let pair = Pair::new(Kind::Standard).await;
    let missing = format!("{}-missing", pair.task);
    let published = publisher(&pair, &missing).publish(&event("e-1")).await;
    assert!(matches!(published, Err(PublishError::Unroutable(_))), "{published:?}");
}
