//! What goes on when connections, channels, queues or the broker itself go away.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;
use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{Queue, QueueError};
use tokio::time::sleep;

use super::bench::{Bench, becomes, ids, send, take};
use crate::bed;

/// Kills the broker and starts it again. A queue that was declared less than half a second before might not survive.
pub(super) async fn kill_and_start() {
    sleep(Duration::from_millis(1500)).await;
    let restarting = tokio::task::spawn_blocking(|| {
        bed::kill9("rabbit");
        bed::start("rabbit");
    });
    restarting.await.unwrap();
}

/// Checks that the deliveries of `held` are lost, come again and can be done.
async fn check_lost_and_again(queue: &dyn Queue, held: &[longshore::ports::queue::Delivery]) {
    let leases: Vec<_> = held.iter().map(|delivery| delivery.lease.clone()).collect();
    becomes("all leases are lost", || async { queue.extend(&leases).await.unwrap().lost == leases }).await;
    for lease in &leases {
        for settlement in [Settlement::Done, Settlement::HandBack { delay: Duration::ZERO }] {
            let settled = queue.settle(lease, &settlement).await;
            assert!(matches!(settled, Err(QueueError::LeaseLost)), "{settled:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_closed_by_the_broker_loses_the_leases_and_nothing_else() {
    let bench = Bench::new().await;
    let (queue, relay) = bench.relayed(Duration::ZERO).await;
    send(&queue, &["a", "b", "c"]).await;
    let held = take(&queue, 3).await;
    relay.spoil_the_consuming_channel();
    check_lost_and_again(&*queue, &held).await;
    let again = take(&queue, 3).await;
    assert_eq!(ids(&again), ["a", "b", "c"]);
    for delivery in &again {
        assert!(delivery.unfinished >= 1, "{delivery:?}");
        queue.settle(&delivery.lease, &Settlement::Done).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_often_loses_no_message() {
    let bench = Bench::new().await;
    let (queue, relay) = bench.relayed(Duration::ZERO).await;
    let names: Vec<_> = (0..30).map(|number| format!("m{number:02}")).collect();
    send(&queue, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut seen = std::collections::BTreeSet::new();
    for round in 0.. {
        let delivery = take(&queue, 1).await.remove(0);
        let settling = queue.settle(&delivery.lease, &Settlement::Done);
        if round % 5 == 4 && round < 25 {
            relay.break_all();
        }
        if settling.await.is_ok() {
            seen.insert(delivery.message.id.unwrap());
        }
        let depth = queue.depth().await;
        if depth.is_ok_and(|depth| depth.total() == 0) {
            break;
        }
        assert!(round < 500, "only {} came", seen.len());
    }
    assert_eq!(seen.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_declared_again_and_consumed() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    send(&queue, &["a"]).await;
    let held = take(&queue, 1).await;
    let deleted = bench.hand().await.queue_delete(bench.name.as_str().into(), QueueDeleteOptions::default()).await;
    deleted.unwrap();
    let message = [super::bench::outgoing("b")];
    becomes("a message can be sent", || async { queue.send(&message).await.is_ok() }).await;
    let again = take(&queue, 1).await;
    assert_eq!(ids(&again), ["b"]);
    assert!(matches!(queue.settle(&held[0].lease, &Settlement::Done).await, Err(QueueError::LeaseLost)));
    queue.settle(&again[0].lease, &Settlement::Done).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_tier_is_declared_again() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    send(&queue, &["a"]).await;
    let held = take(&queue, 1).await;
    let tier = format!("{}.retry.1s", bench.name);
    bench.hand().await.queue_delete(tier.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    let retry = Settlement::Retry { attempts: 1, delay: Duration::from_secs(1) };
    let first = queue.settle(&held[0].lease, &retry).await;
    assert!(matches!(first, Err(QueueError::Unavailable(_))), "no queue, no copy, no acknowledgement: {first:?}");
    becomes("the retry is settled", || async { queue.settle(&held[0].lease, &retry).await.is_ok() }).await;
    let again = take(&queue, 1).await;
    assert_eq!((ids(&again), again[0].attempts), (vec!["a".to_owned()], 1));
}

mod kills {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_killed_broker_costs_the_leases_and_no_message() {
        let bench = Bench::new().await;
        let queue = bench.queue();
        send(&queue, &["a", "b", "c", "d"]).await;
        let held = take(&queue, 3).await;
        queue.settle(&held[0].lease, &Settlement::Retry { attempts: 1, delay: Duration::ZERO }).await.unwrap();
        kill_and_start().await;
        let again = take(&queue, 4).await;
        assert_eq!(ids(&again), ["a", "b", "c", "d"]);
        check_lost_and_again(&queue, &held[1..]).await;
        for delivery in &again {
            queue.settle(&delivery.lease, &Settlement::Done).await.unwrap();
        }
        send(&queue, &["e"]).await;
        assert_eq!(ids(&take(&queue, 1).await), ["e"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broker_that_stays_away_is_said_to_be_unavailable() {
        let bench = Bench::new().await;
        let queue = bench.queue();
        send(&queue, &["a"]).await;
        let held = take(&queue, 1).await;
        sleep(Duration::from_millis(1500)).await;
        tokio::task::spawn_blocking(|| bed::kill9("rabbit")).await.unwrap();
        let received = loop {
            match queue.receive(1).await {
                Ok(received) => assert!(received.is_empty()),
                Err(error) => break error,
            }
        };
        let sent = queue.send(&[super::super::bench::outgoing("b")]).await;
        let lost = queue.extend(&[held[0].lease.clone()]).await.unwrap().lost;
        tokio::task::spawn_blocking(|| bed::start("rabbit")).await.unwrap();
        assert!(matches!(received, QueueError::Unavailable(_)), "{received:?}");
        assert!(matches!(sent, Err(QueueError::Unavailable(_))), "{sent:?}");
        assert_eq!(lost, [held[0].lease.clone()]);
        assert_eq!(ids(&take(&queue, 1).await), ["a"]);
    }
}
