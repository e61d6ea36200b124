//! All attachments of one task: a window of them at a time, until all have ended or there is a reason to stop.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, interval_at};

use super::offering::{Offering, Which};
use super::{Pipeline, Team};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::plan::{Plan, Planned, Way};
use crate::domain::receipt::Outcome;
use crate::domain::task::{Attachment, Task};
use crate::engine::lanes::InLine;
use crate::engine::lease::Held;
use crate::engine::progress::{FIRST_LOOK, Gait, LOOK_EVERY, Progress, Watch};
use crate::engine::transfer::{Job, Tried};

/// A lane that opens sooner is waited for in hand.
const CLOSED_FOR_LONG: Duration = Duration::from_secs(5);
/// Where its lanes will keep a delivery waiting for so long it need not stand in others' way.
const WAITS_FOR_LONG: Duration = Duration::from_secs(2);
/// For how long a delivery goes back whose lanes are full, if they tell nothing of their pace; and at the least.
const WAIT_UNKNOWN: Duration = Duration::from_secs(15);
const WAIT_SHORTEST: Duration = Duration::from_secs(1);

/// What ended the copying of a task's attachments.
pub(super) enum CopyEnd {
    /// Every attachment has its outcome.
    All,
    /// The delivery has had its time.
    HoldOver,
    /// The delivery has had its time, and has spent it waiting for others, the store or our way out: not the task's fault.
    Waited,
    /// All that is left waits in its lanes, and will for so long.
    Waits(Duration),
    /// The team's rights are not what they were: what is left is planned anew.
    RightsChanged,
    /// The worker was told to let go.
    Cut,
    /// The lease was lost.
    Lost,
}

/// The attachments that have ended so far.
pub(super) struct Copied {
    tried: Vec<Option<Tried>>,
    ended: usize,
    progress: Arc<Progress>,
}

impl Pipeline {
    pub(super) async fn copy_all(
        &self, task: &Task, team: &Team, round: u32, look: bool, held: &Held,
    ) -> (Copied, CopyEnd) {
        let plan = Plan::of(task, &team.record, &self.settings.policy);
        let (progress, outages) = (Arc::new(Progress::default()), self.outages());
        let mut copied =
            Copied { tried: vec![None; plan.attachments.len()], ended: 0, progress: Arc::clone(&progress) };
        let profile = &plan.profile;
        let planned = plan.attachments.into_iter().enumerate();
        let planned = planned.map(|(index, planned)| (planned.door(), (index, planned)));
        let mut offering = Offering::new(planned, self.settings.attachments_in_flight);
        let job = |attachment: &Attachment, way: Way| Job {
            team: Arc::clone(team),
            task: task.task_id.clone(),
            round,
            attachment: attachment.clone(),
            source: way.source,
            grant: way.grant,
            profile: profile.clone(),
            look,
            progress: Arc::clone(&progress),
            in_line: InLine::default(),
        };
        let mut running = FuturesUnordered::new();
        let (hold_over, rights_changed) =
            (tokio::time::sleep(self.settings.hold_for_copying()), self.rights_changed(team));
        tokio::pin!(hold_over, rights_changed);
        let (mut looks, mut watch) = (interval_at(Instant::now() + FIRST_LOOK, LOOK_EVERY), Watch::default());
        let end = loop {
            while let Some((which, (index, Planned { attachment, way }))) = offering.take() {
                running.push(self.copy_one((which, index), way.map(|way| job(&attachment, way)), attachment));
            }
            tokio::select! {
                biased;
                () = self.stop.was_cut() => break CopyEnd::Cut,
                () = held.was_lost() => break CopyEnd::Lost,
                () = &mut hold_over => break CopyEnd::HoldOver,
                () = &mut rights_changed => break CopyEnd::RightsChanged,
                _ = looks.tick() => {
                    let gait = watch.look(&progress, copied.ended);
                    if let Some(wait) = self.goes_back_for(gait, (&team.id, &offering), &copied, held) {
                        break CopyEnd::Waits(wait);
                    }
                }
                next = running.next() => match next {
                    Some(((which, index), tried)) => {
                        offering.ended(which);
                        copied.note(index, tried);
                    }
                    None => break CopyEnd::All,
                },
            }
        };
        drop(running);
        let was_away = outages != self.outages() || self.is_away();
        match end {
            CopyEnd::HoldOver if was_away || !progress.has_begun() => (copied, CopyEnd::Waited),
            end => (copied, end),
        }
    }

