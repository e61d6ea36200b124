//! Gathers single requests into batches of ten.
//!
//! How long it waits for company follows from what came of waiting: not at all while requests come one by one, up to
//! [`LINGER_MAX`] while several are under way at once. A request whose asker went away is still sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::sleep;

use super::requests::{BATCH_MAX, Outcome, Post, Remote};
use super::trouble::Trouble;
use crate::ports::queue::MESSAGE_BYTES_MAX;

/// The longest wait for company: at 50 settlements a second it gathers a whole batch, and a tenth of the places wait in it.
const LINGER_MAX: Duration = Duration::from_millis(200);
/// The shortest wait that is worth a timer.
const LINGER_MIN: Duration = Duration::from_millis(4);
/// How many batches of one kind are under way at once.
const UNDER_WAY_MAX: usize = 16;

/// A kind of request that SQS takes in batches.
#[async_trait]
pub(super) trait Kind: Send + Sync + 'static {
    /// One of them.
    type Entry: Send + Sync + 'static;

    /// How many bytes of a batch's largest size it takes.
    fn size(_entry: &Self::Entry) -> usize {
        0
    }

    /// Makes one request of up to [`BATCH_MAX`] entries.
    async fn run(remote: &Remote, entries: &[Self::Entry]) -> Vec<Outcome>;
}

/// Sends.
pub(super) enum Sends {}
/// Deletes, by handle.
pub(super) enum Deletes {}
/// Changes of visibility, by handle and seconds.
pub(super) enum Hides {}

#[async_trait]
impl Kind for Sends {
    type Entry = Post;

    fn size(entry: &Post) -> usize {
        entry.letter.size()
    }

    async fn run(remote: &Remote, entries: &[Post]) -> Vec<Outcome> {
        remote.send(entries).await
    }
}

#[async_trait]
impl Kind for Deletes {
    type Entry = String;

    async fn run(remote: &Remote, entries: &[String]) -> Vec<Outcome> {
        remote.delete(entries).await
    }
}

#[async_trait]
impl Kind for Hides {
    type Entry = (String, i32);

    async fn run(remote: &Remote, entries: &[(String, i32)]) -> Vec<Outcome> {
        remote.hide(entries).await
    }
}

/// Gathers requests of one kind to one queue. Its clones gather together.
pub(super) struct Batcher<K: Kind>(Arc<Shared<K>>);

impl<K: Kind> Clone for Batcher<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Shared<K: Kind> {
    remote: Remote,
    gathered: Mutex<Gathered<K>>,
    under_way: Semaphore,
}

struct Gathered<K: Kind> {
    entries: Vec<K::Entry>,
    askers: Vec<oneshot::Sender<Outcome>>,
    bytes: usize,
    linger: Duration,
    timer_runs: bool,
}

struct Load<K: Kind> {
    entries: Vec<K::Entry>,
    askers: Vec<oneshot::Sender<Outcome>>,
}

impl<K: Kind> Batcher<K> {
    pub(super) fn new(remote: Remote) -> Self {
        let gathered =
            Gathered { entries: Vec::new(), askers: Vec::new(), bytes: 0, linger: Duration::ZERO, timer_runs: false };
        Self(Arc::new(Shared { remote, gathered: Mutex::new(gathered), under_way: Semaphore::new(UNDER_WAY_MAX) }))
    }

    /// Has one request made, in company or alone, and returns what came of it.
    pub(super) async fn ask(&self, entry: K::Entry) -> Outcome {
        self.put(entry).await.unwrap_or_else(|_| Err(Trouble::Away("the batch was given up".to_owned())))
    }

    /// Has many requests made and returns what came of each.
    pub(super) async fn ask_all(&self, entries: Vec<K::Entry>) -> Vec<Outcome> {
        let asked: Vec<_> = entries.into_iter().map(|entry| self.put(entry)).collect();
        let mut outcomes = Vec::with_capacity(asked.len());
        for answer in asked {
            outcomes.push(answer.await.unwrap_or_else(|_| Err(Trouble::Away("the batch was given up".to_owned()))));
        }
        outcomes
    }

    fn put(&self, entry: K::Entry) -> oneshot::Receiver<Outcome> {
        let (asker, answer) = oneshot::channel();
        let size = K::size(&entry);
        let mut gathered = self.0.gathered.lock().expect("nobody panics while holding it");
        if gathered.bytes + size > MESSAGE_BYTES_MAX {
            self.start(gathered.take());
        }
        gathered.entries.push(entry);
        gathered.askers.push(asker);
        gathered.bytes += size;
        if gathered.entries.len() >= BATCH_MAX {
            self.start(gathered.take());
        } else if !gathered.timer_runs {
            gathered.timer_runs = true;
            let (batcher, linger) = (self.clone(), gathered.linger);
            tokio::spawn(async move { batcher.start_after(linger).await });
        }
        answer
    }

    async fn start_after(&self, linger: Duration) {
        if linger.is_zero() {
            tokio::task::yield_now().await;
        } else {
            sleep(linger).await;
        }
        let busy = self.0.under_way.available_permits() < UNDER_WAY_MAX;
        let mut gathered = self.0.gathered.lock().expect("nobody panics while holding it");
        gathered.timer_runs = false;
        gathered.linger = next_linger(gathered.linger, gathered.entries.len(), busy);
        self.start(gathered.take());
    }

    fn start(&self, load: Load<K>) {
        if load.entries.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _permit = shared.under_way.acquire().await.expect("it is never closed");
            let outcomes = K::run(&shared.remote, &load.entries).await;
            for (asker, outcome) in load.askers.into_iter().zip(outcomes) {
                // Whoever asked may have gone away.
                let _ = asker.send(outcome);
            }
        });
    }
}

impl<K: Kind> Gathered<K> {
    fn take(&mut self) -> Load<K> {
        self.bytes = 0;
        Load { entries: std::mem::take(&mut self.entries), askers: std::mem::take(&mut self.askers) }
    }
}

/// How long to wait next time, after a wait that gathered `count` while others were or were not under way.
fn next_linger(linger: Duration, count: usize, busy: bool) -> Duration {
    if count == 0 {
        linger
    } else if count > 1 || busy {
        (linger * 2).clamp(LINGER_MIN, LINGER_MAX)
    } else if linger <= LINGER_MIN {
        Duration::ZERO
    } else {
        linger / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_with_company_and_ends_without() {
        let mut linger = Duration::ZERO;
        for _ in 0..10 {
            linger = next_linger(linger, 3, false);
        }
        assert_eq!(linger, LINGER_MAX);
        assert_eq!(next_linger(linger, 1, true), LINGER_MAX);
        for _ in 0..10 {
            linger = next_linger(linger, 1, false);
        }
        assert_eq!(linger, Duration::ZERO);
    }
}
