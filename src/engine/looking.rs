//! Messages that are looked at before they have a place: whose they are, and whether they begin.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::ahead::{Ahead, Choice, KEPT_FREE, Moves};
use super::hands::Hands;
use super::settings::Settings;
use crate::domain::id::TeamId;
use crate::ports::queue::{Order, Queue, Room};

/// Looks at messages before they have a place.
#[derive(Debug)]
pub struct Looking {
    ahead: Mutex<Ahead>,
    hands: Hands,
    /// How many deliveries may be looked at at once, or wait for a place.
    room: Arc<Semaphore>,
    /// How many may be on their way behind at once.
    moving: Arc<Semaphore>,
}

/// A team's delivery in hand, until dropped.
#[derive(Debug)]
pub struct OfTeam {
    looking: Arc<Looking>,
    team: TeamId,
    goes_back: AtomicBool,
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
            let ahead = Mutex::new(Ahead::new(settings.messages_in_hand, settings.lookahead, moves));
            let semaphore = |permits| Arc::new(Semaphore::new(permits));
            let (room, moving) = (semaphore(settings.messages_looked_at()), semaphore(settings.messages_moved()));
            Arc::new(Self { ahead, hands: hands.clone(), room, moving })
        })
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().expect("nothing panics while it holds this lock")
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

    /// Decides about a delivery of `team`. One that begins is to be kept as [`Self::of_team`].
    pub(super) fn choose(&self, team: &TeamId, may_go_behind: bool) -> Choice {
        self.ahead().choose(team, self.hands.free(), may_go_behind, Instant::now())
    }

    /// A delivery of `team` that begins.
    pub(super) fn of_team(self: Arc<Self>, team: TeamId) -> OfTeam {
        OfTeam { looking: self, team, goes_back: AtomicBool::new(false) }
    }
}

impl Room for Looking {
    fn wait(&self, team: &TeamId, count: usize) -> Duration {
        self.ahead().wait(team, self.hands.free(), count, Instant::now())
    }
}

impl OfTeam {
    /// Notes that it goes back as it came: its team is no quicker for it.
    pub(super) fn goes_back(&self) {
        self.goes_back.store(true, Relaxed);
    }
}

impl Drop for OfTeam {
    fn drop(&mut self) {
        match self.goes_back.load(Relaxed) {
            true => self.looking.ahead().went_back(&self.team, Instant::now()),
            false => self.looking.ahead().ended(&self.team, Instant::now()),
        }
    }
}
