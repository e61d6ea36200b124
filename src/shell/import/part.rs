//! How a manifest is cut into parts, and what tasks they become: always the same for the same manifest, team and import.
//!
//! Of lists (`urls`, `csv`) up to a hundred rows are a part and become one task, `IMPORT.part-00001`; what of them is tried
//! again becomes `IMPORT.retry-1.part-00001`. A row of `tasks` is a part of its own, and its body the task.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::broken;
use super::source::{Origin, Source};
use crate::domain::digest::Sha256;
use crate::domain::id::{AttachmentId, ImportId, TaskId, TeamId};
use crate::domain::manifest::{self, Asks, Format, Record, Row};
use crate::domain::message::{Decoded, decode};
use crate::domain::task::Task;
use crate::shell::exit::Failure;

/// Rows of one part: enough that receipts are few, few enough that a part ends soon.
const ROWS_MAX: usize = 100;
/// Bytes of a part's URLs and ids as JSON: a message must hold them.
const BYTES_MAX: usize = 768 * 1024;
/// Parts that are read ahead.
const AHEAD: usize = 4;

/// What the tasks of an import are called, and whose they are.
#[derive(Debug, Clone)]
pub struct Naming {
    /// The import.
    pub import: ImportId,
    /// The team: of lists every row's, of task bodies that of those that name none.
    pub team: Option<TeamId>,
    /// The profile of a list's copies; the team's where it is missing.
    pub normalize: Option<String>,
}

/// Some rows of a manifest, in order.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// From 1.
    pub(super) number: u64,
    /// The rows, bad ones too.
    pub(super) rows: Vec<Row>,
    /// What they ask for.
    pub(super) wants: Wants,
}

/// What a part's rows ask for.
#[derive(Debug, Clone)]
pub(super) enum Wants {
    /// One copy for each good row.
    Copies(Vec<Item>),
    /// A task of its own.
    Task(Box<Task>),
}

/// One copy that a row asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The row's place in the part.
    pub(super) row: usize,
    /// The attachment's id: the row's own, or its number.
    pub(super) id: AttachmentId,
    /// The whole URL.
    pub(super) url: String,
}

/// A task to be sent.
#[derive(Debug, Clone)]
pub(super) struct Child {
    pub(super) team: TeamId,
    pub(super) task_id: TaskId,
    pub(super) digest: Sha256,
    pub(super) body: Bytes,
}

impl Naming {
    /// Returns the id of a list's part; `retry` counts from 1, 0 is the first time.
    pub(super) fn task_id(&self, part: u64, retry: u32) -> TaskId {
        let retry = if retry == 0 { String::new() } else { format!(".retry-{retry}") };
        let id = format!("{}{retry}.part-{part:05}", self.import);
        TaskId::new(id).expect("an import's id leaves room for what follows, and has the same letters")
    }

    /// Makes the task that copies `items` of a list's part.
    pub(super) fn list_task(&self, part: u64, retry: u32, items: &[&Item]) -> Child {
        let attachments: Vec<Value> = items.iter().map(|item| json!({"id": item.id, "url": item.url})).collect();
        let mut body = json!({
            "task_id": self.task_id(part, retry), "team": self.team, "attachments": attachments,
            "batch": self.import, "metadata": {"import_id": self.import, "part": part},
        });
        if let Some(normalize) = &self.normalize {
            body["normalize"] = json!(normalize);
        }
        let body = Bytes::from(body.to_string());
        match decode(&body, &std::collections::BTreeMap::new()) {
            Ok(Decoded::Task(task)) => Child::of(&task, body),
            Ok(Decoded::Objects(_) | Decoded::Ignored(_)) | Err(_) => {
                unreachable!("a part's ids, team and size were checked")
            }
        }
    }

    /// Makes the task that a row's body is. `again` begins its next round.
    pub(super) fn body_task(&self, task: &Task, record: &Record, again: bool) -> Child {
        let mut body = match record {
            Record::Body(body) => body.clone(),
            Record::Line(_) | Record::Fields(_) => Value::Null,
        };
        let inner = if body.get("specversion").is_some() { body.get_mut("data") } else { Some(&mut body) };
        if let Some(inner) = inner.and_then(Value::as_object_mut) {
            said_in(inner, task, again);
        }
        Child::of(task, Bytes::from(body.to_string()))
    }
}

/// Says in a body what stands beside it otherwise.
fn said_in(body: &mut Map<String, Value>, task: &Task, again: bool) {
    if body.get("team").is_none_or(Value::is_null) {
        body.insert("team".to_owned(), json!(task.team));
    }
    if again {
        body.insert("again".to_owned(), Value::Bool(true));
    }
}

impl Child {
    fn of(task: &Task, body: Bytes) -> Self {
        Self { team: task.team.clone(), task_id: task.task_id.clone(), digest: task.digest(), body }
    }
}

