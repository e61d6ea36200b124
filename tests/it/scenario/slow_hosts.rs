//! Hosts that drip do not hold up a healthy team: neither where its pace is its host's, nor where only its own tasks set it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::expect::Sent;
use super::tasks::Draw;
use super::world::{Setup, World};

const HOSTS: u8 = 40;
const HEALTHY: usize = 500;
const ROUNDS: usize = 3;

/// How long a healthy team's tasks take beside the `slow` ones, if there are any.
async fn healthy_takes(round: usize, with_slow: bool, per_second: &str) -> Duration {
    let mut world = World::with_hosts(Setup::LocalFile, HOSTS).await;
    world.with_default_limits();
    world.set("LIMITS__PER_HOST__REQUESTS_PER_SECOND", per_second);
    let mut draw = Draw::new(round as u64, &world.origin);
    let mut slow: Vec<Sent> = Vec::new();
    if with_slow {
        slow = (1..=HOSTS).map(|host| draw.on_host(host).single(100_000, "&rate=1")).collect();
    }
    draw.slow_down("0.1");
    let healthy: Vec<Sent> = (0..HEALTHY).map(|_| draw.on_host(1).single(20_000, "")).collect();
    world.send(&slow).await;
    let worker = world.worker();
    if with_slow {
        world.origin.log_grows_beyond(usize::from(HOSTS) - 1, Duration::from_secs(30)).await;
    } else {
        sleep(Duration::from_secs(2)).await;
    }
    let began = Instant::now();
    world.send(&healthy).await;
    world.receipts_reach(HEALTHY, Duration::from_secs(60)).await;
    let took = began.elapsed();
    worker.kill();
    world.clear().await;
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn beside_hosts_that_drip(per_second: &str) {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        alone.push(healthy_takes(round, false, per_second).await);
        beside.push(healthy_takes(round, true, per_second).await);
    }
    eprintln!(
        "── {HEALTHY} healthy tasks, {per_second} a second\n   alone {alone:?}\n   beside {HOSTS} hosts that drip {beside:?}"
    );
    let (alone, beside) = (median(alone), median(beside));
    assert!(beside.as_secs_f64() < alone.as_secs_f64() / 0.9, "{beside:?} beside slow hosts, {alone:?} alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_hosts_that_drip_cost_a_healthy_team_less_than_a_tenth() {
    beside_hosts_that_drip("100").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_hosts_that_drip_cost_a_healthy_team_less_than_a_tenth_without_a_limit_on_its_rate() {
    beside_hosts_that_drip("100000").await;
}
