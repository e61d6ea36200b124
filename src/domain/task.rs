//! A task: one message of work, decoded and checked.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::attachment_url::without_secrets;
use super::digest::Sha256;
use super::id::{AttachmentId, TaskId, TeamId};
use super::source::Pin;

/// The most attachments that one task may name.
pub const ATTACHMENTS_MAX: usize = 10_000;

/// One message of work: a team and the remote things to copy for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The idempotency key within the team.
    pub task_id: TaskId,
    /// Whose rights, limits and part of the store are used.
    pub team: TeamId,
    /// What to copy, in the order of the message; ids are unique, 1 to [`ATTACHMENTS_MAX`].
    pub attachments: Vec<Attachment>,
    /// The profile's name; the team's default where it is missing.
    pub normalize: Option<String>,
    /// Where to announce the completion beside the events; checked later, so that a bad one does not stop the task.
    pub callback_url: Option<String>,
    /// Comes back in the completion.
    pub project: Option<String>,
    /// Comes back in the completion.
    pub batch: Option<String>,
    /// Comes back in the completion; any JSON.
    pub metadata: Option<Value>,
    /// A task that has ended starts its next round.
    pub again: Again,
    /// Fields that we do not know, as they came.
    pub unknown: Map<String, Value>,
}

impl Task {
    /// A task of one attachment, and nothing else.
    #[must_use]
    pub fn of_one(task_id: TaskId, team: TeamId, content: Content) -> Self {
        let id = AttachmentId::new("0").expect("a digit is an id");
        Self {
            task_id,
            team,
            attachments: vec![Attachment { id, content, media_type: None, sha256: None }],
            normalize: None,
            callback_url: None,
            project: None,
            batch: None,
            metadata: None,
            again: Again::No,
            unknown: Map::new(),
        }
    }
}

/// When a task that has ended starts another round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Again {
    /// Never: it answers with its receipt.
    #[default]
    No,
    /// After it failed (`clear_unique_id_on_error`).
    AfterFailure,
    /// Always (`again`).
    Always,
}

/// One remote thing to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Unique in its task.
    pub id: AttachmentId,
    /// Where it is, or what it is.
    pub content: Content,
    /// What the sender says it is; a contradiction fails the attachment.
    pub media_type: Option<String>,
    /// What the sender says its digest is.
    pub sha256: Option<Sha256>,
}

/// Where an attachment's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A URL as it was sent: what is wrong with it is this attachment's failure, not the message's.
    Url(String),
    /// The content itself, as UTF-8.
    Text(String),
    /// One state of an object in S3, as an event told of it.
    Object {
        /// The bucket.
        bucket: String,
        /// The object's key, as it is.
        key: String,
        /// The state.
        pin: Pin,
    },
}

impl Task {
    /// Returns the digest of what the task asks for, over its decoded known fields: equal for two spellings of one task and
    /// for two signatures of one URL, different for anything else.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        let attachments: Vec<Value> = self.attachments.iter().map(Attachment::comparable).collect();
        let content = json!({
            "team": self.team, "task_id": self.task_id, "attachments": attachments, "normalize": self.normalize,
            "callback_url": self.callback_url.as_deref().map(without_secrets), "project": self.project,
            "batch": self.batch, "metadata": self.metadata.as_ref().map(sorted),
        });
        Sha256::of(content.to_string().as_bytes())
    }
}

impl Attachment {
    fn comparable(&self) -> Value {
        let (url, text) = match &self.content {
            Content::Url(url) => (Some(without_secrets(url)), None),
            Content::Text(text) => (None, Some(text)),
            Content::Object { bucket, key, pin } => {
                return json!({"id": self.id, "url": format!("s3://{bucket}/{key}"), "pin": pin});
            }
        };
        json!({"id": self.id, "url": url, "text": text, "media_type": self.media_type, "sha256": self.sha256})
    }
}

/// The same JSON with the keys of every object in order, since key order is spelling.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A task of team `acme` with one URL, for this layer's tests.
    pub(crate) fn task(url: &str) -> Task {
        let (task_id, team) = (TaskId::new("t-1"), TeamId::new("acme"));
        Task::of_one(task_id.expect("a good id"), team.expect("a good id"), Content::Url(url.to_owned()))
    }

    #[test]
    fn a_fresh_signature_is_the_same_task_and_another_path_is_not() {
        let digest = |url: &str| task(url).digest();
        let first = digest("https://b.s3.amazonaws.com/k?X-Amz-Signature=aa&X-Amz-Date=1");
        assert_eq!(first, digest("https://u:p@b.s3.amazonaws.com/k?X-Amz-Signature=bb&X-Amz-Date=2"));
        assert_ne!(first, digest("https://b.s3.amazonaws.com/other?X-Amz-Signature=aa&X-Amz-Date=1"));
        assert_ne!(digest("https://h/k?v=1"), digest("https://h/k?v=2"));
    }

    #[test]
    fn key_order_in_metadata_is_spelling_and_values_are_content() {
        let with = |text: &str| {
            let mut task = task("https://h/k");
            task.metadata = Some(serde_json::from_str(text).expect("JSON"));
            task.digest()
        };
        assert_eq!(with(r#"{"a":{"x":1,"y":2},"b":[1]}"#), with(r#"{"b":[1],"a":{"y":2,"x":1}}"#));
        assert_ne!(with(r#"{"a":1}"#), with(r#"{"a":2}"#));
    }

    #[test]
    fn asking_again_is_no_part_of_the_content() {
        let mut again = task("https://h/k");
        again.again = Again::Always;
        assert_eq!(again.digest(), task("https://h/k").digest());
    }
}
