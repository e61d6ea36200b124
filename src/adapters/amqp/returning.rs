//! What comes back from a tier and is not for the engine: what is not due yet goes on to another tier, parcels are unpacked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::parcel::{self, Packed};
use super::settle::Settler;
use super::shelf::{Held, Shelf};
use crate::ports::queue::QueueError;

/// A rest that is waited out in hand rather than in a tier.
const SHORT_REST: Duration = Duration::from_millis(250);

/// How long a copy that could not be made waits for the next try.
const COPY_AGAIN: Duration = Duration::from_secs(2);

/// How many parcels are unpacked at once; the others wait, as they came.
const UNPACKED_AT_ONCE: usize = 1;

/// Sends on and unpacks.
pub(super) struct Returning {
    settler: Arc<Settler>,
    shelf: Arc<Shelf>,
    stop: CancellationToken,
    unpacking: Semaphore,
}

/// What there is to do with a delivery.
enum Work {
    /// To another tier, for so long.
    SendOn(Duration),
    /// What of the parcel is not on the task queue yet.
    Unpack(Vec<Packed>),
}

/// What becomes of a delivery next.
enum Next {
    /// It is due.
    Due,
    /// It is not ours any more.
    Gone,
}

impl Returning {
    pub(super) fn new(settler: Arc<Settler>, shelf: Arc<Shelf>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self { settler, shelf, stop, unpacking: Semaphore::new(UNPACKED_AT_ONCE) })
    }

    /// Whether a delivery is for [`Self::take`] and not for the engine.
    pub(super) fn is_for_us(&self, held: &Held) -> bool {
        !self.settler.rest_of(held).is_zero() || parcel::is_parcel(&held.properties)
    }

    /// Sends a delivery on, waits out its rest, or unpacks it. What is left in hand when we are stopped goes back with its channel.
    pub(super) async fn take(self: Arc<Self>, held: Arc<Held>) {
        let Next::Due = self.wait_until_due(&held).await else {
            return;
        };
        if !parcel::is_parcel(&held.properties) {
            return self.shelf.offer(&held);
        }
        match parcel::unpack(&held.body) {
            Ok(messages) => {
                let Some(_one) = self.stop.run_until_cancelled(self.unpacking.acquire()).await else { return };
                self.until_settled(&held, Work::Unpack(messages)).await;
            }
            // The engine finds that it is no task and dead-letters it as it is: nothing is lost.
            Err(error) => {
                tracing::warn!("a parcel cannot be read, and goes to the dead letters: {error}");
                self.shelf.offer(&held);
            }
        }
    }

    async fn wait_until_due(&self, held: &Held) -> Next {
        let rest = self.settler.rest_of(held);
        if rest > SHORT_REST {
            self.until_settled(held, Work::SendOn(rest)).await;
            return Next::Gone;
        }
        match self.stop.run_until_cancelled(sleep(rest)).await {
            Some(()) => Next::Due,
            None => Next::Gone,
        }
    }

    /// Tries until it is done, we are stopped, or the delivery is not ours any more.
    async fn until_settled(&self, held: &Held, mut work: Work) {
        loop {
            let settled = match &mut work {
                Work::SendOn(rest) => self.settler.send_on(held, *rest).await,
                Work::Unpack(messages) => self.settler.unpack(held, messages).await,
            };
            match settled {
                Ok(()) => return self.shelf.remove(held),
                Err(QueueError::LeaseLost) => return,
                Err(QueueError::Unavailable(_) | QueueError::Refused(_)) => {
                    if self.stop.run_until_cancelled(sleep(COPY_AGAIN)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }
}
