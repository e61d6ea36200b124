//! How fast requests go out and bytes come in: per place and per team, by GCRA on tokio's clock.
//!
//! A token is one request sent: each hop, range and retry takes its own on its own place. The burst is a twentieth of a
//! second's worth, so that a limit holds within five per cent in any window of one second. Limits hold for this process.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use governor::clock::{Clock as _, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::domain::id::TeamId;
use crate::domain::source::Place;
use crate::domain::team::KnownTeam;
use crate::ports::budget::Budget;

/// Bytes are counted in cells of this size.
const CELL_BYTES: u64 = 1024;
/// Rates above this are no limit: the clock counts nanoseconds.
const RATE_MAX: u32 = 100_000_000;
/// Above this many keys, those that have not been used for [`IDLE`] are forgotten.
const KEYS_MAX: usize = 4096;
/// A limiter that was idle this long has its full burst again and holds nothing worth keeping.
const IDLE: Duration = Duration::from_secs(10);

/// The limits of one place or team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests a second.
    pub requests_per_second: u32,
    /// Attachments in flight.
    pub in_flight: usize,
    /// Bytes a second, if limited.
    pub bytes_per_second: Option<u64>,
}

impl Default for Limit {
    fn default() -> Self {
        Self { requests_per_second: 2000, in_flight: 128, bytes_per_second: None }
    }
}

/// The deployment's limits.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Plain hosts.
    pub per_host: Limit,
    /// Hosts with limits of their own, by name.
    pub hosts: HashMap<String, Limit>,
    /// Buckets and storage accounts.
    pub per_bucket: Limit,
    /// Teams that have no limits of their own.
    pub per_team: Limit,
}

/// Which limit holds for whom.
#[derive(Debug, Clone, Default)]
pub struct LimitTable(Arc<Limits>);

impl LimitTable {
    /// A table of these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(limits))
    }

    /// The limit of a place.
    #[must_use]
    pub fn place(&self, place: &Place) -> Limit {
        match place {
            Place::Host(host) => self.0.hosts.get(host).copied().unwrap_or(self.0.per_host),
            Place::Bucket(_) => self.0.per_bucket,
            Place::Local => Limit { requests_per_second: u32::MAX, in_flight: usize::MAX, bytes_per_second: None },
        }
    }

    /// The limit of a team: its own numbers, else the deployment's.
    #[must_use]
    pub fn team(&self, team: &KnownTeam) -> Limit {
        let (own, common) = (&team.record.limits, self.0.per_team);
        Limit {
            requests_per_second: own.requests_per_second.unwrap_or(common.requests_per_second),
            in_flight: own.in_flight.map_or(common.in_flight, |number| number as usize),
            bytes_per_second: own.bytes_per_second.or(common.bytes_per_second),
        }
    }
}

/// Hands out leave for requests and bytes.
#[derive(Debug)]
pub struct Paces {
    table: LimitTable,
    places: Limiters<Place>,
    teams: Limiters<TeamId>,
}

impl Paces {
    /// Paces by this table.
    #[must_use]
    pub fn new(table: LimitTable) -> Self {
        Self { table, places: Limiters::default(), teams: Limiters::default() }
    }
}

#[async_trait]
impl Budget for Paces {
    async fn request(&self, team: &KnownTeam, place: &Place) {
        if *place == Place::Local {
            return;
        }
        self.teams.of(&team.id, self.table.team(team)).request().await;
        self.places.of(place, self.table.place(place)).request().await;
    }

    async fn bytes(&self, team: &KnownTeam, place: &Place, bytes: u64) {
        let (team_limit, place_limit) = (self.table.team(team), self.table.place(place));
        if team_limit.bytes_per_second.is_some() {
            self.teams.of(&team.id, team_limit).bytes(bytes).await;
        }
        if place_limit.bytes_per_second.is_some() {
            self.places.of(place, place_limit).bytes(bytes).await;
        }
    }
}

/// A pacer for each key in use; rebuilt when its limit changes.
#[derive(Debug)]
struct Limiters<K>(std::sync::Mutex<HashMap<K, InUse>>);

/// When a pacer was used last, and what it was made for.
type InUse = (Instant, Limit, Arc<Pacer>);

