//! Roles, `webhooks list` and `enable`, metrics, and what `config check` says of callbacks.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bay::{Bay, Kind};
use super::receiver::Does;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_role_does_its_part_alone() {
    for kind in [Kind::Local, Kind::Amqp, Kind::Sqs] {
        let bay = Bay::new(kind).await;
        bay.submit("t-1", 1, json!({})).await;
        let counts = bay.work("ingest").await;
        assert_eq!((&counts["completed"], bay.receiver.received("/hook").len()), (&json!(1), 0), "{kind:?}");
        bay.submit("t-2", 1, json!({})).await;
        let counts = bay.work("webhooks").await;
        assert_eq!((&counts["completed"], &counts["webhooks_delivered"]), (&json!(0), &json!(1)), "{kind:?}");
        bay.run(&["receipt", "acme", "t-2"]).await.ends(1);
        bay.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_listed_with_their_backlog_before_anybody_tried_them() {
    let bay = Bay::new(Kind::Local).await;
    assert_eq!(bay.run(&["webhooks", "list"]).await.ends(0).out, "no endpoints\n");
    for id in ["t-1", "t-2"] {
        bay.submit(id, 1, json!({})).await;
    }
    bay.submit("t-3", 1, json!({"callback_url": bay.receiver.url("/other?x=1")})).await;
    bay.work("ingest").await;
    let row = |path: &str, backlog: u32| {
        json!({"team": "acme", "url": bay.receiver.url(path), "state": "enabled", "backlog": backlog,
               "last_status": null, "last_at": null})
    };
    assert_eq!(bay.run(&["webhooks", "list", "--json"]).await.ends(0).json(), [row("/hook", 2), row("/other", 1)]);
    assert!(bay.run(&["webhooks", "list", "other-team"]).await.ends(0).out.contains("no endpoints"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_disabled_endpoint_can_be_enabled() {
    let bay = Bay::new(Kind::Local).await;
    let ran = bay.run(&["webhooks", "enable", "acme", &bay.receiver.url("/hook")]).await.ends(1);
    assert!(ran.err.contains("is not disabled"), "{ran:?}");
    bay.run(&["webhooks", "enable", "acme", "nonsense"]).await.ends(64);
    bay.run(&["webhooks", "enable", "No Team", "https://h/x"]).await.ends(64);
    bay.run(&["webhooks", "enable", "acme"]).await.ends(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_without_its_secret_is_a_mistake_of_the_teams_file() {
    let bay = Bay::new(Kind::Local).await;
    bay.run(&["config", "check"]).await.ends(0);
    for (keys, says) in [
        ("", "callback.url needs callback.secret or callback.unsigned = true"),
        ("secret = \"hush\"\n", "callback.secret must be whsec_"),
        ("format = \"scale\"\n", "callback.url needs callback.auth_key"),
        ("colour = 1\n", "callback.colour is no key"),
    ] {
        bay.sign_with(keys);
        let ran = bay.run(&["config", "check"]).await.ends(64);
        assert!(
            ran.err.contains(says) && ran.err.contains("team acme") && !ran.err.contains("hush"),
            "{keys}: {ran:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqs_the_role_needs_a_queue_of_its_own_and_without_one_callbacks_are_told_to_be_bad() {
    let mut bay = Bay::new(Kind::Sqs).await;
    bay.set("WEBHOOKS__QUEUE_URL", "");
    let ran = bay.run(&["worker", "--roles", "webhooks", "--until-empty"]).await.ends(64);
    assert!(ran.err.contains("webhooks.queue_url"), "{ran:?}");
    bay.submit("t-1", 1, json!({})).await;
    bay.work("ingest").await;
    let receipt = bay.receipt("t-1").await;
    assert_eq!(receipt["warnings"][0]["message"], "webhooks are not configured");
    bay.set("WEBHOOKS__QUEUE_URL", "http://127.0.0.1:4566/111122223333/some.fifo");
    let ran = bay.run(&["config", "check"]).await.ends(64);
    assert!(ran.err.contains("webhooks.queue_url") && ran.err.contains("standard queue"), "{ran:?}");
    bay.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_all_queues_by_hand_and_none_for_webhooks_works_without_them() {
    let mut bay = Bay::new(Kind::Amqp).await;
    let vhost = bay.on_a_virtual_host_with_task_queues_only().await;
    bay.set("QUEUE__DECLARE", "false");
    bay.set("WEBHOOKS__NAME", "longshore.named");
    let ran = bay.run(&["worker", "--until-empty"]).await.ends(64);
    assert!(ran.err.contains("webhooks") && ran.err.contains("longshore.named"), "{ran:?}");
    bay.forget("WEBHOOKS__NAME");
    bay.run(&["worker", "--roles", "webhooks", "--until-empty"]).await.ends(64);
    bay.submit("t-1", 1, json!({})).await;
    let ran = bay.run(&["worker", "--until-empty", "--json"]).await.ends(0);
    assert!(ran.json()[0]["completed"] == 1 && ran.err.contains("webhooks are off"), "{ran:?}");
    assert_eq!(bay.receipt("t-1").await["warnings"][0]["message"], "webhooks are not configured");
    vhost.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_tries_and_the_backlog() {
    let mut bay = Bay::new(Kind::Local).await;
    bay.set("ADMIN__LISTEN", "127.0.0.1:0");
    bay.receiver.script("/hook", &[Does::Answers(500, "")]);
    bay.submit("t-1", 1, json!({})).await;
    let mut worker = bay.worker("ingest,webhooks", None);
    bay.receiver.reaches("/hook", 1, Duration::from_secs(30)).await;
    worker.says("failed: it answered 500", Duration::from_secs(10)).await;
    let said = worker.said();
    let address = said.split("the admin port listens on ").nth(1).unwrap().split_whitespace().next().unwrap();
    let mut page = String::new();
    for _ in 0..100 {
        page = get(address, "/metrics").await;
        if page.contains("longshore_webhooks_total{result=\"failed\"} 1") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(page.contains("longshore_webhooks_total{result=\"failed\"} 1"), "{page}");
    assert!(
        page.contains("longshore_webhook_backlog 1")
            && page.contains("longshore_webhooks_total{result=\"delivered\"} 0")
    );
    assert!(get(address, "/status.json").await.contains("\"webhooks\":{"));
}

async fn get(address: &str, target: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.0\r\nHost: h\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
