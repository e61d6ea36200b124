//! Looking past a busy team's messages: which delivery begins, which waits in hand, and which goes behind.
//!
//! Where the queue does not choose by team, the messages of a team that has queued many stand before everybody else's. A quarter
//! of the places is kept for teams with less than their share. What a team has beyond it waits in hand for a moment, if it would
//! begin within one; else it is put off, uncounted, until about the moment when its turn would come: so it is moved about once, and
//! the team itself loses nothing. At most so many messages are away at once.
//!
//! In a rush, while a thousand of a team's messages a second are put off and few end, looking goes before work: that team begins
//! little more until what stands behind it was seen, for some seconds at most. Where both take the same processors it loses nothing
//! by that but the order.
//!
//! Where moves are paid for they have an allowance: enough to look past a crowd of large messages, and a share of what ends, so
//! that a quick flow of small ones costs little more than without. A pure decision; it waits for nothing.

mod allowance;
mod rush;
mod team;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use self::allowance::Allowance;
pub(super) use self::team::KEPT_FREE;
use self::team::{Busy, has_share};
use crate::domain::id::TeamId;
use crate::ports::queue::ComeBack;

/// The shortest and the longest time for which a message is put off.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// How many may wait in hand for each place, all teams' together.
pub(super) const WAITING_FOR_A_PLACE: usize = 4;
/// How many that were put off together come back at least, where so many are left: each time costs the rest a move.
const TOGETHER: usize = 32;
/// What is believed of a team's pace until it has shown one, in messages a second. Too quick costs another move,
/// too slow would keep the team waiting for itself: so a team is believed to be able to do more than it just did, and at first to be
/// quick where moves cost only work.
const FIRST_PACE: f64 = 1000.0;
const FIRST_PACE_IF_PAID: f64 = 100.0;
/// How long messages that are brought back are on their way, for a team that ends them at twice its pace: moments that a broker needs
/// to take them and to give them again.
const ON_THEIR_WAY: Duration = Duration::from_millis(50);
/// Messages come back while there is room for one place of so many.
const SOME: usize = 16;
/// A team that did nothing for so long is forgotten.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// Above so many teams the idle ones are looked for.
const TEAMS_MAX: usize = 4096;

/// What it costs to put a message off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moves {
    /// Nothing but work.
    Free,
    /// Requests that are paid for.
    Paid,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It begins, as soon as there is a place.
    Begin,
    /// It waits in hand for its team's turn.
    Wait,
    /// It goes behind for so long.
    PutOff(Duration),
}

/// Who has how much in hand, how much that waits, and how much away.
#[derive(Debug)]
pub struct Ahead {
    places: usize,
    lookahead: u32,
    teams: HashMap<TeamId, Busy>,
    /// Whose deliveries wait in hand, and how many they are together.
    in_line: Vec<TeamId>,
    waiting: usize,
    first_pace: f64,
    allowance: Option<Allowance>,
}

/// The team, which is used just now; those that were not for long are forgotten when there are many.
fn looked_at<'a>(teams: &'a mut HashMap<TeamId, Busy>, team: &TeamId, first_pace: f64, now: Instant) -> &'a mut Busy {
    if teams.len() >= TEAMS_MAX {
        teams.retain(|_, busy| busy.in_hand + busy.waiting > 0 || now.duration_since(busy.used) < IDLE);
    }
    let busy = teams.entry(team.clone()).or_insert_with(|| Busy::new(first_pace, now));
    busy.used = now;
    busy
}

impl Ahead {
    /// For so many places; at most `lookahead` messages of a team are away at once, none for 0.
    #[must_use]
    pub fn new(places: usize, lookahead: u32, moves: Moves) -> Self {
        let (first_pace, allowance) = match moves {
            Moves::Free => (FIRST_PACE, None),
            Moves::Paid => (FIRST_PACE_IF_PAID, Some(Allowance::full())),
        };
        Self { places, lookahead, teams: HashMap::new(), in_line: Vec::new(), waiting: 0, first_pace, allowance }
    }

    /// Decides about a delivery of `team` while `free` places are free. One that begins is in hand until [`Ahead::ended`], one that
    /// waits until [`Ahead::next`] or [`Ahead::tires`]. None goes behind if none `may_go_behind` just now, but in a rush: there it
    /// waits until it may.
    pub fn choose(&mut self, team: &TeamId, free: usize, may_go_behind: bool, now: Instant) -> Choice {
        let room_to_wait = self.room_to_wait();
        let is_free = self.allowance.is_none();
        let busy = looked_at(&mut self.teams, team, self.first_pace, now);
        busy.expected.arrived();
        // Where moves are paid for there are never so many.
        let is_rush = is_free && busy.rush.is_on(now);
        let may_begin = busy.may_begin(free, self.places, is_rush);
        // Not before those of its own who wait.
        if may_begin && busy.waiting == 0 {
            busy.in_hand += 1;
            return Choice::Begin;
        }
        if !is_rush && busy.waiting < busy.waiting_max(room_to_wait, now) {
            if busy.waiting == 0 {
                self.in_line.push(team.clone());
            }
            busy.waiting += 1;
            self.waiting += 1;
            return Choice::Wait;
        }
        if !may_begin
            && (may_go_behind || is_rush)
            && let Some(delay) = self.put_off(team, now)
        {
            return Choice::PutOff(delay);
        }
        self.begins(team);
        Choice::Begin
    }

