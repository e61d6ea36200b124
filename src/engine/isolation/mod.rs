//! Beside others, or alone: a message that may be what kills its processes takes nobody with it.
//!
//! The broker's count of deliveries raises suspicion and proves nothing: whoever was in hand beside the culprit has it too.
//! So a suspect is worked on alone, and only runs that were alone and never ended count against it. They stand in
//! [`suspects`], since nobody is left to settle anything when a process is killed.
//!
//! What has been alone for a minute and lives is let work on beside others: slow work would hold them up for nothing. Its run
//! counts no more then, whoever ends it; but unless it ends by itself the next one is alone to its own end, and counts.
//!
//! A run that ended by itself answers for the deliveries before it, also where its message goes back: it is a suspect again only
//! after as many more.

mod alone;
mod suspects;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use self::alone::{Alone, Beside, ByItself};
use self::suspects::{Paper, Suspects};
pub use self::verdict::{Effort, Verdict};
pub(super) use self::verdict::{hand_back, put_off};
use super::lease::Held;
use super::outage::Gates;
use super::settings::Settings;
use super::stop::Stop;
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

/// Work that has ended.
#[derive(Debug)]
pub struct Ended {
    /// What to do with its delivery.
    pub verdict: Verdict,
    /// Its place: whoever waits for it goes on when this is dropped, which is when the delivery is settled.
    pub place: Place,
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
enum How {
    /// By itself.
    Itself,
    /// It was let go, with all that is in hand.
    LetGo,
    /// It made way for another suspect.
    MadeWay,
}

/// Where work was done, until dropped.
#[derive(Debug)]
pub struct Place(Floor);

/// Beside whom it was done.
#[derive(Debug)]
enum Floor {
    /// It was not begun.
    Nowhere,
    /// Beside others.
    Beside(#[expect(dead_code, reason = "held, not read")] Beside),
    /// Alone.
    ByItself(#[expect(dead_code, reason = "held, not read")] ByItself),
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
            return self.run_beside(held, work(Effort::Whole)).await;
        }
        match self.unless_ended(held, self.suspects.paper(&delivery.message)).await {
            Ok(paper) if delivery.unfinished < paper.cleared.saturating_add(SUSPECT_FROM) => {
                self.run_beside(held, work(Effort::Whole)).await
            }
            Ok(_) => self.run_alone(delivery, held, work).await,
            Err(verdict) => Ended { verdict, place: Place(Floor::Nowhere) },
        }
    }

    /// Settles what has ended. A suspect stays alone meanwhile; who works beside others makes way when one has waited for long,
    /// since a queue that is away may be waited for much longer.
    pub async fn settled<T>(&self, place: Place, settling: impl Future<Output = T>) -> T {
        if let Floor::ByItself(_) = &place.0 {
            return settling.await;
        }
        tokio::pin!(settling);
        tokio::select! {
            biased;
            done = &mut settling => return done,
            () = self.alone.must_make_way() => drop(place),
        }
        settling.await
    }

    async fn run_beside(&self, held: &Held, work: impl Future<Output = Verdict>) -> Ended {
        let Ok(beside) = timeout(BEGIN_WITHIN, self.alone.beside()).await else {
            return Ended { verdict: put_off(Duration::ZERO), place: Place(Floor::Nowhere) };
        };
        let verdict = tokio::select! {
            biased;
            () = held.was_lost() => Verdict::Leave,
            () = self.alone.must_make_way() => hand_back(Duration::ZERO),
            verdict = work => verdict,
        };
        Ended { verdict, place: Place(Floor::Beside(beside)) }
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
            () = held.was_lost() => return Ended { verdict: Verdict::Leave, place: Place(Floor::Nowhere) },
            () = self.stop.was_cut() => None,
            by_itself = waiting => by_itself,
        };
        match by_itself {
            Some(by_itself) => self.work_alone(delivery, held, by_itself, work).await,
            // Only what runs alone can prove anything: who did not get there goes back as it came.
            None => Ended { verdict: put_off(self.backoff.base), place: Place(Floor::Nowhere) },
        }
    }

