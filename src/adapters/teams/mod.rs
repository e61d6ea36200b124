//! Who the teams are: by a file that may be edited while the worker runs, or by a directory that is asked ([`served`]).
//!
//! The file is good as a whole or not taken at all: a worker goes on with the last good one, and says once what is wrong with
//! the new one. A change is known within a second or two, a changed `file:` secret within five. A teams file is a directory
//! that is up and answers: it never is unavailable.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::domain::digest::Sha256;
use crate::domain::id::TeamId;
use crate::ports::teams::{Lookup, Teams, TeamsUnavailable};

mod directory;
mod grants;
mod overlap;
mod posted;
mod record;
mod secrets;
mod section;
pub mod served;
#[cfg(test)]
mod tests;

pub use directory::{Directory, Environment, TeamsOptions, check};
pub use section::Mistake;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// At every so manieth look the file is read though it seems unchanged: secrets beside it may have changed, and some file
/// systems keep times by the second.
const READ_ANYWAY: u32 = 5;

/// Everything that is wrong with a teams file, one mistake a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct TeamsErrors {
    /// The mistakes, in the order of their lines; never empty.
    pub mistakes: Vec<Mistake>,
}

/// A teams file that is read anew when it changes. Dropped, it looks no more.
#[derive(Debug)]
pub struct TeamsFile {
    current: Arc<ArcSwap<Directory>>,
    watch: JoinHandle<()>,
}

impl TeamsFile {
    /// Reads the file and goes on looking at it. Must be called within a tokio runtime; reads the file at once.
    ///
    /// # Errors
    /// [`TeamsErrors`] if the file is not there or not good; it may be called again once the file was mended.
    pub fn open(path: &Path, options: &TeamsOptions) -> Result<Self, TeamsErrors> {
        let stamp = Stamp::of(path);
        let text = load(path)?;
        let current = Arc::new(ArcSwap::from_pointee(good(&text, options)?));
        let watcher = Watcher {
            path: path.to_owned(),
            options: options.clone(),
            current: Arc::clone(&current),
            stamp,
            digest: Some(Sha256::of(text.as_bytes())),
            said: None,
        };
        let watch = tokio::spawn(watch(watcher));
        Ok(Self { current, watch })
    }

    /// All teams as they are now.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.current.load_full()
    }
}

impl Drop for TeamsFile {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

#[async_trait]
impl Teams for TeamsFile {
    async fn team(&self, id: &TeamId) -> Result<Lookup, TeamsUnavailable> {
        let known = self.current.load().get(id).cloned();
        Ok(known.map_or(Lookup::Unknown, Lookup::Known))
    }

    async fn team_of_bucket(&self, bucket: &str) -> Result<Lookup, TeamsUnavailable> {
        let directory = self.current.load();
        let known = directory.iter().find(|team| team.record.declares_bucket(bucket)).cloned();
        Ok(known.map_or(Lookup::Unknown, Lookup::Known))
    }
}

fn load(path: &Path) -> Result<String, TeamsErrors> {
    std::fs::read_to_string(path).map_err(|error| TeamsErrors {
        mistakes: vec![Mistake {
            team: None,
            line: None,
            problem: format!("the teams file {} cannot be read: {error}", path.display()),
        }],
    })
}

fn good(text: &str, options: &TeamsOptions) -> Result<Directory, TeamsErrors> {
    check(text, options).map_err(|mistakes| TeamsErrors { mistakes })
}

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<std::time::SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: metadata.modified().ok(), bytes: metadata.len(), inode })
    }
}

struct Watcher {
    path: PathBuf,
    options: TeamsOptions,
    current: Arc<ArcSwap<Directory>>,
    stamp: Option<Stamp>,
    /// What was read last.
    digest: Option<Sha256>,
    /// The mistakes that were logged last, so that each state of the file is complained of once.
    said: Option<String>,
}

async fn watch(mut watcher: Watcher) {
    let mut looks: u32 = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        looks = looks.wrapping_add(1);
        let anyway = looks.is_multiple_of(READ_ANYWAY);
        let looked = tokio::task::spawn_blocking(move || {
            watcher.look(anyway);
            watcher
        });
        match looked.await {
            Ok(back) => watcher = back,
            // The runtime is shutting down.
            Err(_) => return,
        }
    }
}

impl Watcher {
    fn look(&mut self, anyway: bool) {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp && !anyway {
            return;
        }
        self.stamp = stamp;
        match load(&self.path) {
            Ok(text) => self.read(&text),
            Err(errors) => {
                self.digest = None;
                self.complain(errors.to_string());
            }
        }
    }

    fn read(&mut self, text: &str) {
        let digest = Some(Sha256::of(text.as_bytes()));
        // The same text means the same, unless what it refers to has changed.
        if digest == self.digest && !text.contains("file:") {
            return;
        }
        self.digest = digest;
        match good(text, &self.options) {
            Ok(directory) => self.take(directory),
            Err(errors) => self.complain(errors.to_string()),
        }
    }

    fn take(&mut self, directory: Directory) {
        self.said = None;
        if directory != **self.current.load() {
            let teams = directory.iter().count();
            self.current.store(Arc::new(directory));
            info!(teams, "the teams file was read anew and holds {teams} teams");
        }
    }

    fn complain(&mut self, mistakes: String) {
        if self.said.as_ref() != Some(&mistakes) {
            warn!(path = %self.path.display(), "the teams file is not taken, the last good one stays: {mistakes}");
            self.said = Some(mistakes);
        }
    }
}
