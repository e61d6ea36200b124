//! A delivery that kills whoever makes it goes alone, and goes alone to the dead letters.

use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use longshore::ports::webhook::{Answered, Post, PostError, Webhook};
use tokio::sync::Notify;

use super::*;

const DEADLY: &str = "https://deadly.acme.com/";

/// Endpoints of which one kills who asks it: it rings, and answers nobody any more.
struct Deadly {
    inner: MemoryWebhook,
    bell: Arc<Notify>,
}

#[async_trait]
impl Webhook for Deadly {
    async fn post(&self, post: Post) -> Result<Answered, PostError> {
        if post.url.as_str() == DEADLY {
            self.bell.notify_one();
            std::future::pending::<()>().await;
        }
        self.inner.post(post).await
    }
}

impl Hooks {
    /// One life of a process with both roles: whether it was killed by the webhook, and how many deliveries it gave up.
    async fn live(&self) -> (bool, u64) {
        let (stop, upstream, bell) = (Stop::default(), CancellationToken::new(), Arc::new(Notify::new()));
        let ports = Ports { webhooks: Some(self.outbox()), ..self.world.ports() };
        let ingest = Worker::new(&ports, self.world.settings.clone(), &stop);
        let ports = WebhookPorts {
            outbox: self.outbox(),
            store: Arc::new(self.world.store.clone()),
            teams: Arc::new(self.world.teams.clone()),
            webhook: Arc::new(Deadly { inner: self.endpoints.clone(), bell: Arc::clone(&bell) }),
            clock: self.world.clock,
        };
        let webhooks = WebhookWorker::new(&ports, Duration::from_secs(25), &stop, ingest.common());
        let working = async {
            ingest.run(Until::Empty).await;
            upstream.cancel();
        };
        let is_killed = tokio::select! {
            _ended = async { tokio::join!(working, webhooks.run(Until::Empty, &upstream)) } => false,
            () = bell.notified() => true,
        };
        let given_up = ingest.tally.webhooks.exhausted.load(Relaxed);
        drop((ingest, webhooks));
        sleep(LEASE + Duration::from_secs(1)).await;
        (is_killed, given_up)
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_kills_its_process_is_dead_lettered_and_its_neighbours_are_made() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    let receipt = hooks.world.receipt("t", 1).await.unwrap();
    hooks.outbox().hand_on(&decoded(DEADLY), &hooks.team(), &receipt, hooks.world.clock.now()).await.unwrap();
    // The process has a long task too: it takes no part in what is done alone.
    let long = MemoryObject { head_delay: Duration::from_secs(30), ..MemoryObject::new("long") };
    hooks.world.put("https://h/long", long);
    hooks.world.send(&task("long", &["https://h/long"])).await;
    let mut deaths = 0;
    let given_up = loop {
        match hooks.live().await {
            (true, _) => deaths += 1,
            (false, given_up) => break given_up,
        }
        assert!(deaths < 50, "it is never given up");
    };
    assert_eq!(given_up, 1, "it is counted");
    let dead = hooks.dead().await;
    let reasons: Vec<_> = dead.iter().map(|dead| dead.reason.as_str()).collect();
    assert_eq!(reasons, ["attempts_exhausted"]);
    assert_eq!(deaths, 3 + hooks.world.settings.max_attempts, "three to be suspicious, and the runs alone");
    assert!(!hooks.endpoints.received(HOOK).is_empty(), "the neighbour was made");
    assert!(hooks.world.receipt("long", 1).await.is_some(), "and the task beside it was done");
    assert!(hooks.world.dead().await.is_empty());
    assert_eq!(hooks.left().await, 0);
}

/// A way out that is away may be away for hours: nobody stands aside for each look at that.
#[tokio::test(start_paused = true)]
async fn a_suspect_that_was_alone_and_went_back_by_itself_is_none_any_more() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    for _ in 0..3 {
        assert_eq!(hooks.queue.receive(1).await.unwrap().len(), 1);
        sleep(LEASE + Duration::from_secs(1)).await;
    }
    hooks.endpoints.script(HOOK, &[Does::IsOutOfReach, Does::IsOutOfReach, Does::Answers(200)]);
    hooks.deliver_for(Duration::from_secs(5)).await;
    let papers = hooks.world.store.list(&Key::new("_alone"), None, 10).await.unwrap();
    assert_eq!(papers.len(), 1);
    let paper = hooks.world.store.get(&papers[0], 1000).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&paper).unwrap(), serde_json::json!({"unended_runs": 0, "cleared": 3}));
    hooks.deliver_until_empty().await;
    assert_eq!((hooks.endpoints.received(HOOK).len(), hooks.left().await), (1, 0));
}
