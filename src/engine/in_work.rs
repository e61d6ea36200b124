//! One task at a time in this process: a second delivery of the same task waits for the first, and then finds its receipt.
//!
//! Between processes nothing waits: there the conditional puts decide.

use std::hash::Hash;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::keyed::Keyed;

/// Turns, one for each key.
#[derive(Debug)]
pub struct InWork<K>(Keyed<K, Mutex<()>>);

impl<K> Default for InWork<K> {
    fn default() -> Self {
        Self(Keyed::default())
    }
}

impl<K: Eq + Hash + Clone> InWork<K> {
    /// Waits for the key's turn; the turn ends when the guard is dropped.
    pub async fn turn(&self, key: &K) -> OwnedMutexGuard<()> {
        self.0.of(key, || Mutex::new(())).lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_key_waits_and_another_does_not() {
        let in_work = InWork::default();
        let first = in_work.turn(&"a").await;
        let _other = in_work.turn(&"b").await;
        let waited = tokio::time::timeout(std::time::Duration::from_secs(1), in_work.turn(&"a")).await;
        assert!(waited.is_err());
        drop(first);
        drop(in_work.turn(&"a").await);
    }
}
