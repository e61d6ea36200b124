//! How much is in hand, how long things wait, and how many settle at once.

use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::amqp::{AmqpOptions, AmqpQueue};
use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{Extended, Queue};
use tokio::time::{Instant, sleep};

use super::bench::{Bench, becomes, ids, send, take};

#[tokio::test]
async fn no_more_is_in_hand_than_may_be() {
    let bench = Bench::new().await;
    let queue = AmqpQueue::new(AmqpOptions { prefetch: 3, ..bench.options() }).unwrap();
    send(&queue, &["a", "b", "c", "d", "e"]).await;
    let held = take(&queue, 3).await;
    assert_eq!(queue.receive(10).await.unwrap(), [], "three are in hand");
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.leased, depth.visible), (3, 2));
    queue.settle(&held[0].lease, &Settlement::Done).await.unwrap();
    assert_eq!(take(&queue, 1).await.len(), 1);
    assert_eq!(queue.depth().await.unwrap().leased, 3);
}

#[tokio::test]
async fn a_client_that_pauses_hides_no_message_from_others() {
    let bench = Bench::new().await;
    let (pausing, other) = (bench.queue(), bench.queue());
    send(&pausing, &["a", "b", "c", "d"]).await;
    let held = take(&pausing, 1).await;
    let taken = take(&other, 3).await;
    assert_eq!(taken.len(), 3);
    assert!(taken.iter().all(|delivery| delivery.unfinished <= 1), "{taken:?}");
    pausing.settle(&held[0].lease, &Settlement::Done).await.unwrap();
    send(&other, &["e"]).await;
    assert_eq!(ids(&take(&pausing, 1).await), ["e"], "and it goes on when it is back");
}

#[tokio::test]
async fn a_delay_between_tiers_is_walked_and_counts_nothing() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    send(&queue, &["a"]).await;
    let delivery = take(&queue, 1).await.remove(0);
    let delay = Duration::from_millis(2_600);
    let began = Instant::now();
    queue.settle(&delivery.lease, &Settlement::Retry { attempts: 2, delay }).await.unwrap();
    let again = take(&queue, 1).await.remove(0);
    let waited = began.elapsed();
    // A busy broker is seconds late with what it moves by itself.
    assert!(waited >= delay && waited < delay + Duration::from_secs(10), "{waited:?}");
    assert_eq!((again.attempts, again.unfinished), (2, 0));
    assert_eq!(again.message, delivery.message);
}

#[tokio::test]
async fn a_message_that_waits_is_in_nobodys_hands() {
    let bench = Bench::new().await;
    let queue = bench.queue();
    send(&queue, &["a"]).await;
    let delivery = take(&queue, 1).await.remove(0);
    let later = Settlement::HandBack { delay: Duration::from_secs(3_000) };
    queue.settle(&delivery.lease, &later).await.unwrap();
    becomes("it is delayed", || async {
        let depth = queue.depth().await.unwrap();
        (depth.delayed, depth.total()) == (1, 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settlements_overlap() {
    let bench = Bench::new().await;
    let delay = Duration::from_millis(40);
    let (queue, _relay) = bench.relayed(delay).await;
    let names: Vec<_> = (0..64).map(|number| format!("m{number}")).collect();
    send(&queue, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let held = take(&queue, 64).await;
    let began = Instant::now();
    let settling = held.iter().map(|delivery| {
        let queue = Arc::clone(&queue);
        async move { queue.settle(&delivery.lease, &Settlement::Retry { attempts: 1, delay: Duration::ZERO }).await }
    });
    for settled in futures::future::join_all(settling).await {
        settled.unwrap();
    }
    let one_after_the_other = delay * 2 * 64;
    assert!(began.elapsed() < one_after_the_other / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn closing_gives_back_what_was_taken_ahead_and_settles_what_is_in_hand() {
    let bench = Bench::new().await;
    let (closing, other) = (bench.queue(), bench.queue());
    send(&closing, &["a", "b", "c", "d"]).await;
    let held = take(&closing, 1).await;
    let began = Instant::now();
    closing.close().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    closing.close().await;
    assert_eq!(take(&other, 3).await.len(), 3);
    assert_eq!(closing.extend(&[held[0].lease.clone()]).await.unwrap(), Extended::default());
    closing.settle(&held[0].lease, &Settlement::HandBack { delay: Duration::ZERO }).await.unwrap();
    assert_eq!(ids(&take(&other, 1).await), ids(&held));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(closing.receive(5).await.unwrap(), []);
}
