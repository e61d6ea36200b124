//! How many tries may run at once to one endpoint, to one host and for one team, so that one that hangs holds up no other.
//!
//! An endpoint begins with a few places. Answers give it more, silence takes all but one. Who finds no place is told when to
//! come again: each is given a later time than the one before, at the pace at which places become free, so that a long line
//! is not asked again and again.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::id::TeamId;
use crate::domain::webhook::endpoint::Endpoint;

/// Places of an endpoint that nothing is known of, and of one that answers.
const PLACES_FIRST: usize = 4;
const PLACES_MAX: usize = 16;
/// Places of one host, whatever the number of its endpoints.
const HOST_PLACES: usize = 64;
/// Places of one team, whatever the number of its hosts: a quarter of all tries under way.
const TEAM_PLACES: usize = super::worker::IN_HAND / 4;
/// The shortest and the longest wait of who finds no place.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// What a try is thought to take before one has ended.
const TAKES_FIRST: Duration = Duration::from_secs(1);
/// Endpoints that are remembered while nothing runs there: forgetting one gives it its first places back.
const REMEMBERED_MAX: usize = 10_000;

/// The tries that run. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Crowd(Arc<Mutex<Places>>);

/// How many tries run for each of some.
#[derive(Debug)]
struct Busy<K>(HashMap<K, usize>);

#[derive(Debug)]
struct Places {
    endpoints: HashMap<Endpoint, Line>,
    hosts: Busy<String>,
    teams: Busy<TeamId>,
    wait_max: Duration,
}

impl Default for Places {
    fn default() -> Self {
        let (hosts, teams) = (Busy(HashMap::new()), Busy(HashMap::new()));
        Self { endpoints: HashMap::new(), hosts, teams, wait_max: WAIT_MAX }
    }
}

/// One endpoint.
#[derive(Debug)]
struct Line {
    busy: usize,
    places: usize,
    takes: Duration,
    /// When the last one who was sent away comes again.
    last_call: Instant,
}

/// How a try ended, as far as its endpoint's places go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was answered, whatever the status.
    Answered,
    /// Nobody answered.
    Silent,
}

/// A place at an endpoint; free again when dropped.
#[derive(Debug)]
pub struct Place {
    crowd: Crowd,
    endpoint: Endpoint,
    host: String,
    began: Instant,
}

impl Crowd {
    /// Sends nobody away for longer than this from now on.
    pub fn wait_at_most(&self, span: Duration) {
        self.places().wait_max = span;
    }

    /// Takes a place for a try to `endpoint` on `host`.
    ///
    /// # Errors
    /// How long to wait before asking again, where there is none.
    pub fn enter(&self, endpoint: &Endpoint, host: &str) -> Result<Place, Duration> {
        let now = Instant::now();
        let mut places = self.places();
        let wait_max = places.wait_max;
        let is_full = places.hosts.of(host) >= HOST_PLACES || places.teams.of(endpoint.team()) >= TEAM_PLACES;
        places.forget_some();
        let line = places.endpoints.entry(endpoint.clone()).or_insert_with(|| Line::new(now));
        if is_full || line.busy >= line.places {
            return Err(line.call_later(now, wait_max));
        }
        line.busy += 1;
        places.hosts.enter(host.to_owned());
        places.teams.enter(endpoint.team().clone());
        Ok(Place { crowd: self.clone(), endpoint: endpoint.clone(), host: host.to_owned(), began: now })
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // No code of ours panics while it holds the lock, and counts are whole between its own lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Keeps the map bounded: what nothing runs at is let go.
    fn forget_some(&mut self) {
        if self.endpoints.len() >= REMEMBERED_MAX {
            self.endpoints.retain(|_, line| line.busy > 0);
        }
    }

    fn leave(&mut self, endpoint: &Endpoint, host: &str) {
        if let Some(line) = self.endpoints.get_mut(endpoint) {
            line.busy = line.busy.saturating_sub(1);
        }
        self.hosts.leave(host);
        self.teams.leave(endpoint.team());
    }
}

impl<K: Eq + Hash> Busy<K> {
    fn of<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn enter(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    fn leave<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(busy) = self.0.get_mut(key) {
            *busy = busy.saturating_sub(1);
            if *busy == 0 {
                self.0.remove(key);
            }
        }
    }
}

impl Line {
    fn new(now: Instant) -> Self {
        Self { busy: 0, places: PLACES_FIRST, takes: TAKES_FIRST, last_call: now }
    }

