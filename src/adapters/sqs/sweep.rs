//! One walk over a whole dead-letter queue.
//!
//! Each message is seen once, however often it comes. While the first messages of a FIFO group are held, the others of the
//! group do not come: the held ones are then moved to the group's end, copied before they are deleted, until one that was
//! moved comes again. That keeps their order, their ids and what stands beside them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System, QueueAttributeName};
use futures::{StreamExt, stream};
use tracing::debug;

use super::dead::HIDDEN_SECS;
use super::letter::{self, SystemAttributes};
use super::parcel::{Dead, Parcel};
use super::queue::{Core, post};
use super::requests::BATCH_MAX;
use super::trouble::Trouble;

/// How long a poll waits for messages that are still on their way: a long poll asks all of SQS's servers.
const WAIT_SECS: i32 = 1;

/// After so many answers that hold nothing new the walk ends.
const NOTHING_NEW_MAX: u32 = 3;

/// A dead letter in hand.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Names it for as long as it stays here.
    pub(super) id: String,
    pub(super) handle: String,
    pub(super) message_id: String,
    pub(super) receive_count: i64,
    pub(super) sent_ms: i64,
    /// Its place in a FIFO queue.
    pub(super) sequence: String,
    pub(super) parcel: Parcel,
}

/// A walk under way.
pub(super) struct Sweep<'a> {
    core: &'a Core,
    seen: HashSet<String>,
    /// What stays, by id, and was not moved.
    kept: HashMap<String, Kept>,
    /// Handles of what was moved, or came twice.
    again: Vec<String>,
    /// FIFO groups that were seen to their end.
    whole_groups: HashSet<String>,
    nothing_new: u32,
}

struct Kept {
    handle: String,
    /// Only on FIFO queues, where it may have to be moved.
    found: Option<Found>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self {
            core,
            seen: HashSet::new(),
            kept: HashMap::new(),
            again: Vec::new(),
            whole_groups: HashSet::new(),
            nothing_new: 0,
        }
    }

    /// The next messages that were not seen yet; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Found>>, Trouble> {
        while self.nothing_new < NOTHING_NEW_MAX {
            let most = i32::try_from(BATCH_MAX).unwrap_or(1);
            let messages = self.core.dead.receive(most, HIDDEN_SECS, WAIT_SECS).await?;
            if messages.is_empty() {
                if self.move_what_blocks().await? {
                    continue;
                }
                return Ok(None);
            }
            let new = self.new_among(messages);
            if !new.is_empty() {
                self.nothing_new = 0;
                return Ok(Some(new));
            }
            self.nothing_new += 1;
        }
        Ok(None)
    }

    fn new_among(&mut self, messages: Vec<Message>) -> Vec<Found> {
        let mut new = Vec::new();
        for found in messages.into_iter().map(found) {
            if self.seen.insert(found.id.clone()) {
                new.push(found);
                continue;
            }
            self.whole_groups.extend(found.parcel.group);
            match self.kept.get_mut(&found.id) {
                Some(kept) if kept.found.as_ref().is_none_or(|kept| kept.message_id == found.message_id) => {
                    kept.handle = found.handle;
                }
                Some(_) | None => self.again.push(found.handle),
            }
        }
        new
    }

    /// Leaves a message where it is: it is given back at the end.
    pub(super) fn keep(&mut self, found: Found) {
        let kept = Kept { handle: found.handle.clone(), found: self.core.dead.fifo.then(|| found.clone()) };
        self.kept.insert(found.id, kept);
    }

    /// Moves the kept messages of groups whose end was not seen to that end. False when that changes nothing.
    async fn move_what_blocks(&mut self) -> Result<bool, Trouble> {
        let is_whole =
            |found: &Found| found.parcel.group.as_ref().is_none_or(|group| self.whole_groups.contains(group));
        let blocking = self.kept.values().filter_map(|kept| kept.found.as_ref());
        let blocking: Vec<Found> = blocking.filter(|found| !is_whole(found)).cloned().collect();
        if blocking.is_empty() {
            return Ok(false);
        }
        let [visible] = self.core.dead.attributes([QueueAttributeName::ApproximateNumberOfMessages]).await?;
        if visible.is_none_or(|count| count == "0") {
            return Ok(false);
        }
        let mut blocking = blocking;
        blocking.sort_by(|one, other| one.sequence.cmp(&other.sequence));
        for found in blocking {
            self.move_to_end(&found).await?;
            self.kept.remove(&found.id);
        }
        Ok(true)
    }

    async fn move_to_end(&self, found: &Found) -> Result<(), Trouble> {
        let dead = found.parcel.dead.clone().unwrap_or_default();
        let parcel = Parcel { dead: Some(Dead { id: Some(found.id.clone()), ..dead }), ..found.parcel.clone() };
        // What lies in the store stays there: only the message that points to it moves.
        let letter = match &parcel.stored {
            Some(key) => letter::Letter::pointing(&parcel, key, key),
            None => self.core.stored.letter(&parcel).await?,
        };
        let receives = found.receive_count.to_string();
        let by = [found.message_id.as_str(), receives.as_str(), "move"];
        self.core.buries.ask(post(letter, Duration::ZERO, &by, &self.core.dead)).await?;
        let deleted = self.core.dead.delete(std::slice::from_ref(&found.handle)).await;
        deleted.into_iter().next().unwrap_or(Err(Trouble::Lost))?;
        Ok(())
    }

    /// Gives back all that stays. What cannot be given back comes into sight by itself.
    pub(super) async fn give_back(self) {
        let kept = self.kept.into_values().map(|kept| kept.handle);
        let handles: Vec<_> = kept.chain(self.again).map(|handle| (handle, 0)).collect();
        let give = async |few: &[(String, i32)]| {
            for trouble in self.core.dead.hide(few).await.into_iter().filter_map(Result::err) {
                debug!(trouble = trouble.text(), "a dead letter could not be given back: it stays hidden for a while");
            }
        };
        stream::iter(handles.chunks(BATCH_MAX)).for_each_concurrent(8, give).await;
    }
}

fn found(message: Message) -> Found {
    let parcel = letter::read(&message);
    let system = SystemAttributes(message.attributes());
    let sent_ms = system.number(&System::SentTimestamp).unwrap_or(0);
    let receive_count = system.number(&System::ApproximateReceiveCount).unwrap_or(1);
    let sequence = system.text(&System::SequenceNumber).unwrap_or_default().to_owned();
    let message_id = message.message_id.unwrap_or_default();
    let moved_id = parcel.dead.as_ref().and_then(|dead| dead.id.clone());
    Found {
        id: moved_id.unwrap_or_else(|| message_id.clone()),
        handle: message.receipt_handle.unwrap_or_default(),
        message_id,
        receive_count,
        sent_ms,
        sequence,
        parcel,
    }
}
