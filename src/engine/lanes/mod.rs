//! Who may be in flight: attachments wait in a lane for each team and door, and hold nothing of anybody's while they wait.
//!
//! [`turns`] decides who goes next; here is only what waits for it. A slow, throttling or dead host holds up its own lane:
//! [`pace`] follows its answers, and a host that asked to be left alone is left alone. A lane's pace is a team's own, since a
//! team's addresses can make any host answer 503.

mod lane;
mod onlooker;
mod pace;
mod shares;
mod turns;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use self::lane::Ticket;
#[cfg(feature = "testing")]
pub use self::onlooker::{Account, look_on};
pub use self::pace::Sign;
use self::shares::{PlaceTerms, TeamTerms};
use self::turns::{Ended, Next, Start, Turns};
use super::limits::LimitTable;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::source::Door;
use crate::domain::team::KnownTeam;
use crate::ports::store::PART_BYTES;

/// Who may be in flight. Clones share it.
#[derive(Debug, Clone)]
pub struct Lanes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: LimitTable,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    turns: Turns,
    callers: HashMap<Ticket, oneshot::Sender<Call>>,
    alarm: Option<Alarm>,
}

/// What one that waits is told: it may begin, or one that did met a fault that is everybody's.
type Call = Result<InFlight, AttachmentFault>;

impl Lanes {
    /// Lanes for `in_flight` attachments at once, with the table's limits for places and teams.
    #[must_use]
    pub fn new(in_flight: usize, table: LimitTable) -> Self {
        let state = State { turns: Turns::new(in_flight), callers: HashMap::new(), alarm: None };
        Self(Arc::new(Shared { table, state: Mutex::new(state) }))
    }

    /// Waits until one more attachment of `team` at `door` may be in flight. Dropped while waiting, it leaves its lane.
    ///
    /// # Errors
    /// The fault of another one of the same lane, whose host cannot be connected to: one is tried from time to time, and speaks
    /// for all that wait or come meanwhile.
    pub async fn enter(&self, team: &KnownTeam, door: &Door) -> Result<InFlight, AttachmentFault> {
        self.enter_from(team, door, &InLine::default()).await
    }

    /// The same for one that may have waited before: it keeps its place in the line, so that what is tried again does not go
    /// behind all that was never tried, and a host that refuses each thing once comes to its first good answer soon.
    ///
    /// # Errors
    /// As [`Lanes::enter`].
    pub async fn enter_from(
        &self, team: &KnownTeam, door: &Door, in_line: &InLine,
    ) -> Result<InFlight, AttachmentFault> {
        let mut waiting = Waiting::begin(&self.0, team, door, in_line)?;
        self.0.run();
        match (&mut waiting.call).await {
            Ok(call) => call,
            // Cannot be: a caller is removed only to be called, or by its own end.
            Err(_) => Err(AttachmentFault::new(Code::Internal, "a lane was closed")),
        }
    }

    /// How long the lane of `team` to `door` stays closed, if it is.
    #[must_use]
    pub fn closed_for(&self, team: &TeamId, door: &Door) -> Option<Duration> {
        let now = Instant::now();
        self.0.state().turns.opens_at(team, door, now).map(|opens| opens.duration_since(now))
    }

    /// Whether the host of a lane is known not to be there: then trying again here and now is of no use.
    #[must_use]
    pub fn is_dead(&self, team: &TeamId, door: &Door) -> bool {
        self.0.state().turns.is_dead(team, door, Instant::now())
    }

    /// Whether the host of a lane has refused everything for a while: then what failed there comes again with its message, and
    /// the pauses are for what was not tried yet.
    #[must_use]
    pub fn is_struggling(&self, team: &TeamId, door: &Door) -> bool {
        self.0.state().turns.is_struggling(team, door)
    }

    /// How long one more attachment had better stay away instead of waiting, as far as can be told: until it is nearly its turn, behind
    /// all of which this was asked before.
    #[must_use]
    pub fn turn_behind(&self, team: &TeamId, door: &Door) -> Option<Duration> {
        self.0.state().turns.turn_behind(team, door, Instant::now())
    }

    /// How long one more attachment would wait, as far as can be told.
    #[must_use]
    pub fn expected_wait(&self, team: &TeamId, door: &Door) -> Option<Duration> {
        self.0.state().turns.expected_wait(team, door, Instant::now())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// Lets everybody begin who may.
    fn run(self: &Arc<Self>) {
        let mut called = Vec::new();
        {
            let mut state = self.state();
            loop {
                let now = Instant::now();
                match onlooker::next(&mut state.turns, now) {
                    Next::Start(start) => {
                        let caller = state.callers.remove(&start.ticket);
                        called.push((caller, InFlight::new(self, start, now)));
                    }
                    Next::At(moment) => break state.wake_at(moment, self),
                    Next::Nothing => break,
                }
            }
        }
        for (caller, in_flight) in called {
            // Without the lock: one whose caller is gone ends here, and ending takes it.
            if let Some(caller) = caller {
                let _gone = caller.send(Ok(in_flight));
            }
        }
    }

    fn end(self: &Arc<Self>, team: &TeamId, door: &Door, ended: Ended<'_>) {
        let fault = ended.fault;
        let sharers: Vec<_> = {
            let mut state = self.state();
            let tickets = state.turns.end(team, door, ended, Instant::now());
            tickets.into_iter().filter_map(|ticket| state.callers.remove(&ticket)).collect()
        };
        if let Some(fault) = fault {
            for caller in sharers {
                let _gone = caller.send(Err(fault.clone()));
            }
        }
        self.run();
    }
}

impl State {
    /// Looks again at `moment`, if nobody does before.
    fn wake_at(&mut self, moment: Instant, shared: &Arc<Shared>) {
        let now = Instant::now();
        if self.alarm.as_ref().is_some_and(|alarm| alarm.at > now && alarm.at <= moment) {
            return;
        }
        let shared = Arc::downgrade(shared);
        self.alarm = tokio::runtime::Handle::try_current().ok().map(|runtime| {
            let ringing = runtime.spawn(ring(moment, shared));
            Alarm { at: moment, ringing: ringing.abort_handle() }
        });
    }
}

async fn ring(at: Instant, shared: Weak<Shared>) {
    sleep_until(at).await;
    if let Some(shared) = shared.upgrade() {
        shared.run();
    }
}

/// Rings once; replaced or dropped, not at all.
#[derive(Debug)]
struct Alarm {
    at: Instant,
    ringing: AbortHandle,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.ringing.abort();
    }
}

