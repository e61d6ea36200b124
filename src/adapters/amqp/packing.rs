//! What is put off at about the same time goes in one parcel.
//!
//! What is put off alone goes alone, as a message that anybody can read. Of many that come within milliseconds, and while others are
//! under way, the broker has one message to write and to confirm for a hundred.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::ShortString;
use tokio::time::{Instant, sleep};

use super::headers::{self, NOT_BEFORE};
use super::outbox::{Letter, Outbox};
use super::parcel::{self, Packed};
use super::pile::{Pile, Waiting};
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

struct State {
    pile: Pile<PutOff>,
    /// When there was a crowd last.
    crowd: Option<Instant>,
    dispersed: Option<Instant>,
}

impl Packing {
    pub(super) fn new(outbox: Arc<Outbox>) -> Arc<Self> {
        Arc::new(Self {
            outbox,
            state: Mutex::new(State { pile: Pile::new(CARRIERS_MAX), crowd: None, dispersed: None }),
        })
    }

    /// Puts a message off; `Ok` once the broker has it safely in its tier. Dropped, it may or may not have gone there.
    pub(super) async fn send(self: &Arc<Self>, put_off: PutOff) -> Result<(), Trouble> {
        let (word, wanted) = self.state().pile.hand_in(put_off);
        if wanted {
            tokio::spawn(Arc::clone(self).carry());
        }
        word.heard().await
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
            let Some(batch) = self.state().pile.next_batch(add_fitting) else { return };
            let bytes: usize = batch.iter().map(|waiting| waiting.what.message.bytes_at_most()).sum();
            let is_large = batch.len() >= CROWD || (batch.len() > 1 && bytes > parcel::BYTES_MAX / 2);
            let (messages, told): (Vec<PutOff>, Vec<_>) =
                batch.into_iter().map(|Waiting { what, told }| (what, told)).unzip();
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

/// Adds what may go with the first of a batch and fits.
fn add_fitting(batch: &mut Vec<Waiting<PutOff>>, others: &mut VecDeque<Waiting<PutOff>>) {
    let mut bytes: usize = batch.iter().map(|waiting| waiting.what.message.bytes_at_most()).sum();
    let mut next = 0;
    while batch.len() < parcel::MESSAGES_MAX && next < others.len() {
        let one = &others[next].what;
        let with_it = bytes + one.message.bytes_at_most();
        if one.may_go_with(&batch[0].what) && with_it <= parcel::BYTES_MAX {
            bytes = with_it;
            batch.extend(others.remove(next));
        } else {
            next += 1;
        }
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
    use lapin::types::FieldTable;

    use super::*;

    fn put_off(tier: &'static str, due: u64, bytes: usize) -> PutOff {
        let message = Packed { properties: BasicProperties::default(), body: Bytes::from(vec![b'x'; bytes]) };
        PutOff { tier: tier.into(), due, team: None, message }
    }

    /// The batches in which these go.
    fn batches(all: impl IntoIterator<Item = PutOff>) -> Vec<Vec<PutOff>> {
        let mut pile = Pile::new(1);
        let _words: Vec<_> = all.into_iter().map(|put_off| pile.hand_in(put_off).0).collect();
        let next = std::iter::from_fn(|| pile.next_batch(add_fitting));
        next.map(|batch| batch.into_iter().map(|waiting| waiting.what).collect()).collect()
    }

    fn sizes(all: impl IntoIterator<Item = PutOff>) -> Vec<usize> {
        batches(all).iter().map(Vec::len).collect()
    }

    #[test]
    fn what_is_due_together_goes_together() {
        assert_eq!(sizes((0..300).map(|nth| put_off("1s", 1_000 + nth, 100))), [128, 128, 44]);
        assert_eq!(sizes((0..4).map(|nth| put_off("1s", 1_000 + nth * 300, 100))), [2, 2]);
    }

    #[test]
    fn other_tiers_and_large_bodies_do_not_hold_up_what_may_go() {
        let tier = |nth| if nth % 2 == 0 { "1s" } else { "5s" };
        assert_eq!(sizes((0..10).map(|nth| put_off(tier(nth), 1_000, 100))), [5, 5]);
        assert_eq!(sizes((0..5).map(|_| put_off("1s", 1_000, 25_000))), [2, 2, 1]);
    }

    /// However much of a parcel its messages fill, who receives it takes it for one.
    #[test]
    fn what_is_packed_is_a_parcel_whatever_its_size() {
        for bytes in (300..700).step_by(7) {
            let many = (0..300).map(|_| {
                let mut one = put_off("1s", 1_000, bytes);
                let plain = BasicProperties::default().with_delivery_mode(2).with_priority(1).with_timestamp(1);
                one.message.properties = plain.with_message_id("an-id".into()).with_headers(FieldTable::default());
                one
            });
            for batch in batches(many) {
                let (count, letter) = (batch.len(), letter(batch).unwrap());
                assert_eq!(parcel::unpack(&letter.body).unwrap().len(), count, "{count} of {bytes} bytes");
            }
        }
    }
}
