//! What stands around a task: which form the outermost layer of a message has.
//!
//! A form is recognised by fields that no task has. Which system sent a message is never configured.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::new_object::{self, Objects};
use super::pointer::{self, Pointer};
use super::sns::{self, Notification};
use super::{Problem, parse};

/// What the outermost layer of a message is.
pub(super) enum Layer {
    /// A pointer to the body.
    Pointer(Pointer),
    /// An SNS envelope, unproven.
    Sns(Box<Notification>),
    /// A CloudEvent, and what is inside.
    Event(Value),
    /// Objects of S3 that were created.
    Objects(Objects),
    /// Nothing to do, and why.
    Ignored(&'static str),
    /// No envelope: a task or an import.
    Plain(Map<String, Value>),
}

/// Looks at the outermost layer and opens it if it is an envelope that opens without more.
pub(super) fn open(value: Value) -> Result<Layer, Problem> {
    let mut object = match value {
        Value::Object(object) => object,
        Value::Array(items) if pointer::is_pointer(&items) => return pointer::read(items).map(Layer::Pointer),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err("the message must be a JSON object".to_owned());
        }
    };
    if sns::is_envelope(&object) {
        return sns::read(object).map(Layer::Sns);
    }
    if object.contains_key("specversion") {
        return open_cloudevent(Fields::of(object)).map(Layer::Event);
    }
    if object.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(Layer::Ignored("an S3 test event"));
    }
    if let Some(Value::Array(records)) = object.get_mut("Records") {
        return new_object::read_records(std::mem::take(records)).map(objects);
    }
    if new_object::is_bridged(&object) {
        return new_object::read_bridged(object).map(|found| objects(found.map(Ok).into_iter().collect()));
    }
    Ok(Layer::Plain(object))
}

fn objects(objects: Objects) -> Layer {
    match objects.is_empty() {
        true => Layer::Ignored("an S3 event that tells of no new object"),
        false => Layer::Objects(objects),
    }
}

/// Takes the data out of a CloudEvent 1.0.
fn open_cloudevent(mut event: Fields) -> Result<Value, Problem> {
    match event.text("specversion")?.as_deref() {
        Some("1.0") => {}
        Some(_) | None => return Err("specversion must be \"1.0\"".to_owned()),
    }
    for name in ["id", "source", "type"] {
        if event.text(name)?.is_none_or(|text| text.is_empty()) {
            return Err(format!("the CloudEvent's {name} is missing"));
        }
    }
    match (event.take("data"), event.text("data_base64")?) {
        (Some(_), Some(_)) => Err("data and data_base64 exclude each other".to_owned()),
        (Some(Value::String(text)), None) => parse(text.as_bytes(), "data"),
        (Some(data), None) => Ok(data),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text.as_bytes());
            parse(&bytes.map_err(|_| "data_base64 is not base64".to_owned())?, "data_base64")
        }
        (None, None) => Err("the CloudEvent's data is missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, decode};
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn task() -> Value {
        json!({"task_id": "t-1", "team": "acme", "attachments": ["https://h/a"]})
    }

    fn event(data: Value) -> Value {
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "x", "data": data})
    }

    fn read(value: &Value) -> Result<Decoded, Problem> {
        decode(value.to_string().as_bytes(), &BTreeMap::new()).map_err(|error| error.detail)
    }

    fn check_refused(value: &Value, says: &str) {
        let detail = read(value).expect_err("refused");
        assert!(detail.contains(says), "{value}: {detail:?} does not say {says:?}");
    }

    #[test]
    fn a_cloudevent_holds_its_task_as_object_text_or_base64() {
        let bare = read(&task()).expect("a task");
        let mut coded = event(Value::Null);
        coded["data_base64"] = json!(STANDARD.encode(task().to_string()));
        for wrapped in [event(task()), event(json!(task().to_string())), coded] {
            assert_eq!(read(&wrapped).expect("a task"), bare, "{wrapped}");
        }
    }

    #[test]
    fn a_cloudevent_without_what_it_must_have_names_the_field() {
        for field in ["id", "source", "type", "data"] {
            let mut event = event(task());
            event.as_object_mut().expect("an object").remove(field);
            check_refused(&event, field);
        }
        let mut old = event(task());
        old["specversion"] = json!("0.3");
        check_refused(&old, "specversion");
        let mut both = event(task());
        both["data_base64"] = json!("e30=");
        check_refused(&both, "data_base64");
        check_refused(&event(json!("no JSON")), "data is not JSON");
        check_refused(&event(json!(7)), "must be a JSON object");
        let mut broken = event(Value::Null);
        broken["data_base64"] = json!("%");
        check_refused(&broken, "data_base64 is not base64");
    }

    #[test]
    fn four_envelopes_are_opened_and_the_fifth_is_not() {
        let nested = |depth: usize| (0..depth).fold(task(), |inner, _| event(inner));
        assert_eq!(read(&nested(4)), read(&task()));
        check_refused(&nested(5), "more than 4 envelopes");
    }

    #[test]
    fn a_test_event_is_ignored_wherever_it_stands() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
        for body in [test.clone(), event(test)] {
            assert_eq!(read(&body), Ok(Decoded::Ignored("an S3 test event")));
        }
    }
}