impl<K> Default for Limiters<K> {
    fn default() -> Self {
        Self(std::sync::Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Limiters<K> {
    fn of(&self, key: &K, limit: Limit) -> Arc<Pacer> {
        let now = Instant::now();
        let mut pacers = self.0.lock().expect("nothing panics while it holds this lock");
        if let Some((used, made_for, pacer)) = pacers.get_mut(key)
            && *made_for == limit
        {
            *used = now;
            return Arc::clone(pacer);
        }
        if pacers.len() >= KEYS_MAX {
            pacers.retain(|_, (used, _, _)| now.duration_since(*used) < IDLE);
        }
        let pacer = Arc::new(Pacer::new(limit));
        pacers.insert(key.clone(), (now, limit, Arc::clone(&pacer)));
        pacer
    }
}

type Gcra = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<SinceStart>>;

/// The limiters of one key.
#[derive(Debug)]
struct Pacer {
    requests: Gcra,
    bytes: Option<(Gcra, NonZeroU32)>,
    /// Who waits does so in the order of coming: without it all would wake at once, and chance would choose.
    request_turns: Mutex<()>,
    byte_turns: Mutex<()>,
}

impl Pacer {
    fn new(limit: Limit) -> Self {
        let bytes = limit.bytes_per_second.map(|bytes| {
            let (cells, burst) = rate_and_burst(u32::try_from(bytes / CELL_BYTES).unwrap_or(u32::MAX));
            (gcra(cells, burst), burst)
        });
        let (rate, burst) = rate_and_burst(limit.requests_per_second);
        Self { requests: gcra(rate, burst), bytes, request_turns: Mutex::default(), byte_turns: Mutex::default() }
    }

    async fn request(&self) {
        let _turn = self.request_turns.lock().await;
        wait_for(&self.requests, NonZeroU32::MIN).await;
    }

    async fn bytes(&self, bytes: u64) {
        let Some((limiter, burst)) = &self.bytes else {
            return;
        };
        let _turn = self.byte_turns.lock().await;
        let mut cells = u32::try_from(bytes.div_ceil(CELL_BYTES)).unwrap_or(u32::MAX);
        while let Some(some) = NonZeroU32::new(cells.min(burst.get())) {
            wait_for(limiter, some).await;
            cells -= some.get();
        }
    }
}

fn rate_and_burst(per_second: u32) -> (NonZeroU32, NonZeroU32) {
    let rate = NonZeroU32::new(per_second.min(RATE_MAX)).unwrap_or(NonZeroU32::MIN);
    (rate, NonZeroU32::new(rate.get() / 20).unwrap_or(NonZeroU32::MIN))
}

fn gcra(rate: NonZeroU32, burst: NonZeroU32) -> Gcra {
    RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(burst), TokioClock::default())
}

/// Waits on tokio's timer until `cells` (at most the burst) may pass: governor's own waits sleep on a foreign one.
async fn wait_for(limiter: &Gcra, cells: NonZeroU32) {
    loop {
        match limiter.check_n(cells) {
            Ok(Ok(())) => return,
            Ok(Err(not_until)) => sleep(not_until.wait_time_from(limiter.clock().now())).await,
            // Cannot be: callers never ask for more than the burst. Letting it pass beats waiting for ever.
            Err(_larger_than_burst) => return,
        }
    }
}

/// Tokio's time, which tests can pause, as governor wants it.
#[derive(Debug, Clone)]
struct TokioClock(Instant);

impl Default for TokioClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl governor::clock::Clock for TokioClock {
    type Instant = SinceStart;
    fn now(&self) -> SinceStart {
        SinceStart(self.0.elapsed())
    }
}

/// Time since the limiter was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct SinceStart(Duration);

impl std::ops::Add<Nanos> for SinceStart {
    type Output = Self;
    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Reference for SinceStart {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }
    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.saturating_sub(duration.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::team::{Team, TeamLimits};

    fn team(name: &str, limits: TeamLimits) -> KnownTeam {
        let record = Team { limits, ..Team::default() };
        KnownTeam { id: TeamId::new(name).expect("a good id"), record }
    }

    fn host() -> Place {
        Place::Host("h.com".into())
    }

    /// Sends requests for ten seconds and returns the most that went out in any window of one second.
    async fn densest_second(paces: &Paces, team: &KnownTeam) -> usize {
        let (start, mut sent) = (Instant::now(), Vec::new());
        while start.elapsed() < Duration::from_secs(10) {
            paces.request(team, &host()).await;
            sent.push(start.elapsed());
        }
        let in_window =
            |from: Duration| sent.iter().filter(|at| **at >= from && **at < from + Duration::from_secs(1)).count();
        sent.iter().map(|from| in_window(*from)).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_requests_than_the_limit_and_five_per_cent() {
        for (rate, most) in [(1, 2), (10, 11), (100, 105)] {
            let limit = Limit { requests_per_second: rate, ..Limit::default() };
            let paces = Paces::new(LimitTable::new(Limits { per_host: limit, ..Limits::default() }));
            let densest = densest_second(&paces, &team("a", TeamLimits::default())).await;
            assert!(densest <= most && densest >= rate as usize, "{rate} a second: {densest}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_teams_own_number_holds_over_all_its_hosts() {
        let paces = Paces::new(LimitTable::default());
        let slow = team("a", TeamLimits { requests_per_second: Some(5), ..TeamLimits::default() });
        assert!(densest_second(&paces, &slow).await <= 6);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_paced_too() {
        let limit = Limit { bytes_per_second: Some(1024 * 1024), ..Limit::default() };
        let paces = Paces::new(LimitTable::new(Limits { per_host: limit, ..Limits::default() }));
        let start = Instant::now();
        paces.bytes(&team("a", TeamLimits::default()), &host(), 4 * 1024 * 1024).await;
        let taken = start.elapsed().as_secs_f64();
        assert!((3.9..=4.1).contains(&taken), "{taken} s");
    }
}
