//! Reads a message without holding up the others: what is large is read on a thread of its own, and what has to come from
//! elsewhere is waited for a little and then left to a later delivery.
//!
//! A body from elsewhere is paid for from a pool of its own, which stands behind that of messages.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Pipeline;
use crate::domain::digest::Sha256;
use crate::domain::id::TeamId;
use crate::domain::message::{Decoded, NewObject, POINTED_BYTES_MAX, Pointer, Reading, Step, Undecodable};
use crate::domain::task::Task;
use crate::engine::isolation::{Verdict, hand_back};
use crate::engine::memory::Grant;
use crate::engine::outage::wait_after;
use crate::ports::envelopes::{EnvelopeError, Pointed};
use crate::ports::queue::{Delivery, Message};

/// Above this many bytes decoding takes longer than an async thread may be held.
const QUICK_BYTES_MAX: usize = 32 * 1024;
/// How often something that is away is asked for before the message goes back.
const ASK_TIMES: u32 = 4;

/// A task with the digest of what it asks for.
pub(super) struct Wanted {
    pub(super) task: Box<Task>,
    pub(super) digest: Sha256,
}

impl Wanted {
    pub(super) fn of(task: Task) -> Self {
        Self { digest: task.digest(), task: Box::new(task) }
    }
}

/// What a message asks for.
pub(super) enum Work {
    Task(Wanted),
    Objects(Vec<Result<NewObject, String>>),
    Nothing(&'static str),
    Undecodable(String),
    /// Not known yet: what has to be asked is away.
    Unknown(Verdict),
}

/// A delivery whose message was read.
pub(super) struct Opened {
    pub(super) work: Work,
    /// The delivery as it came, with the attributes that an envelope carried for its message.
    pub(super) delivery: Delivery,
    /// The only team that it may be work of, if it came by a customer's own topic.
    pub(super) topic_team: Option<TeamId>,
    /// Pays for a body from elsewhere as long as the work goes on.
    _memory: Option<Grant>,
}

impl Pipeline {
    /// Reads a delivery's message through all its envelopes.
    pub(super) async fn open(&self, delivery: &Delivery) -> Opened {
        let message = &delivery.message;
        let mut reading = Reading::new(message.attributes.clone(), Arc::clone(&self.settings.trusted));
        let (mut body, mut memory) = (message.body.clone(), None);
        let work = loop {
            let read = read(reading, body).await;
            reading = read.0;
            let next = match read.1 {
                Ok(Step::Decoded(decoded)) => break work_of(decoded),
                Err(undecodable) => break Work::Undecodable(undecodable.detail),
                Ok(Step::Elsewhere(pointer)) => {
                    // What pointed there is read; its memory goes before more is waited for.
                    memory = None;
                    let fetched = self.until_there(|| self.fetch(&pointer)).await;
                    fetched.map(|(body, grant)| {
                        memory = Some(grant);
                        body
                    })
                }
                Ok(Step::Unproven(notification)) => {
                    let proven = self.until_there(|| self.envelopes.prove(&notification)).await;
                    proven.map(|()| Bytes::from(notification.message))
                }
            };
            body = match next {
                Ok(body) => body,
                Err(EnvelopeError::Refused(detail)) => break Work::Undecodable(detail),
                Err(EnvelopeError::Away(cause)) => break Work::Unknown(self.later(delivery, &cause)),
            };
        };
        let topic_team = reading.topic_team().cloned();
        let message = Message { attributes: reading.into_attributes(), ..message.clone() };
        Opened { work, delivery: Delivery { message, ..delivery.clone() }, topic_team, _memory: memory }
    }

    /// Fetches the body that a pointer names, in memory that is there for it.
    async fn fetch(&self, pointer: &Pointer) -> Result<(Bytes, Grant), EnvelopeError> {
        let too_large = || EnvelopeError::Refused("the pointer's body is larger than 16 MiB".to_owned());
        let Pointed { length, mut body } = self.envelopes.open(pointer).await?;
        let announced = length.map_or(Some(POINTED_BYTES_MAX), |length| usize::try_from(length).ok());
        let announced = announced.filter(|bytes| *bytes <= POINTED_BYTES_MAX).ok_or_else(too_large)?;
        let mut grant = self.bodies.take(announced).await.map_err(|_| too_large())?;
        let mut bytes = BytesMut::with_capacity(if length.is_some() { announced } else { 0 });
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|fault| EnvelopeError::Away(fault.message))?;
            if bytes.len() + piece.len() > announced {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        grant.shrink_to(bytes.len());
        Ok((bytes.freeze(), grant))
    }

    /// Asks some times for what may be away for a moment.
    async fn until_there<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, EnvelopeError>
    where
        F: Future<Output = Result<T, EnvelopeError>>,
    {
        let mut tries = 0;
        loop {
            match ask().await {
                Err(EnvelopeError::Away(cause)) if tries + 1 < ASK_TIMES => debug!(cause, "a message waits to be read"),
                answer => return answer,
            }
            sleep(wait_after(tries)).await;
            tries += 1;
        }
    }

    /// The message goes back, uncounted, for longer each time; others have its place meanwhile. Intake does not pause: only
    /// messages that came in such an envelope need what is away.
    fn later(&self, delivery: &Delivery, cause: &str) -> Verdict {
        warn!(message.id = delivery.message.id, cause, "a message cannot be read for now; it is tried again");
        let base = self.settings.backoff.base;
        hand_back(delivery.sent_at.map_or(base, |sent_at| self.wait_since(sent_at)))
    }
}

async fn read(mut reading: Reading, body: Bytes) -> (Reading, Result<Step, Undecodable>) {
    if body.len() <= QUICK_BYTES_MAX {
        let step = reading.read(&body);
        return (reading, step);
    }
    let read = tokio::task::spawn_blocking(move || {
        let step = reading.read(&body);
        (reading, step)
    });
    match read.await {
        Ok(read) => read,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

fn work_of(decoded: Decoded) -> Work {
    match decoded {
        Decoded::Task(task) => Work::Task(Wanted::of(*task)),
        Decoded::Objects(objects) => Work::Objects(objects),
        Decoded::Ignored(what) => Work::Nothing(what),
    }
}
