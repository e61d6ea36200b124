//! How deliveries end or go on: copies before deletes, and visibility where nothing must be written.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::batch::{Batcher, Sends};
use super::held::Held;
use super::parcel::{Parcel, due_after};
use super::queue::{Core, post, whole_secs};
use super::requests::Remote;
use super::trouble::Trouble;
use super::waiting::CountedAs;
use crate::domain::settlement::Settlement;
use crate::ports::crash;
use crate::ports::queue::{Extended, Lease, QueueError};

/// Waits below this are waits by visibility, where nothing must be written.
const BY_VISIBILITY_BELOW: Duration = Duration::from_secs(30);
/// The longest wait by visibility: SQS allows 12 h from the receive on.
const BY_VISIBILITY_MAX: Duration = Duration::from_secs(11 * 3600);

impl Core {
    /// See [`crate::ports::queue::Queue::settle`].
    pub(super) async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), Trouble> {
        let held = self.hand.get(lease).ok_or(Trouble::Lost)?;
        held.is_settling.store(true, SeqCst);
        let settled = self.settle_held(&held, settlement).await;
        held.is_settling.store(false, SeqCst);
        if matches!(settled, Ok(()) | Err(Trouble::Lost)) {
            self.hand.drop(lease);
        }
        settled
    }

    async fn settle_held(&self, held: &Held, settlement: &Settlement) -> Result<(), Trouble> {
        let now = self.clock.now();
        match settlement {
            Settlement::Done => self.delete(held).await,
            Settlement::Retry { attempts, delay } => {
                let copy = held.parcel.retried(*attempts, due_after(*delay, now));
                self.replace(held, &copy, *delay, "retry").await
            }
            Settlement::HandBack { delay } => self.hand_back(held, *delay).await,
            Settlement::PutOff { delay } => self.put_behind(held, *delay).await,
            Settlement::DeadLetter(letter) => {
                let copy = held.parcel.buried(letter, self.name, now);
                self.copy(held, &copy, Duration::ZERO, "dead", (&self.dead, &self.buries)).await?;
                self.delete(held).await
            }
        }
    }

    /// Hands a message back: by visibility as long as SQS's receive count does not add up, else as a copy that begins anew.
    async fn hand_back(&self, held: &Held, delay: Duration) -> Result<(), Trouble> {
        let by_visibility = self.queue.fifo || delay < BY_VISIBILITY_BELOW;
        if held.unfinished == 0 && by_visibility && !held.is_copied.load(SeqCst) {
            return self.hide(held, delay).await;
        }
        let copy = held.parcel.handed_back(held.unfinished, due_after(delay, self.clock.now()));
        self.replace(held, &copy, delay, "hand-back").await
    }

    /// Puts a message off that nobody has begun. SQS counts each receive, so only a copy is as new as it was.
    async fn put_behind(&self, held: &Held, delay: Duration) -> Result<(), Trouble> {
        let due = due_after(delay, self.clock.now());
        let copy = Parcel { unfinished: held.unfinished, not_before_ms: due, ..held.parcel.clone() };
        self.replace(held, &copy, delay, "put-off").await
    }

    /// Puts off a message that came too early, or renews one that has become old.
    pub(super) async fn put_off(&self, held: &Held, wait: Option<Duration>) -> Result<(), Trouble> {
        let wait = wait.unwrap_or_default();
        let by_visibility = self.queue.fifo || wait < BY_VISIBILITY_BELOW;
        let done = if by_visibility && !wait.is_zero() {
            self.hide(held, wait).await
        } else {
            let copy = Parcel { unfinished: held.unfinished, ..held.parcel.clone() };
            self.replace(held, &copy, wait, "put-off").await
        };
        self.hand.drop(&held.lease);
        done
    }

    async fn hide(&self, held: &Held, delay: Duration) -> Result<(), Trouble> {
        let delay = delay.min(BY_VISIBILITY_MAX);
        self.hides.ask((held.handle.clone(), whole_secs(delay))).await?;
        let now = self.clock.now();
        if let Some(due) = due_after(delay, now) {
            self.waiting.note(&held.message_id, due, CountedAs::Leased, now);
        }
        Ok(())
    }

    /// Puts a copy on the queue, then deletes the message.
    async fn replace(&self, held: &Held, copy: &Parcel, delay: Duration, purpose: &str) -> Result<(), Trouble> {
        let sent = self.copy(held, copy, delay, purpose, (&self.queue, &self.sends)).await?;
        let now = self.clock.now();
        if let (Some(message_id), Some(due)) = (sent, copy.not_before_ms) {
            let counted_as = if self.queue.fifo { CountedAs::Visible } else { CountedAs::Delayed };
            self.waiting.note(&message_id, due, counted_as, now);
        }
        self.delete(held).await
    }

    /// Makes a copy, once for each delivery, and returns SQS's id of it.
    async fn copy(
        &self, held: &Held, copy: &Parcel, delay: Duration, purpose: &str, (to, sends): (&Remote, &Batcher<Sends>),
    ) -> Result<Option<String>, Trouble> {
        if held.is_copied.load(SeqCst) {
            return Ok(None);
        }
        let letter = self.stored.letter(copy).await?;
        let receives = held.receive_count.to_string();
        let by = [held.message_id.as_str(), receives.as_str(), purpose];
        let sent = sends.ask(post(letter, delay, &by, to)).await?;
        held.is_copied.store(true, SeqCst);
        crash::point("message-copied");
        Ok(Some(sent))
    }

    async fn delete(&self, held: &Held) -> Result<(), Trouble> {
        self.deletes.ask(held.handle.clone()).await?;
        Ok(())
    }

    /// See [`crate::ports::queue::Queue::extend`].
    pub(super) async fn extend(&self, leases: &[Lease]) -> Extended {
        let secs = whole_secs(self.lease);
        let (mut extended, mut asked) = (Extended::default(), Vec::new());
        for lease in leases {
            match self.hand.get(lease) {
                None => extended.lost.push(lease.clone()),
                Some(held) if held.is_settling.load(SeqCst) => {}
                Some(held) => asked.push(held),
            }
        }
        let new_end = Instant::now() + self.lease;
        let entries = asked.iter().map(|held| (held.handle.clone(), secs)).collect();
        let mut cause = None;
        for (held, outcome) in asked.iter().zip(self.hides.ask_all(entries).await) {
            match outcome {
                Ok(_) => held.extend_to(new_end),
                // Whoever settled it meanwhile knows better.
                Err(Trouble::Lost) if self.hand.get(&held.lease).is_none() => {}
                Err(Trouble::Lost) => {
                    self.hand.drop(&held.lease);
                    extended.lost.push(held.lease.clone());
                }
                Err(trouble) => {
                    extended.unanswered.push(held.lease.clone());
                    cause = Some(trouble);
                }
            }
        }
        if let Some(cause) = cause {
            let (unanswered, asked) = (extended.unanswered.len(), asked.len());
            match QueueError::from(cause) {
                error @ QueueError::Refused(_) => warn!(%error, unanswered, asked, "leases cannot be extended"),
                error => debug!(%error, unanswered, asked, "leases could not be extended"),
            }
        }
        extended
    }
}
