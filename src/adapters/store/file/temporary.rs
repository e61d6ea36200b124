//! Files without a name yet: they lie in `ROOT/_tmp` and go away with whoever was writing them.
//!
//! A name says who writes: boot, process-id space, process and its start. So the next process that opens the store can tell a
//! file of the dead from one that is being written. Of writers it cannot see (another container on the same folder) it only
//! takes what nobody has touched for a day.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::errors::failed;
use crate::ports::store::StoreError;

const FOREIGN_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Of one process, whatever stores it has open.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// This process, which does not change while it lives.
static THIS: LazyLock<Writer> = LazyLock::new(Writer::this);

/// Stands for a process's start where the system does not tell it.
const UNTOLD: &str = "untold";

/// A file that has no name in the store yet. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    /// Makes an empty one. The folder is not made again if it is missing: then the disk is not mounted, and what is written
    /// would be lost below it.
    pub(super) fn create(folder: &Path) -> Result<Self, StoreError> {
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", *THIS));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                // Left by a process that cannot be told from us.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of `content` at `offset`; the same may be written again.
    pub(super) fn write(&self, content: &[u8], offset: u64) -> Result<(), StoreError> {
        self.file.write_all_at(content, offset).map_err(failed("write", &self.path))
    }

    /// Brings the bytes to the disk, `length` of them and no more: a part that broke off may have left a longer tail.
    pub(super) fn sync(&self, length: u64) -> Result<(), StoreError> {
        let cut = self.file.set_len(length);
        cut.and_then(|()| self.file.sync_data()).map_err(failed("write", &self.path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Whatever cannot be removed now is cleared at the next open.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what dead writers have left in `folder`.
pub(super) fn clear_stale(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let entry = entry.map_err(failed("list", folder))?;
        let name = entry.file_name();
        let writer = name.to_str().and_then(Writer::parse);
        let dead = match writer {
            Some(writer) if writer.is_seen_from(&THIS) => !writer.is_alive(),
            Some(_) | None => age(&entry).is_some_and(|age| age > FOREIGN_AGE_MAX),
        };
        if dead {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        // Another process may be clearing up beside us.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn age(entry: &fs::DirEntry) -> Option<Duration> {
    entry.metadata().ok()?.modified().ok()?.elapsed().ok()
}

/// Who writes: a process, told from one that has its number later.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Writer {
    /// The boot and the space in which process ids count.
    space: String,
    pid: u32,
    started: String,
}

impl Writer {
    fn this() -> Self {
        let pid = std::process::id();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let ids = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_alphanumeric).take(24).collect() };
        Self {
            space: format!("{}.{}", digits(&boot), digits(&ids.to_string_lossy())),
            pid,
            started: started_of(pid).unwrap_or_else(|| UNTOLD.to_owned()),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let (space, pid, started) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?, parts.next()?.to_owned());
        Some(Self { space, pid, started })
    }

    /// Whether `this` could see it if it were alive.
    fn is_seen_from(&self, this: &Self) -> bool {
        self.space == this.space && this.started != UNTOLD
    }

    fn is_alive(&self) -> bool {
        started_of(self.pid).is_some_and(|started| started == self.started)
    }
}

impl std::fmt::Display for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.space, self.pid, self.started)
    }
}

/// When a process started, in ticks since boot: field 22 of `proc_pid_stat(5)`, counted after the name in brackets.
fn started_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_dead_are_cleared_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = Temporary::create(folder.path()).expect("created");
        let this = Writer::this();
        let unborn = Writer { pid: u32::MAX, ..this.clone() };
        let reborn = Writer { started: "1".to_owned(), ..this.clone() };
        let foreign = Writer { space: "elsewhere.1".to_owned(), ..unborn.clone() };
        let path = |writer: &Writer| folder.path().join(format!("{writer}-0"));
        for writer in [&unborn, &reborn, &foreign] {
            fs::write(path(writer), "x").expect("written");
        }
        let old = folder.path().join("left-by-nobody");
        fs::write(&old, "x").expect("written");
        let day_ago = std::time::SystemTime::now() - FOREIGN_AGE_MAX - Duration::from_secs(60);
        File::options().write(true).open(&old).and_then(|file| file.set_modified(day_ago)).expect("aged");

        clear_stale(folder.path()).expect("cleared");
        assert!(ours.path().exists(), "we are alive");
        assert!(path(&foreign).exists(), "whether a foreign process lives cannot be seen");
        assert!(!path(&unborn).exists() && !path(&reborn).exists() && !old.exists());
    }
}
