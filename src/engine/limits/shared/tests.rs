use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::future::join_all;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

use super::book::Book;
use super::*;
use crate::domain::id::TeamId;
use crate::domain::team::{Team, TeamLimits};
use crate::engine::limits::{Limit, Limits};
use crate::ports::budget::{Answer, SlotsAway};

/// Slots that several replicas of a test share; may go away.
struct Common {
    book: Mutex<Book>,
    is_away: AtomicBool,
    asked: AtomicUsize,
    replicas: AtomicU32,
}

#[async_trait]
impl SharedSlots for Common {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Answer>, SlotsAway> {
        self.asked.fetch_add(1, SeqCst);
        sleep(Duration::from_millis(1)).await;
        if self.is_away.load(SeqCst) {
            return Err(SlotsAway("away".into()));
        }
        Ok(held(&self.book).take(asks, 1, Instant::now()))
    }
    fn replicas(&self) -> u32 {
        self.replicas.load(SeqCst)
    }
}

fn common() -> Arc<Common> {
    let (book, is_away) = (Mutex::default(), AtomicBool::new(false));
    Arc::new(Common { book, is_away, asked: AtomicUsize::new(0), replicas: AtomicU32::new(4) })
}

fn replica(common: &Arc<Common>, rate: f64) -> Arc<SharedPaces> {
    replica_of(common, rate, Limit::default().requests_per_second)
}

fn replica_of(common: &Arc<Common>, per_host: f64, per_team: f64) -> Arc<SharedPaces> {
    let limit = |rate| Limit { requests_per_second: rate, ..Limit::default() };
    let limits = Limits { per_host: limit(per_host), per_team: limit(per_team), ..Limits::default() };
    Arc::new(SharedPaces::new(LimitTable::new(limits), Arc::clone(common) as _))
}

fn team(name: &str) -> KnownTeam {
    KnownTeam { id: TeamId::new(name).expect("a good id"), record: Team::default() }
}

/// Lets replicas with many requests each run for `long`, and returns when each request went out, in order.
async fn sent(replicas: &[Arc<SharedPaces>], long: Duration) -> Vec<Duration> {
    let start = Instant::now();
    let lanes =
        replicas.iter().flat_map(|replica| (0..20).map(move |_| Arc::clone(replica))).map(|replica| async move {
            let (team, mut sent) = (team("a"), Vec::new());
            while start.elapsed() < long {
                replica.request(&team, &Place::Host("h".into())).await;
                sent.push(start.elapsed());
            }
            sent
        });
    let mut sent = join_all(lanes).await.concat();
    sent.sort();
    sent
}

