//! Leads one task to its receipt: earlier work, the team, the copies, and what follows from them.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::Pipeline;
use super::copying::{Copied, CopyEnd};
use super::decoding::Wanted;
use super::settling::conflict;
use crate::domain::id::TeamId;
use crate::domain::receipt::{Ended, Outcome, Receipt, Status};
use crate::domain::settlement::{DeadLetter, Reason, Settlement};
use crate::engine::isolation::{Effort, Verdict, hand_back, put_off};
use crate::engine::lease::Held;
use crate::engine::receipts::{Earlier, cause_of};
use crate::engine::tally::Tally;
use crate::engine::webhooks::outbox;
use crate::ports::crash;
use crate::ports::queue::Delivery;
use crate::ports::store::StoreError;
use crate::ports::teams::{Lookup, TeamsUnavailable};

/// How long a second delivery of one task waits for the first; then it goes back, so that copies fill no places.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Where a task stands once it is decided.
pub(super) enum Decided {
    /// It has its receipt: tell of it.
    Announce(Box<Receipt>),
    /// It has none yet, or never will.
    End(Verdict),
}

impl Pipeline {
    /// Leads a task to its receipt, or to the reason why it has none yet.
    pub(super) async fn decide(&self, wanted: &Wanted, delivery: &Delivery, held: &Held, effort: Effort) -> Decided {
        let task = &wanted.task;
        crash::point_of("task-begun", &task.task_id);
        let name = (task.team.clone(), task.task_id.clone());
        let Ok(_turn) = timeout(TURN_WITHIN, self.in_work.turn(&name)).await else {
            return Decided::End(hand_back(self.settings.backoff.base));
        };
        let round = match self.receipts.earlier(task, wanted.digest, delivery).await {
            Ok(Earlier::Ended(receipt)) => {
                info!(task.id = %task.task_id, team = %task.team, round = receipt.round, "task {} of {} had ended before: announcing its receipt again", task.task_id, task.team);
                return Decided::Announce(receipt);
            }
            Ok(Earlier::Conflict) => return Decided::End(conflict(delivery)),
            Ok(Earlier::Open { .. }) if effort == Effort::Look => {
                return Decided::End(self.isolation.exhausted(delivery));
            }
            Ok(Earlier::Open { round }) => round,
            Err(error) => return Decided::End(self.store_is_broken(&error)),
        };
        let team = match self.look_up(&task.team).await {
            Lookup::Known(team) => team,
            Lookup::Unknown => {
                return Decided::End(self.unknown_team(format!("no team {} is known", task.team), delivery));
            }
        };
        let ended = Ended {
            round,
            attempt: delivery.attempts.saturating_add(1),
            started_at: self.clock.now(),
            finished_at: self.clock.now(),
            began_by: Some(cause_of(delivery)),
            warnings: outbox::warning(self.webhooks.as_ref(), task, &team).into_iter().collect(),
        };
        let look = !delivery.is_first() || self.begun.knows(&name);
        let copied = self.copy_all(task, &team, round, look, held).await;
        self.begun.note(&name);
        self.conclude(wanted, ended, copied, delivery).await
    }

    pub(super) async fn look_up(&self, team: &TeamId) -> Lookup {
        let is_outage = |_: &TeamsUnavailable| true;
        match self.gates.teams.until_answered(is_outage, || self.teams.team(team)).await {
            Ok(lookup) => {
                self.records.note(team, &lookup).await;
                lookup
            }
            Err(_) => unreachable!("every error of a directory is an outage"),
        }
    }

    /// Decides from what was copied whether the task has ended, and writes its receipt if it has.
    async fn conclude(
        &self, wanted: &Wanted, ended: Ended, (copied, end): (Copied, CopyEnd), delivery: &Delivery,
    ) -> Decided {
        match end {
            CopyEnd::Lost => return Decided::End(Verdict::Leave),
            CopyEnd::Waited => return Decided::End(hand_back(self.settings.backoff.base)),
            CopyEnd::Waits(delay) if copied.has_begun() => return Decided::End(hand_back(delay)),
            CopyEnd::Waits(delay) => return Decided::End(put_off(delay)),
            CopyEnd::Cut | CopyEnd::RightsChanged => return Decided::End(hand_back(Duration::ZERO)),
            CopyEnd::HoldOver if copied.stored_any() => {
                return Decided::End(hand_back(self.settings.backoff.base));
            }
            CopyEnd::All | CopyEnd::HoldOver => {}
        }
        let wished = copied.come_back();
        let outcomes = copied.into_outcomes(&wanted.task);
        let is_last = ended.attempt >= self.settings.max_attempts;
        if !is_last && outcomes.iter().any(Outcome::is_retryable) {
            let failed = outcomes.iter().filter(|outcome| outcome.is_retryable()).count();
            let task = &wanted.task;
            info!(task.id = %task.task_id, team = %task.team, attempt = ended.attempt, failed, "task {} of {} is tried again later: {failed} attachments failed in passing", task.task_id, task.team);
            return Decided::End(self.retry(ended.attempt, wished));
        }
        let ended = Ended { finished_at: self.clock.now(), ..ended };
        let receipt = Receipt::of(&wanted.task, wanted.digest, ended, outcomes);
        match self.receipts.decide(receipt).await {
            Ok(written) if written.task_digest == wanted.digest => {
                crash::point("receipt-written");
                self.count(&written);
                Decided::Announce(Box::new(written))
            }
            Ok(_) => Decided::End(conflict(delivery)),
            Err(error) => Decided::End(self.store_is_broken(&error)),
        }
    }

    fn count(&self, receipt: &Receipt) {
        let counter = match receipt.status {
            Status::Completed => &self.tally.completed,
            Status::Partial => &self.tally.partial,
            Status::Failed => &self.tally.failed,
        };
        Tally::add(counter);
        for error in receipt.attachments.iter().filter_map(|outcome| outcome.error.as_ref()) {
            self.tally.add_failed(error.code);
        }
        info!(
            task.id = %receipt.task_id, team = %receipt.team, status = receipt.status.as_str(),
            stored = receipt.counts.stored, failed = receipt.counts.failed,
            "task {} of {} ended: {}", receipt.task_id, receipt.team, receipt.status.as_str()
        );
    }

    /// A team that no directory knows may be on its way there.
    pub(super) fn unknown_team(&self, detail: String, delivery: &Delivery) -> Verdict {
        let attempts = delivery.attempts.saturating_add(1);
        if attempts < self.settings.max_attempts {
            return self.retry(attempts, None);
        }
        Verdict::Settle(Settlement::DeadLetter(DeadLetter { reason: Reason::UnknownTeam, detail, attempts }))
    }

    /// The store answers, and what it says cannot be: a person must look. Nothing is used up meanwhile.
    pub(super) fn store_is_broken(&self, error: &StoreError) -> Verdict {
        warn!(%error, "internal storage holds what cannot be; the message waits");
        hand_back(self.settings.backoff.max)
    }
}
