//! What the receipts say of a part: what became of each row, over all its tries.

use std::collections::HashMap;

use super::broken;
use super::part::{Child, Item, Naming, Part, Wants};
use crate::domain::digest::Sha256;
use crate::domain::id::{TaskId, TeamId};
use crate::domain::manifest::Row;
use crate::domain::message::{Decoded, decode};
use crate::domain::receipt::{Outcome, Receipt, StoredObject};
use crate::domain::task::Task;
use crate::engine::receipts::Receipts;
use crate::ports::queue::{Chosen, QueueError};
use crate::ports::store::StoreError;
use crate::shell::exit::Failure;
use crate::shell::wiring::ImportQueue;

/// Dead letters of one import that are looked at.
const DEAD_MAX: usize = 100_000;

/// Why tasks went to the dead-letter queue, by team and task.
pub(super) type DeadTasks = HashMap<(TeamId, TaskId), String>;

/// Looks parts up.
pub(super) struct Look {
    pub(super) receipts: Receipts,
    pub(super) naming: Naming,
}

/// A part and what its receipts say.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) part: Part,
    /// What became of each copy, in the order of the items or of the task's attachments; empty if nothing ended yet.
    outcomes: Vec<Outcome>,
    /// How often the part was tried again.
    retries: u32,
    /// The task's id was used for something else before.
    pub(super) is_conflict: bool,
}

/// A row and what became of it.
#[derive(Debug)]
pub(super) struct RowEnd {
    pub(super) row: Row,
    /// The copies, in order: of a list's row one, of a task's as many as it has attachments.
    pub(super) copies: Vec<Option<StoredObject>>,
    /// Why the row failed, if it did.
    pub(super) code: Option<String>,
}

impl Look {
    /// Looks a part up; waits while the store is away.
    ///
    /// # Errors
    /// A receipt that cannot be read.
    pub(super) async fn at(&self, part: Part) -> Result<Looked, Failure> {
        match &part.wants {
            Wants::Copies(items) if items.is_empty() => Ok(Looked::open(part)),
            Wants::Copies(_) => self.at_list(part).await,
            Wants::Task(task) => {
                let (team, id, digest) = (task.team.clone(), task.task_id.clone(), task.digest());
                let receipt = self.receipts.latest(&team, &id).await.map_err(|error| corrupt(&error))?;
                Ok(Looked::told(part, receipt, digest))
            }
        }
    }

    async fn at_list(&self, part: Part) -> Result<Looked, Failure> {
        let first = self.naming.list_task(part.number, 0, &part.items());
        let receipt = self.round(&first.team, &first.task_id).await?;
        let mut looked = Looked::told(part, receipt, first.digest);
        while !looked.outcomes.is_empty() && !looked.is_conflict {
            let next = self.naming.task_id(looked.part.number, looked.retries + 1);
            let Some(receipt) = self.round(&first.team, &next).await? else {
                break;
            };
            looked.take_retry(receipt);
        }
        Ok(looked)
    }

    async fn round(&self, team: &TeamId, task: &TaskId) -> Result<Option<Receipt>, Failure> {
        self.receipts.round(team, task, 1).await.map_err(|error| corrupt(&error))
    }
}

fn corrupt(error: &StoreError) -> Failure {
    broken(format!("store.url: {error}; look at the store"))
}

impl Looked {
    fn open(part: Part) -> Self {
        Self { part, outcomes: Vec::new(), retries: 0, is_conflict: false }
    }

    fn told(part: Part, receipt: Option<Receipt>, digest: Sha256) -> Self {
        let mut looked = Self::open(part);
        if let Some(receipt) = receipt {
            looked.is_conflict = receipt.task_digest != digest;
            looked.outcomes = receipt.attachments;
        }
        looked
    }

    /// Lays what became of a retry over what was before.
    fn take_retry(&mut self, receipt: Receipt) {
        self.retries += 1;
        let mut newer: HashMap<_, _> =
            receipt.attachments.into_iter().map(|outcome| (outcome.id.clone(), outcome)).collect();
        for outcome in &mut self.outcomes {
            if let Some(newer) = newer.remove(&outcome.id) {
                *outcome = newer;
            }
        }
    }

    /// Whether all that was asked for has ended, once at least.
    pub(super) fn has_ended(&self) -> bool {
        !self.outcomes.is_empty() || matches!(&self.part.wants, Wants::Copies(items) if items.is_empty())
    }

