//! Beside others, or alone: a message that may be what kills its processes takes nobody with it.
//!
//! The broker's count of deliveries raises suspicion and proves nothing: whoever was in hand beside the culprit has it too.
//! So a suspect is worked on alone, and only runs that were alone and never ended count against it. They stand in
//! [`super::suspects`], since nobody is left to settle anything when a process is killed.
//!
//! What has been alone for a minute and lives is let work on beside others: slow work would hold them up for nothing. Its run
//! counts no more then, whoever ends it; but the next one after such an end is alone to its own end, and counts.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::alone::{Alone, Beside, ByItself};
use super::lease::Held;
use super::outage::Gates;
use super::settings::Settings;
use super::stop::Stop;
use super::suspects::{Paper, Suspects};
use crate::domain::settlement::{DeadLetter, MessageBackoff, Reason, Settlement};
use crate::ports::crash;
use crate::ports::queue::Delivery;
use crate::ports::store::{Store, StoreError};

/// From so many unfinished deliveries on a message is a suspect.
const SUSPECT_FROM: u32 = 3;
/// How long a delivery waits in hand until it may begin. Then it goes back, so that it is somebody else's or waits there: on
/// AMQP a delivery may not be in hand for longer than the broker's patience.
const BEGIN_WITHIN: Duration = Duration::from_secs(5);
/// How long a suspect waits for all others to end before they are asked to make way.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a suspect's first runs are alone.
const ALONE_FOR: Duration = Duration::from_secs(60);
/// How long a worker that was told to let go may take to note that a run has ended.
const NOTE_WITHIN_CUT: Duration = Duration::from_secs(3);

/// How far work on a delivery goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// All the way.
    Whole,
    /// Only to what is there already: without it the message is given up.
    Look,
}

/// How work on a delivery ended before its settlement.
#[derive(Debug)]
pub enum Verdict {
    /// Settle it so.
    Settle(Settlement),
    /// It is not ours any more: leave it.
    Leave,
}

/// Work that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What to do with its delivery.
    pub verdict: Verdict,
    /// Its place: whoever waits for it goes on when this is dropped, which is when the delivery is settled.
    pub place: Place,
}

/// Beside whom work was done.
#[derive(Debug)]
pub enum Place {
    /// It was not begun.
    Nowhere,
    /// Beside others.
    Beside(Beside),
    /// Alone.
    ByItself(ByItself),
}

/// Keeps suspects alone in their process. Clones share it.
#[derive(Clone)]
pub struct Isolation {
    alone: Arc<Alone>,
    suspects: Suspects,
    most_runs: u32,
    backoff: MessageBackoff,
    stop: Stop,
}

impl Isolation {
    /// Isolation for all workers of a process, with its papers in `store`.
    #[must_use]
    pub fn new(store: &Arc<dyn Store>, gates: &Gates, settings: &Settings, stop: &Stop) -> Self {
        Self {
            alone: Arc::default(),
            suspects: Suspects::new(Arc::clone(store), gates.store.clone()),
            most_runs: settings.max_attempts,
            backoff: settings.backoff,
            stop: stop.clone(),
        }
    }

    /// Waits until nobody is alone or waits for it: for those who bring work.
    pub async fn nobody_is_alone(&self) {
        self.alone.nobody_is().await;
    }

    /// Does `work` on `delivery`: beside others, or alone if it is a suspect. Dropped, it counts as a run that never ended.
    pub async fn run<W>(&self, delivery: &Delivery, held: &Held, work: impl FnOnce(Effort) -> W) -> Ended
    where
        W: Future<Output = Verdict>,
    {
        if delivery.unfinished < SUSPECT_FROM {
            self.run_beside(held, work(Effort::Whole)).await
        } else {
            self.run_alone(delivery, held, work).await
        }
    }

    async fn run_beside(&self, held: &Held, work: impl Future<Output = Verdict>) -> Ended {
        let Ok(beside) = timeout(BEGIN_WITHIN, self.alone.beside()).await else {
            return Ended { verdict: put_off(Duration::ZERO), place: Place::Nowhere };
        };
        let verdict = tokio::select! {
            biased;
            () = held.was_lost() => Verdict::Leave,
            () = self.alone.must_make_way() => hand_back(Duration::ZERO),
            verdict = work => verdict,
        };
        Ended { verdict, place: Place::Beside(beside) }
    }

    async fn run_alone<W>(&self, delivery: &Delivery, held: &Held, work: impl FnOnce(Effort) -> W) -> Ended
    where
        W: Future<Output = Verdict>,
    {
        let waiting = async {
            let turn = timeout(BEGIN_WITHIN, self.alone.turn()).await.ok()?;
            Some(self.alone.by_itself(turn, PATIENCE).await)
        };
        let by_itself = tokio::select! {
            biased;
            () = held.was_lost() => return Ended { verdict: Verdict::Leave, place: Place::Nowhere },
            () = self.stop.was_cut() => None,
            by_itself = waiting => by_itself,
        };
        match by_itself {
            Some(by_itself) => self.work_alone(delivery, held, by_itself, work).await,
            // Only what runs alone can prove anything: who did not get there goes back as it came.
            None => Ended { verdict: put_off(self.backoff.base), place: Place::Nowhere },
        }
    }

