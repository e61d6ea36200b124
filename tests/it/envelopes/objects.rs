//! S3's events, as they are written in the interface's words.

use serde_json::{Value, json};

use super::place::{ACMES, Place, TOPIC};

/// A record of a new object.
pub(super) fn record(bucket: &str, encoded_key: &str, etag: &str, version: Option<&str>) -> Value {
    json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket},
            "object": {"key": encoded_key, "size": 1, "eTag": etag, "versionId": version, "sequencer": "0055AED6DCD90281E5"}}})
}

pub(super) fn event(records: &[Value]) -> String {
    json!({"Records": records}).to_string()
}

fn bridged(bucket: &str, key: &str, etag: &str, kind: &str) -> String {
    json!({"version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": kind, "source": "aws.s3",
        "account": "111122223333", "region": "us-east-1", "resources": [format!("arn:aws:s3:::{bucket}")],
        "detail": {"version": "0", "bucket": {"name": bucket}, "object":
            {"key": key, "size": 1, "etag": etag, "sequencer": "0055AED6DCD90281E5"}, "reason": "PutObject"}})
    .to_string()
}

#[tokio::test]
async fn new_objects_are_copied_whatever_way_the_event_came() {
    let place = Place::new().await;
    let raw = place.raw.clone();
    for (key, encoded) in [
        ("red flower.jpg", "red+flower.jpg"),
        ("ä/€.png", "%C3%A4/%E2%82%AC.png"),
        ("a+b", "a%2Bb"),
        ("a?b#c%", "a%3Fb%23c%25"),
    ] {
        let (etag, _) = place.put(&raw, key, key).await;
        place.send(&event(&[record(&raw, encoded, &etag, None)])).await;
    }
    let (etag, _) = place.put(&raw, "by sns", "by sns").await;
    place.send(&place.sns(TOPIC, &event(&[record(&raw, "by+sns", &etag, None)]))).await;
    let (etag, _) = place.put(&raw, "by acme", "by acme").await;
    place.send(&place.sns(ACMES, &event(&[record(&raw, "by+acme", &etag, None)]))).await;
    // EventBridge does not encode keys: this one is what it looks like.
    let (etag, _) = place.put(&raw, "by+bridge%2B", "by bridge").await;
    place.send(&bridged(&raw, "by+bridge%2B", &etag, "Object Created")).await;
    // The same event twice, the second time by the other way, is one task.
    let (etag, _) = place.put(&raw, "twice", "twice").await;
    place.send(&event(&[record(&raw, "twice", &etag, None)])).await;
    place.send(&bridged(&raw, "twice", &etag, "Object Created")).await;
    place.run().await;
    let receipts = place.receipts("acme");
    for key in ["red flower.jpg", "ä/€.png", "a+b", "a?b#c%", "by sns", "by acme", "twice"] {
        place.check_stored(&receipts, &format!("s3://{raw}/{key}"), key.as_bytes());
    }
    place.check_stored(&receipts, &format!("s3://{raw}/by+bridge%2B"), b"by bridge");
    assert_eq!(receipts.len(), 8);
    place.check_dead(&[]).await;
}

#[tokio::test]
async fn the_state_that_an_event_told_of_is_copied_or_none() {
    let place = Place::new().await;
    let (raw, versioned) = (place.raw.clone(), place.versioned.clone());
    let (etag, version) = place.put(&versioned, "k", "first").await;
    place.put(&versioned, "k", "second").await;
    place.send(&event(&[record(&versioned, "k", &etag, version.as_deref())])).await;
    let (etag, _) = place.put(&raw, "k", "first").await;
    place.put(&raw, "k", "second").await;
    place.send(&event(&[record(&raw, "k", &etag, None)])).await;
    place.run().await;
    let receipts = place.receipts("acme");
    place.check_stored(&receipts, &format!("s3://{versioned}/k"), b"first");
    let gone = &receipts[&format!("s3://{raw}/k")];
    assert_eq!(
        (&gone["status"], &gone["attachments"][0]["error"]["code"]),
        (&json!("failed"), &json!("not_found")),
        "{gone}"
    );
    place.check_dead(&[]).await;
}

#[tokio::test]
async fn several_records_end_each_for_itself_and_a_bad_one_dead_letters_the_message_afterwards() {
    let place = Place::new().await;
    let raw = place.raw.clone();
    let (a, _) = place.put(&raw, "a", "a").await;
    let (b, _) = place.put(&raw, "b", "b").await;
    let removed = {
        let mut removed = record(&raw, "r", "e", None);
        removed["eventName"] = json!("ObjectRemoved:Delete");
        removed
    };
    let bad = event(&[
        record(&raw, "a", &a, None),
        removed.clone(),
        record(&raw, "%zz", "e", None),
        record(&raw, "b", &b, None),
    ]);
    let nobodys = event(&[record("bucket-of-nobody", "k", "e", None)]);
    let acmes = place.sns(ACMES, &event(&[record("bucket-of-nobody", "k", "e", None)]));
    for body in [&bad, &nobodys, &acmes] {
        place.send(body).await;
    }
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "t", "Bucket": raw}).to_string();
    for body in [&test, &place.sns(TOPIC, &test), &event(&[removed]), &bridged(&raw, "r", "e", "Object Deleted")] {
        place.send(body).await;
    }
    place.run().await;
    let receipts = place.receipts("acme");
    for key in ["a", "b"] {
        place.check_stored(&receipts, &format!("s3://{raw}/{key}"), key.as_bytes());
    }
    assert_eq!(receipts.len(), 2);
    let letters = [
        (bad.as_str(), "undecodable", "Records[2].s3.object.key is not form-encoded"),
        (nobodys.as_str(), "unknown_team", "no team has claimed or declares bucket bucket-of-nobody"),
        (acmes.as_str(), "unknown_team", "bucket-of-nobody"),
    ];
    place.check_dead(&letters).await;
}
