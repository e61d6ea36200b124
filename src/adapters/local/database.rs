//! The database file as the other parts use it: writes that are durable when they are answered, and reads beside them.
//!
//! No call blocks its thread: SQLite is used on two threads of its own ([`super::worker`]). Any number of handles, in any
//! number of processes of one machine, may be open on one file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::Notify;

use super::error::{DatabaseError, OpenError};
use super::schema;
use super::worker::Worker;

/// An open database. Its clones share threads and connections.
#[derive(Debug, Clone)]
pub struct LocalDatabase {
    writer: Worker,
    reader: Worker,
    bells: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
}

impl LocalDatabase {
    /// Opens the database at `path` and makes file and folders where they are missing.
    ///
    /// # Errors
    /// [`OpenError`]: a person must act, but for `Unusable`, which may pass.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        let ended = OpenError::Unusable { path: path.clone(), problem: "the program is ending".to_owned() };
        tokio::task::spawn_blocking(move || Self::open_now(&path)).await.unwrap_or(Err(ended))
    }

    fn open_now(path: &Path) -> Result<Self, OpenError> {
        let unusable =
            |error: std::io::Error| OpenError::Unusable { path: path.to_owned(), problem: error.to_string() };
        let writer = Worker::writer(schema::open(path)?).map_err(unusable)?;
        let reader = Worker::reader(schema::open(path)?).map_err(unusable)?;
        Ok(Self { writer, reader, bells: Arc::default() })
    }

    /// Runs `work` in a transaction and returns what it made once that is durable.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// Writes something that nobody waits for and that may be left undone.
    pub(super) fn write_detached<W>(&self, work: W)
    where
        W: FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        self.writer.run_detached(work);
    }

    /// Runs `work`, which only reads, on what is committed.
    pub(super) async fn read<T, W>(&self, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.reader.run(work).await
    }

    /// What wakes those who wait at `queue` in this process. There are as many as queues.
    pub(super) fn bell(&self, queue: &str) -> Arc<Notify> {
        let mut bells = self.bells.lock().expect("nobody panics while holding it");
        Arc::clone(bells.entry(queue.to_owned()).or_default())
    }
}
