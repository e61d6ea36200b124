//! The document that says what became of a task's round. The first one written is the truth; it never changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attachment_url::redacted;
use super::digest::Sha256;
use super::facts::{Facts, SourceFacts};
use super::fault::{AttachmentFault, Code};
use super::id::{AttachmentId, TaskId, TeamId};
use super::task::{Attachment, Content, Task};

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All attachments are stored.
    Completed,
    /// Some are.
    Partial,
    /// None is.
    Failed,
}

impl Status {
    /// The status as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// How many attachments ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Those that are stored.
    pub stored: usize,
    /// Those that are not.
    pub failed: usize,
}

impl Counts {
    /// Counts outcomes.
    #[must_use]
    pub fn of(outcomes: &[Outcome]) -> Self {
        let stored = outcomes.iter().filter(|outcome| outcome.object.is_some()).count();
        Self { total: outcomes.len(), stored, failed: outcomes.len() - stored }
    }

    /// The status that follows.
    #[must_use]
    pub fn status(self) -> Status {
        match (self.stored, self.failed) {
            (_, 0) => Status::Completed,
            (0, _) => Status::Failed,
            (_, _) => Status::Partial,
        }
    }
}

/// A stored copy as receivers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StoredObject {
    /// `s3://BUCKET/KEY` or an absolute `file:///…`.
    pub uri: String,
    /// What it is.
    pub media_type: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// An image's width in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// An image's height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
}

/// Why an attachment is not stored, as receivers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OutcomeError {
    /// Our code.
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// The status that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The provider's own code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// The provider's id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How often it was tried in the delivery that gave up.
    pub tries: u32,
    /// Whether sending the task again may help without anybody changing anything.
    pub retryable: bool,
}

/// What became of an attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeStatus {
    /// A copy is there.
    Stored,
    /// None is.
    Failed,
}

/// What became of one attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outcome {
    /// The attachment.
    #[schemars(with = "String")]
    pub id: AttachmentId,
    /// Its URL without query and user-info; missing for text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What became of it.
    pub status: OutcomeStatus,
    /// The copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<StoredObject>,
    /// What it was copied from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceFacts>,
    /// What normalization did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalized: Option<Vec<String>>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<OutcomeError>,
}

impl Outcome {
    /// A copy is at `uri`, with these facts.
    #[must_use]
    pub fn stored(attachment: &Attachment, uri: String, facts: Facts) -> Self {
        let object = StoredObject {
            uri,
            media_type: facts.media_type,
            bytes: facts.bytes,
            sha256: facts.sha256,
            width: facts.width,
            height: facts.height,
        };
        Self {
            id: attachment.id.clone(),
            url: shown_url(attachment),
            status: OutcomeStatus::Stored,
            object: Some(object),
            source: Some(facts.source),
            normalized: Some(facts.normalized),
            error: None,
        }
    }

    /// No copy could be made.
    #[must_use]
    pub fn failed(attachment: &Attachment, fault: &AttachmentFault, tries: u32) -> Self {
        let error = OutcomeError {
            code: fault.code,
            message: fault.message.clone(),
            http_status: fault.http_status,
            provider_code: fault.provider_code.clone(),
            request_id: fault.request_id.clone(),
            tries,
            retryable: fault.code.is_transient(),
        };
        Self {
            id: attachment.id.clone(),
            url: shown_url(attachment),
            status: OutcomeStatus::Failed,
            object: None,
            source: None,
            normalized: None,
            error: Some(error),
        }
    }

    /// Whether another delivery may store it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.retryable)
    }
}

fn shown_url(attachment: &Attachment) -> Option<String> {
    match &attachment.content {
        Content::Url(url) => Some(redacted(url)),
        Content::Text(_) => None,
        // A key is no URL: what stands behind a question mark in it is part of its name.
        Content::Object { bucket, key, pin: _ } => Some(format!("s3://{bucket}/{key}")),
    }
}

/// Something that did not stop the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Warning {
    /// `bad_callback`.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// What became of a task's round: the completion's `data` and what tells this document from others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Receipt {
    /// The task.
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// Its team.
    #[schemars(with = "String")]
    pub team: TeamId,
    /// How it ended.
    pub status: Status,
    /// As sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// As sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// As sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Which attempt ended it, from 1.
    pub attempt: u32,
    /// When the delivery that ended it began.
    #[serde(serialize_with = "to_the_millisecond")]
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// When it ended; the event's timestamp.
    #[serde(serialize_with = "to_the_millisecond")]
    #[schemars(with = "String")]
    pub finished_at: Timestamp,
    /// How many attachments ended how.
    pub counts: Counts,
    /// What became of each, in the order of the task.
    pub attachments: Vec<Outcome>,
    /// What did not stop the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// The completion's id.
    pub event_id: String,
    /// The round, from 1.
    pub round: u32,
    /// The digest of what the task asked for.
    pub task_digest: Sha256,
    /// The message that began this round: its redelivery does not begin another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began_by: Option<String>,
}

