//! Brings folders to the disk: a name is safe from power failure once its folder is.
//!
//! Many names may enter one folder at once; one call to the disk then serves all that were there when it began.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::errors::failed;
use crate::ports::store::StoreError;

/// Folders that are remembered as safe; past it they are forgotten and looked at again.
const KNOWN_MAX: usize = 8192;

/// The folders below a root.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    known: Mutex<HashSet<PathBuf>>,
    turns: Mutex<HashMap<PathBuf, Arc<Turn>>>,
    /// How often a folder was asked to be brought to the disk.
    #[cfg(test)]
    pub(super) syncs: std::sync::atomic::AtomicU64,
}

/// One folder that is being brought to the disk, by one thread for all that wait.
#[derive(Debug, Default)]
struct Turn {
    state: Mutex<TurnState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct TurnState {
    running: bool,
    begun: u64,
    done: u64,
}

impl Folders {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: Mutex::default(),
            turns: Mutex::default(),
            #[cfg(test)]
            syncs: Default::default(),
        }
    }

    /// Makes `folder` and all between it and the root, safe from power failure.
    pub(super) fn make(&self, folder: &Path) -> Result<(), StoreError> {
        if lock(&self.known).contains(folder) {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(|error| self.not_made(folder, error))?;
        // Another process may have made them a moment ago: that they are there does not say that they are safe.
        for inner in folder.ancestors().take_while(|path| *path != self.root) {
            self.sync(inner.parent().unwrap_or(&self.root))?;
        }
        let mut known = lock(&self.known);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(folder.to_owned());
        Ok(())
    }

    /// Forgets that `folder` is there, since it is not.
    pub(super) fn forget(&self, folder: &Path) {
        lock(&self.known).remove(folder);
    }

    /// Names the file that stands in the way, if that is what it is.
    fn not_made(&self, folder: &Path, error: io::Error) -> StoreError {
        let between = folder.ancestors().take_while(|path| *path != self.root);
        let file = between.filter(|path| path.is_file()).last();
        failed("make a folder at", file.unwrap_or(folder))(error)
    }

    /// Returns once all names that are in `folder` now are on the disk.
    pub(super) fn sync(&self, folder: &Path) -> Result<(), StoreError> {
        #[cfg(test)]
        self.syncs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let turn = Arc::clone(lock(&self.turns).entry(folder.to_owned()).or_default());
        let answer = turn.take(folder);
        let mut turns = lock(&self.turns);
        drop(turn);
        // Whoever leaves last, leaves nothing behind.
        if turns.get(folder).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(folder);
        }
        answer.map_err(failed("sync", folder))
    }
}

impl Turn {
    fn take(&self, folder: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        // Only a call that begins after now is sure to see our name.
        let needed = state.begun + 1;
        while state.done < needed {
            if state.running {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            state.begun += 1;
            let ours = state.begun;
            drop(state);
            let answer = File::open(folder).and_then(|folder| folder.sync_all());
            state = lock(&self.state);
            state.running = false;
            if answer.is_ok() {
                state.done = ours;
            }
            // After an error each who waits tries for itself.
            self.changed.notify_all();
            answer?;
        }
        Ok(())
    }
}

/// Nothing panics while it holds one of these locks, and what they guard is whole between two calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_syncs_at_once_all_return_and_leave_nothing() {
        let root = tempfile::tempdir().expect("a folder");
        let folders = Folders::new(root.path().to_owned());
        let folder = root.path().join("a/b");
        folders.make(&folder).expect("made");
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| folders.sync(&folder).expect("synced"));
            }
        });
        assert!(lock(&folders.turns).is_empty());
    }

    #[test]
    fn a_sync_that_fails_says_so_to_each_and_the_next_may_work() {
        let root = tempfile::tempdir().expect("a folder");
        let folders = Folders::new(root.path().to_owned());
        let folder = root.path().join("later");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(folders.sync(&folder).is_err()));
            }
        });
        fs::create_dir(&folder).expect("made");
        folders.sync(&folder).expect("synced");
    }
}
