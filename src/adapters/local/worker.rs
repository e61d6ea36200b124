//! The two threads that may block on the database: one writes, one reads.
//!
//! The writer takes the requests that came together into one transaction and answers each after the commit, so that many
//! small requests share one wait for the disk. A request that fails is undone alone. When the commit fails, all fail.
//! A thread ends by itself when the last sender is gone and its requests are done.

use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::DatabaseError;

/// How many requests share one transaction at most: others wait for its lock meanwhile.
const GROUP_MAX: usize = 256;

/// How long a group waits for as many requests as the last one had: those who were just answered ask again at once, and
/// without it the quickest of them would have a wait for the disk to itself.
const GATHER: Duration = Duration::from_millis(1);
const GATHER_STEP: Duration = Duration::from_micros(100);

/// How many requests wait for a thread before their senders wait too.
const WAITING_MAX: usize = 1024;

type Committed = Result<(), DatabaseError>;
type Answer = Box<dyn FnOnce(Committed) + Send>;
/// Runs on the connection inside of a transaction, or is told that there is none.
type Request = Box<dyn FnOnce(Result<&Connection, DatabaseError>) -> Answer + Send>;

/// Hands requests to one of the threads.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    requests: mpsc::Sender<Request>,
}

impl Worker {
    /// Starts the thread that writes.
    pub(super) fn writer(connection: Connection) -> std::io::Result<Self> {
        Self::start("longshore-queue-write", connection, write_groups)
    }

    /// Starts the thread that reads.
    pub(super) fn reader(connection: Connection) -> std::io::Result<Self> {
        Self::start("longshore-queue-read", connection, read)
    }

    fn start(
        name: &str, connection: Connection, run: fn(&Connection, mpsc::Receiver<Request>),
    ) -> std::io::Result<Self> {
        let (requests, received) = mpsc::channel(WAITING_MAX);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&connection, received))?;
        Ok(Self { requests })
    }

    /// Runs `work` and returns what it made, once that is durable. Dropped meanwhile, the work may or may not be done.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let ended = |_| DatabaseError::Unavailable("its thread has ended".to_owned());
        self.requests.send(request(work, reply)).await.map_err(|_| ended(()))?;
        answer.await.map_err(|_| ended(()))?
    }

    /// Hands in `work` that nobody waits for. On an overfull thread it is dropped.
    pub(super) fn run_detached<W>(&self, work: W)
    where
        W: FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    {
        let (reply, _) = oneshot::channel();
        // Nothing is lost without it: this is for tidying that time would do too.
        let _ = self.requests.try_send(request(work, reply));
    }
}

fn request<T, W>(work: W, reply: oneshot::Sender<Result<T, DatabaseError>>) -> Request
where
    T: Send + 'static,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
{
    Box::new(move |connection| {
        let outcome = connection.and_then(|connection| Ok(alone(connection, work)?));
        Box::new(move |committed| {
            let _ = reply.send(committed.and(outcome));
        })
    })
}

/// Runs `work` so that its failure undoes only its own changes.
fn alone<T>(connection: &Connection, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let run = |statement: &str| connection.prepare_cached(statement)?.execute([]);
    run("SAVEPOINT request")?;
    let outcome = work(connection);
    // A full disk may have ended the whole transaction, and the savepoint with it; the group sees that.
    if outcome.is_err() && !connection.is_autocommit() {
        run("ROLLBACK TO request")?;
    }
    if !connection.is_autocommit() {
        run("RELEASE request")?;
    }
    outcome
}

fn read(connection: &Connection, mut requests: mpsc::Receiver<Request>) {
    while let Some(request) = requests.blocking_recv() {
        request(Ok(connection))(Ok(()));
    }
}

