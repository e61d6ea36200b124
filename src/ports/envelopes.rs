//! What reading a message needs from elsewhere: the body that a pointer names, and the proof that SNS has signed an envelope.

use async_trait::async_trait;

use super::fetcher::BodyStream;
use crate::domain::message::{Notification, Pointer};

/// A body that has begun to come.
pub struct Pointed {
    /// How many bytes will come, where it is known; a body of another length ends in a fault.
    pub length: Option<u64>,
    /// The bytes.
    pub body: BodyStream,
}

impl std::fmt::Debug for Pointed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pointed").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Why a message cannot be read further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It never will be: nothing is there, or the signature is not SNS's. Says why, for the dead letter.
    #[error("{0}")]
    Refused(String),
    /// What has to be asked is away: nothing is known of the message. Ask again later.
    #[error("{0}")]
    Away(String),
}

/// Fetches what pointers name, and proves signatures. Whether bucket and topic are trusted at all was decided before.
#[async_trait]
pub trait Envelopes: Send + Sync + 'static {
    /// Opens the body that a pointer names, read with the worker's own identity. One call is one try; may be repeated.
    ///
    /// # Errors
    /// `Refused` where there is no such object, or it may not be read; `Away` for what may pass. The stream's own fault is to
    /// be taken for `Away`.
    async fn open(&self, pointer: &Pointer) -> Result<Pointed, EnvelopeError>;

    /// Proves that SNS has signed a notification, by a certificate of SNS's that is valid now. One call is one try; may be
    /// repeated: certificates are kept.
    ///
    /// # Errors
    /// `Refused` for any other signature or certificate; `Away` where the certificate cannot be had for now.
    async fn prove(&self, notification: &Notification) -> Result<(), EnvelopeError>;
}
