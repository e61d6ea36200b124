//! `longshore dead`: the dead-letter queue as an operator works it.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::args::DeadCommand;
use super::{Context, output};
use crate::domain::message::{Decoded, decode};
use crate::domain::webhook::pending::Pending;
use crate::ports::queue::{Chosen, DeadLetters, DeadMessage, QueueError};
use crate::shell::exit::{Exit, Failure, Outcome};
use crate::shell::wiring;

/// How long a broker may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Lists, shows, replays or purges dead letters.
pub(super) async fn run(command: DeadCommand, context: &Context) -> Outcome {
    let loaded = context.load_quietly()?;
    let dead = wiring::dead_letters(&loaded.config).await?;
    let dead = dead.as_ref();
    match command {
        DeadCommand::List { limit } => list(dead, limit, context).await,
        DeadCommand::Show { id } => show(dead, &id, context).await,
        DeadCommand::Replay { ids, all } => replay(dead, ids, all, context).await,
        DeadCommand::Purge { ids, yes } => purge(dead, ids, yes, context).await,
    }
}

async fn answered<T>(asked: impl Future<Output = Result<T, QueueError>>) -> Result<T, Failure> {
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::unreachable(format!("queue.url: {error}; is it running, and may we use it?"))),
        Err(_) => Err(Failure::unreachable("queue.url: the queue does not answer; is it running?")),
    }
}

async fn list(dead: &dyn DeadLetters, limit: usize, context: &Context) -> Outcome {
    let messages = answered(dead.list(limit)).await?;
    if context.json {
        messages.iter().try_for_each(|message| output::json(&whole(message)))?;
        return Ok(Exit::Done);
    }
    if messages.is_empty() {
        output::line("no dead letters")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<[String; 7]> = messages.iter().map(row).collect();
    output::table(["ID", "REASON", "ATTEMPTS", "FAILED AT", "TEAM", "TASK", "DETAIL"], &rows)?;
    Ok(Exit::Done)
}

fn row(message: &DeadMessage) -> [String; 7] {
    let (team, task) = whose(message);
    let or_dash = |text: Option<String>| text.map_or_else(|| "-".to_owned(), |text| output::plain(&text));
    [
        output::plain(&message.id),
        output::plain(&message.reason),
        message.attempts.to_string(),
        or_dash(message.failed_at.map(|at| at.to_string())),
        or_dash(team),
        or_dash(task),
        output::plain(&message.detail),
    ]
}

/// The team and the task that a message names, as far as it can be read.
fn whose(message: &DeadMessage) -> (Option<String>, Option<String>) {
    if let Ok(pending) = Pending::decode(&message.body) {
        return (Some(pending.team.to_string()), Some(pending.task_id.to_string()));
    }
    match decode(&message.body, &message.attributes) {
        Ok(Decoded::Task(task)) => (Some(task.team.to_string()), Some(task.task_id.to_string())),
        Ok(Decoded::Ignored(_)) => (None, None),
        Err(undecodable) => (undecodable.team, undecodable.task_id),
    }
}

/// A dead letter as JSON, without its attributes.
fn whole(message: &DeadMessage) -> Map<String, Value> {
    let (team, task_id) = whose(message);
    let failed_at = message.failed_at.map(|at| at.to_string());
    let fields = [
        ("id", json!(message.id)),
        ("reason", json!(message.reason)),
        ("detail", json!(message.detail)),
        ("attempts", json!(message.attempts)),
        ("failed_at", json!(failed_at)),
        ("team", json!(team)),
        ("task_id", json!(task_id)),
        ("body", json!(String::from_utf8_lossy(&message.body))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn show(dead: &dyn DeadLetters, id: &str, context: &Context) -> Outcome {
    let messages = answered(dead.list(usize::MAX)).await?;
    let Some(message) = messages.iter().find(|message| message.id == id) else {
        let line = format!("there is no dead letter {id:?}: see `longshore dead list`");
        return Err(Failure::new(Exit::SomeFailed, line));
    };
    let mut shown = whole(message);
    shown.insert("attributes".to_owned(), json!(message.attributes));
    if context.json {
        output::json(&shown)?;
    } else {
        output::pretty(&shown)?;
    }
    Ok(Exit::Done)
}

async fn replay(dead: &dyn DeadLetters, ids: Vec<String>, all: bool, context: &Context) -> Outcome {
    let wanted = (!all).then_some(ids.len());
    let chosen = if all { Chosen::All } else { Chosen::Ids(ids) };
    let replayed = answered(dead.replay(&chosen)).await?;
    told("replayed", replayed, wanted, context)
}

async fn purge(dead: &dyn DeadLetters, ids: Vec<String>, yes: bool, context: &Context) -> Outcome {
    let what = if ids.is_empty() { "all dead letters".to_owned() } else { format!("{} dead letters", ids.len()) };
    if !yes && !is_agreed(&what)? {
        return Err(Failure::new(Exit::SomeFailed, "nothing was deleted"));
    }
    let wanted = (!ids.is_empty()).then_some(ids.len());
    let chosen = if ids.is_empty() { Chosen::All } else { Chosen::Ids(ids) };
    let purged = answered(dead.purge(&chosen)).await?;
    told("purged", purged, wanted, context)
}

/// Asks on the terminal.
fn is_agreed(what: &str) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "dead purge: deletes for good: without a terminal to ask on it needs --yes",
        ));
    }
    let _ = write!(stderr(), "Delete {what} for good? [y/N] ").and_then(|()| stderr().flush());
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn told(what: &str, number: u64, wanted: Option<usize>, context: &Context) -> Outcome {
    if context.json {
        output::json(&json!({what: number}))?;
    } else {
        output::line(format!("{what} {number}"))?;
    }
    match wanted {
        Some(wanted) if number < wanted as u64 => {
            let line =
                format!("{} of {wanted} ids are no dead letters: see `longshore dead list`", wanted as u64 - number);
            Err(Failure::new(Exit::SomeFailed, line))
        }
        Some(_) | None => Ok(Exit::Done),
    }
}
