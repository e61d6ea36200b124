//! The one-machine side of a world: the embedded queue's database.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore::adapters::local::{LocalDatabase, LocalEvents, LocalQueue, LocalQueueOptions};
use longshore::ports::clock::Clock;
use longshore::ports::queue::{DeadLetters, Outgoing, Queue};

use super::seen::{Dead, Event};

/// The database of one world.
pub(crate) struct Embedded {
    path: PathBuf,
}

impl Embedded {
    /// The database in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("queue.db") }
    }

    /// The configuration's part about queues.
    pub(crate) fn config(&self) -> String {
        let url = format!("local:{}", self.path.display());
        format!("[queue]\nurl = \"{url}\"\n[events]\nurl = \"{url}\"\n")
    }

    async fn queue(&self) -> LocalQueue {
        let database = LocalDatabase::open(&self.path).await.unwrap();
        let options = LocalQueueOptions { lease: Duration::from_secs(60), wait: Duration::from_millis(50) };
        LocalQueue::new(database, "tasks", options)
    }

    /// Sends.
    pub(crate) async fn send(&self, messages: &[Outgoing]) {
        self.queue().await.send(messages).await.unwrap();
    }

    /// All events that are kept.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let database = LocalDatabase::open(&self.path).await.unwrap();
        let stored = LocalEvents::new(database, Clock::System).read_after(0, usize::MAX).await.unwrap();
        let event = |stored: longshore::adapters::local::StoredEvent| Event {
            id: stored.event.id,
            kind: stored.event.kind,
            team: stored.event.team.to_string(),
            body: stored.event.body.to_vec(),
        };
        stored.into_iter().map(event).collect()
    }

    /// All dead letters.
    pub(crate) async fn dead(&self) -> Vec<Dead> {
        let dead = self.queue().await.list(usize::MAX).await.unwrap();
        dead.into_iter()
            .map(|dead| Dead { reason: dead.reason, detail: dead.detail, body: dead.body.to_vec() })
            .collect()
    }

    /// How many messages are left.
    pub(crate) async fn left(&self) -> Vec<(String, u64)> {
        let depth = self.queue().await.depth().await.unwrap();
        vec![("visible".into(), depth.visible), ("leased".into(), depth.leased), ("delayed".into(), depth.delayed)]
    }
}
