//! The service that hands out slots, and what a replica does while it is away.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::book::Book;
use super::held;
use crate::ports::budget::{Answer, Ask, Row, SharedSlots, SlotsAway};

/// How often a service that is away is asked whether it is back, and after which time an answer is not waited for any more.
const PAUSE: Duration = Duration::from_secs(1);
const LOOKS_FOR: Duration = Duration::from_secs(5);

/// Slots from the service, or out of this replica's share, by its own clock, while that is away.
pub(super) struct Service {
    slots: Arc<dyn SharedSlots>,
    state: Mutex<State>,
    is_said: AtomicBool,
    alone: Mutex<Book>,
}

#[derive(Debug, Default)]
struct State {
    /// Set while it is away: when it is asked again.
    away: Option<Instant>,
    looking_since: Option<Instant>,
    /// When it came back last.
    back: Option<Instant>,
}

impl Service {
    pub(super) fn new(slots: Arc<dyn SharedSlots>) -> Self {
        Self { slots, state: Mutex::default(), is_said: AtomicBool::new(false), alone: Mutex::default() }
    }

    /// Answers each of these, one way or the other.
    pub(super) async fn take(self: &Arc<Self>, asks: &[Ask]) -> Vec<Answer> {
        if self.is_there() {
            let asked = Instant::now();
            match self.slots.take(asks).await {
                Ok(answers) => return answers,
                Err(error) => self.went_away(&error, asked),
            }
        }
        held(&self.alone).take(asks, self.slots.replicas(), Instant::now())
    }

    /// Whether it is there, as far as is known.
    fn is_there(self: &Arc<Self>) -> bool {
        let mut state = held(&self.state);
        let Some(away) = &state.away else { return true };
        // One asks whether it is back; the others do not wait for that.
        let now = Instant::now();
        let is_looking = state.looking_since.is_some_and(|since| now.duration_since(since) < LOOKS_FOR);
        if now >= *away && !is_looking {
            (state.away, state.looking_since) = (Some(now + PAUSE), Some(now));
            tokio::spawn(Arc::clone(self).look());
        }
        false
    }

    /// Asks for a slot that nobody needs, to see whether it hands them out.
    async fn look(self: Arc<Self>) {
        let row = Row { key: "probe".to_owned(), interval: Duration::from_millis(1), slack: Duration::from_millis(1) };
        match self.slots.take(&[Ask { rows: vec![row], number: 1 }]).await {
            Ok(_) => self.came_back(),
            Err(error) => self.say_away(&error),
        }
        held(&self.state).looking_since = None;
    }

    fn came_back(&self) {
        {
            let mut state = held(&self.state);
            (state.away, state.back) = (None, Some(Instant::now()));
        }
        held(&self.alone).clear();
        if self.is_said.swap(false, SeqCst) {
            info!("shared limits are back: they hold over all replicas again");
        }
    }

    fn went_away(&self, error: &SlotsAway, asked: Instant) {
        {
            let mut state = held(&self.state);
            // What was asked before it came back tells nothing of it.
            if state.back.is_some_and(|back| asked < back) {
                return;
            }
            state.away = Some(Instant::now() + PAUSE);
        }
        self.say_away(error);
    }

    fn say_away(&self, error: &SlotsAway) {
        if !self.is_said.swap(true, SeqCst) {
            let replicas = self.slots.replicas();
            warn!(%error, replicas, "shared limits are away: this replica keeps to its share, one of {replicas}");
        }
    }
}
