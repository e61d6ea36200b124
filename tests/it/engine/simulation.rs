//! Whole runs from a seed: random tasks of two teams, faults at every call of store, queue and broker, leases that run out,
//! processes that are killed at a random moment or between any two calls. While they run, [`super::watch`] looks at each call;
//! afterwards everything must have ended, once.
//!
//! A failing seed is printed: `LONGSHORE_TEST_SEED=N cargo nextest run --features testing simulation` runs it alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore::adapters::memory::fetcher::{MemoryFetcher, MemoryObject};
use longshore::domain::digest::Sha256;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::team::{AwsGrant, Team, TeamLimits};
use longshore::engine::chance;
use longshore::engine::intake::Until;
use longshore::engine::limits::{Limit, LimitTable, Limits, Paces};
use longshore::engine::stop::Stop;
use longshore::engine::worker::Worker;
use longshore::ports::fetcher::{FetchRequest, Fetched, Fetcher};
use longshore::ports::queue::Queue;
use longshore::ports::store::Store;
use tokio::time::{sleep, timeout};

use super::faults::{Fate, FatedPublisher, FatedQueue, FatedStore};
use super::watch::{Bounds, Watch, WatchedFetcher, WatchedPublisher, WatchedQueue, WatchedStore};
use super::world::{World, task};
use crate::proof;

/// How many seeds every run looks at; `LONGSHORE_TEST_SEEDS` asks for more (`make proof`).
const SEEDS: u64 = 2000;

