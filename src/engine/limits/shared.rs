//! Limits that hold over all replicas: slots are drawn from a service that all of them ask.
//!
//! Those of one key who wait stand in one line. The first of them are asked for together, as many as a short time has slots
//! for; the others stay in the line until these have gone. So a busy key costs one question at a time however many requests
//! wait, no replica draws far ahead of the others, and little is promised twice when the service goes away or comes back.
//! While it is away the line goes on at this replica's share of the limit, by its own clock; that is said once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::LimitTable;
use super::paces::{CELL_BYTES, cells};
use super::slots::{Slots, Spacing};
use crate::domain::source::Place;
use crate::domain::team::KnownTeam;
use crate::engine::keyed::Keyed;
use crate::ports::budget::{Budget, SharedSlots, SlotsAway};

/// How long a service that was away is not asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How many seconds' worth of slots are drawn together.
const AHEAD_SECS: f64 = 0.05;

/// Hands out leave for requests and bytes within limits that hold over all replicas.
pub struct SharedPaces {
    table: LimitTable,
    lines: Keyed<String, Line>,
    service: Arc<Service>,
}

impl SharedPaces {
    /// Paces by this table, out of these slots.
    #[must_use]
    pub fn new(table: LimitTable, slots: Arc<dyn SharedSlots>) -> Self {
        let service = Service { slots, asked_again: Mutex::new(None), is_said: AtomicBool::new(false) };
        Self { table, lines: Keyed::default(), service: Arc::new(service) }
    }

    /// Waits for the last of `number` slots of `key`, which has `rate` of them a second.
    ///
    /// Whoever wakes so late that its slot would crowd the next second lets it go and asks for another; once, so that a machine
    /// that is always late still goes on.
    async fn wait(&self, key: String, number: u32, rate: f64) {
        let Some(spacing) = Spacing::of_rate(rate) else {
            return;
        };
        let line =
            self.lines.of(&key, || Line { key: key.clone(), waiting: Mutex::default(), alone: Mutex::default() });
        for _ in 0..2 {
            let Some(slot) = line.slot(&self.service, number, rate).await else {
                return;
            };
            sleep_until(slot).await;
            if slot.elapsed() <= spacing.slack {
                return;
            }
        }
    }
}

#[async_trait]
impl Budget for SharedPaces {
    async fn request(&self, team: &KnownTeam, place: &Place) {
        if *place == Place::Local {
            return;
        }
        self.wait(format!("requests:team:{}", team.id), 1, self.table.team(team).requests_per_second).await;
        self.wait(format!("requests:{}", name_of(place)), 1, self.table.place(place).requests_per_second).await;
    }

    async fn bytes(&self, team: &KnownTeam, place: &Place, bytes: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a pace needs no more digits than a float has")]
        let cells_per_second = |bytes: u64| bytes as f64 / f64::from(CELL_BYTES);
        if let Some(rate) = self.table.team(team).bytes_per_second {
            self.wait(format!("bytes:team:{}", team.id), cells(bytes), cells_per_second(rate)).await;
        }
        if let Some(rate) = self.table.place(place).bytes_per_second {
            self.wait(format!("bytes:{}", name_of(place)), cells(bytes), cells_per_second(rate)).await;
        }
    }
}

fn name_of(place: &Place) -> String {
    match place {
        Place::Host(host) => format!("host:{host}"),
        Place::Bucket(bucket) => format!("bucket:{bucket}"),
        Place::Local => "local".to_owned(),
    }
}

/// The service, and whether it answers.
struct Service {
    slots: Arc<dyn SharedSlots>,
    /// Set while it is away: not before this time is it asked again.
    asked_again: Mutex<Option<Instant>>,
    is_said: AtomicBool,
}

impl Service {
    /// When the first of `number` slots is; `None` while it is away.
    async fn take(&self, key: &str, number: u32, spacing: Spacing) -> Option<Instant> {
        let away_until = *held(&self.asked_again);
        if away_until.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        match self.slots.take(key, number, spacing.interval, spacing.slack).await {
            Ok(wait) => {
                // An answer to what was asked before the service went away does not tell that it is back.
                if away_until.is_some() {
                    *held(&self.asked_again) = None;
                    if self.is_said.swap(false, SeqCst) {
                        info!("shared limits are back: they hold over all replicas again");
                    }
                }
                Some(Instant::now() + wait)
            }
            Err(error) => {
                *held(&self.asked_again) = Some(Instant::now() + PAUSE);
                self.say_away(&error);
                None
            }
        }
    }

    fn say_away(&self, error: &SlotsAway) {
        if !self.is_said.swap(true, SeqCst) {
            let replicas = self.slots.replicas();
            warn!(%error, replicas, "shared limits are away: this replica keeps to its share, one of {replicas}");
        }
    }
}

