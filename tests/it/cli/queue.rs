//! Tasks on their way through the embedded queue.

use serde_json::Value;

use super::{Fails, Ground, stored_text, task};

#[test]
fn a_task_goes_from_submit_to_its_receipt_and_its_event() {
    let ground = Ground::new("");
    ground.write("tasks.jsonl", &task("t-1", &ground.url("files/acme/a.txt")));
    assert_eq!(ground.run(&["submit", "tasks.jsonl"]).ends(0).out, "sent 1\n");
    let ran = ground.run(&["worker", "--until-empty"]).ends(0);
    assert!(!ran.err.contains("WARN"), "a machine alone needs nobody, no cloud's environment either: {}", ran.err);
    let counts = ran.out;
    assert!(counts.starts_with("completed 1 partial 0 failed 0 dead 0") && counts.lines().count() == 1, "{counts}");
    let receipt = ground.run(&["receipt", "acme", "t-1", "--json"]).ends(0).json().remove(0);
    assert_eq!(receipt["status"], "completed");
    let uri = receipt["attachments"][0]["object"]["uri"].as_str().unwrap();
    assert_eq!(stored_text(uri), "a harbour\n");
    let event = ground.run(&["events"]).ends(0).json().remove(0);
    assert_eq!((&event["id"], &event["type"]), (&receipt["event_id"], &Value::from("task.completed")));
    assert_eq!(event["data"]["task_id"], "t-1");
}

#[test]
fn again_starts_a_round_of_its_own_and_each_round_keeps_its_receipt() {
    let ground = Ground::new("");
    let one = task("t-1", &ground.url("files/acme/a.txt"));
    for args in [&["submit", "-"][..], &["submit", "-", "--again"]] {
        ground.run_with(args, &one).ends(0);
        ground.run(&["worker", "--until-empty", "--json"]).ends(0);
    }
    let round = |args: &[&str]| {
        ground.run(&[&["receipt", "acme", "t-1", "--json"], args].concat()).ends(0).json()[0]["round"].clone()
    };
    assert_eq!((round(&[]), round(&["--round", "1"])), (Value::from(2), Value::from(1)));
    ground.run(&["receipt", "acme", "t-1", "--round", "3"]).fails(1, "round 3");
    ground.run(&["receipt", "acme", "t-2"]).fails(1, "no receipt");
}

#[test]
fn a_bad_file_is_refused_whole_and_its_line_is_named() {
    let ground = Ground::new("");
    ground.write("bad.jsonl", &format!("{}{{\"task_id\":\"x\"}}\n", task("t-1", "https://h/a")));
    ground.run(&["submit", "bad.jsonl"]).fails(64, "bad.jsonl: line 2: team is missing");
    ground.run(&["submit", "missing.jsonl"]).fails(64, "missing.jsonl");
    ground.run_with(&["submit", "-"], "").fails(64, "holds no message");
    let counts = ground.run(&["worker", "--until-empty", "--json"]).ends(0).json().remove(0);
    assert_eq!((&counts["completed"], &counts["dead"]), (&Value::from(0), &Value::from(0)));
}

#[test]
fn dead_letters_are_listed_shown_replayed_and_purged() {
    let ground = Ground::new("");
    let stranger = task("t-9", "https://h/a").replace("acme", "nobody");
    ground.run_with(&["submit", "-"], &stranger).ends(0);
    let counts = ground.run(&["worker", "--until-empty", "--json"]).ends(0).json().remove(0);
    assert_eq!(counts["dead"], 1, "{counts}");
    let list = || ground.run(&["dead", "list", "--json"]).ends(0).json();
    let letter = list().remove(0);
    assert_eq!(
        (&letter["reason"], &letter["team"], &letter["task_id"]),
        (&"unknown_team".into(), &"nobody".into(), &"t-9".into())
    );
    assert_eq!(letter["body"], stranger.trim());
    let table = ground.run(&["dead", "list"]).ends(0).out;
    assert!(table.starts_with("ID") && table.contains("unknown_team"), "{table}");
    let id = letter["id"].as_str().unwrap();
    let shown = ground.run(&["dead", "show", id, "--json"]).ends(0).json().remove(0);
    assert_eq!(shown["attributes"]["team"], "nobody");
    ground.run(&["dead", "show", "nothing"]).fails(1, "nothing");
    ground.write("teams.toml", "[acme]\n[nobody]\n");
    assert_eq!(ground.run(&["dead", "replay", id]).ends(0).out, "replayed 1\n");
    let counts = ground.run(&["worker", "--until-empty", "--json"]).ends(0).json().remove(0);
    assert_eq!((&counts["failed"], &counts["dead"]), (&Value::from(1), &Value::from(0)), "{counts}");
    assert!(list().is_empty());
    ground.run(&["dead", "replay", "gone"]).fails(1, "no dead letters");
    assert_eq!(ground.run(&["dead", "purge", "--yes"]).ends(0).out, "purged 0\n");
}

