//! Opens connections to the database file and makes its schema.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::error::OpenError;

/// The schema that this program writes, in the file's `user_version`.
const VERSION: i64 = 1;

/// "Lngs": marks the file as ours, in its `application_id`.
const APPLICATION: i64 = 0x4c6e_6773;

/// How long a statement waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the file, making it and its folder where they are missing.
///
/// # Errors
/// Each [`OpenError`].
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let unusable = |problem: String| OpenError::Unusable { path: path.to_owned(), problem };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| unusable(error.to_string()))?;
    }
    let opened = Connection::open(path).and_then(|mut connection| {
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(64);
        let version = prepare(&mut connection)?;
        Ok((connection, version))
    });
    match opened {
        Ok((connection, Found::Ours)) => Ok(connection),
        Ok((_, Found::Newer(found))) => Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION }),
        Ok((_, Found::Foreign)) => Err(OpenError::NotOurs { path: path.to_owned() }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(OpenError::NotOurs { path: path.to_owned() })
        }
        Err(error) => Err(unusable(error.to_string())),
    }
}

enum Found {
    Ours,
    Newer(i64),
    Foreign,
}

/// Looks at the file before anything is changed in it; then makes it ours if it is empty.
fn prepare(connection: &mut Connection) -> rusqlite::Result<Found> {
    // In one transaction: another process may be making the schema between two looks.
    let found = look(&*connection.transaction()?)?;
    if let Some(found @ (Found::Newer(_) | Found::Foreign)) = found {
        return Ok(found);
    }
    use_write_ahead_log(connection)?;
    // FULL: a commit is on the disk before it is answered for.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A burst does not leave a huge log behind.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // Two processes may meet here: the second one waits and finds the schema made.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(found) = look(&transaction)? {
        return Ok(found);
    }
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(Found::Ours)
}

/// What the file holds; `None`: nothing yet.
fn look(connection: &Connection) -> rusqlite::Result<Option<Found>> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version) {
        (0, 0) if tables == 0 => None,
        (APPLICATION, version) if version > VERSION => Some(Found::Newer(version)),
        (APPLICATION, VERSION) => Some(Found::Ours),
        _ => Some(Found::Foreign),
    })
}

/// Changing the journal needs the file alone and does not wait for it by itself.
fn use_write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    const TRIES: u32 = 100;
    for attempt in 1.. {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && attempt < TRIES => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the database has threads of its own, and waits on them"
                )]
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(error),
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                let problem = format!("its file system allows only journal mode {mode}");
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
                return Err(rusqlite::Error::SqliteFailure(code, Some(problem)));
            }
        }
    }
    Ok(())
}
