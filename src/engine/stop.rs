//! How a worker is told to end: first to take no more, then to let go of what it has.

use tokio_util::sync::CancellationToken;

/// The two signals of an end. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    taking: CancellationToken,
    working: CancellationToken,
}

impl Stop {
    /// Takes no more messages from now on; what is in hand goes on.
    pub fn begin(&self) {
        self.taking.cancel();
    }

    /// Hands back what is in hand: the grace ran out, or somebody asked twice.
    pub fn cut(&self) {
        self.taking.cancel();
        self.working.cancel();
    }

    /// Whether no more messages are taken.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.taking.is_cancelled()
    }

    /// Whether work in hand is to be let go.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.working.is_cancelled()
    }

    /// Waits until no more messages are to be taken.
    pub async fn begun(&self) {
        self.taking.cancelled().await;
    }

    /// Waits until work in hand is to be let go.
    pub async fn was_cut(&self) {
        self.working.cancelled().await;
    }

    /// Runs `wait` unless, or until, no more messages are to be taken.
    pub async fn unless_begun<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.taking.cancelled() => None,
            done = wait => Some(done),
        }
    }

    /// Runs `wait` unless, or until, work in hand is to be let go.
    pub async fn unless_cut<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.working.cancelled() => None,
            done = wait => Some(done),
        }
    }
}
