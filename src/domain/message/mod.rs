//! Reads one message of the task queue: whatever envelopes it came in, it ends as a task, as objects that were created, as
//! nothing to do, or as undecodable.
//!
//! The form is found by content alone. What is wrong is said once, with the field's name, in words that quote neither URLs nor
//! content, so that they may stand beside the dead letter. What is wrong with a single URL is no matter of this module: the
//! attachment fails later, by itself. `submit` checks what it sends by the same reading.
//!
//! Reading is pure. Where an envelope has to be proven, or the body lies elsewhere, [`Reading`] says so and goes on with what
//! it is given: see [`crate::ports::envelopes`] for who proves and fetches. Read [`task`] next for the fields of a task.

use std::collections::BTreeMap;

use serde_json::Value;

use super::id::TeamId;
use super::task::Task;

mod attachments;
mod envelope;
mod fields;
mod new_object;
mod pointer;
mod reading;
mod sns;
mod task;
mod whose;

pub use whose::whose;

pub use new_object::{NewObject, RECORDS_MAX};
pub use pointer::Pointer;
pub use reading::{Reading, Step};
pub use sns::{Notification, SignatureVersion};

/// The largest message that is taken, body and attributes together: 1 MiB, as SQS has it.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// The largest body that a pointer may name: 16 MiB.
pub const POINTED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many envelopes may be inside one another, of whatever kinds.
const ENVELOPES_MAX: usize = 4;
/// Longer names of undecodable messages are left out of what is said of them.
const SHOWN_NAME_BYTES_MAX: usize = 128;

/// What a message turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// Work.
    Task(Box<Task>),
    /// Objects that were created, each a task of its own once its team is known; never empty. What is wrong with one is said
    /// in its place and keeps none of the others from being worked on.
    Objects(Vec<Result<NewObject, String>>),
    /// Nothing to do, and why: the message is settled.
    Ignored(&'static str),
}

/// Which envelopes of others are taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trusted {
    /// SNS topics.
    pub topics: Vec<Topic>,
    /// Buckets whose pointers are followed.
    pub pointer_buckets: Vec<String>,
}

/// An SNS topic whose envelopes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    /// Whose it is, where it is a customer's: then what comes by it is work of this team and no other.
    pub team: Option<TeamId>,
}

/// Why a message cannot be read. Permanent: the same bytes give the same answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Undecodable {
    /// What is wrong; names the field.
    pub detail: String,
    /// The team that the message seems to name, unchecked.
    pub team: Option<String>,
    /// The task that the message seems to name, unchecked.
    pub task_id: Option<String>,
}

/// What is wrong, before it is known whose message it is.
type Problem = String;

/// Reads a message's body with the text attributes that came beside it, where nobody's envelopes are taken.
///
/// # Errors
/// [`Undecodable`] says which rule of the interface the message breaks.
pub fn decode(body: &[u8], attributes: &BTreeMap<String, String>) -> Result<Decoded, Undecodable> {
    let mut reading = Reading::new(attributes.clone(), std::sync::Arc::default());
    match reading.read(body)? {
        Step::Decoded(decoded) => Ok(decoded),
        Step::Elsewhere(_) | Step::Unproven(_) => unreachable!("such envelopes are taken only from whom one trusts"),
    }
}

fn size(body: &[u8], attributes: &BTreeMap<String, String>) -> usize {
    attributes.iter().fold(body.len(), |sum, (name, value)| sum + name.len() + value.len())
}

/// Parses JSON; a byte order mark before it is tolerated.
fn parse(bytes: &[u8], what: &str) -> Result<Value, Problem> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{what} is not UTF-8 text"))?;
    // The parser's words name line and column and never quote the text beyond a character.
    serde_json::from_str(text).map_err(|error| format!("{what} is not JSON: {error}"))
}

fn shown(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).and_then(shown_text)
}

