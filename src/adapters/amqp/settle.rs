//! How deliveries end: acknowledged, given back, or replaced by a copy.
//!
//! A copy is confirmed by the broker before the delivery that it replaces is acknowledged: a crash between the two doubles
//! the message and never loses it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::ShortString;

use super::connection::answered;
use super::headers::{self, ATTEMPTS, DETAIL, FAILED_AT, NOT_BEFORE, OwnHeader, QUEUE, REASON, UNFINISHED};
use super::ladder::tier_for;
use super::outbox::{Letter, Outbox};
use super::packing::{self, Packing, PutOff};
use super::parcel::{self, Packed};
use super::shelf::Held;
use super::topology::Queues;
use crate::domain::message::whose;
use crate::domain::settlement::{DeadLetter, Settlement};
use crate::ports::crash;
use crate::ports::queue::QueueError;

/// The longest detail beside a dead letter: all headers must fit into one frame of 128 KiB with the sender's.
const DETAIL_BYTES_MAX: usize = 2_000;

/// Settles deliveries.
pub(super) struct Settler {
    pub(super) outbox: Arc<Outbox>,
    pub(super) queues: Queues,
    pub(super) packing: Arc<Packing>,
}

impl Settler {
    pub(super) fn new(outbox: Outbox, queues: Queues) -> Self {
        let outbox = Arc::new(outbox);
        Self { packing: Packing::new(Arc::clone(&outbox)), outbox, queues }
    }

    /// Ends `held` as `settlement` says.
    pub(super) async fn settle(&self, held: &Held, settlement: &Settlement) -> Result<(), QueueError> {
        match settlement {
            Settlement::Done => acknowledge(held).await,
            Settlement::Retry { attempts, delay } => {
                self.copy_after(held, *delay, vec![headers::own_number(ATTEMPTS, u64::from(*attempts))]).await
            }
            Settlement::HandBack { delay } if delay.is_zero() && held.unfinished == 0 => requeue(held).await,
            Settlement::HandBack { delay } => {
                // Somebody has worked on it, which the broker no longer knows of the copy. It would count up what it
                // takes back itself, and hand-backs must not add up to a suspicion.
                self.copy_after(held, *delay, carried(held, held.unfinished.max(1))).await
            }
            Settlement::PutOff { delay } if delay.is_zero() => self.give_back_unworked(held).await,
            Settlement::PutOff { delay } => self.put_off(held, *delay).await,
            Settlement::DeadLetter(letter) => {
                let mut own = dead_letter_headers(letter);
                if self.queues.shares_dead {
                    own.push(headers::own_text(QUEUE, self.queues.task.as_str()));
                }
                self.replace(held, self.queues.dead.clone(), &own).await
            }
        }
    }

    /// Gives back at once what nobody has worked on.
    pub(super) async fn give_back_unworked(&self, held: &Held) -> Result<(), QueueError> {
        if held.unfinished == 0 {
            return requeue(held).await;
        }
        self.replace(held, self.queues.task.clone(), &carried(held, held.unfinished)).await
    }

    /// Sends a delivery that came back too early on its way; nobody has worked on it.
    pub(super) async fn send_on(&self, held: &Held, rest: Duration) -> Result<(), QueueError> {
        let mut own = carried(held, held.unfinished);
        own.extend(due(held).map(|millis| headers::own_number(NOT_BEFORE, millis)));
        self.replace(held, self.queues.tier(tier_for(rest)), &own).await
    }

    /// Lets a parcel wait longer than it had to.
    pub(super) async fn keep_away(&self, held: &Held, delay: Duration) -> Result<(), QueueError> {
        self.copy_after(held, delay, carried(held, 0)).await
    }

    /// Returns how long `held` has to wait until it is due.
    pub(super) fn rest_of(&self, held: &Held) -> Duration {
        let rest = due(held).map_or(0, |due| due.saturating_sub(millis_now()));
        Duration::from_millis(rest)
    }

    /// Lets a delivery wait, with others that are put off.
    async fn put_off(&self, held: &Held, delay: Duration) -> Result<(), QueueError> {
        if held.acker.poisoned() {
            return Err(QueueError::LeaseLost);
        }
        let properties = headers::copied(&held.properties, &carried(held, held.unfinished));
        let team = whose(&held.body, &headers::attributes(&held.properties));
        let message = Packed { properties, body: held.body.clone() };
        let tier = self.queues.tier(tier_for(delay));
        self.packing.send(PutOff { tier, due: due_after(delay), team, message }).await?;
        crash::point("message-copied");
        acknowledge(held).await
    }

