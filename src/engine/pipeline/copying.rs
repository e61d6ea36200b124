//! All attachments of one task: a window of them at a time, until all have ended or there is a reason to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures::StreamExt;

use super::{Pipeline, Team};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::plan::{Plan, Planned};
use crate::domain::receipt::Outcome;
use crate::domain::task::{Attachment, Task};
use crate::engine::lease::Held;
use crate::engine::transfer::{Job, Tried};

/// What ended the copying of a task's attachments.
pub(super) enum CopyEnd {
    /// Every attachment has its outcome.
    All,
    /// The delivery has had its time.
    HoldOver,
    /// The delivery has had its time, and has spent it waiting for others or for the store: not the task's fault.
    Waited,
    /// The worker was told to let go.
    Cut,
    /// The lease was lost.
    Lost,
}

/// The attachments that have ended so far.
pub(super) struct Copied {
    tried: Vec<Option<Tried>>,
}

impl Pipeline {
    pub(super) async fn copy_all(
        &self, task: &Task, team: &Team, round: u32, look: bool, held: &Held,
    ) -> (Copied, CopyEnd) {
        let plan = Plan::of(task, &team.record, &self.settings.policy);
        let mut copied = Copied { tried: vec![None; plan.attachments.len()] };
        let profile = &plan.profile;
        let (begun, outages) = (Arc::new(AtomicBool::new(false)), self.gates.store.outages());
        let jobs = plan.attachments.into_iter().enumerate().map(|(index, planned)| {
            let Planned { attachment, way } = planned;
            let job = way.map(|way| Job {
                team: Arc::clone(team),
                task: task.task_id.clone(),
                round,
                attachment: attachment.clone(),
                source: way.source,
                grant: way.grant,
                profile: profile.clone(),
                look,
                begun: Arc::clone(&begun),
            });
            self.copy_one(index, job, attachment)
        });
        let mut running = futures::stream::iter(jobs).buffer_unordered(self.settings.attachments_in_flight.max(1));
        let hold_over = tokio::time::sleep(self.settings.hold_for_copying());
        tokio::pin!(hold_over);
        let end = loop {
            tokio::select! {
                biased;
                () = self.stop.was_cut() => break CopyEnd::Cut,
                () = held.was_lost() => break CopyEnd::Lost,
                () = &mut hold_over => break CopyEnd::HoldOver,
                next = running.next() => match next {
                    Some((index, tried)) => copied.tried[index] = Some(tried),
                    None => break CopyEnd::All,
                },
            }
        };
        let waited_only = !begun.load(Relaxed) || outages != self.gates.store.outages();
        match end {
            CopyEnd::HoldOver if waited_only || self.gates.store.is_down() => (copied, CopyEnd::Waited),
            end => (copied, end),
        }
    }

    /// Copies what can be copied; a refusal of the plan is an outcome too. The transfer is boxed only once it runs, so that a
    /// long task's waiting attachments cost little.
    async fn copy_one(
        &self, index: usize, job: Result<Job, AttachmentFault>, attachment: Attachment,
    ) -> (usize, Tried) {
        match job {
            Ok(job) => (index, Box::pin(self.transfer.run(&job)).await),
            Err(refusal) => (index, Tried::refused(Outcome::failed(&attachment, &refusal, 0))),
        }
    }
}

impl Copied {
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
