//! Compares what was seen with what was sent: nothing lost, nothing wrong, nothing left over.
//!
//! It reads stores, queues and the origin's log, and believes no counter of the program's.

mod dead;
mod events;
mod hooks;
mod report;
mod stored;
mod tasks;
#[cfg(test)]
mod tests;

use super::expect::Sent;
use super::seen::Seen;
pub(crate) use report::{Report, Wrong};

/// Checks everything.
pub(crate) fn check(seen: &Seen, sent: &[Sent]) -> Report {
    let mut report = Report::default();
    let tasks = tasks::check(seen, sent, &mut report);
    stored::check(seen, &tasks, &mut report);
    events::check(seen, &tasks, &mut report);
    hooks::check(seen, &tasks, &mut report);
    dead::check(seen, sent, &tasks, &mut report);
    for (queue, count) in seen.left.iter().filter(|(_, count)| *count > 0) {
        report.problem(format!("{count} messages are left on {queue}"));
    }
    report.count("messages sent", sent.len());
    report.count("messages left", seen.left.iter().map(|(_, count)| usize::try_from(*count).unwrap()).sum());
    report.count("unfinished uploads", seen.unfinished);
    report
}
