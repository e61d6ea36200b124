//! The folder itself, in blocking calls: where keys stand, and how a whole file gets its name.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use url::Url;

use super::errors::failed;
use super::folders::Folders;
use super::temporary::{Temporary, clear_stale};
use crate::domain::object_key::Key;
use crate::ports::store::{Put, StoreError};

/// The first segment that no key may have.
const TEMPORARY: &str = "_tmp";

/// A root with its folder for temporary files, on one file system.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    temporary: PathBuf,
    folders: Folders,
}

impl Place {
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root).map_err(failed("make a folder at", root))?;
        let root = fs::canonicalize(root).map_err(failed("open", root))?;
        let temporary = root.join(TEMPORARY);
        fs::create_dir_all(&temporary).map_err(failed("make a folder at", &temporary))?;
        let folders = Folders::new(root.clone());
        if let Some(parent) = root.parent() {
            folders.sync(parent)?;
        }
        clear_stale(&temporary)?;
        Ok(Self { root, temporary, folders })
    }

    /// Where `key` stands. A [`Key`] never climbs, so this is always below the root.
    pub(super) fn path_of(&self, key: &Key) -> Result<PathBuf, StoreError> {
        let first = key.as_str().split('/').next();
        if first == Some(TEMPORARY) {
            return Err(StoreError::Refused(format!("{key} lies in {TEMPORARY}, the store's own folder")));
        }
        Ok(self.root.join(key.as_str()))
    }

    pub(super) fn uri(&self, key: &Key) -> String {
        let url = Url::from_file_path(self.root.join(key.as_str()));
        url.expect("the root is absolute").into()
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let found = fs::metadata(&self.temporary).map_err(failed("look at", &self.temporary))?;
        if found.is_dir() {
            return Ok(());
        }
        Err(failed("open", &self.temporary)(ErrorKind::NotADirectory.into()))
    }

    pub(super) fn temporary(&self) -> Result<Temporary, StoreError> {
        Temporary::create(&self.temporary)
    }

    /// The size of the file at `path`, if one is there. A folder is none.
    pub(super) fn bytes_at(&self, path: &Path) -> Result<Option<u64>, StoreError> {
        match fs::metadata(path) {
            Ok(found) => Ok(found.is_file().then_some(found.len())),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(failed("look at", path)(error)),
        }
    }

    /// The open file at `path` and its size, if one is there.
    pub(super) fn opened(&self, path: &Path) -> Result<Option<(File, u64)>, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(failed("open", path)(error)),
        };
        let found = file.metadata().map_err(failed("look at", path))?;
        Ok(found.is_file().then_some((file, found.len())))
    }

    /// Puts `content` at `target` unless something is there.
    pub(super) fn put(&self, target: &Path, content: &[u8]) -> Result<Put, StoreError> {
        if self.bytes_at(target)?.is_some() {
            return self.found(target);
        }
        let temporary = self.written(content)?;
        self.publish(&temporary, target)
    }

    /// Puts `content` at `target` in place of whatever is there.
    pub(super) fn overwrite(&self, target: &Path, content: &[u8]) -> Result<(), StoreError> {
        let temporary = self.written(content)?;
        self.named(target, || fs::rename(temporary.path(), target))?;
        self.folders.sync(parent_of(target))
    }

    /// Gives a whole file, already on the disk, its name, unless that is taken.
    pub(super) fn publish(&self, temporary: &Temporary, target: &Path) -> Result<Put, StoreError> {
        match self.named(target, || fs::hard_link(temporary.path(), target)) {
            Ok(true) => {
                self.folders.sync(parent_of(target))?;
                Ok(Put::Stored)
            }
            Ok(false) => self.found(target),
            Err(error) => Err(error),
        }
    }

    pub(super) fn found(&self, target: &Path) -> Result<Put, StoreError> {
        if self.bytes_at(target)?.is_none() {
            return Err(failed("write", target)(ErrorKind::IsADirectory.into()));
        }
        self.make_name_safe(target)?;
        Ok(Put::Exists)
    }

    /// Makes the name of a file that was found safe from power failure. It may be a moment old, and another process's that has not
    /// done so; whoever is told of it builds on it.
    pub(super) fn make_name_safe(&self, found: &Path) -> Result<(), StoreError> {
        self.folders.sync(parent_of(found))
    }

    /// How often a folder was brought to the disk.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> u64 {
        self.folders.syncs.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn written(&self, content: &[u8]) -> Result<Temporary, StoreError> {
        let temporary = self.temporary()?;
        temporary.write(content, 0)?;
        temporary.sync(content.len() as u64)?;
        Ok(temporary)
    }

    /// Gives a name in a folder that is made before; false if the name is taken.
    fn named(&self, target: &Path, name: impl Fn() -> io::Result<()>) -> Result<bool, StoreError> {
        let folder = parent_of(target);
        self.folders.make(folder)?;
        let mut answer = name();
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            // Somebody cleared empty folders away.
            self.folders.forget(folder);
            self.folders.make(folder)?;
            answer = name();
        }
        match answer {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed("write", target)(error)),
        }
    }
}

/// Neither there nor possible: a file stands where a folder of the path would be.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn parent_of(target: &Path) -> &Path {
    target.parent().expect("a key's path is below the root")
}
