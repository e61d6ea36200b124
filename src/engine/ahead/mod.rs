//! Looking past a busy team's messages: which delivery begins, and which goes behind.
//!
//! Where the queue does not choose by team, the messages of a team that has queued many stand before everybody else's. A quarter
//! of the places is kept for teams with less than their share; what a team has beyond it is put off, uncounted, until about
//! the moment when its turn would come: so it is moved about once, and the team itself loses nothing. At most so many
//! messages are away at once.
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
use self::team::Busy;
use crate::domain::id::TeamId;

/// How much is kept free of those who have more than their share: one place of so many.
pub(super) const KEPT_FREE: usize = 4;
/// A team has its share while it has fewer than so many times what is free.
const TIMES_FREE: usize = 3;
/// The shortest and the longest time for which a message is put off: what is away for longer than its turn takes keeps a team that is
/// alone waiting for itself. Queues that are paid for count in seconds.
const SHORTEST: Duration = Duration::from_millis(200);
const SHORTEST_IF_PAID: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
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
/// What a team may have in hand in a rush: one place of so many.
const IN_A_RUSH: usize = 16;
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
    /// It goes behind for so long.
    PutOff(Duration),
}

/// Who has how much in hand, and how much away.
#[derive(Debug)]
pub struct Ahead {
    places: usize,
    lookahead: u32,
    teams: HashMap<TeamId, Busy>,
    first_pace: f64,
    shortest: Duration,
    allowance: Option<Allowance>,
}

/// The team, which is used just now; those that were not for long are forgotten when there are many.
fn looked_at<'a>(teams: &'a mut HashMap<TeamId, Busy>, team: &TeamId, first_pace: f64, now: Instant) -> &'a mut Busy {
    if teams.len() >= TEAMS_MAX {
        teams.retain(|_, busy| busy.in_hand > 0 || now.duration_since(busy.used) < IDLE);
    }
    let busy = teams.entry(team.clone()).or_insert_with(|| Busy::new(first_pace, now));
    busy.used = now;
    busy
}

/// Whether a team that has so many in hand has less than its share while so many of the places are free.
fn has_share(in_hand: usize, free: usize, places: usize) -> bool {
    in_hand == 0 || free * KEPT_FREE > places || in_hand < free * TIMES_FREE
}

impl Ahead {
    /// For so many places; at most `lookahead` messages of a team are away at once, none for 0.
    #[must_use]
    pub fn new(places: usize, lookahead: u32, moves: Moves) -> Self {
        let (first_pace, shortest, allowance) = match moves {
            Moves::Free => (FIRST_PACE, SHORTEST, None),
            Moves::Paid => (FIRST_PACE_IF_PAID, SHORTEST_IF_PAID, Some(Allowance::full())),
        };
        Self { places, lookahead, teams: HashMap::new(), first_pace, shortest, allowance }
    }

    /// Decides about a delivery of `team` while `free` places are free. One that begins is in hand until [`Ahead::ended`]. All do if
    /// none `may_go_behind` just now, but in a rush: there it waits until it may.
    pub fn choose(&mut self, team: &TeamId, free: usize, may_go_behind: bool, now: Instant) -> Choice {
        let Self { places, lookahead, teams, first_pace, shortest, allowance } = self;
        let busy = looked_at(teams, team, *first_pace, now);
        // Where moves are paid for there are never so many.
        let is_rush = allowance.is_none() && busy.rush.is_on(now);
        busy.expected.arrived();
        let has_share = has_share(busy.in_hand, free, *places) && (!is_rush || busy.in_hand * IN_A_RUSH < *places);
        let mut may_move = || allowance.as_mut().is_none_or(|allowance| allowance.take(now));
        if has_share || !(may_go_behind || is_rush) || busy.away.count(now) >= *lookahead || !may_move() {
            busy.in_hand += 1;
            return Choice::Begin;
        }
        let step = Duration::from_secs_f64(1.0 / busy.pace(now));
        let turn = (busy.last_turn.max(now) + step).min(now + LONGEST);
        busy.last_turn = turn;
        busy.away.add(turn, 1);
        busy.rush.put_off(now);
        Choice::PutOff(turn.duration_since(now).max(*shortest))
    }