    fn call_later(&mut self, now: Instant, wait_max: Duration) -> Duration {
        let pace = self.takes / u32::try_from(self.places).unwrap_or(u32::MAX);
        let call = (self.last_call + pace).clamp(now + WAIT_MIN.min(wait_max), now + wait_max);
        self.last_call = call;
        call - now
    }

    fn learn(&mut self, ended: Ended, took: Duration) {
        self.takes = took;
        self.places = match ended {
            Ended::Answered => (self.places + 1).min(PLACES_MAX),
            Ended::Silent => 1,
        };
    }
}

impl Place {
    /// Notes how the try ended, and leaves.
    pub fn ended(self, ended: Ended) {
        let took = self.began.elapsed();
        if let Some(line) = self.crowd.places().endpoints.get_mut(&self.endpoint) {
            line.learn(ended, took);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.places().leave(&self.endpoint, &self.host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(path: usize) -> Endpoint {
        endpoint_of("acme", path)
    }

    fn endpoint_of(team: &str, path: usize) -> Endpoint {
        let url = url::Url::parse(&format!("https://h/{path}")).expect("a URL");
        Endpoint::of(&TeamId::new(team).expect("good"), &url)
    }

    fn fill(crowd: &Crowd, path: usize) -> Vec<Place> {
        std::iter::from_fn(|| crowd.enter(&endpoint(path), "h").ok()).take(1000).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_endpoint_is_no_hindrance_to_another() {
        let crowd = Crowd::default();
        let held = fill(&crowd, 1);
        assert_eq!(held.len(), PLACES_FIRST);
        assert!(crowd.enter(&endpoint(2), "h").is_ok());
        drop(held);
        assert_eq!(fill(&crowd, 1).len(), PLACES_FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_give_places_and_silence_takes_all_but_one() {
        let crowd = Crowd::default();
        for _ in 0..100 {
            crowd.enter(&endpoint(1), "h").expect("a place").ended(Ended::Answered);
        }
        assert_eq!(fill(&crowd, 1).len(), PLACES_MAX);
        crowd.enter(&endpoint(1), "h").expect("a place").ended(Ended::Silent);
        assert_eq!(fill(&crowd, 1).len(), 1);
        crowd.enter(&endpoint(1), "h").expect("a place").ended(Ended::Answered);
        assert_eq!(fill(&crowd, 1).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_of_many_endpoints_has_an_end_too() {
        let crowd = Crowd::default();
        let held: Vec<Place> = (0..100).filter_map(|path| crowd.enter(&endpoint(path), "h").ok()).collect();
        assert_eq!(held.len(), HOST_PLACES);
        assert!(crowd.enter(&endpoint_of("beta", 1), "other").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_team_of_many_hosts_leaves_room_for_others() {
        let crowd = Crowd::default();
        let enter = |number: usize| crowd.enter(&endpoint(number), &format!("h{number}")).ok();
        let held: Vec<Place> = (0..500).filter_map(enter).collect();
        assert_eq!(held.len(), TEAM_PLACES);
        assert!(crowd.enter(&endpoint_of("beta", 1), "h1").is_ok());
        drop(held);
        assert!(enter(1).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_find_no_place_come_again_one_after_the_other() {
        let crowd = Crowd::default();
        let place = crowd.enter(&endpoint(1), "h").expect("a place");
        tokio::time::sleep(Duration::from_secs(20)).await;
        place.ended(Ended::Silent);
        let _held = crowd.enter(&endpoint(1), "h").expect("the one place");
        let waits: Vec<u64> =
            (0..5).filter_map(|_| crowd.enter(&endpoint(1), "h").err()).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [1, 21, 41, 60, 60]);
        crowd.wait_at_most(Duration::from_secs(5));
        assert_eq!(crowd.enter(&endpoint(1), "h").err(), Some(Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn endpoints_that_are_idle_are_forgotten() {
        let crowd = Crowd::default();
        for path in 0..REMEMBERED_MAX * 2 {
            drop(crowd.enter(&endpoint(path), "h"));
        }
        assert!(crowd.places().endpoints.len() <= REMEMBERED_MAX && crowd.places().hosts.0.is_empty());
    }
}
