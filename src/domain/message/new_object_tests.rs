//! S3's events, read.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::source::form_decoded;

fn record(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "acme-raw"}, "object":
            {"key": key, "size": 3, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "versionId": "v1", "sequencer": "00A1"}},
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut record = record("k");
    *record.pointer_mut(pointer).expect("the field is there") = value;
    record
}

fn read_one(record: Value) -> Option<Result<NewObject, Problem>> {
    let mut objects = read_records(vec![record]).expect("records");
    assert!(objects.len() <= 1);
    objects.pop()
}

fn good(record: Value) -> NewObject {
    read_one(record).expect("one object").expect("a good one")
}

fn bridged() -> Value {
    json!({
        "version": "0", "id": "1", "detail-type": "Object Created", "source": "aws.s3", "account": "111122223333",
        "detail": {"version": "0", "bucket": {"name": "acme-raw"}, "object":
            {"key": "k+1 %2B", "size": 3, "etag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "00A1"}},
    })
}

fn read_bridge(event: Value) -> Result<Option<NewObject>, Problem> {
    match event {
        Value::Object(event) => read_bridged(event),
        other => panic!("{other} is no object"),
    }
}

#[test]
fn keys_are_form_decoded() {
    for (written, key) in [
        ("red+flower.jpg", "red flower.jpg"),
        ("a%2Bb", "a+b"),
        ("%C3%A4/%E2%82%AC.png", "ä/€.png"),
        ("a%2fb/c", "a/b/c"),
        ("a%3Fb%23c%25", "a?b#c%"),
        ("%0A", "\n"),
    ] {
        assert_eq!(good(record(written)).key, key, "{written}");
    }
    for bad in ["%", "%4", "%zz", "%+1", "%FF", "a%C3"] {
        let problem = read_one(record(bad)).expect("one").expect_err(bad);
        assert_eq!(problem, "Records[0].s3.object.key is not form-encoded", "{bad}");
    }
    assert_eq!(read_bridge(bridged()).expect("read").expect("an object").key, "k+1 %2B");
}

#[test]
fn the_version_pins_the_object_and_without_one_the_etag_does() {
    let etag = Pin::Etag("d41d8cd98f00b204e9800998ecf8427e".into());
    assert_eq!(good(record("k")).pin, Pin::Version("v1".into()));
    for none in [json!(null), json!("null"), json!("")] {
        assert_eq!(good(with("/s3/object/versionId", none)).pin, etag);
    }
    let mut neither = with("/s3/object/versionId", json!(null));
    neither["s3"]["object"]["eTag"] = json!(null);
    assert_eq!(read_one(neither).expect("one").expect_err("no pin"), "Records[0].s3.object.eTag is missing");
    assert_eq!(read_bridge(bridged()).expect("read").expect("an object").pin, etag);
    let mut versioned = bridged();
    versioned["detail"]["object"]["version-id"] = json!("v2");
    assert_eq!(read_bridge(versioned).expect("read").expect("an object").pin, Pin::Version("v2".into()));
}

#[test]
fn only_the_creation_of_objects_is_work_and_only_the_major_version_counts() {
    for name in ["ObjectCreated:Put", "ObjectCreated:CompleteMultipartUpload", "s3:ObjectCreated:Copy"] {
        assert!(read_one(with("/eventName", json!(name))).expect("one").is_ok(), "{name}");
    }
    for name in ["ObjectRemoved:Delete", "ObjectRestore:Completed", "s3:ObjectRemoved:Delete", "ObjectCreatedX"] {
        assert!(read_one(with("/eventName", json!(name))).is_none(), "{name}");
    }
    for version in ["2.0", "2.6", "2"] {
        assert!(read_one(with("/eventVersion", json!(version))).expect("one").is_ok(), "{version}");
    }
    for version in ["1.0", "3.0", "20.1", ""] {
        assert!(read_one(with("/eventVersion", json!(version))).expect("one").is_err(), "{version}");
    }
    let other = |name: &str, value: Value| {
        let mut event = bridged();
        event[name] = value;
        read_bridge(event)
    };
    assert_eq!(other("detail-type", json!("Object Deleted")), Ok(None));
    assert!(other("detail", json!({"event-version": "2.0"})).is_err());
    assert!(
        other("detail", json!({"event-version": "1.4"})).expect_err("no bucket").contains("detail.bucket is missing")
    );
}

#[test]
fn a_bad_record_says_what_is_wrong_and_keeps_the_others() {
    let mut records = vec![record("a"), json!(7), record("b"), record("a")];
    for (pointer, value) in [
        ("/s3", json!(null)),
        ("/s3/bucket/name", json!("no bucket")),
        ("/s3/object/key", json!("")),
        ("/eventName", json!(null)),
    ] {
        records.push(with(pointer, value));
    }
    let read: Vec<Result<String, Problem>> =
        read_records(records).expect("records").into_iter().map(|one| one.map(|object| object.key)).collect();
    let (good, bad): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    assert_eq!(good, [Ok("a".to_owned()), Ok("b".to_owned())], "and the same object once");
    let bad: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
    let says = [
        "Records[1] must be",
        "Records[4].s3 is missing",
        "Records[5].s3.object.key is none",
        "Records[6]",
        "Records[7].eventName",
    ];
    assert_eq!(bad.len(), says.len(), "{bad:?}");
    assert!(bad.iter().zip(says).all(|(bad, says)| bad.starts_with(says)), "{bad:?}");
    let many = vec![record("a"); RECORDS_MAX + 1];
    assert!(read_records(many).expect_err("too many").contains("more than 10000"));
}

#[test]
fn an_event_of_one_state_is_one_task_whoever_tells_of_it() {
    let id = |object: &NewObject| object.task_id();
    let first = good(with("/s3/object/versionId", json!(null)));
    let mut bridge = bridged();
    bridge["detail"]["object"]["key"] = json!("k");
    let bridge = read_bridge(bridge).expect("read").expect("an object");
    assert_eq!(id(&first), id(&bridge), "by EventBridge it is the same state");
    let quoted = NewObject { pin: Pin::Etag("\"d41d8cd98f00b204e9800998ecf8427e\"".into()), ..first.clone() };
    assert_eq!(id(&first), id(&quoted));
    for other in [
        NewObject { bucket: "other".into(), ..first.clone() },
        NewObject { key: "l".into(), ..first.clone() },
        NewObject { pin: Pin::Version("d41d8cd98f00b204e9800998ecf8427e".into()), ..first.clone() },
        NewObject { sequencer: Some("00A2".into()), ..first.clone() },
        NewObject { sequencer: None, ..first.clone() },
    ] {
        assert_ne!(id(&first), id(&other), "{other:?}");
    }
    let team = TeamId::new("acme").expect("a good name");
    let task = first.task(team);
    assert_eq!(task.task_id, id(&first));
    let content = Content::Object { bucket: "acme-raw".into(), key: "k".into(), pin: first.pin.clone() };
    assert_eq!(task.attachments[0].content, content);
}

fn form_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
    let written = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(written).collect()
}

proptest! {
    #[test]
    fn whatever_key_was_encoded_comes_back(key in "\\PC{1,64}") {
        prop_assert_eq!(form_decoded(&form_encoded(&key)), Some(key));
    }

    #[test]
    fn arbitrary_text_is_decoded_or_refused(text in ".{0,64}") {
        let _ = form_decoded(&text);
    }
}