/// Those who wait for slots of one key.
#[derive(Debug)]
struct Line {
    key: String,
    waiting: Mutex<Waiting>,
    /// This replica's own slots while the service is away.
    alone: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Waiting {
    is_served: bool,
    asks: VecDeque<Ask>,
}

#[derive(Debug)]
struct Ask {
    number: u32,
    rate: f64,
    /// Told when its last slot is.
    answer: oneshot::Sender<Instant>,
}

impl Line {
    /// Waits in the line until it is known when the last of `number` slots is; `None` when the runtime ends.
    async fn slot(self: &Arc<Self>, service: &Arc<Service>, number: u32, rate: f64) -> Option<Instant> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = held(&self.waiting);
            waiting.asks.push_back(Ask { number, rate, answer });
            !std::mem::replace(&mut waiting.is_served, true)
        };
        if is_first {
            // On a task of its own: whoever waits may be dropped, and the others must not be.
            let (line, service) = (Arc::clone(self), Arc::clone(service));
            tokio::spawn(async move { line.serve(&service).await });
        }
        answered.await.ok()
    }

    /// Serves the line until it is empty, and keeps it until its next slot: a line that is made anew has forgotten the last.
    async fn serve(&self, service: &Service) {
        let mut next = Instant::now();
        while let Some((asks, rate)) = self.next_asks() {
            let number = asks.iter().fold(0, |sum: u32, ask| sum.saturating_add(ask.number));
            let Some((first, interval)) = self.first_slot(service, number, rate).await else {
                continue;
            };
            next = first;
            for ask in asks {
                // Whoever is gone loses its slots: the limit holds all the same.
                let _ = ask.answer.send(next + interval * ask.number.saturating_sub(1));
                next += interval * ask.number;
            }
            sleep_until(next - interval).await;
        }
        sleep_until(next).await;
    }

    /// Those who are first in the line and together need no more than a short time's slots; at least one.
    fn next_asks(&self) -> Option<(Vec<Ask>, f64)> {
        let mut waiting = held(&self.waiting);
        waiting.asks.retain(|ask| !ask.answer.is_closed());
        let rate = waiting.asks.front().map(|ask| ask.rate);
        waiting.is_served = rate.is_some();
        let (rate, mut left, mut asks) = (rate?, 0.0, Vec::new());
        while let Some(ask) = waiting.asks.front() {
            left += f64::from(ask.number);
            if !asks.is_empty() && left > rate * AHEAD_SECS {
                break;
            }
            asks.extend(waiting.asks.pop_front());
        }
        Some((asks, rate))
    }

    /// When the first of `number` slots is and how far they are apart; `None` for a rate that is no limit.
    async fn first_slot(&self, service: &Service, number: u32, rate: f64) -> Option<(Instant, Duration)> {
        let spacing = Spacing::of_rate(rate)?;
        if let Some(slot) = service.take(&self.key, number, spacing).await {
            *held(&self.alone) = Slots::default();
            return Some((slot, spacing.interval));
        }
        let share = Spacing::of_rate(rate / f64::from(service.slots.replicas().max(1)))?;
        let now = Instant::now();
        let slot = held(&self.alone).take(now, number, share);
        Some((slot, share.interval))
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of ours panics while it holds these locks, and what they guard is whole between its own calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicUsize};

    use futures::future::join_all;

    use super::super::slots::Slots;
    use super::super::{Limit, Limits};
    use super::*;
    use crate::domain::id::TeamId;
    use crate::domain::team::Team;

    /// Slots that several replicas of a test share; may go away.
    struct Common {
        slots: Mutex<std::collections::HashMap<String, Slots>>,
        is_away: AtomicBool,
        asked: AtomicUsize,
        replicas: AtomicU32,
    }

    #[async_trait]
    impl SharedSlots for Common {
        async fn take(
            &self, key: &str, number: u32, interval: Duration, slack: Duration,
        ) -> Result<Duration, SlotsAway> {
            self.asked.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
            if self.is_away.load(SeqCst) {
                return Err(SlotsAway("away".into()));
            }
            let now = Instant::now();
            let mut slots = held(&self.slots);
            let slots = slots.entry(key.to_owned()).or_default();
            Ok(slots.take(now, number, Spacing { interval, slack }).saturating_duration_since(now))
        }
        fn replicas(&self) -> u32 {
            self.replicas.load(SeqCst)
        }
    }

    fn common() -> Arc<Common> {
        let (slots, is_away) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Common { slots, is_away, asked: AtomicUsize::new(0), replicas: AtomicU32::new(4) })
    }

    fn replica(common: &Arc<Common>, rate: f64) -> Arc<SharedPaces> {
        let limit = Limit { requests_per_second: rate, ..Limit::default() };
        let table = LimitTable::new(Limits { per_host: limit, ..Limits::default() });
        Arc::new(SharedPaces::new(table, Arc::clone(common) as _))
    }

    /// Lets replicas with many requests each run for `long`, and returns when each request went out, in order.
    async fn sent(replicas: &[Arc<SharedPaces>], long: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let lanes =
            replicas.iter().flat_map(|replica| (0..20).map(move |_| Arc::clone(replica))).map(|replica| async move {
                let team = KnownTeam { id: TeamId::new("a").expect("a good id"), record: Team::default() };
                let mut sent = Vec::new();
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
        let within =
            |from: usize| sent[from..].iter().take_while(|at| **at < sent[from] + Duration::from_secs(1)).count();
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
                tokio::time::sleep(Duration::from_millis(1100)).await;
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
}