    /// Whether something that transfers wait for is away.
    fn is_away(&self) -> bool {
        self.gates.store.is_down() || self.gates.way_out.is_down()
    }

    /// How often what transfers wait for has gone away so far.
    fn outages(&self) -> u64 {
        self.gates.store.outages() + self.gates.way_out.outages()
    }

    /// What follows from a delivery's gait: one that comes forward slowly steps aside, and one that only waits, for a host that
    /// is closed or in others' way, goes back to the queue for a while. One that has failed in part does not: it would not be
    /// counted.
    fn goes_back_for(
        &self, gait: Gait, (team, offering): (&TeamId, &Offering<(usize, Planned)>), copied: &Copied, held: &Held,
    ) -> Option<Duration> {
        let (is_slow, waits, is_long) = match gait {
            Gait::Quick => return None,
            Gait::Slow => (true, false, false),
            Gait::Queued => (false, true, false),
            Gait::Waiting { is_long } => (true, true, is_long),
        };
        let lanes = &self.transfer.lanes;
        let expected = |door| lanes.expected_wait(team, door).unwrap_or_default();
        let soonest = offering.offered_doors().map(|door| (expected(door), door)).min();
        let waits_for_long = waits && soonest.is_some_and(|(wait, _)| wait >= WAITS_FOR_LONG);
        if is_slow || waits_for_long {
            held.step_aside();
        }
        // While all wait for the store, a lane's wait says nothing.
        if !waits || copied.progress.has_failed() || self.is_away() {
            return None;
        }
        let closed = offering.offered_doors().map(|door| lanes.closed_for(team, door).unwrap_or_default()).min();
        if let Some(closed) = closed.filter(|closed| *closed >= CLOSED_FOR_LONG) {
            return Some(closed);
        }
        let is_in_the_way = (is_long || (waits_for_long && !held.is_aside())) && held.is_in_the_way();
        let away = is_in_the_way.then(|| soonest.and_then(|(_, door)| lanes.turn_behind(team, door)));
        away.map(|away| away.unwrap_or(WAIT_UNKNOWN).max(WAIT_SHORTEST))
    }

    /// Copies what can be copied; a refusal of the plan is an outcome too. The transfer is boxed only once it runs, so that a
    /// long task's waiting attachments cost little.
    async fn copy_one(
        &self, index: (Which, usize), job: Result<Job, AttachmentFault>, attachment: Attachment,
    ) -> ((Which, usize), Tried) {
        match job {
            Ok(job) => (index, Box::pin(self.transfer.run(&job)).await),
            Err(refusal) => (index, Tried::refused(Outcome::failed(&attachment, &refusal, 0))),
        }
    }
}

impl Copied {
    fn note(&mut self, index: usize, tried: Tried) {
        self.tried[index] = Some(tried);
        self.ended += 1;
    }

    /// Whether any attachment was in flight.
    pub(super) fn has_begun(&self) -> bool {
        self.progress.has_begun()
    }

    /// Whether this delivery brought anything home.
    pub(super) fn stored_any(&self) -> bool {
        self.tried.iter().flatten().any(|tried| tried.is_new_copy)
    }

    /// The longest wait that a source asked for.
    pub(super) fn come_back(&self) -> Option<Duration> {
        self.tried.iter().flatten().filter_map(|tried| tried.come_back).max()
    }

    /// All outcomes; what did not end in time says so.
    pub(super) fn into_outcomes(self, task: &Task) -> Vec<Outcome> {
        let late =
            || AttachmentFault::new(Code::Timeout, "it could not be copied within the time that one delivery has");
        let ended = self.tried.into_iter().zip(&task.attachments);
        ended
            .map(|(tried, attachment)| {
                tried.map_or_else(|| Outcome::failed(attachment, &late(), 1), |tried| tried.outcome)
            })
            .collect()
    }
}
