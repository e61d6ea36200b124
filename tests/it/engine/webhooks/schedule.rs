//! When deliveries are tried again, and when they are given up.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_is_tried_for_a_day_and_then_dead_lettered_and_replayed() {
    for does in [Does::Answers(503), Does::Answers(302), Does::Refuses, Does::Hangs] {
        let hooks = Hooks::new(signed(Some(HOOK)));
        hooks.endpoints.script(HOOK, &[does]);
        hooks.end_task("t", None).await;
        let began = Instant::now();
        hooks.deliver_for(DAY + Duration::from_secs(3600 * 2)).await;
        let dead = hooks.dead().await;
        assert_eq!((dead.len(), dead[0].reason.as_str()), (1, "webhook_exhausted"), "{does:?}");
        assert!((20..=28).contains(&dead[0].attempts), "{does:?}: {} tries", dead[0].attempts);
        assert_eq!(hooks.left().await, 0);
        if does != Does::Refuses {
            check_schedule(&hooks.endpoints.received(HOOK), began, does);
        }
        hooks.endpoints.script(HOOK, &[Does::Answers(204)]);
        let before = hooks.endpoints.received(HOOK).len();
        assert_eq!(hooks.queue.replay(&Chosen::All).await.unwrap(), 1);
        hooks.deliver_until_empty().await;
        assert_eq!(hooks.endpoints.received(HOOK).len(), before + 1, "{does:?}: replayed");
        assert!(hooks.dead().await.is_empty());
    }
}

fn check_schedule(received: &[Received], began: Instant, does: Does) {
    assert!((20..=28).contains(&received.len()), "{does:?}: {} tries", received.len());
    let takes = if does == Does::Hangs { 20.0 } else { 0.0 };
    let planned = [5.0, 60.0, 300.0, 1800.0].into_iter().chain(std::iter::repeat(3600.0));
    for (gap, planned) in gaps(received).iter().zip(planned) {
        let gap = gap.as_secs_f64();
        let range = planned + takes..=planned * 1.1 + takes + 1.0;
        assert!(range.contains(&gap), "{does:?}: {gap} s, planned {planned} s");
    }
    assert!(received[received.len() - 1].at - began <= DAY, "{does:?}");
    let ids: BTreeSet<_> = received.iter().map(|received| received.field("webhook-id").map(str::to_owned)).collect();
    assert_eq!(ids.len(), 1, "one id over all tries");
}

#[tokio::test(start_paused = true)]
async fn the_next_try_waits_as_long_as_the_endpoint_asks() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    let (long, short) = (Duration::from_secs(900), Duration::from_secs(1));
    hooks.endpoints.script(HOOK, &[Does::AsksToWait(429, long), Does::AsksToWait(503, short), Does::Answers(200)]);
    hooks.end_task("t", None).await;
    hooks.deliver_for(Duration::from_secs(3600)).await;
    let gaps = gaps(&hooks.endpoints.received(HOOK));
    assert_eq!(gaps.len(), 2);
    assert!(gaps[0] >= long && gaps[0] < long * 2, "{gaps:?}");
    assert!(gaps[1] >= Duration::from_secs(60), "a shorter wish than the schedule changes nothing: {gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn gone_disables_the_endpoint_until_it_is_enabled_and_for_its_team_only() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.endpoints.script(HOOK, &[Does::Answers(410)]);
    hooks.end_task("t-1", None).await;
    hooks.deliver_until_empty().await;
    hooks.end_task("t-2", None).await;
    hooks.end_task("t-3", Some("https://hooks.acme.com/other")).await;
    hooks.deliver_until_empty().await;
    assert_eq!(hooks.endpoints.received(HOOK).len(), 1, "later ones are not even tried");
    assert_eq!(hooks.endpoints.received("https://hooks.acme.com/other").len(), 1);
    let dead = hooks.dead().await;
    assert_eq!(dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["webhook_exhausted"; 2]);
    let state = Endpoints::new(Arc::new(hooks.world.store.clone()));
    let acme = TeamId::new("acme").unwrap();
    let known = state.list(None).await.unwrap();
    let shown: Vec<_> = known.iter().map(|known| (known.url.as_str(), known.disabled)).collect();
    assert_eq!(shown, [(HOOK, true), ("https://hooks.acme.com/other", false)]);
    assert_eq!(known[0].last.as_ref().and_then(|last| last.status), Some(410));
    // Enabled, what was given up is replayed and arrives.
    hooks.endpoints.script(HOOK, &[Does::Answers(200)]);
    let endpoint = Endpoint::of(&acme, &HOOK.parse().unwrap());
    state.switch(&endpoint, false, hooks.world.clock.now()).await.unwrap();
    assert_eq!(hooks.queue.replay(&Chosen::All).await.unwrap(), 2);
    hooks.deliver_until_empty().await;
    assert_eq!(hooks.endpoints.received(HOOK).len(), 3);
    assert!(hooks.dead().await.is_empty());
    let keys = hooks.world.store.list(&Key::new("acme/state"), None, 100).await.unwrap();
    assert!(!keys.is_empty(), "what is kept of endpoints is below the team's prefix");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_can_never_be_sent_is_given_up_after_a_day() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    hooks.set(Callback::default());
    hooks.deliver_for(DAY + Duration::from_secs(900)).await;
    let dead = hooks.dead().await;
    assert_eq!((dead.len(), dead[0].reason.as_str(), dead[0].attempts), (1, "webhook_exhausted", 0));
}

#[tokio::test(start_paused = true)]
async fn deliveries_due_within_ten_seconds_are_waited_for_and_later_ones_left() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.endpoints.script(HOOK, &[Does::Answers(500)]);
    hooks.end_task("t", None).await;
    let began = Instant::now();
    hooks.deliver_until_empty().await;
    assert_eq!(hooks.endpoints.received(HOOK).len(), 2, "at once, and after 5 s; not the one after a minute");
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!((hooks.left().await, hooks.dead().await.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_worker_finishes_its_tries_and_a_cut_one_hands_them_back_uncounted() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.endpoints.script(HOOK, &[Does::Dawdles(Duration::from_secs(10))]);
    hooks.end_task("t-1", None).await;
    hooks.deliver_for(Duration::from_secs(1)).await;
    assert_eq!(hooks.left().await, 0, "it had the time to finish");
    hooks.end_task("t-2", None).await;
    let stop = Stop::default();
    let (worker, _) = hooks.worker(&stop);
    let upstream = CancellationToken::new();
    let (end, ()) = tokio::join!(worker.run(Until::Stopped, &upstream), async {
        sleep(Duration::from_secs(1)).await;
        stop.cut();
    });
    assert_eq!(end, longshore::engine::worker::End::HandedBack);
    let delivery = hooks.queue.receive(1).await.unwrap().remove(0);
    assert_eq!(delivery.attempts, 0);
}
