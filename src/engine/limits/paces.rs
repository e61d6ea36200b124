//! Limits of this process alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::slots::{self, Full, Slots, Spacing};
use super::{Limit, LimitTable};
use crate::domain::id::TeamId;
use crate::domain::source::Place;
use crate::domain::team::KnownTeam;
use crate::ports::budget::Budget;

/// Above this many keys, those that have not been used for [`IDLE`] are forgotten.
const KEYS_MAX: usize = 4096;
/// A pacer that was idle this long has its full burst again and holds nothing worth keeping, unless slots are further apart.
const IDLE: Duration = Duration::from_secs(10);

/// Hands out leave for requests and bytes.
#[derive(Debug)]
pub struct Paces {
    table: LimitTable,
    places: Pacers<Place>,
    teams: Pacers<TeamId>,
}

impl Paces {
    /// Paces by this table.
    #[must_use]
    pub fn new(table: LimitTable) -> Self {
        Self { table, places: Pacers::default(), teams: Pacers::default() }
    }
}

#[async_trait]
impl Budget for Paces {
    async fn request(&self, team: &KnownTeam, place: &Place) {
        if *place == Place::Local {
            return;
        }
        let team = self.teams.of(&team.id, self.table.team(team));
        let place = self.places.of(place, self.table.place(place));
        wait(&[&team.requests, &place.requests], 1).await;
    }

    async fn bytes(&self, team: &KnownTeam, place: &Place, bytes: u64) {
        let (team_limit, place_limit) = (self.table.team(team), self.table.place(place));
        if team_limit.bytes_per_second.is_none() && place_limit.bytes_per_second.is_none() {
            return;
        }
        let team = self.teams.of(&team.id, team_limit);
        let place = self.places.of(place, place_limit);
        wait(&[&team.bytes, &place.bytes], cells(bytes)).await;
    }
}

/// A pacer for each key in use; rebuilt when its limit changes.
#[derive(Debug)]
struct Pacers<K>(Mutex<HashMap<K, InUse>>);

/// When a pacer was used last, and what it was made for.
type InUse = (Instant, Limit, Arc<Pacer>);

impl<K> Default for Pacers<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Pacers<K> {
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
            pacers.retain(|_, (used, limit, _)| now.duration_since(*used) < idle_after(*limit));
        }
        let pacer = Arc::new(Pacer::new(limit));
        pacers.insert(key.clone(), (now, limit, Arc::clone(&pacer)));
        pacer
    }
}

fn idle_after(limit: Limit) -> Duration {
    Spacing::of_rate(limit.requests_per_second).map_or(IDLE, |spacing| IDLE.max(spacing.interval))
}

/// The slots of one key.
#[derive(Debug)]
struct Pacer {
    requests: Option<Row>,
    bytes: Option<Row>,
}

impl Pacer {
    fn new(limit: Limit) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a pace needs no more digits than a float has")]
        let bytes_per_second = limit.bytes_per_second.map(|bytes| bytes as f64);
        Self {
            requests: Row::of_rate(limit.requests_per_second),
            bytes: bytes_per_second.and_then(|rate| Row::of_rate(rate / f64::from(CELL_BYTES))),
        }
    }
}

/// Bytes are counted in cells of this size.
pub(super) const CELL_BYTES: u32 = 1024;

/// How many cells `bytes` are.
pub(super) fn cells(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(u64::from(CELL_BYTES))).unwrap_or(u32::MAX)
}

/// A row of slots. Who asks first when one is free has it.
#[derive(Debug)]
struct Row {
    spacing: Spacing,
    slots: Mutex<Slots>,
}

impl Row {
    fn of_rate(rate: f64) -> Option<Self> {
        Some(Self { spacing: Spacing::of_rate(rate)?, slots: Mutex::new(Slots::default()) })
    }
}

/// Takes `number` slots of each of these rows and waits for the last of them: what was asked for at once is then within the limit.
async fn wait(rows: &[&Option<Row>; 2], number: u32) {
    let rows: Vec<&Row> = rows.iter().filter_map(|row| row.as_ref()).collect();
    let widest = rows.iter().map(|row| row.spacing.interval).max().unwrap_or_default();
    loop {
        match take_of_all(&rows, number) {
            Ok(first) => return sleep_until(first + widest * number.saturating_sub(1)).await,
            Err(full) => sleep_until(full.again).await,
        }
    }
}

fn take_of_all(rows: &[&Row], number: u32) -> Result<Instant, Full> {
    // Always the team's before the place's, so that two who ask cannot wait for each other.
    let mut held: Vec<_> = rows
        .iter()
        .map(|row| (row.slots.lock().expect("nothing panics while it holds this lock"), row.spacing))
        .collect();
    let mut all: Vec<_> = held.iter_mut().map(|(slots, spacing)| (&mut **slots, *spacing)).collect();
    slots::take_of_all(&mut all, Instant::now(), number)
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
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
            let limit = Limit { requests_per_second: f64::from(rate), ..Limit::default() };
            let paces = Paces::new(LimitTable::new(Limits { per_host: limit, ..Limits::default() }));
            let densest = densest_second(&paces, &team("a", TeamLimits::default())).await;
            assert!(densest <= most && densest >= rate as usize, "{rate} a second: {densest}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_lets_a_team_wait_does_not_crowd_the_teams_own_seconds() {
        use rand::{Rng, SeedableRng};
        let limit = |rate| Limit { requests_per_second: rate, ..Limit::default() };
        let limits = Limits { per_host: limit(4.0), per_team: limit(9.0), ..Limits::default() };
        let (paces, team) = (Arc::new(Paces::new(LimitTable::new(limits))), team("a", TeamLimits::default()));
        let (start, sent) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
        let mut chance = rand::rngs::StdRng::seed_from_u64(1);
        let asking = (0..3000).map(|_| {
            let comes = start + Duration::from_millis(chance.random_range(0..400_000));
            let host = format!("h{}.com", chance.random_range(0..4_u32));
            let (paces, sent, team) = (Arc::clone(&paces), Arc::clone(&sent), team.clone());
            async move {
                sleep_until(comes).await;
                paces.request(&team, &Place::Host(host)).await;
                sent.lock().expect("whole").push(start.elapsed());
            }
        });
        futures::future::join_all(asking).await;
        let sent = sent.lock().expect("whole").clone();
        // They stand in the order of their going out.
        let within =
            |from: usize| sent[from..].iter().take_while(|at| **at < sent[from] + Duration::from_secs(1)).count();
        let densest = (0..sent.len()).map(within).max();
        assert!(densest <= Some(10), "{densest:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fraction_is_a_limit_too() {
        let limit = Limit { requests_per_second: 0.25, ..Limit::default() };
        let paces = Paces::new(LimitTable::new(Limits { per_host: limit, ..Limits::default() }));
        let (start, team) = (Instant::now(), team("a", TeamLimits::default()));
        for _ in 0..3 {
            paces.request(&team, &host()).await;
        }
        assert_eq!(start.elapsed().as_secs(), 8);
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
