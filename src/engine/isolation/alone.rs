//! Who works beside whom: ordinary deliveries together, a suspect alone in its process.
//!
//! A suspect waits until everything else in hand has ended. What has not ended in time is asked to make way, goes back
//! uncounted, and finds its finished attachments again. While a suspect waits or works alone nothing else begins; suspects take
//! turns. What a suspect is, and what follows from its end, is decided in [`super`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, watch};
use tokio::time::timeout;

/// Keeps suspects alone.
#[derive(Debug, Default)]
pub(super) struct Alone {
    floor: Arc<RwLock<()>>,
    turns: Arc<Mutex<()>>,
    make_way: watch::Sender<bool>,
}

/// Leave to work beside others, until dropped.
#[derive(Debug)]
pub(super) struct Beside(#[expect(dead_code, reason = "held, not read")] OwnedRwLockReadGuard<()>);

/// A suspect's turn: it is the next to be alone.
#[derive(Debug)]
pub(super) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>);

/// The proof that nothing else is worked on, until dropped.
#[derive(Debug)]
pub(super) struct ByItself {
    floor: OwnedRwLockWriteGuard<()>,
    _turn: Turn,
}

impl ByItself {
    /// Lets others work beside whoever was alone.
    #[must_use]
    pub(super) fn share(self) -> Beside {
        Beside(self.floor.downgrade())
    }
}

impl Alone {
    /// Waits until no suspect waits or works.
    pub(super) async fn beside(&self) -> Beside {
        Beside(Arc::clone(&self.floor).read_owned().await)
    }

    /// Waits until no suspect waits or works, and takes nothing: for those who bring work.
    pub(super) async fn nobody_is(&self) {
        drop(self.beside().await);
    }

    /// Waits for a suspect's turn among suspects.
    pub(super) async fn turn(&self) -> Turn {
        Turn(Arc::clone(&self.turns).lock_owned().await)
    }

    /// Waits until all others have ended; those that have not after `patience` are asked to make way.
    pub(super) async fn by_itself(&self, turn: Turn, patience: Duration) -> ByItself {
        let taking = Arc::clone(&self.floor).write_owned();
        tokio::pin!(taking);
        let floor = match timeout(patience, &mut taking).await {
            Ok(floor) => floor,
            Err(_) => {
                let _asking = Asking::begin(&self.make_way);
                taking.await
            }
        };
        ByItself { floor, _turn: turn }
    }

    /// Waits until a suspect has waited for too long: whoever works beside others lets go then.
    pub(super) async fn must_make_way(&self) {
        let mut asked = self.make_way.subscribe();
        // The sender lives as long as we do, so this ends only by being asked.
        let _asked = asked.wait_for(|asked| *asked).await;
    }
}

/// Asks the others to make way, until dropped.
struct Asking<'a>(&'a watch::Sender<bool>);

impl<'a> Asking<'a> {
    fn begin(make_way: &'a watch::Sender<bool>) -> Self {
        make_way.send_replace(true);
        Self(make_way)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_suspect_waits_for_all_others_and_none_begins_meanwhile() {
        let alone = Arc::new(Alone::default());
        let (one, two) = (alone.beside().await, alone.beside().await);
        let suspect = tokio::spawn({
            let alone = Arc::clone(&alone);
            async move { alone.by_itself(alone.turn().await, PATIENCE).await }
        });
        tokio::time::sleep(SHORT).await;
        assert!(!suspect.is_finished());
        assert!(timeout(SHORT, alone.beside()).await.is_err(), "nothing begins while a suspect waits");
        drop((one, two));
        let by_itself = suspect.await.expect("no panic");
        assert!(timeout(SHORT, alone.beside()).await.is_err(), "nothing begins while a suspect works");
        assert!(timeout(SHORT, alone.turn()).await.is_err(), "nor a second one");
        let shared = by_itself.share();
        alone.nobody_is().await;
        drop(alone.turn().await);
        assert!(
            timeout(SHORT, alone.by_itself(alone.turn().await, PATIENCE)).await.is_err(),
            "it works on, beside others"
        );
        drop(shared);
        drop(alone.by_itself(alone.turn().await, PATIENCE).await);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_never_end_are_asked_to_make_way_and_only_then() {
        let alone = Arc::new(Alone::default());
        let slow = tokio::spawn({
            let alone = Arc::clone(&alone);
            async move {
                let _beside = alone.beside().await;
                alone.must_make_way().await;
            }
        });
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        let by_itself = alone.by_itself(alone.turn().await, PATIENCE).await;
        assert_eq!(began.elapsed(), PATIENCE);
        slow.await.expect("no panic");
        drop(by_itself);
        let _later = alone.beside().await;
        assert!(timeout(SHORT, alone.must_make_way()).await.is_err(), "the next ones are not asked");
    }
}
