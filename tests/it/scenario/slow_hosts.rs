//! Hosts that drip do not hold up a healthy team, on the default limits.
//!
//! Each of the slow tasks keeps one of the worker's 64 places for messages; the healthy team's pace is then still its host's.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::expect::Sent;
use super::tasks::Draw;
use super::world::{Setup, World};

const HOSTS: u8 = 40;
const HEALTHY: usize = 500;
const ROUNDS: usize = 3;

/// How long a healthy team's tasks take beside the `slow` ones, if there are any.
async fn healthy_takes(round: usize, with_slow: bool) -> Duration {
    let mut world = World::with_hosts(Setup::LocalFile, HOSTS).await;
    world.with_default_limits();
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

#[tokio::test(flavor = "multi_thread")]
async fn forty_hosts_that_drip_cost_a_healthy_team_less_than_a_tenth() {
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        alone.push(healthy_takes(round, false).await);
        beside.push(healthy_takes(round, true).await);
    }
    eprintln!("── {HEALTHY} healthy tasks\n   alone {alone:?}\n   beside {HOSTS} hosts that drip {beside:?}");
    let (alone, beside) = (median(alone), median(beside));
    assert!(beside.as_secs_f64() < alone.as_secs_f64() / 0.9, "{beside:?} beside slow hosts, {alone:?} alone");
}
