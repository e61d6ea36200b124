//! Internal storage in a folder: each key is a file, and each file appears whole or not at all, at power failure too.
//!
//! Bytes go to a temporary file in `ROOT/_tmp`, reach the disk, and only then get their name, by a hard link: the one call of
//! a file system that gives a name to a whole file and fails if the name is taken. Then the folder reaches the disk. Facts are
//! not kept beside objects. Blocking work runs on tokio's blocking threads, at most [`AT_ONCE_MAX`] of it at a time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use self::place::Place;
use self::upload::FileUpload;
use super::probe::{Probed, probe};
use crate::domain::object_key::Key;
use crate::domain::webhook::body::Link;
use crate::ports::store::{Head, ObjectMeta, ObjectStream, Put, Store, StoreError, Upload};

mod errors;
mod extensions;
mod folders;
mod place;
mod temporary;
mod upload;
mod walk;

use self::errors::failed;

/// Blocking calls at once: enough for a disk to commit many files together, and few enough that other users of the blocking
/// threads (tokio has 512) are not kept waiting.
pub const AT_ONCE_MAX: usize = 128;

/// A reading's pieces.
const PIECE_BYTES: usize = 256 * 1024;

/// A folder as a store. Clones share it; several processes on one machine may, too.
#[derive(Debug, Clone)]
pub struct FileStore {
    place: Arc<Place>,
    room: Arc<Semaphore>,
}

impl FileStore {
    /// Opens `root`, makes it if it is not there, and clears temporary files that dead processes have left.
    ///
    /// # Errors
    /// `Refused` for a folder that cannot be made or written, else `Unavailable`.
    pub async fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        let root = root.as_ref().to_owned();
        let room = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let place = blocking(&room, move || Place::open(&root)).await?;
        Ok(Self { place: Arc::new(place), room })
    }

    async fn run<T: Send + 'static>(
        &self, work: impl FnOnce(&Place) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.place);
        blocking(&self.room, move || work(&place)).await
    }
}

/// Runs blocking work where it holds nobody up. Work that has begun is finished even if nobody waits for it any more.
async fn blocking<T: Send + 'static>(
    room: &Arc<Semaphore>, work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let permit = Arc::clone(room).acquire_owned().await.expect("nobody closes the room");
    let done = tokio::task::spawn_blocking(move || {
        let answer = work();
        drop(permit);
        answer
    });
    done.await
        .unwrap_or_else(|error| Err(StoreError::Unavailable(format!("the work on the folder did not end: {error}"))))
}

#[async_trait]
impl Store for FileStore {
    fn keeps_facts(&self) -> bool {
        false
    }

    async fn put_if_absent(&self, key: &Key, content: Bytes, _meta: ObjectMeta<'_>) -> Result<Put, StoreError> {
        let target = self.place.path_of(key)?;
        self.run(move |place| place.put(&target, &content)).await
    }

    async fn begin(&self, key: &Key, _meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        let target = self.place.path_of(key)?;
        let temporary = self.run(Place::temporary).await?;
        Ok(Box::new(FileUpload::new(self.clone(), target, temporary)))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        let path = self.place.path_of(key)?;
        self.run(move |place| {
            let bytes = place.bytes_at(&path)?;
            Ok(bytes.map(|bytes| Head { bytes, facts: None }))
        })
        .await
    }

    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        let stem = stem.clone();
        self.run(move |place| {
            for key in extensions::candidates(&stem) {
                let path = place.path_of(&key)?;
                if place.bytes_at(&path)?.is_some() {
                    place.make_name_safe(&path)?;
                    return Ok(Some(key));
                }
            }
            Ok(None)
        })
        .await
    }

    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError> {
        let path = self.place.path_of(key)?;
        let opened = path.clone();
        let Some((file, _)) = self.run(move |place| place.opened(&opened)).await? else {
            return Ok(None);
        };
        let file = tokio::fs::File::from_std(file);
        let pieces = ReaderStream::with_capacity(file, PIECE_BYTES);
        Ok(Some(pieces.map(move |piece| piece.map_err(failed("read", &path))).boxed()))
    }

    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        let path = self.place.path_of(key)?;
        self.run(move |place| match place.opened(&path)? {
            Some((file, _)) => {
                place.make_name_safe(&path)?;
                whole(file, &path, bytes_max).map(Some)
            }
            None => Ok(None),
        })
        .await
    }

    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        let target = self.place.path_of(key)?;
        self.run(move |place| place.overwrite(&target, &content)).await
    }

    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        let (path, folder, after) = (self.place.path_of(folder)?, folder.clone(), after.cloned());
        self.run(move |_| walk::list(&path, &folder, after.as_ref(), limit)).await
    }

    fn uri(&self, key: &Key) -> String {
        self.place.uri(key)
    }

    async fn link(&self, _key: &Key, _lasts: Duration) -> Result<Option<Link>, StoreError> {
        Ok(None)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        probe(self).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.run(Place::check).await
    }
}

#[async_trait]
impl Probed for FileStore {
    async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let path = self.place.path_of(key)?;
        self.run(move |_| match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            Ok(()) | Err(_) => Ok(()),
        })
        .await
    }
}

fn whole(file: File, path: &Path, bytes_max: usize) -> Result<Bytes, StoreError> {
    let mut content = Vec::new();
    // One more than allowed shows that there is more, whatever the file's size says.
    file.take(bytes_max as u64 + 1).read_to_end(&mut content).map_err(failed("read", path))?;
    if content.len() > bytes_max {
        let path = path.display();
        return Err(StoreError::Corrupt(format!("{path} is larger than the {bytes_max} bytes that are allowed")));
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process may have written it a moment ago, and not come to the disk.
    #[tokio::test]
    async fn the_name_of_what_is_found_is_made_safe_before_anybody_builds_on_it() {
        let root = tempfile::tempdir().expect("a folder");
        let (writer, reader) =
            (FileStore::open(root.path()).await.unwrap(), FileStore::open(root.path()).await.unwrap());
        let (key, stem) = (Key::new("acme/r.json"), Key::new("acme/r"));
        let meta = ObjectMeta { media_type: "application/json", facts: None };
        writer.put_if_absent(&key, Bytes::from_static(b"{}"), meta).await.unwrap();
        let synced = || reader.place.syncs();
        let before = synced();
        assert!(reader.get(&key, 10).await.unwrap().is_some());
        assert_eq!(synced(), before + 1);
        assert_eq!(reader.find(&stem).await.unwrap(), Some(key.clone()));
        assert_eq!(synced(), before + 2);
        assert_eq!(reader.put_if_absent(&key, Bytes::new(), meta).await.unwrap(), Put::Exists);
        assert_eq!(synced(), before + 3);
        assert!(reader.get(&Key::new("acme/none.json"), 10).await.unwrap().is_none());
        assert_eq!(synced(), before + 3);
    }
}
