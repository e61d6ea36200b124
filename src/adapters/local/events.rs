//! The events of `events.url = "local:"`, as a [`Publisher`] and as `longshore events` reads them.
//!
//! An id is stored once while it is kept, which is seven days. Old events go in small steps, a few with each new one.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::database::LocalDatabase;
use crate::domain::id::TeamId;
use crate::ports::clock::Clock;
use crate::ports::publisher::{Event, PublishError, Publisher};

/// How long events are kept.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many old events go with each new one: more than come, so that a backlog shrinks.
const CLEARED_MAX: i64 = 10;

/// The events of a [`LocalDatabase`].
#[derive(Debug, Clone)]
pub struct LocalEvents {
    database: LocalDatabase,
    clock: Clock,
}

/// An event as it stands in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place: later events have larger ones.
    pub sequence: i64,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// The event.
    pub event: Event,
}

impl LocalEvents {
    /// The events of `database`, dated by `clock`.
    #[must_use]
    pub fn new(database: LocalDatabase, clock: Clock) -> Self {
        Self { database, clock }
    }

    /// Reads up to `limit` events after the place `sequence`, oldest first; 0 begins with the oldest that is kept.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn read_after(&self, sequence: i64, limit: usize) -> Result<Vec<StoredEvent>, PublishError> {
        Ok(self.database.read(move |connection| read_after(connection, sequence, limit)).await?)
    }
}

fn read_after(connection: &Connection, sequence: i64, limit: usize) -> rusqlite::Result<Vec<StoredEvent>> {
    let mut read = connection.prepare_cached(
        "SELECT sequence, stored_at, id, kind, team, body, traceparent FROM events
         WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
    )?;
    let wrong = |column, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
    };
    let events = read.query_map(params![sequence, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        let stored_at = Timestamp::from_millisecond(row.get(1)?);
        let team = TeamId::new(row.get::<_, String>(4)?);
        Ok(StoredEvent {
            sequence: row.get(0)?,
            stored_at: stored_at.map_err(|error| wrong(1, error.into()))?,
            event: Event {
                id: row.get(2)?,
                kind: row.get(3)?,
                team: team.map_err(|error| wrong(4, error.into()))?,
                body: Bytes::from(row.get::<_, Vec<u8>>(5)?),
                traceparent: row.get(6)?,
            },
        })
    })?;
    events.collect()
}

fn store(connection: &Connection, event: &Event, now: i64) -> rusqlite::Result<()> {
    let mut store = connection.prepare_cached(
        "INSERT INTO events (id, kind, team, body, traceparent, stored_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO NOTHING",
    )?;
    store.execute(params![event.id, event.kind, event.team.as_str(), &event.body[..], event.traceparent, now])?;
    let mut clear = connection.prepare_cached(
        "DELETE FROM events WHERE stored_at < ?1 AND sequence IN (SELECT sequence FROM events ORDER BY sequence LIMIT ?2)",
    )?;
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    clear.execute(params![now.saturating_sub(kept), CLEARED_MAX])?;
    Ok(())
}

#[async_trait]
impl Publisher for LocalEvents {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let (event, now) = (event.clone(), self.clock.now().as_millisecond());
        Ok(self.database.write(move |connection| store(connection, &event, now)).await?)
    }
}
