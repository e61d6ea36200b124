//! What every [`Envelopes`] keeps.
//!
//! A [`Post`] puts bodies where its envelopes find them, and signs as SNS does; [`keeps_the_contract`] runs all sentences.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::domain::message::{Notification, Pointer, Reading, Step, Topic, Trusted};
use crate::ports::envelopes::{EnvelopeError, Envelopes};

/// The topic of the suite's envelopes.
pub const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:contract";

/// Where a suite's bodies lie, and who signs its envelopes.
#[async_trait]
pub trait Post: Send + Sync {
    /// The envelopes under test.
    fn envelopes(&self) -> Arc<dyn Envelopes>;

    /// Puts a body where a pointer finds it.
    async fn put(&self, key: &str, body: Bytes) -> Pointer;

    /// A pointer to nothing, in the same bucket.
    async fn missing(&self) -> Pointer;

    /// Puts a good signature, and where its certificate is, into an envelope.
    fn sign(&self, envelope: &mut Value);
}

/// Runs the whole suite.
pub async fn keeps_the_contract(post: &dyn Post) {
    a_body_comes_whole_and_tells_its_length(post).await;
    a_body_that_is_not_there_is_refused(post).await;
    what_sns_has_signed_is_proven_as_often_as_one_likes(post).await;
    a_signature_is_good_for_one_message_only(post).await;
}

/// Bodies are bytes, whatever stands in them, and of any size.
pub async fn a_body_comes_whole_and_tells_its_length(post: &dyn Post) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for (key, body) in [("small", &b"{}"[..]), ("a key/with \u{e4}+%41", b"\xff\x00"), ("large", &large)] {
        let pointer = post.put(key, Bytes::copy_from_slice(body)).await;
        let pointed = post.envelopes().open(&pointer).await.expect("it is there");
        assert_eq!(pointed.length, Some(body.len() as u64), "{key}");
        let pieces: Vec<Bytes> = pointed.body.try_collect().await.expect("it comes whole");
        assert!(pieces.concat() == body, "{key}: other bytes");
    }
}

/// Nothing there is an answer, and no outage.
pub async fn a_body_that_is_not_there_is_refused(post: &dyn Post) {
    let found = post.envelopes().open(&post.missing().await).await.map(|_| "a body");
    assert!(matches!(found, Err(EnvelopeError::Refused(_))), "{found:?}");
}

/// Proving uses nothing up.
pub async fn what_sns_has_signed_is_proven_as_often_as_one_likes(post: &dyn Post) {
    for version in ["1", "2"] {
        let notification = read(&signed(post, version));
        for _ in 0..3 {
            assert_eq!(post.envelopes().prove(&notification).await, Ok(()), "version {version}");
        }
    }
}

/// Whatever is changed of what is signed, the signature is another's.
pub async fn a_signature_is_good_for_one_message_only(post: &dyn Post) {
    for (field, value) in [
        ("Message", json!("another")),
        ("MessageId", json!("another")),
        ("Subject", json!("another")),
        ("Subject", Value::Null),
        ("Timestamp", json!("another")),
        ("Signature", json!("Zm9yZ2Vk")),
        ("Signature", json!("")),
    ] {
        let mut changed = signed(post, "2");
        changed[field] = value.clone();
        let found = post.envelopes().prove(&read(&changed)).await;
        assert!(matches!(found, Err(EnvelopeError::Refused(_))), "{field} {value}: {found:?}");
    }
}

fn signed(post: &dyn Post, version: &str) -> Value {
    let mut envelope = json!({
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Message": "line\nline \u{e4}", "Subject": "s",
        "Timestamp": "2026-11-22T00:00:00.000Z", "SignatureVersion": version,
    });
    post.sign(&mut envelope);
    envelope
}

fn read(envelope: &Value) -> Notification {
    let topics = vec![Topic { arn: TOPIC.to_owned(), team: None }];
    let trusted = Arc::new(Trusted { topics, pointer_buckets: Vec::new() });
    match Reading::new(std::collections::BTreeMap::new(), trusted).read(envelope.to_string().as_bytes()) {
        Ok(Step::Unproven(notification)) => *notification,
        other => panic!("no envelope: {other:?}"),
    }
}
