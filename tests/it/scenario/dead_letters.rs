//! Dead letters on SQS, made by the real worker and worked with the command line.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::expect::{End, Sent};
use super::tasks::Draw;
use super::world::{Setup, World};

const MEBIBYTE: usize = 1 << 20;
const WITHIN: Duration = Duration::from_secs(40);

fn undecodable(id: &str, body: impl Into<bytes::Bytes>) -> Sent {
    Sent::new(id, body, End::Dead { reason: "undecodable", detail: "" })
}

/// Lists until there are so many dead letters.
async fn listed(world: &World, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let said = world.says(&["dead", "list", "--json"]).await;
        let listed: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if listed.len() == count {
            return listed;
        }
        assert!(began.elapsed() < WITHIN, "not {count} dead letters but {}: {said}", listed.len());
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_and_replayed_again_and_again_on_fifo_queues_nothing_is_lost() {
    let world = World::new(Setup::FifoS3).await;
    let mut draw = Draw::of(3, &world);
    let bad: Vec<Sent> =
        (0..3).map(|number| undecodable(&format!("bad-{number}"), format!("poison {number}"))).collect();
    let mut sent = bad.clone();
    sent.extend(draw.plain(10));
    world.send(&sent).await;
    let worker = world.worker();
    let began = Instant::now();
    let mut dead = listed(&world, bad.len()).await;
    for round in 0..3 {
        assert_eq!(world.says(&["dead", "replay", "--all"]).await, "replayed 3\n", "round {round}");
        let again = listed(&world, bad.len()).await;
        let is_new = |letter: &Value| dead.iter().all(|before| before["failed_at"] != letter["failed_at"]);
        assert!(again.iter().all(is_new), "round {round}: {again:?} have not run again");
        dead = again;
    }
    // SQS forgets a deduplication id after five minutes: everything happened within them, most of all within one.
    eprintln!("   dead and replayed three times in {:?}", began.elapsed());
    world.announced(&sent, WITHIN).await;
    worker.ends_in_peace().await;
    world.all_right("three times dead and replayed", &sent).await;
    world.clear().await;
}

async fn the_largest(setup: Setup) {
    let world = World::new(setup).await;
    let body = "x".repeat(MEBIBYTE);
    // Not even an attribute would find room beside it.
    world.queue.sqs().send_bare(&body).await;
    let worker = world.worker();
    for round in 0..2 {
        let dead = listed(&world, 1).await.remove(0);
        assert_eq!(dead["reason"], "undecodable", "round {round}");
        assert_ne!(dead["detail"], "", "round {round}");
        assert!(dead["body"] == body.as_str(), "round {round}: the body is whole");
        let stored = world.vault.keys().await.into_iter().filter(|key| key.starts_with("_dead/")).count();
        assert!(stored >= 1, "there is no room for the reason beside it, so it lies in the store");
        if round == 0 {
            assert_eq!(world.says(&["dead", "replay", "--all"]).await, "replayed 1\n");
        }
    }
    worker.ends_in_peace().await;
    assert_eq!(world.queue.left().await.iter().map(|(_, count)| count).sum::<u64>(), 0);
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mebibyte_that_cannot_be_decoded_is_dead_lettered_with_its_reason_and_replayed_on_sqs() {
    the_largest(Setup::SqsS3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mebibyte_that_cannot_be_decoded_is_dead_lettered_with_its_reason_and_replayed_on_fifo_queues() {
    the_largest(Setup::FifoS3).await;
}
