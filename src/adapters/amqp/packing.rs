//! What is put off at about the same time goes in one parcel.
//!
//! What is put off alone goes alone, as a message that anybody can read. Of many that come within milliseconds, and while others are
//! under way, the broker has one message to write and to confirm for a hundred.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::headers::{self, NOT_BEFORE};
use super::outbox::{Letter, Outbox};
use super::parcel::{self, Packed};
use super::trouble::Trouble;
use crate::domain::id::TeamId;

/// How many parcels are under way at once.
const CARRIERS_MAX: usize = 8;

/// How long a carrier waits for more before it goes: a moment beside the second and more that a message is put off.
const FILLS_FOR: Duration = Duration::from_millis(5);

/// With so many messages in a parcel, or half of the bytes that it may have, there is a crowd, and for so long after the last one.
const CROWD: usize = 32;
const CROWD_FOR: Duration = Duration::from_secs(2);

/// How many milliseconds before or after the first message of a parcel its others may be due. It is due with the last of them, so
/// that none is early, and each late by at most twice as much more than alone.
const SPREAD_MILLIS: u64 = 500;

/// A message that is put off.
pub(super) struct PutOff {
    /// The tier that it waits in.
    pub(super) tier: ShortString,
    /// When it is due, in milliseconds since 1970.
    pub(super) due: u64,
    /// Whose it is.
    pub(super) team: Option<TeamId>,
    /// Itself, as it is to come back.
    pub(super) message: Packed,
}

/// Puts messages off.
pub(super) struct Packing {
    outbox: Arc<Outbox>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    carriers: usize,
    /// When there was a crowd last.
    crowd: Option<Instant>,
    dispersed: Option<Instant>,
}

/// A message, and who waits for word of it.
struct Waiting {
    put_off: PutOff,
    told: oneshot::Sender<Result<(), Trouble>>,
}

impl Packing {
    pub(super) fn new(outbox: Arc<Outbox>) -> Arc<Self> {
        Arc::new(Self { outbox, state: Mutex::default() })
    }

    /// Puts a message off; `Ok` once the broker has it safely in its tier. Dropped, it may or may not have gone there.
    pub(super) async fn send(self: &Arc<Self>, put_off: PutOff) -> Result<(), Trouble> {
        let (told, word) = oneshot::channel();
        if self.state().hand_in(Waiting { put_off, told }) {
            tokio::spawn(Arc::clone(self).carry());
        }
        word.await.unwrap_or_else(|_| Err(Trouble::Away("the worker ended before the broker answered".to_owned())))
    }

    /// Whether many messages are being put off just now.
    pub(super) fn is_crowded(&self) -> bool {
        let state = self.state();
        let lately = |moment: Option<Instant>| moment.is_some_and(|moment| moment.elapsed() < CROWD_FOR);
        lately(state.crowd) && !lately(state.dispersed)
    }

