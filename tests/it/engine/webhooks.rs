//! What the engine promises customers' endpoints, on paused time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::adapters::memory::queue::MemoryQueue;
use longshore::adapters::memory::webhook::{Does, MemoryWebhook, Received};
use longshore::domain::id::TeamId;
use longshore::domain::object_key::Key;
use longshore::domain::team::{Callback, CallbackFormat, KnownTeam, Team};
use longshore::domain::webhook::endpoint::Endpoint;
use longshore::engine::intake::Until;
use longshore::engine::outage::Gates;
use longshore::engine::stop::Stop;
use longshore::engine::tally::Tally;
use longshore::engine::webhooks::endpoints::Endpoints;
use longshore::engine::webhooks::outbox::Outbox;
use longshore::engine::webhooks::worker::{WebhookPorts, WebhookWorker};
use longshore::engine::worker::{Ports, Worker};
use longshore::ports::queue::{Chosen, DeadLetters, DeadMessage, Outgoing, Queue};
use longshore::ports::store::Store;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::world::{LEASE, World, task};

const HOOK: &str = "https://hooks.acme.com/in";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A world with endpoints.
struct Hooks {
    world: World,
    queue: Arc<MemoryQueue>,
    endpoints: MemoryWebhook,
}

fn secret(byte: u8) -> String {
    format!("whsec_{}", STANDARD.encode([byte; 32]))
}

fn signed(url: Option<&str>) -> Callback {
    Callback { url: url.map(str::to_owned), secret: Some(secret(1)), ..Callback::default() }
}

impl Hooks {
    fn new(callback: Callback) -> Self {
        let world = World::new();
        world.put("https://h/a", MemoryObject::new("hello"));
        let queue = Arc::new(MemoryQueue::new(LEASE, world.clock));
        let hooks = Self { world, queue, endpoints: MemoryWebhook::default() };
        hooks.set(callback);
        hooks
    }

    /// Changes the team's callback.
    fn set(&self, callback: Callback) {
        let record = Team { callback: Some(callback), ..Team::default() };
        self.world.teams.put("acme", record);
    }

    fn outbox(&self) -> Outbox {
        let allow_networks = vec!["10.0.0.0/8".parse().unwrap()];
        Outbox { queue: Arc::new(self.queue.another()), allow_networks }
    }

    /// Ends a task of acme, and hands its webhook on.
    async fn end_task(&self, id: &str, callback_url: Option<&str>) {
        let mut body: Value = serde_json::from_str(&task(id, &["https://h/a"])).unwrap();
        if let Some(url) = callback_url {
            body["callback_url"] = url.into();
        }
        self.world.send(&body.to_string()).await;
        self.ingest().await;
    }

    async fn ingest(&self) {
        let ports = Ports { webhooks: Some(self.outbox()), ..self.world.ports() };
        Worker::new(&ports, self.world.settings.clone(), &Stop::default()).run(Until::Empty).await;
    }

    fn worker(&self, stop: &Stop) -> (WebhookWorker, Arc<Tally>) {
        let ports = WebhookPorts {
            outbox: self.outbox(),
            store: Arc::new(self.world.store.clone()),
            teams: Arc::new(self.world.teams.clone()),
            webhook: Arc::new(self.endpoints.clone()),
            clock: self.world.clock,
        };
        let tally = Arc::new(Tally::default());
        (WebhookWorker::new(&ports, Duration::from_secs(25), stop, Arc::clone(&tally), Gates::default()), tally)
    }

    /// Sends webhooks for `span`.
    async fn deliver_for(&self, span: Duration) {
        let stop = Stop::default();
        let (worker, _) = self.worker(&stop);
        let upstream = CancellationToken::new();
        tokio::join!(worker.run(Until::Stopped, &upstream), async {
            sleep(span).await;
            stop.begin();
        });
    }

    /// Sends webhooks until none is due soon.
    async fn deliver_until_empty(&self) {
        let upstream = CancellationToken::new();
        upstream.cancel();
        self.worker(&Stop::default()).0.run(Until::Empty, &upstream).await;
    }

    async fn dead(&self) -> Vec<DeadMessage> {
        self.queue.list(1000).await.unwrap()
    }

    async fn warnings(&self, id: &str) -> Vec<(String, String)> {
        let receipt = self.world.receipt(id, 1).await.unwrap();
        receipt.warnings.into_iter().map(|warning| (warning.code, warning.message)).collect()
    }

    async fn left(&self) -> u64 {
        self.queue.depth().await.unwrap().total()
    }
}

/// Whether one of the signatures is that of `secret`, taken by hand.
fn is_signed_with(received: &Received, byte: u8) -> bool {
    let field = |name: &str| received.field(name).unwrap_or_default().to_owned();
    let mut content = format!("{}.{}.", field("webhook-id"), field("webhook-timestamp")).into_bytes();
    content.extend_from_slice(&received.post.body);
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]), &content);
    let expected = format!("v1,{}", STANDARD.encode(expected));
    field("webhook-signature").split(' ').any(|signature| signature == expected)
}

fn gaps(received: &[Received]) -> Vec<Duration> {
    received.windows(2).map(|two| two[1].at - two[0].at).collect()
}

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

/// The task that a test's receipts are of, with a callback.
fn decoded(callback_url: &str) -> longshore::domain::task::Task {
    let mut body: Value = serde_json::from_str(&task("t", &["https://h/a"])).unwrap();
    body["callback_url"] = callback_url.into();
    match longshore::domain::message::decode(body.to_string().as_bytes(), &Default::default()).unwrap() {
        longshore::domain::message::Decoded::Task(task) => *task,
        other => panic!("{other:?}"),
    }
}

impl Hooks {
    fn team(&self) -> KnownTeam {
        let record = Team { callback: Some(signed(None)), ..Team::default() };
        KnownTeam { id: TeamId::new("acme").unwrap(), record }
    }
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
async fn a_delivery_that_can_never_be_sent_is_given_up_after_a_day() {
    let hooks = Hooks::new(signed(Some(HOOK)));
    hooks.end_task("t", None).await;
    hooks.set(Callback::default());
    hooks.deliver_for(DAY + Duration::from_secs(900)).await;
    let dead = hooks.dead().await;
    assert_eq!((dead.len(), dead[0].reason.as_str(), dead[0].attempts), (1, "webhook_exhausted", 0));
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
