//! Limits that hold over replicas: four workers, one Redis, and what the origin saw of them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::expect::Sent;
use super::process::Worker;
use super::redis::Redis;
use super::tasks::Draw;
use super::world::{Setup, World, sized};
use crate::bed;

const REPLICAS: usize = 4;
/// Requests a second, and for how many seconds there are some.
const RATE: usize = 80;
const SECONDS: usize = 6;

async fn world(redis: &Redis) -> World {
    world_with_hosts(redis, 1, RATE).await
}

async fn world_with_hosts(redis: &Redis, hosts: u8, per_host: usize) -> World {
    let mut world = World::with_hosts(Setup::LocalFile, hosts).await;
    world.set("LIMITS__SHARED__REDIS_URL", &redis.url());
    world.set("LIMITS__PER_HOST__REQUESTS_PER_SECOND", &per_host.to_string());
    // None may take more than its part of the messages, or the last one would work alone in the end.
    world.set("LIMITS__MESSAGES_IN_HAND", "16");
    world
}

async fn workers(world: &World) -> Vec<Worker> {
    let mut workers: Vec<Worker> = (0..REPLICAS).map(|_| world.worker()).collect();
    for worker in &mut workers {
        worker.works(Duration::from_secs(30)).await;
    }
    // Each has said to the Redis that it is there, and heard of the others.
    sleep(Duration::from_secs(4)).await;
    workers
}

/// When the origin was asked for bodies, in seconds.
async fn asked_at(world: &World) -> Vec<f64> {
    asked_on(world, "").await
}

