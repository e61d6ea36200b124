//! A source's body as it is read: counted, hashed, bounded, and taken up again where it broke.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use md5::{Digest, Md5};
use tokio::time::sleep;

use super::Job;
use crate::domain::crc::CrcHasher;
use crate::domain::digest::{Sha256, Sha256Hasher};
use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::engine::retry::Next;
use crate::engine::retry_budget::Retries;
use crate::ports::fetcher::{Announced, BodyStream, Fetched, Fetcher, Want};
use crate::ports::store::PART_BYTES;

/// Reads one source to its end.
pub(super) struct Body {
    fetcher: Arc<dyn Fetcher>,
    job: Job,
    retries: Retries,
    stream: BodyStream,
    pub(super) version: SourceVersion,
    resumable: bool,
    expected: Option<u64>,
    announced: Announced,
    bytes_max: u64,
    /// How many bytes have come.
    pub(super) read: u64,
    /// How many had come when it broke last.
    broke_at: u64,
    breaks: u32,
    rest: Bytes,
    sha256: Sha256Hasher,
    crc: Option<CrcHasher>,
    md5: Option<Md5>,
}

/// The next bytes of a body.
pub(super) struct Filled {
    /// The bytes: exactly as many as asked for, or fewer at the end.
    pub(super) bytes: Bytes,
    /// Whether these were the last.
    pub(super) ended: bool,
}

impl Body {
    /// Reads what `fetched` gives, for `job`.
    pub(super) fn new(
        fetcher: Arc<dyn Fetcher>, job: &Job, retries: Retries, bytes_max: u64, fetched: Fetched,
    ) -> Self {
        // MD5 costs more than all the rest together, so it is taken only where the source offers nothing better.
        let announced = &fetched.announced;
        let crc = announced.crc.filter(|_| announced.sha256.is_none()).map(CrcHasher::new);
        let md5 = (announced.sha256.is_none() && crc.is_none() && announced.md5.is_some()).then(Md5::new);
        Self {
            fetcher,
            job: job.clone(),
            retries,
            stream: fetched.body,
            version: fetched.version,
            resumable: fetched.resumable,
            expected: fetched.length,
            announced: fetched.announced,
            bytes_max,
            read: 0,
            broke_at: 0,
            breaks: 0,
            rest: Bytes::new(),
            sha256: Sha256Hasher::default(),
            crc,
            md5,
        }
    }

    /// Reads up to `bytes_wanted` bytes; fewer only at the end.
    pub(super) async fn fill(&mut self, bytes_wanted: usize) -> Result<Filled, AttachmentFault> {
        let mut filled = BytesMut::with_capacity(self.capacity_for(bytes_wanted));
        loop {
            if self.rest.is_empty() {
                match self.next_chunk().await? {
                    Some(chunk) => self.rest = chunk,
                    None => {
                        return Ok(Filled { bytes: filled.freeze(), ended: true });
                    }
                }
                continue;
            }
            if filled.len() == bytes_wanted {
                return Ok(Filled { bytes: filled.freeze(), ended: false });
            }
            let take = self.rest.len().min(bytes_wanted - filled.len());
            filled.extend_from_slice(&self.rest.split_to(take));
        }
    }

    /// Room for what is still to come where that is known, so that no buffer grows by copying; else a small beginning.
    fn capacity_for(&self, bytes_wanted: usize) -> usize {
        let given = self.read - self.rest.len() as u64;
        let left =
            self.expected.map_or(64 * 1024, |all| usize::try_from(all.saturating_sub(given)).unwrap_or(usize::MAX));
        left.min(bytes_wanted)
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, AttachmentFault> {
        loop {
            match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => return self.take(chunk).map(Some),
                Some(Err(fault)) => self.resume_after(fault).await?,
            }
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes, AttachmentFault> {
        self.read += chunk.len() as u64;
        self.job.progress.moved(chunk.len() as u64);
        if self.read > self.bytes_max {
            let message = format!("the content is larger than the allowed {} bytes", self.bytes_max);
            return Err(AttachmentFault::new(Code::TooLarge, message));
        }
        self.sha256.update(&chunk);
        if let Some(crc) = &mut self.crc {
            crc.update(&chunk);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(&chunk);
        }
        Ok(chunk)
    }

    /// Opens the rest of a body that broke, if the source can give exactly the rest of exactly this version. A part's worth
    /// of progress earns new tries and pays for the next one, so that a long download outlives many breaks and a dead
    /// one does not.
    async fn resume_after(&mut self, mut fault: AttachmentFault) -> Result<(), AttachmentFault> {
        let (team, place) = (self.job.team.id.clone(), self.job.source.place());
        if self.read - self.broke_at >= PART_BYTES as u64 {
            self.breaks = 0;
            self.retries.earned(&team, &place);
        }
        self.broke_at = self.read;
        loop {
            self.breaks += 1;
            if !self.resumable || self.read == 0 {
                return Err(fault);
            }
            match self.retries.next(&team, &place, fault.fault(), self.breaks) {
                Next::After(wait) => sleep(wait).await,
                Next::GiveUp => return Err(fault),
            }
            let want = Want::Rest { from: self.read, version: self.version.clone() };
            match self.fetcher.open(self.job.request(want)).await {
                Ok(fetched) => {
                    self.stream = fetched.body;
                    return Ok(());
                }
                Err(next) => fault = next,
            }
        }
    }

    /// Checks the whole against what the source said of it, and returns its digest.
    pub(super) fn verify(&mut self) -> Result<Sha256, AttachmentFault> {
        if let Some(expected) = self.expected
            && expected != self.read
        {
            let message = format!("the source announced {expected} bytes and sent {}", self.read);
            return Err(AttachmentFault::new(Code::Truncated, message));
        }
        let sha256 = self.sha256.clone().finish();
        let md5_differs = self.md5.take().is_some_and(|md5| Some(md5.finalize().into()) != self.announced.md5);
        let crc_differs = self.crc.take().is_some_and(|crc| !crc.fits());
        let sha256_differs = self.announced.sha256.is_some_and(|announced| announced != sha256);
        if sha256_differs || crc_differs || md5_differs {
            let message = "the content does not have the digest that the source sent with it";
            return Err(AttachmentFault::new(Code::ChecksumMismatch, message));
        }
        Ok(sha256)
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
