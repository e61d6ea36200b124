//! What the checker found.

use std::fmt::Write;

/// How many problems are shown.
const SHOWN: usize = 20;

/// What must never be, each with a count of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// A task without a receipt, or a message that is nowhere.
    Lost,
    /// A stored object with other bytes than its source or than its receipt says.
    Bytes,
    /// A receipt that was never announced.
    CompletionMissing,
    /// Two contents under one event id.
    TwoContents,
    /// A receipt that its team's endpoint was never told of.
    WebhookMissing,
    /// A webhook whose id is not that of its task's event.
    WebhookId,
}

impl Wrong {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Lost, "lost"),
        (Self::Bytes, "wrong bytes"),
        (Self::CompletionMissing, "completions missing"),
        (Self::TwoContents, "event ids with two contents"),
        (Self::WebhookMissing, "webhooks never delivered"),
        (Self::WebhookId, "webhooks with another id"),
    ];
}

/// Counts and problems.
#[derive(Debug, Default)]
pub(crate) struct Report {
    counts: Vec<(&'static str, String)>,
    pub(crate) problems: Vec<String>,
    notes: Vec<String>,
    wrong: Vec<Wrong>,
    /// How often the most fetched of all stored attachments was fetched whole.
    pub(crate) most_fetches: usize,
}

impl Report {
    /// Notes something that is not right.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Notes something that must never be.
    pub(crate) fn wrong(&mut self, wrong: Wrong, problem: String) {
        self.wrong.push(wrong);
        self.problems.push(problem);
    }

    /// Notes something that a reader may want to know.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Notes a count.
    pub(crate) fn count(&mut self, name: &'static str, count: usize) {
        self.counts.push((name, count.to_string()));
    }

    /// Notes a figure.
    pub(crate) fn figure(&mut self, name: &'static str, value: String) {
        self.counts.push((name, value));
    }

    /// The counts as a table.
    pub(crate) fn table(&self, title: &str) -> String {
        let mut table = format!("── {title}\n");
        for (name, value) in &self.counts {
            let _ = writeln!(table, "   {name:<36} {value:>14}");
        }
        for (wrong, name) in Wrong::ALL {
            let count = self.wrong.iter().filter(|found| **found == wrong).count();
            let _ = writeln!(table, "   {name:<36} {count:>14}");
        }
        for note in &self.notes {
            let _ = writeln!(table, "   {note}");
        }
        let _ = write!(table, "   {:<36} {:>14}", "problems", self.problems.len());
        table
    }

    /// Asserts that there is no problem.
    pub(crate) fn assert_right(&self) {
        let shown: Vec<&str> = self.problems.iter().take(SHOWN).map(String::as_str).collect();
        assert!(self.problems.is_empty(), "{} problems:\n  {}", self.problems.len(), shown.join("\n  "));
    }
}
