//! The line of those that wait in hand for a place: each team has its own, and the team that has least in hand goes first.
//!
//! A team that has its share leaves the free places to others, so a free place is not enough: an usher takes one and asks
//! whose turn it is ([`super::ahead`]). While he waits for a place somebody wants one, so that who comes forward slowly steps aside.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout};

use super::hands::Hand;
use super::looking::{Looking, OfTeam, State};
use crate::domain::id::TeamId;

/// How long a place stays free at most while nobody may have it and nothing ends: a rush's end is not told.
const LOOKS_AGAIN: Duration = Duration::from_millis(50);
/// How long a delivery waits that was expected to wait for half of it at most. Then it goes behind, if it may.
const TIRES_AFTER: Duration = Duration::from_secs(2);
/// How long one waits that may not, and one that stands in the way of looking at others. Then it goes back as it came.
const GIVES_UP_AFTER: Duration = Duration::from_secs(30);
const GIVES_UP_BEYOND: Duration = Duration::from_secs(5);

/// Who waits, team by team.
#[derive(Debug, Default)]
pub(super) struct Line {
    teams: HashMap<TeamId, VecDeque<Waiting>>,
    has_usher: bool,
}

/// One that waits.
#[derive(Debug)]
struct Waiting {
    turn: oneshot::Sender<Hand>,
    is_beyond: bool,
}

impl Line {
    /// The first of `team` that still waits.
    fn first(&mut self, team: &TeamId) -> Option<Waiting> {
        let waiting = self.teams.get_mut(team)?;
        let first = std::iter::from_fn(|| waiting.pop_front()).find(|one| !one.turn.is_closed());
        if waiting.is_empty() {
            self.teams.remove(team);
        }
        first
    }

    /// Forgets those of `team` that are gone.
    fn tidy(&mut self, team: &TeamId) {
        if let Some(waiting) = self.teams.get_mut(team) {
            waiting.retain(|one| !one.turn.is_closed());
            if waiting.is_empty() {
                self.teams.remove(team);
            }
        }
    }
}

/// A delivery that waits in hand; dropped, it waits no more.
pub(super) struct InLine {
    looking: Arc<Looking>,
    team: TeamId,
    turn: oneshot::Receiver<Hand>,
    is_in_line: bool,
    /// Room for its bytes; none for one that waits since it may not go behind.
    memory: Option<OwnedSemaphorePermit>,
}

/// What waiting has come to.
pub(super) enum Turn {
    /// It begins, with this place.
    Begins(Hand, OfTeam),
    /// It has waited for long, and goes behind for so long, with leave to be moved.
    GoesBehind(Duration, OwnedSemaphorePermit),
    /// It has waited for long, and goes back as it came.
    GoesBack,
}

impl InLine {
    /// One of `team`, behind those of its own.
    pub(super) fn at_its_end(
        looking: &Arc<Looking>, line: &mut Line, team: &TeamId, memory: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let (tell, turn) = oneshot::channel();
        let waiting = Waiting { turn: tell, is_beyond: memory.is_none() };
        line.teams.entry(team.clone()).or_default().push_back(waiting);
        if !std::mem::replace(&mut line.has_usher, true) {
            tokio::spawn(usher(Arc::clone(looking)));
        }
        Self { looking: Arc::clone(looking), team: team.clone(), turn, is_in_line: true, memory }
    }

    /// Whether it waits though more of its team do than begin soon: it stands in the way of looking at others.
    pub(super) fn is_beyond(&self) -> bool {
        self.memory.is_none()
    }

    /// Waits for a place, as long as is right.
    pub(super) async fn turn(mut self) -> Turn {
        let gives_up = Instant::now() + if self.is_beyond() { GIVES_UP_BEYOND } else { GIVES_UP_AFTER };
        loop {
            if let Ok(Ok(hand)) = timeout(TIRES_AFTER, &mut self.turn).await {
                return self.begins(hand);
            }
            let looking = Arc::clone(&self.looking);
            let moving = looking.try_take_move();
            let mut state = looking.state();
            // It may have come since.
            if let Ok(hand) = self.turn.try_recv() {
                return self.begins(hand);
            }
            if let Some(moving) = moving
                && let Some(delay) = state.ahead.tires(&self.team, self.is_beyond(), Instant::now())
            {
                self.leave(&mut state);
                return Turn::GoesBehind(delay, moving);
            }
            if Instant::now() >= gives_up {
                state.ahead.left(&self.team, self.is_beyond());
                self.leave(&mut state);
                return Turn::GoesBack;
            }
        }
    }

    /// Stands in the line no more, and returns the place that it may have been given meanwhile.
    fn leave(&mut self, state: &mut State) -> Option<Hand> {
        self.turn.close();
        self.is_in_line = false;
        state.line.tidy(&self.team);
        self.turn.try_recv().ok()
    }

    fn begins(&mut self, hand: Hand) -> Turn {
        self.is_in_line = false;
        Turn::Begins(hand, self.looking.of_team(self.team.clone()))
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        if !self.is_in_line {
            return;
        }
        let looking = Arc::clone(&self.looking);
        let mut state = looking.state();
        let place = self.leave(&mut state);
        if place.is_none() {
            state.ahead.left(&self.team, self.is_beyond());
        }
        drop(state);
        // Given a place, it is counted as one that has begun.
        drop(place.map(|hand| (hand, looking.of_team(self.team.clone()))));
    }
}

/// What an usher has done with a free place.
enum Place {
    Given,
    /// All that wait belong to teams that have their share, and may go behind.
    Kept,
    /// Nobody waits: the usher goes.
    Unwanted,
}

/// Brings those that wait to their places until none waits.
async fn usher(looking: Arc<Looking>) {
    loop {
        let hand = looking.hands().take().await;
        let ended = looking.ended().notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        match give(&looking, hand) {
            Place::Given => {}
            Place::Kept => drop(timeout(LOOKS_AGAIN, ended).await),
            Place::Unwanted => return,
        }
    }
}

/// Gives a place to whose turn it is.
fn give(looking: &Looking, hand: Hand) -> Place {
    let mut state = looking.state();
    let free = looking.hands().free() + 1;
    let Some(team) = state.ahead.next(free, Instant::now()) else {
        state.line.has_usher = !state.line.teams.is_empty();
        return if state.line.has_usher { Place::Kept } else { Place::Unwanted };
    };
    let Some(first) = state.line.first(&team) else {
        debug_assert!(false, "who is counted as waiting is in the line: both change under one lock");
        return Place::Kept;
    };
    state.ahead.begins(&team, first.is_beyond);
    // Whoever waits leaves the line under this lock too, so it takes what it is given.
    let _taken = first.turn.send(hand);
    Place::Given
}