fn shown_text(text: &str) -> Option<String> {
    let fit = !text.is_empty() && text.len() <= SHOWN_NAME_BYTES_MAX && !text.chars().any(char::is_control);
    fit.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::task::ATTACHMENTS_MAX;
    use proptest::prelude::*;

    fn undecodable(body: &str, names: &str) {
        let error = decode(body.as_bytes(), &BTreeMap::new()).expect_err(body);
        assert!(error.detail.contains(names), "{body}: {:?} does not say {names:?}", error.detail);
    }

    #[test]
    fn what_is_no_json_object_is_undecodable() {
        undecodable("", "the body is not JSON");
        undecodable("{", "the body is not JSON");
        undecodable("[]", "must be a JSON object");
        undecodable("\"text\"", "must be a JSON object");
        undecodable(r#"{"task_id":"t","metadata":NaN}"#, "the body is not JSON");
        undecodable(r#"{"task_id":"t"} {"task_id":"t"}"#, "the body is not JSON");
        undecodable(&"[".repeat(200_000), "the body is not JSON");
        let error = decode(b"{\"task_id\":\"\xff\"}", &BTreeMap::new()).expect_err("not UTF-8");
        assert_eq!(error.detail, "the body is not UTF-8 text");
    }

    #[test]
    fn a_byte_order_mark_is_tolerated() {
        let body = "\u{feff}{\"task_id\":\"t\",\"team\":\"acme\",\"attachments\":[\"https://h/a\"]}";
        assert!(decode(body.as_bytes(), &BTreeMap::new()).is_ok());
    }

    #[test]
    fn a_message_may_have_1_mib_with_its_attributes_and_not_a_byte_more() {
        let head = r#"{"task_id":"t","team":"acme","attachments":["https://h/a"],"pad":""#;
        let attributes = BTreeMap::from([("k".to_owned(), "vv".to_owned())]);
        let pad = MESSAGE_BYTES_MAX - head.len() - 2 - 3;
        let body = |pad: usize| format!("{head}{}\"}}", "x".repeat(pad));
        assert!(decode(body(pad).as_bytes(), &attributes).is_ok());
        let error = decode(body(pad + 1).as_bytes(), &attributes).expect_err("too large");
        assert!(error.detail.contains("larger than 1 MiB"), "{error}");
    }

    #[test]
    fn what_comes_in_a_later_version_says_so() {
        let error =
            decode(br#"{"type":"import","import_id":"i","team":"acme","manifest":"s3://b/k"}"#, &BTreeMap::new())
                .expect_err("an import");
        assert_eq!(error.detail, "imports are not supported yet");
        assert_eq!(error.team.as_deref(), Some("acme"));
    }

    #[test]
    fn what_is_said_of_an_undecodable_message_names_team_and_task_where_it_can() {
        let attributes = BTreeMap::from([("team".to_owned(), "acme".to_owned())]);
        let error = decode(br#"{"unique_id":"u/1"}"#, &attributes).expect_err("a bad id");
        assert_eq!(error.team.as_deref(), Some("acme"));
        assert_eq!(error.task_id.as_deref(), Some("u/1"));
        let error = decode(br#"{"task_id":"a\nb","team":7}"#, &BTreeMap::new()).expect_err("bad");
        assert_eq!((error.team, error.task_id), (None, None));
    }

    const NAMES: &str = "task_id team attachments attachment attachment_type context_attachments unique_id callback_url \
        normalize metadata project batch again id clear_unique_id_on_error url text media_type sha256 type specversion \
        source data data_base64 Records Event Type TopicArn other";
    const TEXTS: &str = "t-1 acme text 1.0 import 0 1 s3:TestEvent {} e30= https://h/a Notification \u{0} ä";

    fn word(words: &'static str) -> impl Strategy<Value = &'static str> + Clone {
        proptest::sample::select(words.split_whitespace().collect::<Vec<_>>())
    }

    /// JSON whose objects mostly have names that mean something here.
    fn json() -> impl Strategy<Value = Value> {
        let (names, texts) = (word(NAMES), word(TEXTS));
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            texts.prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 10, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((names.clone(), inner), 0..10)
                    .prop_map(|pairs| { Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()) }),
            ]
        })
    }

    fn check_task(task: &Task) {
        let mut ids: Vec<_> = task.attachments.iter().map(|one| one.id.as_str()).collect();
        assert!((1..=ATTACHMENTS_MAX).contains(&ids.len()));
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "ids are unique");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes, &BTreeMap::new());
        }

        #[test]
        fn arbitrary_json_is_decoded_or_refused_with_a_reason(value in json(), team in "[a-z]{0,4}") {
            let attributes = BTreeMap::from([("team".to_owned(), team)]);
            match decode(value.to_string().as_bytes(), &attributes) {
                Ok(Decoded::Task(task)) => check_task(&task),
                Ok(Decoded::Objects(objects)) => prop_assert!(!objects.is_empty()),
                Ok(Decoded::Ignored(_)) => {}
                Err(error) => prop_assert!(!error.detail.is_empty()),
            }
        }

        #[test]
        fn a_task_with_any_attachments_is_decoded_or_refused(list in proptest::collection::vec(json(), 0..6)) {
            let body = serde_json::json!({"task_id": "t", "team": "acme", "attachments": list});
            if let Ok(Decoded::Task(task)) = decode(body.to_string().as_bytes(), &BTreeMap::new()) {
                check_task(&task);
            }
        }
    }
}
