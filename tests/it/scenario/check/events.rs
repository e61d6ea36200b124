//! Each receipt was announced, always with the same bytes, and the bytes say what the receipt says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::super::seen::{Event, Seen};
use super::tasks::Task;
use super::{Report, Wrong};

/// What a receipt holds beside the completion's data.
const RECEIPTS_OWN: &[&str] = &["event_id", "round", "task_digest", "began_by"];
/// The largest body.
const BODY_BYTES_MAX: usize = 20_000;

/// Checks all events.
pub(super) fn check(seen: &Seen, tasks: &[Task<'_>], report: &mut Report) {
    let mut by_id: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &seen.events {
        by_id.entry(&event.id).or_default().push(event);
    }
    let mut announced = BTreeSet::new();
    for task in tasks {
        let id = task.receipt["event_id"].as_str().unwrap_or_default();
        announced.insert(id);
        let Some(events) = by_id.get(id) else {
            report.wrong(Wrong::CompletionMissing, format!("{}: never announced", task.key));
            continue;
        };
        if events.iter().any(|event| event != &events[0]) {
            report.wrong(Wrong::TwoContents, format!("{}: the event {id} has two contents", task.key));
        }
        for fault in faults(seen, task, events[0]) {
            report.problem(format!("{}: {fault}", task.key));
        }
    }
    for stray in by_id.keys().filter(|id| !announced.contains(**id)) {
        report.problem(format!("an event of no receipt: {stray}"));
    }
    report.count("events", seen.events.len());
    report.count("distinct events", by_id.len());
}

fn faults(seen: &Seen, task: &Task<'_>, event: &Event) -> Vec<String> {
    let Ok(body) = serde_json::from_slice::<Value>(&event.body) else {
        return vec!["its event is no JSON".to_owned()];
    };
    let kind = format!("task.{}", task.receipt["status"].as_str().unwrap_or_default());
    let mut faults = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("its event: {what}"));
        }
    };
    must(event.kind == kind && body["type"] == kind.as_str(), "another type");
    must(event.team == task.wanted.team, "another team");
    must(body["timestamp"] == task.receipt["finished_at"], "another time");
    must(event.body.len() <= BODY_BYTES_MAX, "too large");
    let mut expected: Map<String, Value> = task.receipt.as_object().cloned().unwrap_or_default();
    expected.retain(|key, _| !RECEIPTS_OWN.contains(&key.as_str()));
    let uri = Value::from(format!("{}{}", seen.uri_prefix, task.key));
    for (field, replaced_by) in [("attachments", "attachments_uri"), ("metadata", "metadata_uri")] {
        if body["data"].get(replaced_by).is_some() {
            expected.remove(field);
            expected.insert(replaced_by.to_owned(), uri.clone());
        }
    }
    must(body["data"].as_object() == Some(&expected), "its data is not the receipt's");
    faults
}
