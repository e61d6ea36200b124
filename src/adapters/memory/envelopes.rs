//! Bodies and signatures that a test decides on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::domain::digest::Sha256;
use crate::domain::message::{Notification, Pointer};
use crate::ports::envelopes::{EnvelopeError, Envelopes, Pointed};

/// Signs an envelope as SNS does here: by the digest of what SNS signs.
pub fn sign(envelope: &mut Value) {
    let lines = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"].into_iter();
    let lines = lines.filter_map(|name| Some(format!("{name}\n{}\n", envelope[name].as_str()?)));
    let digest = Sha256::of(lines.collect::<String>().as_bytes());
    envelope["Signature"] = json!(STANDARD.encode(digest.as_bytes()));
    envelope["SigningCertURL"] = json!("https://sns.us-east-1.amazonaws.com/memory.pem");
}

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
        match notification.signature == Sha256::of(notification.signed_text().as_bytes()).as_bytes() {
            true => Ok(()),
            false => Err(EnvelopeError::Refused("the signature is not SNS's".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::contracts::envelopes::{Post, keeps_the_contract};

    #[async_trait]
    impl Post for MemoryEnvelopes {
        fn envelopes(&self) -> Arc<dyn Envelopes> {
            Arc::new(self.clone())
        }

        async fn put(&self, key: &str, body: Bytes) -> Pointer {
            MemoryEnvelopes::put(self, "bodies", key, body);
            Pointer { bucket: "bodies".to_owned(), key: key.to_owned() }
        }

        async fn missing(&self) -> Pointer {
            Pointer { bucket: "bodies".to_owned(), key: "missing".to_owned() }
        }

        fn sign(&self, envelope: &mut Value) {
            sign(envelope);
        }
    }

    #[tokio::test]
    async fn envelopes_in_memory_keep_the_contract() {
        keeps_the_contract(&MemoryEnvelopes::default()).await;
    }
}
