//! Reads a message without holding up the others: what is large is read on a thread of its own.

use bytes::Bytes;

use crate::domain::digest::Sha256;
use crate::domain::message::{self, Decoded};
use crate::domain::task::Task;
use crate::ports::queue::{Attributes, Message};

/// Above this many bytes decoding takes longer than an async thread may be held.
const QUICK_BYTES_MAX: usize = 32 * 1024;

/// A task with the digest of what it asks for.
pub(super) struct Wanted {
    pub(super) task: Box<Task>,
    pub(super) digest: Sha256,
}

/// What a message asks for.
pub(super) enum Work {
    Task(Wanted),
    Nothing(&'static str),
    Undecodable(String),
}

/// Reads `message`.
pub(super) async fn decode(message: &Message) -> Work {
    if message.body.len() <= QUICK_BYTES_MAX {
        return read(&message.body, &message.attributes);
    }
    let (body, attributes): (Bytes, Attributes) = (message.body.clone(), message.attributes.clone());
    match tokio::task::spawn_blocking(move || read(&body, &attributes)).await {
        Ok(work) => work,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

fn read(body: &[u8], attributes: &Attributes) -> Work {
    match message::decode(body, attributes) {
        Ok(Decoded::Task(task)) => Work::Task(Wanted { digest: task.digest(), task }),
        Ok(Decoded::Ignored(what)) => Work::Nothing(what),
        Err(undecodable) => Work::Undecodable(undecodable.detail),
    }
}
