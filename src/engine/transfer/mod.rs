//! One attachment, from its source to its stored copy.
//!
//! A try looks for an earlier copy where there can be one, opens the source, and copies it: [`copy`]. What fails in passing is
//! tried again here, by one policy. Whoever finds a copy, or loses the put, adopts it with the facts that stand beside it:
//! [`adopt`]. Dropped at any moment, a transfer leaves a whole object, or none.

mod adopt;
mod body;
mod copy;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;

use super::claims::{ClaimAnswer, ClaimKind, Claims};
use super::integrations::standing::Standing;
use super::lanes::{InFlight, InLine, Lanes, is_hosts_trouble};
use super::memory::Parts;
use super::outage::{Gate, wait_after};
use super::progress::Progress;
use super::retry::Next;
use super::retry_budget::Retries;
use super::tally::{Counted, Tally};
use crate::domain::access::Grant;
use crate::domain::attachment_url::redacted;
use crate::domain::facts::Facts;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TaskId;
use crate::domain::media_type::{MediaType, contradicts};
use crate::domain::object_key::{AskedBy, Key, ObjectId, ObjectIdentity};
use crate::domain::plan::Profile;
use crate::domain::receipt::Outcome;
use crate::domain::source::Source;
use crate::domain::task::Attachment;
use crate::domain::team::KnownTeam;
use crate::ports::fetcher::{FetchRequest, Fetcher, Want};
use crate::ports::store::{Store, StoreError};

/// One attachment to copy.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose it is.
    pub team: Arc<KnownTeam>,
    /// Its task.
    pub task: TaskId,
    /// The task's round.
    pub round: u32,
    /// The attachment.
    pub attachment: Attachment,
    /// Where it comes from.
    pub source: Source,
    /// With whose rights it is read.
    pub grant: Grant,
    /// What is done to it.
    pub profile: Profile,
    /// Whether somebody may have copied it before: a redelivery or a re-import. A first delivery does not look before it
    /// puts.
    pub look: bool,
    /// How far its delivery is; told by the attachment itself.
    pub progress: Arc<Progress>,
    /// Where it stands in its lane's line.
    pub in_line: InLine,
}

impl Job {
    fn object_id(&self, pin: Option<&str>) -> ObjectId {
        let asked_by = AskedBy { task: &self.task, attachment: &self.attachment.id, round: self.round };
        ObjectId::of(&ObjectIdentity {
            team: &self.team.id,
            source: &self.source,
            pin,
            profile_fingerprint: &self.profile.fingerprint,
            asked_by,
        })
    }

    fn request(&self, want: Want) -> FetchRequest {
        FetchRequest { team: Arc::clone(&self.team), source: self.source.clone(), grant: self.grant.clone(), want }
    }
}

/// A copy that is there.
struct Stored {
    key: Key,
    facts: Facts,
    is_new: bool,
}

/// What a look for an earlier copy brought.
enum Looked {
    /// A copy.
    Found(Stored),
    /// Nothing: the source is to be opened.
    Nothing,
    /// The host's trouble, which opening the source would only meet again: the first try has failed.
    Failed(AttachmentFault),
}

/// What became of an attachment in this delivery.
#[derive(Debug, Clone)]
pub struct Tried {
    /// Its outcome, final unless it may be tried again.
    pub outcome: Outcome,
    /// Whether this delivery made the copy.
    pub is_new_copy: bool,
    /// When the source asked us to come back.
    pub come_back: Option<Duration>,
}

impl Tried {
    /// An attachment that nothing was tried for.
    #[must_use]
    pub fn refused(outcome: Outcome) -> Self {
        Self { outcome, is_new_copy: false, come_back: None }
    }
}

/// Copies attachments.
pub struct Transfer {
    /// Where copies go.
    pub store: Arc<dyn Store>,
    /// Where they come from.
    pub fetcher: Arc<dyn Fetcher>,
    /// Whose buckets and roles are whose.
    pub claims: Claims,
    /// What checks have found against roles.
    pub standing: Arc<Standing>,
    /// Open while the store answers.
    pub store_gate: Gate,
    /// Open while plain hosts can be reached at all.
    pub way_out: Gate,
    /// Memory for parts.
    pub parts: Parts,
    /// Who may be in flight.
    pub lanes: Lanes,
    /// When a try is repeated.
    pub retries: Retries,
    /// The largest attachment in bytes.
    pub bytes_max: u64,
    /// What was done so far.
    pub tally: Arc<Tally>,
}

/// When something is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claiming {
    /// Before it is used.
    Before,
    /// When it has answered.
    Read,
}

