//! Teams and hosts beside one another: nobody waits for another, and what a host can bear is found out.
//!
//! Hosts are simulated on paused time: each has a number of requests that it can serve at once, beyond which it is slow or
//! refuses, as the scenario says.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use longshore::domain::facts::SourceVersion;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::receipt::Status;
use longshore::domain::source::Source;
use longshore::engine::intake::Until;
use longshore::engine::limits::{Limit, LimitTable, Limits};
use longshore::engine::stop::Stop;
use longshore::engine::worker::{Ports, Worker};
use longshore::ports::fetcher::{Announced, FetchRequest, Fetched, Fetcher, Want};
use longshore::ports::queue::{Outgoing, Queue};
use tokio::time::{Instant, sleep, timeout};

use super::faults::{Fate, FatedQueue};
use super::world::World;

/// A simulated host.
#[derive(Debug, Clone, Copy)]
struct Host {
    /// How long an answer takes.
    answer: Duration,
    /// How much longer or shorter an answer may take, in turn: a part of it.
    jitter: f64,
    /// From so many requests at once on, answers take as many times longer…
    knee: usize,
    /// …and from so many on the host refuses with 429.
    most: usize,
    /// The wish that stands beside a refusal.
    retry_after: Option<Duration>,
    /// Whether it can be connected to.
    is_there: bool,
    /// How many bytes an answer has.
    bytes: usize,
}

/// How long an answer is waited for, as by default.
const PATIENCE: Duration = Duration::from_secs(35);

const HEALTHY: Host = Host {
    answer: Duration::from_millis(100),
    jitter: 0.0,
    knee: usize::MAX,
    most: usize::MAX,
    retry_after: None,
    is_there: true,
    bytes: 1000,
};

/// What was seen of a host.
#[derive(Debug, Default, Clone)]
struct Seen {
    now: usize,
    most: usize,
    asked: usize,
    served: Vec<(String, Instant)>,
    refused: Vec<Instant>,
}

/// Hosts by name; others are healthy.
#[derive(Default)]
struct Hosts {
    hosts: HashMap<String, Host>,
    seen: Mutex<BTreeMap<String, Seen>>,
}

impl Hosts {
    fn with(mut self, name: &str, host: Host) -> Self {
        self.hosts.insert(name.to_owned(), host);
        self
    }

    fn seen(&self, name: &str) -> Seen {
        self.seen.lock().unwrap().get(name).cloned().unwrap_or_default()
    }

    fn served(&self) -> usize {
        self.seen.lock().unwrap().values().map(|seen| seen.served.len()).sum()
    }
}

/// Counts a request as under way.
struct UnderWay<'a>(&'a Hosts, String);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap().get_mut(&self.1).unwrap().now -= 1;
    }
}

#[async_trait]
impl Fetcher for Hosts {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let Source::Http(url) = &request.source else { panic!("only URLs are simulated") };
        let name = url.host_str().unwrap().to_owned();
        let host = self.hosts.get(&name).copied().unwrap_or(HEALTHY);
        let count = {
            let mut all = self.seen.lock().unwrap();
            let seen = all.entry(name.clone()).or_default();
            seen.now += 1;
            seen.most = seen.most.max(seen.now);
            seen.asked += 1;
            seen.now
        };
        let _under_way = UnderWay(self, name.clone());
        if !host.is_there {
            sleep(Duration::from_secs(5)).await;
            let mut fault = AttachmentFault::new(Code::Timeout, "connecting took too long");
            fault.is_unreached = true;
            return Err(fault);
        }
        if count > host.most {
            self.seen.lock().unwrap().get_mut(&name).unwrap().refused.push(Instant::now());
            let mut fault = AttachmentFault::new(Code::Throttled, "answered 429").with_status(429);
            fault.retry_after = host.retry_after;
            sleep(Duration::from_millis(10)).await;
            return Err(fault);
        }
        let slower = (count as f64 / host.knee as f64).max(1.0);
        let served = self.seen(&name).served.len();
        let jitter = 1.0 + host.jitter * ((served * 7919 % 200) as f64 / 100.0 - 1.0);
        if timeout(PATIENCE, sleep(host.answer.mul_f64(slower * jitter))).await.is_err() {
            return Err(AttachmentFault::new(Code::Timeout, "the answer took too long"));
        }
        let team = request.team.id.to_string();
        self.seen.lock().unwrap().get_mut(&name).unwrap().served.push((team, Instant::now()));
        let body = match request.want {
            Want::Head => stream::empty().boxed(),
            Want::Body | Want::Rest { .. } => stream::iter([Ok(Bytes::from(vec![7; host.bytes]))]).boxed(),
        };
        Ok(Fetched {
            version: SourceVersion::default(),
            length: Some(host.bytes as u64),
            resumable: false,
            announced: Announced::default(),
            hops: Vec::new(),
            body,
        })
    }
}

