//! S3's events: objects that were created, as bucket notifications and EventBridge tell of them.
//!
//! Each is a task of its own, of the team that the bucket belongs to; its id is made from what names this state of the object
//! for good, so that an event that comes twice is one task. Read [`read_records`] and [`read_bridged`] for the two forms.

use serde_json::{Map, Value};

use super::Problem;
use super::fields::Fields;
use crate::domain::digest::Sha256;
use crate::domain::id::{TaskId, TeamId};
use crate::domain::source::{self, Pin};
use crate::domain::task::{Content, Task};

/// The most records that one message may hold; S3 itself sends one.
pub const RECORDS_MAX: usize = 10_000;
/// The version of an object that was stored while its bucket kept none: it is replaced like any unversioned one.
const NO_VERSION: &str = "null";

/// An object that was created, as an event tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// Its bucket.
    pub bucket: String,
    /// Its key, as it is.
    pub key: String,
    /// The very state of it.
    pub pin: Pin,
    /// Orders the events of one key.
    pub sequencer: Option<String>,
}

impl NewObject {
    /// The id of its task: the same for the same state of the same object, whoever tells of it.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        let (kind, state) = match &self.pin {
            Pin::Version(version) => ("version", version.as_str()),
            Pin::Etag(etag) => ("etag", etag.trim_matches('"')),
        };
        let sequencer = self.sequencer.as_deref().unwrap_or_default();
        let parts = ["s3 event", &self.bucket, &self.key, kind, state, sequencer].map(str::as_bytes);
        TaskId::new(format!("s3-{}", Sha256::of_parts(&parts))).expect("hexadecimal digits fit an id")
    }

    /// The task that copies it.
    #[must_use]
    pub fn task(&self, team: TeamId) -> Task {
        let NewObject { bucket, key, pin, sequencer: _ } = self.clone();
        Task::of_one(self.task_id(), team, Content::Object { bucket, key, pin })
    }
}

/// What an event was about.
pub(super) type Objects = Vec<Result<NewObject, Problem>>;

/// Reads the records of a bucket notification; those that tell of no new object are left out.
pub(super) fn read_records(records: Vec<Value>) -> Result<Objects, Problem> {
    if records.len() > RECORDS_MAX {
        return Err(format!("Records holds more than {RECORDS_MAX} records"));
    }
    let read = records.into_iter().enumerate().filter_map(|(index, record)| read_record(index, record).transpose());
    Ok(without_doubles(read.collect()))
}

/// Reads an event as EventBridge delivers it; `None` if it tells of no new object. Its key is not encoded.
pub(super) fn read_bridged(event: Map<String, Value>) -> Result<Option<NewObject>, Problem> {
    if event.get("detail-type").and_then(Value::as_str) != Some("Object Created") {
        return Ok(None);
    }
    let mut detail = below(&mut Fields::of(event), "detail", "detail.")?;
    // The present form of the detail says so only since it has a version at all.
    if detail.text("event-version")?.is_some_and(|version| major(&version) != "1") {
        return Err(detail.problem("event-version", "is not 1, the only one that is known"));
    }
    let mut bucket = below(&mut detail, "bucket", "detail.bucket.")?;
    let mut object = below(&mut detail, "object", "detail.object.")?;
    let key = required(&mut object, "key")?;
    let names = ["version-id", "etag", "sequencer"];
    new_object(required(&mut bucket, "name")?, key, &mut object, names).map(Some)
}

/// Whether an object is an event of S3's that came by EventBridge.
pub(super) fn is_bridged(object: &Map<String, Value>) -> bool {
    let source = object.get("source").and_then(Value::as_str);
    source == Some("aws.s3") && object.contains_key("detail-type")
}

fn read_record(index: usize, record: Value) -> Result<Option<NewObject>, Problem> {
    let path = format!("Records[{index}].");
    let Value::Object(record) = record else {
        return Err(format!("Records[{index}] must be an object"));
    };
    let mut record = Fields::below(record, path.clone());
    let version = required(&mut record, "eventVersion")?;
    if major(&version) != "2" {
        return Err(record.problem("eventVersion", "is not 2, the only one that is known"));
    }
    let name = required(&mut record, "eventName")?;
    // S3's stand-ins write the name as it stands in a bucket's configuration.
    if !name.strip_prefix("s3:").unwrap_or(&name).starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let mut s3 = below(&mut record, "s3", &format!("{path}s3."))?;
    let mut bucket = below(&mut s3, "bucket", &format!("{path}s3.bucket."))?;
    let mut object = below(&mut s3, "object", &format!("{path}s3.object."))?;
    let key = required(&mut object, "key")?;
    let key = source::form_decoded(&key).ok_or_else(|| object.problem("key", "is not form-encoded"))?;
    let names = ["versionId", "eTag", "sequencer"];
    new_object(required(&mut bucket, "name")?, key, &mut object, names).map(Some)
}

fn new_object(
    bucket: String, key: String, object: &mut Fields, [version, etag, sequencer]: [&str; 3],
) -> Result<NewObject, Problem> {
    let checked = source::check_bucket_of_s3(&bucket).and_then(|()| source::check_object(&bucket, &key));
    checked.map_err(|fault| object.problem("key", &format!("is none: {}", fault.message)))?;
    let version = object.text(version)?.filter(|version| version != NO_VERSION && !version.is_empty());
    let pin = match (version, object.text(etag)?.filter(|etag| !etag.is_empty())) {
        (Some(version), _) => Pin::Version(version),
        (None, Some(etag)) => Pin::Etag(etag),
        (None, None) => return Err(object.problem(etag, "is missing")),
    };
    Ok(NewObject { bucket, key, pin, sequencer: object.text(sequencer)? })
}

fn required(fields: &mut Fields, name: &str) -> Result<String, Problem> {
    fields.text(name)?.ok_or_else(|| fields.problem(name, "is missing"))
}

fn below(fields: &mut Fields, name: &str, path: &str) -> Result<Fields, Problem> {
    match fields.take(name) {
        Some(Value::Object(object)) => Ok(Fields::below(object, path.to_owned())),
        Some(_) => Err(fields.problem(name, "must be an object")),
        None => Err(fields.problem(name, "is missing")),
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

/// The same object told of twice in one message is one task.
fn without_doubles(objects: Objects) -> Objects {
    let mut seen = std::collections::HashSet::new();
    let mut objects = objects;
    objects.retain(|object| object.as_ref().map_or(true, |object| seen.insert(object.task_id())));
    objects
}

#[cfg(test)]
#[path = "new_object_tests.rs"]
mod tests;
