//! The store goes away for a while, under load.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

use super::origin::{answers, free_port};
use super::process::Child;
use super::tasks::Draw;
use super::world::{Setup, World};
use crate::bed;

/// A way to the store that can be cut; dropped, it is cut.
struct Way {
    _child: Child,
}

impl Way {
    async fn open(port: u16) -> Self {
        let upstream = bed::weed_endpoint().trim_start_matches("http://");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/fault_proxy.py");
        let child = Command::new("python3")
            .args([
                script,
                "--listen",
                &port.to_string(),
                "--upstream",
                upstream,
                "--control",
                &free_port().to_string(),
            ])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let way = Self { _child: Child::new(child) };
        answers(([127, 0, 0, 1], port).into()).await;
        way
    }
}

async fn store_away_for(away: Duration) {
    let mut world = World::new(Setup::AmqpS3).await;
    let port = free_port();
    world.set("STORE__ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
    let way = Way::open(port).await;
    let mut draw = Draw::new(5, &world.origin);
    draw.slow_down("0.3");
    let sent = draw.plain(300);
    world.send(&sent).await;
    let mut worker = world.worker_until_empty();
    world.receipts_reach(40, Duration::from_secs(60)).await;
    drop(way);
    sleep(Duration::from_secs(1)).await;
    let (before, fetches) = (world.receipts().await, world.origin.log("/blob").await.len());
    sleep(away).await;
    assert!(worker.is_running(), "the worker gave up:\n{}", worker.said());
    let fetched = world.origin.log("/blob").await.len() - fetches;
    assert_eq!(world.receipts().await, before, "a receipt was written through a way that was cut");
    assert!(before < sent.len(), "all was done before the outage");
    let _way = Way::open(port).await;
    worker.ends_with(0, Duration::from_secs(100)).await;
    let (report, _) = world.all_right(&format!("300 tasks, the store away for {away:?}"), &sent).await;
    eprintln!("   {before} receipts before it, {fetched} fetches begun during it");
    assert_eq!(report.most_fetches, 1, "the bytes were in hand, so nothing may be fetched twice");
    world.clear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_costs_no_second_fetch() {
    store_away_for(Duration::from_secs(30)).await;
}

mod long {
    use super::{Duration, store_away_for};

    /// Five minutes where a person asks for them (`LONGSHORE_TEST_LONG=1`), one and a half otherwise.
    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::disallowed_methods, reason = "how long the test may take is the test's setting")]
    async fn a_store_that_is_away_for_minutes_costs_no_second_fetch() {
        let is_long = std::env::var_os("LONGSHORE_TEST_LONG").is_some();
        store_away_for(Duration::from_secs(if is_long { 300 } else { 90 })).await;
    }
}
