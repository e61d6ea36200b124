//! Webhooks that arrive: on every kind of queue, over failures and killed workers, under one id and rightly signed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::bay::{Bay, Kind};
use super::receiver::{Does, secret};

const SOON: Duration = Duration::from_secs(30);

macro_rules! on_every_queue {
    ($($name:ident($check:ident);)*) => {
        mod on_one_machine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$check(super::Bay::new(super::Kind::Local).await).await; })*
        }
        mod on_rabbitmq {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$check(super::Bay::new(super::Kind::Amqp).await).await; })*
        }
        mod on_sqs {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$check(super::Bay::new(super::Kind::Sqs).await).await; })*
        }
    };
}

on_every_queue! {
    completions_arrive_signed_and_with_the_receipts_event_id(signed_arrival);
    an_endpoint_that_was_down_gets_its_webhook_with_a_rotated_secret(down_and_up);
    a_worker_killed_between_try_and_settlement_sends_it_again_under_the_same_id(killed_after_sending);
    a_worker_killed_between_two_tries_is_followed_by_one_that_keeps_the_schedule(killed_between_tries);
    a_worker_killed_before_handing_on_loses_no_webhook(killed_before_handing_on);
    gone_disables_an_endpoint_until_it_is_enabled_and_replayed(gone_and_enabled);
    messages_of_the_wrong_queue_are_refused(wrong_queue);
}

