//! The embedded queue against the contract, and what only it promises.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{LocalDatabase, LocalQueue, LocalQueueOptions};
use crate::testing::contracts::queue::{Client, QueueFixture};

struct LocalFixture {
    folder: TempDir,
    lease: Duration,
}

#[async_trait]
impl QueueFixture for LocalFixture {
    async fn fresh(lease: Duration) -> Self {
        Self { folder: TempDir::new().expect("a folder"), lease }
    }

    /// Every client has connections and threads of its own, as another process would.
    async fn client(&self) -> Client {
        let path = self.folder.path().join("state").join("queue.db");
        let queue = Arc::new(queue(&path, self.lease).await);
        Client { queue: queue.clone(), dead: queue }
    }

    /// The clients were dropped: what comes now is read from the file alone.
    async fn restart(&mut self) -> bool {
        true
    }
}

async fn queue(path: &std::path::Path, lease: Duration) -> LocalQueue {
    let database = LocalDatabase::open(path).await.expect("a database");
    LocalQueue::new(database, "tasks", LocalQueueOptions { lease, ..LocalQueueOptions::default() })
}

mod crash;
mod events;
mod promises;
mod turns;

mod keeps_the_contract {
    use super::LocalFixture;

    crate::queue_contract!(LocalFixture, #[tokio::test(flavor = "multi_thread", worker_threads = 2)]);
}
