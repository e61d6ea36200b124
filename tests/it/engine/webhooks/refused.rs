//! What is never sent.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_bad_callback_stands_in_the_receipt_and_the_task_goes_on() {
    let hooks = Hooks::new(Callback::default());
    for (id, url, part) in [
        ("t-1", "me@acme.com", "no http"),
        ("t-2", "ftp://acme.com/x", "no http"),
        ("t-3", "https://acme.com/x", "no callback.secret"),
    ] {
        hooks.end_task(id, Some(url)).await;
        let warnings = hooks.warnings(id).await;
        assert!(warnings.len() == 1 && warnings[0].0 == "bad_callback" && warnings[0].1.contains(part), "{warnings:?}");
        let event = hooks.world.events.events().pop().unwrap();
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(body["data"]["warnings"][0]["code"], "bad_callback");
        assert_eq!(body["type"], "task.completed");
    }
    assert_eq!(hooks.left().await, 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_webhook_queue_a_callback_is_told_to_be_bad() {
    let hooks = Hooks::new(signed(None));
    let mut body: Value = serde_json::from_str(&task("t", &["https://h/a"])).unwrap();
    body["callback_url"] = HOOK.into();
    hooks.world.send(&body.to_string()).await;
    hooks.world.work().await;
    let warnings = hooks.warnings("t").await;
    assert_eq!(warnings, [("bad_callback".to_owned(), "webhooks are not configured".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn the_auth_key_of_scale_never_reaches_a_foreign_host() {
    let scale = Callback {
        url: Some(HOOK.to_owned()),
        format: CallbackFormat::Scale,
        auth_key: Some("k-9".to_owned()),
        ..Callback::default()
    };
    let hooks = Hooks::new(scale);
    hooks.end_task("t-1", Some("https://evil.com/in")).await;
    hooks.end_task("t-2", Some("http://hooks.acme.com.evil.com/in")).await;
    hooks.end_task("t-3", None).await;
    hooks.deliver_until_empty().await;
    for id in ["t-1", "t-2"] {
        assert!(hooks.warnings(id).await[0].1.contains("only to the host"));
    }
    assert!(hooks.endpoints.received("https://evil.com/in").is_empty());
    let received = hooks.endpoints.received(HOOK).remove(0);
    assert_eq!(received.field("scale-callback-auth"), Some("k-9"));
    let body: Value = serde_json::from_slice(&received.post.body).unwrap();
    assert_eq!((&body["task_id"], &body["task"]["status"]), (&"t-3".into(), &"completed".into()));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_changes_while_a_delivery_waits_holds_it_back_and_sends_nothing() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    hooks.set(Callback::default());
    hooks.deliver_for(Duration::from_secs(3600)).await;
    assert!(hooks.endpoints.received(HOOK).is_empty() && hooks.dead().await.is_empty());
    hooks.set(signed(None));
    hooks.deliver_for(Duration::from_secs(600)).await;
    assert_eq!(hooks.endpoints.received(HOOK).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_on_the_webhook_queue_and_a_delivery_on_the_task_queue_are_refused() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    let delivery = hooks.queue.receive(1).await.unwrap().remove(0);
    let outgoing = |body: bytes::Bytes| Outgoing { id: "m".into(), body, attributes: Default::default(), group: None };
    hooks.world.queue.send(&[outgoing(delivery.message.body.clone())]).await.unwrap();
    hooks.queue.send(&[outgoing(task("t-2", &["https://h/a"]).into())]).await.unwrap();
    hooks.ingest().await;
    hooks.deliver_for(Duration::from_secs(1)).await;
    for dead in [hooks.world.dead().await, hooks.dead().await] {
        assert_eq!(dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["undecodable"]);
    }
    assert!(hooks.endpoints.received(HOOK).is_empty(), "the delivery itself is still leased by this test");
}

#[tokio::test(start_paused = true)]
async fn a_forged_delivery_sends_nothing() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    let held = hooks.queue.receive(1).await.unwrap().remove(0);
    let forged = |field: &str, value: Value| {
        let mut message: Value = serde_json::from_slice(&held.message.body).unwrap();
        message[field] = value;
        Outgoing { id: "m".into(), body: message.to_string().into(), attributes: Default::default(), group: None }
    };
    let forgeries = [("event_id", "evt_0".into()), ("task_id", "t-9".into()), ("round", 7.into())];
    for (field, value) in forgeries {
        hooks.queue.send(&[forged(field, value)]).await.unwrap();
    }
    hooks.deliver_for(Duration::from_secs(1)).await;
    assert_eq!(hooks.dead().await.iter().map(|dead| dead.reason.clone()).collect::<Vec<_>>(), ["undecodable"; 3]);
    assert!(hooks.endpoints.received(HOOK).is_empty());
}
