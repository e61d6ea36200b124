//! The service that hands out slots, and what a replica does while it is away.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::book::Book;
use super::held;
use crate::ports::budget::{Answer, Ask, SharedSlots, SlotsAway};

/// How long a service that was away is not asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Slots from the service, or out of this replica's share, by its own clock, while that is away.
pub(super) struct Service {
    slots: Arc<dyn SharedSlots>,
    /// Set while it is away: not before this time is it asked again.
    asked_again: Mutex<Option<Instant>>,
    is_said: AtomicBool,
    alone: Mutex<Book>,
}

impl Service {
    pub(super) fn new(slots: Arc<dyn SharedSlots>) -> Self {
        Self { slots, asked_again: Mutex::default(), is_said: AtomicBool::new(false), alone: Mutex::default() }
    }

    /// Answers each of these, one way or the other.
    pub(super) async fn take(&self, asks: &[Ask]) -> Vec<Answer> {
        match self.shared(asks).await {
            Some(answers) => answers,
            None => held(&self.alone).take(asks, self.slots.replicas(), Instant::now()),
        }
    }

    /// `None` while it is away.
    async fn shared(&self, asks: &[Ask]) -> Option<Vec<Answer>> {
        let away_until = *held(&self.asked_again);
        if away_until.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        match self.slots.take(asks).await {
            Ok(answers) => {
                // An answer to what was asked before the service went away does not tell that it is back.
                if away_until.is_some() {
                    self.is_back();
                }
                Some(answers)
            }
            Err(error) => {
                *held(&self.asked_again) = Some(Instant::now() + PAUSE);
                self.say_away(&error);
                None
            }
        }
    }

    fn is_back(&self) {
        *held(&self.asked_again) = None;
        held(&self.alone).clear();
        if self.is_said.swap(false, SeqCst) {
            info!("shared limits are back: they hold over all replicas again");
        }
    }

    fn say_away(&self, error: &SlotsAway) {
        if !self.is_said.swap(true, SeqCst) {
            let replicas = self.slots.replicas();
            warn!(%error, replicas, "shared limits are away: this replica keeps to its share, one of {replicas}");
        }
    }
}
