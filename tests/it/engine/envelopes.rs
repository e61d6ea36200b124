//! Messages in envelopes, and messages that are several tasks.

use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::memory::envelopes::sign;
use longshore::adapters::memory::fetcher::MemoryObject;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::id::TeamId;
use longshore::domain::message::{NewObject, Topic, Trusted};
use longshore::domain::receipt::{Receipt, Status};
use longshore::domain::source::Pin;
use longshore::domain::team::{AwsGrant, Team};
use longshore::engine::intake::Until;
use longshore::engine::stop::Stop;
use longshore::engine::worker::Worker;
use longshore::ports::queue::Queue;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::world::{World, source, task};

const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:t";
const ACMES: &str = "arn:aws:sns:us-east-1:111122223333:acme";

/// A world where `acme` declares bucket `raw` and `other` bucket `others`, and two topics and one bucket are trusted.
fn world() -> World {
    let mut world = World::new();
    let listing = |bucket: &str| {
        let aws = AwsGrant { buckets: vec![bucket.to_owned()], ..AwsGrant::default() };
        Team { aws: Some(aws), ..Team::default() }
    };
    world.teams.put("acme", listing("raw"));
    world.teams.put("other", listing("others"));
    let topic = |arn: &str, team: Option<&str>| Topic {
        arn: arn.to_owned(),
        team: team.map(|team| TeamId::new(team).unwrap()),
    };
    let topics = vec![topic(TOPIC, None), topic(ACMES, Some("acme"))];
    world.settings.trusted = Arc::new(Trusted { topics, pointer_buckets: vec!["bodies".to_owned()] });
    world
}

fn pointer(key: &str) -> String {
    json!(["software.amazon.payloadoffloading.PayloadS3Pointer", {"s3BucketName": "bodies", "s3Key": key}]).to_string()
}