/// Looks at one of four shares of the seeds, so that they run beside each other.
#[expect(clippy::disallowed_methods, reason = "a person names seeds in the environment")]
fn look_at(share: u64) {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("LONGSHORE_TEST_SEED") {
        Some(one) => vec![one],
        None => (share..number("LONGSHORE_TEST_SEEDS").unwrap_or(SEEDS)).step_by(4).collect(),
    };
    let mut passes = 0;
    for seed in &seeds {
        let seed = *seed;
        let run = std::panic::AssertUnwindSafe(|| lived(seed));
        match std::panic::catch_unwind(run) {
            Ok(life) => passes += life.passes,
            Err(failure) => {
                eprintln!("seed {seed} failed: LONGSHORE_TEST_SEED={seed} runs it alone");
                std::panic::resume_unwind(failure);
            }
        }
    }
    // Where nobody ever waits for another's turn, no bound is looked at.
    assert!(passes > 0 || seeds.len() < 10, "no team ever waited for another");
    let found = format!(
        "{} seeds: every task ended once, whole, and told of with one content; {passes} turns passed somebody over, in turn",
        seeds.len()
    );
    eprintln!("── {found}");
    proof::keep(&format!("simulation-{}", share + 1), &found);
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
    /// By team and id.
    tasks: BTreeMap<(&'static str, String), Vec<String>>,
}

const TEAMS: [&str; 2] = ["acme", "other"];
/// Low enough to be felt.
const HOST: Limit = Limit { requests_per_second: 4.0, in_flight: 3, bytes_per_second: None };
const TEAM: Limit = Limit { requests_per_second: 9.0, in_flight: 5, bytes_per_second: None };
/// From so few that teams wait for one another's turns to more than they may use.
const SLOTS: [usize; 4] = [2, 3, 5, 16];
const WEIGHTS: [[u32; 2]; 3] = [[1, 1], [1, 3], [2, 1]];
/// Three parts, of which a team has one or two.
const MEMORY_BYTES: usize = 32 << 20;

fn limits() -> LimitTable {
    LimitTable::new(Limits { per_host: HOST, hosts: HashMap::new(), per_bucket: TEAM, per_team: TEAM })
}

/// One of some variants: each share of the seeds has all of them.
fn variant<T: Copy, const N: usize>(seed: u64, variants: [T; N]) -> T {
    variants[(seed / 4 % N as u64) as usize]
}

/// A world whose sources and doubles are watched.
fn watched(seed: u64) -> (World, Watch) {
    let mut world = World::new();
    if seed.is_multiple_of(2) {
        world.store = longshore::adapters::memory::store::MemoryStore::without_facts();
    }
    for (team, weight) in TEAMS.into_iter().zip(variant(seed, WEIGHTS)) {
        let aws = AwsGrant {
            role_arn: Some(format!("arn:aws:iam::111122223333:role/{team}")),
            external_id: Some(format!("id-of-{team}")),
            buckets: vec![format!("{team}-raw")],
            ..Default::default()
        };
        let limits = TeamLimits { weight: Some(weight), ..Default::default() };
        world.teams.put(team, Team { aws: Some(aws), limits, ..Default::default() });
    }
    world.settings.limits = limits();
    world.settings.memory_bytes = MEMORY_BYTES;
    world.settings.attachments_in_flight = variant(seed, SLOTS);
    let bounds = Bounds { host: HOST, team: TEAM, memory_bytes: MEMORY_BYTES };
    let paces = Arc::new(Paces::new(limits()));
    let watch = Watch::new(bounds, world.store.clone(), Arc::clone(&world.events), paces);
    world.fetcher = Arc::new(MemoryFetcher::new(Arc::new(watch.clone())));
    (world, watch)
}

/// What was seen of a seed's life. It is the same for lives that were the same.
#[derive(Debug, PartialEq, Eq)]
struct Lived {
    /// What the dice would have shown next.
    next: u32,
    /// How often a turn passed over a team that could run.
    passes: u64,
}

/// Lives one seed through.
async fn simulate(seed: u64) -> Lived {
    chance::seed(seed);
    let (world, watch) = watched(seed);
    let fate = Fate::new(seed, 40);
    let planned = plan(&world, &fate).await;
    let mut lives = 0;
    loop {
        lives += 1;
        // The first lives end as a killed process does; the last one runs until nothing is left.
        let (last, life) = (lives > 6, Duration::from_millis(u64::from(fate.below(60_000))));
        fate.kill_after((!last && fate.below(2) == 0).then(|| fate.below(400)));
        if last && run(&world, (&fate, &watch), Duration::from_secs(24 * 3600)).await {
            break;
        }
        assert!(!last, "seed {seed}: a day was not enough");
        if run(&world, (&fate, &watch), life).await {
            break;
        }
    }
    fate.kill_after(None);
    check(&world, &planned, seed).await;
    assert_eq!(watch.broken(), BTreeSet::new(), "seed {seed}");
    Lived { next: fate.below(u32::MAX), passes: watch.passes() }
}

fn lived(seed: u64) -> Lived {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(simulate(seed))
}

#[test]
fn a_seed_can_be_lived_through_again() {
    for seed in 0..20 {
        assert_eq!(lived(seed), lived(seed), "seed {seed}");
    }
}

/// Runs a worker for at most `life`, then drops it in mid-work. Whether it found the queue empty.
async fn run(world: &World, (fate, watch): (&Fate, &Watch), life: Duration) -> bool {
    watch.begin_life(Arc::new(Paces::new(limits())));
    let mut ports = world.ports();
    ports.store = Arc::new(FatedStore(WatchedStore(world.store.clone(), watch.clone()), fate.clone()));
    ports.queue = Arc::new(FatedQueue(WatchedQueue(world.queue.another(), watch.clone()), fate.clone()));
    ports.publisher = ports.publisher.map(|publisher| {
        let watched = Arc::new(WatchedPublisher(publisher, watch.clone()));
        Arc::new(FatedPublisher(watched, fate.clone())) as _
    });
    ports.fetcher = Arc::new(WatchedFetcher(ByReference(Arc::clone(&world.fetcher)), watch.clone()));
    let stop = Stop::default();
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let ended = tokio::select! {
        biased;
        () = fate.killed() => false,
        ended = timeout(life, worker.run(Until::Empty)) => ended.is_ok(),
    };
    drop(worker);
    // What a killed process had begun does not go on; here its tasks are let go before the next life begins.
    sleep(Duration::from_millis(1)).await;
    ended
}

/// The world's sources, which outlive every worker.
struct ByReference(Arc<MemoryFetcher>);

#[async_trait]
impl Fetcher for ByReference {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        self.0.open(request).await
    }
}

