//! A message that kills each process that works on it: it ends in the dead letters, and nothing beside it does.

use std::time::Duration;

use super::by_hand;
use super::expect::{End, Sent};
use super::queue::Queue;
use super::tasks::Draw;
use super::world::{Setup, World};

/// Which of the tasks kills.
const POISON: usize = 20;
const TASKS: usize = 60;

async fn poisoned(setup: Setup) {
    let mut world = World::new(setup).await;
    world.hurry();
    world.set("QUEUE__LEASE", "1s");
    let mut draw = Draw::new(11, &world.origin);
    draw.slow_down("0.2");
    let mut sent = draw.singles(TASKS);
    let task = sent[POISON].wanted().unwrap().task.clone();
    sent[POISON].end = End::Dead { reason: "attempts_exhausted", detail: "worked on alone" };
    world.send(&sent).await;
    let mut deaths = 0;
    loop {
        let mut worker = world.worker_until_empty_hit_at(&format!("task-begun:kill:1:{task}"));
        let status = worker.ended(Duration::from_secs(60)).await;
        if status.code() == Some(0) {
            break;
        }
        assert_eq!(status.code(), None, "it was killed:\n{}", worker.said());
        world.has_killed();
        deaths += 1;
        assert!(deaths < 20, "the poison kills for ever");
    }
    eprintln!("── a poisonous message among {TASKS} ({setup:?}): {deaths} processes killed");
    // Three with others in hand, and then each attempt alone.
    assert!(deaths >= 8, "{deaths} deaths prove nothing against it");
    world.all_right("a message that kills its process", &sent).await;
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_its_process_ends_alone_on_rabbitmq_and_s3() {
    poisoned(Setup::AmqpS3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_its_process_ends_alone_on_one_machine() {
    poisoned(Setup::LocalFile).await;
}

/// What the client library of RabbitMQ cannot read would end the process, by its stack, or the connection, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn properties_that_no_client_would_write_stop_nobody_on_rabbitmq() {
    let world = World::new(Setup::AmqpS3).await;
    let mut draw = Draw::new(12, &world.origin);
    let mut sent = draw.singles(10);
    world.send(&sent[..5]).await;
    let Queue::Broker(broker) = &world.queue else { unreachable!("this world has a broker") };
    broker.send_by_hand(&by_hand::latin_1(), &sent[5].body).await;
    // Its dead letter is a copy, headers and all.
    broker.send_by_hand(&by_hand::nested(20_000), b"no task").await;
    world.send(&sent[6..]).await;
    sent.push(Sent::new("nested".to_owned(), b"no task".to_vec(), End::Dead { reason: "undecodable", detail: "" }));
    let mut worker = world.worker_until_empty();
    worker.ends_with(0, Duration::from_secs(60)).await;
    world.all_right("properties that no client would write", &sent).await;
    world.clear().await;
}
