//! The dead-letter queue as an operator works it.
//!
//! SQS cannot be read without receiving, so each call receives all there is, hidden from others for [`HIDDEN_SECS`] at most,
//! and gives back what stays. A call goes on to its end when its future is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::SqsOptions;
use super::address::BadQueueUrl;
use super::letter::Letter;
use super::parcel::Parcel;
use super::queue::{Core, post};
use super::requests::BATCH_MAX;
use super::sweep::{Found, Sweep};
use super::terms;
use super::trouble::Trouble;
use crate::ports::queue::{Chosen, DeadLetters, DeadMessage, QueueError};

/// How long a message that is looked at is hidden from others.
pub(super) const HIDDEN_SECS: i32 = 60;

/// The dead letters of a task queue, and of others that share the dead-letter queue with it, on SQS.
pub struct SqsDeadLetters(Arc<Homes>);

/// Where dead letters came from.
struct Homes {
    /// The task queue.
    tasks: Core,
    /// The others, which have names.
    others: Vec<Core>,
}

impl Homes {
    /// The queue that a dead letter came from, as far as we know it.
    fn of(&self, found: &Found) -> &Core {
        let named = found.parcel.dead.as_ref().and_then(|dead| dead.queue.as_deref());
        self.others.iter().find(|other| named.is_some() && other.name == named).unwrap_or(&self.tasks)
    }
}

/// What is done with a chosen message before it leaves the dead-letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Replay,
    Purge,
}

impl SqsDeadLetters {
    /// Makes it; nothing is asked yet.
    ///
    /// # Errors
    /// When a URL cannot be a queue's.
    pub fn new(options: &SqsOptions) -> Result<Self, BadQueueUrl> {
        Self::shared(options, &[])
    }

    /// The same where others share the dead-letter queue, whose options have names: what came from one is put back on it.
    ///
    /// # Errors
    /// When a URL cannot be a queue's.
    pub fn shared(tasks: &SqsOptions, others: &[SqsOptions]) -> Result<Self, BadQueueUrl> {
        let others = others.iter().map(Core::new).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Arc::new(Homes { tasks: Core::new(tasks)?, others })))
    }

    async fn dispose(&self, chosen: &Chosen, fate: Fate) -> Result<u64, QueueError> {
        let (homes, chosen) = (Arc::clone(&self.0), chosen.clone());
        to_its_end(async move { dispose(&homes, &chosen, fate).await }).await
    }
}

#[async_trait]
impl DeadLetters for SqsDeadLetters {
    async fn list(&self, limit: usize) -> Result<Vec<DeadMessage>, QueueError> {
        let homes = Arc::clone(&self.0);
        to_its_end(async move { list(&homes.tasks, limit).await }).await
    }

    async fn replay(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        self.dispose(chosen, Fate::Replay).await
    }

    async fn purge(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        self.dispose(chosen, Fate::Purge).await
    }
}

/// Runs `work` to its end whatever becomes of the caller: half-way, messages would stay hidden.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
) -> Result<T, QueueError> {
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(QueueError::Unavailable(error.to_string())),
    }
}

async fn list(core: &Core, limit: usize) -> Result<Vec<DeadMessage>, Trouble> {
    terms::of(&core.dead).await?;
    let mut sweep = Sweep::new(core);
    let listed = gather(core, &mut sweep, limit).await;
    sweep.give_back().await;
    listed
}

async fn gather(core: &Core, sweep: &mut Sweep<'_>, limit: usize) -> Result<Vec<DeadMessage>, Trouble> {
    let mut oldest: Vec<(Age, DeadMessage)> = Vec::new();
    while let Some(batch) = sweep.next().await? {
        for found in batch {
            let parcel = core.stored.fetched(found.parcel.clone()).await?;
            oldest.push((age(&found), dead_message(&found, &parcel)));
            sweep.keep(found);
        }
        if oldest.len() > limit.saturating_add(1000) {
            cut(&mut oldest, limit);
        }
    }
    cut(&mut oldest, limit);
    Ok(oldest.into_iter().map(|(_, message)| message).collect())
}

/// Sorts dead letters by when they failed, then by when they came here.
type Age = (i64, i64, String);

fn age(found: &Found) -> Age {
    let failed_at = found.parcel.dead.as_ref().and_then(|dead| dead.failed_at);
    let failed_ms = failed_at.map_or(found.sent_ms, jiff::Timestamp::as_millisecond);
    (failed_ms, found.sent_ms, found.sequence.clone())
}

