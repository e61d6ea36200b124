//! How often a suspect was worked on alone and nobody came back to tell: kept in internal storage, so that the next process
//! knows it however this one ends.
//!
//! A run is noted before it begins and taken back when it ends in any way, so what stands there are the runs that never
//! ended. The paper belongs to the message (its id and its bytes), not to a delivery, and it is the same on every queue.
//! Two processes that write it at once can only make a message less suspicious.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::domain::digest::Sha256;
use crate::domain::object_key::Key;
use crate::engine::outage::Gate;
use crate::ports::queue::Message;
use crate::ports::store::{Store, StoreError};

/// The paper is one small number.
const PAPER_BYTES_MAX: usize = 4096;

/// What is written of a suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Paper {
    /// Runs that were begun alone and never ended.
    pub(super) unended_runs: u32,
    /// A run had been alone for long, was let work beside others, and did not end by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) outlived: bool,
    /// Of its unfinished deliveries so many say nothing: after them it was worked on alone, and ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) cleared: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Papers of suspects in the store.
#[derive(Clone)]
pub(super) struct Suspects {
    store: Arc<dyn Store>,
    gate: Gate,
}

impl Suspects {
    /// Papers in `store`; waits behind `gate` while it is away.
    #[must_use]
    pub(super) fn new(store: Arc<dyn Store>, gate: Gate) -> Self {
        Self { store, gate }
    }

    /// What stands against `message`.
    ///
    /// # Errors
    /// What the store answers, when it answers and cannot be right.
    pub(super) async fn paper(&self, message: &Message) -> Result<Paper, StoreError> {
        let key = key_of(message);
        let read = || self.store.get(&key, PAPER_BYTES_MAX);
        let found = self.gate.until_answered(StoreError::is_transient, read).await?;
        let Some(bytes) = found else { return Ok(Paper::default()) };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            warn!(%key, %error, "the paper of a suspect cannot be read: it begins anew");
            Paper::default()
        }))
    }

    /// Writes what stands against `message`. Durable once it returns.
    ///
    /// # Errors
    /// As [`Suspects::paper`].
    pub(super) async fn note(&self, message: &Message, paper: Paper) -> Result<(), StoreError> {
        let key = key_of(message);
        let content = Bytes::from(serde_json::to_vec(&paper).expect("a number is JSON"));
        let write = || self.store.overwrite(&key, content.clone());
        self.gate.until_answered(StoreError::is_transient, write).await
    }
}

/// Ids alone are not enough: senders may give many messages the same.
fn key_of(message: &Message) -> Key {
    let id = message.id.as_deref().unwrap_or_default();
    Key::new(format!("_alone/{}.json", Sha256::of_parts(&[id.as_bytes(), &message.body])))
}
