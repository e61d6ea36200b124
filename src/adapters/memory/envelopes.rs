//! Bodies and signatures that a test decides on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;

use crate::domain::message::{Notification, Pointer};
use crate::ports::envelopes::{EnvelopeError, Envelopes, Pointed};

/// The signature that is SNS's here.
pub const GOOD_SIGNATURE: &[u8] = b"signed";

/// Bodies by bucket and key; clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryEnvelopes {
    bodies: Arc<Mutex<HashMap<(String, String), Bytes>>>,
    away: Arc<AtomicBool>,
}

impl MemoryEnvelopes {
    /// Puts a body where a pointer may name it.
    pub fn put(&self, bucket: &str, key: &str, body: impl Into<Bytes>) {
        // No code of ours panics while it holds the lock, and a map is whole between its own calls.
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.insert((bucket.to_owned(), key.to_owned()), body.into());
    }

    /// Takes everything away, or brings it back.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    fn here(&self) -> Result<(), EnvelopeError> {
        match self.away.load(Ordering::Relaxed) {
            true => Err(EnvelopeError::Away("it was taken away by a test".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Envelopes for MemoryEnvelopes {
    async fn open(&self, pointer: &Pointer) -> Result<Pointed, EnvelopeError> {
        self.here()?;
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let body = bodies.get(&(pointer.bucket.clone(), pointer.key.clone())).cloned();
        let body = body.ok_or_else(|| EnvelopeError::Refused("the pointer names no object".to_owned()))?;
        let length = u64::try_from(body.len()).ok();
        Ok(Pointed { length, body: futures::stream::iter([Ok(body)]).boxed() })
    }

    async fn prove(&self, notification: &Notification) -> Result<(), EnvelopeError> {
        self.here()?;
        match notification.signature == GOOD_SIGNATURE {
            true => Ok(()),
            false => Err(EnvelopeError::Refused("the signature is not SNS's".to_owned())),
        }
    }
}