/// Writes a time with three digits of a second, whatever they are: readers may rely on one form.
fn to_the_millisecond<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written_time(*at))
}

/// A time as it stands in receipts and completions.
#[must_use]
pub fn written_time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// How and when a round went, apart from what the task says.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The round, from 1.
    pub round: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// When the delivery began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The message that began the round.
    pub began_by: Option<String>,
    /// What did not stop the task.
    pub warnings: Vec<Warning>,
}

impl Receipt {
    /// Writes the receipt of `task` from its outcomes.
    #[must_use]
    pub fn of(task: &Task, task_digest: Sha256, ended: Ended, outcomes: Vec<Outcome>) -> Self {
        let counts = Counts::of(&outcomes);
        Self {
            task_id: task.task_id.clone(),
            team: task.team.clone(),
            status: counts.status(),
            project: task.project.clone(),
            batch: task.batch.clone(),
            metadata: task.metadata.clone(),
            attempt: ended.attempt,
            started_at: ended.started_at,
            finished_at: ended.finished_at,
            counts,
            attachments: outcomes,
            warnings: ended.warnings,
            event_id: event_id(&task.team, "task", task.task_id.as_str(), ended.round),
            round: ended.round,
            task_digest,
            began_by: ended.began_by,
        }
    }
}

/// The id of the event that announces how a round ended: a digest of team, kind, id and round.
#[must_use]
pub fn event_id(team: &TeamId, kind: &str, id: &str, round: u32) -> String {
    let digest = Sha256::of_parts(&[
        b"event",
        team.as_str().as_bytes(),
        kind.as_bytes(),
        id.as_bytes(),
        round.to_string().as_bytes(),
    ]);
    format!("evt_{}", &digest.to_string()[..40])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::task::tests::task;
    use super::*;

    /// A receipt of one failed attachment, for this layer's tests.
    pub(crate) fn receipt() -> Receipt {
        let task = task("https://u:p@h.com/a.jpg?sig=x");
        let fault = AttachmentFault::new(Code::NotFound, "there is no such object").with_status(404);
        let outcome = Outcome::failed(&task.attachments[0], &fault, 1);
        let at: Timestamp = "2026-11-21T20:10:00.123Z".parse().expect("a time");
        let ended =
            Ended { round: 1, attempt: 1, started_at: at, finished_at: at, began_by: None, warnings: Vec::new() };
        Receipt::of(&task, task.digest(), ended, vec![outcome])
    }

    /// The receipt of one stored attachment.
    pub(crate) fn stored() -> Receipt {
        let mut receipt = receipt();
        let object = StoredObject {
            uri: "s3://b/acme/objects/o".to_owned(),
            media_type: "text/plain".to_owned(),
            bytes: 1,
            sha256: Sha256::of(b"x"),
            width: None,
            height: None,
        };
        let outcome = &mut receipt.attachments[0];
        (outcome.status, outcome.object, outcome.error) = (OutcomeStatus::Stored, Some(object), None);
        receipt.counts = Counts::of(&receipt.attachments);
        receipt.status = receipt.counts.status();
        receipt
    }

    #[test]
    fn a_receipt_reads_back_as_it_was_written_and_holds_no_secret() {
        let text = serde_json::to_string(&receipt()).expect("JSON");
        assert!(!text.contains("sig") && !text.contains("u:p"), "{text}");
        assert_eq!(serde_json::from_str::<Receipt>(&text).expect("JSON"), receipt());
    }

    #[test]
    fn the_status_follows_from_the_counts() {
        let status = |stored, failed| Counts { total: stored + failed, stored, failed }.status();
        assert_eq!([status(2, 0), status(1, 1), status(0, 2)], [Status::Completed, Status::Partial, Status::Failed]);
    }

    #[test]
    fn event_ids_differ_by_round_team_kind_and_id_only() {
        let team = |name: &str| TeamId::new(name).expect("good");
        let first = event_id(&team("acme"), "task", "t", 1);
        assert_eq!(first, event_id(&team("acme"), "task", "t", 1));
        for other in [
            event_id(&team("acme"), "task", "t", 2),
            event_id(&team("b"), "task", "t", 1),
            event_id(&team("acme"), "import", "t", 1),
            event_id(&team("acme"), "task", "u", 1),
        ] {
            assert_ne!(first, other);
        }
        assert!(!first.contains('.'), "Standard Webhooks forbids dots in ids");
    }
}
