//! Envelopes inside one another.

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::message::Topic;

const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:t";
const ACMES: &str = "arn:aws:sns:us-east-1:111122223333:acme";
const BETAS: &str = "arn:aws:sns:us-east-1:111122223333:beta";

fn trusted() -> Arc<Trusted> {
    let topic = |arn: &str, team: Option<&str>| Topic {
        arn: arn.to_owned(),
        team: team.map(|team| TeamId::new(team).expect("a good name")),
    };
    let topics = vec![topic(TOPIC, None), topic(ACMES, Some("acme")), topic(BETAS, Some("beta"))];
    Arc::new(Trusted { topics, pointer_buckets: vec!["bodies".to_owned()] })
}

fn task(team: Option<&str>) -> Value {
    let mut task = json!({"task_id": "t-1", "attachments": ["https://h/a"]});
    if let Some(team) = team {
        task["team"] = json!(team);
    }
    task
}

fn event(data: Value) -> Value {
    json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "x", "data": data})
}

fn sns_of(topic: &str, message: &Value) -> Value {
    json!({"Type": "Notification", "TopicArn": topic, "Message": message.to_string(), "MessageId": "m", "Timestamp": "t",
        "SignatureVersion": "1", "Signature": "", "SigningCertURL": "https://sns.us-east-1.amazonaws.com/a.pem"})
}

fn sns(message: &Value) -> Value {
    sns_of(TOPIC, message)
}

/// An envelope that carries attributes.
fn attributed(topic: &str, message: &Value) -> Value {
    let mut envelope = sns_of(topic, message);
    let text = |text: &str| json!({"Type": "String", "Value": text});
    envelope["MessageAttributes"] = json!({"team": text("gamma"), "traceparent": text("tp"), "other": text("x")});
    envelope
}

thread_local! {
    /// What the pointers of a test point at.
    static BODIES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A pointer to a body that [`found`] finds.
fn pointer(body: &Value) -> Value {
    let key = BODIES.with_borrow_mut(|bodies| {
        bodies.push(body.to_string().into_bytes());
        (bodies.len() - 1).to_string()
    });
    json!(["com.amazon.sqs.javamessaging.MessageS3Pointer", {"s3BucketName": "bodies", "s3Key": key}])
}

fn found(key: &str) -> Vec<u8> {
    let index: usize = key.parse().expect("an index");
    BODIES.with_borrow(|bodies| bodies[index].clone())
}

/// Reads to the end as if all signatures were good, and returns with what came out the attributes and the names of the steps.
fn read_with(body: &Value, attributes: &[(&str, &str)]) -> (Result<Decoded, String>, BTreeMap<String, String>, String) {
    let attributes = attributes.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut reading = Reading::new(attributes, trusted());
    let (mut body, mut steps) = (body.to_string().into_bytes(), String::new());
    let end = loop {
        match reading.read(&body) {
            Ok(Step::Decoded(decoded)) => break Ok(decoded),
            Ok(Step::Elsewhere(pointer)) => {
                steps.push('p');
                body = found(&pointer.key);
            }
            Ok(Step::Unproven(notification)) => {
                steps.push('s');
                body = notification.message.into_bytes();
            }
            Err(undecodable) => break Err(undecodable.detail),
        }
    };
    (end, reading.into_attributes(), steps)
}

fn read(body: &Value) -> Result<Decoded, String> {
    read_with(body, &[]).0
}

fn check_refused(body: &Value, says: &str) {
    let problem = read(body).expect_err("refused");
    assert!(problem.contains(says), "{body}: {problem:?} does not say {says:?}");
}

fn s3_event() -> Value {
    json!({"Records": [{"eventVersion": "2.1", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "b"}, "object": {"key": "k", "eTag": "e"}}}]})
}

#[test]
fn envelopes_of_all_kinds_are_opened_in_any_order() {
    let task = task(Some("acme"));
    let bare = read(&task).expect("a task");
    for (body, steps) in [
        (sns(&task), "s"),
        (pointer(&task), "p"),
        (sns(&pointer(&task)), "sp"),
        (pointer(&sns(&task)), "ps"),
        (pointer(&pointer(&task)), "pp"),
        (event(sns(&event(pointer(&task)))), "sp"),
        (sns(&event(sns(&task))), "ss"),
    ] {
        let (found, _, taken) = read_with(&body, &[]);
        assert_eq!((found.as_ref(), taken.as_str()), (Ok(&bare), steps), "{body}");
    }
    for body in [sns(&s3_event()), pointer(&sns(&s3_event())), sns(&pointer(&s3_event())), event(s3_event())] {
        assert!(matches!(read(&body), Ok(Decoded::Objects(objects)) if objects.len() == 1), "{body}");
    }
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
    assert_eq!(read(&sns(&test)), Ok(Decoded::Ignored("an S3 test event")));
    assert!(matches!(read(&sns(&json!({"Records": []}))), Ok(Decoded::Ignored(_))));
}

#[test]
fn the_fifth_envelope_is_not_opened_whatever_its_kind() {
    let task = task(Some("acme"));
    for outermost in [event(task.clone()), sns(&task), pointer(&task)] {
        for kind in [|inner: &Value| event(inner.clone()), sns as fn(&Value) -> Value] {
            let four = (0..3).fold(outermost.clone(), |inner, _| kind(&inner));
            assert!(read(&four).is_ok(), "four");
            check_refused(&kind(&four), "more than 4 envelopes");
        }
    }
}

