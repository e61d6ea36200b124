//! One lane: a team's attachments from one place, waiting in the order in which they came.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::{Pace, Sign};
use crate::domain::fault::AttachmentFault;
use crate::engine::chance;

/// Names one that waits. Later ones have higher numbers.
pub(super) type Ticket = u64;

/// A gap between two ends counts for no more than so many times what was known, and some: one long pause, as while the store is
/// away, says little about the host, and many say it soon.
const LONG: u32 = 4;
const AT_LEAST: Duration = Duration::from_millis(10);
/// A host that answers nothing for so long is silent.
const QUIET: Duration = Duration::from_millis(500);
/// Who went away comes back so long before its turn, so that the lane never runs empty; and is away for no longer than this.
const NEARLY: Duration = Duration::from_secs(2);
const AWAY_LONGEST: Duration = Duration::from_secs(30);

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
    /// Since when nothing ended although something was under way.
    quiet_since: Option<Instant>,
    /// When the next one that goes away has its turn.
    next_turn: Option<Instant>,
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
            quiet_since: None,
            next_turn: None,
        }
    }

    /// One more is under way.
    pub(super) fn begin(&mut self, now: Instant) {
        self.in_flight += 1;
        self.quiet_since.get_or_insert(now);
    }

    /// One is under way no more.
    pub(super) fn end(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.quiet_since = (self.in_flight > 0).then_some(now);
        if self.waiting.is_empty() {
            // Those that are away were sent away for too long.
            self.next_turn = None;
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
            // Not the time when nothing was under way.
            let gap = now.duration_since(last.max(began));
            let smoothed = |known: Duration| known.mul_f64(0.75) + gap.min(known * LONG + AT_LEAST).mul_f64(0.25);
            self.gap = Some(self.gap.map_or(gap, smoothed));
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

    /// How long one that comes now will wait, as far as can be told: as those before it did, and behind a host that is silent at
    /// least as if it had answered all that are under way just now. As many as are under way may wait without being told so: a
    /// lane that is slow must not run empty.
    pub(super) fn expected_wait(&self, now: Instant) -> Option<Duration> {
        let ahead = self.waiting.len().saturating_sub(self.in_flight.max(1));
        self.expected_gap(now).map(|gap| gap.saturating_mul(counted(ahead)))
    }

    /// How long one goes away that does not wait in the line: until it is nearly its turn, behind all that went away before it.
    pub(super) fn turn_behind(&mut self, now: Instant) -> Option<Duration> {
        let gap = self.expected_gap(now)?;
        let line = gap.saturating_mul(counted(self.waiting.len())).saturating_sub(NEARLY);
        // Nothing is known for long: what would be away for longer comes among the others, or at about that time.
        let first = if line < AWAY_LONGEST { line } else { AWAY_LONGEST.mul_f64(0.5 + chance::draw() / 2.0) };
        let behind = self.next_turn.map_or(now + first, |turn| turn.max(now + first));
        let turn = if behind > now + AWAY_LONGEST { now + first } else { behind };
        self.next_turn = Some(turn + gap);
        Some(turn.duration_since(now))
    }

    fn expected_gap(&self, now: Instant) -> Option<Duration> {
        let quiet = self.quiet_since.map(|since| now.duration_since(since)).filter(|quiet| *quiet >= QUIET);
        self.gap.max(quiet.map(|quiet| quiet / counted(self.in_flight).max(1)))
    }
}

fn counted(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane in which `ends` have ended, so far apart and each as long under way, and forty wait.
    fn lane(ends: u32, apart: Duration) -> (Lane, Instant) {
        let (mut lane, mut now) = (Lane::new(), Instant::now());
        lane.waiting = (0..40).collect();
        for _ in 0..ends {
            now += apart;
            lane.follow(Sign::Well, None, (now - apart, now), 100);
        }
        (lane, now)
    }

    #[tokio::test(start_paused = true)]
    async fn one_long_pause_does_not_make_others_wait_for_minutes() {
        let quick = Duration::from_millis(20);
        let (mut lane, now) = lane(100, quick);
        let usual = lane.expected_wait(now).expect("much has ended");
        assert!(usual < Duration::from_secs(1), "{usual:?}");
        let after = now + Duration::from_secs(300);
        lane.follow(Sign::Well, None, (now, after), 100);
        let then = lane.expected_wait(now).expect("much has ended");
        assert!(then < usual * 3, "{then:?} after a pause, {usual:?} before");
        // Nor does a time without anything to do.
        let later = after + Duration::from_secs(300);
        lane.follow(Sign::Well, None, (later, later + quick), 100);
        assert!(lane.expected_wait(now).expect("much has ended") < usual * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_answer_is_known_without_an_answer() {
        let (mut lane, now) = lane(0, Duration::ZERO);
        (0..8).for_each(|_| lane.begin(now));
        assert_eq!(lane.expected_wait(now + Duration::from_millis(400)), None);
        let second = Duration::from_secs(1);
        assert_eq!(lane.expected_wait(now + second), Some(second / 8 * 32), "no more than eight in a second");
        // Now and then one answers.
        lane.end(now + second);
        lane.follow(Sign::Well, None, (now, now + second), 100);
        assert_eq!(lane.expected_wait(now + second * 15), Some(second * 2 * 33));
        // What has nothing under way is not silent.
        (0..7).for_each(|_| lane.end(now + second * 15));
        assert_eq!(lane.expected_wait(now + second * 60), None);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_go_away_come_back_one_after_the_other_before_the_line_has_ended() {
        let (mut lane, now) = lane(100, Duration::from_millis(100));
        let expected = lane.expected_wait(now).expect("much has ended");
        let away: Vec<_> = (0..4_000).map(|_| lane.turn_behind(now).expect("much has ended")).collect();
        assert_eq!(away[0], expected / 39 * 40 - NEARLY);
        assert!((away[100] - away[0]).abs_diff(Duration::from_secs(10)) < Duration::from_millis(10), "{:?}", away[100]);
        assert!(away.iter().all(|away| *away <= AWAY_LONGEST), "{:?}", away.iter().max());
        let late = away.iter().filter(|away| **away > AWAY_LONGEST / 2).count();
        assert!((1_400..2_600).contains(&late), "{late} of 4,000 come in the second half");
        // When nobody waits any more they have been away for too long.
        assert!(lane.turn_behind(now) > Some(away[0] + Duration::from_secs(1)));
        lane.waiting.clear();
        lane.begin(now);
        lane.end(now);
        assert_eq!(lane.turn_behind(now), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_a_silent_host_sent_away_come_back_within_half_a_minute() {
        let (mut lane, now) = lane(0, Duration::ZERO);
        lane.begin(now);
        let later = now + Duration::from_secs(10);
        let away: Vec<_> = (0..1_000).map(|_| lane.turn_behind(later).expect("it is silent")).collect();
        assert!(away.iter().all(|away| *away <= AWAY_LONGEST), "{:?}", away.iter().max());
        let soon = away.iter().filter(|away| **away < AWAY_LONGEST.mul_f64(0.75)).count();
        assert!((300..700).contains(&soon), "{soon} of 1,000 come in the third quarter, not all at once");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_next_at_a_slow_host_is_not_told_to_go() {
        let (mut lane, now) = lane(10, Duration::from_secs(5));
        (0..4).for_each(|_| lane.begin(now));
        lane.waiting = (0..4).collect();
        assert_eq!(lane.expected_wait(now), Some(Duration::ZERO));
        lane.waiting = (0..5).collect();
        assert!(lane.expected_wait(now) > Some(Duration::from_secs(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_has_become_slow_is_known_soon() {
        let (mut lane, mut now) = lane(100, Duration::from_millis(20));
        for _ in 0..20 {
            let began = now;
            now += Duration::from_secs(5);
            lane.follow(Sign::Well, None, (began, now), 100);
        }
        let wait = lane.expected_wait(now);
        assert!(wait > Some(Duration::from_secs(150)), "{wait:?}");
    }
}