impl Transfer {
    /// Copies one attachment and says what became of it. Waits as long as the store is away: whoever holds a deadline races
    /// it with this.
    pub async fn run(&self, job: &Job) -> Tried {
        let _active = job.progress.active();
        let mut outcome = match self.look(job).await {
            Ok(Looked::Found(stored)) => return self.stored(job, stored),
            Ok(Looked::Nothing) => None,
            Ok(Looked::Failed(fault)) => Some(Err(fault)),
            Err(fault) => return Tried::refused(Outcome::failed(&job.attachment, &fault, 0)),
        };
        let (team, place, door) = (&job.team.id, job.source.place(), job.source.door());
        self.retries.first_try(team, &place);
        let mut tried = 0;
        loop {
            tried += 1;
            let tried_now = match outcome.take() {
                Some(outcome) => outcome,
                None => self.try_with_a_way_out(job).await,
            };
            let fault = match tried_now {
                Ok(stored) => return self.stored(job, stored),
                Err(fault) => fault,
            };
            job.progress.fail();
            let is_dead = fault.is_unreached && self.lanes.is_dead(team, &door);
            if is_dead || is_hosts_trouble(&fault) && self.lanes.is_struggling(team, &door) {
                return self.give_up(job, &fault, tried).await;
            }
            match self.retries.next(team, &place, fault.fault(), tried) {
                Next::After(wait) => {
                    debug!(attachment.id = %job.attachment.id, code = %fault.code, ?wait, "trying an attachment again");
                    self.tally.add_retry(fault.code);
                    sleep(wait).await;
                }
                Next::GiveUp => return self.give_up(job, &fault, tried).await,
            }
        }
    }

    /// One try that got as far as to leave us: as long as our own way out is away, it is waited for.
    async fn try_with_a_way_out(&self, job: &Job) -> Result<Stored, AttachmentFault> {
        let mut waits = 0;
        loop {
            let outcome = self.try_once(job).await;
            match outcome.as_ref().err() {
                Some(fault) if fault.is_of_our_way_out() => self.way_out.went_down(fault),
                fault => {
                    if shows_a_way_out(job, fault) {
                        self.way_out.came_back();
                    }
                    return outcome;
                }
            }
            sleep(wait_after(waits)).await;
            waits += 1;
        }
    }

    async fn try_once(&self, job: &Job) -> Result<Stored, AttachmentFault> {
        let mut in_flight = self.enter(job).await?;
        let _counted = Counted::one(&self.tally.in_flight);
        let outcome = self.open_and_copy(job, &mut in_flight).await;
        in_flight.end(&outcome);
        outcome
    }

    /// Waits for the lane's turn. Meanwhile the delivery does nothing for this attachment.
    async fn enter(&self, job: &Job) -> Result<InFlight, AttachmentFault> {
        let waiting = job.progress.waiting();
        let in_flight = self.lanes.enter_from(&job.team, &job.source.door(), &job.in_line).await?;
        drop(waiting);
        job.progress.begin();
        Ok(in_flight)
    }

    async fn open_and_copy(&self, job: &Job, in_flight: &mut InFlight) -> Result<Stored, AttachmentFault> {
        let fetched = self.fetcher.open(job.request(Want::Body)).await?;
        self.claim(job, Claiming::Read).await?;
        let id = job.object_id(fetched.version.pin());
        if job.look
            && fetched.version.pin().is_some()
            && let Some(stored) = self.adopt(job, &id).await?
        {
            return Ok(stored);
        }
        let (fetched, grant) = self.with_memory(job, fetched).await?;
        let id = job.object_id(fetched.version.pin());
        self.copy(job, &id, (fetched, grant), in_flight).await
    }

    /// Makes sure that what the grant uses is the team's own: before it is used first, and, for a place that is read with the
    /// team's own rights, once these have been shown to reach it.
    async fn claim(&self, job: &Job, when: Claiming) -> Result<(), AttachmentFault> {
        for claimed in job.grant.claims(&job.source) {
            let is_place = matches!(claimed.kind, ClaimKind::Bucket | ClaimKind::Account);
            let only_looks = when == Claiming::Before && is_place && job.grant.is_delegated();
            let (kind, name, team) = (claimed.kind, claimed.name.as_str(), &job.team.id);
            let answer = if only_looks {
                self.ask_store(|| self.claims.look(kind, name, team)).await?
            } else {
                self.ask_store(|| self.claims.claim(kind, name, team)).await?
            };
            match answer {
                ClaimAnswer::Ours => {}
                // Whose it is instead is nothing for this team to know.
                ClaimAnswer::Other(_) => {
                    let message = format!("this {} belongs to another team here", claimed.kind.as_str());
                    return Err(AttachmentFault::new(claimed.refusal, message));
                }
            }
        }
        match self.ask_store(|| self.standing.objection(&job.team, &job.grant)).await? {
            Some(objection) => Err(objection),
            None => Ok(()),
        }
    }

