//! The dead-letter queue holds exactly what belongs there, body for body.

use std::collections::BTreeMap;

use super::super::expect::{End, Sent};
use super::super::seen::Seen;
use super::tasks::Task;
use super::{Report, Wrong};

/// Checks the dead-letter queue.
pub(super) fn check(seen: &Seen, sent: &[Sent], tasks: &[Task<'_>], report: &mut Report) {
    let mut expected: BTreeMap<&[u8], Vec<(&str, &str)>> = BTreeMap::new();
    for message in sent {
        if let End::Dead { reason, detail } = &message.end {
            expected.entry(&message.body).or_default().push((reason, detail));
        }
    }
    for rival in tasks.iter().flat_map(|task| &task.rivals) {
        expected.entry(rival).or_default().push(("task_conflict", "task_id"));
    }
    report.count("dead letters expected", expected.values().map(Vec::len).sum());
    report.count("dead letters found", seen.dead.len());
    for dead in &seen.dead {
        let start = String::from_utf8_lossy(&dead.body[..dead.body.len().min(60)]).into_owned();
        match expected.get_mut(&dead.body[..]).and_then(Vec::pop) {
            None => report.problem(format!("a dead letter too many ({}, {}): {start}", dead.reason, dead.detail)),
            Some((reason, detail)) if dead.reason != reason || !dead.detail.contains(detail) => {
                let found = format!("{}: {}", dead.reason, dead.detail);
                report.problem(format!("dead-lettered as {found:?}, not as {reason} with {detail:?}: {start}"));
            }
            Some(_) => {}
        }
    }
    for (body, missing) in expected.into_iter().filter(|(_, missing)| !missing.is_empty()) {
        let start = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        report.wrong(Wrong::Lost, format!("not in the dead-letter queue ({missing:?}): {start}"));
    }
}
