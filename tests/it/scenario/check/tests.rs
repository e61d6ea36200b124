//! The checker is checked: each kind of damage to a world that was right is reported.

use serde_json::{Value, json};

use super::super::expect::{End, Outcome, Part, Sent, Wanted};
use super::super::http::Content;
use super::super::origin::Request;
use super::super::seen::{Dead, Event, Seen};
use super::super::vault::Kept;
use super::check;

const OBJECT: &str = "acme/objects/ab/abcd.bin";
const RECEIPT: &str = "acme/receipts/t-1.json";
const URI_PREFIX: &str = "s3://bucket/";

fn sent() -> Vec<Sent> {
    let outcome = Outcome::Fetched { oracle: "/blob/1".into(), target: "/blob/1".into() };
    let parts = vec![Part { id: "0".into(), outcome }, Part { id: "1".into(), outcome: Outcome::Failed("not_found") }];
    let wanted = Wanted { team: "acme".into(), task: "t-1".into(), parts };
    let bad = End::Dead { reason: "undecodable", detail: "team" };
    vec![Sent::new("m-1", "the task", End::Receipt(wanted)), Sent::new("m-2", "no task", bad)]
}

fn kept(document: &Value) -> Kept {
    let bytes = document.to_string().into_bytes();
    Kept { content: Content::of(&bytes), document: Some(bytes) }
}

fn receipt() -> Value {
    let content = Content::of(b"bytes");
    json!({
        "task_id": "t-1", "team": "acme", "status": "partial", "finished_at": "2026-01-01T00:00:00Z", "round": 1,
        "counts": {"total": 2, "stored": 1, "failed": 1}, "event_id": "evt_1", "task_digest": "d",
        "attachments": [
            {"id": "0", "status": "stored", "source": {"sha256": content.sha256},
             "object": {"uri": format!("{URI_PREFIX}{OBJECT}"), "bytes": content.bytes, "sha256": content.sha256}},
            {"id": "1", "status": "failed", "error": {"code": "not_found"}},
        ],
    })
}

fn event(receipt: &Value) -> Event {
    let mut data = receipt.clone();
    for own in ["event_id", "round", "task_digest"] {
        data.as_object_mut().unwrap().remove(own);
    }
    let body = json!({"type": "task.partial", "timestamp": receipt["finished_at"], "data": data});
    Event { id: "evt_1".into(), kind: "task.partial".into(), team: "acme".into(), body: body.to_string().into() }
}

/// A world in which all is right.
fn right() -> Seen {
    let content = Content::of(b"bytes");
    let object = Kept { content: content.clone(), document: None };
    Seen {
        kept: [(OBJECT.to_owned(), object), (RECEIPT.to_owned(), kept(&receipt()))].into(),
        uri_prefix: URI_PREFIX.into(),
        events: vec![event(&receipt()), event(&receipt())],
        dead: vec![Dead { reason: "undecodable".into(), detail: "team is missing".into(), body: b"no task".into() }],
        left: vec![("tasks".into(), 0)],
        served: [("/blob/1".to_owned(), vec![content])].into(),
        ..Seen::default()
    }
}

fn problems(damage: impl FnOnce(&mut Seen)) -> String {
    let mut seen = right();
    damage(&mut seen);
    check(&seen, &sent()).problems.join("\n")
}

fn with_receipt(change: impl FnOnce(&mut Value)) -> String {
    problems(|seen| {
        let mut receipt = receipt();
        change(&mut receipt);
        seen.events = vec![event(&receipt)];
        seen.kept.insert(RECEIPT.to_owned(), kept(&receipt));
    })
}

#[track_caller]
fn reports(problems: &str, expected: &str) {
    assert!(problems.contains(expected), "{expected:?} was not reported but: {problems:?}");
}

#[test]
fn a_world_in_which_all_is_right_has_no_problem() {
    assert_eq!(problems(|_| {}), "");
}

#[test]
fn what_is_lost_is_reported() {
    reports(&problems(|seen| drop(seen.kept.remove(RECEIPT))), "no receipt at");
    reports(&problems(|seen| drop(seen.kept.remove(OBJECT))), "there is no object");
    reports(&problems(|seen| seen.events.clear()), "never announced");
    reports(&problems(|seen| seen.dead.clear()), "not in the dead-letter queue");
}

#[test]
fn what_is_left_over_is_reported() {
    let stray = |key: &str| {
        let key = key.to_owned();
        problems(move |seen| drop(seen.kept.insert(key, kept(&json!({})))))
    };
    reports(&stray("acme/objects/ab/ffff.bin"), "no receipt names");
    reports(&stray("acme/facts/ab/ffff.json"), "facts of no object");
    reports(&stray("acme/receipts/t-2.json"), "nobody asked for");
    reports(&stray("_probe/x"), "nothing belongs at");
    reports(&stray("_claims/bucket/ab.json"), "not the team's own");
    reports(&stray("acme/else"), "nothing belongs at");
    reports(&problems(|seen| seen.left[0].1 = 1), "left on tasks");
    reports(
        &problems(|seen| seen.events.push(Event { id: "evt_2".into(), ..seen.events[0].clone() })),
        "of no receipt",
    );
    reports(&problems(|seen| seen.dead.push(seen.dead[0].clone())), "too many");
}