fn cut(letters: &mut Vec<(Age, DeadMessage)>, limit: usize) {
    letters.sort_by(|(one, _), (other, _)| one.cmp(other));
    letters.truncate(limit);
}

fn dead_message(found: &Found, parcel: &Parcel) -> DeadMessage {
    // What lies here without a reason of ours was put here by SQS's own redrive policy, or by hand.
    let dead = parcel.dead.clone().unwrap_or_default();
    let reason = if dead.reason.is_empty() { "unknown".to_owned() } else { dead.reason };
    DeadMessage {
        id: found.id.clone(),
        reason,
        detail: dead.detail,
        attempts: parcel.attempts,
        failed_at: dead.failed_at,
        body: parcel.body.clone(),
        attributes: parcel.text_attributes(),
    }
}

async fn dispose(homes: &Homes, chosen: &Chosen, fate: Fate) -> Result<u64, Trouble> {
    if fate == Fate::Replay {
        homes.tasks.terms().await?;
    }
    terms::of(&homes.tasks.dead).await?;
    let mut sweep = Sweep::new(&homes.tasks);
    let disposed = dispose_chosen(homes, &mut sweep, chosen, fate).await;
    sweep.give_back().await;
    disposed
}

async fn dispose_chosen(homes: &Homes, sweep: &mut Sweep<'_>, chosen: &Chosen, fate: Fate) -> Result<u64, Trouble> {
    let begun = homes.tasks.clock.now();
    // What is dead-lettered while we work is left for the next call: a replay may fail at once and come back.
    let is_chosen = |found: &Found| {
        let failed_at = found.parcel.dead.as_ref().and_then(|dead| dead.failed_at);
        let named = match chosen {
            Chosen::All => true,
            Chosen::Ids(ids) => ids.contains(&found.id),
        };
        named && failed_at.is_none_or(|failed_at| failed_at <= begun)
    };
    let mut disposed = 0;
    while let Some(batch) = sweep.next().await? {
        let (go, stay): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_chosen);
        stay.into_iter().for_each(|found| sweep.keep(found));
        for few in go.chunks(BATCH_MAX) {
            let done = match fate {
                Fate::Replay => replay(homes, few).await,
                Fate::Purge => vec![Ok(()); few.len()],
            };
            disposed += remove(&homes.tasks, sweep, few, done).await?;
        }
    }
    Ok(disposed)
}

/// Puts messages back on the queues that they came from, each with its own outcome.
async fn replay(homes: &Homes, letters: &[Found]) -> Vec<Result<(), Trouble>> {
    let one = async |found: &Found| {
        let core = homes.of(found);
        let parcel = core.stored.fetched(found.parcel.clone()).await?;
        let raised = parcel.raised();
        let letter = match Letter::bare(&raised) {
            // Others may read the queue too: what has no room beside our mark goes without it.
            Some(bare) if !Letter::of(&raised).holds_all_of(&raised) => bare,
            _ => core.stored.letter(&raised).await?,
        };
        let receives = found.receive_count.to_string();
        let by = [found.message_id.as_str(), receives.as_str(), "replay"];
        core.sends.ask(post(letter, Duration::ZERO, &by, &core.queue)).await?;
        Ok(())
    };
    futures::future::join_all(letters.iter().map(one)).await
}

/// Deletes the messages whose fate is done, and returns how many are gone; the others stay.
async fn remove(
    core: &Core, sweep: &mut Sweep<'_>, letters: &[Found], done: Vec<Result<(), Trouble>>,
) -> Result<u64, Trouble> {
    let mut trouble = None;
    let mut ready = HashMap::new();
    for (found, outcome) in letters.iter().zip(done) {
        match outcome {
            Ok(()) => {
                ready.insert(found.handle.clone(), found);
            }
            Err(error) => {
                trouble = Some(error);
                sweep.keep(found.clone());
            }
        }
    }
    let handles: Vec<_> = ready.keys().cloned().collect();
    let mut removed = 0;
    if !handles.is_empty() {
        for (handle, outcome) in handles.iter().zip(core.dead.delete(&handles).await) {
            match outcome {
                Ok(_) => removed += 1,
                Err(error) => {
                    trouble = Some(error);
                    sweep.keep(ready[handle].clone());
                }
            }
        }
    }
    trouble.map_or(Ok(removed), Err)
}