fn sns(topic: &str, message: &str) -> String {
    let mut envelope = json!({"Type": "Notification", "TopicArn": topic, "Message": message, "MessageId": "m",
        "Timestamp": "t", "SignatureVersion": "1",
        "MessageAttributes": {"traceparent": {"Type": "String", "Value": TRACE}}});
    sign(&mut envelope);
    envelope.to_string()
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn event(objects: &[(&str, &str)]) -> String {
    let record = |(bucket, key): &(&str, &str)| {
        json!({"eventVersion": "2.1", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": bucket}, "object": {"key": key, "eTag": "e", "sequencer": "1"}}})
    };
    let records: Vec<Value> = objects.iter().map(record).collect();
    json!({"Records": records}).to_string()
}

async fn receipt_of(world: &World, team: &str, bucket: &str, key: &str) -> Option<Receipt> {
    use longshore::domain::object_key::receipt_key;
    use longshore::ports::store::Store;
    let object = NewObject {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        pin: Pin::Etag("e".to_owned()),
        sequencer: Some("1".to_owned()),
    };
    let key = receipt_key(&TeamId::new(team).unwrap(), &object.task_id(), 1);
    let bytes = world.store.get(&key, 1 << 20).await.unwrap()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

async fn check_done(world: &World, events: usize) {
    assert_eq!(world.queue.depth().await.unwrap().total(), 0, "nothing is left");
    assert_eq!(world.events.events().len(), events);
}

async fn check_dead(world: &World, body: &str, reason: &str, says: &str, attempts: u32) {
    let dead = world.dead().await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!((dead[0].reason.as_str(), dead[0].attempts), (reason, attempts), "{}", dead[0].detail);
    assert!(dead[0].detail.contains(says), "{:?} does not say {says:?}", dead[0].detail);
    assert_eq!(dead[0].body, body.as_bytes(), "the body is unchanged");
}

#[tokio::test(start_paused = true)]
async fn a_task_comes_through_a_pointer_and_a_signed_envelope() {
    let world = world();
    world.put("https://h/a", MemoryObject::new("hello"));
    let padding = " ".repeat(2 << 20);
    world.envelopes.put("bodies", "k", sns(TOPIC, &task("t", &["https://h/a"])) + &padding);
    world.send(&sns(TOPIC, &pointer("k"))).await;
    world.work().await;
    assert_eq!(world.receipt("t", 1).await.unwrap().status, Status::Completed);
    check_done(&world, 1).await;
    assert_eq!(world.events.events()[0].traceparent.as_deref(), Some(TRACE), "the envelope's trace goes on");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_not_signed_or_not_the_topics_is_undecodable_and_unchanged() {
    let whole = task("t-forged", &["https://h/a"]);
    let others = whole.replace("acme", "other");
    for (body, says) in [
        (pointer("missing"), "names no object"),
        (sns(TOPIC, &whole).replace("t-forged", "t-other"), "not SNS's"),
        (sns("arn:aws:sns:us-east-1:1:other", &whole), "not in queue.sns_topics"),
        (sns(ACMES, &others), "team"),
        (sns(ACMES, &event(&[("others", "k")])), "does not belong to the team"),
    ] {
        let world = world();
        world.send(&body).await;
        world.work().await;
        check_dead(&world, &body, "undecodable", says, 0).await;
        check_done(&world, 0).await;
        assert!(world.keys("acme").await.is_empty() && world.keys("other").await.is_empty(), "nothing was done");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_more_than_16_mib_is_undecodable() {
    let world = world();
    world.envelopes.put("bodies", "k", vec![b' '; (16 << 20) + 1]);
    world.send(&pointer("k")).await;
    world.work().await;
    check_dead(&world, &pointer("k"), "undecodable", "larger than 16 MiB", 0).await;
}

#[tokio::test(start_paused = true)]
async fn while_bodies_are_away_their_messages_wait_uncounted_and_others_go_on() {
    let world = world();
    world.put("https://h/a", MemoryObject::new("hello"));
    world.envelopes.put("bodies", "k", task("t", &["https://h/a"]));
    world.envelopes.set_away(true);
    world.send(&pointer("k")).await;
    world.send(&sns(TOPIC, &task("u", &["https://h/a"]))).await;
    world.send(&task("plain", &["https://h/a"])).await;
    let (stop, ports) = (Stop::default(), world.ports());
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let back = async {
        sleep(Duration::from_secs(60)).await;
        assert!(world.receipt("plain", 1).await.is_some(), "a plain message needs nothing of it");
        sleep(Duration::from_secs(2 * 60 * 60)).await;
        assert!(world.receipt("t", 1).await.is_none());
        world.envelopes.set_away(false);
    };
    tokio::join!(worker.run(Until::Empty), back);
    for id in ["t", "u"] {
        let receipt = world.receipt(id, 1).await.unwrap();
        assert_eq!((receipt.status, receipt.attempt), (Status::Completed, 1), "no attempt was counted");
    }
    check_done(&world, 3).await;
    assert!(world.dead().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_new_object_is_a_task_of_the_team_that_declares_its_bucket() {
    let world = world();
    for (bucket, key) in [("raw", "a b"), ("raw", "c"), ("others", "d")] {
        world.put(&format!("s3://{bucket}/{key}"), MemoryObject::new(key).with_etag("\"e\""));
    }
    world.send(&sns(TOPIC, &event(&[("raw", "a+b"), ("raw", "c"), ("others", "d"), ("raw", "c")]))).await;
    world.work().await;
    for (team, bucket, key) in [("acme", "raw", "a b"), ("acme", "raw", "c"), ("other", "others", "d")] {
        let receipt = receipt_of(&world, team, bucket, key).await.expect("a receipt");
        assert_eq!(receipt.status, Status::Completed, "{:?}", receipt.attachments);
        assert_eq!(receipt.attachments[0].url.as_deref(), Some(format!("s3://{bucket}/{key}").as_str()));
    }
    check_done(&world, 3).await;
    assert!(world.dead().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_claimed_bucket_is_its_holders_whatever_the_directory_says() {
    use longshore::engine::claims::{ClaimKind, Claims};
    let world = world();
    let claims = Claims::new(Arc::new(world.store.clone()), world.clock);
    claims.claim(ClaimKind::Bucket, "raw", &TeamId::new("other").unwrap()).await.unwrap();
    world.put("s3://raw/k", MemoryObject::new("k").with_etag("\"e\""));
    world.send(&event(&[("raw", "k")])).await;
    world.work().await;
    let receipt = receipt_of(&world, "other", "raw", "k").await.expect("the holder's receipt");
    let code = receipt.attachments[0].error.as_ref().map(|error| error.code);
    assert_eq!(code, Some(Code::IntegrationMissing), "and with the holder's own rights");
    assert!(receipt_of(&world, "acme", "raw", "k").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_object_of_nobodys_bucket_is_asked_for_again_and_then_dead_lettered_as_unknown_team() {
    let mut world = world();
    world.settings.max_attempts = 3;
    world.put("s3://raw/k", MemoryObject::new("k").with_etag("\"e\""));
    let body = event(&[("raw", "k"), ("nobodys", "k")]);
    world.send(&body).await;
    world.work().await;
    check_dead(
        &world,
        &body,
        "unknown_team",
        "part 2 of the message: no team has claimed or declares bucket nobodys",
        3,
    )
    .await;
    let receipt = receipt_of(&world, "acme", "raw", "k").await.expect("the good one has ended");
    assert_eq!((receipt.status, receipt.attempt), (Status::Completed, 1));
}

#[tokio::test(start_paused = true)]
async fn a_team_that_comes_late_gets_its_objects() {
    let world = world();
    world.put("s3://late/k", MemoryObject::new("k").with_etag("\"e\""));
    world.send(&event(&[("late", "k")])).await;
    let (stop, ports) = (Stop::default(), world.ports());
    let worker = Worker::new(&ports, world.settings.clone(), &stop);
    let comes = async {
        sleep(Duration::from_secs(12)).await;
        let aws = AwsGrant { buckets: vec!["late".to_owned()], ..AwsGrant::default() };
        world.teams.put("late", Team { aws: Some(aws), ..Team::default() });
    };
    tokio::join!(worker.run(Until::Empty), comes);
    assert_eq!(receipt_of(&world, "late", "late", "k").await.expect("a receipt").status, Status::Completed);
    check_done(&world, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_record_dead_letters_the_message_only_after_the_others_have_ended() {
    let world = world();
    let passing = AttachmentFault::new(Code::Unavailable, "as asked");
    // Each delivery tries five times in place: the object comes with the second delivery.
    world.put("s3://raw/late", MemoryObject::new("k").with_etag("\"e\"").failing(7, passing));
    world.put("s3://raw/soon", MemoryObject::new("k").with_etag("\"e\""));
    let body = event(&[("raw", "%"), ("raw", "late"), ("raw", "soon")]);
    world.send(&body).await;
    world.work().await;
    check_dead(&world, &body, "undecodable", "part 1 of the message: Records[0].s3.object.key is not form-encoded", 1)
        .await;
    for (key, attempt) in [("late", 2), ("soon", 1)] {
        let receipt = receipt_of(&world, "acme", "raw", key).await.expect("it has ended");
        assert_eq!((receipt.status, receipt.attempt), (Status::Completed, attempt), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pinned_state_that_is_gone_is_told_and_no_newer_one_is_taken() {
    let world = world();
    world.fetcher.put(
        &source("s3://raw/k"),
        MemoryObject::new("newer")
            .failing(u32::MAX, AttachmentFault::new(Code::NotFound, "this state is gone").with_status(412)),
    );
    world.send(&event(&[("raw", "k")])).await;
    world.work().await;
    let receipt = receipt_of(&world, "acme", "raw", "k").await.expect("a receipt");
    assert_eq!(receipt.status, Status::Failed);
    assert_eq!(receipt.attachments[0].error.as_ref().unwrap().code, Code::NotFound);
}
