//! `longshore receipt`: what became of a task.

use super::args::ReceiptArgs;
use super::{Context, output, team_id};
use crate::domain::id::{TaskId, TeamId};
use crate::domain::object_key::receipt_key;
use crate::engine::receipts::RECEIPT_BYTES_MAX;
use crate::ports::store::{Store, StoreError};
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// Prints a receipt: the round that was asked for, or the latest.
pub(super) async fn run(args: ReceiptArgs, context: &Context) -> Outcome {
    let team = team_id(args.team)?;
    let task = TaskId::new(args.task_id).map_err(|bad| Failure::bad_input(bad.to_string()))?;
    let loaded = context.load_quietly()?;
    let opened = wiring::store_unproven(&loaded.config).await?;
    let store = opened.store.as_ref();
    let found = match args.round {
        Some(round) => read(store, &team, &task, round).await?,
        None => latest(store, &team, &task).await?,
    };
    let Some(receipt) = found else {
        let of_round = args.round.map(|round| format!(" of round {round}")).unwrap_or_default();
        let line = format!("task {task} of team {team} has no receipt{of_round}: it has not ended, or was never sent");
        return Err(Failure::new(Exit::SomeFailed, line));
    };
    if context.json {
        output::json(&receipt)?;
    } else {
        output::pretty(&receipt)?;
    }
    Ok(Exit::Done)
}

async fn latest(store: &dyn Store, team: &TeamId, task: &TaskId) -> Result<Option<serde_json::Value>, Failure> {
    let mut latest = None;
    for round in 1.. {
        match read(store, team, task, round).await? {
            Some(receipt) => latest = Some(receipt),
            None => break,
        }
    }
    Ok(latest)
}

/// Reads a receipt as it stands there: a later version's fields are shown too.
async fn read(
    store: &dyn Store, team: &TeamId, task: &TaskId, round: u32,
) -> Result<Option<serde_json::Value>, Failure> {
    let key = receipt_key(team, task, round);
    let content = store.get(&key, RECEIPT_BYTES_MAX).await.map_err(|error| store_failure(&error))?;
    let read = content.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    read.map_err(|error| Failure::unreachable(format!("{key}: is no receipt: {error}; look at the store")))
}

/// Tells that the store does not answer as it should.
pub(super) fn store_failure(error: &StoreError) -> Failure {
    Failure::unreachable(format!("store.url: {error}; is it running, and may we read it?"))
}
