//! Who goes next: the pure decision behind the lanes. It knows numbers and moments, and waits for nothing.
//!
//! Attachments wait in a lane for each team and door, which is a place's port. A lane may run while its own window, its place
//! and its team have room, and neither is closed or ahead of its rate. Among teams with a lane that may run the next is the one
//! that was given the least for its weight, in bytes, where each request counts as some bytes too; within a team its lanes take
//! turns. What size an attachment will have is guessed by what its place gave lately, charged beforehand and put right
//! afterwards.
//!
//! A team that was idle begins where the others are: it is owed nothing for the time when it asked for nothing. A team never
//! has more than three quarters of what there is, so that there is always room for one that comes later.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::lane::{Lane, Ticket};
use super::pace::Sign;
use super::shares::{OWED_MAX, PlaceTerms, Stand, Team, TeamTerms, as_f64, earlier, pass};
use crate::domain::fault::AttachmentFault;
use crate::domain::id::TeamId;
use crate::domain::source::{Door, Place};

/// A request costs as much as these bytes beside those that it brings.
const REQUEST_BYTES: f64 = 64.0 * 1024.0;
/// The longest time that a host's wish to be left alone is kept.
const CLOSED_MAX: Duration = Duration::from_secs(15 * 60);
/// Above so many lanes, those that are not in use are forgotten.
const KEPT_MAX: usize = 4096;

/// One that may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) ticket: Ticket,
    pub(super) team: TeamId,
    pub(super) door: Door,
    /// The bytes that it was charged beforehand.
    pub(super) guess: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Let this one begin, and ask again.
    Start(Start),
    /// Ask again at this moment, or when something ends.
    At(Instant),
    /// Ask again when something ends or comes.
    Nothing,
}

/// How one that began has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'a> {
    /// What it was charged so far.
    pub(super) charged: u64,
    /// What it brought.
    pub(super) bytes: u64,
    pub(super) began: Instant,
    pub(super) sign: Sign,
    pub(super) fault: Option<&'a AttachmentFault>,
}

/// All lanes, and what is under way.
#[derive(Debug)]
pub(super) struct Turns {
    slots: usize,
    in_flight: usize,
    /// What the team that began last had been given before.
    level: f64,
    last_ticket: Ticket,
    teams: BTreeMap<TeamId, Team>,
    places: HashMap<Place, Stand>,
    lanes: usize,
    forget_above: usize,
}

impl Turns {
    /// Lanes for `slots` attachments at once.
    pub(super) fn new(slots: usize) -> Self {
        let (teams, places) = (BTreeMap::new(), HashMap::new());
        Self {
            slots: slots.max(1),
            in_flight: 0,
            level: 0.0,
            last_ticket: 0,
            teams,
            places,
            lanes: 0,
            forget_above: KEPT_MAX,
        }
    }

    /// One more waits.
    ///
    /// # Errors
    /// The fault of one that was tried for all, where the host cannot be connected to.
    pub(super) fn wait(
        &mut self, team: (&TeamId, TeamTerms), door: (&Door, PlaceTerms), now: Instant,
    ) -> Result<Ticket, AttachmentFault> {
        self.last_ticket += 1;
        self.wait_with(self.last_ticket, team, door, now)
    }

    /// One waits again, at the place that it had: it goes before those that came later.
    ///
    /// # Errors
    /// As [`Turns::wait`].
    pub(super) fn wait_with(
        &mut self, ticket: Ticket, (team, terms): (&TeamId, TeamTerms), (door, place_terms): (&Door, PlaceTerms),
        now: Instant,
    ) -> Result<Ticket, AttachmentFault> {
        if self.lanes > self.forget_above {
            self.forget_unused(now);
        }
        self.places.entry(door.place.clone()).or_insert_with(|| Stand::new(place_terms)).terms = place_terms;
        let level = self.level;
        let team = self.teams.entry(team.clone()).or_insert_with(|| Team::new(terms, level));
        if team.is_idle() {
            team.given = team.given.max(level);
        }
        team.terms = terms;
        let lanes = &mut self.lanes;
        let lane = team.lanes.entry(door.clone()).or_insert_with(|| {
            *lanes += 1;
            Lane::new()
        });
        if let Some(fault) = lane.shared_fault(now) {
            return Err(fault.clone());
        }
        lane.waiting.insert(ticket);
        team.waiting.insert(door.clone());
        Ok(ticket)
    }

