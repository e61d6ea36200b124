//! Beside others, or alone: a message that may be what kills its processes takes nobody with it.
//!
//! The broker's count of deliveries raises suspicion and proves nothing: whoever was in hand beside the culprit has it too.
//! So a suspect is worked on alone, and only runs that were alone and never ended count against it. They stand in
//! [`crate::engine::suspects`], since nobody is left to settle anything when a process is killed.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::settling::{Verdict, dead, hand_back, put_off};
use super::{Effort, Pipeline};
use crate::domain::settlement::{Reason, Settlement};
use crate::engine::lease::Held;
use crate::engine::tally::Tally;
use crate::ports::crash;
use crate::ports::queue::Delivery;

/// From so many unfinished deliveries on a message is a suspect.
const SUSPECT_FROM: u32 = 3;
/// How long a delivery waits in hand until it may begin. Then it goes back, so that it is somebody else's or waits there: on
/// AMQP a delivery may not be in hand for longer than the broker's patience.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);
/// How long a suspect waits for all others to end before they are asked to make way.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a worker that was told to let go may take to note that a run has ended.
const NOTE_WITHIN_CUT: Duration = Duration::from_secs(3);

impl Pipeline {
    /// Works on `delivery` until it is settled, handed back or lost: beside others, or alone if it is a suspect.
    pub async fn run(&self, delivery: Delivery, held: Held) {
        if delivery.unfinished < SUSPECT_FROM {
            self.run_beside(&delivery, &held).await;
        } else {
            self.run_alone(&delivery, &held).await;
        }
    }

    /// Puts a delivery off that was not begun.
    pub async fn put_off(&self, held: &Held, delay: Duration) {
        self.settle(held, &Settlement::PutOff { delay }).await;
    }

    async fn run_beside(&self, delivery: &Delivery, held: &Held) {
        let Ok(_beside) = timeout(BEGIN_WITHIN, self.alone.beside()).await else {
            return self.end(delivery, held, put_off(Duration::ZERO)).await;
        };
        let verdict = tokio::select! {
            biased;
            () = held.was_lost() => Verdict::Leave,
            () = self.alone.must_make_way() => hand_back(Duration::ZERO),
            verdict = self.work(delivery, held, Effort::Whole) => verdict,
        };
        self.end(delivery, held, verdict).await;
    }

    async fn run_alone(&self, delivery: &Delivery, held: &Held) {
        let waiting = async {
            let turn = timeout(BEGIN_WITHIN, self.alone.turn()).await.ok()?;
            Some(self.alone.by_itself(turn, PATIENCE).await)
        };
        let by_itself = tokio::select! {
            biased;
            () = held.was_lost() => return self.end(delivery, held, Verdict::Leave).await,
            () = self.stop.was_cut() => None,
            by_itself = waiting => by_itself,
        };
        // Only what runs alone can prove anything: who did not get there goes back as it came.
        let verdict = match &by_itself {
            Some(_) => self.work_alone(delivery, held).await,
            None => put_off(self.settings.backoff.base),
        };
        self.end(delivery, held, verdict).await;
    }

    /// Works on a suspect while nothing else is in hand.
    async fn work_alone(&self, delivery: &Delivery, held: &Held) -> Verdict {
        let message = &delivery.message;
        let unended = match self.suspects.unended_runs(message).await {
            Ok(unended) => unended,
            Err(error) => return self.store_is_broken(&error),
        };
        let most = self.settings.max_attempts;
        if unended > most {
            // Even looking for its receipt has killed a process.
            return self.exhausted(delivery, most).await;
        }
        let effort = if unended == most { Effort::Look } else { Effort::Whole };
        info!(message.id = message.id, unfinished = delivery.unfinished, unended, "working alone on a suspect");
        if let Err(error) = self.suspects.note(message, unended + 1).await {
            return self.store_is_broken(&error);
        }
        crash::point("suspect-noted");
        let verdict = tokio::select! {
            biased;
            () = held.was_lost() => Verdict::Leave,
            verdict = self.work(delivery, held, effort) => verdict,
        };
        // It ended, so this run proves nothing against it. What it decided itself clears it of the earlier ones too.
        let left = match &verdict {
            Verdict::Settle(Settlement::HandBack { .. } | Settlement::PutOff { .. }) | Verdict::Leave => unended,
            Verdict::Settle(Settlement::Done | Settlement::Retry { .. } | Settlement::DeadLetter(_)) => 0,
        };
        self.note_end(delivery, held, left).await;
        verdict
    }

    /// Takes the run back that was noted before it began.
    async fn note_end(&self, delivery: &Delivery, held: &Held, left: u32) {
        let noting = self.suspects.note(&delivery.message, left);
        let cut = async {
            self.stop.was_cut().await;
            tokio::time::sleep(NOTE_WITHIN_CUT).await;
        };
        let noted = tokio::select! {
            biased;
            noted = noting => noted,
            () = cut => return warn!("could not note that a suspect's run has ended: it counts as unended"),
            () = async { held.was_lost().await; tokio::time::sleep(NOTE_WITHIN_CUT).await } => return,
        };
        if let Err(error) = noted {
            warn!(%error, "could not note that a suspect's run has ended: it counts as unended");
        }
    }

    /// Gives a message up, and forgets what was held against it: a replay begins anew.
    async fn exhausted(&self, delivery: &Delivery, runs: u32) -> Verdict {
        if let Err(error) = self.suspects.note(&delivery.message, 0).await {
            return self.store_is_broken(&error);
        }
        exhausted(delivery, runs)
    }

    /// Ends a delivery as was decided.
    async fn end(&self, delivery: &Delivery, held: &Held, verdict: Verdict) {
        match verdict {
            Verdict::Settle(settlement) => self.settle(held, &settlement).await,
            Verdict::Leave => {
                Tally::add(&self.tally.lost);
                info!(message.id = delivery.message.id, "lost the lease on a delivery: leaving it to whoever has it");
            }
        }
    }
}

/// The end of a message that was worked on alone `runs` times and never to its end.
pub(super) fn exhausted(delivery: &Delivery, runs: u32) -> Verdict {
    let detail = format!("{runs} deliveries that were worked on alone never ended: each may have killed its process");
    dead(delivery, Reason::AttemptsExhausted, detail)
}
