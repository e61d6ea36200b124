//! Every named crash point, hit in turn on each queue: the process is killed there, and others finish.
//!
//! In the ordinary run a few of them, chosen by the day; all of them in `make test-long` and `make proof`. What follows from a
//! freeze, and from a kill in the middle of a gibibyte, stands in [`super::points`].

use std::fmt::Write;
use std::time::Duration;

use futures::StreamExt;
use longshore::ports::crash::POINTS;
use tokio::time::{Instant, sleep};

use super::customers::{Customers, Door};
use super::expect::Sent;
use super::process::Worker;
use super::tasks::Draw;
use super::world::{Setup, World, sized};
use crate::proof;

/// How many points are hit on each queue in the ordinary run.
const FEW: usize = 2;
/// How many at the same time: most of it is waiting for leases to end.
const AT_ONCE: usize = 3;
/// Larger than a part, so that facts are written beside the object.
const SOME_PARTS: u64 = 9 << 20;
/// From so many unfinished deliveries on a message is worked on alone.
const SUSPECT_FROM: usize = 3;

/// The points that are passed on this queue: the embedded one changes a message in place and copies none.
fn points(setup: Setup) -> Vec<&'static str> {
    let is_passed = |point: &&str| setup != Setup::LocalFile || *point != "message-copied";
    POINTS.iter().copied().filter(is_passed).collect()
}

/// Those of `all` that are looked at now, and why these.
fn chosen(setup: Setup, all: Vec<&'static str>) -> Vec<&'static str> {
    let day = usize::try_from(jiff::Timestamp::now().as_second() / 86_400).unwrap();
    let few = (0..FEW).map(|number| all[(day * FEW + number) % all.len()]).collect();
    let chosen = sized(all, few);
    eprintln!("── crash points on {setup:?}, day {day}: {chosen:?}");
    chosen
}

async fn matrix(setup: Setup) {
    let mut table = format!(
        "{setup:?}\n{:<20} {:>8} {:>10} {:>10} {:>8}\n",
        "crash point", "killed", "restarts", "max fetch", "took"
    );
    let hits = chosen(setup, points(setup)).into_iter().map(|point| hit(setup, point));
    let mut lines = futures::stream::iter(hits).buffered(AT_ONCE);
    while let Some(line) = lines.next().await {
        let _ = writeln!(table, "{line}");
    }
    eprintln!("── killed at each point ({setup:?}), then restarted until empty: nothing lost, nothing wrong\n{table}");
    proof::keep(&format!("crash-{setup:?}"), &table);
}

/// Tasks that together pass every point.
fn tasks(draw: &mut Draw<'_>) -> Vec<Sent> {
    let mut sent = draw.singles(3);
    sent.push(draw.single(SOME_PARTS, ""));
    sent.push(draw.single(3_000, "&fail=1"));
    sent.push(draw.task_in_bucket("delta", 1, 2_000));
    sent
}

/// Kills a worker at `point`, lets others finish, and checks everything. A line of the table.
async fn hit(setup: Setup, point: &str) -> String {
    let began = Instant::now();
    let mut world = World::new(setup).await;
    world.let_in(Customers::in_the_emulator(&[("delta", Door::Role)]).await);
    world.tell_teams(0);
    world.hurry();
    world.set("QUEUE__LEASE", if setup.is_sqs() { "3s" } else { "2s" });
    // One try in place, so that what fails in passing is copied to where it waits.
    world.set("RETRY__TRIES", "1");
    let mut draw = Draw::of(13, &world);
    let sent = tasks(&mut draw);
    world.put(&draw.objects()).await;
    world.send(&sent).await;
    let mut killed = 0;
    if point == "suspect-noted" {
        for _ in 0..SUSPECT_FROM {
            dies(&world, "task-begun").await;
            killed += 1;
        }
    }
    dies(&world, point).await;
    killed += 1;
    let restarts = restarted_until_done(&world, &sent).await;
    let (report, _) = world.all_right(&format!("killed at {point}"), &sent).await;
    // What was being fetched when it was killed is fetched again, as often as that happened.
    assert!(report.most_fetches <= 1 + killed, "{point}: one attachment was fetched {} times", report.most_fetches);
    world.clear().await;
    let took = format!("{:.1} s", began.elapsed().as_secs_f64());
    format!("{point:<20} {killed:>8} {restarts:>10} {:>10} {took:>8}", report.most_fetches)
}

/// Runs a worker until it is killed at `point`.
async fn dies(world: &World, point: &str) {
    let mut worker: Worker = world.worker_hit_at(&format!("{point}:kill:1"));
    let began = Instant::now();
    while worker.is_running() {
        assert!(began.elapsed() < Duration::from_secs(100), "{point} was never passed:\n{}", worker.said());
        sleep(Duration::from_millis(20)).await;
    }
    world.has_killed();
}

/// Runs workers until everything is done, and returns how many that took.
async fn restarted_until_done(world: &World, sent: &[Sent]) -> usize {
    for restart in 1..=5 {
        world.run_until_empty(Duration::from_secs(100)).await;
        if world.told_so_far().await >= sent.len() {
            return restart;
        }
    }
    panic!("{} of {} endpoints were told after five restarts", world.told_so_far().await, sent.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_nothing_is_lost_on_rabbitmq() {
    matrix(Setup::AmqpS3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_nothing_is_lost_on_sqs() {
    matrix(Setup::SqsS3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_point_nothing_is_lost_on_one_machine() {
    matrix(Setup::LocalFile).await;
}