fn write_groups(connection: &Connection, mut requests: mpsc::Receiver<Request>) {
    let mut last = 1;
    while let Some(first) = requests.blocking_recv() {
        let group = gather(first, &mut requests, last);
        last = group.len();
        let (committed, answers) = write_group(connection, group);
        if committed.is_err() && !connection.is_autocommit() {
            // It fails only where there is nothing left to undo.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
}

/// Takes what has arrived, and waits a little where more is likely to come.
fn gather(first: Request, requests: &mut mpsc::Receiver<Request>, expected: usize) -> Vec<Request> {
    let mut group = vec![first];
    let mut waited = Duration::ZERO;
    while group.len() < GROUP_MAX {
        match requests.try_recv() {
            Ok(next) => group.push(next),
            Err(_) if group.len() >= expected || waited >= GATHER => break,
            Err(_) => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the database has threads of its own, and waits on them"
                )]
                std::thread::sleep(GATHER_STEP);
                waited += GATHER_STEP;
            }
        }
    }
    group
}

/// Runs all requests in one transaction. Their answers are told by the caller, with how the commit ended.
fn write_group(connection: &Connection, group: Vec<Request>) -> (Committed, Vec<Answer>) {
    let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(DatabaseError::from);
    let undone = || DatabaseError::Unavailable("the transaction was undone by an error".to_owned());
    let run = |request: Request| match &begun {
        Err(error) => request(Err(error.clone())),
        // A full disk may end the transaction: what comes after must not run outside of one.
        Ok(()) if connection.is_autocommit() => request(Err(undone())),
        Ok(()) => request(Ok(connection)),
    };
    let answers = group.into_iter().map(run).collect();
    let committed = match begun {
        Err(error) => Err(error),
        Ok(()) if connection.is_autocommit() => Err(undone()),
        Ok(()) => connection.execute_batch("COMMIT").map_err(DatabaseError::from),
    };
    (committed, answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(number: i64) -> impl FnOnce(&Connection) -> rusqlite::Result<usize> {
        move |connection| connection.execute("INSERT INTO numbers VALUES (?1)", [number])
    }

    fn table(path: &std::path::Path) -> Connection {
        let connection = Connection::open(path).expect("opened");
        connection.busy_timeout(Duration::from_millis(50)).expect("set");
        connection.execute_batch("CREATE TABLE IF NOT EXISTS numbers (number INTEGER UNIQUE)").expect("made");
        connection
    }

    #[tokio::test]
    async fn a_request_that_fails_is_undone_alone() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("file.db");
        let worker = Worker::writer(table(&path)).expect("a thread");
        let half = |connection: &Connection| {
            insert(7)(connection)?;
            insert(1)(connection)
        };
        let (one, failed, two) = tokio::join!(worker.run(insert(1)), worker.run(half), worker.run(insert(2)));
        assert_eq!((one, two), (Ok(1), Ok(1)));
        assert!(matches!(failed, Err(DatabaseError::Refused(_))), "{failed:?}");
        let sum: i64 = table(&path).query_row("SELECT sum(number) FROM numbers", [], |row| row.get(0)).expect("a sum");
        assert_eq!(sum, 3, "the others' rows are there, and none of the failed request");
    }

    #[tokio::test]
    async fn a_database_that_stays_locked_is_unavailable_and_works_again_later() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("file.db");
        let worker = Worker::writer(table(&path)).expect("a thread");
        let other = table(&path);
        other.execute_batch("BEGIN IMMEDIATE").expect("locked");
        let refused = worker.run(insert(1)).await;
        assert!(matches!(refused, Err(DatabaseError::Unavailable(_))), "{refused:?}");
        other.execute_batch("ROLLBACK").expect("unlocked");
        assert_eq!(worker.run(insert(1)).await, Ok(1), "nothing of the refused request was done");
    }

    #[tokio::test]
    async fn a_transaction_that_an_error_ends_fails_its_whole_group() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("file.db");
        let worker = Worker::writer(table(&path)).expect("a thread");
        // As SQLite does by itself when the disk is full.
        let ends = |connection: &Connection| {
            insert(1)(connection)?;
            connection.execute_batch("ROLLBACK")?;
            Err::<usize, _>(rusqlite::Error::InvalidQuery)
        };
        let ended = worker.run(ends).await;
        assert!(matches!(ended, Err(DatabaseError::Unavailable(_))), "{ended:?}");
        assert_eq!(worker.run(insert(1)).await, Ok(1), "nothing of the group was done");
    }
}