/// The place in its lane's line that one attachment has, once it has waited there. It waits there once at a time; clones share
/// the place.
#[derive(Debug, Clone, Default)]
pub struct InLine(Arc<AtomicU64>);

/// One that waits in its lane.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    team: TeamId,
    door: Door,
    ticket: Ticket,
    call: oneshot::Receiver<Call>,
}

impl<'a> Waiting<'a> {
    fn begin(
        shared: &'a Arc<Shared>, team: &KnownTeam, door: &Door, in_line: &InLine,
    ) -> Result<Self, AttachmentFault> {
        let (caller, call) = oneshot::channel();
        let (team_limit, limit) = (shared.table.team(team), shared.table.place(&door.place));
        let team_terms = TeamTerms {
            weight: team.record.limits.weight.unwrap_or(1),
            in_flight: team_limit.in_flight,
            per_second: team_limit.requests_per_second,
        };
        let place_terms = PlaceTerms { in_flight: limit.in_flight, per_second: limit.requests_per_second };
        let mut state = shared.state();
        let (id, terms, now) = ((&team.id, team_terms), (door, place_terms), Instant::now());
        let ticket = match in_line.0.load(Relaxed) {
            0 => state.turns.wait(id, terms, now)?,
            before => state.turns.wait_with(before, id, terms, now)?,
        };
        in_line.0.store(ticket, Relaxed);
        state.callers.insert(ticket, caller);
        drop(state);
        Ok(Self { shared, team: team.id.clone(), door: door.clone(), ticket, call })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.callers.remove(&self.ticket).is_some() {
            state.turns.leave(&self.team, &self.door, self.ticket);
        }
        // One that was called and did not hear it drops what it was given with the channel.
    }
}

/// Leave to have one attachment in flight; given back when ended or dropped.
#[derive(Debug)]
pub struct InFlight {
    shared: Arc<Shared>,
    team: TeamId,
    door: Door,
    charged: u64,
    read: u64,
    began: Instant,
    has_ended: bool,
}

impl InFlight {
    fn new(shared: &Arc<Shared>, start: Start, now: Instant) -> Self {
        let Start { ticket: _, team, door, guess } = start;
        Self { shared: Arc::clone(shared), team, door, charged: guess, read: 0, began: now, has_ended: false }
    }

    /// Notes how many bytes have come so far: a large one is charged as it goes.
    pub fn has_read(&mut self, bytes: u64) {
        self.read = bytes;
        if let Some(more) = bytes.checked_sub(self.charged).filter(|more| *more >= PART_BYTES as u64) {
            self.charged = bytes;
            self.shared.state().turns.charge(&self.team, more);
        }
    }

    /// Ends it with what it showed of its host.
    pub fn end<T>(mut self, outcome: &Result<T, AttachmentFault>) {
        self.finish(sign_of(outcome), outcome.as_ref().err());
    }

    fn finish(&mut self, sign: Sign, fault: Option<&AttachmentFault>) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let ended = Ended { charged: self.charged, bytes: self.read, began: self.began, sign, fault };
            self.shared.end(&self.team, &self.door, ended);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.finish(Sign::Nothing, None);
    }
}

/// What a try showed of its host.
fn sign_of<T>(outcome: &Result<T, AttachmentFault>) -> Sign {
    let fault = match outcome {
        Ok(_) => return Sign::Well,
        Err(fault) => fault,
    };
    match (fault.code, fault.http_status) {
        _ if fault.is_of_our_way_out() || fault.is_elsewhere => Sign::Nothing,
        _ if fault.is_unreached => Sign::Unreachable,
        (Code::Throttled | Code::Timeout, _) | (_, Some(429 | 503)) => {
            Sign::Overloaded { retry_after: fault.retry_after }
        }
        (_, Some(status)) if status < 500 => Sign::Well,
        _ => Sign::Nothing,
    }
}

/// Whether a fault is its host's as a whole, not that of what was asked for: there it is of no use to ask otherwise.
#[must_use]
pub fn is_hosts_trouble(fault: &AttachmentFault) -> bool {
    match sign_of::<()>(&Err(fault.clone())) {
        Sign::Unreachable | Sign::Overloaded { .. } => true,
        Sign::Well | Sign::Nothing => false,
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