    /// How long `count` messages of `team` that were put off together have to wait yet, while `free` places are free. Nothing if some
    /// of them would begin if they were brought back now; then they are expected. Else they are away for so long: all that wait so are
    /// looked at evenly, about as many in a second as the team ends, and each within [`LONGEST`].
    pub fn wait(&mut self, team: &TeamId, free: usize, count: usize, now: Instant) -> Duration {
        let (places, shortest) = (self.places, self.shortest);
        let busy = looked_at(&mut self.teams, team, self.first_pace, now);
        let is_rush = self.allowance.is_none() && busy.rush.is_on(now);
        let (expected, pace) = (busy.expected.count(now), busy.pace(now));
        // Until they are there, so many of the team's will have ended.
        let ended = (1..=places).take_while(|count| *count as f64 <= pace * ON_THEIR_WAY.as_secs_f64()).count();
        let taken = expected + places / SOME;
        let (in_hand, free) = ((busy.in_hand + taken).saturating_sub(ended), (free + ended).saturating_sub(taken));
        if busy.in_hand + expected == 0 || (!is_rush && has_share(in_hand, free, places)) {
            busy.expected.add(count, now);
            return Duration::ZERO;
        }
        let step = Duration::from_secs_f64(count as f64 / pace).min(LONGEST.checked_sub(shortest).unwrap_or_default());
        let next = busy.next_look.max(now + shortest) + step;
        let look = if next > now + LONGEST { now + shortest + step } else { next };
        busy.next_look = look;
        busy.away.add(look, u32::try_from(count).unwrap_or(u32::MAX));
        look.duration_since(now)
    }

    /// Notes that a delivery that had begun went back as it came, and is in hand no more.
    pub fn went_back(&mut self, team: &TeamId, now: Instant) {
        if let Some(busy) = self.teams.get_mut(team) {
            busy.in_hand = busy.in_hand.saturating_sub(1);
            busy.used = now;
        }
    }

    /// Notes that a delivery that had begun has ended.
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
mod tests {
    use super::team::{EXPECTED_FOR, MORE};
    use super::*;

    fn team(name: &str) -> TeamId {
        TeamId::new(name).expect("a good id")
    }

