//! Dead letters on real queues, FIFO groups above all.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::types::MessageSystemAttributeName as System;
use longshore::domain::settlement::{DeadLetter, Reason, Settlement};
use longshore::ports::queue::{Chosen, DeadLetters, Outgoing, Queue};

use super::fixture::{Kind, Pair, attribute, take_one};

fn dead(detail: &str) -> Settlement {
    Settlement::DeadLetter(DeadLetter { reason: Reason::Undecodable, detail: detail.to_owned(), attempts: 0 })
}

/// Sends and dead-letters messages of one team, in this order.
async fn bury(pair: &Pair, count: usize) {
    let message = |number: usize| Outgoing {
        id: format!("t-{number:02}"),
        body: format!("body {number:02}").into(),
        attributes: [].into(),
        group: Some("acme".to_owned()),
    };
    let messages: Vec<_> = (0..count).map(message).collect();
    let queue = pair.queue();
    queue.send(&messages).await.unwrap();
    for _ in 0..count {
        let delivery = take_one(&queue).await;
        queue.settle(&delivery.lease, &dead(delivery.message.id.as_deref().unwrap())).await.unwrap();
    }
}

#[tokio::test]
async fn others_can_read_why_a_message_died_and_whose_it_is() {
    for kind in [Kind::Standard, Kind::Fifo] {
        let pair = Pair::new(kind).await;
        let names: Vec<_> = (0..9).map(|number| format!("a{number}")).collect();
        let mut attributes: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
        attributes.push(("team", "acme"));
        pair.send("not json", &attributes).await;
        let queue = pair.queue();
        let delivery = take_one(&queue).await;
        assert_eq!(delivery.message.attributes.len(), 10);
        queue.settle(&delivery.lease, &dead("the body is no JSON")).await.unwrap();

        let seen = pair.look(&pair.dead).await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].body.as_deref(), Some("not json"));
        assert_eq!(attribute(&seen[0], "longshore-reason"), Some("undecodable"));
        assert_eq!(attribute(&seen[0], "longshore-detail"), Some("the body is no JSON"));
        assert_eq!(attribute(&seen[0], "longshore-attempts"), Some("0"));
        assert!(attribute(&seen[0], "longshore-failed-at").unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(attribute(&seen[0], "team"), Some("acme"));
        assert!(attribute(&seen[0], "longshore-attributes").unwrap().contains("\"a8\":\"x\""));
        let group = seen[0].attributes.as_ref().unwrap().get(&System::MessageGroupId);
        assert_eq!(group.map(String::as_str), (kind == Kind::Fifo).then_some("acme"), "the group is kept");

        let handle = seen[0].receipt_handle.as_deref().unwrap();
        let shown = pair.sqs.change_message_visibility().queue_url(&pair.dead).receipt_handle(handle);
        shown.visibility_timeout(0).send().await.unwrap();
        assert_eq!(pair.dead_letters().replay(&Chosen::All).await.unwrap(), 1);
        // Whoever else reads the queue finds what was sent, and nothing of ours.
        let again = pair.look(&pair.task).await;
        assert_eq!(again[0].body.as_deref(), Some("not json"));
        let names: BTreeSet<&str> = again[0].message_attributes.as_ref().unwrap().keys().map(String::as_str).collect();
        let sent: BTreeSet<&str> = delivery.message.attributes.keys().map(String::as_str).collect();
        assert_eq!(names, sent, "all ten attributes are back");
    }
}

#[tokio::test]
async fn dead_and_replayed_again_and_again_within_a_minute_nothing_is_lost() {
    let pair = Pair::new(Kind::Fifo).await;
    pair.send("poison", &[]).await;
    let (queue, letters) = (pair.queue(), pair.dead_letters());
    for round in 0..5 {
        let delivery = take_one(&queue).await;
        assert_eq!(delivery.message.body, "poison", "round {round}");
        assert!(delivery.is_first(), "a replay starts anew");
        queue.settle(&delivery.lease, &dead("x")).await.unwrap();
        assert_eq!(letters.list(10).await.unwrap().len(), 1, "round {round}");
        assert_eq!(letters.replay(&Chosen::All).await.unwrap(), 1, "round {round}");
        assert_eq!(letters.list(10).await.unwrap(), [], "round {round}");
    }
    assert_eq!(take_one(&queue).await.message.body, "poison");
}

#[tokio::test]
async fn a_fifo_group_larger_than_a_batch_is_seen_whole_and_in_order() {
    let pair = Pair::new(Kind::Fifo).await;
    bury(&pair, 25).await;
    let letters = pair.dead_letters();
    let expected: Vec<_> = (0..25).map(|number| format!("t-{number:02}")).collect();
    let details = |listed: &[longshore::ports::queue::DeadMessage]| -> Vec<String> {
        listed.iter().map(|letter| letter.detail.clone()).collect()
    };
    let first = letters.list(100).await.unwrap();
    assert_eq!(details(&first), expected);
    let again = letters.list(100).await.unwrap();
    assert_eq!(again, first, "the same ids in the same order, though some were moved");

    let chosen = Chosen::Ids(vec![first[17].id.clone()]);
    assert_eq!(letters.replay(&chosen).await.unwrap(), 1);
    assert_eq!(take_one(&pair.queue()).await.message.id.as_deref(), Some("t-17"));
    let left: BTreeSet<_> = details(&letters.list(100).await.unwrap()).into_iter().collect();
    assert_eq!(left.len(), 24);
    assert!(!left.contains("t-17"));
    assert_eq!(letters.purge(&Chosen::All).await.unwrap(), 24);
}

#[tokio::test]
async fn a_list_that_is_given_up_half_way_hides_nothing_for_long() {
    let pair = Pair::new(Kind::Standard).await;
    bury(&pair, 3).await;
    let letters = pair.dead_letters();
    let given_up = tokio::time::timeout(Duration::from_millis(100), letters.list(10)).await;
    assert!(given_up.is_err(), "a list waits for what is still on its way");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(letters.list(10).await.unwrap().len(), 3);
}

mod long {
    use super::*;

    #[tokio::test]
    async fn fifty_lists_lose_nothing() {
        let pair = Pair::new(Kind::Standard).await;
        bury(&pair, 12).await;
        let letters = pair.dead_letters();
        let first = letters.list(100).await.unwrap();
        assert_eq!(first.len(), 12);
        for round in 1..50 {
            assert_eq!(letters.list(100).await.unwrap(), first, "round {round}");
        }
        assert_eq!(letters.replay(&Chosen::All).await.unwrap(), 12);
        assert_eq!(pair.queue().depth().await.unwrap().total(), 12);
    }
}
