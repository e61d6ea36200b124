//! The line of those that wait in hand for a place: each team has its own, and the team that has least in hand goes first.
//!
//! A team that has its share leaves the free places to others, so a free place is not enough: an usher takes one and asks
//! whose turn it is ([`super::ahead`]). While he waits for a place somebody wants one, so that who comes forward slowly steps aside.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::hands::Hand;
use super::looking::{Looking, OfTeam, State};
use crate::domain::id::TeamId;

/// How long a place stays free at most while nobody may have it and nothing ends: a rush's end is not told.
const LOOKS_AGAIN: Duration = Duration::from_millis(50);

/// Who waits, team by team.
#[derive(Debug, Default)]
pub(super) struct Line {
    teams: HashMap<TeamId, VecDeque<oneshot::Sender<Hand>>>,
    has_usher: bool,
}

impl Line {
    /// The first of `team` that still waits.
    fn first(&mut self, team: &TeamId) -> Option<oneshot::Sender<Hand>> {
        let waiting = self.teams.get_mut(team)?;
        let first = std::iter::from_fn(|| waiting.pop_front()).find(|turn| !turn.is_closed());
        if waiting.is_empty() {
            self.teams.remove(team);
        }
        first
    }

    /// Forgets those of `team` that are gone.
    fn tidy(&mut self, team: &TeamId) {
        if let Some(waiting) = self.teams.get_mut(team) {
            waiting.retain(|turn| !turn.is_closed());
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
}

/// What waiting has come to.
pub(super) enum Turn {
    /// It begins, with this place.
    Begins(Hand, OfTeam),
    /// It has waited for long, and goes behind for so long.
    GoesBehind(Duration),
}

impl InLine {
    /// One of `team`, behind those of its own.
    pub(super) fn at_its_end(looking: &Arc<Looking>, line: &mut Line, team: &TeamId) -> Self {
        let (tell, turn) = oneshot::channel();
        line.teams.entry(team.clone()).or_default().push_back(tell);
        if !std::mem::replace(&mut line.has_usher, true) {
            tokio::spawn(usher(Arc::clone(looking)));
        }
        Self { looking: Arc::clone(looking), team: team.clone(), turn, is_in_line: true }
    }

    /// Waits for a place; after each `span` it goes behind instead, if it may.
    pub(super) async fn turn(mut self, span: Duration) -> Turn {
        loop {
            if let Ok(Ok(hand)) = timeout(span, &mut self.turn).await {
                return self.begins(hand);
            }
            let looking = Arc::clone(&self.looking);
            let mut state = looking.state();
            // It may have come since.
            if let Ok(hand) = self.turn.try_recv() {
                return self.begins(hand);
            }
            if let Some(delay) = state.ahead.tires(&self.team, Instant::now()) {
                self.leave(&mut state);
                return Turn::GoesBehind(delay);
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
            state.ahead.left(&self.team);
        }
        drop(state);
        // Given a place, it is counted as one that has begun.
        drop(place.map(|hand| (hand, looking.of_team(self.team.clone()))));
    }
}

/// What an usher has done with a free place.
enum Place {
    Given,
    /// All that wait belong to teams that have their share.
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
    let first = state.line.first(&team);
    debug_assert!(first.is_some(), "who is counted as waiting is in the line: both change under one lock");
    // Whoever waits leaves the line under this lock too, so it takes what it is given.
    let _taken = first.map(|turn| turn.send(hand));
    Place::Given
}