#[test]
fn dead_letters_are_chosen_by_reason_team_and_age() {
    let ground = Ground::new("");
    let strangers = ["one", "two"].map(|team| task("t-1", "https://h/a").replace("acme", team)).join("\n");
    ground.run_with(&["submit", "-"], &strangers).ends(0);
    ground.run(&["worker", "--until-empty"]).ends(0);
    let number = |only: &[&str]| ground.run(&[&["dead", "list", "--json"], only].concat()).ends(0).json().len();
    assert_eq!(number(&[]), 2);
    assert_eq!(number(&["--team", "one"]), 1);
    assert_eq!(number(&["--team", "acme"]), 0);
    assert_eq!(number(&["--reason", "unknown_team"]), 2);
    assert_eq!(number(&["--reason", "undecodable"]), 0);
    assert_eq!(number(&["--newer-than", "1h"]), 2);
    assert_eq!(number(&["--older-than", "1h"]), 0);
    assert_eq!(number(&["--reason", "unknown_team", "--limit", "1"]), 1);
    for (wrong, hint) in [
        (&["dead", "list", "--reason", "boat"][..], "unknown_team"),
        (&["dead", "list", "--older-than", "5"], "duration"),
        (&["dead", "replay"], "replay"),
    ] {
        let refused = ground.run(wrong).ends(2);
        assert!(refused.err.contains(hint), "{refused:?}");
    }
    assert_eq!(ground.run(&["dead", "purge", "--yes", "--older-than", "1h"]).ends(0).out, "purged 0\n");
    assert_eq!(ground.run(&["dead", "replay", "--team", "one"]).ends(0).out, "replayed 1\n");
    assert_eq!(ground.run(&["dead", "purge", "--yes", "--team", "two"]).ends(0).out, "purged 1\n");
    assert_eq!(number(&[]), 0);
    let counts = ground.run(&["worker", "--until-empty", "--json"]).ends(0).json().remove(0);
    assert_eq!(counts["dead"], 1, "{counts}");
}

#[test]
fn a_claim_is_moved_and_shown() {
    let ground = Ground::new("");
    assert_eq!(ground.run(&["team", "claims"]).ends(0).out, "no claims\n");
    ground.run(&["team", "claim", "--move", "bucket", "raw", "acme"]).ends(0);
    let claims = ground.run(&["team", "claims", "acme", "--json"]).ends(0).json();
    assert_eq!(
        (&claims[0]["kind"], &claims[0]["name"], &claims[0]["team"]),
        (&"bucket".into(), &"raw".into(), &"acme".into())
    );
    assert!(ground.run(&["team", "claims", "other", "--json"]).ends(0).json().is_empty());
    ground.run(&["team", "claim", "--move", "boat", "raw", "acme"]).fails(64, "boat");
    ground.run(&["team", "claim", "--move", "bucket", "raw", "stranger"]).fails(64, "stranger");
    ground.run(&["team", "claim", "--move", "bucket", "s3://raw/", "acme"]).fails(64, "bucket");
    ground.run(&["team", "claim", "--move", "role", "Reader", "acme"]).fails(64, "arn:");
}

#[test]
fn events_of_a_broker_are_not_printed_here() {
    let ground = Ground::new("");
    let mut command = ground.command(&["events"]);
    let ran = super::end(command.env("LONGSHORE__EVENTS__URL", "amqp://127.0.0.1:1").spawn().unwrap());
    ran.fails(64, "events.url");
}