#[test]
fn a_claim_is_right_where_the_team_has_what_it_claims() {
    let claimed_by = |team: &str| {
        let claim = json!({"kind": "bucket", "name": "b1", "team": team, "claimed_at": "2026-01-01T00:00:00Z"});
        problems(move |seen| {
            seen.claims = [["bucket", "b1", "acme"].map(str::to_owned)].into();
            seen.kept.insert("_claims/bucket/ab.json".to_owned(), kept(&claim));
        })
    };
    assert_eq!(claimed_by("acme"), "");
    reports(&claimed_by("beta"), "not the team's own");
}

#[test]
fn wrong_bytes_are_reported_in_the_store_and_in_the_receipt() {
    let wrong = Kept { content: Content::of(b"bytez"), document: None };
    reports(&problems(|seen| drop(seen.kept.insert(OBJECT.to_owned(), wrong))), "holds other bytes");
    let other = Content::of(b"else!");
    reports(&problems(|seen| drop(seen.served.insert("/blob/1".to_owned(), vec![other]))), "stored as");
}

#[test]
fn a_wrong_receipt_is_reported() {
    reports(&with_receipt(|receipt| receipt["status"] = json!("completed")), "status is");
    reports(&with_receipt(|receipt| receipt["counts"]["stored"] = json!(2)), "counts.stored is");
    reports(
        &with_receipt(|receipt| receipt["attachments"][1]["error"]["code"] = json!("timeout")),
        "must be Some(\"not_found\")",
    );
    reports(&with_receipt(|receipt| receipt["attachments"].as_array_mut().unwrap().swap(0, 1)), "attachments is");
    let elsewhere = format!("{URI_PREFIX}beta/objects/ab/abcd.bin");
    reports(
        &with_receipt(|receipt| receipt["attachments"][0]["object"]["uri"] = json!(elsewhere)),
        "outside the team's prefix",
    );
}

#[test]
fn two_contents_under_one_event_id_are_reported() {
    let other = |seen: &mut Seen| seen.events[1].body.push(b' ');
    reports(&problems(other), "two contents");
    let both =
        |seen: &mut Seen| seen.events.iter_mut().for_each(|event| event.body = b"{\"type\":\"task.partial\"}".to_vec());
    reports(&problems(both), "data is not the receipt's");
}

fn hook(id: &str, status: u16) -> Request {
    let body = String::from_utf8(event(&receipt()).body).unwrap();
    let headers = [("webhook-id".to_owned(), id.to_owned())].into();
    Request {
        method: "POST".into(),
        target: "/sink/acme".into(),
        status: Some(status),
        headers,
        body,
        ..Default::default()
    }
}

#[test]
fn a_webhook_that_never_came_or_came_otherwise_is_reported() {
    let with = |hooks: Vec<Request>| problems(|seen| seen.hooks = Some(hooks));
    assert_eq!(with(vec![hook("evt_1", 503), hook("evt_1", 200), hook("evt_1", 204)]), "");
    reports(&with(vec![]), "never told");
    reports(&with(vec![hook("evt_1", 500)]), "never told");
    reports(&with(vec![hook("evt_1", 200), hook("evt_2", 200)]), "a webhook with the id");
    let mut other = hook("evt_1", 200);
    other.body = other.body.replace("partial", "completed");
    reports(&with(vec![hook("evt_1", 200), other]), "two contents");
    let mut stray = hook("evt_1", 200);
    stray.body = stray.body.replace("t-1", "t-2");
    reports(&with(vec![hook("evt_1", 200), stray]), "of no receipt");
}

#[test]
fn the_table_counts_what_must_never_be() {
    let mut seen = right();
    seen.events.clear();
    seen.hooks = Some(Vec::new());
    let table = check(&seen, &sent()).table("a table");
    let count = |name: &str| {
        let line = table.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(["lost", "completions missing", "webhooks never delivered"].map(count), ["0", "1", "1"]);
}

#[test]
fn a_dead_letter_with_another_reason_or_body_is_reported() {
    reports(&problems(|seen| seen.dead[0].reason = "unknown_team".into()), "dead-lettered as");
    reports(&problems(|seen| seen.dead[0].detail = "task_id".into()), "dead-lettered as");
    reports(&problems(|seen| seen.dead[0].body.push(b' ')), "too many");
}