    /// How many more may wait in hand.
    fn room_to_wait(&self) -> usize {
        (self.places * WAITING_FOR_A_PLACE).saturating_sub(self.waiting)
    }

    fn begins(&mut self, team: &TeamId) {
        if let Some(busy) = self.teams.get_mut(team) {
            busy.in_hand += 1;
        }
    }

    /// Counts one more of `team` as away and returns for how long; `None` if none may be.
    fn put_off(&mut self, team: &TeamId, now: Instant) -> Option<Duration> {
        let busy = self.teams.get_mut(team)?;
        if busy.away.count(now) >= self.lookahead || self.allowance.as_mut().is_some_and(|left| !left.take(now)) {
            return None;
        }
        let step = Duration::from_secs_f64(1.0 / busy.pace(now));
        let turn = (busy.last_turn.max(now) + step).min(now + LONGEST);
        busy.last_turn = turn;
        busy.away.add(turn, 1);
        busy.rush.put_off(now);
        Some(turn.duration_since(now).max(SHORTEST))
    }

    /// Whose delivery of those that wait begins now, while `free` places are free: the team's that has least in hand. It is in hand
    /// from now on.
    pub fn next(&mut self, free: usize, now: Instant) -> Option<TeamId> {
        let Self { places, teams, in_line, allowance, .. } = self;
        let mut may_begin = |team: &&TeamId| {
            teams.get_mut(*team).is_some_and(|busy| {
                let is_rush = allowance.is_none() && busy.rush.is_on(now);
                busy.may_begin(free, *places, is_rush)
            })
        };
        let able: Vec<&TeamId> = in_line.iter().filter(|team| may_begin(team)).collect();
        let next = able.into_iter().min_by_key(|team| teams.get(*team).map(|busy| busy.in_hand))?.clone();
        self.left(&next);
        self.begins(&next);
        Some(next)
    }

    /// For how long a delivery of `team` that has waited for long is put off, and waits no more. `None` if it may not be, and waits on.
    pub fn tires(&mut self, team: &TeamId, now: Instant) -> Option<Duration> {
        let delay = self.put_off(team, now)?;
        self.left(team);
        Some(delay)
    }

    /// Notes that a delivery of `team` waits no more.
    pub fn left(&mut self, team: &TeamId) {
        let Some(busy) = self.teams.get_mut(team) else { return };
        busy.waiting = busy.waiting.saturating_sub(1);
        self.waiting = self.waiting.saturating_sub(1);
        if busy.waiting == 0 {
            self.in_line.retain(|waits| waits != team);
        }
    }

    /// What of `count` messages of `team` that were put off together may come back, while `free` places are free: as many as would
    /// begin, or wait in hand for a moment. They are expected then. Else they are away for longer: all that wait so are looked at
    /// evenly, about as many in a second as the team ends, and each within [`LONGEST`].
    pub fn come_back(&mut self, team: &TeamId, free: usize, count: usize, now: Instant) -> ComeBack {
        let (places, room_to_wait) = (self.places, self.room_to_wait());
        let busy = looked_at(&mut self.teams, team, self.first_pace, now);
        let is_rush = self.allowance.is_none() && busy.rush.is_on(now);
        let (expected, pace) = (busy.expected.count(now), busy.pace(now));
        // Until they are there, so many of the team's will have ended.
        let ended = (1..=places).take_while(|count| *count as f64 <= pace * ON_THEIR_WAY.as_secs_f64()).count();
        let taken = busy.waiting + expected + places / SOME;
        let in_hand = (busy.in_hand + taken).saturating_sub(ended);
        let left = (free + ended).saturating_sub(taken);
        let some = count.min(TOGETHER);
        let would_wait = busy.waiting_max(room_to_wait, now).saturating_sub(busy.waiting + expected);
        if !is_rush && would_wait >= some {
            let number = count.min(would_wait);
            busy.expected.add(number, now);
            return ComeBack::Now(number);
        }
        let would_begin = !is_rush && has_share(in_hand, left, places);
        if busy.in_hand + busy.waiting + expected == 0 || would_begin {
            busy.expected.add(some, now);
            return ComeBack::Now(some);
        }
        let step = Duration::from_secs_f64(count as f64 / pace).min(LONGEST.checked_sub(SHORTEST).unwrap_or_default());
        let next = busy.next_look.max(now + SHORTEST) + step;
        let look = if next > now + LONGEST { now + SHORTEST + step } else { next };
        busy.next_look = look;
        busy.away.add(look, u32::try_from(count).unwrap_or(u32::MAX));
        ComeBack::In(look.duration_since(now))
    }

    /// Notes that a delivery that had begun is in hand no more.
    pub fn ended(&mut self, team: &TeamId, now: Instant) {
        if let Some(busy) = self.teams.get_mut(team) {
            busy.in_hand = busy.in_hand.saturating_sub(1);
            busy.ended = busy.ended.saturating_add(1);
            busy.rush.ended(now);
            busy.used = now;
        }
        if let Some(allowance) = &mut self.allowance {
            allowance.ended();
        }
    }
}

#[cfg(test)]
mod tests;