    /// Offers messages of a team while `in_hand` places of 64 are taken.
    fn offer(ahead: &mut Ahead, name: &str, count: usize, now: Instant) -> (usize, Vec<Duration>) {
        let (mut begun, mut delays) = (0, Vec::new());
        for _ in 0..count {
            let taken: usize = ahead.teams.values().map(|busy| busy.in_hand).sum();
            match ahead.choose(&team(name), 64usize.saturating_sub(taken), true, now) {
                Choice::Begin => begun += 1,
                Choice::PutOff(delay) => delays.push(delay),
            }
        }
        (begun, delays)
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_team_leaves_room_and_its_rest_comes_back_at_its_own_pace() {
        let (mut ahead, now) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
        let (begun, delays) = offer(&mut ahead, "busy", 10_000, now);
        assert_eq!(begun, 48, "a quarter is kept free");
        assert_eq!(delays.len(), 9_952);
        assert!(delays.is_sorted() && delays[0] == SHORTEST);
        let expected = 9_952.0 / FIRST_PACE / MORE;
        let last = delays[9_951].as_secs_f64();
        assert!((last - expected).abs() < 0.1, "{last} s for what is expected to take {expected} s");
        assert_eq!(offer(&mut ahead, "quiet", 1, now).0, 1, "another one begins at once");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_away_than_allowed() {
        let (mut ahead, now) = (Ahead::new(64, 100, Moves::Free), Instant::now());
        let (_, delays) = offer(&mut ahead, "busy", 1000, now);
        assert_eq!(delays.len(), 100);
        let (_, delays) = offer(&mut Ahead::new(64, 0, Moves::Free), "busy", 1000, now);
        assert!(delays.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_team_that_shows_to_be_quick_has_no_more_away_by_that() {
        let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
        let (_, delays) = offer(&mut ahead, "busy", 10_048, start);
        assert_eq!(delays.len(), 10_000);
        let later = start + Duration::from_secs(1);
        for _ in 0..5_000 {
            ahead.ended(&team("busy"), later);
        }
        let (begun, delays) = offer(&mut ahead, "busy", 15_000, later);
        assert!((11_000..=13_000).contains(&delays.len()), "two thousand are back, {} more may be away", delays.len());
        assert_eq!(begun + delays.len(), 15_000);
        let all_back = later + LONGEST + Duration::from_secs(1);
        assert_eq!(ahead.teams[&team("busy")].away.count, 20_000);
        assert!(matches!(ahead.choose(&team("busy"), 0, true, all_back), Choice::PutOff(_)), "they are back");
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_rush_looking_goes_before_a_busy_teams_work() {
        let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
        assert_eq!(offer(&mut ahead, "busy", 1_000, start).0, 48);
        (0..45).for_each(|_| ahead.ended(&team("busy"), start));
        assert_eq!(offer(&mut ahead, "busy", 100, start).0, 1, "three are in hand, and four may be");
        assert_ne!(ahead.choose(&team("busy"), 60, false, start), Choice::Begin, "it waits until it may go");
        assert!(!ahead.wait(&team("busy"), 60, 128, start).is_zero(), "nothing is brought back");
        assert_eq!(offer(&mut ahead, "other", 8, start).0, 8, "others begin");
        // In the next window come some, and in the one after it one.
        let next = start + rush::WINDOW;
        assert_eq!(offer(&mut ahead, "busy", 50, next).0, 0);
        assert_eq!(offer(&mut ahead, "busy", 1, next + rush::WINDOW).0, 1, "no more than its share is put off");
        // A quick team's that come back too early make none.
        let later = next + rush::WINDOW * 5;
        for _ in 0..200 {
            ahead.ended(&team("busy"), later);
            assert_eq!(ahead.choose(&team("busy"), 64, true, later), Choice::Begin);
            (0..3).for_each(|_| assert_ne!(ahead.choose(&team("busy"), 0, true, later), Choice::Begin));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_rush_that_goes_on_for_long_has_an_end_too() {
        let (mut ahead, start) = (Ahead::new(64, 1_000_000, Moves::Free), Instant::now());
        let mut at = start;
        assert_eq!(offer(&mut ahead, "busy", 1_000, at).0, 48);
        (0..45).for_each(|_| ahead.ended(&team("busy"), at));
        while at < start + rush::LONGEST - rush::WINDOW {
            at += rush::WINDOW;
            assert!(offer(&mut ahead, "busy", 200, at).0 <= 1);
        }
        at += rush::WINDOW;
        assert!(offer(&mut ahead, "busy", 200, at).0 > 40);
        // All that may be away is; then the rest begins, as far as there are places.
        let mut ahead = Ahead::new(64, 500, Moves::Free);
        assert_eq!(offer(&mut ahead, "busy", 1_000, start).0, 500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_teams_messages_come_back_soon() {
        let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
        let _first = offer(&mut ahead, "busy", 48, start);
        for second in 1..10 {
            for _ in 0..1000 {
                ahead.ended(&team("busy"), start + Duration::from_secs(second));
            }
            let _more = offer(&mut ahead, "busy", 48, start + Duration::from_secs(second));
        }
        let now = start + Duration::from_secs(10);
        let (_, delays) = offer(&mut ahead, "busy", 10_000, now);
        let last = delays.last().expect("some are put off").as_secs_f64();
        assert!((4.0..11.0).contains(&last), "ten thousand at a thousand a second, and sooner: {last} s");
    }

    #[tokio::test(start_paused = true)]
    async fn moves_that_are_paid_for_have_their_measure() {
        let (mut ahead, start) = (Ahead::new(64, 20_000, Moves::Paid), Instant::now());
        let (begun, delays) = offer(&mut ahead, "busy", 148, start);
        assert_eq!((begun, delays.len()), (48, 100), "a hundred large ones are looked past at once");
        assert_eq!(offer(&mut ahead, "busy", 1, start).0, 1, "and no more: it waits for its place");
        // A flow of fifty a second.
        let mut moved = 0;
        for nth in 1..=5_000u32 {
            let now = start + Duration::from_secs(1) * nth / 50;
            ahead.ended(&team("busy"), now);
            for _ in 0..2 {
                moved += u32::from(ahead.choose(&team("busy"), 0, true, now) != Choice::Begin);
            }
        }
        assert!((1_900..=2_100).contains(&moved), "{moved} moves for 5,000 messages");
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_were_put_off_together_come_back_when_some_of_them_would_begin() {
        let (mut ahead, now) = (Ahead::new(64, 20_000, Moves::Free), Instant::now());
        let busy = team("busy");
        let at_pace = |ahead: &mut Ahead, pace, now| {
            let busy = ahead.teams.get_mut(&busy).unwrap();
            (busy.pace, busy.since) = (pace, now);
        };
        assert_eq!(offer(&mut ahead, "busy", 60, now).0, 48);
        at_pace(&mut ahead, 1.0, now);
        assert!(!ahead.wait(&busy, 16, 32, now).is_zero(), "it has its share");
        (0..8).for_each(|_| ahead.ended(&busy, now));
        assert!(ahead.wait(&busy, 24, 32, now).is_zero(), "eight would begin");
        assert!(!ahead.wait(&busy, 24, 32, now).is_zero(), "which are expected");
        let later = now + EXPECTED_FOR + Duration::from_millis(1);
        at_pace(&mut ahead, 1.0, later);
        assert!(ahead.wait(&busy, 24, 32, later).is_zero(), "they went elsewhere");
        assert_eq!(offer(&mut ahead, "busy", 32, later).0, 8);
        assert!(!ahead.wait(&busy, 16, 32, later).is_zero());
        // A quick one has ended some by the time that they come.
        at_pace(&mut ahead, 500.0, later);
        assert!(ahead.wait(&busy, 16, 32, later).is_zero());
        assert!(ahead.wait(&team("other"), 0, 32, later).is_zero(), "something comes back to whom nothing is in hand");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_have_to_wait_are_looked_at_evenly_and_stay_counted() {
        let (mut ahead, now) = (Ahead::new(64, 623 * 32, Moves::Free), Instant::now());
        let busy = team("busy");
        let _begun = offer(&mut ahead, "busy", 48, now);
        let mut waits: Vec<_> = (0..625).map(|_| ahead.wait(&busy, 16, 32, now)).collect();
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 2, "it is believed to be quick");
        assert_eq!(ahead.teams[&busy].away.count, 623 * 32);
        assert!(matches!(ahead.choose(&busy, 0, true, now), Choice::Begin), "no more are away than allowed");
        let longest = waits.iter().max().unwrap().as_secs();
        assert!((9..=12).contains(&longest), "twenty thousand at two thousand a second: {longest} s");
        // A slow team's are spread over a minute.
        let later = now + LONGEST;
        ahead.teams.get_mut(&busy).unwrap().pace = 0.0;
        ahead.teams.get_mut(&busy).unwrap().since = later;
        waits = (0..625).map(|_| ahead.wait(&busy, 16, 32, later)).collect();
        for second in 2..58 {
            let looks = waits.iter().filter(|wait| (second..second + 2).contains(&wait.as_secs())).count();
            assert!((1..=40).contains(&looks), "{looks} looks in the two seconds from {second} on");
        }
        let away = ahead.teams.get_mut(&busy).unwrap().away.count(later);
        assert_eq!(away, 625 * 32, "those of before are back");
    }
}
