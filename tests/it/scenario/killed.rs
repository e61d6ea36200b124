//! Workers that are killed, stopped and replaced under load.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use super::hits::{Hit, fetched_again};
use super::tasks::Draw;
use super::world::{Setup, World, sized};

async fn world(setup: Setup, sqs_lease: &str) -> World {
    let mut world = World::usual(setup).await;
    world.hurry();
    // A killed worker's messages come back when its lease ends; on RabbitMQ at once. A FIFO group waits for that.
    let lease = match setup {
        Setup::AmqpS3 | Setup::LocalFile => "2s",
        Setup::SqsS3 => sqs_lease,
        Setup::FifoS3 => "3s",
    };
    world.set("QUEUE__LEASE", lease);
    world
}

async fn killed_at_random(setup: Setup, tasks: usize, kills: usize) {
    // Longer than most of the kills take: fewer messages become suspects then, which are worked on alone.
    let world = world(setup, "8s").await;
    let mut draw = Draw::of(500, &world);
    draw.slow_down("0.15");
    let sent = draw.plain(tasks);
    world.put(&draw.objects()).await;
    world.send(&sent).await;
    let mut random = StdRng::seed_from_u64(9);
    let mut hits = Vec::new();
    for kill in 0..kills {
        let before = world.origin.log("/blob").await.len();
        let worker = world.worker();
        // Every fifth is killed whatever it does, perhaps while it starts; the others at work.
        if kill % 5 != 0 {
            let some = random.random_range(5..45);
            world.origin.log_grows_beyond(before + some, Duration::from_secs(30)).await;
        }
        sleep(Duration::from_millis(random.random_range(0..500))).await;
        hits.push(Hit::kill(&world, worker).await);
    }
    eprintln!("   objects visible at the kills: {:?}", hits.iter().map(Hit::visible).collect::<Vec<_>>());
    let last = hits.last().map_or(0, Hit::visible);
    assert!(last > 0, "no kill hit a worker that had stored something");
    world.finish(&sent, Duration::from_secs(80)).await;
    let (_, seen) = world.all_right(&format!("{tasks} tasks, {kills} SIGKILLs at random moments"), &sent).await;
    assert_eq!(fetched_again(&hits, &seen, &sent), Vec::<String>::new(), "fetched although a copy was there");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_random_moments_loses_nothing_on_rabbitmq_and_s3() {
    killed_at_random(Setup::AmqpS3, sized(500, 250), sized(10, 6)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_random_moments_loses_nothing_on_one_machine() {
    killed_at_random(Setup::LocalFile, sized(500, 250), sized(10, 6)).await;
}

async fn killed_with_full_hands(setup: Setup) {
    let world = world(setup, "4s").await;
    let mut draw = Draw::of(6, &world);
    draw.slow_down("0.4");
    let sent = draw.singles(130);
    world.send(&sent).await;
    // What was in hand at three kills or more is worked on alone, one after the other.
    let mut hits = Vec::new();
    for _ in 0..6 {
        let before = world.origin.log("/blob").await.len();
        let worker = world.worker();
        world.origin.log_grows_beyond(before + 30, Duration::from_secs(20)).await;
        hits.push(Hit::kill(&world, worker).await);
    }
    world.finish(&sent, Duration::from_secs(110)).await;
    let (_, seen) = world.all_right("six SIGKILLs with full hands", &sent).await;
    assert_eq!(fetched_again(&hits, &seen, &sent), Vec::<String>::new(), "fetched although a copy was there");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_kills_with_full_prefetch_dead_letter_nothing_on_rabbitmq_and_s3() {
    killed_with_full_hands(Setup::AmqpS3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn six_kills_with_full_hands_dead_letter_nothing_on_one_machine() {
    killed_with_full_hands(Setup::LocalFile).await;
}

async fn rolling_restarts(setup: Setup, restarts: usize) {
    let world = world(setup, "30s").await;
    let mut draw = Draw::of(10, &world);
    draw.slow_down("0.5");
    let mut sent = Vec::new();
    // A machine that is quick may have finished everything before the next worker is up.
    let mut busy = 0;
    let mut old = world.worker();
    for _ in 0..restarts {
        let more = draw.plain(60);
        world.put(&draw.objects()).await;
        world.send(&more).await;
        sent.extend(more);
        let mut new = world.worker();
        new.works(Duration::from_secs(30)).await;
        busy += usize::from(world.receipts().await < sent.len());
        old.terminate();
        old.ends_with(0, Duration::from_secs(30)).await;
        old = new;
    }
    // A message that the one before gave back may come once more, and find its work done.
    world.announced(&sent, Duration::from_secs(80)).await;
    old.terminate();
    old.ends_with(0, Duration::from_secs(30)).await;
    assert!(busy >= restarts / 2, "only {busy} of {restarts} workers were stopped in mid-work");
    let title = format!("{} tasks, {restarts} rolling restarts", sent.len());
    if setup == Setup::FifoS3 {
        // What is given back keeps its place there, by its visibility, and the broker counts that as a delivery: after three
        // restarts some are suspects, with papers that stay.
        world.has_killed();
    }
    let (report, _) = world.all_right(&title, &sent).await;
    assert_eq!(report.most_fetches, 1, "nothing was cut, so nothing may be fetched twice");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restarts_fetch_each_attachment_once_on_rabbitmq_and_s3() {
    rolling_restarts(Setup::AmqpS3, sized(10, 5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_restarts_fetch_each_attachment_once_on_one_machine() {
    rolling_restarts(Setup::LocalFile, sized(10, 5)).await;
}

/// On SQS, where a killed worker's messages come back only when their leases end.
mod long {
    use super::{Setup, killed_at_random, killed_with_full_hands, rolling_restarts, sized};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_killed_at_random_moments_loses_nothing_on_sqs_and_s3() {
        killed_at_random(Setup::SqsS3, sized(500, 300), sized(10, 6)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_killed_at_random_moments_loses_nothing_on_fifo_queues_and_s3() {
        killed_at_random(Setup::FifoS3, sized(500, 150), sized(10, 4)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn six_kills_with_full_receives_dead_letter_nothing_on_sqs_and_s3() {
        killed_with_full_hands(Setup::SqsS3).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn six_kills_with_full_receives_dead_letter_nothing_on_fifo_queues_and_s3() {
        killed_with_full_hands(Setup::FifoS3).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rolling_restarts_fetch_each_attachment_once_on_sqs_and_s3() {
        rolling_restarts(Setup::SqsS3, sized(10, 4)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rolling_restarts_fetch_each_attachment_once_on_fifo_queues_and_s3() {
        rolling_restarts(Setup::FifoS3, sized(10, 3)).await;
    }
}
