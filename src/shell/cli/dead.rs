//! `longshore dead`: the dead-letter queue as an operator works it.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::args::{DeadCommand, DeadFilter};
use super::{Context, output};
use crate::domain::message::{Decoded, decode};
use crate::domain::webhook::pending::Pending;
use crate::ports::clock::Clock;
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
        DeadCommand::List { limit, only } => list(dead, limit.unwrap_or(usize::MAX), &only, context).await,
        DeadCommand::Show { id } => show(dead, &id, context).await,
        DeadCommand::Replay { ids, all, only } => replay(dead, ids, all, &only, context).await,
        DeadCommand::Purge { ids, only, yes } => purge(dead, ids, &only, yes, context).await,
    }
}

async fn answered<T>(asked: impl Future<Output = Result<T, QueueError>>) -> Result<T, Failure> {
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::unreachable(format!("queue.url: {error}; is it running, and may we use it?"))),
        Err(_) => Err(Failure::unreachable("queue.url: the queue does not answer; is it running?")),
    }
}

impl DeadFilter {
    fn is_empty(&self) -> bool {
        let Self { reason, team, older_than, newer_than } = self;
        reason.is_none() && team.is_none() && older_than.is_none() && newer_than.is_none()
    }

    /// Whether `message` is meant. One whose age or team is not known is not, where that matters.
    fn takes(&self, message: &DeadMessage, now: Timestamp) -> bool {
        let age = message.failed_at.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default());
        self.reason.as_ref().is_none_or(|reason| *reason == message.reason)
            && self.team.as_ref().is_none_or(|team| whose(message).0.as_ref() == Some(team))
            && self.older_than.is_none_or(|span| age.is_some_and(|age| age >= span))
            && self.newer_than.is_none_or(|span| age.is_some_and(|age| age < span))
    }
}

/// The oldest `limit` dead letters that are meant.
async fn found(dead: &dyn DeadLetters, limit: usize, only: &DeadFilter) -> Result<Vec<DeadMessage>, Failure> {
    if only.is_empty() {
        return answered(dead.list(limit)).await;
    }
    let mut messages = answered(dead.list(usize::MAX)).await?;
    let now = Clock::System.now();
    messages.retain(|message| only.takes(message, now));
    messages.truncate(limit);
    Ok(messages)
}

/// What a command is to work on: the ids that were given, those that the filter finds (among the ids, where both are), or all.
async fn chosen(dead: &dyn DeadLetters, ids: Vec<String>, only: &DeadFilter) -> Result<Chosen, Failure> {
    if only.is_empty() {
        return Ok(if ids.is_empty() { Chosen::All } else { Chosen::Ids(ids) });
    }
    let found = found(dead, usize::MAX, only).await?.into_iter().map(|message| message.id);
    Ok(Chosen::Ids(found.filter(|id| ids.is_empty() || ids.contains(id)).collect()))
}

async fn list(dead: &dyn DeadLetters, limit: usize, only: &DeadFilter, context: &Context) -> Outcome {
    let messages = found(dead, limit, only).await?;
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
        Ok(Decoded::Objects(_) | Decoded::Ignored(_)) => (None, None),
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

async fn replay(dead: &dyn DeadLetters, ids: Vec<String>, all: bool, only: &DeadFilter, context: &Context) -> Outcome {
    let chosen = if all && only.is_empty() { Chosen::All } else { chosen(dead, ids, only).await? };
    let wanted = number_of(&chosen);
    let replayed = answered(dead.replay(&chosen)).await?;
    told("replayed", replayed, wanted, context)
}

async fn purge(dead: &dyn DeadLetters, ids: Vec<String>, only: &DeadFilter, yes: bool, context: &Context) -> Outcome {
    let chosen = chosen(dead, ids, only).await?;
    let wanted = number_of(&chosen);
    let what = wanted.map_or_else(|| "all dead letters".to_owned(), |number| format!("{number} dead letters"));
    if !yes && !is_agreed(&what)? {
        return Err(Failure::new(Exit::SomeFailed, "nothing was deleted"));
    }
    let purged = answered(dead.purge(&chosen)).await?;
    told("purged", purged, wanted, context)
}

/// How many were named; `None` for all.
fn number_of(chosen: &Chosen) -> Option<usize> {
    match chosen {
        Chosen::All => None,
        Chosen::Ids(ids) => Some(ids.len()),
    }
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
