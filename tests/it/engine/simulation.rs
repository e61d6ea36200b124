//! Whole runs from a seed: random tasks, faults at every call of store, queue and broker, workers that are dropped at a random
//! moment as a killed process is. Afterwards everything must have ended, once.
//!
//! A failing seed is printed: `LONGSHORE_TEST_SEED=N cargo nextest run --features testing simulation` runs it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::domain::digest::Sha256;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::engine::intake::Until;
use longshore::engine::stop::Stop;
use longshore::engine::worker::Worker;
use longshore::ports::queue::Queue;
use longshore::ports::store::Store;
use tokio::time::{sleep, timeout};

use super::faults::{Fate, FatedPublisher, FatedQueue, FatedStore};
use super::world::{World, task};

/// How many seeds every run looks at; `LONGSHORE_TEST_SEEDS` asks for more (`make proof`).
const SEEDS: u64 = 600;

/// Looks at one of four shares of the seeds, so that they run beside each other.
#[expect(clippy::disallowed_methods, reason = "a person names seeds in the environment")]
fn look_at(share: u64) {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("LONGSHORE_TEST_SEED") {
        Some(one) => vec![one],
        None => (share..number("LONGSHORE_TEST_SEEDS").unwrap_or(SEEDS)).step_by(4).collect(),
    };
    for seed in &seeds {
        let seed = *seed;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(simulate(seed)));
        if let Err(failure) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed} failed: LONGSHORE_TEST_SEED={seed} runs it alone");
            std::panic::resume_unwind(failure);
        }
    }
    eprintln!("── {} seeds: every task ended once, whole, and told of with one content", seeds.len());
}

mod long {
    #[test]
    fn whatever_fails_every_task_ends_once_and_whole_1() {
        super::look_at(0);
    }

    #[test]
    fn whatever_fails_every_task_ends_once_and_whole_2() {
        super::look_at(1);
    }

    #[test]
    fn whatever_fails_every_task_ends_once_and_whole_3() {
        super::look_at(2);
    }

    #[test]
    fn whatever_fails_every_task_ends_once_and_whole_4() {
        super::look_at(3);
    }
}

/// What a URL holds, and how it must end.
struct Planned {
    urls: BTreeMap<String, Result<Sha256, Code>>,
    tasks: BTreeMap<String, Vec<String>>,
}

async fn simulate(seed: u64) {
    let mut world = World::new();
    if seed.is_multiple_of(2) {
        world.store = longshore::adapters::memory::store::MemoryStore::without_facts();
    }
    let fate = Fate::new(seed, 40);
    let planned = plan(&world, &fate).await;
    let mut lives = 0;
    loop {
        lives += 1;
        // The first lives end as a killed process does; the last one runs until nothing is left.
        let life = Duration::from_millis(u64::from(fate.below(60_000)));
        let last = lives > 6;
        if last && run(&world, &fate, Duration::from_secs(24 * 3600)).await {
            break;
        }
        assert!(!last, "seed {seed}: a day was not enough");
        if run(&world, &fate, life).await {
            break;
        }
    }
    check(&world, &planned, seed).await;
}

/// Runs a worker for at most `life`, then drops it in mid-work. Whether it found the queue empty.
async fn run(world: &World, fate: &Fate, life: Duration) -> bool {
    let mut ports = world.ports();
    ports.store = Arc::new(FatedStore(world.store.clone(), fate.clone()));
    ports.queue = Arc::new(FatedQueue(world.queue.another(), fate.clone()));
    ports.publisher = ports.publisher.map(|publisher| Arc::new(FatedPublisher(publisher, fate.clone())) as _);
    let stop = Stop::default();
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let ended = timeout(life, worker.run(Until::Empty)).await.is_ok();
    drop(worker);
    // What a killed process had begun does not go on; here its tasks are let go before the next life begins.
    sleep(Duration::from_millis(1)).await;
    ended
}

async fn plan(world: &World, fate: &Fate) -> Planned {
    let mut planned = Planned { urls: BTreeMap::new(), tasks: BTreeMap::new() };
    for number in 0..20u8 {
        let url = format!("https://h{}/{number}", number % 4);
        // One in a hundred is larger than a part: they cost most of the time.
        let bytes: Vec<u8> = match fate.below(100) {
            0 => vec![number; 9 << 20],
            1..12 => Vec::new(),
            size => vec![number; size as usize * 80],
        };
        let mut object = MemoryObject { ranges: fate.below(2) == 0, ..MemoryObject::new(bytes.clone()) };
        object.head_delay = Duration::from_millis(u64::from(fate.below(2000)));
        object.tells_length = fate.below(2) == 0;
        if fate.below(2) == 0 {
            object = object.with_etag(format!("\"e{number}\""));
        }
        let mut end = Ok(Sha256::of(&bytes));
        match fate.below(6) {
            0 => object = object.failing(3, AttachmentFault::new(Code::Unavailable, "passing")),
            1 => object = object.breaking(2, 700),
            2 => {
                object = object.failing(u32::MAX, AttachmentFault::new(Code::NotFound, "never"));
                end = Err(Code::NotFound);
            }
            _ => {}
        }
        world.put(&url, object);
        planned.urls.insert(url, end);
    }
    let urls: Vec<String> = planned.urls.keys().cloned().collect();
    for number in 0..12 {
        let id = format!("t-{number}");
        let count = 1 + fate.below(5);
        let wanted: Vec<String> = (0..count).map(|_| urls[fate.below(20) as usize].clone()).collect();
        let body = task(&id, &wanted.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..=fate.below(3) {
            world.send(&body).await;
        }
        planned.tasks.insert(id, wanted);
    }
    world.send("{bad").await;
    planned
}

async fn check(world: &World, planned: &Planned, seed: u64) {
    assert_eq!(world.queue.depth().await.unwrap().total(), 0, "seed {seed}: messages are left");
    let reasons: BTreeSet<String> = world.dead().await.into_iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, BTreeSet::from(["undecodable".to_owned()]), "seed {seed}: dead letters");
    let mut named = BTreeSet::new();
    for (id, urls) in &planned.tasks {
        let receipt = world.receipt(id, 1).await.unwrap_or_else(|| panic!("seed {seed}: {id} has no receipt"));
        let bodies: BTreeSet<_> = world
            .events
            .events()
            .into_iter()
            .filter(|event| event.id == receipt.event_id)
            .map(|event| event.body)
            .collect();
        assert_eq!(bodies.len(), 1, "seed {seed}: contents of the event of {id}");
        for (outcome, url) in receipt.attachments.iter().zip(urls) {
            let found = match (&outcome.object, &outcome.error) {
                (Some(object), None) => {
                    named.insert(object.uri.clone());
                    let stored = Sha256::of(&world.object(&object.uri).await);
                    assert_eq!(stored, object.sha256, "seed {seed}: what {id} says of {url} is not what is there");
                    Ok(stored)
                }
                (None, Some(error)) => Err(error.code),
                _ => panic!("seed {seed}: {id} says both or nothing of {url}"),
            };
            assert_eq!(found, planned.urls[url], "seed {seed}: {id} {url}");
        }
    }
    let there: BTreeSet<String> = world.keys("acme/objects").await.iter().map(|key| world.store.uri(key)).collect();
    assert_eq!(there, named, "seed {seed}: objects that no receipt names");
}
