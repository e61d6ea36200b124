//! One delivery, from its bytes to its settlement.
//!
//! The order is the guarantee: objects, then the receipt that names them, then the completion that tells of it, and only then
//! is the message settled. Stopped at any point, the next delivery finds what is done and goes on from there; it announces the
//! receipt it finds again, under the same id, rather than trusting that somebody has.
//!
//! [`isolation`] decides whether it is worked on beside others, [`copying`] holds the step in the middle: all attachments of
//! one task.

mod copying;
mod decoding;
mod isolation;
mod offering;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, info, warn};

use self::copying::{Copied, CopyEnd};
use self::decoding::{Wanted, Work, decode};
use super::alone::Alone;
use super::crash;
use super::in_work::InWork;
use super::lease::Held;
use super::outage::{Gates, wait_after};
use super::receipts::{Earlier, Receipts, cause_of};
use super::recent::Recent;
use super::settings::Settings;
use super::stop::Stop;
use super::suspects::Suspects;
use super::tally::Tally;
use super::transfer::Transfer;
use crate::domain::id::{TaskId, TeamId};
use crate::domain::plan::callback_warning;
use crate::domain::receipt::{Ended, Receipt, Status};
use crate::domain::settlement::{DeadLetter, Reason, Settlement};
use crate::domain::task::Task;
use crate::domain::team::KnownTeam;
use crate::ports::clock::Clock;
use crate::ports::publisher::{PublishError, Publisher};
use crate::ports::queue::{Delivery, Queue, QueueError};
use crate::ports::store::StoreError;
use crate::ports::teams::{Lookup, Teams, TeamsUnavailable};

/// How often a settlement is tried once the worker was told to let go.
const SETTLE_TRIES_CUT: u32 = 4;
/// How long a second delivery of one task waits for the first; then it goes back, so that copies fill no places.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// Works on deliveries.
pub struct Pipeline {
    /// Where deliveries are settled.
    pub queue: Arc<dyn Queue>,
    /// Where completions go; without one they are found in the receipts only.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// Who the teams are.
    pub teams: Arc<dyn Teams>,
    /// What has become of tasks.
    pub receipts: Receipts,
    /// Who must be worked on alone.
    pub alone: Arc<Alone>,
    /// What stands against them.
    pub suspects: Suspects,
    /// Copies attachments.
    pub transfer: Transfer,
    /// Tasks that are worked on now.
    pub in_work: InWork<(TeamId, TaskId)>,
    /// Tasks that a delivery of this process has begun and not ended: their copies may be there already, whichever message
    /// comes next.
    pub begun: Recent<(TeamId, TaskId)>,
    /// The time of day.
    pub clock: Clock,
    /// The deployment's settings.
    pub settings: Settings,
    /// What was done so far.
    pub tally: Arc<Tally>,
    /// What may be away.
    pub gates: Gates,
    /// When to let go.
    pub stop: Stop,
}

/// How work on a delivery ended before its settlement.
enum Verdict {
    /// Settle it so.
    Settle(Settlement),
    /// It is not ours any more: leave it.
    Leave,
}

/// How far work on a delivery goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// All the way.
    Whole,
    /// Only to a receipt that is there: without one the message is given up.
    Look,
}

/// Where a task stands once it is decided.
enum Decided {
    /// It has its receipt: tell of it.
    Announce(Box<Receipt>),
    /// It has none yet, or never will.
    End(Verdict),
}

impl Pipeline {
    async fn work(&self, delivery: &Delivery, held: &Held, effort: Effort) -> Verdict {
        let wanted = match decode(&delivery.message).await {
            Work::Task(wanted) => wanted,
            Work::Nothing(what) => {
                Tally::add(&self.tally.ignored);
                debug!(what, "nothing to do for this message");
                return Verdict::Settle(Settlement::Done);
            }
            Work::Undecodable(detail) => return dead(delivery, Reason::Undecodable, detail),
        };
        // Everything that waits for something away is raced with the two ends of waiting: `hold`, and being cut.
        let decided = tokio::select! {
            biased;
            () = self.stop.was_cut() => None,
            () = tokio::time::sleep(self.settings.hold) => None,
            decided = self.decide(&wanted, delivery, held, effort) => Some(decided),
        };
        match decided {
            Some(Decided::End(verdict)) => verdict,
            Some(Decided::Announce(receipt)) => self.announce(&receipt, delivery).await,
            None => hand_back(Duration::ZERO),
        }
    }