    /// Ends a crowd, and lets there be none for as long as one lasts.
    pub(super) fn disperse(&self) {
        self.state().dispersed = Some(Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries parcels until nothing waits.
    async fn carry(self: Arc<Self>) {
        loop {
            sleep(FILLS_FOR).await;
            let Some(batch) = self.state().next_batch() else { return };
            let bytes: usize = batch.iter().map(|waiting| waiting.put_off.message.bytes_at_most()).sum();
            let is_large = batch.len() >= CROWD || (batch.len() > 1 && bytes > parcel::BYTES_MAX / 2);
            let (messages, told): (Vec<PutOff>, Vec<_>) =
                batch.into_iter().map(|Waiting { put_off, told }| (put_off, told)).unzip();
            let sent = match letter(messages) {
                Ok(letter) => self.outbox.publish(&letter).await,
                Err(trouble) => Err(trouble),
            };
            if is_large && sent.is_ok() {
                self.state().crowd = Some(Instant::now());
            }
            for told in told {
                let _gone = told.send(sent.clone());
            }
        }
    }
}

impl State {
    /// Takes a message; true when one more carrier is wanted.
    fn hand_in(&mut self, waiting: Waiting) -> bool {
        self.waiting.push_back(waiting);
        let wanted = self.carriers < CARRIERS_MAX;
        self.carriers += usize::from(wanted);
        wanted
    }

    /// What a carrier takes next: the first that waits, and what may go with it. With nothing it ends.
    fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        // Nobody waits for some of them any more.
        self.waiting.retain(|waiting| !waiting.told.is_closed());
        let Some(first) = self.waiting.pop_front() else {
            self.carriers -= 1;
            return None;
        };
        let mut bytes = first.put_off.message.bytes_at_most();
        let mut batch = vec![first];
        let mut next = 0;
        while batch.len() < parcel::MESSAGES_MAX && next < self.waiting.len() {
            let one = &self.waiting[next].put_off;
            if one.may_go_with(&batch[0].put_off) && bytes + one.message.bytes_at_most() <= parcel::BYTES_MAX {
                bytes += one.message.bytes_at_most();
                batch.extend(self.waiting.remove(next));
            } else {
                next += 1;
            }
        }
        Some(batch)
    }
}

impl PutOff {
    fn may_go_with(&self, first: &Self) -> bool {
        self.tier == first.tier && self.team == first.team && self.due.abs_diff(first.due) <= SPREAD_MILLIS
    }
}

/// One message as it is, or a parcel of several.
fn letter(mut batch: Vec<PutOff>) -> Result<Letter, Trouble> {
    let due = batch.iter().map(|one| one.due).max().unwrap_or(0);
    let first = batch.swap_remove(0);
    if batch.is_empty() {
        let properties = headers::with(first.message.properties, headers::own_number(NOT_BEFORE, due));
        return Ok(Letter::to_queue(first.tier, properties, first.message.body));
    }
    let messages: Vec<Packed> =
        std::iter::once(first.message).chain(batch.into_iter().map(|one| one.message)).collect();
    parcel(first.tier, due, first.team.as_ref(), &messages)
}

/// A parcel of `team`'s messages that waits in `tier` and is due then, in milliseconds since 1970.
pub(super) fn parcel(
    tier: ShortString, due: u64, team: Option<&TeamId>, messages: &[Packed],
) -> Result<Letter, Trouble> {
    let mut body = Vec::with_capacity(parcel::BYTES_MAX);
    for message in messages {
        let written = message.written();
        body.extend(written.map_err(|error| Trouble::Away(format!("a parcel could not be written: {error}")))?);
    }
    let mut own = parcel::marks_of(team, messages.len());
    own.push(headers::own_number(NOT_BEFORE, due));
    Ok(Letter::to_queue(tier, headers::copied(&BasicProperties::default(), &own), body.into()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put_off(tier: &'static str, due: u64, bytes: usize) -> PutOff {
        let message = Packed { properties: BasicProperties::default(), body: Bytes::from(vec![b'x'; bytes]) };
        PutOff { tier: tier.into(), due, team: None, message }
    }

    /// The sizes of the batches in which these go, and who waits for word.
    fn batches(all: Vec<PutOff>) -> Vec<usize> {
        let mut state = State::default();
        let mut words = Vec::new();
        for put_off in all {
            let (told, word) = oneshot::channel();
            words.push(word);
            state.hand_in(Waiting { put_off, told });
        }
        let sizes = std::iter::from_fn(|| state.next_batch().map(|batch| batch.len()));
        sizes.collect()
    }

    #[test]
    fn what_is_due_together_goes_together() {
        let one_second = (0..300).map(|nth| put_off("1s", 1_000 + nth, 100));
        let [full, rest] = [parcel::MESSAGES_MAX, 300 % parcel::MESSAGES_MAX];
        let sizes = batches(one_second.collect());
        assert!(sizes.iter().rev().skip(1).all(|size| *size == full) && sizes.last() == Some(&rest), "{sizes:?}");
        let spread = (0..4).map(|nth| put_off("1s", 1_000 + nth * 300, 100));
        assert_eq!(batches(spread.collect()), [2, 2]);
    }

    #[test]
    fn other_tiers_and_large_bodies_do_not_hold_up_what_may_go() {
        let mixed = (0..10).map(|nth| put_off(if nth % 2 == 0 { "1s" } else { "5s" }, 1_000, 100));
        assert_eq!(batches(mixed.collect()), [5, 5]);
        let large = (0..5).map(|_| put_off("1s", 1_000, 25_000));
        assert_eq!(batches(large.collect()), [2, 2, 1]);
    }

    /// However much of a parcel its messages fill, who receives it takes it for one.
    #[test]
    fn what_is_packed_is_a_parcel_whatever_its_size() {
        for bytes in (300..700).step_by(7) {
            let mut state = State::default();
            let mut words = Vec::new();
            for _ in 0..300 {
                let mut one = put_off("1s", 1_000, bytes);
                let plain = BasicProperties::default().with_delivery_mode(2).with_priority(1).with_timestamp(1);
                one.message.properties = plain.with_message_id("an-id".into()).with_headers(Default::default());
                let (told, word) = oneshot::channel();
                words.push(word);
                state.hand_in(Waiting { put_off: one, told });
            }
            while let Some(batch) = state.next_batch() {
                let count = batch.len();
                let letter = letter(batch.into_iter().map(|waiting| waiting.put_off).collect()).unwrap();
                assert_eq!(parcel::unpack(&letter.body).unwrap().len(), count, "{count} of {bytes} bytes");
            }
        }
    }

    #[test]
    fn what_nobody_waits_for_any_more_stays_behind() {
        let mut state = State::default();
        let (told, word) = oneshot::channel();
        state.hand_in(Waiting { put_off: put_off("1s", 0, 1), told });
        drop(word);
        assert!(state.next_batch().is_none());
    }
}