    /// Looks for a copy that an earlier delivery left, without asking for the body: by the name that needs no version, then
    /// by the version that the source tells in a `HEAD`. A source that answers no `HEAD` is simply opened; a host that is in
    /// trouble is not asked twice.
    async fn look(&self, job: &Job) -> Result<Looked, AttachmentFault> {
        self.claim(job, Claiming::Before).await?;
        if !job.look {
            return Ok(Looked::Nothing);
        }
        if let Some(stored) = self.adopt(job, &job.object_id(None)).await? {
            return Ok(Looked::Found(stored));
        }
        match job.source {
            Source::Http(_) | Source::S3 { .. } | Source::Gcs { .. } | Source::AzureBlob(_) => {}
            Source::File(_) | Source::Text(_) => return Ok(Looked::Nothing),
        }
        let said = match self.enter(job).await {
            Ok(in_flight) => {
                let said = self.fetcher.open(job.request(Want::Head)).await;
                in_flight.end(&said);
                said
            }
            Err(fault) => Err(fault),
        };
        let said = match said {
            Ok(said) => said,
            Err(fault) if is_hosts_trouble(&fault) => {
                job.progress.fail();
                return Ok(Looked::Failed(fault));
            }
            // A signed URL may allow no look; the body is asked for all the same.
            Err(_) => return Ok(Looked::Nothing),
        };
        let Some(pin) = said.version.pin() else { return Ok(Looked::Nothing) };
        Ok(self.adopt(job, &job.object_id(Some(pin))).await?.map_or(Looked::Nothing, Looked::Found))
    }

    fn stored(&self, job: &Job, stored: Stored) -> Tried {
        let outcome = Outcome::stored(&job.attachment, self.store.uri(&stored.key), stored.facts);
        Tried { outcome, is_new_copy: stored.is_new, come_back: None }
    }

    /// The last word on an attachment that could not be copied here: another delivery may have copied it meanwhile, and then
    /// its copy counts.
    async fn give_up(&self, job: &Job, fault: &AttachmentFault, tried: u32) -> Tried {
        if let Ok(Some(stored)) = self.adopt(job, &job.object_id(None)).await {
            return self.stored(job, stored);
        }
        let source = redacted(&job.source.name());
        debug!(attachment.id = %job.attachment.id, source, %fault, tried, "gave an attachment up");
        let outcome = Outcome::failed(&job.attachment, fault, tried);
        Tried { outcome, is_new_copy: false, come_back: fault.retry_after }
    }

    /// Asks the store until it answers; what it answers wrongly is our own fault.
    async fn ask_store<T, F>(&self, call: impl FnMut() -> F) -> Result<T, AttachmentFault>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.store_gate.until_answered(StoreError::is_transient, call).await.map_err(|error| broken_store(&error))
    }

    /// Checks what the sender said of an attachment against its facts.
    fn check_promises(job: &Job, facts: &Facts) -> Result<(), AttachmentFault> {
        if let Some(promised) = job.attachment.sha256
            && promised != facts.source.sha256
        {
            let message = format!("the task gives the digest {promised}, the content has {}", facts.source.sha256);
            return Err(AttachmentFault::new(Code::DigestMismatch, message));
        }
        Self::check_media(job, &facts.source.media_type)
    }

    fn check_media(job: &Job, found: &str) -> Result<(), AttachmentFault> {
        match &job.attachment.media_type {
            Some(declared) if MediaType::parse(found).is_some_and(|found| contradicts(declared, &found)) => {
                let message = format!("the task declares {declared}, the content is {found}");
                Err(AttachmentFault::new(Code::MediaMismatch, message))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn count_copy(&self, bytes: u64) {
        Tally::add(&self.tally.stored);
        self.tally.bytes.fetch_add(bytes, Relaxed);
    }
}

/// Whether an outcome tells that somebody beyond our way out was met. Other sources than plain hosts go by no such way, and
/// what was refused before it left says nothing.
fn shows_a_way_out(job: &Job, fault: Option<&AttachmentFault>) -> bool {
    let was_met = |fault: &AttachmentFault| {
        fault.http_status.is_some() || matches!(fault.code, Code::Unavailable | Code::Timeout | Code::TlsInvalid)
    };
    match job.source {
        Source::Http(_) => fault.is_none_or(was_met),
        Source::S3 { .. } | Source::Gcs { .. } | Source::AzureBlob(_) | Source::File(_) | Source::Text(_) => false,
    }
}

fn broken_store(error: &StoreError) -> AttachmentFault {
    AttachmentFault::new(Code::Internal, format!("internal storage: {error}"))
}
