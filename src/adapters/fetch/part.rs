//! Decides whether an answer is what was asked for: the whole, or the very rest of the very version.
//!
//! Of a 206 nothing is taken on trust: its range must start where we stopped and end where the object ends, under the same
//! strong ETag. So two versions never meet in one copy.

use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH, RANGE};

use super::answer::{self, Coding, ContentRange};
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::clock::Clock;
use crate::ports::fetcher::{Announced, Want};

/// What the head says of the body behind it.
pub(super) struct Part {
    /// How many bytes must come; none where the other side does not say.
    pub(super) length: Option<u64>,
    /// The size of the whole object, as far as it is known.
    pub(super) total: Option<u64>,
    /// The coding of the bytes.
    pub(super) coding: Coding,
    /// The digests that came along: of the bytes as they are sent.
    pub(super) announced: Announced,
    /// Whether ranges of it can be asked for.
    pub(super) ranges: bool,
}

impl Part {
    /// Reads the head of an answer to `want`.
    ///
    /// # Errors
    /// The fault of every answer that is not exactly what was asked for.
    pub(super) fn of(status: u16, headers: &HeaderMap, host: &str, want: &Want) -> Result<Self, AttachmentFault> {
        match want {
            Want::Body | Want::Head if status == 200 => whole(headers, host),
            Want::Rest { from, version } => rest(status, headers, host, *from, version.etag.as_deref()),
            Want::Body | Want::Head => Err(refused(status, headers, host)),
        }
    }
}

/// Whether this status is one that [`Part::of`] judges.
pub(super) fn is_judged(status: u16, want: &Want) -> bool {
    match want {
        Want::Body | Want::Head => status == 200,
        Want::Rest { .. } => matches!(status, 200 | 206 | 412 | 416),
    }
}

/// An ETag, with or without its quotes, as a condition's field.
///
/// # Errors
/// `not_found` for a text that can be no object's ETag.
pub(super) fn quoted(etag: &str) -> Result<HeaderValue, AttachmentFault> {
    let bare = etag.trim_matches('"');
    HeaderValue::from_str(&format!("\"{bare}\"")).map_err(|_| {
        let message = "the state that was asked for has an ETag that no object can have";
        AttachmentFault::new(Code::NotFound, message)
    })
}

fn refused(status: u16, headers: &HeaderMap, host: &str) -> AttachmentFault {
    answer::refusal(status, headers, host, Clock::System.now())
}

fn whole(headers: &HeaderMap, host: &str) -> Result<Part, AttachmentFault> {
    let length = answer::content_length(headers);
    let coding = match length {
        // Some servers name a coding for an empty body that has none.
        Some(0) => Coding::Identity,
        Some(_) | None => answer::coding(headers).ok_or_else(|| {
            let message = format!("{host}: the body has a content coding that is not undone");
            AttachmentFault::new(Code::UnsupportedMedia, message)
        })?,
    };
    let announced = answer::announced(headers);
    Ok(Part { length, total: length, coding, announced, ranges: answer::offers_ranges(headers) })
}

fn rest(status: u16, headers: &HeaderMap, host: &str, from: u64, etag: Option<&str>) -> Result<Part, AttachmentFault> {
    let fault = |code, what: &str| AttachmentFault::new(code, format!("{host}: {what}")).with_status(status);
    match status {
        206 => {}
        200 => {
            return Err(fault(Code::Truncated, "the body broke, and the source gives no ranges"));
        }
        412 | 416 => {
            return Err(fault(Code::ChecksumMismatch, "the object changed while it was read"));
        }
        _ => return Err(refused(status, headers, host)),
    }
    let changed = answer::strong_etag(headers).as_deref() != etag;
    if changed {
        return Err(fault(Code::ChecksumMismatch, "the object changed while it was read"));
    }
    let range = answer::content_range(headers).filter(|range| is_rest(*range, from));
    let identity = answer::coding(headers) == Some(Coding::Identity);
    let (Some(range), true) = (range, identity) else {
        return Err(fault(Code::Truncated, "the source answered with another range"));
    };
    let length = range.total - from;
    if answer::content_length(headers).is_some_and(|announced| announced != length) {
        return Err(fault(Code::Truncated, "the source answered with another range"));
    }
    // A Content-MD5 would be of this part; a representation's digest is of the whole.
    let announced = Announced { md5: None, ..answer::announced(headers) };
    Ok(Part { length: Some(length), total: Some(range.total), coding: Coding::Identity, announced, ranges: true })
}

fn is_rest(range: ContentRange, from: u64) -> bool {
    range.first == from && range.last + 1 == range.total
}

/// The fields that ask for the rest of a version, and for nothing but that version.
pub(super) fn range_fields(want: &Want) -> Result<HeaderMap, AttachmentFault> {
    let mut fields = HeaderMap::new();
    let Want::Rest { from, version } = want else {
        return Ok(fields);
    };
    let unpinned = || AttachmentFault::new(Code::Truncated, "the body broke, and nothing names its version");
    let etag = version.etag.as_deref().ok_or_else(unpinned)?;
    fields.insert(IF_MATCH, HeaderValue::from_str(etag).map_err(|_| unpinned())?);
    let range = format!("bytes={from}-");
    fields.insert(RANGE, HeaderValue::from_str(&range).map_err(|_| unpinned())?);
    Ok(fields)
}
