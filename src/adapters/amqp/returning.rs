//! What comes back from a tier and is not for the engine: what is not due yet goes on to another tier, parcels are unpacked.
//!
//! A parcel whose messages would not begin just now goes on as it is: so a crowd costs one message in many until its turn comes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::parcel::{self, Packed};
use super::settle::Settler;
use super::shelf::{Held, Shelf};
use crate::ports::queue::{QueueError, Room};

/// A rest that is waited out in hand rather than in a tier.
const SHORT_REST: Duration = Duration::from_millis(250);

/// How long a copy that could not be made waits for the next try.
const COPY_AGAIN: Duration = Duration::from_secs(2);

/// How many messages of a parcel are brought back at once: half of the usual places for messages. The others go on as a parcel.
const AT_ONCE: usize = 32;

/// How long those wait.
const NEXT_SOME: Duration = Duration::from_millis(200);

/// How long what is left of a parcel waits that does not fit onto the queue.
const QUEUE_IS_FULL: Duration = Duration::from_secs(5);

/// How many parcels are unpacked at once; the others wait, as they came.
const UNPACKED_AT_ONCE: usize = 4;

/// How long the broker may take to end a consumer, and to take one message back.
pub(super) const GIVE_BACK_LIMIT: Duration = Duration::from_secs(5);

/// Sends on and unpacks.
pub(super) struct Returning {
    settler: Arc<Settler>,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
    unpacking: Semaphore,
    room: OnceLock<Arc<dyn Room>>,
}

/// What has become of a delivery.
enum Now {
    /// It is settled.
    Gone,
    /// The engine may have it.
    Due,
    /// Nothing yet: we are stopped.
    Stopped,
}

impl Returning {
    pub(super) fn new(settler: Arc<Settler>, shelf: Arc<Shelf>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { settler, shelf, stop, unpacking: Semaphore::new(UNPACKED_AT_ONCE), room: OnceLock::new() })
    }

    /// Names who is asked before a parcel is unpacked; the first one named stays.
    pub(super) fn ask(&self, room: Arc<dyn Room>) {
        let _named_before = self.room.set(room);
    }

    /// Whether a delivery is for [`Self::take`] and not for the engine.
    pub(super) fn is_for_us(&self, held: &Held) -> bool {
        !self.settler.rest_of(held).is_zero() || parcel::is_parcel(&held.properties)
    }

    /// Sends a delivery on, waits out its rest, or unpacks it; tries until it is done. When we are stopped it goes back as it is.
    pub(super) async fn take(self: Arc<Self>, held: Arc<Held>) {
        let mut left = None;
        loop {
            match self.go_on(&held, &mut left).await {
                Ok(Now::Gone) => return self.shelf.remove(&held),
                Ok(Now::Due) => return self.shelf.offer(&held),
                Ok(Now::Stopped) => break,
                Err(QueueError::LeaseLost) => return,
                Err(QueueError::Unavailable(_) | QueueError::Refused(_)) => {
                    if self.stop.run_until_cancelled(sleep(COPY_AGAIN)).await.is_none() {
                        break;
                    }
                }
            }
        }
        let giving = async {
            match parcel::is_parcel(&held.properties) {
                true => self.settler.give_parcel_back(&held).await,
                false => self.settler.give_back_unworked(&held).await,
            }
        };
        // What cannot be given back now goes back with the channel.
        let _given = timeout(GIVE_BACK_LIMIT, giving).await;
        self.shelf.remove(&held);
    }

    /// One try. What of a parcel is not on the queue yet is `left` for the next.
    async fn go_on(&self, held: &Held, left: &mut Option<Vec<Packed>>) -> Result<Now, QueueError> {
        let rest = self.settler.rest_of(held);
        if rest > SHORT_REST {
            self.settler.send_on(held, rest).await?;
            return Ok(Now::Gone);
        }
        if self.stop.run_until_cancelled(sleep(rest)).await.is_none() {
            return Ok(Now::Stopped);
        }
        if !parcel::is_parcel(&held.properties) {
            return Ok(Now::Due);
        }
        let wait = if left.is_none() { self.wait(held) } else { Duration::ZERO };
        if !wait.is_zero() {
            self.settler.keep_away(held, wait).await?;
            return Ok(Now::Gone);
        }
        let Some(_one) = self.stop.run_until_cancelled(self.unpacking.acquire()).await else {
            return Ok(Now::Stopped);
        };
        let mut messages = match left.take().map_or_else(|| parcel::unpack(&held.body), Ok) {
            Ok(messages) => messages,
            Err(error) => {
                tracing::warn!("what says that it is a parcel is none, and is taken for a task: {error}");
                return Ok(Now::Due);
            }
        };
        let others = messages.split_off(messages.len().min(AT_ONCE));
        let rest = left.insert(self.settler.unpack(messages).await);
        let wait = if rest.is_empty() { NEXT_SOME } else { QUEUE_IS_FULL };
        rest.extend(others);
        if !rest.is_empty() {
            // In hand it would take the place of what makes room on the queue.
            self.settler.pack_again(held, rest, wait).await?;
            rest.clear();
        }
        self.settler.end(held).await?;
        Ok(Now::Gone)
    }

    /// How long the messages of a parcel have to wait yet.
    fn wait(&self, held: &Held) -> Duration {
        match (self.room.get(), parcel::contents(&held.properties)) {
            (Some(room), (Some(team), count)) => room.wait(&team, count.min(AT_ONCE)),
            (None, _) | (_, (None, _)) => Duration::ZERO,
        }
    }
}
