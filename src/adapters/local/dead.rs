//! The dead letters of a [`LocalQueue`], as [`DeadLetters`]. An id is the message's sequence in the file, never used again.
//!
//! A replayed message takes its old place in the line of its team.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::messages;
use super::queue::LocalQueue;
use crate::ports::queue::{Chosen, DeadLetters, DeadMessage, QueueError};

/// How many letters share one transaction, so that none is long.
const STEP: usize = 500;

/// What happens to one letter.
type Act = fn(&Connection, &str, i64) -> rusqlite::Result<()>;

fn list(connection: &Connection, queue: &str, limit: usize) -> rusqlite::Result<Vec<DeadMessage>> {
    let mut list = connection.prepare_cached(
        "SELECT dead.sequence, reason, detail, attempts, failed_at, attributes, body
         FROM dead JOIN contents USING (sequence)
         WHERE queue = ?1 ORDER BY failed_at, dead.sequence LIMIT ?2",
    )?;
    let letters = list.query_map(params![queue, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(DeadMessage {
            id: row.get::<_, i64>(0)?.to_string(),
            reason: row.get(1)?,
            detail: row.get(2)?,
            attempts: row.get(3)?,
            failed_at: Timestamp::from_millisecond(row.get(4)?).ok(),
            attributes: messages::from_json(row.get_ref(5)?.as_str()?)?,
            body: Bytes::from(row.get::<_, Vec<u8>>(6)?),
        })
    })?;
    letters.collect()
}

/// The letters that are there now: those that die meanwhile wait for the next call.
fn all(connection: &Connection, queue: &str) -> rusqlite::Result<Vec<i64>> {
    let mut all =
        connection.prepare_cached("SELECT sequence FROM dead WHERE queue = ?1 ORDER BY failed_at, sequence")?;
    all.query_map([queue], |row| row.get(0))?.collect()
}

/// Does `act` to those of `sequences` that are still dead, and counts them.
fn act_on(connection: &Connection, queue: &str, sequences: &[i64], act: Act) -> rusqlite::Result<u64> {
    let mut count = 0;
    for sequence in sequences {
        let mut take = connection.prepare_cached("DELETE FROM dead WHERE sequence = ?1 AND queue = ?2")?;
        if take.execute(params![sequence, queue])? > 0 {
            act(connection, queue, *sequence)?;
            count += 1;
        }
    }
    Ok(count)
}

fn replay(connection: &Connection, queue: &str, sequence: i64) -> rusqlite::Result<()> {
    let mut content = connection.prepare_cached("SELECT team, attributes FROM contents WHERE sequence = ?1")?;
    let found = content.query_row([sequence], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((team, attributes)) = found else {
        return Ok(());
    };
    let (team, attributes): (String, String) = (team, attributes);
    let mut kept = messages::from_json(&attributes)?;
    // A message that came from another broker's dead-letter queue may carry that one's marks.
    kept.retain(|name, _| !name.starts_with("longshore-"));
    let mut clean =
        connection.prepare_cached("UPDATE contents SET attributes = ?2 WHERE sequence = ?1 AND attributes <> ?2")?;
    clean.execute(params![sequence, messages::to_json(&kept)?])?;
    messages::place(connection, queue, &team, sequence)
}

fn purge(connection: &Connection, _queue: &str, sequence: i64) -> rusqlite::Result<()> {
    messages::forget(connection, sequence)
}

impl LocalQueue {
    async fn act(&self, chosen: &Chosen, act: Act) -> Result<u64, QueueError> {
        let name = Arc::clone(&self.name);
        let sequences: Vec<i64> = match chosen {
            Chosen::All => self.database.read(move |connection| all(connection, &name)).await?,
            Chosen::Ids(ids) => ids.iter().filter_map(|id| id.parse().ok()).collect(),
        };
        let mut count = 0;
        for step in sequences.chunks(STEP) {
            let (name, step) = (Arc::clone(&self.name), step.to_vec());
            count += self.database.write(move |connection| act_on(connection, &name, &step, act)).await?;
            self.bell.notify_waiters();
        }
        Ok(count)
    }
}

/// The dead letters of several queues of one database, as one: an id is a message's whatever queue it came from.
#[derive(Debug)]
pub struct LocalDeadLetters(pub Vec<LocalQueue>);

#[async_trait]
impl DeadLetters for LocalDeadLetters {
    async fn list(&self, limit: usize) -> Result<Vec<DeadMessage>, QueueError> {
        let mut all = Vec::new();
        for queue in &self.0 {
            all.extend(queue.list(limit).await?);
        }
        all.sort_by_key(|letter| letter.failed_at);
        all.truncate(limit);
        Ok(all)
    }

    async fn replay(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        let mut replayed = 0;
        for queue in &self.0 {
            replayed += queue.replay(chosen).await?;
        }
        Ok(replayed)
    }

    async fn purge(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        let mut purged = 0;
        for queue in &self.0 {
            purged += queue.purge(chosen).await?;
        }
        Ok(purged)
    }
}

#[async_trait]
impl DeadLetters for LocalQueue {
    async fn list(&self, limit: usize) -> Result<Vec<DeadMessage>, QueueError> {
        let name = Arc::clone(&self.name);
        Ok(self.database.read(move |connection| list(connection, &name, limit)).await?)
    }

    async fn replay(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        self.act(chosen, replay).await
    }

    async fn purge(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        self.act(chosen, purge).await
    }
}