    /// The task that is to be sent now, if any.
    pub(super) fn next_task(&self, naming: &Naming, retry_failed: bool) -> Option<Child> {
        let is_failed = |outcome: &Outcome| outcome.object.is_none();
        let has_failed = self.outcomes.iter().any(is_failed);
        if self.is_conflict || self.has_ended() && !(retry_failed && has_failed) {
            return None;
        }
        match &self.part.wants {
            Wants::Task(task) => Some(self.body_task(naming, task, has_failed)),
            Wants::Copies(items) if has_failed => {
                let failed = items.iter().zip(&self.outcomes).filter(|(_, outcome)| is_failed(outcome));
                let failed: Vec<&Item> = failed.map(|(item, _)| item).collect();
                Some(naming.list_task(self.part.number, self.retries + 1, &failed))
            }
            Wants::Copies(_) => Some(naming.list_task(self.part.number, 0, &self.part.items())),
        }
    }

    fn body_task(&self, naming: &Naming, task: &Task, again: bool) -> Child {
        let row = self.part.rows.first().expect("a task's part is one row");
        naming.body_task(task, &row.record, again)
    }

    /// What became of each row. Whatever has no receipt once all is done was dead-lettered.
    pub(super) fn rows(self, dead: &DeadTasks) -> Vec<RowEnd> {
        match &self.part.wants {
            Wants::Copies(items) => {
                let places: HashMap<usize, usize> = items.iter().enumerate().map(|(at, item)| (item.row, at)).collect();
                let outcomes = self.outcomes;
                let rows = self.part.rows.into_iter().enumerate();
                rows.map(|(at, row)| {
                    let outcome = places.get(&at).and_then(|at| outcomes.get(*at));
                    RowEnd::of(row, outcome.map(std::slice::from_ref), None)
                })
                .collect()
            }
            Wants::Task(task) => {
                let unended = if self.is_conflict {
                    Some("task_conflict".to_owned())
                } else {
                    dead.get(&(task.team.clone(), task.task_id.clone())).cloned()
                };
                let ended = (!self.is_conflict && !self.outcomes.is_empty()).then_some(self.outcomes);
                let rows = self.part.rows.into_iter();
                rows.map(|row| RowEnd::of(row, ended.as_deref(), unended.clone())).collect()
            }
        }
    }
}

impl Part {
    fn items(&self) -> Vec<&Item> {
        match &self.wants {
            Wants::Copies(items) => items.iter().collect(),
            Wants::Task(_) => Vec::new(),
        }
    }
}

impl RowEnd {
    fn of(row: Row, outcomes: Option<&[Outcome]>, unended: Option<String>) -> Self {
        let bad = row.asks.as_ref().err().map(|bad| bad.code.to_owned());
        let copies = outcomes.unwrap_or_default().iter().map(|outcome| outcome.object.clone()).collect();
        let failed = outcomes.unwrap_or_default().iter().filter(|outcome| outcome.object.is_none());
        let failed = failed.map(|outcome| outcome.error.as_ref().map_or("internal", |error| error.code.as_str()));
        let failed = failed.map(str::to_owned).next();
        let missing = outcomes.is_none().then(|| unended.unwrap_or_else(|| "internal".to_owned()));
        Self { row, copies, code: bad.or(failed).or(missing) }
    }
}

/// Why tasks of this import were dead-lettered.
pub(super) async fn dead_tasks(queue: &ImportQueue) -> Result<DeadTasks, Failure> {
    let failed = |error: QueueError| Failure::unreachable(format!("state_dir: {error}"));
    let letters = queue.dead.list(DEAD_MAX).await.map_err(failed)?;
    let named = letters.into_iter().filter_map(|letter| match decode(&letter.body, &letter.attributes) {
        Ok(Decoded::Task(task)) => Some(((task.team, task.task_id), letter.reason)),
        Ok(Decoded::Objects(_) | Decoded::Ignored(_)) | Err(_) => None,
    });
    Ok(named.collect())
}

/// Throws this import's dead letters away: they were told of in the report, and a repeated import makes them anew.
pub(super) async fn forget_dead(queue: &ImportQueue) {
    if let Err(error) = queue.dead.purge(&Chosen::All).await {
        tracing::warn!(%error, "the import's dead letters could not be removed");
    }
}