    /// Puts the messages of a parcel back on the task queue, each as it was before it was put off, and returns those for which the
    /// broker has no room or no ear.
    pub(super) async fn unpack(&self, messages: Vec<Packed>) -> Vec<Packed> {
        let sending = messages.into_iter().map(async |message| {
            let own = headers::kept(&message.properties, headers::count(&message.properties, UNFINISHED));
            let properties = headers::copied(&message.properties, &own);
            let letter = Letter::to_queue(self.queues.task.clone(), properties, message.body.clone());
            let sent = self.outbox.publish(&letter).await;
            sent.is_err().then_some(message)
        });
        join_all(sending).await.into_iter().flatten().collect()
    }

    /// Sends what is left of a parcel to a tier again, as a parcel.
    pub(super) async fn pack_again(&self, held: &Held, left: &[Packed], delay: Duration) -> Result<(), QueueError> {
        let (team, _) = parcel::contents(&held.properties);
        let letter = packing::parcel(self.queues.tier(tier_for(delay)), due_after(delay), team.as_ref(), left)?;
        Ok(self.outbox.publish(&letter).await?)
    }

    /// Ends a delivery of which everything is in a queue again.
    pub(super) async fn end(&self, held: &Held) -> Result<(), QueueError> {
        crash::point("message-copied");
        acknowledge(held).await
    }

    /// Gives a parcel back as it is: what the broker counts by that means nothing for it.
    pub(super) async fn give_parcel_back(&self, held: &Held) -> Result<(), QueueError> {
        requeue(held).await
    }

    async fn copy_after(&self, held: &Held, delay: Duration, mut own: Vec<OwnHeader>) -> Result<(), QueueError> {
        if delay.is_zero() {
            return self.replace(held, self.queues.task.clone(), &own).await;
        }
        own.push(headers::own_number(NOT_BEFORE, due_after(delay)));
        self.replace(held, self.queues.tier(tier_for(delay)), &own).await
    }

    async fn replace(&self, held: &Held, queue: ShortString, own: &[OwnHeader]) -> Result<(), QueueError> {
        if held.acker.poisoned() {
            return Err(QueueError::LeaseLost);
        }
        let properties = headers::copied(&held.properties, own);
        self.outbox.publish(&Letter::to_queue(queue, properties, held.body.clone())).await?;
        crash::point("message-copied");
        acknowledge(held).await
    }
}

/// The headers of ours that a copy keeps when nothing is counted.
fn carried(held: &Held, unfinished: u32) -> Vec<OwnHeader> {
    let mut own = headers::kept(&held.properties, unfinished);
    own.extend(parcel::marks(&held.properties));
    own
}

fn dead_letter_headers(letter: &DeadLetter) -> Vec<OwnHeader> {
    vec![
        headers::own_text(REASON, letter.reason.as_str()),
        headers::own_text(DETAIL, cut(&letter.detail)),
        headers::own_number(ATTEMPTS, u64::from(letter.attempts)),
        headers::own_text(FAILED_AT, Timestamp::now().to_string()),
    ]
}

/// Cuts `text` to [`DETAIL_BYTES_MAX`], between two characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(DETAIL_BYTES_MAX)]
}

async fn acknowledge(held: &Held) -> Result<(), QueueError> {
    answer(held, held.acker.ack(BasicAckOptions::default())).await
}

async fn requeue(held: &Held) -> Result<(), QueueError> {
    let options = BasicNackOptions { requeue: true, ..Default::default() };
    answer(held, held.acker.nack(options)).await
}

/// The broker answers none of these: what we learn is whether the channel still stood when ours was sent.
async fn answer(held: &Held, sending: impl Future<Output = lapin::Result<bool>>) -> Result<(), QueueError> {
    match answered(|| !held.acker.poisoned(), sending).await {
        Ok(true) => Ok(()),
        Ok(false) if held.acker.poisoned() => Err(QueueError::LeaseLost),
        // It was sent before: by a call that was dropped half-way, or by one that runs beside this one.
        Ok(false) => Ok(()),
        Err(trouble) => Err(QueueError::Unavailable(trouble.text().to_owned())),
    }
}

/// When a delivery is due, in milliseconds since 1970, if it was made to wait.
fn due(held: &Held) -> Option<u64> {
    headers::number(&held.properties, NOT_BEFORE)
}

/// The moment after `delay`, in milliseconds since 1970. One more, since both numbers are cut to whole milliseconds.
fn due_after(delay: Duration) -> u64 {
    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    millis_now().saturating_add(delay).saturating_add(1)
}

fn millis_now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_between_two_characters() {
        assert_eq!(cut("short"), "short");
        let long = format!("x{}", "ä".repeat(2_000));
        assert_eq!(cut(&long).len(), 1_999);
    }
}
