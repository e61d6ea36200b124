//! What a worker needs goes away for a while, under load: the store, the queues, the customers' storage and who gives its keys.

use std::time::Duration;

use tokio::time::sleep;

use super::expect::Sent;
use super::hits::{Hit, fetched_again};
use super::process::Worker;
use super::tasks::Draw;
use super::way::Way;
use super::world::{Setup, World};
use crate::bed;

/// How long what was under way when a way was cut may still come to an end.
const IN_THE_AIR: Duration = Duration::from_secs(1);

/// `count` tasks from slow sources, on the queue.
async fn load(world: &World, count: usize) -> Vec<Sent> {
    let mut draw = Draw::of(5, world);
    draw.slow_down("0.3");
    let sent = draw.plain(count);
    world.put(&draw.objects()).await;
    world.send(&sent).await;
    sent
}

fn assert_runs(worker: &mut Worker) {
    assert!(worker.is_running(), "the worker gave up:\n{}", worker.said());
}

async fn store_away_for(setup: Setup, away: Duration) {
    let mut world = World::usual(setup).await;
    let mut way = Way::open(bed::weed_endpoint()).await;
    world.set("STORE__ENDPOINT_URL", &way.endpoint());
    let sent = load(&world, 300).await;
    let mut worker = world.worker_until_empty();
    world.receipts_reach(40, Duration::from_secs(60)).await;
    way.cut().await;
    sleep(IN_THE_AIR).await;
    let (before, fetches) = (world.receipts().await, world.origin.log("/blob").await.len());
    sleep(away).await;
    assert_runs(&mut worker);
    let fetched = world.origin.log("/blob").await.len() - fetches;
    assert_eq!(world.receipts().await, before, "a receipt was written through a way that was cut");
    assert!(before < sent.len(), "all was done before the outage");
    way.reopen().await;
    worker.ends_with(0, Duration::from_secs(100)).await;
    let (report, _) = world.all_right(&format!("300 tasks, the store away for {away:?}"), &sent).await;
    eprintln!("   {before} receipts before it, {fetched} fetches begun during it");
    assert_eq!(report.most_fetches, 1, "the bytes were in hand, so nothing may be fetched twice");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_costs_no_second_fetch_on_rabbitmq() {
    store_away_for(Setup::AmqpS3, Duration::from_secs(30)).await;
}

/// SQS is cut off, in both directions and with what is under way, and comes back.
async fn queues_away(setup: Setup, lease: &str) {
    let mut world = World::usual(setup).await;
    let mut way = Way::open(bed::ministack_endpoint()).await;
    world.set("AWS__SQS_ENDPOINT_URL", &way.endpoint());
    world.set("QUEUE__LEASE", lease);
    let sent = load(&world, 200).await;
    let mut worker = world.worker_until_empty();
    world.receipts_reach(30, Duration::from_secs(60)).await;
    way.cut().await;
    let away = Duration::from_secs(10);
    sleep(away).await;
    assert_runs(&mut worker);
    let (before, asked) = (world.receipts().await, way.asked().len());
    assert!(before < sent.len(), "all was done before the outage");
    // Whoever held a message may have lost it; what was stored by now must not be fetched again.
    let hit = Hit::now(&world).await;
    way.reopen().await;
    // What could not be settled comes again when its lease has ended.
    worker.ends_with(0, Duration::from_secs(200)).await;
    let (report, seen) = world.all_right(&format!("200 tasks, SQS away for {away:?}, a lease of {lease}"), &sent).await;
    eprintln!("   {before} receipts before it came back, {asked} requests until then, {} in all", way.asked().len());
    assert_eq!(fetched_again(&[hit], &seen, &sent), Vec::<String>::new(), "fetched although a copy was there");
    assert_eq!(seen.dead.len(), 0, "an outage is nobody's attempt");
    if lease == "2m" {
        assert_eq!(report.most_fetches, 1, "no lease has ended, so nothing may be fetched twice");
    }
    world.clear().await;
}

/// Nobody gives keys for the customers' buckets, and then the buckets are away.
async fn customers_away() {
    let mut world = World::usual(Setup::SqsS3).await;
    let away = Duration::from_secs(8);
    // Nobody gives keys at first…
    world.customers.as_mut().unwrap().sts.cut().await;
    let sent = load(&world, 150).await;
    let mut worker = world.worker_until_empty();
    sleep(away).await;
    world.customers.as_mut().unwrap().sts.reopen().await;
    // …and then, with keys at hand, the buckets are away.
    world.receipts_reach(60, Duration::from_secs(60)).await;
    world.customers.as_mut().unwrap().s3.cut().await;
    sleep(away).await;
    assert_runs(&mut worker);
    assert!(world.receipts().await < sent.len(), "all was done before the outage");
    world.customers.as_mut().unwrap().s3.reopen().await;
    worker.ends_with(0, Duration::from_secs(100)).await;
    world.all_right(&format!("150 tasks, STS and then customers' S3 away for {away:?} each"), &sent).await;
    world.clear().await;
}

mod long {
    use super::super::world::sized;
    use super::{Duration, Setup, customers_away, queues_away, store_away_for};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_is_away_for_minutes_costs_no_second_fetch() {
        store_away_for(Setup::AmqpS3, Duration::from_secs(sized(300, 45))).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_goes_away_costs_no_second_fetch_on_sqs() {
        store_away_for(Setup::SqsS3, Duration::from_secs(sized(300, 30))).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_that_goes_away_costs_no_second_fetch_on_fifo_queues() {
        store_away_for(Setup::FifoS3, Duration::from_secs(sized(300, 5))).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn queues_that_go_away_cost_no_second_fetch_on_sqs() {
        queues_away(Setup::SqsS3, "2m").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn queues_that_go_away_for_longer_than_a_lease_lose_nothing_on_fifo_queues() {
        queues_away(Setup::FifoS3, "5s").await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn customers_storage_and_keys_that_go_away_fail_no_task() {
        customers_away().await;
    }
}
