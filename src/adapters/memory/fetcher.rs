//! Sources in memory, with scripted bytes, faults and delays, under the same contract as real ones.
//!
//! A source is known by its name ([`Source::name`]); an unknown one is `not_found`. Texts give themselves. It counts what was
//! asked for, so that tests can say what was *not* fetched. Delays pass on tokio's time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::domain::attachment_url::redacted;
use crate::domain::digest::Sha256;
use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::{Place, Source};
use crate::domain::team::KnownTeam;
use crate::ports::budget::{Budget, Unlimited};
use crate::ports::fetcher::{Announced, BodyStream, FetchRequest, Fetched, Fetcher, Hop, Want};

/// Size of the pieces that bodies come in.
const PIECE_BYTES: usize = 64 << 10;

/// One scripted source.
#[derive(Debug, Clone)]
pub struct MemoryObject {
    /// What it holds.
    pub bytes: Bytes,
    /// What it calls this state.
    pub version: SourceVersion,
    /// Whether it gives ranges.
    pub ranges: bool,
    /// Whether it tells its length.
    pub tells_length: bool,
    /// The digest that it announces, true or not.
    pub announced: Option<Sha256>,
    /// How many requests fail at first…
    pub failures: u32,
    /// …and with what.
    pub fault: AttachmentFault,
    /// How many bodies break off at first…
    pub truncations: u32,
    /// …after how many bytes.
    pub cut_after: usize,
    /// How long the head takes.
    pub head_delay: Duration,
    /// How long each piece of the body takes.
    pub piece_delay: Duration,
}

impl MemoryObject {
    /// A source that simply gives `bytes`, names no version and gives no ranges.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            version: SourceVersion::default(),
            ranges: false,
            tells_length: true,
            announced: None,
            failures: 0,
            fault: AttachmentFault::new(Code::Unavailable, "the source answered 503").with_status(503),
            truncations: 0,
            cut_after: 0,
            head_delay: Duration::ZERO,
            piece_delay: Duration::ZERO,
        }
    }

    /// The same with a strong ETag, given with its quotes, and ranges.
    #[must_use]
    pub fn with_etag(mut self, etag: impl Into<String>) -> Self {
        self.version.etag = Some(etag.into());
        self.ranges = true;
        self
    }

    /// The same, failing `times` times with `fault` first.
    #[must_use]
    pub fn failing(mut self, times: u32, fault: AttachmentFault) -> Self {
        (self.failures, self.fault) = (times, fault);
        self
    }

    /// The same, breaking off `times` times after `bytes` bytes first.
    #[must_use]
    pub fn breaking(mut self, times: u32, bytes: usize) -> Self {
        (self.truncations, self.cut_after) = (times, bytes);
        self
    }
}

/// Fetches from memory.
pub struct MemoryFetcher {
    budget: Arc<dyn Budget>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, MemoryObject>,
    opened: Vec<(String, Want)>,
}

impl Default for MemoryFetcher {
    fn default() -> Self {
        Self::new(Arc::new(Unlimited))
    }
}

impl MemoryFetcher {
    /// An empty one that asks `budget` as real fetchers do.
    #[must_use]
    pub fn new(budget: Arc<dyn Budget>) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// Puts `object` behind `source`, in place of what was there.
    pub fn put(&self, source: &Source, object: MemoryObject) {
        self.state().objects.insert(source.name(), object);
    }

    /// Takes away what was behind `source`.
    pub fn remove(&self, source: &Source) {
        self.state().objects.remove(&source.name());
    }

    /// Every request so far, in order: the source's name and what was wanted of it.
    #[must_use]
    pub fn opened(&self) -> Vec<(String, Want)> {
        self.state().opened.clone()
    }