    /// Works on a suspect while nothing else is in hand.
    async fn work_alone<W>(
        &self, delivery: &Delivery, held: &Held, by_itself: ByItself, work: impl FnOnce(Effort) -> W,
    ) -> Ended
    where
        W: Future<Output = Verdict>,
    {
        let paper = match self.begin(delivery).await {
            Ok(paper) => paper,
            Err(verdict) => return Ended { verdict, place: Place::ByItself(by_itself) },
        };
        let effort = if paper.unended_runs == self.most_runs { Effort::Look } else { Effort::Whole };
        crash::point("suspect-noted");
        let ended = self.until_shared(delivery, held, (paper, by_itself), work(effort)).await;
        // It ended, so this run proves nothing against it. What it decided itself clears it of the earlier ones too.
        let left = match &ended.verdict {
            Verdict::Settle(Settlement::HandBack { .. } | Settlement::PutOff { .. }) | Verdict::Leave => paper,
            Verdict::Settle(Settlement::Done | Settlement::Retry { .. } | Settlement::DeadLetter(_)) => {
                Paper::default()
            }
        };
        self.note_end(delivery, held, left).await;
        ended
    }

    /// Notes a run that begins, and returns what stood there before; or gives the message up.
    async fn begin(&self, delivery: &Delivery) -> Result<Paper, Verdict> {
        let message = &delivery.message;
        let paper = self.suspects.paper(message).await.map_err(|error| self.store_is_broken(&error))?;
        if paper.unended_runs > self.most_runs {
            // Even looking for what is there has killed a process. A replay begins anew.
            let forgotten = self.suspects.note(message, Paper::default()).await;
            forgotten.map_err(|error| self.store_is_broken(&error))?;
            return Err(self.exhausted(delivery));
        }
        let unended = paper.unended_runs;
        info!(message.id = message.id, unfinished = delivery.unfinished, unended, "working alone on a suspect");
        let begun = Paper { unended_runs: unended + 1, ..paper };
        self.suspects.note(message, begun).await.map_err(|error| self.store_is_broken(&error))?;
        Ok(paper)
    }

    /// Works alone to the end, or for long, and then beside others.
    async fn until_shared(
        &self, delivery: &Delivery, held: &Held, (paper, by_itself): (Paper, ByItself),
        work: impl Future<Output = Verdict>,
    ) -> Ended {
        tokio::pin!(work);
        let outliving = async {
            if paper.outlived {
                std::future::pending::<()>().await;
            }
            sleep(ALONE_FOR).await;
            self.suspects.note(&delivery.message, Paper { outlived: true, ..paper }).await
        };
        let alone = tokio::select! {
            biased;
            () = held.was_lost() => Some(Verdict::Leave),
            verdict = &mut work => Some(verdict),
            Ok(()) = outliving => None,
        };
        if let Some(verdict) = alone {
            return Ended { verdict, place: Place::ByItself(by_itself) };
        }
        info!(message.id = delivery.message.id, "a suspect has been alone for long: it goes on beside others");
        let beside = by_itself.share();
        let verdict = tokio::select! {
            biased;
            () = held.was_lost() => Verdict::Leave,
            () = self.alone.must_make_way() => hand_back(Duration::ZERO),
            verdict = work => verdict,
        };
        Ended { verdict, place: Place::Beside(beside) }
    }

    /// Takes the run back that was noted before it began.
    async fn note_end(&self, delivery: &Delivery, held: &Held, left: Paper) {
        let noting = self.suspects.note(&delivery.message, left);
        let cut = async {
            self.stop.was_cut().await;
            sleep(NOTE_WITHIN_CUT).await;
        };
        let noted = tokio::select! {
            biased;
            noted = noting => noted,
            () = cut => return warn!("could not note that a suspect's run has ended: it counts as unended"),
            () = async { held.was_lost().await; sleep(NOTE_WITHIN_CUT).await } => return,
        };
        if let Err(error) = noted {
            warn!(%error, "could not note that a suspect's run has ended: it counts as unended");
        }
    }

    /// The end of a message that was worked on alone too often and never to its end.
    #[must_use]
    pub fn exhausted(&self, delivery: &Delivery) -> Verdict {
        let runs = self.most_runs;
        let detail =
            format!("{runs} deliveries that were worked on alone never ended: each may have killed its process");
        let (reason, attempts) = (Reason::AttemptsExhausted, delivery.attempts);
        Verdict::Settle(Settlement::DeadLetter(DeadLetter { reason, detail, attempts }))
    }

    fn store_is_broken(&self, error: &StoreError) -> Verdict {
        warn!(%error, "internal storage holds what cannot be; a suspect waits");
        hand_back(self.backoff.max)
    }
}

/// Gives a delivery back that was begun.
pub(super) fn hand_back(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::HandBack { delay })
}

/// For a delivery that nobody has begun.
pub(super) fn put_off(delay: Duration) -> Verdict {
    Verdict::Settle(Settlement::PutOff { delay })
}
