//! Limits of this process alone.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
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
/// Who has looked at a full row for so long lets the next one look.
const AGAIN_WITHIN: Duration = Duration::from_secs(5);
/// A pacer that was idle this long holds nothing worth keeping, unless a slot of it is still to come.
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
        let limits = [self.table.team(team), self.table.place(place)];
        let [per_team, per_place] = limits.map(|limit| Spacing::of_rate(limit.requests_per_second));
        let (team, place) = (self.teams.of(&team.id), self.places.of(place));
        wait([(&team.requests, per_team), (&place.requests, per_place)], 1).await;
    }

    async fn bytes(&self, team: &KnownTeam, place: &Place, bytes: u64) {
        let limits = [self.table.team(team), self.table.place(place)];
        let per_second = |limit: Limit| limit.bytes_per_second.map(cells_per_second).and_then(Spacing::of_rate);
        let [per_team, per_place] = limits.map(per_second);
        if per_team.is_none() && per_place.is_none() {
            return;
        }
        let (team, place) = (self.teams.of(&team.id), self.places.of(place));
        wait([(&team.bytes, per_team), (&place.bytes, per_place)], cells(bytes)).await;
    }
}

/// The rows of each key in use. A limit that changes goes on where the old one stood.
#[derive(Debug)]
struct Pacers<K>(Mutex<HashMap<K, (Instant, Arc<Pacer>)>>);

impl<K> Default for Pacers<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Pacers<K> {
    fn of(&self, key: &K) -> Arc<Pacer> {
        let now = Instant::now();
        let mut pacers = self.0.lock().expect("nothing panics while it holds this lock");
        if let Some((used, pacer)) = pacers.get_mut(key) {
            *used = now;
            return Arc::clone(pacer);
        }
        if pacers.len() >= KEYS_MAX {
            pacers.retain(|_, (used, pacer)| now.duration_since(*used) < IDLE || pacer.is_in_use(now));
        }
        let pacer = Arc::new(Pacer::default());
        pacers.insert(key.clone(), (now, Arc::clone(&pacer)));
        pacer
    }
}

/// The rows of one key.
#[derive(Debug, Default)]
struct Pacer {
    requests: Row,
    bytes: Row,
}

impl Pacer {
    /// Whether a slot of it is still to come.
    fn is_in_use(&self, now: Instant) -> bool {
        [&self.requests, &self.bytes].into_iter().any(|row| row.slots().opens_at(now).is_some())
    }
}

/// Bytes are counted in cells of this size.
pub(super) const CELL_BYTES: u32 = 1024;

/// How many cells `bytes` are.
pub(super) fn cells(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(u64::from(CELL_BYTES))).unwrap_or(u32::MAX)
}

/// So many cells a second.
#[expect(clippy::cast_precision_loss, reason = "a pace needs no more digits than a float has")]
pub(super) fn cells_per_second(bytes_per_second: u64) -> f64 {
    bytes_per_second as f64 / f64::from(CELL_BYTES)
}

/// A row of slots, and the line of those who found it full.
#[derive(Debug, Default)]
struct Row {
    slots: Mutex<Slots>,
    line: tokio::sync::Mutex<()>,
}

impl Row {
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().expect("nothing panics while it holds this lock")
    }
}

/// Takes `number` slots of each of these rows that is a limit and waits for the first of them.
async fn wait(rows: [(&Row, Option<Spacing>); 2], number: u32) {
    let rows: Vec<_> = rows.into_iter().filter_map(|(row, spacing)| Some((row, spacing?))).collect();
    let mut taken = take_of_all(&rows, number);
    while let Err(full) = taken {
        // Of those who found it full one at a time looks again. Who then finds the other one full goes there, and who has waited
        // for long goes to the end: others may know that the limit was raised.
        let _turn = rows[full.by].0.line.lock().await;
        taken = take_of_all(&rows, number);
        while let Err(still) = taken
            && still.by == full.by
        {
            let looks_again = still.again.min(Instant::now() + AGAIN_WITHIN);
            sleep_until(looks_again).await;
            taken = take_of_all(&rows, number);
            if looks_again < still.again {
                break;
            }
        }
    }
    if let Ok(first) = taken {
        sleep_until(first).await;
    }
}

fn take_of_all(rows: &[(&Row, Spacing)], number: u32) -> Result<Instant, Full> {
    // Always the team's before the place's, so that two who ask cannot wait for each other.
    let mut held: Vec<_> = rows.iter().map(|(row, spacing)| (row.slots(), *spacing)).collect();
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
        for _ in 0..257 {
            paces.bytes(&team("a", TeamLimits::default()), &host(), 16 * 1024).await;
        }
        let taken = start.elapsed().as_secs_f64();
        assert!((3.9..=4.1).contains(&taken), "{taken} s");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_know_another_limit_of_their_team_do_not_lift_it() {
        let paces = Paces::new(LimitTable::default());
        let of = |rate| team("a", TeamLimits { requests_per_second: Some(rate), ..TeamLimits::default() });
        let (old, new, start) = (of(6), of(5), Instant::now());
        for _ in 0..30 {
            paces.request(&old, &host()).await;
            paces.request(&new, &host()).await;
        }
        assert!(start.elapsed() >= Duration::from_secs(10), "{:?} for sixty at five or six a second", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_bytes_is_served_in_turn() {
        let limit = Limit { bytes_per_second: Some(1024 * 1024), ..Limit::default() };
        let paces = Arc::new(Paces::new(LimitTable::new(Limits { per_host: limit, ..Limits::default() })));
        let reading = (0..32).map(|_| {
            let paces = Arc::clone(&paces);
            async move {
                let (start, mut pieces) = (Instant::now(), 0);
                while start.elapsed() < Duration::from_secs(10) {
                    paces.bytes(&team("a", TeamLimits::default()), &host(), 16 * 1024).await;
                    pieces += 1;
                }
                pieces
            }
        });
        let pieces = futures::future::join_all(reading).await;
        assert!(pieces.iter().all(|pieces| (18..=23).contains(pieces)), "{pieces:?} of 640");
    }
}
