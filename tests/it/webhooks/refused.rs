//! Where webhooks never go: internal addresses by literal, name or redirect, foreign hosts with a key, anywhere unsigned.

use std::time::Duration;

use serde_json::json;

use super::bay::{Bay, Kind};
use super::receiver::Does;

/// The warning of a task with this callback.
async fn warned(bay: &Bay, id: &str, callback_url: &str) -> String {
    bay.submit(id, 1, json!({"callback_url": callback_url})).await;
    bay.work("ingest,webhooks").await;
    let warnings = bay.receipt(id).await["warnings"].clone();
    assert_eq!(warnings[0]["code"], "bad_callback", "{id}: {warnings}");
    warnings[0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_that_cannot_be_is_told_and_the_task_ends_without_it() {
    let bay = Bay::new(Kind::Local).await;
    assert!(warned(&bay, "t-1", "me@acme.com").await.contains("no http or https URL"));
    assert!(warned(&bay, "t-2", "s3://bucket/key").await.contains("no http or https URL"));
    bay.sign_with("secret = \"\"\nunsigned = true\n");
    bay.submit("t-3", 1, json!({})).await;
    bay.work("ingest,webhooks").await;
    let received = bay.receiver.received("/hook");
    assert_eq!((received.len(), received[0].header("webhook-signature")), (1, ""));
    assert_ne!(received[0].header("webhook-id"), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_auth_key_goes_to_no_foreign_host() {
    let bay = Bay::new(Kind::Local).await;
    bay.sign_with("format = \"scale\"\nauth_key = \"k-9\"\n");
    // The same machine by another name is another host.
    let foreign = bay.receiver.url("/stolen").replace("127.0.0.1", "localhost");
    assert!(warned(&bay, "t-1", &foreign).await.contains("only to the host"));
    assert!(bay.receiver.received("/stolen").is_empty());
    bay.sign_with("format = \"scale\"\nauth_key = \"k-9\"\nallowed_hosts = [\"localhost\"]\n");
    bay.submit("t-2", 1, json!({"callback_url": foreign})).await;
    bay.work("ingest,webhooks").await;
    assert_eq!(bay.receiver.received("/stolen")[0].header("scale-callback-auth"), "k-9");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_addresses_are_reached_neither_by_literal_nor_by_name() {
    let mut bay = Bay::new(Kind::Local).await;
    bay.set("WEBHOOKS__ALLOW_NETWORKS", "[]");
    let by_name = bay.receiver.url("/name").replace("127.0.0.1", "localhost");
    bay.submit("t-1", 1, json!({"callback_url": bay.receiver.url("/literal")})).await;
    bay.submit("t-2", 1, json!({"callback_url": by_name})).await;
    let counts = bay.work("ingest,webhooks").await;
    assert_eq!((&counts["webhooks_delivered"], &counts["webhooks_failed"]), (&json!(0), &json!(4)), "{counts}");
    assert!(bay.receiver.received("/literal").is_empty() && bay.receiver.received("/name").is_empty());
    for row in bay.run(&["webhooks", "list", "--json"]).await.ends(0).json() {
        assert_eq!((&row["last_status"], &row["state"]), (&json!(null), &json!("enabled")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let bay = Bay::new(Kind::Local).await;
    bay.receiver.script("/hook", &[Does::Redirects(bay.receiver.url("/inside"))]);
    bay.submit("t-1", 1, json!({})).await;
    let counts = bay.work("ingest,webhooks").await;
    assert_eq!(counts["webhooks_delivered"], 0, "{counts}");
    assert_eq!((bay.receiver.received("/hook").len(), bay.receiver.received("/inside").len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_with_secrets_shows_them_nowhere() {
    let bay = Bay::new(Kind::Local).await;
    let url = bay.receiver.url("/own?token=hush").replace("http://", "http://user:word@");
    bay.receiver.script("/own", &[Does::Answers(500, ""), Does::Answers(200, "")]);
    bay.submit("t-1", 1, json!({"callback_url": url})).await;
    let mut worker = bay.worker("ingest,webhooks", None);
    let received = bay.receiver.reaches("/own", 2, Duration::from_secs(40)).await;
    worker.says("delivered a webhook", Duration::from_secs(10)).await;
    assert_eq!(received[0].target, "/own?token=hush");
    assert_eq!(received[0].header("authorization"), "Basic dXNlcjp3b3Jk");
    let listed = bay.run(&["webhooks", "list"]).await.ends(0).out;
    let receipt = bay.receipt("t-1").await.to_string();
    let body = String::from_utf8(received[0].body.clone()).unwrap();
    for text in [worker.said(), listed, receipt, body] {
        assert!(!text.contains("hush") && !text.contains("word"), "{text}");
    }
    worker.kill();
}
