//! What arrives, and that it is rightly signed.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_completion_reaches_the_teams_endpoint_signed_and_with_the_events_body() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    hooks.deliver_until_empty().await;
    let received = hooks.endpoints.received(HOOK);
    let event = hooks.world.events.events().remove(0);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].post.body, event.body);
    assert_eq!(received[0].field("webhook-id"), Some(event.id.as_str()));
    assert!(is_signed_with(&received[0], 1) && !is_signed_with(&received[0], 2));
    assert_eq!(hooks.left().await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_message_names_things_and_holds_neither_body_nor_secret() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    let message: Value = serde_json::from_slice(&hooks.queue.receive(1).await.unwrap()[0].message.body).unwrap();
    let names: BTreeSet<&str> = message.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["created_at", "event_id", "round", "task_id", "team", "type", "url"]));
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_signs_beside_the_old_one_at_the_very_next_try() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.endpoints.script(HOOK, &[Does::Answers(500), Does::Answers(200)]);
    hooks.end_task("t", None).await;
    hooks.deliver_for(Duration::from_secs(1)).await;
    hooks.set(Callback { secret: Some(secret(2)), previous_secret: Some(secret(1)), ..signed(Some(HOOK)) });
    hooks.deliver_until_empty().await;
    let received = hooks.endpoints.received(HOOK);
    assert!(is_signed_with(&received[0], 1) && !is_signed_with(&received[0], 2));
    assert!(is_signed_with(&received[1], 1) && is_signed_with(&received[1], 2));
    assert_ne!(received[0].field("webhook-timestamp"), received[1].field("webhook-timestamp"), "each try has its own");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_announced_again_is_delivered_again_under_the_same_id() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    for _ in 0..2 {
        hooks.end_task("t", None).await;
    }
    hooks.deliver_until_empty().await;
    let received = hooks.endpoints.received(HOOK);
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].field("webhook-id"), received[1].field("webhook-id"));
    assert_eq!(received[0].post.body, received[1].post.body);
}

#[tokio::test(start_paused = true)]
async fn a_large_completion_gives_way_to_the_receipts_address() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    let urls = vec!["https://h/a"; 200];
    hooks.world.send(&task("t", &urls)).await;
    hooks.ingest().await;
    hooks.deliver_until_empty().await;
    let received = hooks.endpoints.received(HOOK).remove(0);
    let body: Value = serde_json::from_slice(&received.post.body).unwrap();
    assert!(received.post.body.len() <= 20_000);
    assert_eq!(body["data"]["counts"]["stored"], 200);
    assert!(body["data"]["attachments_uri"].as_str().unwrap().ends_with("acme/receipts/t.json"));
    assert!(body["data"].get("attachments").is_none() && body["data"].get("attachments_url").is_none());
}
