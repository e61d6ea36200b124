//! What the engine promises one task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::adapters::memory::store::MemoryStore;
use longshore::domain::completion::kind;
use longshore::domain::digest::Sha256;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::object_key::Key;
use longshore::domain::receipt::Status;
use longshore::engine::intake::Until;
use longshore::engine::stop::Stop;
use longshore::engine::worker::{End, Ports, Worker};
use longshore::ports::fetcher::Want;
use longshore::ports::queue::Queue;
use longshore::ports::store::Store;
use tokio::time::{Instant, sleep, timeout};

use super::faults::{Fate, FatedQueue, FatedStore};
use super::world::{World, source, task};

fn failing(times: u32, code: Code) -> MemoryObject {
    MemoryObject::new("late but right").failing(times, AttachmentFault::new(code, "as asked"))
}

/// Checks that `task` ended so, with these codes (`None`: stored), was announced under one id with one content, and that
/// nothing is left.
async fn check(world: &World, task: &str, status: Status, codes: &[Option<Code>]) {
    let receipt = world.receipt(task, 1).await.expect("the task has a receipt");
    assert_eq!(receipt.status, status);
    let found: Vec<_> =
        receipt.attachments.iter().map(|outcome| outcome.error.as_ref().map(|error| error.code)).collect();
    assert_eq!(found, codes);
    let announced: Vec<_> = world.events.events().into_iter().filter(|event| event.id == receipt.event_id).collect();
    assert!(!announced.is_empty(), "the completion was announced");
    assert!(announced.iter().all(|event| event.body == announced[0].body), "one id has one content");
    assert_eq!(announced[0].kind, kind(&receipt));
    assert_eq!(world.queue.depth().await.unwrap().total(), 0, "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn a_task_ends_with_a_receipt_that_tells_of_each_attachment() {
    let world = World::new();
    world.put("https://h/a", MemoryObject::new("hello"));
    let missing = AttachmentFault::new(Code::NotFound, "no such thing").with_status(404);
    world.put("https://h/b", MemoryObject::new("").failing(u32::MAX, missing));
    world.send(&task("t", &["https://h/a", "https://h/b", "ftp://h/c", "s3://bucket/d"])).await;
    assert_eq!(world.work().await, End::Drained);
    let codes = [None, Some(Code::NotFound), Some(Code::UnsupportedScheme), Some(Code::IntegrationMissing)];
    check(&world, "t", Status::Partial, &codes).await;
    let receipt = world.receipt("t", 1).await.unwrap();
    let object = receipt.attachments[0].object.clone().expect("stored");
    assert_eq!(world.object(&object.uri).await, "hello");
    assert_eq!((object.sha256, object.bytes), (Sha256::of(b"hello"), 5));
    assert_eq!(receipt.attachments[1].error.as_ref().unwrap().http_status, Some(404));
}

#[tokio::test(start_paused = true)]
async fn large_bodies_go_part_by_part_and_come_out_whole_with_their_facts() {
    for store in [MemoryStore::new(), MemoryStore::without_facts()] {
        let world = World { store, ..World::new() };
        let bytes: Vec<u8> = (0..30 << 20).map(|n: u32| (n % 251) as u8).collect();
        let digest = Sha256::of(&bytes);
        world.put("https://h/big", MemoryObject { tells_length: false, ..MemoryObject::new(bytes) });
        world.send(&task("t", &["https://h/big"])).await;
        world.work().await;
        check(&world, "t", Status::Completed, &[None]).await;
        let object = world.receipt("t", 1).await.unwrap().attachments.remove(0).object.unwrap();
        assert_eq!((object.sha256, object.bytes), (digest, 30 << 20));
        assert_eq!(Sha256::of(&world.object(&object.uri).await), digest);
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_in_passing_is_tried_again_in_place() {
    let world = World::new();
    world.put("https://h/a", failing(3, Code::Unavailable));
    world.send(&task("t", &["https://h/a"])).await;
    world.work().await;
    check(&world, "t", Status::Completed, &[None]).await;
    assert_eq!(world.fetcher.times_opened(&source("https://h/a")), 4);
    assert_eq!(world.receipt("t", 1).await.unwrap().attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_failing_ends_after_the_last_attempt_with_its_code() {
    let world = World::new();
    world.put("https://h/a", failing(u32::MAX, Code::Throttled));
    world.put("https://h/b", MemoryObject::new("fine"));
    world.send(&task("t", &["https://h/a", "https://h/b"])).await;
    let start = Instant::now();
    world.work().await;
    check(&world, "t", Status::Partial, &[Some(Code::Throttled), None]).await;
    let receipt = world.receipt("t", 1).await.unwrap();
    assert_eq!(receipt.attempt, 5);
    assert_eq!(receipt.attachments[0].error.as_ref().unwrap().tries, 5);
    let bodies = world.fetcher.opened().into_iter().filter(|(url, want)| url.contains("h/a") && *want == Want::Body);
    // Five tries in each of five deliveries; the first of each later one is the look for an earlier copy, which failed too.
    assert_eq!(bodies.count(), 5 + 4 * 4);
    assert_eq!(world.fetcher.times_opened(&source("https://h/b")), 1, "what is stored is not fetched again");
    assert!(start.elapsed() >= Duration::from_secs(5 + 10 + 20 + 40), "delays grow: {:?}", start.elapsed());
}

/// One team, one host name: what cannot be connected to at one port says nothing of the other.
#[tokio::test(start_paused = true)]
async fn a_dead_port_fails_nothing_at_its_hosts_other_ports() {
    let world = World::new();
    let mut nobody = AttachmentFault::new(Code::Timeout, "connecting took too long");
    nobody.is_unreached = true;
    let dead: Vec<_> = (0..20).map(|number| format!("https://h:1/gone/{number}")).collect();
    let good: Vec<_> = (0..60).map(|number| format!("https://h/{number}")).collect();
    for url in &dead {
        world.put(url, MemoryObject::new("").failing(u32::MAX, nobody.clone()));
    }
    for url in &good {
        world.put(url, MemoryObject::new("fine"));
    }
    let all: Vec<_> = dead.iter().chain(&good).map(String::as_str).collect();
    world.send(&task("t", &all)).await;
    world.work().await;
    let codes = [vec![Some(Code::Timeout); 20], vec![None; 60]].concat();
    check(&world, "t", Status::Partial, &codes).await;
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_come_back_later_is_kept_by_the_message() {
    let world = World::new();
    let mut fault = AttachmentFault::new(Code::Throttled, "later");
    fault.retry_after = Some(Duration::from_secs(120));
    world.put("https://h/a", MemoryObject::new("fine").failing(1, fault));
    world.send(&task("t", &["https://h/a"])).await;
    let start = Instant::now();
    world.work().await;
    check(&world, "t", Status::Completed, &[None]).await;
    assert!(start.elapsed() >= Duration::from_secs(120), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_was_sent_twice_is_fetched_once_and_announced_with_one_content() {
    let world = World::new();
    world.put("https://h/a", MemoryObject { head_delay: Duration::from_secs(3), ..MemoryObject::new("hello") });
    for id in ["m-1", "m-2", "m-3", "m-4"] {
        world.send_as(id, &task("t", &["https://h/a"])).await;
    }
    world.work().await;
    check(&world, "t", Status::Completed, &[None]).await;
    assert_eq!(world.fetcher.times_opened(&source("https://h/a")), 1);
    assert_eq!(world.events.events().len(), 4);
    assert_eq!(world.events.distinct().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_message_finds_what_an_unfinished_attempt_of_the_first_has_stored() {
    let world = World::new();
    world.put("https://h/a", MemoryObject::new("hello"));
    world.put("https://h/b", failing(6, Code::Unavailable));
    for id in ["m-1", "m-2"] {
        world.send_as(id, &task("t", &["https://h/a", "https://h/b"])).await;
    }
    world.work().await;
    check(&world, "t", Status::Completed, &[None, None]).await;
    assert_eq!(world.fetcher.times_opened(&source("https://h/a")), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_id_with_other_content_is_a_conflict_and_a_fresh_signature_is_not() {
    let world = World::new();
    for url in ["https://b.s3.amazonaws.com/a?X-Amz-Signature=1", "https://h/b"] {
        world.put(url, MemoryObject::new("hello"));
    }
    world.send(&task("t", &["https://b.s3.amazonaws.com/a?X-Amz-Signature=1"])).await;
    world.work().await;
    world.send(&task("t", &["https://b.s3.amazonaws.com/a?X-Amz-Signature=22"])).await;
    world.send(&task("t", &["https://h/b"])).await;
    world.work().await;
    check(&world, "t", Status::Completed, &[None]).await;
    let dead = world.dead().await;
    assert_eq!(dead.iter().map(|dead| dead.reason.as_str()).collect::<Vec<_>>(), ["task_conflict"]);
    assert_eq!(dead[0].body, task("t", &["https://h/b"]));
    assert_eq!(world.fetcher.times_opened(&source("https://h/b")), 0);
}

#[tokio::test(start_paused = true)]
async fn asking_again_begins_the_next_round_once_however_often_its_message_comes() {
    let world = World::new();
    world.put("https://h/a", MemoryObject::new("first"));
    world.send(&task("t", &["https://h/a"])).await;
    world.work().await;
    world.put("https://h/a", MemoryObject::new("second"));
    let again = r#"{"task_id":"t","team":"acme","attachments":["https://h/a"],"again":true}"#;
    for id in ["again-1", "again-1"] {
        world.send_as(id, again).await;
        world.work().await;
    }
    let (first, second) = (world.receipt("t", 1).await.unwrap(), world.receipt("t", 2).await.unwrap());
    assert_ne!(first.event_id, second.event_id);
    let digest = |receipt: &longshore::domain::receipt::Receipt| receipt.attachments[0].object.as_ref().unwrap().sha256;
    assert_eq!((digest(&first), digest(&second)), (Sha256::of(b"first"), Sha256::of(b"second")));
    assert!(world.receipt("t", 3).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_dead_lettered_unchanged_with_its_reason() {
    let world = World::new();
    for body in
        ["{nonsense", r#"{"type":"import","import_id":"i"}"#, r#"{"task_id":"t","team":"acme","attachments":[]}"#]
    {
        world.send(body).await;
    }
    world.work().await;
    let dead = world.dead().await;
    assert_eq!(dead.len(), 3);
    assert!(dead.iter().all(|dead| dead.reason == "undecodable" && dead.attempts == 0));
    assert_eq!(dead[0].body, "{nonsense");
    assert_eq!(dead[1].detail, "imports are not supported yet");
    assert!(dead[2].detail.contains("attachments"), "{}", dead[2].detail);
    assert!(world.events.events().is_empty() && world.store.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_team_is_asked_for_again_and_then_dead_lettered() {
    let world = World::new();
    world.send(r#"{"task_id":"t","team":"nobody","attachments":["https://h/a"]}"#).await;
    world.send(r#"{"task_id":"t","team":"late","attachments":[{"text":"x"}]}"#).await;
    let working = world.work();
    let adding = async {
        sleep(Duration::from_secs(12)).await;
        world.teams.put("late", Default::default());
    };
    tokio::join!(working, adding);
    let dead = world.dead().await;
    assert_eq!(
        dead.iter().map(|dead| (dead.reason.as_str(), dead.attempts)).collect::<Vec<_>>(),
        [("unknown_team", 5)]
    );
    assert_eq!(world.events.events().len(), 1, "the team that came late was served");
}

#[tokio::test(start_paused = true)]
async fn while_something_is_away_nothing_is_used_up_and_nothing_is_fetched_twice() {
    let world = World::new();
    world.put("https://h/a", MemoryObject::new("hello"));
    for number in 0..20 {
        world.send(&task(&format!("t-{number}"), &["https://h/a"])).await;
    }
    let fate = Fate::new(1, 0);
    fate.set_away(true);
    let mut ports = world.ports();
    ports.store = Arc::new(FatedStore(world.store.clone(), fate.clone()));
    world.teams.set_away(true);
    world.events.go_away();
    let stop = Stop::default();
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let back = async {
        sleep(Duration::from_secs(300)).await;
        fate.set_away(false);
        sleep(Duration::from_secs(60)).await;
        world.teams.set_away(false);
        sleep(Duration::from_secs(60)).await;
        world.events.come_back();
    };
    tokio::join!(worker.run(Until::Empty), back);
    for number in 0..20 {
        check(&world, &format!("t-{number}"), Status::Completed, &[None]).await;
        assert_eq!(world.receipt(&format!("t-{number}"), 1).await.unwrap().attempt, 1);
    }
    assert_eq!(world.fetcher.times_opened(&source("https://h/a")), 20);
    assert!(world.dead().await.is_empty());
}

/// The broker may be away for longer than a delivery may be in hand: RabbitMQ closes the channel of one that is, with all that came
/// by it.
#[tokio::test(start_paused = true)]
async fn a_completion_that_nobody_takes_is_handed_back_at_hold_and_announced_when_somebody_does() {
    let mut world = World::new();
    world.settings.hold = Duration::from_secs(60);
    world.put("https://h/a", MemoryObject::new("a"));
    world.events.go_away();
    world.send(&task("t", &["https://h/a"])).await;
    let stop = Stop::default();
    let worker = Worker::new(&world.ports(), world.settings.clone(), &stop);
    let handed_back = || worker.tally.handed_back.load(Ordering::Relaxed);
    let away = async {
        sleep(Duration::from_secs(55)).await;
        assert_eq!((world.receipt("t", 1).await.is_some(), handed_back()), (true, 0));
        sleep(Duration::from_secs(300)).await;
        assert!((4..=5).contains(&handed_back()), "{} times", handed_back());
        world.events.come_back();
        sleep(Duration::from_secs(30)).await;
        stop.begin();
    };
    tokio::join!(worker.run(Until::Stopped), away);
    check(&world, "t", Status::Completed, &[None]).await;
    assert_eq!(world.fetcher.times_opened(&source("https://h/a")), 1);
}

#[tokio::test(start_paused = true)]
async fn leases_are_kept_while_slow_work_goes_on_and_while_the_worker_drains() {
    let mut world = World::new();
    world.settings.grace = Duration::from_secs(600);
    world.put("https://h/a", MemoryObject { head_delay: Duration::from_secs(300), ..MemoryObject::new("slow") });
    world.send(&task("t", &["https://h/a"])).await;
    let stop = Stop::default();
    let ports = world.ports();
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let stopping = async {
        sleep(Duration::from_secs(10)).await;
        stop.begin();
        sleep(Duration::from_secs(200)).await;
        let stolen = timeout(Duration::from_secs(1), world.queue.receive(1)).await;
        assert!(stolen.is_err(), "the message is still ours");
    };
    let (end, ()) = tokio::join!(worker.run(Until::Stopped), stopping);
    assert_eq!(end, End::Drained);
    check(&world, "t", Status::Completed, &[None]).await;
    assert_eq!(world.fetcher.times_opened(&source("https://h/a")), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_end_within_the_grace_is_handed_back_uncounted() {
    let world = World::new();
    world.put("https://h/a", MemoryObject { head_delay: Duration::from_secs(300), ..MemoryObject::new("slow") });
    world.send(&task("t", &["https://h/a"])).await;
    assert_eq!(world.work_for(Duration::from_secs(10)).await, End::HandedBack);
    let again = world.queue.receive(1).await.unwrap();
    assert_eq!(again[0].attempts, 0);
    assert!(world.store.is_empty(), "nothing was left behind");
}

/// Whoever kills a process counts from the first word, not from when its broker has answered.
#[tokio::test(start_paused = true)]
async fn the_grace_counts_while_the_queue_is_still_being_closed() {
    let mut world = World::new();
    world.settings.grace = Duration::from_secs(20);
    world.put("https://h/a", MemoryObject { head_delay: Duration::from_secs(300), ..MemoryObject::new("slow") });
    world.send(&task("t", &["https://h/a"])).await;
    let fate = Fate::new(1, 0);
    fate.closes_in_secs(15);
    let queue = Arc::new(FatedQueue(world.queue.another(), fate));
    let (stop, ports) = (Stop::default(), Ports { queue, ..world.ports() });
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let stopping = async {
        sleep(Duration::from_secs(10)).await;
        stop.begin();
        Instant::now()
    };
    let running = async { (worker.run(Until::Stopped).await, Instant::now()) };
    let ((end, ended), told) = tokio::join!(running, stopping);
    assert_eq!((end, (ended - told).as_secs()), (End::HandedBack, 20));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_never_ends_is_handed_back_at_hold_and_ends_as_a_timeout() {
    let world = World::new();
    world.put("https://h/a", MemoryObject { head_delay: Duration::from_secs(10_000), ..MemoryObject::new("never") });
    world.put("https://h/b", MemoryObject::new("quick"));
    world.send(&task("t", &["https://h/a", "https://h/b"])).await;
    world.work().await;
    check(&world, "t", Status::Partial, &[Some(Code::Timeout), None]).await;
    assert_eq!(world.fetcher.times_opened(&source("https://h/b")), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_that_were_let_go_for_want_of_memory_all_get_their_turn() {
    let mut world = World::new();
    world.settings.memory_bytes = 8 << 20;
    let piece_delay = Duration::from_millis(150);
    for number in 0..4 {
        let object = MemoryObject { piece_delay, ..MemoryObject::new(vec![number; 9 << 20]) };
        world.put(&format!("https://h/{number}"), object);
        world.send(&task(&format!("t-{number}"), &[&format!("https://h/{number}")])).await;
    }
    let began = tokio::time::Instant::now();
    world.work().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(300), "one after the other they take less than this: {took:?}");
    for number in 0..4 {
        check(&world, &format!("t-{number}"), Status::Completed, &[None]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn promises_of_the_sender_are_checked_before_anything_is_visible() {
    let world = World::new();
    world.put("https://h/a", MemoryObject::new("hello"));
    let wrong = Sha256::of(b"other");
    let body = serde_json::json!({"task_id": "t", "team": "acme", "attachments": [
        {"id": "digest", "url": "https://h/a", "sha256": wrong},
        {"id": "type", "url": "https://h/a", "media_type": "image/png"},
    ]});
    world.send(&body.to_string()).await;
    world.work().await;
    check(&world, "t", Status::Failed, &[Some(Code::DigestMismatch), Some(Code::MediaMismatch)]).await;
    assert!(world.keys("acme/objects").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_writer_died_before_its_facts_is_read_back_and_adopted() {
    let mut world = World::new();
    world.store = MemoryStore::without_facts();
    world.put("https://h/a", MemoryObject::new("hello"));
    world.send(&task("t", &["https://h/a"])).await;
    world.work().await;
    let receipt = world.receipt("t", 1).await.unwrap();
    // What is left of a worker that was killed right after the object became visible.
    let left = MemoryStore::without_facts();
    let object: Vec<Key> = world.keys("acme/objects").await;
    let bytes = world.store.get(&object[0], 100).await.unwrap().unwrap();
    let meta = longshore::ports::store::ObjectMeta { media_type: "text/plain", facts: None };
    left.put_if_absent(&object[0], bytes, meta).await.unwrap();
    world.store = left;
    world.events = Arc::default();
    world.send(&task("t", &["https://h/a"])).await;
    // A delivery that somebody else began: this one looks before it fetches.
    let lost = world.queue.receive(1).await.unwrap();
    assert_eq!(lost.len(), 1);
    sleep(super::world::LEASE + Duration::from_secs(1)).await;
    world.work().await;
    check(&world, "t", Status::Completed, &[None]).await;
    assert_eq!(world.receipt("t", 1).await.unwrap().attachments[0].object, receipt.attachments[0].object);
    assert_eq!(world.fetcher.times_opened(&source("https://h/a")), 1, "the body was fetched once");
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_another_team_claimed_is_refused() {
    let world = World::new();
    let grant = longshore::domain::team::AwsGrant { buckets: vec!["shared".into()], ..Default::default() };
    let record = longshore::domain::team::Team { aws: Some(grant), ..Default::default() };
    world.teams.put("acme", record.clone());
    world.teams.put("other", record);
    world.put("s3://shared/k", MemoryObject::new("hello"));
    world.send(&task("t", &["s3://shared/k"])).await;
    world.work().await;
    world.send(&task("t-2", &["s3://shared/k"]).replace("acme", "other")).await;
    world.work().await;
    check(&world, "t", Status::Completed, &[None]).await;
    assert_eq!(world.fetcher.times_opened(&source("s3://shared/k")), 1, "the other team read nothing");
    let other = world.events.events().pop().unwrap();
    assert!(std::str::from_utf8(&other.body).unwrap().contains("bucket_not_allowed"));
}

#[tokio::test(start_paused = true)]
async fn a_task_in_work_goes_on_with_the_rights_that_its_team_has_now() {
    let world = World::new();
    let allows = |hosts: &[&str]| longshore::domain::team::Team {
        allowed_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        ..Default::default()
    };
    world.teams.put("acme", allows(&["q", "h"]));
    world.put("https://q/quick", MemoryObject::new("hello"));
    world.put("https://h/slow", MemoryObject { head_delay: Duration::from_secs(60), ..MemoryObject::new("slow") });
    world.send(&task("t", &["https://q/quick", "https://h/slow"])).await;
    let taking_away = async {
        sleep(Duration::from_secs(10)).await;
        let limits = longshore::domain::team::TeamLimits { weight: Some(2), ..Default::default() };
        world.teams.put("acme", longshore::domain::team::Team { limits, ..allows(&["q", "h"]) });
        sleep(Duration::from_secs(10)).await;
        assert_eq!(world.fetcher.times_opened(&source("https://h/slow")), 1, "limits are no rights");
        world.teams.put("acme", allows(&["q"]));
    };
    tokio::join!(world.work(), taking_away);
    let receipt = world.receipt("t", 1).await.unwrap();
    assert_eq!((receipt.status, receipt.attempt), (Status::Partial, 1), "nothing of it counted as an attempt");
    assert_eq!(world.fetcher.times_opened(&source("https://h/slow")), 1, "it was not read by the new rights");
    let refused = receipt.attachments[1].error.as_ref().unwrap();
    assert_eq!(refused.code, longshore::domain::fault::Code::BlockedAddress);
}