    /// One that waited does so no more.
    pub(super) fn leave(&mut self, team: &TeamId, door: &Door, ticket: Ticket) {
        if let Some(team) = self.teams.get_mut(team) {
            team.take_out(door, ticket);
        }
    }

    /// Says who begins, or when to ask again.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let free = self.slots.saturating_sub(self.in_flight);
        if free == 0 {
            return Next::Nothing;
        }
        let (mut best, mut opens): (Option<(f64, &TeamId, &Door)>, Option<Instant>) = (None, None);
        for (id, team) in &self.teams {
            let is_behind = best.is_some_and(|(given, ..)| team.given >= given);
            if is_behind || team.waiting.is_empty() || !team.has_room(free) {
                continue;
            }
            match team.lane_that_may_run(&self.places, now) {
                Ok(door) => best = Some((team.given, id, door)),
                Err(team_opens) => opens = earlier(opens, team_opens),
            }
        }
        match (best, opens) {
            (Some((_, team, door)), _) => {
                let (team, door) = (team.clone(), door.clone());
                Next::Start(self.start(team, door, now))
            }
            (None, Some(opens)) => Next::At(opens),
            (None, None) => Next::Nothing,
        }
    }

    /// How all teams stand.
    #[cfg(feature = "testing")]
    pub(super) fn accounts(&self, now: Instant) -> Vec<super::Account> {
        let free = self.slots.saturating_sub(self.in_flight);
        let account = |(id, team): (&TeamId, &Team)| super::Account {
            team: id.clone(),
            weight: team.terms.weight.max(1),
            given: team.given,
            in_flight: team.in_flight,
            may_run: team.has_room(free) && team.lane_that_may_run(&self.places, now).is_ok(),
        };
        self.teams.iter().map(account).collect()
    }

    fn start(&mut self, id: TeamId, door: Door, now: Instant) -> Start {
        let stand = self.places.get_mut(&door.place).expect("a lane that may run has a place");
        let team = self.teams.get_mut(&id).expect("a lane that may run has a team");
        let lane = team.lanes.get_mut(&door).expect("a lane that may run is there");
        let ticket = *lane.waiting.first().expect("in a lane that may run somebody waits");
        lane.begin(now);
        stand.in_flight += 1;
        team.in_flight += 1;
        self.in_flight += 1;
        pass(&mut stand.slots, stand.terms.per_second, now);
        pass(&mut team.slots, team.terms.per_second, now);
        self.level = self.level.max(team.given);
        let cost = stand.typical_bytes + REQUEST_BYTES;
        team.given = team.given.max(self.level - OWED_MAX) + cost / f64::from(team.terms.weight.max(1));
        team.last = Some(door.clone());
        team.take_out(&door, ticket);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
        let guess = stand.typical_bytes as u64;
        Start { ticket, team: id, door, guess }
    }

    /// One that began brings more than was guessed.
    pub(super) fn charge(&mut self, team: &TeamId, bytes: u64) {
        let level = self.level;
        if let Some(team) = self.teams.get_mut(team) {
            team.correct(as_f64(bytes), level);
        }
    }

    /// One that began has ended. Returns those that waited behind it and share its fate.
    pub(super) fn end(&mut self, team: &TeamId, door: &Door, ended: Ended<'_>, now: Instant) -> Vec<Ticket> {
        let level = self.level;
        self.in_flight = self.in_flight.saturating_sub(1);
        let most = match self.places.get_mut(&door.place) {
            Some(stand) => stand.end(&ended),
            None => return Vec::new(),
        };
        let closes = match ended.sign {
            Sign::Overloaded { retry_after: Some(wait) } => Some(now + wait.min(CLOSED_MAX)),
            Sign::Overloaded { retry_after: None } | Sign::Well | Sign::Unreachable | Sign::Nothing => None,
        };
        let Some(entry) = self.teams.get_mut(team) else {
            return Vec::new();
        };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        entry.correct(as_f64(ended.bytes) - as_f64(ended.charged), level);
        let Some(lane) = entry.lanes.get_mut(door) else {
            return Vec::new();
        };
        lane.end(now);
        lane.follow(ended.sign, ended.fault, (ended.began, now), most);
        let shared = if lane.shared_fault(now).is_some() {
            entry.waiting.remove(door);
            std::mem::take(&mut lane.waiting).into_iter().collect()
        } else {
            Vec::new()
        };
        if let Some(until) = closes {
            // The host has asked, whichever port it answered at.
            let lanes = entry.lanes.iter_mut().filter(|(other, _)| other.place == door.place);
            lanes.for_each(|(_, lane)| lane.close(until));
            self.close_for_all(team, &door.place, until, now);
        }
        shared
    }

    /// A host that sent one team away may mean that team. Where two were sent away it means everybody.
    fn close_for_all(&mut self, seen_by: &TeamId, place: &Place, until: Instant, now: Instant) {
        let is_closed = |team: &Team| {
            let mut lanes = team.lanes.iter().filter(|(door, _)| door.place == *place);
            lanes.any(|(_, lane)| lane.opens_at(now).is_some())
        };
        let others = self.teams.iter().filter(|(id, _)| *id != seen_by);
        if others.map(|(_, team)| team).any(is_closed)
            && let Some(stand) = self.places.get_mut(place)
        {
            stand.closed_until = Some(stand.closed_until.map_or(until, |closed| closed.max(until)));
        }
    }

    /// When a lane opens, if it is closed.
    pub(super) fn opens_at(&self, team: &TeamId, door: &Door, now: Instant) -> Option<Instant> {
        let lane = self.teams.get(team).and_then(|team| team.lanes.get(door)?.opens_at(now));
        let stand = self.places.get(&door.place).and_then(|stand| stand.closed_until.filter(|until| *until > now));
        lane.into_iter().chain(stand).max()
    }

    /// Whether a lane's host is known not to be there.
    pub(super) fn is_dead(&self, team: &TeamId, door: &Door, now: Instant) -> bool {
        let lane = self.teams.get(team).and_then(|team| team.lanes.get(door));
        lane.is_some_and(|lane| lane.shared_fault(now).is_some())
    }

    /// Whether a lane has only seen trouble for some pauses.
    pub(super) fn is_struggling(&self, team: &TeamId, door: &Door) -> bool {
        let lane = self.teams.get(team).and_then(|team| team.lanes.get(door));
        lane.is_some_and(Lane::is_struggling)
    }

    /// How long one goes away that does not wait in a lane.
    pub(super) fn turn_behind(&mut self, team: &TeamId, door: &Door, now: Instant) -> Option<Duration> {
        self.teams.get_mut(team)?.lanes.get_mut(door)?.turn_behind(now)
    }

    /// How long one that comes to a lane now will wait, as far as can be told.
    pub(super) fn expected_wait(&self, team: &TeamId, door: &Door, now: Instant) -> Option<Duration> {
        self.teams.get(team)?.lanes.get(door)?.expected_wait(now)
    }

    /// Forgets the lanes that are not in use: first those that are open, and where that is not enough the closed ones too.
    fn forget_unused(&mut self, now: Instant) {
        for keep_closed in [true, false] {
            let is_kept = |lane: &Lane| !lane.is_idle() || keep_closed && lane.opens_at(now).is_some();
            self.teams.values_mut().for_each(|team| team.lanes.retain(|_, lane| is_kept(lane)));
            self.teams.retain(|_, team| !team.lanes.is_empty());
            self.lanes = self.teams.values().map(|team| team.lanes.len()).sum();
            if self.lanes <= KEPT_MAX {
                break;
            }
        }
        let doors = self.teams.values().flat_map(|team| team.lanes.keys());
        let used: HashSet<&Place> = doors.map(|door| &door.place).collect();
        self.places.retain(|place, _| used.contains(place));
        // Where all are in use, looking for others again and again would find none.
        self.forget_above = KEPT_MAX.max(self.lanes * 2);
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