    /// Leads a task to its receipt, or to the reason why it has none yet.
    async fn decide(&self, wanted: &Wanted, delivery: &Delivery, held: &Held, effort: Effort) -> Decided {
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
                return Decided::End(isolation::exhausted(delivery, self.settings.max_attempts));
            }
            Ok(Earlier::Open { round }) => round,
            Err(error) => return Decided::End(self.store_is_broken(&error)),
        };
        let team = match self.look_up(&task.team).await {
            Lookup::Known(team) => team,
            Lookup::Unknown => return Decided::End(self.unknown_team(task, delivery)),
        };
        let ended = Ended {
            round,
            attempt: delivery.attempts.saturating_add(1),
            started_at: self.clock.now(),
            finished_at: self.clock.now(),
            began_by: Some(cause_of(delivery)),
            warnings: callback_warning(task).into_iter().collect(),
        };
        let look = !delivery.is_first() || self.begun.knows(&name);
        let copied = self.copy_all(task, &team, round, look, held).await;
        self.begun.note(&name);
        self.conclude(wanted, ended, copied, delivery).await
    }

    async fn look_up(&self, team: &TeamId) -> Lookup {
        let is_outage = |_: &TeamsUnavailable| true;
        match self.gates.teams.until_answered(is_outage, || self.teams.team(team)).await {
            Ok(lookup) => lookup,
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
            CopyEnd::Cut => return Decided::End(hand_back(Duration::ZERO)),
            CopyEnd::HoldOver if copied.stored_any() => {
                return Decided::End(hand_back(self.settings.backoff.base));
            }
            CopyEnd::All | CopyEnd::HoldOver => {}
        }
        let wished = copied.come_back();
        let outcomes = copied.into_outcomes(&wanted.task);
        let is_last = ended.attempt >= self.settings.max_attempts;
        if !is_last && outcomes.iter().any(crate::domain::receipt::Outcome::is_retryable) {
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

    /// Hands the completion on, then lets the message go. Waits as long as the broker is away; an event that nobody takes
    /// goes back to the queue and is tried again without end.
    async fn announce(&self, receipt: &Receipt, delivery: &Delivery) -> Verdict {
        let Some(publisher) = &self.publisher else {
            return Verdict::Settle(Settlement::Done);
        };
        let traceparent = delivery.message.attributes.get("traceparent").filter(|text| is_traceparent(text)).cloned();
        let event = self.receipts.event(receipt, traceparent);
        let is_outage = |error: &PublishError| matches!(error, PublishError::Unavailable(_));
        let publishing = self.gates.events.until_answered(is_outage, || publisher.publish(&event));
        match self.stop.unless_cut(publishing).await {
            Some(Ok(())) => {
                crash::point("event-published");
                Verdict::Settle(Settlement::Done)
            }
            Some(Err(error)) => {
                warn!(task.id = %receipt.task_id, team = %receipt.team, %error, "a completion was not taken; it is tried again");
                hand_back(self.wait_by_age(receipt))
            }
            None => hand_back(Duration::ZERO),
        }
    }

    /// Settles until it is done or the lease is lost: where a lease does not run out by itself, as on AMQP, a delivery that was
    /// merely left would be nobody's.
    async fn settle(&self, held: &Held, settlement: &Settlement) {
        let mut tries = 0;
        loop {
            match self.queue.settle(held.lease(), settlement).await {
                Ok(()) => {
                    crash::point("settled");
                    return self.count_settled(settlement);
                }
                Err(QueueError::LeaseLost) => break,
                Err(error) => debug!(%error, "a settlement was not taken"),
            }
            tokio::select! {
                () = held.was_lost() => break,
                () = self.stop.was_cut(), if tries >= SETTLE_TRIES_CUT => break,
                () = tokio::time::sleep(wait_after(tries)) => {}
            }
            tries += 1;
        }
        Tally::add(&self.tally.lost);
        info!("could not settle a delivery: it will come again and find its work done");
    }

    fn count_settled(&self, settlement: &Settlement) {
        match settlement {
            Settlement::Done => {}
            Settlement::Retry { .. } => Tally::add(&self.tally.retried),
            Settlement::HandBack { .. } => Tally::add(&self.tally.handed_back),
            Settlement::PutOff { .. } => Tally::add(&self.tally.put_off),
            Settlement::DeadLetter(letter) => {
                warn!(reason = %letter.reason, detail = letter.detail, "dead-lettered a message");
                Tally::add(&self.tally.dead);
            }
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

    fn retry(&self, attempts: u32, wished: Option<Duration>) -> Verdict {
        let delay = self.settings.backoff.after(attempts).max(wished.unwrap_or_default());
        Verdict::Settle(Settlement::Retry { attempts, delay: delay.min(self.settings.backoff.max) })
    }

    /// A wait that grows with what is waited for: doubled each time, by the receipt's age, within the message's delays.
    fn wait_by_age(&self, receipt: &Receipt) -> Duration {
        let age = self.clock.now().duration_since(receipt.finished_at);
        let age = Duration::try_from(age).unwrap_or_default();
        age.clamp(self.settings.backoff.base, self.settings.backoff.max)
    }

    fn unknown_team(&self, task: &Task, delivery: &Delivery) -> Verdict {
        let attempts = delivery.attempts.saturating_add(1);
        if attempts < self.settings.max_attempts {
            return self.retry(attempts, None);
        }
        let detail = format!("no team {} is known", task.team);
        Verdict::Settle(Settlement::DeadLetter(DeadLetter { reason: Reason::UnknownTeam, detail, attempts }))
    }

    /// The store answers, and what it says cannot be: a person must look. Nothing is used up meanwhile.
    fn store_is_broken(&self, error: &StoreError) -> Verdict {
        warn!(%error, "internal storage holds what cannot be; the message waits");
        hand_back(self.settings.backoff.max)
    }
}

fn hand_back(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::HandBack { delay })
}

/// For a delivery that nobody has begun.
fn put_off(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::PutOff { delay })
}

fn dead(delivery: &Delivery, reason: Reason, detail: String) -> Verdict {
    Verdict::Settle(Settlement::DeadLetter(DeadLetter { reason, detail, attempts: delivery.attempts }))
}

fn conflict(delivery: &Delivery) -> Verdict {
    dead(delivery, Reason::TaskConflict, "task_id was used before for a task with other content".to_owned())
}

/// Whether `text` has the form of a W3C `traceparent` of version 00: what has not is carried nowhere.
fn is_traceparent(text: &str) -> bool {
    let lengths = text.split('-').map(str::len).eq([2, 32, 16, 2]);
    lengths && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// The team that a delivery's work is done for, as it was when the work began.
type Team = Arc<KnownTeam>;
