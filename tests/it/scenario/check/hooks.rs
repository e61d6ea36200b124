//! Each receipt came to its team's endpoint at least once, always under its event's id and with the same content.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::origin::Request;
use super::super::seen::Seen;
use super::tasks::Task;
use super::{Report, Wrong};

/// Fields of a body that are made anew at each try.
const FRESH: [&str; 2] = ["attachments_url", "attachments_url_expires_at"];

/// Checks all webhooks, where there are any.
pub(super) fn check(seen: &Seen, tasks: &[Task<'_>], report: &mut Report) {
    let Some(hooks) = &seen.hooks else { return };
    let mut by_task: BTreeMap<(String, String), Vec<(&Request, Value)>> = BTreeMap::new();
    for hook in hooks {
        let body: Value = serde_json::from_str(&hook.body).unwrap_or_default();
        let text = |name: &str| body["data"][name].as_str().unwrap_or_default().to_owned();
        by_task.entry((text("team"), text("task_id"))).or_default().push((hook, body));
    }
    let (mut told, mut again, mut again_right) = (0, 0, 0);
    for task in tasks {
        let name = (task.wanted.team.clone(), task.wanted.task.clone());
        let sent = by_task.remove(&name).unwrap_or_default();
        let taken = sent.iter().filter(|(hook, _)| matches!(hook.status, Some(200..=299))).count();
        told += usize::from(taken > 0);
        if taken == 0 {
            report.wrong(Wrong::WebhookMissing, format!("{}: its endpoint was never told", task.key));
        }
        again += sent.len().saturating_sub(1);
        let id = task.receipt["event_id"].as_str().unwrap_or_default();
        for (number, (hook, _)) in sent.iter().enumerate() {
            match hook.headers.get("webhook-id") {
                Some(found) if found == id => again_right += usize::from(number > 0),
                other => report.wrong(Wrong::WebhookId, format!("{}: a webhook with the id {other:?}", task.key)),
            }
        }
        let contents: BTreeSet<String> = sent.iter().map(|(_, body)| lasting(body)).collect();
        if contents.len() > 1 {
            report.wrong(Wrong::TwoContents, format!("{}: its webhook has two contents", task.key));
        }
    }
    for (team, task) in by_task.keys() {
        report.problem(format!("a webhook of no receipt: {team} {task}"));
    }
    report.figure("tasks whose webhook was delivered", format!("{told} of {}", tasks.len()));
    report.figure("further tries under the same id", format!("{again_right} of {again}"));
}

/// What of a body must be the same at each try.
fn lasting(body: &Value) -> String {
    let mut body = body.clone();
    if let Some(data) = body["data"].as_object_mut() {
        FRESH.iter().for_each(|name| drop(data.remove(*name)));
    }
    body.to_string()
}