/// A world of simulated hosts on limits as they are by default, but for the rates.
fn world() -> World {
    let mut world = World::new();
    world.settings.messages_in_hand = 64;
    world.settings.attachments_in_flight = 128;
    world.settings.memory_bytes = 256 << 20;
    let host = Limit { requests_per_second: 100_000.0, in_flight: 32, bytes_per_second: None };
    let team = Limit { in_flight: 128, ..host };
    world.settings.limits =
        LimitTable::new(Limits { per_host: host, per_bucket: team, per_team: team, hosts: HashMap::new() });
    world
}

/// Sends tasks of `team`, one for each list of URLs.
async fn send(world: &World, team: &str, name: &str, tasks: impl IntoIterator<Item = Vec<String>>) {
    let messages: Vec<Outgoing> = tasks
        .into_iter()
        .enumerate()
        .map(|(number, urls)| {
            let body = serde_json::json!({"task_id": format!("{name}-{number}"), "team": team, "attachments": urls});
            let body = Bytes::from(body.to_string());
            Outgoing { id: format!("{name}-{number}"), body, attributes: Default::default(), group: None }
        })
        .collect();
    world.queue.send(&messages).await.unwrap();
}

fn urls(host: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("https://{host}/{number}")).collect()
}

fn singles(host: &str, count: usize) -> Vec<Vec<String>> {
    (0..count).map(|number| urls(host, number..number + 1)).collect()
}

/// Runs a worker on these hosts beside what `script` does, and lets it go when that has ended.
async fn run<T>(world: &World, hosts: &Arc<Hosts>, script: impl Future<Output = T>) -> T {
    let mut ports = world.ports();
    ports.fetcher = Arc::clone(hosts) as _;
    let stop = Stop::default();
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    tokio::select! {
        _ = worker.run(Until::Stopped) => panic!("nobody stopped it"),
        done = script => done,
    }
}

/// How many requests are under way at a host on the average of so many seconds.
async fn mean_under_way(hosts: &Hosts, name: &str, secs: u32) -> f64 {
    let mut sum = 0;
    for _ in 0..secs * 20 {
        sleep(Duration::from_millis(50)).await;
        sum += hosts.seen(name).now;
    }
    sum as f64 / f64::from(secs * 20)
}

