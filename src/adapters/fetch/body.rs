//! Watches a body while it is read: its pace, its length, its size, and the team's byte budget.
//!
//! Only time in which we wait for the source counts. A reader that takes its time, or a budget that makes us wait, is not the
//! source's fault and ends nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::{Instant, timeout};

use super::trouble;
use crate::domain::crc::{Crc, CrcHasher};
use crate::domain::digest::{Sha256, Sha256Hasher};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::Place;
use crate::domain::team::KnownTeam;
use crate::ports::budget::Budget;
use crate::ports::fetcher::BodyStream;

/// How slow a source may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) idle: Duration,
    pub(super) total: Duration,
    pub(super) min_rate: u64,
    pub(super) window: Duration,
}

/// Who pays for the bytes.
#[derive(Clone)]
pub(super) struct Payer {
    pub(super) budget: Arc<dyn Budget>,
    pub(super) team: Arc<KnownTeam>,
    pub(super) place: Place,
}

/// What is known of a body before it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// How many bytes must come.
    pub(super) length: Option<u64>,
    /// How many may come.
    pub(super) bytes_max: u64,
    /// Their digest, where nobody behind us could compare it…
    pub(super) sha256: Option<Sha256>,
    /// …and their checksum.
    pub(super) crc: Option<Crc>,
}

/// A body under watch.
pub(super) struct Watched {
    source: BoxStream<'static, reqwest::Result<Bytes>>,
    host: String,
    pace: Pace,
    payer: Payer,
    expected: Expected,
    received: u64,
    hasher: Option<Sha256Hasher>,
    crc: Option<CrcHasher>,
    waited: Duration,
    window: Window,
}

/// What came in how much waiting, since the rate was looked at last.
#[derive(Debug, Default)]
struct Window {
    waited: Duration,
    bytes: u64,
}

impl Watched {
    pub(super) fn new(
        source: BoxStream<'static, reqwest::Result<Bytes>>, host: String, pace: Pace, payer: Payer, expected: Expected,
    ) -> Self {
        Self {
            source,
            host,
            pace,
            payer,
            expected,
            received: 0,
            hasher: expected.sha256.map(|_| Sha256Hasher::default()),
            crc: expected.crc.map(CrcHasher::new),
            waited: Duration::ZERO,
            window: Window::default(),
        }
    }

    /// The body as a stream that ends with the first fault. Dropped, it closes the connection.
    pub(super) fn into_stream(self) -> BodyStream {
        stream::unfold(Some(self), |state| async {
            let mut body = state?;
            match body.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(body))),
                Ok(None) => None,
                Err(fault) => Some((Err(fault), None)),
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, AttachmentFault> {
        loop {
            let Some(bytes) = self.wait().await? else {
                return self.finish();
            };
            // HTTP/2 may send empty pieces: no news for the reader, and no sign of life either.
            if bytes.is_empty() {
                continue;
            }
            self.count(&bytes)?;
            let paid = bytes.len() as u64;
            let payer = &self.payer;
            payer.budget.bytes(&payer.team, &payer.place, paid).await;
            return Ok(Some(bytes));
        }
    }

    async fn wait(&mut self) -> Result<Option<Bytes>, AttachmentFault> {
        let left = self.pace.total.saturating_sub(self.waited);
        let started = Instant::now();
        let found = timeout(self.pace.idle.min(left), self.source.next()).await;
        let waited = started.elapsed();
        self.waited += waited;
        self.window.waited += waited;
        let Ok(found) = found else {
            return Err(self.fault(Code::Timeout, "the body came too slowly"));
        };
        let bytes = found.transpose().map_err(|_| trouble::of_body(&self.host))?;
        self.check_rate(bytes.as_ref().map_or(0, Bytes::len))?;
        Ok(bytes)
    }

    fn check_rate(&mut self, bytes: usize) -> Result<(), AttachmentFault> {
        self.window.bytes += bytes as u64;
        if self.window.waited < self.pace.window {
            return Ok(());
        }
        let window = std::mem::take(&mut self.window);
        let wanted = u128::from(self.pace.min_rate) * window.waited.as_millis();
        if u128::from(window.bytes) * 1000 < wanted {
            return Err(self.fault(Code::Timeout, "the body came below the least rate"));
        }
        Ok(())
    }

    fn count(&mut self, bytes: &Bytes) -> Result<(), AttachmentFault> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > self.expected.bytes_max {
            return Err(too_large(&self.host, self.expected.bytes_max));
        }
        if self.expected.length.is_some_and(|length| self.received > length) {
            return Err(self.fault(Code::Truncated, "the body is longer than announced"));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Option<Bytes>, AttachmentFault> {
        if self.expected.length.is_some_and(|length| self.received < length) {
            return Err(self.fault(Code::Truncated, "the body is shorter than announced"));
        }
        let found = self.hasher.take().map(Sha256Hasher::finish);
        let has_crc = self.crc.take().is_none_or(|crc| crc.fits());
        if found != self.expected.sha256 || !has_crc {
            return Err(self.fault(Code::ChecksumMismatch, "the body is not what its digest says"));
        }
        Ok(None)
    }

    fn fault(&self, code: Code, what: &str) -> AttachmentFault {
        AttachmentFault::new(code, format!("{}: {what}", self.host))
    }
}

/// The fault of a body above the limit.
pub(super) fn too_large(host: &str, bytes_max: u64) -> AttachmentFault {
    AttachmentFault::new(Code::TooLarge, format!("{host}: the body is larger than {bytes_max} bytes"))
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
