//! Extended-client pointers.

use std::time::Duration;

use serde_json::json;

use super::objects::{event, record};
use super::place::{Place, TOPIC, task};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_listed_buckets_pointers_are_followed_and_every_other_is_dead_lettered_unchanged() {
    let place = Place::new().await;
    let padded = |id: &str, bytes: usize| {
        let mut body = task(id).to_string();
        body.extend(std::iter::repeat_n(' ', bytes - body.len()));
        body
    };
    let bodies = place.bodies.clone();
    place.put(&bodies, "small", task("small").to_string()).await;
    place.put(&bodies, "a key/with ä", padded("odd-key", 5 * MIB)).await;
    place.put(&bodies, "largest", padded("largest", 16 * MIB)).await;
    place.put(&bodies, "too large", padded("too-large", 16 * MIB + 1)).await;
    place.put(&bodies, "no JSON", "no JSON").await;
    place.put(&place.raw.clone(), "elsewhere", task("elsewhere").to_string()).await;
    for key in ["small", "a key/with ä", "largest"] {
        place.send(&place.pointer(&bodies, key)).await;
    }
    let older = json!(["com.amazon.sqs.javamessaging.MessageS3Pointer", {"s3BucketName": bodies, "s3Key": "small"}]);
    place.send(&older.to_string()).await;
    let refused = [
        (place.pointer(&place.raw, "elsewhere"), "is not in queue.pointer_buckets"),
        (place.pointer(&bodies, "absent"), "names no object"),
        (place.pointer(&format!("gone-{bodies}"), "small"), "the pointer"),
        (place.pointer(&bodies, "too large"), "larger than 16 MiB"),
        (place.pointer(&bodies, "no JSON"), "the body is not JSON"),
    ];
    for (body, _) in &refused {
        place.send(body).await;
    }
    place.run().await;
    let receipts = place.receipts("acme");
    for id in ["small", "odd-key", "largest"] {
        place.check_stored(&receipts, id, format!("the text of {id}").as_bytes());
    }
    assert_eq!(receipts.len(), 3, "{:?}", receipts.keys());
    let refused: Vec<_> = refused.iter().map(|(body, says)| (body.as_str(), "undecodable", *says)).collect();
    place.check_dead(&refused).await;
}

#[tokio::test]
async fn envelopes_inside_one_another_lead_to_an_object() {
    let place = Place::new().await;
    let (etag, _) = place.put(&place.raw.clone(), "k", "the object").await;
    let event = event(&[record(&place.raw, "k", &etag, None)]);
    place.put(&place.bodies.clone(), "inner", place.sns(TOPIC, &event)).await;
    place.send(&place.sns(TOPIC, &place.pointer(&place.bodies, "inner"))).await;
    place.run().await;
    place.check_stored(&place.receipts("acme"), &format!("s3://{}/k", place.raw), b"the object");
    place.check_dead(&[]).await;
}

#[tokio::test]
async fn while_s3_is_away_a_pointers_message_waits_and_no_attempt_is_counted() {
    let mut place = Place::new().await;
    place.put(&place.bodies.clone(), "k", task("waits").to_string()).await;
    place.send(&place.pointer(&place.bodies, "k")).await;
    // A port that nothing listens on.
    place.s3_endpoint = "http://127.0.0.1:9".to_owned();
    let mut worker = place.start(&["worker", "--roles", "ingest"]);
    let mut tried = 0;
    while tried < 3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        tried = worker.said().matches("a message cannot be read for now").count();
        assert!(worker.is_running());
    }
    worker.terminate();
    worker.ended(Duration::from_secs(60)).await;
    assert!(place.receipts("acme").is_empty());
    place.s3_endpoint = crate::bed::ministack_endpoint().to_owned();
    place.run().await;
    let receipts = place.receipts("acme");
    place.check_stored(&receipts, "waits", b"the text of waits");
    assert_eq!(receipts["waits"]["attempt"], 1);
    place.check_dead(&[]).await;
}