fn densest_second(sent: &[Duration]) -> usize {
    let within = |from: usize| sent[from..].iter().take_while(|at| **at < sent[from] + Duration::from_secs(1)).count();
    (0..sent.len()).map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn four_replicas_keep_one_limit_and_use_it() {
    let common = common();
    let replicas: Vec<_> = (0..4).map(|_| replica(&common, 200.0)).collect();
    let sent = sent(&replicas, Duration::from_secs(10)).await;
    assert!(densest_second(&sent) <= 210, "{} in a second", densest_second(&sent));
    assert!(sent.len() >= 1990, "{} of 2000 were used", sent.len());
}

#[tokio::test(start_paused = true)]
async fn replicas_that_stand_still_do_not_make_up_for_it() {
    let common = common();
    let replicas: Vec<_> = (0..4).map(|_| replica(&common, 200.0)).collect();
    let standing_still = async {
        for pause in [70, 200, 35, 600] {
            sleep(Duration::from_millis(1100)).await;
            tokio::time::advance(Duration::from_millis(pause)).await;
        }
    };
    let (sent, ()) = tokio::join!(sent(&replicas, Duration::from_secs(8)), standing_still);
    assert!(densest_second(&sent) <= 210, "{} in a second", densest_second(&sent));
    assert!(sent.len() >= 1300, "{} of 1,600, less a second that was lost", sent.len());
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_together_are_asked_for_together() {
    let common = common();
    let replicas = [replica(&common, 1000.0)];
    let sent = sent(&replicas, Duration::from_secs(2)).await;
    let asked = common.asked.load(SeqCst);
    assert!(asked < sent.len(), "{asked} questions for twice {} slots", sent.len());
}

#[tokio::test(start_paused = true)]
async fn alone_each_replica_keeps_to_its_share_until_the_service_is_back() {
    let common = common();
    let replicas: Vec<_> = (0..4).map(|_| replica(&common, 200.0)).collect();
    common.is_away.store(true, SeqCst);
    let alone = sent(&replicas, Duration::from_secs(5)).await;
    assert!(densest_second(&alone) <= 212, "{} in a second", densest_second(&alone));
    assert!(alone.len() >= 990, "{} of 1000 were used", alone.len());
    let asked = common.asked.load(SeqCst);
    assert!(asked <= 4 * 10, "a service that is away was asked {asked} times in 5 s");
    common.is_away.store(false, SeqCst);
    let again = sent(&replicas, Duration::from_secs(5)).await;
    assert!(densest_second(&again) <= 215, "{} in a second", densest_second(&again));
    assert!(common.asked.load(SeqCst) > asked + 100, "it is asked again");
}

/// What comes at any time from any replica for one of four hosts; when each request went out, in order, and for which host.
async fn sent_to_hosts(replicas: &[Arc<SharedPaces>], number: usize, within: Duration) -> Vec<(Duration, u32)> {
    let (start, mut chance) = (Instant::now(), rand::rngs::StdRng::seed_from_u64(1));
    let asking = (0..number).map(|_| {
        let comes = start + within.mul_f64(chance.random::<f64>());
        let (replica, host) =
            (Arc::clone(&replicas[chance.random_range(0..replicas.len())]), chance.random_range(0..4));
        async move {
            sleep_until(comes).await;
            replica.request(&team("a"), &Place::Host(format!("h{host}"))).await;
            (start.elapsed(), host)
        }
    });
    let mut sent = join_all(asking).await;
    sent.sort();
    sent
}

#[tokio::test(start_paused = true)]
async fn hosts_that_let_a_team_wait_do_not_crowd_the_teams_own_seconds() {
    for (per_host, per_team, number) in [(4.0, 9.0, 3000), (80.0, 200.0, 20_000), (60.0, 200.0, 20_000)] {
        let common = common();
        let replicas: Vec<_> = (0..4).map(|_| replica_of(&common, per_host, per_team)).collect();
        // About as many come as the team may send, so that now the one limit holds them back and now the other.
        let sent = sent_to_hosts(&replicas, number, Duration::from_secs_f64(number as f64 / per_team)).await;
        let times = |wanted: Option<u32>| -> Vec<Duration> {
            sent.iter().filter(|(_, host)| wanted.is_none_or(|wanted| wanted == *host)).map(|(at, _)| *at).collect()
        };
        let most = |rate: f64| (rate * 1.05).max(rate + 1.0);
        let densest = densest_second(&times(None));
        assert!(densest as f64 <= most(per_team), "{densest} of {per_team}");
        for host in 0..4 {
            let densest = densest_second(&times(Some(host)));
            assert!(densest as f64 <= most(per_host), "host {host}: {densest} of {per_host}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_slower_of_two_limits_is_used() {
    for (per_host, per_team, rate) in [(100.0, 200.0, 200), (30.0, 200.0, 120), (500.0, 10.0, 10), (2.0, 100.0, 8)] {
        let common = common();
        let replicas: Vec<_> = (0..4).map(|_| replica_of(&common, per_host, per_team)).collect();
        // All are there from the beginning: ten seconds of the whole.
        let sent = sent_to_hosts(&replicas, rate * 10, Duration::ZERO).await;
        let took = sent.last().expect("some were sent").0;
        assert!(took < Duration::from_secs(12), "{per_host} for each of four hosts, {per_team} for the team: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_team_whose_own_limit_binds_does_not_keep_a_host_from_another() {
    let common = common();
    let replicas: Vec<_> = (0..4).map(|_| replica_of(&common, 50.0, 2000.0)).collect();
    let slow = KnownTeam {
        id: TeamId::new("slow").expect("a good id"),
        record: Team {
            limits: TeamLimits { requests_per_second: Some(5), ..TeamLimits::default() },
            ..Team::default()
        },
    };
    let start = Instant::now();
    let lane = |replica: &Arc<SharedPaces>, team: KnownTeam| {
        let replica = Arc::clone(replica);
        async move {
            let mut sent = 0;
            while start.elapsed() < Duration::from_secs(10) {
                replica.request(&team, &Place::Host("h".into())).await;
                sent += 1;
            }
            sent
        }
    };
    let of = |team: &KnownTeam| join_all(replicas.iter().flat_map(|one| (0..10).map(|_| lane(one, team.clone()))));
    let (slow, other) = tokio::join!(of(&slow), of(&team("other")));
    let (slow, other): (usize, usize) = (slow.iter().sum(), other.iter().sum());
    assert!((40..=100).contains(&slow), "{slow} of 50, and those who waited at the end");
    assert!(slow + other >= 490, "{slow} and {other} of 500");
}

/// The same slots, farther away.
struct Far(Arc<Common>, Duration);

#[async_trait]
impl SharedSlots for Far {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Answer>, SlotsAway> {
        sleep(self.1).await;
        let answers = self.0.take(asks).await;
        sleep(self.1).await;
        answers
    }
    fn replicas(&self) -> u32 {
        self.0.replicas()
    }
}

#[tokio::test(start_paused = true)]
async fn no_replica_is_left_behind_by_those_who_are_nearer() {
    for (rate, far) in [(10.0, 5), (20.0, 3), (20.0, 10), (40.0, 5), (100.0, 1), (100.0, 5)] {
        let common = common();
        let limit = Limit { requests_per_second: rate, ..Limit::default() };
        let at = |far| {
            let (slots, limits) = (Far(Arc::clone(&common), far), Limits { per_host: limit, ..Limits::default() });
            Arc::new(SharedPaces::new(LimitTable::new(limits), Arc::new(slots)))
        };
        let near = Duration::from_micros(200);
        let replicas: Vec<_> = [near, near, near, Duration::from_millis(far)].map(at).into();
        let each = replicas.iter().map(|replica| sent(std::slice::from_ref(replica), Duration::from_secs(40)));
        let numbers: Vec<_> = join_all(each).await.iter().map(Vec::len).collect();
        let least = rate * 40.0 / 4.0 * 0.5;
        assert!(numbers.iter().all(|number| *number as f64 > least), "{numbers:?}: {rate} a second, one {far} ms away");
    }
}

/// A service whose answers stay away for a moment now and then, when they are already given.
struct Stalling(Arc<Common>);

#[async_trait]
impl SharedSlots for Stalling {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Answer>, SlotsAway> {
        let answers = self.0.take(asks).await;
        // All that are under way come together.
        if self.0.asked.load(SeqCst) % 40 < 8 {
            sleep(Duration::from_millis(400)).await;
        }
        answers
    }
    fn replicas(&self) -> u32 {
        self.0.replicas()
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_late_do_not_crowd_a_second() {
    let common = common();
    let limits = Limits { per_host: Limit { requests_per_second: 100.0, ..Limit::default() }, ..Limits::default() };
    let replica =
        |_| Arc::new(SharedPaces::new(LimitTable::new(limits.clone()), Arc::new(Stalling(Arc::clone(&common)))));
    let replicas: Vec<_> = (0..8).map(replica).collect();
    let sent = sent(&replicas, Duration::from_secs(20)).await;
    assert!(densest_second(&sent) <= 105, "{} in a second", densest_second(&sent));
    assert!(sent.len() > 500, "{} were sent", sent.len());
}

/// Answers only who asks for nothing that counts.
struct ReadOnly(AtomicUsize);

#[async_trait]
impl SharedSlots for ReadOnly {
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Answer>, SlotsAway> {
        self.0.fetch_add(1, SeqCst);
        if asks.is_empty() { Ok(Vec::new()) } else { Err(SlotsAway("it takes no writes".into())) }
    }
    fn replicas(&self) -> u32 {
        4
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_no_writes_is_away() {
    let slots = Arc::new(ReadOnly(AtomicUsize::new(0)));
    let limits = Limits { per_host: Limit { requests_per_second: 2.0, ..Limit::default() }, ..Limits::default() };
    let paces = Arc::new(SharedPaces::new(LimitTable::new(limits), Arc::clone(&slots) as _));
    let start = Instant::now();
    let lines = (0..6).map(|name| {
        let (paces, team) = (Arc::clone(&paces), team(&format!("t{name}")));
        async move {
            let mut sent = 0;
            while start.elapsed() < Duration::from_secs(40) {
                paces.request(&team, &Place::Host("h".into())).await;
                sent += 1;
            }
            sent
        }
    });
    let sent: usize = join_all(lines).await.iter().sum();
    assert!((18..=27).contains(&sent), "{sent} of 20, and those that wait at the end");
    let asked = slots.0.load(SeqCst);
    assert!((15..=45).contains(&asked), "asked {asked} times in 40 s");
}

#[tokio::test(start_paused = true)]
async fn while_the_service_hangs_the_whole_share_is_used() {
    let common = common();
    common.is_away.store(true, SeqCst);
    let limits = Limits { per_host: Limit { requests_per_second: 200.0, ..Limit::default() }, ..Limits::default() };
    // It hangs before it fails.
    let slots = Arc::new(Far(Arc::clone(&common), Duration::from_millis(500)));
    let replica = [Arc::new(SharedPaces::new(LimitTable::new(limits), slots))];
    let alone = sent(&replica, Duration::from_secs(11)).await;
    assert!(alone.len() >= 490, "{} of 500, and the first second", alone.len());
    assert!(densest_second(&alone) <= 53, "{} in a second", densest_second(&alone));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_within_the_limits_of_both() {
    let common = common();
    let limit = |bytes| Limit { bytes_per_second: Some(bytes), ..Limit::default() };
    let limits = Limits { per_host: limit(1024 * 1024), per_team: limit(2 * 1024 * 1024), ..Limits::default() };
    let paces = SharedPaces::new(LimitTable::new(limits), Arc::clone(&common) as _);
    let start = Instant::now();
    let read = |host: &'static str| {
        let paces = &paces;
        async move {
            for _ in 0..64 {
                paces.bytes(&team("a"), &Place::Host(host.into()), 64 * 1024).await;
            }
            start.elapsed()
        }
    };
    let one_host = read("h1").await;
    assert!((3.9..4.3).contains(&one_host.as_secs_f64()), "4 MiB of one host: {one_host:?}");
    let start = Instant::now();
    tokio::join!(read("h1"), read("h2"), read("h3"), read("h4"));
    let four_hosts = start.elapsed();
    assert!((7.8..8.6).contains(&four_hosts.as_secs_f64()), "16 MiB of four: {four_hosts:?}");
}