async fn ended(world: &World, event_of: &str, within: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let events = world.events.events();
        let of = format!("\"task_id\":\"{event_of}\"");
        if events.iter().any(|event| std::str::from_utf8(&event.body).unwrap().contains(&of)) {
            return began.elapsed();
        }
        assert!(began.elapsed() < within, "{event_of} has not ended after {within:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_teams_flood_delays_anothers_single_attachment_by_less_than_two_seconds() {
    for tasks in [(0..100).map(|n| urls("h", n * 50..n * 50 + 50)).collect(), singles("h", 4000)] {
        let (world, hosts) = (world(), Arc::new(Hosts::default()));
        send(&world, "acme", "flood", tasks).await;
        let late = run(&world, &hosts, async {
            sleep(Duration::from_secs(3)).await;
            send(&world, "other", "late", singles("h", 1)).await;
            ended(&world, "late-0", Duration::from_secs(60)).await
        })
        .await;
        assert!(late < Duration::from_secs(2), "it took {late:?}");
    }
}

/// A broker that is short of disk takes acknowledgements and nothing to keep: then nothing can be put off.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_put_off_holds_nobody_up_for_long() {
    let (world, hosts) = (world(), Arc::new(Hosts::default()));
    send(&world, "acme", "flood", singles("h", 4000)).await;
    send(&world, "other", "late", singles("h", 1)).await;
    let fate = Fate::new(1, 0);
    fate.hang_moves();
    let queue = Arc::new(FatedQueue(world.queue.another(), fate));
    let ports = Ports { queue, fetcher: Arc::clone(&hosts) as _, ..world.ports() };
    let worker = Worker::new(&ports, world.settings.clone(), &Stop::default());
    let hanging = world.settings.messages_moved();
    tokio::select! {
        _ = worker.run(Until::Stopped) => panic!("nobody stopped it"),
        () = async { while hosts.served() < 4001 - hanging { sleep(Duration::from_millis(100)).await } } => {}
        () = sleep(Duration::from_secs(600)) => panic!("{} served", hosts.served()),
    }
    assert!(world.receipt_of("other", "late-0", 1).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_slow_link_is_filled_to_its_limit_and_no_further() {
    let (world, hosts) =
        (world(), Arc::new(Hosts::default().with("slow", Host { answer: Duration::from_secs(2), ..HEALTHY })));
    send(&world, "acme", "t", singles("slow", 600)).await;
    let mean = run(&world, &hosts, async {
        sleep(Duration::from_secs(15)).await;
        mean_under_way(&hosts, "slow", 15).await
    })
    .await;
    let seen = hosts.seen("slow");
    assert_eq!(seen.most, 32);
    assert!((28.0..=32.0).contains(&mean), "{mean} under way at a host that allows 32");
    assert!(seen.served.len() > 300, "{} served", seen.served.len());
}

#[tokio::test(start_paused = true)]
async fn what_a_host_bears_is_found_and_kept() {
    let knee = Host { most: 12, jitter: 0.5, ..HEALTHY };
    let (mut world, hosts) = (world(), Arc::new(Hosts::default().with("narrow", knee)));
    world.settings.retry.tries = 50;
    send(&world, "acme", "t", (0..20).map(|task| urls("narrow", task * 400..task * 400 + 400))).await;
    let mean = run(&world, &hosts, async {
        sleep(Duration::from_secs(20)).await;
        mean_under_way(&hosts, "narrow", 40).await
    })
    .await;
    let seen = hosts.seen("narrow");
    assert!((6.0..13.0).contains(&mean), "{mean} under way at a host that bears twelve");
    let share = seen.refused.len() as f64 / (seen.served.len() + seen.refused.len()) as f64;
    // The window is cut when a fifth of the latest answers are refusals; those until then are the price of finding the knee.
    assert!(share < 0.08, "{share} of all requests are refused");
    // Twelve at a tenth of a second each would be 120 a second.
    assert!(seen.served.len() > 60 * 75, "{} served", seen.served.len());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_to_be_left_alone_is_left_alone_and_costs_others_nothing() {
    let wish = Duration::from_secs(120);
    let closed = Host { most: 0, retry_after: Some(wish), ..HEALTHY };
    let (world, hosts) = (world(), Arc::new(Hosts::default().with("closed", closed)));
    send(&world, "acme", "closed", singles("closed", 500)).await;
    send(&world, "acme", "open", singles("open", 500)).await;
    let took = run(&world, &hosts, async {
        let took = ended(&world, "open-499", Duration::from_secs(60)).await;
        sleep(Duration::from_secs(100)).await;
        took
    })
    .await;
    assert!(took < Duration::from_secs(12), "the open host's attachments took {took:?}");
    let seen = hosts.seen("closed");
    let first = seen.refused[0];
    let late = seen.refused.iter().filter(|at| at.duration_since(first) > Duration::from_secs(1)).count();
    assert!(seen.refused.len() <= 8 && late == 0, "asked {} times, {late} of them later", seen.refused.len());
    assert_eq!(hosts.served(), 500);
}

#[tokio::test(start_paused = true)]
async fn one_host_of_ten_that_never_answers_costs_the_others_less_than_a_twentieth() {
    const TASKS: usize = 3_000;
    let mut times = Vec::new();
    let unconnected = Host { is_there: false, ..HEALTHY };
    let silent = Host { answer: Duration::from_secs(100_000), ..HEALTHY };
    for bad in [HEALTHY, unconnected, silent] {
        let (world, hosts) = (world(), Arc::new(Hosts::default().with("h0", bad)));
        let tasks = (0..TASKS).map(|n| vec![format!("https://h{}/{n}", n % 10)]);
        send(&world, "acme", "t", tasks).await;
        let start = Instant::now();
        let healthy = run(&world, &hosts, async {
            loop {
                sleep(Duration::from_millis(100)).await;
                let done: usize = (1..10).map(|n| hosts.seen(&format!("h{n}")).served.len()).sum();
                if done >= TASKS / 10 * 9 {
                    return start.elapsed();
                }
                assert!(start.elapsed() < Duration::from_secs(300), "{done} after five minutes");
            }
        })
        .await;
        times.push(healthy.as_secs_f64());
    }
    eprintln!("── nine of ten hosts took {times:?} s: all there, one not there, one silent");
    assert!(times[1] < times[0] / 0.95 && times[2] < times[0] / 0.95, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn one_bad_host_among_fifty_holds_up_only_its_own() {
    for bad in [Host { is_there: false, ..HEALTHY }, Host { answer: Duration::from_secs(25), ..HEALTHY }] {
        let (world, hosts) = (world(), Arc::new(Hosts::default().with("h0", bad)));
        // Each task has one attachment of the bad host and 49 others.
        let tasks = (0..60).map(|task| (0..50).map(|n| format!("https://h{n}/{task}")).collect());
        send(&world, "acme", "t", tasks).await;
        let start = Instant::now();
        run(&world, &hosts, async {
            loop {
                sleep(Duration::from_millis(100)).await;
                let done: usize = (1..50).map(|n| hosts.seen(&format!("h{n}")).served.len()).sum();
                if done >= 60 * 49 {
                    return;
                }
                assert!(start.elapsed() < Duration::from_secs(60), "{done} of {} after a minute", 60 * 49);
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_hosts_tasks_end_in_good_time_though_it_is_tried_by_one() {
    let (mut world, hosts) = (world(), Arc::new(Hosts::default().with("dead", Host { is_there: false, ..HEALTHY })));
    world.settings.max_attempts = 2;
    send(&world, "acme", "dead", [urls("dead", 0..1000)]).await;
    let took = run(&world, &hosts, ended(&world, "dead-0", Duration::from_secs(1200))).await;
    let receipt = world.receipt("dead-0", 1).await.unwrap();
    assert_eq!((receipt.status, receipt.counts.failed), (Status::Failed, 1000));
    let code = receipt.attachments[0].error.as_ref().unwrap().code;
    assert_eq!(code, Code::Timeout, "after {took:?}");
    assert!(hosts.seen("dead").asked < 200, "{} requests", hosts.seen("dead").asked);
}

#[tokio::test(start_paused = true)]
async fn large_slow_and_small_ones_of_three_teams_on_little_memory_all_come_forward() {
    let large = Host { answer: Duration::from_millis(50), bytes: 20 << 20, ..HEALTHY };
    let slow = Host { answer: Duration::from_secs(20), bytes: 100_000, ..HEALTHY };
    let small = Host { answer: Duration::from_millis(10), ..HEALTHY };
    let hosts = Arc::new(Hosts::default().with("large", large).with("slow", slow).with("small", small));
    let mut world = world();
    world.settings.memory_bytes = 64 << 20;
    world.teams.put("third", Default::default());
    send(&world, "acme", "large", singles("large", 64)).await;
    send(&world, "other", "slow", singles("slow", 64)).await;
    send(&world, "third", "small", singles("small", 1000)).await;
    let start = Instant::now();
    run(&world, &hosts, async {
        // The slow host's answers take their time; that some are under way is its team's progress.
        let mut waited_for = start;
        while hosts.served() < 64 + 64 + 1000 {
            sleep(Duration::from_millis(100)).await;
            let slow = hosts.seen("slow");
            if slow.now > 0 || slow.served.len() == 64 {
                waited_for = Instant::now();
            }
            assert!(waited_for.elapsed() <= Duration::from_secs(1), "nobody asks the slow host");
            assert!(start.elapsed() < Duration::from_secs(200), "{} served", hosts.served());
        }
    })
    .await;
    for name in ["large", "small"] {
        let mut times: Vec<Instant> = hosts.seen(name).served.iter().map(|(_, at)| *at).collect();
        times.insert(0, start);
        let gap = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap();
        assert!(gap <= Duration::from_secs(1), "{name} stood still for {gap:?}");
    }
}

/// How quick it is is known, so its messages go away until about their turn, and leave the places to others.
#[tokio::test(start_paused = true)]
async fn a_host_that_may_be_asked_seldom_leaves_the_places_to_its_teams_other_hosts() {
    let mut world = world();
    let seldom = Limit { requests_per_second: 10.0, in_flight: 32, bytes_per_second: None };
    let often = Limit { requests_per_second: 100_000.0, ..seldom };
    let hosts = HashMap::from([("seldom".to_owned(), seldom)]);
    world.settings.limits = LimitTable::new(Limits { per_host: often, per_bucket: often, per_team: often, hosts });
    let hosts = Arc::new(Hosts::default());
    send(&world, "acme", "seldom", singles("seldom", 1_000)).await;
    send(&world, "acme", "often", singles("often", 1_000)).await;
    let mut ports = world.ports();
    ports.fetcher = Arc::clone(&hosts) as _;
    let stop = Stop::default();
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let tally = Arc::clone(&worker.tally);
    tokio::select! {
        _ = worker.run(Until::Stopped) => panic!("nobody stopped it"),
        () = sleep(Duration::from_secs(10)) => {}
    }
    let (put_off, served) = (tally.put_off.load(Relaxed), hosts.served());
    eprintln!("── {put_off} put off in 10 s, {served} served");
    assert!(served >= 1_070, "{served} were served");
    // Its own messages wait for half a minute, and a busy team's are moved anyway.
    assert!(put_off <= 10_000, "{put_off} were put off for {served} that were served");
}
