//! Work that was started and has not ended: what takes messages starts it, and drains it in the end.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::stop::Stop;
use crate::ports::queue::Queue;

/// How long settling may take after work was cut.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything in hand was settled.
    Drained,
    /// Work was handed back.
    HandedBack,
}

/// The work that was started. Dropped, it lets go of everything at once and settles nothing, as if it had been killed.
#[derive(Debug)]
pub struct Started {
    tasks: TaskTracker,
    dropped: CancellationToken,
    _alive: DropGuard,
}

impl Default for Started {
    fn default() -> Self {
        let dropped = CancellationToken::new();
        Self { tasks: TaskTracker::new(), _alive: dropped.clone().drop_guard(), dropped }
    }
}

impl Started {
    /// Starts `work` on a task of its own.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let dropped = self.dropped.clone();
        self.tasks.spawn(async move {
            // As a killed process, a dropped one does nothing more, not even what it could do at once.
            tokio::select! {
                biased;
                () = dropped.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Takes no more from `queue` and finishes what is under way within `grace`, then cuts it; `what` names it in the log.
    pub async fn drain(&self, queue: &dyn Queue, stop: &Stop, grace: Duration, what: &'static str) -> End {
        self.tasks.close();
        let in_hand = self.tasks.len();
        if in_hand > 0 {
            info!(in_hand, "finishing the {what} in hand");
        }
        // The grace is for both: whoever kills us afterwards counts from the first word.
        let ending = async {
            queue.close().await;
            self.tasks.wait().await;
        };
        if let Some(Ok(())) = stop.unless_cut(timeout(grace, ending)).await {
            return End::Drained;
        }
        let left = self.tasks.len();
        warn!(left, "the grace ran out: handing back the {what} that are left");
        stop.cut();
        if timeout(SETTLE_WITHIN, self.tasks.wait()).await.is_err() {
            warn!("some {what} could not be handed back: their leases will run out");
        }
        End::HandedBack
    }
}
