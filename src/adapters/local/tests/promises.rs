//! Opening, fairness, other processes' messages, limits.

use std::collections::BTreeMap;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use super::queue;
use crate::adapters::local::{LocalDatabase, LocalQueue, LocalQueueOptions, OpenError};
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Delivery, MESSAGE_BYTES_MAX, Outgoing, Queue, QueueError};
use crate::testing::contracts::queue::{LONG_LEASE, outgoing};

fn of_team(team: &str, name: &str) -> Outgoing {
    Outgoing { group: Some(team.to_owned()), id: format!("{team}/{name}"), ..outgoing(name) }
}

fn team_of(delivery: &Delivery) -> String {
    let id = delivery.message.id.as_deref().expect("an id");
    id.split('/').next().expect("a team").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_of_ours_is_refused_and_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    std::fs::write(&path, "a letter to my mother, longer than any header that SQLite would read in one go")
        .expect("written");
    let opened = LocalDatabase::open(&path).await;
    assert!(matches!(opened, Err(OpenError::NotOurs { .. })), "{opened:?}");
    assert!(std::fs::read(&path).expect("read").starts_with(b"a letter"));

    let other = folder.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).expect("opened");
    connection.execute_batch("CREATE TABLE notes (text TEXT)").expect("made");
    let opened = LocalDatabase::open(&other).await;
    let Err(error @ OpenError::NotOurs { .. }) = opened else { panic!("{opened:?}") };
    assert!(error.to_string().ends_with("other.db is not a Longshore database"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_with_both_numbers() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    drop(LocalDatabase::open(&path).await.expect("made"));
    rusqlite::Connection::open(&path).expect("opened").pragma_update(None, "user_version", 7).expect("set");
    let opened = LocalDatabase::open(&path).await;
    assert!(matches!(opened, Err(OpenError::Newer { found: 7, known: 1, .. })), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_cannot_be_made_says_why() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("written");
    let opened = LocalDatabase::open(folder.path().join("file").join("queue.db")).await;
    assert!(matches!(opened, Err(OpenError::Unusable { .. })), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_make_the_same_database_at_once() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    let opened = futures::future::join_all((0..8).map(|_| LocalDatabase::open(&path))).await;
    for database in opened {
        database.expect("each of them opens it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_of_one_database_do_not_mix() {
    let folder = TempDir::new().expect("a folder");
    let database = LocalDatabase::open(folder.path().join("queue.db")).await.expect("made");
    let options = LocalQueueOptions { wait: Duration::from_millis(50), ..LocalQueueOptions::default() };
    let tasks = LocalQueue::new(database.clone(), "tasks", options);
    let webhooks = LocalQueue::new(database, "webhooks", options);
    tasks.send(&[outgoing("a")]).await.expect("sent");
    assert_eq!(webhooks.receive(1).await.expect("an answer"), []);
    let held = tasks.receive(1).await.expect("received").remove(0);
    let settled = webhooks.settle(&held.lease, &Settlement::Done).await;
    assert!(matches!(settled, Err(QueueError::LeaseLost)), "{settled:?}");
    tasks.settle(&held.lease, &Settlement::Done).await.expect("settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_is_refused_and_none_of_its_call_is_sent() {
    let folder = TempDir::new().expect("a folder");
    let queue = queue(&folder.path().join("queue.db"), LONG_LEASE).await;
    let sized = |size: usize| Outgoing { body: vec![7; size].into(), attributes: [].into(), ..outgoing("large") };
    let refused = queue.send(&[outgoing("a"), sized(MESSAGE_BYTES_MAX + 1)]).await;
    assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
    assert_eq!(queue.depth().await.expect("depth").total(), 0);
    queue.send(&[sized(MESSAGE_BYTES_MAX)]).await.expect("the limit itself is taken");
    assert_eq!(queue.receive(1).await.expect("received")[0].message.body.len(), MESSAGE_BYTES_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_sends_is_seen_at_once() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    let (here, there) = (queue(&path, LONG_LEASE).await, queue(&path, LONG_LEASE).await);
    let waiting = tokio::spawn(async move { here.receive(1).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    there.send(&[outgoing("a")]).await.expect("sent");
    let received = timeout(Duration::from_secs(2), waiting).await.expect("well before the wait ends");
    assert_eq!(received.expect("no panic").expect("received").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receive_that_is_dropped_on_its_way_gives_its_messages_back_at_once() {
    let folder = TempDir::new().expect("a folder");
    let queue = queue(&folder.path().join("queue.db"), LONG_LEASE).await;
    queue.send(&[outgoing("a")]).await.expect("sent");
    for step in 0..60 {
        let _given_up = timeout(Duration::from_micros(step * 40), async {
            let received = queue.receive(1).await.expect("received");
            queue.settle(&received[0].lease, &Settlement::HandBack { delay: Duration::ZERO }).await
        })
        .await;
        // Given up while it settled, it may hold the message: only those dropped before count here.
        if queue.depth().await.expect("depth").leased > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let received = timeout(Duration::from_secs(5), queue.receive(1)).await.expect("long before the lease ends");
    assert_eq!(received.expect("received").len(), 1);
}

/// The median time of one receive. Each message is settled, outside of the measured time.
async fn receive_time(queue: &LocalQueue, count: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        let received = queue.receive(1).await.expect("received").remove(0);
        times.push(started.elapsed());
        queue.settle(&received.lease, &Settlement::Done).await.expect("settled");
    }
    times.sort();
    times[count / 2]
}

/// A team with 100,000 messages before it delays another team's one message by one turn, and receiving stays quick.
#[tokio::test(flavor = "multi_thread")]
async fn a_team_with_a_hundred_thousand_messages_holds_up_nobody() {
    let folder = TempDir::new().expect("a folder");
    let queue = queue(&folder.path().join("queue.db"), LONG_LEASE).await;
    queue.send(&(0..200).map(|number| of_team("early", &number.to_string())).collect::<Vec<_>>()).await.expect("sent");
    let lonely = receive_time(&queue, 200).await;
    let flood: Vec<_> = (0..100_000).map(|number| of_team("flood", &number.to_string())).collect();
    queue.send(&flood).await.expect("sent");
    let crowded = receive_time(&queue, 200).await;
    println!("one receive: {crowded:?} with 100,000 queued, {lonely:?} with 200");
    for name in ["0", "1", "2"] {
        queue.send(&[of_team("small", name), of_team("other", name)]).await.expect("sent");
    }
    let first = queue.receive(9).await.expect("received");
    let mut turns: BTreeMap<String, usize> = BTreeMap::new();
    for delivery in &first {
        *turns.entry(team_of(delivery)).or_default() += 1;
    }
    assert_eq!(turns, [("flood", 3), ("other", 3), ("small", 3)].map(|(t, n)| (t.to_owned(), n)).into());
    let floods: Vec<_> = first.iter().filter(|d| team_of(d) == "flood").map(|d| d.message.id.clone()).collect();
    assert_eq!(floods, ["flood/200", "flood/201", "flood/202"].map(|id| Some(id.to_owned())), "oldest first");

    assert!(crowded < lonely * 5 + Duration::from_millis(5), "{crowded:?} with a crowd, {lonely:?} without");
}

/// With one message in hand at a time, teams still take turns.
#[tokio::test(flavor = "multi_thread")]
async fn teams_take_turns_with_one_message_in_hand() {
    let folder = TempDir::new().expect("a folder");
    let queue = queue(&folder.path().join("queue.db"), LONG_LEASE).await;
    let messages: Vec<_> = (0..6).map(|number| of_team("a", &number.to_string())).collect();
    queue.send(&messages).await.expect("sent");
    queue.send(&[of_team("b", "0"), of_team("b", "1")]).await.expect("sent");
    let mut order = String::new();
    for _ in 0..8 {
        let received = queue.receive(1).await.expect("received").remove(0);
        order.push_str(&team_of(&received));
        queue.settle(&received.lease, &Settlement::Done).await.expect("settled");
    }
    assert_eq!(order, "ababaaaa");
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_and_age_are_those_of_all_processes() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    let (here, there) = (queue(&path, Duration::from_millis(200)).await, queue(&path, LONG_LEASE).await);
    assert_eq!(here.oldest_sent_at().await.expect("an answer"), None);
    here.send(&[outgoing("a"), outgoing("b"), outgoing("c")]).await.expect("sent");
    let held = here.receive(1).await.expect("received");
    let depth = there.depth().await.expect("depth");
    assert_eq!((depth.visible, depth.leased, depth.delayed), (2, 1, 0));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(there.depth().await.expect("depth").visible, 3, "a lease that ran out counts as visible");
    let again = there.receive(1).await.expect("received").remove(0);
    assert_eq!((again.message.id.clone(), again.unfinished), (held[0].message.id.clone(), 1));
    assert_eq!(there.oldest_sent_at().await.expect("an answer"), again.sent_at);
}

/// What one process does in a debug build. The bounds are a tenth of what was measured: they catch a lost index or a lost group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_pass_in_a_second() {
    const MESSAGES: usize = 5000;
    let folder = TempDir::new().expect("a folder");
    let queue = std::sync::Arc::new(queue(&folder.path().join("queue.db"), LONG_LEASE).await);
    let messages: Vec<_> =
        (0..MESSAGES).map(|number| of_team(&format!("t{}", number % 7), &number.to_string())).collect();
    let started = Instant::now();
    for part in messages.chunks(100) {
        queue.send(part).await.expect("sent");
    }
    let sending = started.elapsed();
    let started = Instant::now();
    let workers = (0..64).map(|_| {
        let queue = queue.clone();
        tokio::spawn(async move {
            for _ in 0..MESSAGES / 64 {
                let received = queue.receive(1).await.expect("received").remove(0);
                queue.settle(&received.lease, &Settlement::Done).await.expect("settled");
            }
        })
    });
    for ended in futures::future::join_all(workers).await {
        ended.expect("a worker ends");
    }
    let working = started.elapsed();
    println!("{MESSAGES} messages: sent in {sending:?} by 100, received and settled in {working:?} with 64 in flight");
    assert!(sending < Duration::from_secs(10) && working < Duration::from_secs(25), "{sending:?}, {working:?}");
}
