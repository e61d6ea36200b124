//! Those of one team who wait for slots, whatever their hosts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::held;
use super::service::Service;
use crate::engine::chance;
use crate::ports::budget::{Answer, Ask};

/// How many are asked for together: more than the slack of a quick limit has slots for.
const TOGETHER_MAX: usize = 64;

/// A row that is full is asked for again after this at the latest: the limit may have been raised meanwhile, or the service be another.
const AGAIN_WITHIN: Duration = Duration::from_secs(5);

/// A line; served by a task of its own while somebody waits in it.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: Mutex<Waiting>,
    /// Told when somebody comes.
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    is_served: bool,
    asks: VecDeque<Asking>,
}

#[derive(Debug)]
struct Asking {
    ask: Ask,
    answer: oneshot::Sender<Slot>,
}

/// A slot that somebody has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// When it may be used: no sooner than the service meant.
    pub(super) at: Instant,
    /// When the service meant by its own clock, as near as can be told from here: whoever counts how late it is counts from then.
    pub(super) meant: Instant,
}

/// What the line does next.
enum Next {
    Ask(Vec<Asking>),
    WaitUntil(Instant),
    End,
}

impl Line {
    /// Waits in the line until it is known when the first slot is; `None` when the runtime ends.
    pub(super) async fn slot(self: &Arc<Self>, service: &Arc<Service>, ask: Ask) -> Option<Slot> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = held(&self.waiting);
            waiting.asks.push_back(Asking { ask, answer });
            !std::mem::replace(&mut waiting.is_served, true)
        };
        if is_first {
            // On a task of its own: whoever waits may be dropped, and the others must not be.
            let (line, service) = (Arc::clone(self), Arc::clone(service));
            tokio::spawn(async move { line.serve(&service).await });
        } else {
            self.came.notify_one();
        }
        answered.await.ok()
    }

    /// Serves the line until it is empty.
    async fn serve(&self, service: &Arc<Service>) {
        let mut full = FullRows::default();
        loop {
            match self.next(&mut full) {
                Next::Ask(asking) => self.ask(service, asking, &mut full).await,
                Next::WaitUntil(opens) => tokio::select! {
                    () = sleep_until(opens) => {}
                    () = self.came.notified() => {}
                },
                Next::End => return,
            }
        }
    }

    /// Those who are first in the line and whose rows are not known to be full.
    fn next(&self, full: &mut FullRows) -> Next {
        let mut waiting = held(&self.waiting);
        full.forget_open(Instant::now());
        let (mut first, mut opens) = (Vec::new(), None);
        for asking in std::mem::take(&mut waiting.asks) {
            if asking.answer.is_closed() {
                continue;
            }
            match full.until(&asking.ask) {
                None if first.len() < TOGETHER_MAX => first.push(asking),
                until => {
                    opens = [opens, until].into_iter().flatten().min();
                    waiting.asks.push_back(asking);
                }
            }
        }
        match opens {
            _ if !first.is_empty() => Next::Ask(first),
            Some(opens) => Next::WaitUntil(opens),
            None => {
                waiting.is_served = false;
                Next::End
            }
        }
    }

    /// Asks for these; who got nothing stands at the head of the line again.
    async fn ask(&self, service: &Arc<Service>, asking: Vec<Asking>, full: &mut FullRows) {
        let (asks, tellings): (Vec<Ask>, Vec<_>) =
            asking.into_iter().map(|Asking { ask, answer }| (ask, answer)).unzip();
        let asked = Instant::now();
        let answers = service.take(&asks).await;
        let now = Instant::now();
        let answered = asked + now.duration_since(asked) / 2;
        let mut left = Vec::new();
        for ((ask, telling), answer) in asks.into_iter().zip(tellings).zip(answers) {
            match answer {
                // Whoever is gone loses its slots: the limit holds all the same.
                Answer::Taken(wait) => drop(telling.send(Slot { at: now + wait, meant: answered + wait })),
                Answer::Full { by, again } => {
                    // A question takes as long as this one did: who is far away must not always come last.
                    full.note(&ask, by, (asked + again.min(AGAIN_WITHIN)).max(now));
                    left.push(Asking { ask, answer: telling });
                }
            }
        }
        let mut waiting = held(&self.waiting);
        for asking in left.into_iter().rev() {
            waiting.asks.push_front(asking);
        }
    }
}

/// Which rows were found full, and when they are asked for again.
#[derive(Debug, Default)]
struct FullRows(HashMap<String, Instant>);

impl FullRows {
    /// Notes that the `by`th row of `ask` is full until `again`; and a little longer, by chance: of replicas that all came at the
    /// same moment, the nearest would have each slot.
    fn note(&mut self, ask: &Ask, by: usize, again: Instant) {
        let slack = ask.rows.iter().map(|row| row.slack).min().unwrap_or(Duration::ZERO);
        if let Some(row) = ask.rows.get(by) {
            self.0.entry(row.key.clone()).or_insert_with(|| again + slack.mul_f64(chance::draw()));
        }
    }

    fn forget_open(&mut self, now: Instant) {
        self.0.retain(|_, until| *until > now);
    }

    /// When all rows of `ask` are open, if that is not now.
    fn until(&self, ask: &Ask) -> Option<Instant> {
        ask.rows.iter().filter_map(|row| self.0.get(&row.key)).max().copied()
    }
}
