//! One team's crowd and another's single attachment, on the real queues.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::expect::{End, Sent};
use super::tasks::Draw;
use super::world::{Setup, World, sized};
use crate::proof;

/// How much longer than alone the single one may take.
const DELAY_MAX: Duration = Duration::from_secs(2);

fn is_of(sent: &Sent, team: &str) -> bool {
    matches!(&sent.end, End::Receipt(wanted) if wanted.team == team)
}

/// A task of `beta` with one small attachment.
fn late(draw: &mut Draw<'_>) -> Sent {
    loop {
        let sent = draw.single(2_000, "");
        if is_of(&sent, "beta") {
            return sent;
        }
    }
}

/// How long a single task takes from its sending to its receipt.
async fn takes(world: &World, sent: &Sent) -> Duration {
    let key = sent.wanted().unwrap().receipt_key();
    let began = Instant::now();
    world.send(std::slice::from_ref(sent)).await;
    while !world.vault.holds(&key).await {
        assert!(began.elapsed() < Duration::from_secs(100), "{key} is not there after {:?}", began.elapsed());
        sleep(Duration::from_millis(25)).await;
    }
    began.elapsed()
}

/// A hundred thousand attachments, or twenty thousand messages, at whole size.
async fn beside_a_crowd(setup: Setup, tasks: usize, each: usize, delay_max: Duration) {
    let world = World::new(setup).await;
    let mut draw = Draw::new(21, &world.origin);
    let (alone, beside) = (late(&mut draw), late(&mut draw));
    let mut worker = world.worker();
    worker.works(Duration::from_secs(30)).await;
    let alone = takes(&world, &alone).await;
    worker.terminate();
    worker.ends_with(0, Duration::from_secs(30)).await;
    draw.slow_down("0.02");
    let crowd: Vec<Sent> = (0..tasks).map(|_| draw.many_of("acme", each)).collect();
    world.send(&crowd).await;
    let mut worker = world.worker();
    worker.works(Duration::from_secs(30)).await;
    let beside = takes(&world, &beside).await;
    let done = worker.said().matches(" ended: ").count();
    let table = format!(
        "{setup:?}: {tasks} tasks of {each}, {done} of them ended; the single one took {alone:.2?} alone, {beside:.2?} beside them"
    );
    eprintln!("── {table}");
    proof::keep(&format!("crowd-{setup:?}-{}", if each == 1 { "small" } else { "large" }), &table);
    worker.kill();
    assert!(beside <= alone + delay_max, "alone {alone:?}, beside the crowd {beside:?}");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_large_tasks_delays_a_single_one_by_less_than_two_seconds_on_rabbitmq() {
    beside_a_crowd(Setup::AmqpS3, 100, sized(1_000, 40), DELAY_MAX).await;
}

/// Each message of the crowd is moved. At whole size that is for an optimised build.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_small_tasks_delays_a_single_one_by_less_than_two_seconds_on_rabbitmq() {
    beside_a_crowd(Setup::AmqpS3, sized(20_000, 300), 1, DELAY_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_large_tasks_delays_a_single_one_by_less_than_two_seconds_on_one_machine() {
    beside_a_crowd(Setup::LocalFile, 100, sized(1_000, 40), DELAY_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_small_tasks_delays_a_single_one_by_less_than_two_seconds_on_one_machine() {
    beside_a_crowd(Setup::LocalFile, sized(20_000, 300), 1, DELAY_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_large_tasks_delays_a_single_one_by_less_than_two_seconds_on_sqs() {
    beside_a_crowd(Setup::SqsS3, 100, sized(1_000, 40), DELAY_MAX).await;
}

/// A standard queue gives messages as they were sent, and each look past a busy team's is paid for: a hundred are looked past at
/// once. Fair queues, which AWS makes of the message groups, and FIFO queues pass any crowd.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_small_tasks_delays_a_single_one_by_less_than_two_seconds_on_sqs() {
    beside_a_crowd(Setup::SqsS3, 100, 1, DELAY_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_small_tasks_delays_a_single_one_by_less_than_two_seconds_on_fifo_queues() {
    beside_a_crowd(Setup::FifoS3, sized(20_000, 300), 1, DELAY_MAX).await;
}

/// How long one team's messages take when nobody else has any.
async fn crowd_alone(count: usize, lookahead: &str) -> Duration {
    let mut world = World::new(Setup::AmqpS3).await;
    world.set("QUEUE__LOOKAHEAD", lookahead);
    let mut draw = Draw::new(22, &world.origin);
    let crowd: Vec<Sent> = (0..count).map(|_| draw.many_of("acme", 1)).collect();
    world.send(&crowd).await;
    let mut worker = world.worker();
    worker.works(Duration::from_secs(30)).await;
    let began = Instant::now();
    world.announced(&crowd, Duration::from_secs(300)).await;
    let took = began.elapsed();
    worker.kill();
    world.clear().await;
    took
}

/// Looking past messages moves them away and back, and a quarter of the places is kept for others: so a team that has the queue to
/// itself takes a third longer, and what the moves cost.
#[tokio::test(flavor = "multi_thread")]
async fn looking_ahead_costs_a_team_that_is_alone_little_on_rabbitmq() {
    let count = sized(5_000, 500);
    let without = crowd_alone(count, "0").await;
    let with = crowd_alone(count, "20000").await;
    eprintln!("── {count} messages of one team: {without:?} without looking ahead, {with:?} with it");
    assert!(with <= without.mul_f64(1.8) + Duration::from_secs(2), "{without:?} without, {with:?} with");
}
