//! Whether something that every task needs is away: the store, the broker, the teams directory.
//!
//! While one is away intake pauses, and what is in hand waits for it; neither uses up an attempt. An outage is logged once
//! when it begins and once when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::chance;

/// The first and the longest wait between two tries of something that is away.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_LONGEST: Duration = Duration::from_secs(5);

/// One thing that may be away. Clones share the state.
#[derive(Debug, Clone)]
pub struct Gate {
    name: &'static str,
    /// What follows from its being away, for the log.
    meanwhile: &'static str,
    down: Arc<AtomicBool>,
    outages: Arc<AtomicU64>,
}

impl Gate {
    /// A gate that stands open.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        let meanwhile = "taking no new work until it is back";
        Self { name, meanwhile, down: Arc::default(), outages: Arc::default() }
    }

    /// What it is the gate of.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the thing is away as far as we know.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// How often it has gone away so far.
    #[must_use]
    pub fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// Notes that it does not answer.
    pub fn went_down(&self, cause: &dyn std::fmt::Display) {
        if !self.down.swap(true, Ordering::Relaxed) {
            self.outages.fetch_add(1, Ordering::Relaxed);
            warn!(part = self.name, %cause, "{} is away: {}", self.name, self.meanwhile);
        }
    }

    /// Notes that it answered.
    pub fn came_back(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            info!(part = self.name, "{} is back", self.name);
        }
    }

    /// Repeats `call` until it is answered, with growing waits; a refusal that is no outage is an answer. Waits without end:
    /// whoever holds a deadline races it with this.
    pub async fn until_answered<T, E, F>(
        &self, is_outage: impl Fn(&E) -> bool, mut call: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: std::fmt::Display,
    {
        let mut tries = 0;
        loop {
            match call().await {
                Err(error) if is_outage(&error) => self.went_down(&error),
                answer => {
                    self.came_back();
                    return answer;
                }
            }
            sleep(wait_after(tries)).await;
            tries += 1;
        }
    }
}

/// The gates of everything that a worker needs. Clones share them.
#[derive(Debug, Clone)]
pub struct Gates {
    /// Where tasks come from.
    pub queue: Gate,
    /// Where copies and receipts go.
    pub store: Gate,
    /// Who the teams are.
    pub teams: Gate,
    /// Where completions go.
    pub events: Gate,
    /// Where webhooks wait.
    pub webhooks: Gate,
    /// How plain hosts and webhooks are reached: the egress proxy, or the address that we connect from. Only they wait for it:
    /// other sources go on, and so does intake.
    pub way_out: Gate,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            queue: Gate::new("the task queue"),
            store: Gate::new("internal storage"),
            teams: Gate::new("the teams directory"),
            events: Gate::new("the event broker"),
            webhooks: Gate::new("the webhook queue"),
            way_out: Gate { meanwhile: "plain hosts and webhooks wait for it", ..Gate::new("the way out") },
        }
    }
}

impl Gates {
    /// What is away now of all that every task needs.
    pub fn down(&self) -> impl Iterator<Item = &Gate> {
        let all = [&self.queue, &self.store, &self.teams, &self.events, &self.webhooks];
        all.into_iter().filter(|gate| gate.is_down())
    }
}

/// The wait after the `tries`th failure in a row: doubled up to the longest, of which a random half is taken off.
#[must_use]
pub fn wait_after(tries: u32) -> Duration {
    let full = WAIT_FIRST.saturating_mul(1 << tries.min(10)).min(WAIT_LONGEST);
    full.mul_f64(1.0 - chance::draw() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_repeated_until_it_is_answered_and_refusals_are_answers() {
        let gate = Gate::new("the store");
        let mut left = 3;
        let answer: Result<u8, &str> = gate
            .until_answered(
                |error| *error == "away",
                || {
                    left -= 1;
                    std::future::ready(if left > 0 { Err("away") } else { Ok(7) })
                },
            )
            .await;
        assert_eq!((answer, left, gate.is_down()), (Ok(7), 0, false));
        let refused: Result<u8, &str> =
            gate.until_answered(|error| *error == "away", || std::future::ready(Err("no"))).await;
        assert_eq!(refused, Err("no"));
    }

    #[test]
    fn waits_stay_within_their_bounds() {
        for tries in [0, 1, 5, 31, u32::MAX] {
            let wait = wait_after(tries);
            assert!(wait >= WAIT_FIRST / 2 && wait <= WAIT_LONGEST, "{tries}: {wait:?}");
        }
    }
}
