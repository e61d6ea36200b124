//! One lane: a team's attachments from one place, waiting in the order in which they came.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::{Pace, Sign};
use crate::domain::fault::AttachmentFault;

/// Names one that waits. Later ones have higher numbers.
pub(super) type Ticket = u64;

/// A lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) waiting: BTreeSet<Ticket>,
    pub(super) in_flight: usize,
    pub(super) closed_until: Option<Instant>,
    pace: Pace,
    /// Why its host cannot be connected to, and until when nobody else need try.
    dead: Option<(AttachmentFault, Instant)>,
    /// The time between two ends, smoothed, and when the last one was.
    gap: Option<Duration>,
    last_end: Option<Instant>,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            waiting: BTreeSet::new(),
            in_flight: 0,
            closed_until: None,
            pace: Pace::new(),
            dead: None,
            gap: None,
            last_end: None,
        }
    }

    /// Whether nobody waits in it and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0
    }

    /// Whether one more may be under way, as far as the lane itself goes.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.in_flight < self.pace.window(most)
    }

    /// When it opens, if it is closed.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| *until > now)
    }

    /// Closes it until `until` at least.
    pub(super) fn close(&mut self, until: Instant) {
        self.closed_until = Some(self.closed_until.map_or(until, |closed| closed.max(until)));
    }

    /// The fault of one that was tried, where it speaks for one that comes now.
    pub(super) fn shared_fault(&self, now: Instant) -> Option<&AttachmentFault> {
        let (fault, until) = self.dead.as_ref()?;
        (self.in_flight > 0 || now < *until).then_some(fault)
    }

    /// Whether its host has refused everything for some pauses, and others wait for theirs.
    pub(super) fn is_struggling(&self) -> bool {
        self.pace.is_struggling() && !self.waiting.is_empty()
    }

    /// Follows what a request showed.
    pub(super) fn follow(
        &mut self, sign: Sign, fault: Option<&AttachmentFault>, (began, now): (Instant, Instant), most: usize,
    ) {
        if let Some(last) = self.last_end.replace(now) {
            let gap = now.duration_since(last);
            self.gap = Some(self.gap.map_or(gap, |known| known.mul_f64(0.75) + gap.mul_f64(0.25)));
        }
        if let Some(pause) = self.pace.follow(sign, began, now, most) {
            self.close(now + pause);
        }
        match (sign, self.pace.unreachable_for()) {
            (Sign::Unreachable, Some(pause)) => self.dead = fault.cloned().map(|fault| (fault, now + pause)),
            (Sign::Well | Sign::Overloaded { .. }, _) => self.dead = None,
            (Sign::Unreachable | Sign::Nothing, _) => {}
        }
    }

    /// How long one that comes now will wait, as far as can be told.
    pub(super) fn expected_wait(&self) -> Option<Duration> {
        let ahead = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        self.gap.map(|gap| gap.saturating_mul(ahead))
    }
}
