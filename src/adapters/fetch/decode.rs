//! Undoes a content coding that came unasked, as the bytes pass.
//!
//! Bounded thrice: by the longest body, by how much a compressed byte may grow, and by the decoder's window. A compressed body
//! that breaks off or is none is `truncated`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio_util::io::{ReaderStream, StreamReader};

use super::answer::Coding;
use super::body::too_large;
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::fetcher::BodyStream;

/// Size of the decoded pieces.
const PIECE_BYTES: usize = 64 << 10;

/// How many bytes one compressed byte may become; ordinary data stays below 50, gzip itself ends near 1030.
const RATIO_MAX: u64 = 500;

/// Decoded bytes below which the ratio is not looked at.
const RATIO_FROM_BYTES: u64 = 1 << 20;

/// Window that a zstd decoder may need, as a power of two: the 8 MiB that RFC 9659 allows in HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Returns the body without its coding.
pub(super) fn decoded(body: BodyStream, coding: Coding, host: String, bytes_max: u64) -> BodyStream {
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let counted = body.inspect_ok(move |bytes| {
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    });
    let reader = StreamReader::new(counted.map_err(io::Error::other));
    let pieces: BoxStream<'static, io::Result<Bytes>> = match coding {
        Coding::Identity => ReaderStream::with_capacity(reader, PIECE_BYTES).boxed(),
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(reader);
            decoder.multiple_members(true);
            ReaderStream::with_capacity(decoder, PIECE_BYTES).boxed()
        }
        Coding::Zstd => {
            let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
            let mut decoder = ZstdDecoder::with_params(reader, &window);
            decoder.multiple_members(true);
            ReaderStream::with_capacity(decoder, PIECE_BYTES).boxed()
        }
    };
    bounded(pieces, taken, host, bytes_max)
}

fn bounded(
    pieces: BoxStream<'static, io::Result<Bytes>>, taken: Arc<AtomicU64>, host: String, bytes_max: u64,
) -> BodyStream {
    let start = Some((pieces, 0u64));
    stream::unfold(start, move |state| {
        let (taken, host) = (Arc::clone(&taken), host.clone());
        async move {
            let (mut pieces, made) = state?;
            let piece = match pieces.next().await? {
                Ok(piece) => piece,
                Err(error) => return Some((Err(fault_of(&error, &host)), None)),
            };
            let made = made.saturating_add(piece.len() as u64);
            let most = RATIO_MAX.saturating_mul(taken.load(Ordering::Relaxed));
            if made > bytes_max {
                return Some((Err(too_large(&host, bytes_max)), None));
            }
            if made > RATIO_FROM_BYTES && made > most {
                return Some((Err(bomb(&host)), None));
            }
            Some((Ok(piece), Some((pieces, made))))
        }
    })
    .boxed()
}

fn bomb(host: &str) -> AttachmentFault {
    let message = format!("{host}: the body unpacks to more than {RATIO_MAX} times of what was sent");
    AttachmentFault::new(Code::TooLarge, message)
}

/// The body's own fault, if it was that which broke the decoder.
fn fault_of(error: &io::Error, host: &str) -> AttachmentFault {
    let own = error.get_ref().and_then(|inner| inner.downcast_ref::<AttachmentFault>());
    own.cloned()
        .unwrap_or_else(|| AttachmentFault::new(Code::Truncated, format!("{host}: the compressed body is broken")))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