async fn signed_arrival(bay: Bay) {
    for id in ["t-1", "t-2", "t-3"] {
        bay.submit(id, 2, json!({"metadata": {"of": id}})).await;
    }
    let counts = bay.work("ingest,webhooks").await;
    assert_eq!((&counts["completed"], &counts["webhooks_delivered"]), (&json!(3), &json!(3)), "{counts}");
    let received = bay.receiver.received("/hook");
    assert_eq!(received.len(), 3);
    for one in &received {
        assert!(one.is_signed_with(1) && !one.is_signed_with(2));
        assert_eq!(one.method, "POST");
        assert_eq!(one.header("user-agent"), format!("longshore/{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(one.header("content-type"), "application/json");
        let body = one.json();
        let receipt = bay.receipt(body["data"]["task_id"].as_str().unwrap()).await;
        assert_eq!(one.header("webhook-id"), receipt["event_id"]);
        assert_eq!((&body["type"], &body["timestamp"]), (&json!("task.completed"), &receipt["finished_at"]));
        assert_eq!(body["data"]["metadata"]["of"], body["data"]["task_id"]);
        assert_eq!(body["data"]["attachments"], receipt["attachments"]);
    }
    let ids: BTreeSet<&str> = received.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!(ids.len(), 3);
    bay.clear().await;
}

async fn down_and_up(mut bay: Bay) {
    bay.submit("t-1", 1, json!({})).await;
    bay.receiver.goes_down();
    let worker = bay.worker("ingest,webhooks", None);
    let mut worker = worker;
    worker.says("failed: ", SOON).await;
    bay.sign_with(&format!("secret = \"{}\"\nprevious_secret = \"{}\"\n", secret(2), secret(1)));
    bay.receiver.comes_back().await;
    let received = bay.receiver.reaches("/hook", 1, SOON * 2).await;
    assert!(received[0].is_signed_with(1) && received[0].is_signed_with(2) && !received[0].is_signed_with(3));
    assert_eq!(received[0].header("webhook-id"), bay.receipt("t-1").await["event_id"]);
    drop(worker);
    bay.clear().await;
}

async fn killed_after_sending(mut bay: Bay) {
    bay.set("QUEUE__LEASE", "2s");
    bay.receiver.script("/hook", &[Does::Answers(200, "")]);
    bay.submit("t-1", 1, json!({})).await;
    bay.worker("ingest,webhooks", Some("webhook-sent:kill:1")).falls(SOON).await;
    assert_eq!(bay.receiver.received("/hook").len(), 1);
    let _second = bay.worker("ingest,webhooks", None);
    let received = bay.receiver.reaches("/hook", 2, SOON * 2).await;
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[0].body, received[1].body);
    assert!(received.iter().all(|one| one.is_signed_with(1)));
    drop(_second);
    bay.clear().await;
}

async fn killed_between_tries(mut bay: Bay) {
    bay.set("QUEUE__LEASE", "2s");
    bay.receiver.script("/hook", &[Does::Answers(500, ""), Does::Answers(200, "")]);
    bay.submit("t-1", 1, json!({})).await;
    let mut first = bay.worker("ingest,webhooks", None);
    first.says("failed: it answered 500", SOON).await;
    // Time to settle: the wait is then the message's own.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    first.kill();
    let second = bay.worker("webhooks", None);
    let received = bay.receiver.reaches("/hook", 2, SOON * 2).await;
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert!(received[0].is_signed_with(1) && received[1].is_signed_with(1));
    let gap = received[1].at - received[0].at;
    assert!(gap >= Duration::from_millis(4900), "the second try came after {gap:?}");
    drop(second);
    bay.clear().await;
}

async fn killed_before_handing_on(mut bay: Bay) {
    bay.set("QUEUE__LEASE", "2s");
    bay.submit("t-1", 1, json!({})).await;
    bay.worker("ingest", Some("receipt-written:kill:1")).falls(SOON).await;
    assert!(bay.receiver.received("/hook").is_empty());
    let _second = bay.worker("ingest,webhooks", None);
    let received = bay.receiver.reaches("/hook", 1, SOON * 2).await;
    assert_eq!(received[0].header("webhook-id"), bay.receipt("t-1").await["event_id"]);
    drop(_second);
    bay.clear().await;
}

async fn gone_and_enabled(bay: Bay) {
    bay.receiver.script("/hook", &[Does::Answers(410, "")]);
    bay.submit("t-1", 1, json!({})).await;
    bay.work("ingest,webhooks").await;
    bay.submit("t-2", 1, json!({})).await;
    let counts = bay.work("ingest,webhooks").await;
    assert_eq!((&counts["webhooks_exhausted"], &counts["webhooks_failed"]), (&json!(1), &json!(0)), "{counts}");
    assert_eq!(bay.receiver.received("/hook").len(), 1, "the second was not even tried");
    let mut dead = bay.dead().await;
    dead.sort();
    let exhausted = |id: &str| ("webhook_exhausted".to_owned(), id.to_owned());
    assert_eq!(dead, [exhausted("t-1"), exhausted("t-2")]);
    let url = bay.receiver.url("/hook");
    let listed = bay.run(&["webhooks", "list", "--json"]).await.ends(0).json().remove(0);
    assert_eq!((&listed["team"], &listed["url"]), (&json!("acme"), &json!(url)));
    assert_eq!((&listed["state"], &listed["last_status"]), (&json!("disabled"), &json!(410)));
    // Enabled, what was given up is put back on the queue that it came from, and arrives.
    bay.receiver.script("/hook", &[Does::Answers(204, "")]);
    bay.run(&["webhooks", "enable", "acme", &url]).await.ends(0);
    assert_eq!(bay.run(&["dead", "replay", "--all"]).await.ends(0).out, "replayed 2\n");
    assert!(bay.dead().await.is_empty());
    bay.work("ingest,webhooks").await;
    let received = bay.receiver.received("/hook");
    assert_eq!(received.len(), 3);
    assert!(bay.dead().await.is_empty());
    bay.clear().await;
}

async fn wrong_queue(bay: Bay) {
    bay.submit("t-1", 1, json!({})).await;
    bay.work("ingest,webhooks").await;
    let event_id = bay.receipt("t-1").await["event_id"].clone();
    let delivery = json!({
        "type": "webhook", "team": "acme", "task_id": "t-1", "round": 1, "url": bay.receiver.url("/forged"),
        "event_id": event_id, "created_at": "2026-11-21T20:00:00Z",
    });
    let task = json!({"task_id": "t-2", "team": "acme", "attachments": [{"text": "x"}]});
    bay.put("tasks", &delivery.to_string()).await;
    bay.put("webhooks", &task.to_string()).await;
    bay.work("ingest,webhooks").await;
    let reasons: Vec<String> = bay.dead().await.into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["undecodable", "undecodable"]);
    assert!(bay.receiver.received("/forged").is_empty());
    bay.run(&["receipt", "acme", "t-2"]).await.ends(1);
    // Replayed, each goes back to where it came from, and is refused again.
    bay.run(&["dead", "replay", "--all"]).await.ends(0);
    bay.work("ingest,webhooks").await;
    assert_eq!(bay.dead().await.len(), 2);
    assert!(bay.receiver.received("/forged").is_empty());
    bay.run(&["receipt", "acme", "t-2"]).await.ends(1);
    bay.clear().await;
}
