//! Reads the head of an HTTP answer: what its status means, which version it is, what it announces.
//!
//! Nothing that the other side wrote reaches a message but numbers; a field that breaks its own grammar counts as absent.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{self, HeaderMap, HeaderName};

use crate::domain::digest::Sha256;
use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::fetcher::Announced;

/// Longest wait that a source may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Longest ETag, version or request id that is kept, in bytes.
const FIELD_BYTES_MAX: usize = 1024;

/// The content coding that a body came in although we asked for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// The range that a 206 holds: first byte, last byte, size of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) total: u64,
}

/// The fault of a final status that is no success.
pub(super) fn refusal(status: u16, headers: &HeaderMap, host: &str, now: Timestamp) -> AttachmentFault {
    let code = match status {
        401 | 403 => Code::AccessDenied,
        404 | 410 => Code::NotFound,
        408 => Code::Timeout,
        429 => Code::Throttled,
        500..=599 => Code::Unavailable,
        _ => Code::HttpStatus,
    };
    let mut fault = AttachmentFault::new(code, format!("{host} answered {status}")).with_status(status);
    if matches!(status, 429 | 503) {
        fault.retry_after = retry_after(headers, now, RETRY_AFTER_MAX);
    }
    fault.request_id = request_id(headers, host);
    fault
}

/// What the source calls this state. Version ids are believed only of the clouds' own object hosts.
pub(super) fn version(headers: &HeaderMap, host: &str) -> SourceVersion {
    if is_s3(host) {
        s3_version(headers)
    } else if is_gcs(host) {
        gcs_version(headers)
    } else {
        state(headers, None)
    }
}

/// What S3, or a server that speaks as S3 does, calls this state.
pub(super) fn s3_version(headers: &HeaderMap) -> SourceVersion {
    // "null" is what S3 calls the only version of an object without versions: it names no bytes.
    let version = text(headers, "x-amz-version-id").filter(|version| version != "null");
    state(headers, version)
}

/// What Azure Storage calls this state; without versions only its ETag.
pub(super) fn azure_version(headers: &HeaderMap) -> SourceVersion {
    state(headers, text(headers, "x-ms-version-id"))
}

/// What Google Cloud Storage, or a server that speaks as it does, calls this state.
pub(super) fn gcs_version(headers: &HeaderMap) -> SourceVersion {
    state(headers, text(headers, "x-goog-generation"))
}

fn state(headers: &HeaderMap, version: Option<String>) -> SourceVersion {
    let last_modified = text(headers, header::LAST_MODIFIED).and_then(|date| http_date(&date));
    SourceVersion { etag: strong_etag(headers), version, last_modified }
}

/// The strong ETag, with its quotes.
pub(super) fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let etag = text(headers, header::ETAG)?;
    let inner = etag.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.is_empty() && !inner.contains('"')).then_some(etag)
}

/// The digests that came with the whole body.
pub(super) fn announced(headers: &HeaderMap) -> Announced {
    let sha256 = text(headers, "repr-digest")
        .and_then(|field| sha256_in(&field, repr_digest_value))
        .or_else(|| text(headers, "digest").and_then(|field| sha256_in(&field, |value| Some(value))));
    let md5 = text(headers, "content-md5")
        .and_then(|field| STANDARD.decode(field).ok())
        .and_then(|bytes| bytes.try_into().ok());
    Announced { sha256, crc: None, md5 }
}

/// The coding of the body; `None` for one that is not undone here.
pub(super) fn coding(headers: &HeaderMap) -> Option<Coding> {
    let mut codings = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(|coding| coding.trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity");
    let coding = match codings.next().as_deref() {
        None => Coding::Identity,
        Some("gzip" | "x-gzip") => Coding::Gzip,
        Some("zstd") => Coding::Zstd,
        Some(_) => return None,
    };
    codings.next().is_none().then_some(coding)
}

/// The announced length of this answer's body.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    number(&text(headers, header::CONTENT_LENGTH)?)
}

/// Whether byte ranges are offered.
pub(super) fn offers_ranges(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT_RANGES).is_some_and(|units| units.eq_ignore_ascii_case("bytes"))
}

/// The range that a 206 says it holds; `None` unless it says so wholly.
pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let field = text(headers, header::CONTENT_RANGE)?;
    let (range, total) = field.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let range = ContentRange { first: number(first)?, last: number(last)?, total: number(total)? };
    (range.first <= range.last && range.last < range.total).then_some(range)
}

/// Where a redirect leads, as it was written.
pub(super) fn location(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(headers.get(header::LOCATION)?.as_bytes()).ok()
}

/// A field's value, unless it is empty, too long or no plain text.
pub(super) fn text(headers: &HeaderMap, name: impl Into<FieldName>) -> Option<String> {
    let FieldName(name) = name.into();
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty() && value.len() <= FIELD_BYTES_MAX).then(|| value.to_owned())
}

pub(super) struct FieldName(HeaderName);

impl From<HeaderName> for FieldName {
    fn from(name: HeaderName) -> Self {
        Self(name)
    }
}

impl From<&'static str> for FieldName {
    fn from(name: &'static str) -> Self {
        Self(HeaderName::from_static(name))
    }
}

/// Only digits: `u64::from_str` would take a sign too.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// RFC 9530 writes bytes between colons.
fn repr_digest_value(value: &str) -> Option<&str> {
    value.split(';').next()?.trim().strip_prefix(':')?.strip_suffix(':')
}

fn sha256_in(field: &str, value_of: impl Fn(&str) -> Option<&str>) -> Option<Sha256> {
    field.split(',').find_map(|member| {
        let (name, value) = member.trim().split_once('=')?;
        if !name.eq_ignore_ascii_case("sha-256") {
            return None;
        }
        Sha256::from_bytes(&STANDARD.decode(value_of(value)?).ok()?)
    })
}

/// How long the other side asked us to stay away, at most `longest`.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp, longest: Duration) -> Option<Duration> {
    let field = text(headers, header::RETRY_AFTER)?;
    let wait = match field.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit into a number are more than we wait.
        true => Duration::from_secs(field.parse().unwrap_or(u64::MAX)),
        false => wait_until(http_date(&field)?, now),
    };
    Some(wait.min(longest))
}

fn wait_until(date: Timestamp, now: Timestamp) -> Duration {
    let wait: SignedDuration = date.duration_since(now);
    Duration::try_from(wait).unwrap_or(Duration::ZERO)
}

/// Reads the date form that HTTP demands today; the two forms of the last century count as absent.
fn http_date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(date.timestamp())
}

fn request_id(headers: &HeaderMap, host: &str) -> Option<String> {
    if is_s3(host) {
        text(headers, "x-amz-request-id")
    } else if is_gcs(host) {
        text(headers, "x-guploader-uploadid")
    } else if host.ends_with(".blob.core.windows.net") {
        text(headers, "x-ms-request-id")
    } else {
        None
    }
}

/// Not every host below amazonaws.com is S3: load balancers and gateways there answer what their owners like.
fn is_s3(host: &str) -> bool {
    let labels = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"));
    labels.is_some_and(|labels| {
        let mut last_two = labels.rsplit('.').take(2);
        last_two.any(|label| label == "s3" || label.starts_with("s3-"))
    })
}

fn is_gcs(host: &str) -> bool {
    host == "storage.googleapis.com" || host.ends_with(".storage.googleapis.com")
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
