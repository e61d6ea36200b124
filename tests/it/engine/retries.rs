//! Tries again in place cost the source a share of real traffic, however much fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use longshore::domain::facts::SourceVersion;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::receipt::Status;
use longshore::engine::intake::Until;
use longshore::engine::stop::Stop;
use longshore::engine::worker::Worker;
use longshore::ports::fetcher::{Announced, FetchRequest, Fetched, Fetcher, Want};
use tokio::time::Instant;

use super::world::{World, task};

/// Answers 500 to the first so many requests for each body, and then with a body.
struct Failing {
    times: usize,
    /// Answers 503 to everything, looks too.
    is_down: bool,
    asked: Mutex<HashMap<String, Vec<Instant>>>,
}

impl Failing {
    fn new(times: usize) -> Arc<Self> {
        Arc::new(Self { times, is_down: false, asked: Mutex::default() })
    }

    /// The times at which any body was asked for, by its URL.
    fn asked(&self) -> HashMap<String, Vec<Instant>> {
        self.asked.lock().unwrap().clone()
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().values().map(Vec::len).sum()
    }
}

#[async_trait]
impl Fetcher for Failing {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let name = request.source.name();
        if self.is_down {
            self.asked.lock().unwrap().entry(name).or_default().push(Instant::now());
            return Err(AttachmentFault::new(Code::Unavailable, "answered 503").with_status(503));
        }
        if !matches!(request.want, Want::Head) {
            let mut asked = self.asked.lock().unwrap();
            let times = asked.entry(name).or_default();
            times.push(Instant::now());
            if times.len() <= self.times {
                return Err(AttachmentFault::new(Code::Unavailable, "answered 500").with_status(500));
            }
        }
        Ok(Fetched {
            version: SourceVersion::default(),
            length: Some(4),
            resumable: false,
            announced: Announced::default(),
            hops: Vec::new(),
            body: stream::iter([Ok(Bytes::from_static(b"body"))]).boxed(),
        })
    }
}

/// Tasks of 50 attachments each, all of one host.
async fn send(world: &World, tasks: usize) {
    for number in 0..tasks {
        let urls: Vec<String> = (0..50).map(|n| format!("https://h/{number}/{n}")).collect();
        world.send(&task(&format!("t-{number}"), &urls.iter().map(String::as_str).collect::<Vec<_>>())).await;
    }
}

async fn work(world: &World, fetcher: &Arc<Failing>) -> Duration {
    let mut ports = world.ports();
    ports.fetcher = Arc::clone(fetcher) as _;
    let began = Instant::now();
    Worker::new(&ports, world.settings.clone(), &Stop::default()).run(Until::Empty).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_host_that_fails_everything_is_asked_a_fifth_more_than_it_would_be_without_tries_again() {
    let (world, failing) = (World::new(), Failing::new(usize::MAX));
    send(&world, 12).await;
    let took = work(&world, &failing).await;
    // Five deliveries, each with a first try of each attachment.
    let (first_tries, asked) = (5 * 12 * 50, failing.count());
    for number in 0..12 {
        let receipt = world.receipt(&format!("t-{number}"), 1).await.unwrap();
        assert_eq!((receipt.status, receipt.attempt), (Status::Failed, 5));
    }
    let reserve = 10 + usize::try_from(took.as_secs()).unwrap() + 1;
    assert!(asked <= first_tries * 12 / 10 + reserve, "asked {asked} times for {first_tries} in {took:?}");
    assert!(asked > first_tries * 11 / 10, "asked only {asked} times: what the budget allows is not used");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_is_asked_once_in_a_delivery_though_earlier_copies_are_looked_for() {
    let (world, down) = (World::new(), Arc::new(Failing { times: 0, is_down: true, asked: Mutex::default() }));
    send(&world, 1).await;
    let took = work(&world, &down).await;
    let reserve = 10 + usize::try_from(took.as_secs()).unwrap() + 1;
    // With a look and a try in each delivery it would be two hundred more.
    let most = 5 * 50 * 12 / 10 + reserve.min(150);
    assert!(down.count() <= most, "asked {} times in {took:?}", down.count());
    let receipt = world.receipt("t-0", 1).await.unwrap();
    assert_eq!((receipt.status, receipt.attempt), (Status::Failed, 5));
}

#[tokio::test(start_paused = true)]
async fn passing_trouble_is_ridden_out_in_place() {
    let (world, passing) = (World::new(), Failing::new(1));
    let urls: Vec<String> = (0..5).map(|n| format!("https://h/{n}")).collect();
    world.send(&task("t", &urls.iter().map(String::as_str).collect::<Vec<_>>())).await;
    work(&world, &passing).await;
    let receipt = world.receipt("t", 1).await.unwrap();
    assert_eq!((receipt.status, receipt.attempt), (Status::Completed, 1));
    assert_eq!(passing.count(), 10);
    let quick = |times: &Vec<Instant>| times[1].duration_since(times[0]) <= Duration::from_millis(201);
    assert!(passing.asked().values().all(quick));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_the_budget_comes_again_with_its_message_and_not_before() {
    let (world, passing) = (World::new(), Failing::new(1));
    send(&world, 4).await;
    work(&world, &passing).await;
    for number in 0..4 {
        let receipt = world.receipt(&format!("t-{number}"), 1).await.unwrap();
        assert_eq!(receipt.status, Status::Completed);
    }
    assert_eq!(passing.count(), 2 * 200, "each was asked for twice");
    let waits: Vec<Duration> = passing.asked().values().map(|times| times[1].duration_since(times[0])).collect();
    let in_place = waits.iter().filter(|wait| **wait < Duration::from_secs(1)).count();
    // The message's delay begins at 5 s; what is jittered from it is still well above the delays in place.
    let late = waits.iter().filter(|wait| **wait > Duration::from_secs(2)).count();
    assert!((40..=55).contains(&in_place), "{in_place} of 200 were tried again in place");
    assert_eq!(in_place + late, 200);
}

#[tokio::test(start_paused = true)]
async fn tries_that_failed_together_do_not_come_back_together() {
    let (mut world, passing) = (World::new(), Failing::new(1));
    world.settings.attachments_in_flight = 100;
    world.settings.retry.budget_percent = 100;
    send(&world, 1).await;
    work(&world, &passing).await;
    let mut waits: Vec<u128> =
        passing.asked().values().map(|times| times[1].duration_since(times[0]).as_millis()).collect();
    waits.sort_unstable();
    assert_eq!(waits.len(), 50);
    let (shortest, longest) = (waits[0], waits[49]);
    assert!(shortest < 60 && longest > 140 && longest <= 201, "waits from {shortest} to {longest} ms");
    waits.dedup();
    assert!(waits.len() > 20, "only {} different moments", waits.len());
}
