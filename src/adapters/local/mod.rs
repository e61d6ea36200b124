//! The embedded queue and its events: one SQLite file, shared by the processes of one machine.
//!
//! Whatever answered `Ok` is on the disk (`synchronous=FULL`): neither SIGKILL nor a power failure takes it back, as far as the
//! disk keeps its word. The file must not lie on a network file system, where processes cannot share it.
//!
//! [`LocalDatabase`] is the file, [`LocalQueue`] one named queue in it, [`LocalEvents`] the events; read
//! [`queue`] next.

pub mod database;
pub mod dead;
pub mod error;
pub mod events;
mod messages;
pub mod queue;
mod schema;
mod worker;

pub use database::LocalDatabase;
pub use dead::LocalDeadLetters;
pub use error::OpenError;
pub use events::{LocalEvents, StoredEvent};
pub use queue::{LocalQueue, LocalQueueOptions};

#[cfg(all(test, feature = "testing"))]
mod tests;
