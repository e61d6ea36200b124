//! The same task several times at once, while the origin says something else each time.

use std::time::Duration;

use serde_json::json;

use super::expect::{End, Outcome, Part, Sent, Wanted};
use super::world::{Setup, World};

const TASKS: usize = 25;
const COPIES: usize = 4;

/// `TASKS` tasks, each `COPIES` times, of a body that alternates as `how` says.
fn alternating(world: &World, how: &str) -> Vec<Sent> {
    let mut sent = Vec::new();
    for number in 0..TASKS {
        let target = format!("/blob/{number}?size=30000&alternate={how}&first_byte_delay=0.05");
        // The origin counts by the whole target, so the checker's own requests see both contents in turn.
        let oracle = if how == "bytes" {
            format!("/blob/{number}?size=30000&alternate=bytes")
        } else {
            format!("/blob/{number}?size=30000")
        };
        let body =
            json!({"task_id": format!("r-{number}"), "team": "acme", "attachments": [world.origin.url(&target)]});
        let outcome = Outcome::Alternating { oracle, target, may_fail: how == "status" };
        let parts = vec![Part { id: "0".into(), outcome }];
        let end = End::Receipt(Wanted { team: "acme".into(), task: format!("r-{number}"), parts });
        let copy = |copy| Sent::new(format!("r-{number}-{copy}"), body.to_string(), end.clone());
        sent.extend((0..COPIES).map(copy));
    }
    sent
}

async fn race(setup: Setup, how: &str, workers: usize) {
    let mut world = World::new(setup).await;
    world.hurry();
    let sent = alternating(&world, how);
    // Between processes nobody waits for another: one may have written that the source has nothing just before another's
    // copy of it is whole. Objects are never deleted, so that copy remains.
    world.raced = workers > 1 && how == "status";
    world.send(&sent).await;
    let mut running: Vec<_> = (0..workers).map(|_| world.worker_until_empty()).collect();
    for worker in &mut running {
        worker.ends_with(0, Duration::from_secs(90)).await;
    }
    world
        .all_right(&format!("{TASKS} tasks, {COPIES} copies of each, alternating {how}, {workers} workers"), &sent)
        .await;
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_gives_copies_of_a_task_one_receipt_while_the_status_alternates() {
    race(Setup::AmqpS3, "status", 1).await;
    race(Setup::LocalFile, "status", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_gives_copies_of_a_task_one_receipt_while_the_bytes_alternate() {
    race(Setup::AmqpS3, "bytes", 1).await;
    race(Setup::LocalFile, "bytes", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_give_copies_of_a_task_one_receipt_while_the_bytes_alternate() {
    race(Setup::AmqpS3, "bytes", 2).await;
    race(Setup::LocalFile, "bytes", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_give_copies_of_a_task_one_receipt_while_the_status_alternates() {
    race(Setup::AmqpS3, "status", 2).await;
    race(Setup::LocalFile, "status", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_a_task_on_sqs_get_one_receipt_while_the_bytes_alternate() {
    race(Setup::SqsS3, "bytes", 1).await;
    race(Setup::SqsS3, "bytes", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_give_copies_of_a_task_on_sqs_one_receipt_while_the_status_alternates() {
    race(Setup::SqsS3, "status", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_give_copies_of_a_task_on_fifo_queues_one_receipt_while_the_bytes_alternate() {
    race(Setup::FifoS3, "bytes", 2).await;
}
