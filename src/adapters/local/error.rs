//! What can go wrong with the database file, and which port error it is.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::ports::publisher::PublishError;
use crate::ports::queue::QueueError;

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file holds something else. A person must move it or name another path.
    #[error("{} is not a Longshore database", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A newer Longshore wrote the file. A person must run that one.
    #[error("{} has schema {found}, but this program knows only up to {known}: it was written by a newer Longshore", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// The newest schema that we know.
        known: i64,
    },
    /// The file or its folder cannot be made, read or written.
    #[error("{} cannot be opened: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        problem: String,
    },
}

/// Why work on an open database failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// Busy for too long, a full disk, a failing one. Nothing was changed; it may pass.
    #[error("the queue's database: {0}")]
    Unavailable(String),
    /// The file is broken or may not be written. A person must act.
    #[error("the queue's database: {0}")]
    Refused(String),
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let passing = matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull
                    | ErrorCode::OutOfMemory
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::CannotOpen
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::SchemaChanged
            )
        );
        if passing { Self::Unavailable(error.to_string()) } else { Self::Refused(error.to_string()) }
    }
}

impl From<DatabaseError> for QueueError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(problem) => Self::Unavailable(problem),
            DatabaseError::Refused(problem) => Self::Refused(problem),
        }
    }
}

impl From<DatabaseError> for PublishError {
    fn from(error: DatabaseError) -> Self {
        // A publisher has no word for a broken file: the event waits for the person who mends it.
        Self::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn what_may_pass_is_unavailable_and_what_a_person_must_mend_is_refused() {
        let error =
            |code| QueueError::from(DatabaseError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)));
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_IOERR, ffi::SQLITE_FULL, ffi::SQLITE_IOERR_FSYNC]
        {
            assert!(error(code).is_transient(), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_READONLY] {
            assert!(!error(code).is_transient(), "{code}");
        }
    }
}