    /// Works on a suspect while nothing else is in hand.
    async fn work_alone<W>(
        &self, delivery: &Delivery, held: &Held, by_itself: ByItself, work: impl FnOnce(Effort) -> W,
    ) -> Ended
    where
        W: Future<Output = Verdict>,
    {
        let paper = match self.begin(delivery, held).await {
            Ok(paper) => paper,
            Err(verdict) => return Ended { verdict, place: Place(Floor::ByItself(by_itself)) },
        };
        let effort = if paper.unended_runs == self.most_runs { Effort::Look } else { Effort::Whole };
        crash::point("suspect-noted");
        let (ended, how) = self.until_shared(delivery, held, (paper, by_itself), work(effort)).await;
        let left = match (how, &ended.verdict) {
            // What it decided itself clears it of earlier runs too.
            (_, Verdict::Settle(Settlement::Done | Settlement::Retry { .. } | Settlement::DeadLetter(_))) => {
                Paper::default()
            }
            (How::MadeWay, _) => Paper { outlived: true, ..paper },
            (How::LetGo, _) | (How::Itself, Verdict::Leave) => paper,
            // It ended, so its deliveries until now prove nothing against it.
            (How::Itself, Verdict::Settle(Settlement::HandBack { .. } | Settlement::PutOff { .. })) => {
                Paper { outlived: false, cleared: delivery.unfinished, ..paper }
            }
        };
        self.noted(held, self.suspects.note(&delivery.message, left)).await;
        ended
    }

    /// Notes a run that begins, and returns what stood there before; or gives the message up.
    async fn begin(&self, delivery: &Delivery, held: &Held) -> Result<Paper, Verdict> {
        let message = &delivery.message;
        let paper = self.unless_ended(held, self.suspects.paper(message)).await?;
        let unended = paper.unended_runs;
        if unended > self.most_runs {
            // Even looking for what is there has killed a process. A replay begins anew.
            self.unless_ended(held, self.suspects.note(message, Paper::default())).await?;
            return Err(self.exhausted(delivery));
        }
        info!(message.id = message.id, unfinished = delivery.unfinished, unended, "working alone on a suspect");
        let begun = Paper { unended_runs: unended + 1, ..paper };
        if let Err(verdict) = self.unless_ended(held, self.suspects.note(message, begun)).await {
            // It may be written all the same.
            self.noted(held, self.suspects.note(message, paper)).await;
            return Err(verdict);
        }
        Ok(paper)
    }

    /// Works alone to the end, or for long, and then beside others.
    async fn until_shared(
        &self, delivery: &Delivery, held: &Held, (paper, by_itself): (Paper, ByItself),
        work: impl Future<Output = Verdict>,
    ) -> (Ended, How) {
        tokio::pin!(work);
        let long = async {
            match paper.outlived {
                true => std::future::pending().await,
                false => sleep(ALONE_FOR).await,
            }
        };
        let alone = |verdict, by_itself| (Ended { verdict, place: Place(Floor::ByItself(by_itself)) }, self.how());
        tokio::select! {
            biased;
            () = held.was_lost() => return alone(Verdict::Leave, by_itself),
            verdict = &mut work => return alone(verdict, by_itself),
            () = long => {}
        }
        let outlived = Paper { outlived: true, ..paper };
        let noting = self.noted(held, self.suspects.note(&delivery.message, outlived));
        tokio::pin!(noting);
        tokio::select! {
            biased;
            verdict = &mut work => {
                // Written to its end: what is noted next must not be overtaken.
                noting.await;
                return alone(verdict, by_itself);
            }
            () = &mut noting => {}
        }
        info!(message.id = delivery.message.id, "a suspect has been alone for long: it goes on beside others");
        let beside = Place(Floor::Beside(by_itself.share()));
        tokio::select! {
            biased;
            () = held.was_lost() => (Ended { verdict: Verdict::Leave, place: beside }, self.how()),
            () = self.alone.must_make_way() => (Ended { verdict: hand_back(Duration::ZERO), place: beside }, How::MadeWay),
            verdict = work => (Ended { verdict, place: beside }, self.how()),
        }
    }

    /// How what has ended just now did so.
    fn how(&self) -> How {
        if self.stop.is_cut() { How::LetGo } else { How::Itself }
    }

    /// Asks the store unless the delivery ends meanwhile; what ends it otherwise is an error.
    async fn unless_ended<T>(
        &self, held: &Held, asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, Verdict> {
        tokio::select! {
            biased;
            answer = asking => answer.map_err(|error| {
                warn!(%error, "internal storage holds what cannot be; a suspect waits");
                hand_back(self.backoff.max)
            }),
            () = held.was_lost() => Err(Verdict::Leave),
            () = self.stop.was_cut() => Err(put_off(self.backoff.base)),
        }
    }

    /// Writes a paper, as long as there is time for it.
    async fn noted(&self, held: &Held, noting: impl Future<Output = Result<(), StoreError>>) {
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
}
