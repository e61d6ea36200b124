//! Puts an import's tasks on its queue, only so many ahead of the worker that neither memory nor disk grows with the manifest.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;
use tokio::time::sleep;
use tracing::warn;
use uuid::Uuid;

use super::lookup::{Look, Looked};
use super::part::{Child, Wants};
use super::progress::Progress;
use super::{Job, broken, parts};
use crate::domain::manifest::Format;
use crate::engine::outage::wait_after;
use crate::engine::stop::Stop;
use crate::ports::queue::{Depth, Outgoing, Queue, QueueError};
use crate::shell::exit::Failure;

/// Tasks that wait to be received: parts of a hundred rows, or task bodies.
const PARTS_AHEAD: u64 = 50;
const BODIES_AHEAD: u64 = 500;
/// Tasks that wait for their next attempt: more than this, and the sources need time rather than more work.
const DELAYED_MAX: u64 = 1000;
/// How often the queue is counted while it is full, or while the last tasks end.
const POLL: Duration = Duration::from_millis(25);

/// How feeding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fed {
    /// All tasks have ended.
    All,
    /// It was stopped before.
    Stopped,
}

/// Feeds one import's queue.
pub(super) struct Feeder<'a> {
    pub(super) job: &'a Job,
    pub(super) look: &'a Look,
    pub(super) queue: &'a dyn Queue,
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a Stop,
}

impl Feeder<'_> {
    /// Queues what has not ended, and waits until all has.
    pub(super) async fn run(&self) -> Result<Fed, Failure> {
        let fed = self.stop.unless_begun(self.feed()).await;
        fed.unwrap_or(Ok(Fed::Stopped))
    }

    async fn feed(&self) -> Result<Fed, Failure> {
        let (_, mut parts) = parts(self.job, self.look)?;
        let mut room = 0;
        while let Some(looked) = parts.try_next().await? {
            self.refuse_conflict(&looked)?;
            self.progress.read(looked.part.rows.len());
            let Some(task) = looked.next_task(&self.job.naming, self.job.retry_failed) else {
                self.progress.has_ended(looked.part.rows.len());
                continue;
            };
            while room == 0 {
                room = self.room().await?;
            }
            self.send(task).await?;
            room -= 1;
        }
        self.progress.all_read();
        while self.depth().await?.total() > 0 {
            sleep(POLL).await;
        }
        Ok(Fed::All)
    }

    /// A list's part that is another's: the import's id was used before. A task body's own conflict is that row's.
    fn refuse_conflict(&self, looked: &Looked) -> Result<(), Failure> {
        let is_list = matches!(looked.part.wants, Wants::Copies(_));
        if !(is_list && looked.is_conflict) {
            return Ok(());
        }
        let import = &self.job.naming.import;
        Err(broken(format!(
            "--id: {import} was used for another manifest, or this one has changed since: choose another id"
        )))
    }

    /// How many more tasks may be queued now; waits a little if none.
    async fn room(&self) -> Result<u64, Failure> {
        let ahead = match self.job.format {
            Format::Urls | Format::Csv => PARTS_AHEAD,
            Format::Tasks => BODIES_AHEAD,
        };
        let depth = self.depth().await?;
        let room = if depth.delayed < DELAYED_MAX { ahead.saturating_sub(depth.visible) } else { 0 };
        if room == 0 {
            sleep(POLL).await;
        }
        Ok(room)
    }

    async fn depth(&self) -> Result<Depth, Failure> {
        self.patiently(|| self.queue.depth()).await
    }

    async fn send(&self, task: Child) -> Result<(), Failure> {
        let team = task.team.to_string();
        let message = [Outgoing {
            id: Uuid::now_v7().to_string(),
            body: task.body,
            attributes: BTreeMap::from([("team".to_owned(), team.clone())]),
            group: Some(team),
        }];
        self.patiently(|| self.queue.send(&message)).await
    }

    /// Repeats a call while the database is away: a full disk, a long lock.
    async fn patiently<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, QueueError>>,
    {
        let mut tries = 0;
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_transient() => {
                    if tries == 0 {
                        warn!(%error, "the import's queue is away, waiting for it");
                    }
                    sleep(wait_after(tries)).await;
                    tries += 1;
                }
                Err(error) => return Err(Failure::unreachable(format!("state_dir: {error}"))),
            }
        }
    }
}
