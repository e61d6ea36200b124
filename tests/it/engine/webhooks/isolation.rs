//! One endpoint never holds up another.

use super::*;

#[tokio::test(start_paused = true)]
async fn one_hanging_endpoint_among_a_hundred_delays_no_other() {
    let hooks = Hooks::new(signed(None));
    let url = |n: usize| format!("https://hooks.acme.com/{n}");
    hooks.endpoints.script(&url(0), &[Does::Hangs]);
    hooks.end_task("t", None).await;
    let receipt = hooks.world.receipt("t", 1).await.unwrap();
    // The hanging one's come first, and are many.
    let order = std::iter::repeat_n(0, 500).chain((1..100).flat_map(|n| [n; 5]));
    for n in order {
        hooks.outbox().hand_on(&decoded(&url(n)), &hooks.team(), &receipt, hooks.world.clock.now()).await.unwrap();
    }
    let began = Instant::now();
    hooks.deliver_for(Duration::from_secs(120)).await;
    for n in 1..100 {
        let received = hooks.endpoints.received(&url(n));
        assert_eq!(received.len(), 5, "endpoint {n}");
        let last = received.iter().map(|received| received.at - began).max().unwrap();
        assert!(last < Duration::from_secs(3), "endpoint {n} waited {last:?} behind another");
    }
    let tried = hooks.endpoints.received(&url(0)).len();
    assert!((4..=16).contains(&tried), "the hanging one is tried by few: {tried}");
    assert_eq!(hooks.left().await, 500, "and its deliveries are all still there");
}

#[tokio::test(start_paused = true)]
async fn a_busy_endpoint_that_answers_gets_everything_in_time() {
    let hooks = Hooks::new(signed(None));
    hooks.endpoints.script(HOOK, &[Does::Dawdles(Duration::from_millis(100))]);
    hooks.end_task("t", None).await;
    let receipt = hooks.world.receipt("t", 1).await.unwrap();
    for _ in 0..1000 {
        hooks.outbox().hand_on(&decoded(HOOK), &hooks.team(), &receipt, hooks.world.clock.now()).await.unwrap();
    }
    hooks.deliver_for(Duration::from_secs(90)).await;
    assert_eq!((hooks.endpoints.received(HOOK).len(), hooks.left().await), (1000, 0));
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_wait_for_a_place_are_waited_for() {
    let hooks = Hooks::new(signed(None));
    hooks.endpoints.script(HOOK, &[Does::Dawdles(Duration::from_secs(15))]);
    hooks.end_task("t", None).await;
    let receipt = hooks.world.receipt("t", 1).await.unwrap();
    for _ in 0..100 {
        hooks.outbox().hand_on(&decoded(HOOK), &hooks.team(), &receipt, hooks.world.clock.now()).await.unwrap();
    }
    hooks.deliver_until_empty().await;
    assert_eq!((hooks.endpoints.received(HOOK).len(), hooks.left().await), (100, 0));
}