/// The same, under names that begin so.
async fn asked_on(world: &World, host: &str) -> Vec<f64> {
    let log = world.origin.log("/blob").await;
    let mut times: Vec<f64> =
        log.iter().filter(|request| request.headers["host"].starts_with(host)).map(|request| request.time).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn densest_second(times: &[f64]) -> usize {
    let within = |from: usize| times[from..].iter().take_while(|at| **at < times[from] + 1.0).count();
    (0..times.len()).map(within).max().unwrap_or(0)
}

async fn end(world: World, workers: Vec<Worker>, title: &str, sent: &[Sent]) {
    world.announced(sent, Duration::from_secs(60)).await;
    for worker in &workers {
        worker.terminate();
    }
    for mut worker in workers {
        worker.ends_with(0, Duration::from_secs(30)).await;
    }
    world.all_right(title, sent).await;
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_shared_over_tls_too() {
    let redis = Redis::start_with_tls().await;
    let mut world = world(&redis).await;
    world.trust(&bed::ca_pem_path());
    let sent = Draw::new(4, &world.origin).singles(20);
    world.send(&sent).await;
    let mut worker = world.worker_until_empty();
    worker.ends_with(0, Duration::from_secs(60)).await;
    // A worker that could not draw from it would wait for it, or keep to its share and say so.
    assert!(!worker.said().contains("shared limits are away"), "{}", worker.said());
    world.all_right("limits shared over TLS", &sent).await;
    world.clear().await;
}

/// How long many small tasks take where no limit binds.
async fn takes(redis: Option<&Redis>) -> Duration {
    let mut world = World::new(Setup::LocalFile).await;
    if let Some(redis) = redis {
        world.set("LIMITS__SHARED__REDIS_URL", &redis.url());
    }
    let sent = Draw::new(3, &world.origin).singles(sized(1000, 500));
    world.send(&sent).await;
    let began = Instant::now();
    world.run_until_empty(Duration::from_secs(100)).await;
    let took = began.elapsed();
    world.clear().await;
    took
}

mod alone {
    use super::*;

    fn median(mut times: Vec<Duration>) -> Duration {
        times.sort();
        times[times.len() / 2]
    }

    /// The promise is five per cent, as `ARCHITECTURE.md` tells how to measure; on a busy machine the bound must be wider.
    #[tokio::test(flavor = "multi_thread")]
    async fn shared_limits_that_do_not_bind_cost_next_to_nothing() {
        let redis = Redis::start().await;
        let (mut alone, mut shared) = (Vec::new(), Vec::new());
        for _ in 0..sized(5, 3) {
            alone.push(takes(None).await);
            shared.push(takes(Some(&redis)).await);
        }
        eprintln!("── the same tasks\n   limits of the process {alone:?}\n   limits shared over Redis {shared:?}");
        let ratio = median(shared).as_secs_f64() / median(alone).as_secs_f64();
        eprintln!("   medians: {ratio:.3} of the time");
        assert!(ratio < 1.15, "shared limits cost {ratio}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn four_replicas_keep_one_limit_in_every_second() {
        let redis = Redis::start().await;
        let world = world(&redis).await;
        let workers = workers(&world).await;
        let sent = Draw::new(1, &world.origin).singles(SECONDS * RATE);
        world.send(&sent).await;
        world.receipts_reach(sent.len(), Duration::from_secs(60)).await;
        let times = asked_at(&world).await;
        let (densest, took) = (densest_second(&times), times[times.len() - 1] - times[0]);
        eprintln!(
            "── {REPLICAS} replicas at {RATE} requests a second: {densest} in the densest second, {took:.1} s in all"
        );
        assert!(densest <= RATE + RATE / 20, "{densest} requests in a second");
        assert!(took < 1.25 * SECONDS as f64, "the limit was not used: {took} s for {SECONDS} s of requests");
        end(world, workers, "one limit over four replicas", &sent).await;
    }

    /// Now the team's limit holds them back and now a host's: neither is passed for the other.
    #[tokio::test(flavor = "multi_thread")]
    async fn four_replicas_keep_a_teams_limit_and_those_of_its_hosts_in_every_second() {
        const PER_TEAM: usize = 100;
        const PER_HOST: usize = 40;
        let redis = Redis::start().await;
        let mut world = world_with_hosts(&redis, 4, PER_HOST).await;
        world.set("LIMITS__PER_TEAM__REQUESTS_PER_SECOND", &PER_TEAM.to_string());
        let workers = workers(&world).await;
        let mut draw = Draw::new(5, &world.origin);
        draw.only_of("acme");
        // Of ten requests the four hosts have four, three, two and one.
        let turns = [1, 2, 3, 1, 2, 4, 1, 3, 2, 1].into_iter().cycle();
        let sent: Vec<Sent> = turns.take(SECONDS * PER_TEAM).map(|host| draw.on_host(host).single(2_000, "")).collect();
        world.send(&sent).await;
        world.receipts_reach(sent.len(), Duration::from_secs(60)).await;
        let times = asked_at(&world).await;
        let (densest, took) = (densest_second(&times), times[times.len() - 1] - times[0]);
        let mut of_hosts = Vec::new();
        for host in 1..=4 {
            of_hosts.push(densest_second(&asked_on(&world, &format!("127.0.0.{host}:")).await));
        }
        eprintln!(
            "── {REPLICAS} replicas, {PER_TEAM} requests a second for the team and {PER_HOST} for a host: {densest} and {of_hosts:?} in the densest second, {took:.1} s in all"
        );
        assert!(densest <= PER_TEAM + PER_TEAM / 20, "{densest} requests of the team in a second");
        assert!(of_hosts.iter().all(|densest| *densest <= PER_HOST + PER_HOST / 20), "{of_hosts:?} in a second");
        assert!(took < 1.5 * SECONDS as f64, "the limits were not used: {took} s for {SECONDS} s of requests");
        end(world, workers, "a team's limit and its hosts' over four replicas", &sent).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_redis_each_replica_keeps_to_its_share_and_says_so_once() {
        let mut redis = Redis::start().await;
        let world = world(&redis).await;
        let workers = workers(&world).await;
        let sent = Draw::new(2, &world.origin).singles(12 * RATE);
        world.send(&sent).await;
        world.receipts_reach(2 * RATE, Duration::from_secs(60)).await;
        redis.go_away();
        let (gone, before) = (Instant::now(), world.receipts().await);
        world.receipts_reach(before + 4 * RATE, Duration::from_secs(60)).await;
        let took = gone.elapsed();
        redis.come_back().await;
        world.receipts_reach(sent.len(), Duration::from_secs(60)).await;
        let densest = densest_second(&asked_at(&world).await);
        eprintln!("── Redis away: 4 s of requests took {took:?}; {densest} in the densest second of all");
        assert!(took < Duration::from_secs(8), "the share was not used: {took:?}");
        // Where the two ways of counting meet, a second may hold some of both.
        assert!(densest <= RATE + RATE / 4, "{densest} requests in a second");
        for worker in &workers {
            let said = worker.said();
            assert_eq!(said.matches("shared limits are away").count(), 1, "{said}");
            assert_eq!(said.matches("shared limits are back").count(), 1, "{said}");
            assert!(said.contains("one of 4"), "{said}");
        }
        end(world, workers, "Redis away and back", &sent).await;
    }
}
