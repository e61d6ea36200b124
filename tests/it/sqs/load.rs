//! What a busy worker costs: requests per message.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{Extended, Outgoing, Queue};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fixture::{Kind, Pair};

const MESSAGES: usize = 1000;
const IN_HAND: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_worker_needs_less_than_one_request_for_two_messages() {
    let pair = Pair::new(Kind::Standard).await;
    let message = |number: usize| Outgoing {
        id: format!("t-{number}"),
        body: "{}".into(),
        attributes: [("team".to_owned(), "acme".to_owned())].into(),
        group: Some("acme".to_owned()),
    };
    pair.queue().send(&(0..MESSAGES).map(message).collect::<Vec<_>>()).await.unwrap();

    // As the engine does: room first, one place at a time while it is full, and one extension of what is in hand.
    let queue = Arc::new(pair.queue());
    let room = Arc::new(Semaphore::new(IN_HAND));
    let mut working = JoinSet::new();
    let mut seen = BTreeSet::new();
    let mut extended = false;
    while seen.len() < MESSAGES {
        let mut places = vec![Arc::clone(&room).acquire_owned().await.unwrap()];
        while let Ok(place) = Arc::clone(&room).try_acquire_owned() {
            places.push(place);
        }
        let received = queue.receive(places.len()).await.unwrap();
        assert!(received.len() <= places.len());
        if !extended && seen.len() > MESSAGES / 2 {
            let leases: Vec<_> = received.iter().map(|delivery| delivery.lease.clone()).collect();
            assert_eq!(queue.extend(&leases).await.unwrap(), Extended::default());
            extended = true;
        }
        for (delivery, place) in received.into_iter().zip(places) {
            assert!(seen.insert(delivery.message.id.clone().unwrap()), "each comes once");
            let queue = Arc::clone(&queue);
            working.spawn(async move {
                // Different lengths, so that places become free one by one.
                let length = 100 + delivery.message.id.map_or(0, |id| id.bytes().map(u64::from).sum::<u64>() % 100);
                tokio::time::sleep(Duration::from_millis(length)).await;
                queue.settle(&delivery.lease, &Settlement::Done).await.unwrap();
                drop(place);
            });
        }
    }
    while let Some(worked) = working.join_next().await {
        worked.unwrap();
    }
    let requests = queue.requests();
    println!("{requests} requests for {MESSAGES} messages");
    assert!(requests * 2 <= MESSAGES as u64, "{requests} requests for {MESSAGES} messages");
    assert_eq!(queue.depth().await.unwrap().total(), 0);
}