    /// How often `source` was asked for anything.
    #[must_use]
    pub fn times_opened(&self, source: &Source) -> usize {
        let name = source.name();
        self.state().opened.iter().filter(|(opened, _)| *opened == name).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and a test that did has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this request meets; a scripted failure or break is used up by it.
    fn met(&self, source: &Source, want: &Want) -> Met {
        let name = source.name();
        let mut state = self.state();
        state.opened.push((name.clone(), want.clone()));
        if let Source::Text(text) = source {
            return Met::Object(MemoryObject::new(text.clone()), None);
        }
        let Some(object) = state.objects.get_mut(&name) else {
            return Met::Nothing;
        };
        let met = object.clone();
        if object.failures > 0 {
            object.failures -= 1;
            return Met::Fault(met.fault, met.head_delay);
        }
        let breaks = object.truncations > 0 && *want != Want::Head;
        object.truncations -= u32::from(breaks);
        let cut = breaks.then_some(met.cut_after);
        Met::Object(met, cut)
    }

    fn body(&self, team: &Arc<KnownTeam>, place: Place, met: &MemoryObject, part: Part) -> BodyStream {
        let Part { bytes: rest, broken } = part;
        let end = broken.then(|| Err(AttachmentFault::new(Code::Truncated, "the body broke off")));
        let count = rest.len().div_ceil(PIECE_BYTES);
        let pieces = (0..count).map(move |n| rest.slice(n * PIECE_BYTES..rest.len().min((n + 1) * PIECE_BYTES)));
        let (budget, team, delay) = (Arc::clone(&self.budget), Arc::clone(team), met.piece_delay);
        stream::iter(pieces)
            .then(move |piece| {
                let (budget, team, place) = (Arc::clone(&budget), Arc::clone(&team), place.clone());
                async move {
                    tokio::time::sleep(delay).await;
                    budget.bytes(&team, &place, piece.len() as u64).await;
                    Ok(piece)
                }
            })
            .chain(stream::iter(end))
            .boxed()
    }
}

/// What a request meets.
enum Met {
    /// An object, and after how many bytes its body breaks off if it does.
    Object(MemoryObject, Option<usize>),
    /// A scripted fault, and how long it takes.
    Fault(AttachmentFault, Duration),
    Nothing,
}

/// The bytes that come, and whether they are not all.
struct Part {
    bytes: Bytes,
    broken: bool,
}

#[async_trait]
impl Fetcher for MemoryFetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let FetchRequest { team, source, want, grant: _ } = request;
        let place = source.place();
        if let Place::Host(host) = &place
            && !team.record.allows_host(host)
        {
            let message = "the host is not one of the team's allowed hosts";
            return Err(AttachmentFault::new(Code::BlockedAddress, message));
        }
        self.budget.request(&team, &place).await;
        let (met, cut) = match self.met(&source, &want) {
            Met::Object(met, cut) => (met, cut),
            Met::Fault(fault, delay) => {
                tokio::time::sleep(delay).await;
                return Err(fault);
            }
            Met::Nothing => {
                let message = "the source answered 404";
                return Err(AttachmentFault::new(Code::NotFound, message).with_status(404));
            }
        };
        tokio::time::sleep(met.head_delay).await;
        let size = met.bytes.len();
        let from = first_byte(&want, &met, size)?;
        let end = cut.unwrap_or(size).clamp(from, size);
        let part = Part { bytes: met.bytes.slice(from..end), broken: end < size };
        let body = match want {
            Want::Head => stream::empty().boxed(),
            Want::Body | Want::Rest { .. } => self.body(&team, place, &met, part),
        };
        Ok(Fetched {
            resumable: met.ranges && met.version.pin().is_some(),
            length: met.tells_length.then_some((size - from) as u64),
            announced: Announced { sha256: met.announced, crc: None, md5: None },
            hops: vec![Hop { url: redacted(&source.name()), address: None, status: Some(200) }],
            version: met.version,
            body,
        })
    }
}

/// Where the wanted part starts, if the source can give it.
fn first_byte(want: &Want, met: &MemoryObject, size: usize) -> Result<usize, AttachmentFault> {
    let Want::Rest { from, version } = want else {
        return Ok(0);
    };
    if !met.ranges || version.pin().is_none() {
        return Err(AttachmentFault::new(Code::Truncated, "the body broke, and the source gives no ranges"));
    }
    match usize::try_from(*from) {
        Ok(from) if from < size && version.pin() == met.version.pin() => Ok(from),
        Ok(_) | Err(_) => {
            let message = "the object changed while it was read";
            Err(AttachmentFault::new(Code::ChecksumMismatch, message))
        }
    }
}
