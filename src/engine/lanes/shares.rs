//! What a team and a place have, and what they may still have: the numbers that [`super::turns`] decides by.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};

use tokio::time::Instant;

use super::lane::{Lane, Ticket};
use super::pace::Sign;
use super::turns::Ended;
use crate::domain::source::{Door, Place};
use crate::engine::limits::slots::{Slots, Spacing};

/// What an attachment of an unknown place is taken for.
const FIRST_GUESS: f64 = 1024.0 * 1024.0;
/// A team that could not run for long is owed at most so many bytes, and one that took more than was guessed owes at most so
/// many: nobody stands back for hours.
pub(super) const OWED_MAX: f64 = 64.0 * 1024.0 * 1024.0;
const DEBT_MAX: f64 = 1024.0 * 1024.0 * 1024.0;
/// A team has at most so many times what is left.
const TIMES_FREE: usize = 3;
/// What a team may do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TeamTerms {
    pub(super) weight: u32,
    pub(super) in_flight: usize,
    pub(super) per_second: f64,
}

/// What may be done at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlaceTerms {
    pub(super) in_flight: usize,
    pub(super) per_second: f64,
}

/// What a team has.
#[derive(Debug)]
pub(super) struct Team {
    pub(super) terms: TeamTerms,
    /// Bytes for its weight.
    pub(super) given: f64,
    pub(super) in_flight: usize,
    pub(super) slots: Slots,
    pub(super) lanes: HashMap<Door, Lane>,
    /// The lanes in which somebody waits, and the one that ran last.
    pub(super) waiting: BTreeSet<Door>,
    pub(super) last: Option<Door>,
}

/// What is known of a place, whoever asks it.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) terms: PlaceTerms,
    pub(super) in_flight: usize,
    pub(super) slots: Slots,
    pub(super) closed_until: Option<Instant>,
    /// What one attachment brought lately.
    pub(super) typical_bytes: f64,
}

impl Team {
    pub(super) fn new(terms: TeamTerms, given: f64) -> Self {
        let (lanes, waiting) = (HashMap::new(), BTreeSet::new());
        Self { terms, given, in_flight: 0, slots: Slots::default(), lanes, waiting, last: None }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting.is_empty()
    }

    pub(super) fn has_room(&self, free: usize) -> bool {
        let weight = usize::try_from(self.terms.weight.max(1)).unwrap_or(usize::MAX);
        self.in_flight < self.terms.in_flight && self.in_flight < free.saturating_mul(TIMES_FREE).saturating_mul(weight)
    }

    /// The lane whose turn it is among those that may run; without one, the first moment at which one may.
    pub(super) fn lane_that_may_run(
        &self, places: &HashMap<Place, Stand>, now: Instant,
    ) -> Result<&Door, Option<Instant>> {
        if let Some(opens) = self.slots.opens_at(now) {
            return Err(Some(opens));
        }
        let (after, before) = match &self.last {
            Some(last) => ((Excluded(last), Unbounded), Some((Unbounded, Included(last)))),
            None => ((Unbounded, Unbounded), None),
        };
        let turns = self.waiting.range::<Door, _>(after);
        let turns = turns.chain(before.into_iter().flat_map(|before| self.waiting.range::<Door, _>(before)));
        let mut opens = None;
        for door in turns {
            let (Some(lane), Some(stand)) = (self.lanes.get(door), places.get(&door.place)) else {
                continue;
            };
            if stand.in_flight >= stand.terms.in_flight || !lane.has_room(stand.terms.in_flight) {
                continue;
            }
            match lane.opens_at(now).into_iter().chain(stand.opens_at(now)).max() {
                None => return Ok(door),
                lane_opens => opens = earlier(opens, lane_opens),
            }
        }
        Err(opens)
    }

    pub(super) fn take_out(&mut self, door: &Door, ticket: Ticket) {
        if let Some(lane) = self.lanes.get_mut(door) {
            lane.waiting.remove(&ticket);
            if lane.waiting.is_empty() {
                self.waiting.remove(door);
            }
        }
    }

    pub(super) fn correct(&mut self, bytes: f64, level: f64) {
        let corrected = self.given + bytes / f64::from(self.terms.weight.max(1));
        self.given = corrected.clamp(level - OWED_MAX, level + DEBT_MAX);
    }
}

impl Stand {
    pub(super) fn new(terms: PlaceTerms) -> Self {
        Self { terms, in_flight: 0, slots: Slots::default(), closed_until: None, typical_bytes: FIRST_GUESS }
    }

    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        let closed = self.closed_until.filter(|until| *until > now);
        closed.into_iter().chain(self.slots.opens_at(now)).max()
    }

    /// Notes an end, and returns how many may be under way here.
    pub(super) fn end(&mut self, ended: &Ended<'_>) -> usize {
        self.in_flight = self.in_flight.saturating_sub(1);
        if ended.sign == Sign::Well && ended.bytes > 0 {
            self.typical_bytes += (as_f64(ended.bytes) - self.typical_bytes) / 8.0;
        }
        self.terms.in_flight
    }
}

/// Takes the next slot of `per_second`: what follows keeps the limit itself, request by request, and must never have to wait
/// for us.
pub(super) fn pass(slots: &mut Slots, per_second: f64, now: Instant) {
    if let Some(spacing) = Spacing::before_rate(per_second) {
        slots.take_rested(now, 1, spacing);
    }
}

/// The earliest of some moments.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

#[expect(clippy::cast_precision_loss, reason = "bytes below 9 petabytes are exact, and a share needs no more")]
pub(super) fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}
