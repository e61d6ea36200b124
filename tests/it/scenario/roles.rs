//! With whose rights the real program reads customers' buckets: a judge's journal tells who asked.

use std::time::Duration;

use serde_json::{Value, json};

use super::customers::{Customer, Customers, Door, OUR_ACCOUNT};
use super::expect::{End, Outcome, Sent};
use super::judge::Judge;
use super::tasks::Draw;
use super::world::{Setup, World};
use crate::s3source::cloud::trust;

/// A worker in a world whose customers stand before a judge.
async fn before(judge: &Judge, customers: &[(&'static str, Door)]) -> World {
    let mut world = World::new(Setup::SqsS3).await;
    world.let_in(Customers::before(judge, customers).await);
    world
}

fn customer<'a>(world: &'a World, team: &str) -> &'a Customer {
    world.customers.as_ref().unwrap().of(team).unwrap()
}

/// Sends tasks and waits for their end.
async fn done(world: &World, sent: &[Sent], before: usize, within: Duration) {
    world.send(sent).await;
    world.receipts_reach(before + sent.len(), within).await;
}

/// Those who asked for something in the customer's bucket, but for the customer itself.
async fn visitors(judge: &Judge, customer: &Customer) -> Vec<Value> {
    let own = format!("arn:aws:iam::{}:root", customer.account);
    let mut entries = judge.journal(&customer.bucket).await;
    entries.retain(|entry| entry["service"] == "s3" && entry["principal"] != own.as_str());
    entries
}

/// What is expected of a task whose every attachment is refused.
fn refused(mut sent: Sent, code: &'static str) -> Sent {
    if let End::Receipt(wanted) = &mut sent.end {
        wanted.parts.iter_mut().for_each(|part| part.outcome = Outcome::Failed(code));
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_external_id_a_strangers_role_and_a_withdrawn_trust_are_broken_and_nobody_else_asks() {
    let judge = Judge::start().await;
    let doors = [
        ("right", Door::Role),
        ("wrong", Door::WrongId),
        ("missing", Door::MissingId),
        ("strange", Door::StrangersRole),
        ("fickle", Door::Role),
    ];
    let world = before(&judge, &doors).await;
    let mut draw = Draw::of(8, &world);
    let mut sent: Vec<Sent> = doors.iter().map(|(team, _)| draw.task_in_bucket(team, 5, 3_000)).collect();
    world.put(&draw.objects()).await;
    let worker = world.worker();
    done(&world, &sent, 0, Duration::from_secs(60)).await;

    // One customer changes its mind: its sessions end, and it trusts somebody else.
    let fickle = customer(&world, "fickle");
    let withdrawn = json!({"role": fickle.role_arn(), "trust": trust("000000000000", None)});
    judge.control("POST", "trust", &withdrawn).await;
    assert_eq!(judge.end_sessions(&fickle.role_arn()).await, 1);
    let asked_before = visitors(&judge, fickle).await.len();
    let late = [
        refused(draw.task_in_bucket("fickle", 5, 3_000), "integration_broken"),
        draw.task_in_bucket("right", 5, 3_000),
    ];
    world.put(&draw.objects()).await;
    done(&world, &late, sent.len(), Duration::from_secs(60)).await;
    sent.extend(late);
    world.announced(&sent, Duration::from_secs(60)).await;
    worker.ends_in_peace().await;

    world.all_right("five customers, of whom one lets us in", &sent).await;
    for team in ["right", "fickle"] {
        let customer = customer(&world, team);
        let session = format!("arn:aws:sts::{}:assumed-role/", customer.account);
        for entry in visitors(&judge, customer).await {
            let who = entry["principal"].as_str().unwrap_or_default();
            // A session that has ended is nobody.
            assert!(who.starts_with(&session) || entry["decision"] == "ExpiredToken", "{team}: {entry}");
        }
        let assumed = judge.assumed(&customer.role_arn()).await;
        assert!(assumed.iter().all(|entry| entry["external_id"] == customer.external_id.as_str()), "{assumed:?}");
    }
    for team in ["wrong", "missing", "strange"] {
        assert_eq!(visitors(&judge, customer(&world, team)).await, Vec::<Value>::new(), "{team}");
        let assumed = judge.assumed(&customer(&world, team).role_in_record()).await;
        let refused = assumed.iter().filter(|entry| entry["decision"] == "AccessDenied").count();
        assert_eq!((assumed.len(), refused), (1, 1), "{team}: one question, remembered: {assumed:?}");
    }
    let after: Vec<Value> = visitors(&judge, customer(&world, "fickle")).await.split_off(asked_before);
    assert!(after.iter().all(|entry| entry["decision"] == "ExpiredToken"), "{after:?}");
    let own = judge.journal(&format!("arn:aws:iam::{OUR_ACCOUNT}:user/worker")).await;
    assert!(
        own.iter().all(|entry| entry["action"] == "sts:AssumeRole" || entry["decision"] == "AccessDenied"),
        "{own:?}"
    );
    world.clear().await;
}

async fn one_session_for(attachments: usize) {
    let judge = Judge::start().await;
    let world = before(&judge, &[("delta", Door::Role)]).await;
    let mut draw = Draw::of(9, &world);
    let mut half = || -> Vec<Sent> { (0..5).map(|_| draw.task_in_bucket("delta", attachments / 10, 100)).collect() };
    let (first, second) = (half(), half());
    world.put(&draw.objects()).await;
    let worker = world.worker();
    let within = Duration::from_secs(180);
    done(&world, &first, 0, within).await;
    let role = customer(&world, "delta").role_arn();
    assert_eq!(judge.assumed(&role).await.len(), 1, "one session serves all");
    assert_eq!(judge.end_sessions(&role).await, 1);
    done(&world, &second, first.len(), within).await;
    assert_eq!(judge.assumed(&role).await.len(), 2, "and one follows it");
    let sent = [first, second].concat();
    world.announced(&sent, Duration::from_secs(60)).await;
    worker.ends_in_peace().await;
    world.all_right(&format!("{attachments} attachments of one team and bucket, two sessions"), &sent).await;
    world.clear().await;
}

mod long {
    use super::super::world::sized;
    use super::one_session_for;

    #[tokio::test(flavor = "multi_thread")]
    async fn one_session_serves_ten_thousand_attachments_at_once_and_one_follows_it() {
        one_session_for(sized(10_000, 500)).await;
    }
}
