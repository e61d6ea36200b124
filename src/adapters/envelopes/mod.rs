//! Reads what messages' envelopes need from elsewhere: bodies that pointers name, and certificates of SNS.
//!
//! Both are fetched down the same path as every source, behind the address guard; only the wiring knows how. A pointer is
//! followed with the worker's own identity and no other. Read [`certificate`] for what is checked of a signature.

mod certificate;
mod certificates;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::certificates::{CertificateSource, Certificates};
use crate::domain::access::{AwsReading, Grant};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::message::{Notification, Pointer};
use crate::domain::source::Source;
use crate::domain::team::KnownTeam;
use crate::ports::clock::Clock;
use crate::ports::envelopes::{EnvelopeError, Envelopes, Pointed};
use crate::ports::fetcher::{FetchRequest, Fetcher, Want};

/// Fetches bodies from S3 and proves signatures of SNS.
pub struct EnvelopeReader {
    s3: Arc<dyn Fetcher>,
    certificates: Certificates,
    clock: Clock,
    us: Arc<KnownTeam>,
}

impl EnvelopeReader {
    /// Reads pointers' bodies through `s3`, which must know the worker's own identity.
    #[must_use]
    pub fn new(s3: Arc<dyn Fetcher>, certificates: Certificates, clock: Clock) -> Self {
        Self { s3, certificates, clock, us: Arc::new(KnownTeam::ourselves()) }
    }
}

#[async_trait]
impl Envelopes for EnvelopeReader {
    async fn open(&self, pointer: &Pointer) -> Result<Pointed, EnvelopeError> {
        let Pointer { bucket, key } = pointer.clone();
        let request = FetchRequest {
            team: Arc::clone(&self.us),
            source: Source::S3 { bucket, key, pin: None, region: None },
            grant: Grant::AwsOwn(AwsReading::default()),
            want: Want::Body,
        };
        let fetched = self.s3.open(request).await.map_err(|fault| refusal(&fault, &pointer.bucket))?;
        Ok(Pointed { length: fetched.length, body: fetched.body })
    }

    async fn prove(&self, notification: &Notification) -> Result<(), EnvelopeError> {
        let certificate = self.certificates.of(notification).await?;
        let now = self.clock.now();
        certificate.check(now).and_then(|()| certificate.prove(notification)).map_err(EnvelopeError::Refused)
    }
}

fn refusal(fault: &AttachmentFault, bucket: &str) -> EnvelopeError {
    if fault.code.is_transient() {
        return EnvelopeError::Away(format!("the body in bucket {bucket}: {fault}"));
    }
    EnvelopeError::Refused(match fault.code {
        Code::NotFound => format!("the pointer names no object that is in bucket {bucket}"),
        Code::AccessDenied | Code::AccessDeniedOrMissing => {
            format!("the pointer's object in bucket {bucket} is not there, or the worker may not read it")
        }
        _ => format!("the pointer's object in bucket {bucket} cannot be read: {fault}"),
    })
}