#[test]
fn only_listed_topics_and_buckets_are_taken() {
    let task = task(Some("acme"));
    check_refused(&sns_of("arn:aws:sns:us-east-1:111122223333:T", &task), "111122223333:T is not in queue.sns_topics");
    check_refused(&sns_of("a\nb", &task), "SNS topic  is not in queue.sns_topics");
    let elsewhere =
        json!(["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "other", "s3Key": "k"}]);
    check_refused(&elsewhere, "bucket other of the pointer is not in queue.pointer_buckets");
    for (object, says) in [
        (json!({"s3Key": "k"}), "the pointer's s3BucketName is missing"),
        (json!({"s3BucketName": "bodies", "s3Key": 7}), "the pointer's s3Key must be text"),
        (json!({"s3BucketName": "b*", "s3Key": "k"}), "the bucket's name is not a legal one"),
        (json!("x"), "the pointer names no object"),
    ] {
        check_refused(&json!(["software.amazon.payloadoffloading.PayloadS3Pointer", object]), says);
    }
    check_refused(&json!(["evil.PayloadS3Pointer", {"s3BucketName": "bodies", "s3Key": "k"}]), "must be a JSON object");
}

#[test]
fn what_an_envelope_carries_stands_in_for_attributes_that_are_missing() {
    let team = |body: &Value, attributes: &[(&str, &str)]| match read_with(body, attributes) {
        (Ok(Decoded::Task(task)), attributes, _) => Ok((task.team.to_string(), attributes.get("traceparent").cloned())),
        (other, _, _) => Err(other),
    };
    let carried = ("gamma".to_owned(), Some("tp".to_owned()));
    assert_eq!(team(&attributed(TOPIC, &task(None)), &[]), Ok(carried));
    let own = [("team", "delta"), ("traceparent", "own")];
    assert_eq!(team(&attributed(TOPIC, &task(None)), &own), Ok(("delta".to_owned(), Some("own".to_owned()))));
    check_refused(&attributed(TOPIC, &task(Some("acme"))), "team differs");
    let (_, attributes, _) = read_with(&attributed(TOPIC, &task(None)), &[]);
    assert!(!attributes.contains_key("other"), "{attributes:?}");
}

#[test]
fn a_customers_topic_works_for_its_own_team_and_follows_no_pointer() {
    for team in [None, Some("acme")] {
        let found = read(&sns_of(ACMES, &task(team)));
        assert!(matches!(found, Ok(Decoded::Task(task)) if task.team.as_str() == "acme"), "{team:?}");
    }
    check_refused(&sns_of(ACMES, &task(Some("beta"))), "team differs");
    check_refused(&attributed(ACMES, &task(None)), "team is not the team of the SNS topic");
    check_refused(&sns_of(ACMES, &sns_of(BETAS, &task(None))), "different teams'");
    check_refused(&sns_of(ACMES, &sns(&sns_of(BETAS, &task(None)))), "different teams'");
    check_refused(&sns_of(ACMES, &pointer(&task(None))), "a pointer that came by a customer's SNS topic");
    check_refused(&sns_of(ACMES, &sns(&pointer(&task(None)))), "a pointer that came by a customer's SNS topic");
    let mut reading = Reading::new(BTreeMap::new(), trusted());
    assert!(reading.read(sns_of(ACMES, &s3_event()).to_string().as_bytes()).is_ok());
    assert_eq!(reading.topic_team().map(TeamId::as_str), Some("acme"));
}

#[test]
fn a_pointers_body_may_be_larger_than_a_message_but_not_than_16_mib() {
    let body = |bytes: usize| format!("{}{}", task(Some("acme")), " ".repeat(bytes));
    let step = |text: &str| {
        let mut reading = Reading::new(BTreeMap::new(), trusted());
        let outer =
            json!(["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "bodies", "s3Key": "k"}]);
        assert!(matches!(reading.read(outer.to_string().as_bytes()), Ok(Step::Elsewhere(_))));
        reading.read(text.as_bytes()).map(drop).map_err(|error| error.detail)
    };
    let room = POINTED_BYTES_MAX - task(Some("acme")).to_string().len();
    assert_eq!(step(&body(room)), Ok(()));
    assert_eq!(step(&body(room + 1)), Err("the pointer's body is larger than 16 MiB".to_owned()));
    let many = format!("{{\"x\":[{}1]}}", "1,".repeat(VALUES_MAX));
    assert_eq!(step(&many), Err("the pointer's body holds more than 1000000 JSON values".to_owned()));
    let mut first = Reading::new(BTreeMap::new(), trusted());
    assert!(first.read(body(MESSAGE_BYTES_MAX).as_bytes()).is_err());
}

#[test]
fn values_are_counted_outside_of_texts() {
    for (text, count) in [("1", 1), ("[]", 2), ("[1,2]", 3), (r#"{"a":"b"}"#, 2), (r#"{"a,[{\",":"\\","b":[",,"]}"#, 4)]
    {
        assert_eq!(values(text.as_bytes()), count, "{text}");
    }
}

proptest! {
    #[test]
    fn any_nesting_ends_in_the_task_or_in_the_rule_that_it_breaks(kinds in proptest::collection::vec(0..3_u8, 0..7)) {
        let nested = kinds.iter().fold(task(Some("acme")), |inner, kind| match kind {
            0 => event(inner),
            1 => sns(&inner),
            _ => pointer(&inner),
        });
        match read(&nested) {
            Ok(Decoded::Task(task)) => prop_assert!(kinds.len() <= ENVELOPES_MAX && task.task_id.as_str() == "t-1"),
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(problem) => prop_assert!(kinds.len() > ENVELOPES_MAX, "{problem}"),
        }
    }
}
