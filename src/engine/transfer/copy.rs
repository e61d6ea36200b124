//! Copies an opened source into internal storage: what fits one part in one put, what is larger part by part.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::adopt::HEAD_BYTES;
use super::body::{Body, Filled};
use super::{Job, Stored, Transfer};
use crate::domain::digest::Sha256;
use crate::domain::facts::{Facts, SourceFacts};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::media_type;
use crate::domain::object_key::{Key, ObjectId};
use crate::domain::source::{Place, Source};
use crate::engine::lanes::InFlight;
use crate::engine::memory::Grant;
use crate::ports::crash;
use crate::ports::fetcher::{Fetched, Want};
use crate::ports::store::{ObjectMeta, PART_BYTES, Put, Upload};

/// Facts of this size still fit beside the object in S3, whose metadata is limited to 2 kB.
const FACTS_BESIDE_BYTES_MAX: usize = 1500;

/// How long an answer may wait for memory before its source loses patience; servers commonly give a minute.
const UNREAD_MAX: Duration = Duration::from_secs(10);

/// The bytes of a content's first part, as far as its length is known.
fn first_part(fetched: &Fetched) -> usize {
    fetched.length.map_or(PART_BYTES, |length| usize::try_from(length).unwrap_or(PART_BYTES).min(PART_BYTES))
}

/// What the first bytes of a content tell.
struct Seen {
    media_type: String,
    extension: &'static str,
    size: Option<(u32, u32)>,
}

impl Transfer {
    /// Takes memory for what `fetched` will need first: its announced length, or a whole part. A source does not wait for long
    /// with an answer that nobody reads, so where memory is short the answer is let go and asked for again once there is some.
    pub(super) async fn with_memory(&self, job: &Job, fetched: Fetched) -> Result<(Fetched, Grant), AttachmentFault> {
        if fetched.length.is_some_and(|length| length > self.bytes_max) {
            let message = format!("the source announces more than the allowed {} bytes", self.bytes_max);
            return Err(AttachmentFault::new(Code::TooLarge, message));
        }
        let place = job.source.place();
        if let Some(grant) = self.memory_in_time(job, &place, first_part(&fetched)).await {
            return Ok((fetched, grant));
        }
        drop(fetched);
        let mut grant = self.parts.take(&job.team.id, &place, PART_BYTES).await;
        let fetched = self.fetcher.open(job.request(Want::Body)).await?;
        grant.shrink_to(first_part(&fetched));
        Ok((fetched, grant))
    }

    /// Memory for an answer that waits unread, unless that takes too long. While the store is away nothing moves, and asking
    /// again would only fetch twice: then the answer is kept.
    async fn memory_in_time(&self, job: &Job, place: &Place, bytes: usize) -> Option<Grant> {
        // The place in the line is given up by the end of this function: held on to, it would be served and never used.
        let taking = self.parts.take(&job.team.id, place, bytes);
        tokio::pin!(taking);
        loop {
            if let Ok(grant) = timeout(UNREAD_MAX, &mut taking).await {
                return Some(grant);
            }
            if !self.store_gate.is_down() {
                return None;
            }
        }
    }

    /// Copies `fetched` to the object `id`, in the memory of `grant`.
    pub(super) async fn copy(
        &self, job: &Job, id: &ObjectId, (fetched, grant): (Fetched, Grant), in_flight: &mut InFlight,
    ) -> Result<Stored, AttachmentFault> {
        let fetcher = std::sync::Arc::clone(&self.fetcher);
        let mut body = Body::new(fetcher, job, self.retries.clone(), self.bytes_max, fetched);
        let first = body.fill(PART_BYTES).await?;
        in_flight.has_read(body.read);
        let seen = Seen::in_head(job, &first.bytes);
        Self::check_media(job, &seen.media_type)?;
        let stored = if first.ended {
            self.put_whole(job, id, &mut body, &seen, first.bytes).await?
        } else {
            self.put_parts(job, id, (&mut body, in_flight), &seen, first).await?
        };
        drop(grant);
        Ok(stored)
    }

    async fn put_whole(
        &self, job: &Job, id: &ObjectId, body: &mut Body, seen: &Seen, content: Bytes,
    ) -> Result<Stored, AttachmentFault> {
        let sha256 = body_digest(job, body)?;
        let facts = seen.facts(body, sha256);
        let beside = serde_json::to_vec(&facts).expect("facts are JSON with text keys");
        let is_beside = self.store.keeps_facts() && beside.len() <= FACTS_BESIDE_BYTES_MAX;
        let meta = ObjectMeta { media_type: &seen.media_type, facts: is_beside.then_some(beside.as_slice()) };
        let key = id.key(seen.extension);
        match self.ask_store(|| self.store.put_if_absent(&key, content.clone(), meta)).await? {
            Put::Stored if is_beside => self.copied(key, facts),
            Put::Stored => {
                crash::point("object-stored");
                let facts = self.write_facts(&key, facts).await?;
                self.copied(key, facts)
            }
            Put::Exists => self.take_over(job, key).await,
        }
    }

