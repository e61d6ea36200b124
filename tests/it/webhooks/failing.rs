//! Webhooks that do not arrive at once, bodies that are too large, and formats: the real program on one machine or a bucket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bay::{Bay, Kind};
use super::receiver::Does;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_after_five_seconds_is_waited_for_and_one_after_a_minute_is_left() {
    let bay = Bay::new(Kind::Local).await;
    bay.receiver.script("/hook", &[Does::Answers(500, "")]);
    bay.submit("t-1", 1, json!({})).await;
    let counts = bay.work("ingest,webhooks").await;
    let received = bay.receiver.received("/hook");
    assert_eq!((received.len(), &counts["webhooks_failed"]), (2, &json!(2)));
    let gap = received[1].at - received[0].at;
    assert!((Duration::from_millis(4900)..Duration::from_secs(8)).contains(&gap), "{gap:?}");
    let listed = bay.run(&["webhooks", "list", "--json"]).await.ends(0).json().remove(0);
    assert_eq!(
        (&listed["backlog"], &listed["last_status"], &listed["state"]),
        (&json!(1), &json!(500), &json!("enabled"))
    );
    assert!(bay.dead().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_asks_for_a_wait_is_left_alone_until_then() {
    let bay = Bay::new(Kind::Local).await;
    bay.receiver.script("/hook", &[Does::Answers(429, "Retry-After: 8\r\n"), Does::Answers(200, "")]);
    bay.submit("t-1", 1, json!({})).await;
    bay.work("ingest,webhooks").await;
    let received = bay.receiver.received("/hook");
    let gap = received[1].at - received[0].at;
    assert!(received.len() == 2 && gap >= Duration::from_millis(7900), "{gap:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_endpoint_holds_up_neither_ingestion_nor_others() {
    let mut bay = Bay::new(Kind::Local).await;
    bay.set("WEBHOOKS__TIMEOUT", "4s");
    bay.receiver.script("/hangs", &[Does::Hangs]);
    for n in 0..20 {
        bay.submit(&format!("t-{n}"), 1, json!({"callback_url": bay.receiver.url("/hangs")})).await;
    }
    for n in 20..40 {
        bay.submit(&format!("t-{n}"), 1, json!({"callback_url": bay.receiver.url(&format!("/quick/{n}"))})).await;
    }
    let mut worker = bay.worker("ingest,webhooks", None);
    worker.says(" working", Duration::from_secs(30)).await;
    let began = tokio::time::Instant::now();
    for n in 20..40 {
        bay.receiver.reaches(&format!("/quick/{n}"), 1, Duration::from_secs(20)).await;
    }
    let took = began.elapsed();
    assert!(took < Duration::from_millis(3900), "the quick ones took {took:?}");
    assert!(bay.receiver.received("/hangs").len() <= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scale_receivers_get_their_form_and_their_key() {
    let bay = Bay::new(Kind::Local).await;
    bay.sign_with("format = \"scale\"\nauth_key = \"k-9\"\n");
    bay.submit("t-1", 1, json!({"metadata": {"a": 1}})).await;
    bay.submit("t-2", 0, json!({"attachments": ["ftp://h/a?secret=1"]})).await;
    bay.work("ingest,webhooks").await;
    let received = bay.receiver.received("/hook");
    assert_eq!(received.len(), 2);
    for one in received {
        assert_eq!((one.header("scale-callback-auth"), one.header("webhook-signature")), ("k-9", ""));
        let body = one.json();
        assert_eq!(body["task"]["task_id"], body["task_id"]);
        match body["task_id"].as_str() {
            Some("t-1") => {
                assert_eq!((&body["task"]["status"], &body["task"]["metadata"]["a"]), (&json!("completed"), &json!(1)))
            }
            _ => {
                assert_eq!(body["task"]["status"], "error");
                assert_eq!(body["response"]["error"], "One or more attachments could not be downloaded.");
                assert_eq!(body["response"]["attachments"], json!([{"statusCode": null, "url": "ftp://h/a"}]));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudevents_receivers_get_structured_json_and_signatures() {
    let bay = Bay::new(Kind::Local).await;
    bay.sign_with(&format!("format = \"cloudevents\"\nsecret = \"{}\"\n", super::receiver::secret(1)));
    bay.submit("t-1", 1, json!({})).await;
    bay.work("ingest,webhooks").await;
    let received = bay.receiver.received("/hook").remove(0);
    assert!(received.is_signed_with(1));
    assert_eq!(received.header("content-type"), "application/cloudevents+json; charset=utf-8");
    let event = received.json();
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(received.header("webhook-id"))));
    assert_eq!(event["data"]["task_id"], "t-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_completion_links_to_the_receipt_where_the_store_can_sign() {
    let bay = Bay::new(Kind::Amqp).await;
    bay.submit("t-1", 150, json!({"metadata": {"text": "m".repeat(9000)}})).await;
    bay.work("ingest,webhooks").await;
    let received = bay.receiver.received("/hook").remove(0);
    assert!(received.body.len() <= 20_000 && received.is_signed_with(1));
    let body = received.json();
    let data = &body["data"];
    assert!(data.get("attachments").is_none() && data.get("metadata").is_none());
    assert!(data["attachments_uri"].as_str().unwrap().starts_with("s3://"));
    assert_eq!(data["metadata_uri"], data["attachments_uri"]);
    let expires: jiff::Timestamp = data["attachments_url_expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires > jiff::Timestamp::now());
    // Whoever has the link opens it without keys, and finds all that was left out.
    let opened = open(data["attachments_url"].as_str().unwrap()).await;
    let receipt = bay.receipt("t-1").await;
    assert_eq!(opened["attachments"].as_array().map(Vec::len), Some(150));
    assert_eq!(opened["attachments"], receipt["attachments"]);
    assert_eq!(opened["metadata"]["text"].as_str().map(str::len), Some(9000));
    for (key, value) in data.as_object().unwrap() {
        if !key.starts_with("attachments_") && !key.starts_with("metadata_") {
            assert_eq!(&opened[key], value, "{key}");
        }
    }
    // A tampered link opens nothing.
    let tampered = data["attachments_url"].as_str().unwrap().replace("t-1.json", "t-2.json");
    assert!(fetch(&tampered).await.0 >= 400);
    bay.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_signs_no_links() {
    let bay = Bay::new(Kind::Local).await;
    bay.submit("t-1", 150, json!({})).await;
    bay.work("ingest,webhooks").await;
    let body = bay.receiver.received("/hook").remove(0).json();
    assert!(body["data"]["attachments_uri"].as_str().unwrap().starts_with("file:///"));
    assert!(body["data"].get("attachments_url").is_none());
}

async fn open(url: &str) -> Value {
    let (status, body) = fetch(url).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

/// A GET as any receiver could make it.
async fn fetch(url: &str) -> (u16, Vec<u8>) {
    let url = url::Url::parse(url).unwrap();
    let host = format!("{}:{}", url.host_str().unwrap(), url.port_or_known_default().unwrap());
    let mut stream = tokio::net::TcpStream::connect(&host).await.unwrap();
    let target = &url[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), answer.split_off(end))
}