/// A manifest that is being cut.
pub(super) struct Cut {
    /// A CSV's columns.
    pub(super) columns: Vec<String>,
    /// The parts, in order; a failure is the last.
    pub(super) parts: Receiver<Result<Part, Failure>>,
}

/// Begins to cut a manifest, on a thread that ends when nobody takes the parts any more.
///
/// # Errors
/// A manifest that cannot be opened, a CSV without a column `url`.
pub(super) fn cut(source: &Source, format: Format, naming: &Naming) -> Result<Cut, Failure> {
    let (parts, received) = channel(AHEAD);
    let (told, columns) = std::sync::mpsc::sync_channel(1);
    let (source, team) = (source.clone(), naming.team.clone());
    tokio::task::spawn_blocking(move || {
        let opened = source.open().map_err(|error| source.unreadable(&error));
        let opened = opened.and_then(|content| {
            manifest::open(format, content, team).map_err(|error| broken(format!("{}: {error}", source.name)))
        });
        match opened {
            Err(failure) => drop(told.send(Err(failure))),
            Ok(manifest) => {
                let _ = told.send(Ok(manifest.columns));
                let named = |error: manifest::Broken| broken(format!("{}: {error}", source.name));
                let mut cutter = Cutter::new(parts, source.origin.clone());
                cutter.run(manifest.rows.map(|row| row.map_err(&named)));
            }
        }
    });
    let answer = tokio::task::block_in_place(|| columns.recv());
    let columns = answer.map_err(|_| broken("the manifest: its reader has ended"))??;
    Ok(Cut { columns, parts: received })
}

struct Cutter {
    parts: Sender<Result<Part, Failure>>,
    origin: Origin,
    number: u64,
    rows: Vec<Row>,
    items: Vec<Item>,
    ids: HashSet<AttachmentId>,
    bytes: usize,
}

/// Nobody takes the parts any more.
struct Unwanted;

impl Cutter {
    fn new(parts: Sender<Result<Part, Failure>>, origin: Origin) -> Self {
        Self { parts, origin, number: 0, rows: Vec::new(), items: Vec::new(), ids: HashSet::new(), bytes: 0 }
    }

    fn run(&mut self, rows: impl Iterator<Item = Result<Row, Failure>>) {
        for row in rows {
            let taken = match row {
                Ok(row) => self.take(row),
                Err(failure) => {
                    // What was read before counts for nothing: the manifest is not what it seemed.
                    let _ = self.parts.blocking_send(Err(failure));
                    return;
                }
            };
            if let Err(Unwanted) = taken {
                return;
            }
        }
        // Nobody there any more is no mistake of ours.
        let _ = self.send_list();
    }

    fn take(&mut self, mut row: Row) -> Result<(), Unwanted> {
        let (url, id) = match &row.asks {
            Ok(Asks::Task(task)) => {
                let task = task.clone();
                self.send_list()?;
                return self.send(vec![row], Wants::Task(task));
            }
            Ok(Asks::Copy { url, id }) => {
                (self.origin.resolve(url), id.clone().unwrap_or_else(|| row.number.to_string()))
            }
            Err(_) => return self.push(row, None),
        };
        match AttachmentId::new(id) {
            Ok(id) => self.push(row, Some((id, url))),
            Err(bad) => {
                row.asks =
                    Err(manifest::BadRow { code: "undecodable", problem: format!("the row's id {}", bad.problem) });
                self.push(row, None)
            }
        }
    }

    /// Adds a row to the list's part, or to the next one if it does not fit: ids are unique in a part.
    fn push(&mut self, row: Row, item: Option<(AttachmentId, String)>) -> Result<(), Unwanted> {
        let size = |(id, url): &(AttachmentId, String)| json!({"id": id, "url": url}).to_string().len() + 1;
        let bytes = item.as_ref().map_or(0, size);
        let is_taken = item.as_ref().is_some_and(|(id, _)| self.ids.contains(id));
        if self.rows.len() >= ROWS_MAX || self.bytes + bytes > BYTES_MAX || is_taken {
            self.send_list()?;
        }
        self.bytes += bytes;
        if let Some((id, url)) = item {
            self.ids.insert(id.clone());
            self.items.push(Item { row: self.rows.len(), id, url });
        }
        self.rows.push(row);
        Ok(())
    }

    fn send_list(&mut self) -> Result<(), Unwanted> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (rows, items) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.items));
        self.ids.clear();
        self.bytes = 0;
        self.send(rows, Wants::Copies(items))
    }

    fn send(&mut self, rows: Vec<Row>, wants: Wants) -> Result<(), Unwanted> {
        self.number += 1;
        let part = Part { number: self.number, rows, wants };
        self.parts.blocking_send(Ok(part)).map_err(|_| Unwanted)
    }
}
