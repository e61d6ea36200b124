//! Messages that leave no room for what we write beside them.

use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::memory::store::MemoryStore;
use longshore::adapters::sqs::{SqsDeadLetters, SqsOptions, SqsQueue};
use longshore::domain::settlement::{DeadLetter, Reason, Settlement};
use longshore::ports::queue::{Chosen, DeadLetters, MESSAGE_BYTES_MAX, Queue, QueueError};
use longshore::ports::store::Store;

use super::fixture::{Kind, Pair, attribute, take_one};

fn dead() -> Settlement {
    Settlement::DeadLetter(DeadLetter {
        reason: Reason::Undecodable,
        detail: "the body is no JSON".to_owned(),
        attempts: 0,
    })
}

#[tokio::test]
async fn a_message_of_1_mib_is_dead_lettered_shown_and_replayed() {
    for kind in [Kind::Standard, Kind::Fifo] {
        let pair = Pair::new(kind).await;
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let options = SqsOptions { store: Some(store), ..pair.options() };
        let body = "x".repeat(MESSAGE_BYTES_MAX);
        pair.send(&body, &[]).await;
        let queue = SqsQueue::new(&options).unwrap();
        let delivery = take_one(&queue).await;
        queue.settle(&delivery.lease, &dead()).await.unwrap();

        let letters = SqsDeadLetters::new(&options).unwrap();
        let listed = letters.list(10).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].reason.as_str(), listed[0].detail.as_str()), ("undecodable", "the body is no JSON"));
        assert!(listed[0].body == body.as_bytes(), "the body is read from the store");
        assert_eq!(letters.replay(&Chosen::All).await.unwrap(), 1);
        let again = take_one(&queue).await;
        assert!(again.message.body == body.as_bytes(), "{kind:?}: the body came back");
        // A counted attempt leaves no room either.
        let retry = Settlement::Retry { attempts: 1, delay: Duration::ZERO };
        queue.settle(&again.lease, &retry).await.unwrap();
        let again = take_one(&queue).await;
        assert_eq!(again.attempts, 1);
        assert!(again.message.body == body.as_bytes());
    }
}

#[tokio::test]
async fn the_dead_letter_points_into_the_store() {
    let pair = Pair::new(Kind::Standard).await;
    let options = SqsOptions { store: Some(Arc::new(MemoryStore::new())), ..pair.options() };
    pair.send(&"x".repeat(MESSAGE_BYTES_MAX), &[]).await;
    let queue = SqsQueue::new(&options).unwrap();
    queue.settle(&take_one(&queue).await.lease, &dead()).await.unwrap();
    let seen = pair.look(&pair.dead).await;
    let key = attribute(&seen[0], "longshore-stored").unwrap();
    assert!(key.starts_with("_dead/"), "{key}");
    assert!(seen[0].body.as_deref().unwrap().contains(key), "a person can find it");
    assert_eq!(attribute(&seen[0], "longshore-reason"), Some("undecodable"));
}

#[tokio::test]
async fn without_a_store_a_message_that_does_not_fit_stays_where_it_is() {
    let pair = Pair::new(Kind::Standard).await;
    pair.send(&"x".repeat(MESSAGE_BYTES_MAX), &[]).await;
    let queue = pair.queue();
    let delivery = take_one(&queue).await;
    let refused = queue.settle(&delivery.lease, &dead()).await;
    assert!(matches!(&refused, Err(QueueError::Refused(why)) if why.contains("no store")), "{refused:?}");
    assert_eq!(queue.depth().await.unwrap().total(), 1);
}
