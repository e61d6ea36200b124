//! Messages that are looked at before they have a place: whose they are, and whether they begin.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::ahead::{Ahead, Choice, KEPT_FREE, Moves};
use super::hands::Hands;
use super::line::{InLine, Line};
use super::settings::Settings;
use crate::domain::id::TeamId;
use crate::ports::queue::{ComeBack, Order, Queue, Room};

/// Looks at messages before they have a place.
#[derive(Debug)]
pub struct Looking {
    state: Mutex<State>,
    hands: Hands,
    /// Told when a delivery in hand has ended.
    ended: Notify,
    /// How many deliveries may be looked at at once, or wait for a place.
    room: Arc<Semaphore>,
    /// How many may be on their way behind at once.
    moving: Arc<Semaphore>,
}

/// What is decided, and who waits for it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) ahead: Ahead,
    pub(super) line: Line,
}

/// A team's delivery in hand, until dropped.
#[derive(Debug)]
pub struct OfTeam(Arc<Looking>, TeamId);

/// What becomes of a delivery that was looked at.
pub(super) enum Seen {
    /// It begins, as soon as there is a place.
    Begins(OfTeam),
    /// It waits in hand for its team's turn.
    Waits(InLine),
    /// It goes behind for so long.
    GoesBehind(Duration),
}

impl Looking {
    /// Looks past busy teams' messages if `queue` does not choose by team and it is wanted.
    #[must_use]
    pub fn new(queue: &dyn Queue, settings: &Settings, hands: &Hands) -> Option<Arc<Self>> {
        let moves = match queue.order() {
            Order::Own => return None,
            Order::AsSent => Moves::Free,
            Order::AsSentAndPaid => Moves::Paid,
        };
        (settings.lookahead > 0).then(|| {
            let ahead = Ahead::new(settings.messages_in_hand, settings.lookahead, moves);
            let state = Mutex::new(State { ahead, line: Line::default() });
            let semaphore = |permits| Arc::new(Semaphore::new(permits));
            let (room, moving) = (semaphore(settings.messages_looked_at()), semaphore(settings.messages_moved()));
            Arc::new(Self { state, hands: hands.clone(), ended: Notify::new(), room, moving })
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    pub(super) fn hands(&self) -> &Hands {
        &self.hands
    }

    /// Told when a delivery in hand has ended.
    pub(super) fn ended(&self) -> &Notify {
        &self.ended
    }

    /// Waits for room to look at one more delivery.
    pub(super) async fn take_room(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.room).acquire_owned().await.expect("looking is never closed")
    }

    /// Takes room to look at one more delivery, if there is some.
    pub(super) fn try_take_room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    /// Takes leave to put one more delivery off, if there is some.
    pub(super) fn try_take_move(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.moving).try_acquire_owned().ok()
    }

    /// Waits up to `span` for leave to put one more delivery off.
    pub(super) async fn take_move_within(&self, span: Duration) -> Option<OwnedSemaphorePermit> {
        let moving = timeout(span, Arc::clone(&self.moving).acquire_owned()).await.ok()?;
        Some(moving.expect("moving is never closed"))
    }

    /// Whether as few places are free as are kept for those who have less than their share.
    pub(super) fn is_short_of_places(&self) -> bool {
        self.hands.free() * KEPT_FREE <= self.hands.count()
    }

    /// Decides about a delivery of `team`.
    pub(super) fn choose(self: &Arc<Self>, team: &TeamId, may_go_behind: bool) -> Seen {
        let mut state = self.state();
        match state.ahead.choose(team, self.hands.free(), may_go_behind, Instant::now()) {
            Choice::Begin => Seen::Begins(self.of_team(team.clone())),
            Choice::Wait => Seen::Waits(InLine::at_its_end(self, &mut state.line, team)),
            Choice::PutOff(delay) => Seen::GoesBehind(delay),
        }
    }

    /// A delivery of `team` that begins.
    pub(super) fn of_team(self: &Arc<Self>, team: TeamId) -> OfTeam {
        OfTeam(Arc::clone(self), team)
    }
}

impl Room for Looking {
    fn come_back(&self, team: &TeamId, count: usize) -> ComeBack {
        self.state().ahead.come_back(team, self.hands.free(), count, Instant::now())
    }
}

impl Drop for OfTeam {
    fn drop(&mut self) {
        self.0.state().ahead.ended(&self.1, Instant::now());
        self.0.ended.notify_waiters();
    }
}
