//! Each task has one receipt, and it says what must be said.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::expect::{Outcome, Part, Sent, Wanted};
use super::super::http::Content;
use super::super::seen::Seen;
use super::{Report, Wrong};

/// A task whose receipt was found.
pub(super) struct Task<'a> {
    /// The expectation that its receipt fits.
    pub(super) wanted: &'a Wanted,
    /// Its key.
    pub(super) key: String,
    pub(super) receipt: Value,
    /// Bodies of messages that ask for other content under its id.
    pub(super) rivals: Vec<&'a [u8]>,
}

/// Finds the receipts of all tasks that must have one.
pub(super) fn check<'a>(seen: &Seen, sent: &'a [Sent], report: &mut Report) -> Vec<Task<'a>> {
    let mut by_task: BTreeMap<String, Vec<&'a Sent>> = BTreeMap::new();
    for message in sent {
        if let Some(wanted) = message.wanted() {
            by_task.entry(wanted.receipt_key()).or_default().push(message);
        }
    }
    count_receipts(seen, &by_task, report);
    by_task.into_iter().filter_map(|(key, messages)| one(seen, key, &messages, report)).collect()
}

fn count_receipts(seen: &Seen, by_task: &BTreeMap<String, Vec<&Sent>>, report: &mut Report) {
    let receipts: Vec<&String> = seen.kept.keys().filter(|key| key.contains("/receipts/")).collect();
    for stray in receipts.iter().filter(|key| !by_task.contains_key(**key)) {
        report.problem(format!("a receipt that nobody asked for: {stray}"));
    }
    report.count("tasks that need a receipt", by_task.len());
    report.count("receipts found", receipts.len());
}

fn one<'a>(seen: &Seen, key: String, messages: &[&'a Sent], report: &mut Report) -> Option<Task<'a>> {
    let Some(kept) = seen.kept.get(&key) else {
        report.wrong(Wrong::Lost, format!("no receipt at {key}"));
        return None;
    };
    let receipt: Value = match serde_json::from_slice(kept.document.as_deref().unwrap_or_default()) {
        Ok(receipt) => receipt,
        Err(error) => {
            report.problem(format!("{key} is no JSON: {error}"));
            return None;
        }
    };
    // Of messages with other contents under one id, the one whose receipt this is has won.
    let fits: Vec<Vec<Fault>> = messages
        .iter()
        .map(|message| faults(seen, message.wanted()?, &receipt).into())
        .map(Option::unwrap_or_default)
        .collect();
    let winner = fits.iter().position(Vec::is_empty).unwrap_or(0);
    for fault in &fits[winner] {
        match fault {
            Fault::Bytes(fault) => report.wrong(Wrong::Bytes, format!("{key}: {fault}")),
            Fault::Other(fault) => report.problem(format!("{key}: {fault}")),
        }
    }
    let wanted = messages[winner].wanted()?;
    let is_same = |message: &&&Sent| message.content == messages[winner].content;
    Some(Task {
        wanted,
        key,
        receipt,
        rivals: messages.iter().filter(|message| !is_same(message)).map(|message| &message.body[..]).collect(),
    })
}

/// What a receipt says wrongly.
enum Fault {
    /// Of what became of an attachment.
    Bytes(String),
    /// Of anything else.
    Other(String),
}

fn faults(seen: &Seen, wanted: &Wanted, receipt: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut same = |what: &str, found: &Value, expected: Value| {
        if *found != expected {
            faults.push(Fault::Other(format!("{what} is {found}, not {expected}")));
        }
    };
    same("task_id", &receipt["task_id"], wanted.task.as_str().into());
    same("team", &receipt["team"], wanted.team.as_str().into());
    same("round", &receipt["round"], 1.into());
    let found = receipt["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ids: Vec<&str> = wanted.parts.iter().map(|part| part.id.as_str()).collect();
    let found_ids: Vec<&str> = found.iter().filter_map(|outcome| outcome["id"].as_str()).collect();
    same("attachments", &found_ids.into(), ids.into());
    let stored = found.iter().filter(|outcome| outcome["status"] == "stored").count();
    same("status", &receipt["status"], status(stored, found.len()).into());
    same("counts.total", &receipt["counts"]["total"], found.len().into());
    same("counts.stored", &receipt["counts"]["stored"], stored.into());
    same("counts.failed", &receipt["counts"]["failed"], (found.len() - stored).into());
    for (part, outcome) in wanted.parts.iter().zip(found) {
        faults.extend(part_fault(seen, part, outcome).map(Fault::Bytes));
    }
    faults
}

fn status(stored: usize, total: usize) -> &'static str {
    match stored {
        0 => "failed",
        all if all == total => "completed",
        _ => "partial",
    }
}

fn part_fault(seen: &Seen, part: &Part, found: &Value) -> Option<String> {
    let id = &part.id;
    let (contents, failure) = match &part.outcome {
        Outcome::Failed(code) => (Vec::new(), Some(*code)),
        Outcome::Fetched { oracle, .. } => (seen.served.get(oracle).cloned().unwrap_or_default(), None),
        Outcome::Alternating { oracle, may_fail, .. } => {
            (seen.served.get(oracle).cloned().unwrap_or_default(), may_fail.then_some("not_found"))
        }
        Outcome::Text(text) => (vec![Content::of(text.as_bytes())], None),
        Outcome::Copied { content, .. } => (vec![content.clone()], None),
    };
    let has_failed = found["status"] == "failed"
        && failure.is_some_and(|code| found["error"]["code"] == code)
        && found.get("object").is_none();
    let as_wanted = has_failed || contents.iter().any(|content| is_stored_as(found, content));
    (!as_wanted).then(|| format!("attachment {id} must be {failure:?} or stored as {contents:?}, and is {found}"))
}

fn is_stored_as(found: &Value, content: &Content) -> bool {
    found["status"] == "stored"
        && found["object"]["sha256"] == content.sha256.as_str()
        && found["object"]["bytes"] == content.bytes
        && found["source"]["sha256"] == content.sha256.as_str()
}