    async fn put_parts(
        &self, job: &Job, id: &ObjectId, (body, in_flight): (&mut Body, &mut InFlight), seen: &Seen, first: Filled,
    ) -> Result<Stored, AttachmentFault> {
        let key = id.key(seen.extension);
        let meta = ObjectMeta { media_type: &seen.media_type, facts: None };
        let mut upload = self.ask_store(|| self.store.begin(&key, meta)).await?;
        let sent = self.send_parts(job, (body, in_flight), upload.as_mut(), first).await;
        let finished = match sent.and_then(|()| body_digest(job, body)) {
            Ok(sha256) => self.finish(upload.as_mut()).await.map(|put| (put, sha256)),
            Err(fault) => Err(fault),
        };
        match finished {
            Ok((Put::Stored, sha256)) => {
                crash::point("object-stored");
                let facts = self.write_facts(&key, seen.facts(body, sha256)).await?;
                self.copied(key, facts)
            }
            Ok((Put::Exists, _)) => self.take_over(job, key).await,
            Err(fault) => {
                upload.abort().await;
                Err(fault)
            }
        }
    }

    /// Sends all parts. While one is on its way the next is read, if there is memory to be had without waiting.
    async fn send_parts(
        &self, job: &Job, (body, in_flight): (&mut Body, &mut InFlight), upload: &mut dyn Upload, first: Filled,
    ) -> Result<(), AttachmentFault> {
        let (mut part, place) = (first, job.source.place());
        let mut ahead = None;
        while !part.ended {
            ahead = ahead.or_else(|| self.parts.try_take(&job.team.id, &place, PART_BYTES));
            let sending = self.send(upload, part.bytes);
            part = if ahead.is_some() {
                let ((), next) = futures::try_join!(sending, body.fill(PART_BYTES))?;
                next
            } else {
                sending.await?;
                body.fill(PART_BYTES).await?
            };
            in_flight.has_read(body.read);
        }
        if part.bytes.is_empty() { Ok(()) } else { self.send(upload, part.bytes).await }
    }

    async fn send(&self, upload: &mut dyn Upload, content: Bytes) -> Result<(), AttachmentFault> {
        let mut tries = 0;
        loop {
            match upload.part(content.clone()).await {
                Ok(()) => {
                    self.store_gate.came_back();
                    return Ok(());
                }
                Err(error) => self.wait_for_store(&error, tries).await?,
            }
            tries += 1;
        }
    }

    async fn finish(&self, upload: &mut dyn Upload) -> Result<Put, AttachmentFault> {
        let mut tries = 0;
        loop {
            match upload.finish().await {
                Ok(put) => {
                    self.store_gate.came_back();
                    return Ok(put);
                }
                Err(error) => self.wait_for_store(&error, tries).await?,
            }
            tries += 1;
        }
    }

    async fn wait_for_store(&self, error: &crate::ports::store::StoreError, tries: u32) -> Result<(), AttachmentFault> {
        if !error.is_transient() {
            return Err(super::broken_store(error));
        }
        self.store_gate.went_down(error);
        tokio::time::sleep(crate::engine::outage::wait_after(tries)).await;
        Ok(())
    }

    fn copied(&self, key: Key, facts: Facts) -> Result<Stored, AttachmentFault> {
        crash::point("facts-written");
        self.count_copy(facts.source.bytes);
        Ok(Stored { key, facts, is_new: true })
    }

    /// Something stands at the key: another delivery's copy, or our own of which the answer was lost.
    async fn take_over(&self, job: &Job, key: Key) -> Result<Stored, AttachmentFault> {
        let facts = self.facts_of(&key).await?;
        Self::check_promises(job, &facts)?;
        crate::engine::tally::Tally::add(&self.tally.adopted);
        Ok(Stored { key, facts, is_new: false })
    }
}

/// The digest of a body that has ended, checked against what source and sender said.
fn body_digest(job: &Job, body: &mut Body) -> Result<Sha256, AttachmentFault> {
    let sha256 = body.verify()?;
    match job.attachment.sha256 {
        Some(promised) if promised != sha256 => {
            let message = format!("the task gives the digest {promised}, the content has {sha256}");
            Err(AttachmentFault::new(Code::DigestMismatch, message))
        }
        Some(_) | None => Ok(sha256),
    }
}

impl Seen {
    fn in_head(job: &Job, content: &[u8]) -> Self {
        let head = &content[..content.len().min(HEAD_BYTES)];
        let declared = match &job.source {
            Source::Text(_) => job.attachment.media_type.as_deref().or(Some("text/plain")),
            Source::Http(_) | Source::S3 { .. } | Source::Gcs { .. } | Source::AzureBlob(_) | Source::File(_) => {
                job.attachment.media_type.as_deref()
            }
        };
        let name = job.source.name();
        let path = name.split(['?', '#']).next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        let extension = file.rsplit_once('.').map(|(_, extension)| extension);
        let media_type = media_type::refine(media_type::sniff(head), declared, extension);
        Self {
            extension: media_type::extension(&media_type),
            size: media_type::image_size(head),
            media_type: media_type.to_string(),
        }
    }

    fn facts(&self, body: &Body, sha256: Sha256) -> Facts {
        let source = SourceFacts {
            media_type: self.media_type.clone(),
            bytes: body.read,
            sha256,
            etag: body.version.etag.clone(),
            version: body.version.version.clone(),
            last_modified: body.version.last_modified,
        };
        Facts {
            media_type: self.media_type.clone(),
            bytes: body.read,
            sha256,
            width: self.size.map(|size| size.0),
            height: self.size.map(|size| size.1),
            source,
            normalized: Vec::new(),
        }
    }
}
