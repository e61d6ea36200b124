//! How many messages may be in hand, and how one that comes forward slowly makes room for others.
//!
//! A place is the right to begin. A delivery that has begun and comes forward slowly steps aside: it keeps its lease, its
//! attachments and its lanes, and gives its place to the next. As many may stand aside as there are places, so that what is in
//! hand stays bounded; when that is full too, those that only wait go back to the queue.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// For so long a place that was missed counts as wanted.
const LATELY: Duration = Duration::from_secs(2);

/// The places for messages. Clones share them.
#[derive(Debug, Clone)]
pub struct Hands(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    places: Arc<Semaphore>,
    aside: Arc<Semaphore>,
    wanted: AtomicUsize,
    /// When somebody was sent away for want of a place.
    missed: Mutex<Option<Instant>>,
    count: usize,
}

impl Hands {
    /// So many places, and as many aside.
    #[must_use]
    pub fn new(places: usize) -> Self {
        let count = places.max(1);
        let semaphore = || Arc::new(Semaphore::new(count));
        Self(Arc::new(Shared {
            places: semaphore(),
            aside: semaphore(),
            wanted: AtomicUsize::new(0),
            missed: Mutex::default(),
            count,
        }))
    }

    /// How many places there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// How many places are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.places.available_permits()
    }

    /// Notes that somebody was sent away for want of a place.
    pub fn was_missed(&self) {
        *self.0.missed() = Some(Instant::now());
    }

    /// Takes a free place.
    #[must_use]
    pub fn try_take(&self) -> Option<Hand> {
        let permit = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        Some(Hand { hands: self.clone(), permit: Mutex::new(Some(permit)) })
    }

    /// Waits for a free place.
    pub async fn take(&self) -> Hand {
        let _wanting = Wanting::begin(&self.0.wanted);
        let permit = Arc::clone(&self.0.places).acquire_owned().await.expect("places are never closed");
        Hand { hands: self.clone(), permit: Mutex::new(Some(permit)) }
    }
}

impl Shared {
    fn missed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.missed.lock().expect("nothing panics while it holds this lock")
    }

    fn is_aside(&self, permit: Option<&OwnedSemaphorePermit>) -> bool {
        permit.is_some_and(|permit| Arc::ptr_eq(permit.semaphore(), &self.aside))
    }

    /// Whether somebody waits for a place, or lately did.
    fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed) > 0 || self.missed().is_some_and(|missed| missed.elapsed() < LATELY)
    }
}

/// Somebody who waits for a place.
struct Wanting<'a>(&'a AtomicUsize);

impl<'a> Wanting<'a> {
    fn begin(wanted: &'a AtomicUsize) -> Self {
        wanted.fetch_add(1, Relaxed);
        Self(wanted)
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A place, or a place aside, until dropped.
#[derive(Debug)]
pub struct Hand {
    hands: Hands,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Hand {
    /// Gives the place up for one aside, if there is one. May be repeated.
    pub fn step_aside(&self) {
        let shared = &self.hands.0;
        let mut permit = self.permit.lock().expect("nothing panics while it holds this lock");
        if !shared.is_aside(permit.as_ref())
            && let Ok(aside) = Arc::clone(&shared.aside).try_acquire_owned()
        {
            *permit = Some(aside);
        }
    }

    /// Whether it has given its place up.
    #[must_use]
    pub fn is_aside(&self) -> bool {
        let permit = self.permit.lock().expect("nothing panics while it holds this lock");
        self.hands.0.is_aside(permit.as_ref())
    }

    /// Whether others wait for a place and nobody can step aside any more.
    #[must_use]
    pub fn is_in_the_way(&self) -> bool {
        let shared = &self.hands.0;
        shared.is_wanted() && shared.aside.available_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_steps_aside_makes_room_once_and_as_long_as_there_is_some() {
        let hands = Hands::new(2);
        let held: Vec<Hand> = vec![hands.take().await, hands.take().await];
        held[0].step_aside();
        held[0].step_aside();
        assert_eq!(hands.free(), 1);
        held[1].step_aside();
        let more = [hands.take().await, hands.take().await];
        more[0].step_aside();
        assert_eq!(hands.free(), 0, "two in hand and two aside are all");
        assert!(!more[0].is_in_the_way(), "nobody waits");
        let waiting = hands.take();
        tokio::pin!(waiting);
        assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
        assert!(more[0].is_in_the_way());
        hands.was_missed();
        drop(held);
        more[0].step_aside();
        waiting.await;
        assert_eq!(hands.free(), 1);
    }
}