/// A source, and how it must end.
fn source_of(number: u8, fate: &Fate) -> (MemoryObject, Result<Sha256, Code>) {
    // One in two hundred is larger than a part: they cost most of the time.
    let bytes: Vec<u8> = match fate.below(200) {
        0 => vec![number; 9 << 20],
        1..24 => Vec::new(),
        size => vec![number; size as usize * 40],
    };
    let mut object = MemoryObject { ranges: fate.below(2) == 0, ..MemoryObject::new(bytes.clone()) };
    object.head_delay = Duration::from_millis(u64::from(fate.below(2000)));
    object.tells_length = fate.below(2) == 0;
    if fate.below(2) == 0 {
        object = object.with_etag(format!("\"e{number}\""));
    }
    match fate.below(6) {
        0 => object = object.failing(3, AttachmentFault::new(Code::Unavailable, "passing")),
        1 => object = object.breaking(2, 700),
        2 => {
            let never = AttachmentFault::new(Code::NotFound, "never");
            return (object.failing(u32::MAX, never), Err(Code::NotFound));
        }
        _ => {}
    }
    (object, Ok(Sha256::of(&bytes)))
}

async fn plan(world: &World, fate: &Fate) -> Planned {
    let mut planned = Planned { urls: BTreeMap::new(), tasks: BTreeMap::new() };
    let mut named: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for team in TEAMS {
        for number in 0..10u8 {
            let url = match number {
                0..8 => format!("https://{team}-{}/{number}", number % 2),
                _ => format!("s3://{team}-raw/{number}"),
            };
            let (object, end) = source_of(number, fate);
            world.put(&url, object);
            planned.urls.insert(url.clone(), end);
            named.entry(team).or_default().push(url);
        }
    }
    for number in 0..12 {
        let (team, id) = (TEAMS[fate.below(2) as usize], format!("t-{number}"));
        let mut wanted: Vec<String> =
            (0..1 + fate.below(5)).map(|_| named[team][fate.below(10) as usize].clone()).collect();
        if fate.below(6) == 0 {
            // What is another team's is refused, whoever may read it.
            let other = TEAMS.iter().find(|other| **other != team).unwrap();
            wanted.push(format!("s3://{other}-raw/8"));
        }
        let body = task(&id, &wanted.iter().map(String::as_str).collect::<Vec<_>>());
        let body = body.replace("\"team\":\"acme\"", &format!("\"team\":\"{team}\""));
        for _ in 0..=fate.below(3) {
            world.send(&body).await;
        }
        planned.tasks.insert((team, id), wanted);
    }
    world.send("{bad").await;
    planned
}

async fn check(world: &World, planned: &Planned, seed: u64) {
    assert_eq!(world.queue.depth().await.unwrap().total(), 0, "seed {seed}: messages are left");
    let reasons: BTreeSet<String> = world.dead().await.into_iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, BTreeSet::from(["undecodable".to_owned()]), "seed {seed}: dead letters");
    let mut named = BTreeSet::new();
    for ((team, id), urls) in &planned.tasks {
        let receipt = world.receipt_of(team, id, 1).await.unwrap_or_else(|| panic!("seed {seed}: {id} has no receipt"));
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
            let is_own = url.contains(&format!("//{team}-"));
            let expected = if is_own { planned.urls[url] } else { Err(Code::BucketNotAllowed) };
            assert_eq!(found, expected, "seed {seed}: {id} {url}");
        }
    }
    let mut there = BTreeSet::new();
    for team in TEAMS {
        let keys = world.keys(&format!("{team}/objects")).await;
        there.extend(keys.iter().map(|key| world.store.uri(key)));
    }
    assert_eq!(there, named, "seed {seed}: objects that no receipt names");
}
