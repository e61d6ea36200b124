//! What fails on our side: no task is done before its webhook is on its queue, and no webhook is lost or changed.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::faults::{Fate, FatedQueue, FatedStore};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_task_is_not_done_before_its_webhook_is_on_the_queue() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    let fate = Fate::new(1, 0);
    fate.set_away(true);
    let outbox = Outbox { queue: Arc::new(FatedQueue(hooks.queue.another(), fate.clone())), ..hooks.outbox() };
    hooks.world.send(&task("t", &["https://h/a"])).await;
    let ports = Ports { webhooks: Some(outbox), ..hooks.world.ports() };
    let worker = Worker::new(&ports, hooks.world.settings.clone(), &Stop::default());
    tokio::join!(worker.run(Until::Empty), async {
        sleep(Duration::from_secs(600)).await;
        assert!(hooks.world.receipt("t", 1).await.is_some() && !hooks.world.events.events().is_empty());
        assert_eq!(hooks.world.queue.depth().await.unwrap().total(), 1, "the task's message is still there");
        fate.set_away(false);
    });
    assert_eq!((hooks.world.queue.depth().await.unwrap().total(), hooks.left().await), (0, 1));
    hooks.deliver_until_empty().await;
    assert_eq!(hooks.endpoints.received(HOOK).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_or_the_directory_is_away_no_try_is_counted() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    let fate = Fate::new(1, 0);
    fate.set_away(true);
    hooks.world.teams.set_away(true);
    let stop = Stop::default();
    let worker = hooks.fated(&fate, &stop);
    let upstream = CancellationToken::new();
    tokio::join!(worker.run(Until::Stopped, &upstream), async {
        sleep(Duration::from_secs(3600)).await;
        fate.set_away(false);
        sleep(Duration::from_secs(3600)).await;
        assert!(hooks.endpoints.received(HOOK).is_empty());
        hooks.world.teams.set_away(false);
        sleep(Duration::from_secs(60)).await;
        stop.begin();
    });
    assert_eq!(hooks.endpoints.received(HOOK).len(), 1);
    assert_eq!((hooks.left().await, hooks.dead().await.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn while_our_way_out_is_away_no_try_is_counted() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    let away = [Does::IsOutOfReach; 100];
    hooks.endpoints.script(HOOK, &[&away[..], &[Does::Answers(500), Does::Answers(200)]].concat());
    hooks.deliver_for(Duration::from_secs(3600)).await;
    let received = hooks.endpoints.received(HOOK);
    assert_eq!(received.len(), 2);
    // The first try was the first: the schedule's first wait follows it, and not its hundredth.
    let waited = received[1].at - received[0].at;
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    assert_eq!((hooks.left().await, hooks.dead().await.len()), (0, 0));
}

/// Every call of ours may fail, workers die at any moment, endpoints fail some times: each webhook arrives, under one id and
/// with one body.
#[tokio::test(start_paused = true)]
async fn no_webhook_is_lost_or_changed_whatever_fails() {
    for seed in 0..40 {
        let hooks = Hooks::new(signed(None));
        let mut dice = StdRng::seed_from_u64(seed);
        let url = |n: usize| format!("https://hooks.acme.com/{n}");
        for n in 0..10 {
            let mut does = vec![Does::Answers(500), Does::Refuses, Does::Hangs, Does::Answers(301)];
            does.truncate(dice.random_range(0..=4));
            does.push(Does::Answers(200));
            hooks.endpoints.script(&url(n), &does);
            let mut body: Value = serde_json::from_str(&task(&format!("t-{n}"), &["https://h/a"])).unwrap();
            body["callback_url"] = url(n).into();
            hooks.world.send(&body.to_string()).await;
        }
        let fate = Fate::new(seed, 60);
        hooks.live_and_die(&fate, &mut dice).await;
        hooks.ingest().await;
        hooks.deliver_for(Duration::from_secs(3 * 3600)).await;
        for n in 0..10 {
            let received = hooks.endpoints.received(&url(n));
            assert!(!received.is_empty(), "seed {seed}: webhook {n} was lost");
            let contents: BTreeSet<_> = received
                .iter()
                .map(|one| (one.field("webhook-id").map(str::to_owned), one.post.body.clone()))
                .collect();
            assert_eq!(contents.len(), 1, "seed {seed}: webhook {n} has more than one content");
            assert!(received.iter().all(|one| is_signed_with(one, 1)));
        }
        assert_eq!((hooks.left().await, hooks.dead().await.len()), (0, 0), "seed {seed}");
    }
}

impl Hooks {
    /// A worker whose store and queue fail as fate wants.
    fn fated(&self, fate: &Fate, stop: &Stop) -> WebhookWorker {
        let queue = Arc::new(FatedQueue(self.queue.another(), fate.clone()));
        let ports = WebhookPorts {
            outbox: Outbox { queue, ..self.outbox() },
            store: Arc::new(FatedStore(self.world.store.clone(), fate.clone())),
            teams: Arc::new(self.world.teams.clone()),
            webhook: Arc::new(self.endpoints.clone()),
            clock: self.world.clock,
        };
        WebhookWorker::new(&ports, Duration::from_secs(25), stop, self.common(stop))
    }

    /// Workers of both roles that die after a while, some times.
    async fn live_and_die(&self, fate: &Fate, dice: &mut StdRng) {
        for _ in 0..6 {
            let stop = Stop::default();
            let outbox = Outbox { queue: Arc::new(FatedQueue(self.queue.another(), fate.clone())), ..self.outbox() };
            let ports = Ports { webhooks: Some(outbox), ..self.world.ports() };
            let ingest = Worker::new(&ports, self.world.settings.clone(), &stop);
            let webhooks = self.fated(fate, &stop);
            let upstream = CancellationToken::new();
            let life = Duration::from_millis(dice.random_range(1..90_000));
            tokio::select! {
                _ = ingest.run(Until::Stopped) => {}
                _ = webhooks.run(Until::Stopped, &upstream) => {}
                () = sleep(life) => {}
            }
        }
    }
}

/// A teams file was being edited, or a directory lagged, between a task's receipt and its webhook: the webhook was never made.
#[tokio::test(start_paused = true)]
async fn a_team_that_is_not_known_for_a_moment_gets_its_webhook_all_the_same() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    // Ended, and killed before anything was handed on.
    hooks.world.send(&task("t", &["https://h/a"])).await;
    hooks.world.work().await;
    hooks.world.teams.remove("acme");
    hooks.world.send(&task("t", &["https://h/a"])).await;
    let began = Instant::now();
    tokio::join!(hooks.ingest(), async {
        sleep(Duration::from_secs(300)).await;
        hooks.set(signed(Some(HOOK)));
    });
    assert!(began.elapsed() >= Duration::from_secs(300), "it waits for the team");
    hooks.deliver_until_empty().await;
    assert_eq!(hooks.endpoints.received(HOOK).len(), 1);

    // A team that is gone for good holds nothing up for ever.
    hooks.world.teams.remove("acme");
    hooks.world.send(&task("t", &["https://h/a"])).await;
    hooks.ingest().await;
    assert_eq!(hooks.left().await, 0);
}
