//! An object that grows part by part in a temporary file.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::FileStore;
use super::temporary::Temporary;
use crate::ports::store::{Put, StoreError, Upload};

/// One upload. Dropped, its file goes with the last call that is still writing to it.
pub(super) struct FileUpload {
    store: FileStore,
    target: PathBuf,
    /// None once it is finished or thrown away.
    temporary: Option<Arc<Temporary>>,
    bytes: u64,
}

impl FileUpload {
    pub(super) fn new(store: FileStore, target: PathBuf, temporary: Temporary) -> Self {
        Self { store, target, temporary: Some(Arc::new(temporary)), bytes: 0 }
    }
}

#[async_trait]
impl Upload for FileUpload {
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError> {
        let (offset, length) = (self.bytes, content.len() as u64);
        let Some(temporary) = self.temporary.clone() else {
            return Err(ended(&self.target));
        };
        self.store.run(move |_| temporary.write(&content, offset)).await?;
        self.bytes += length;
        Ok(())
    }

    async fn finish(&mut self) -> Result<Put, StoreError> {
        let (target, bytes) = (self.target.clone(), self.bytes);
        let Some(temporary) = self.temporary.clone() else {
            return self
                .store
                .run(move |place| match place.bytes_at(&target)? {
                    Some(_) => place.found(&target),
                    None => Err(ended(&target)),
                })
                .await;
        };
        let finish = self.store.run(move |place| {
            temporary.sync(bytes)?;
            place.publish(&temporary, &target)
        });
        let put = finish.await?;
        self.abort().await;
        Ok(put)
    }

    async fn abort(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            // A large file takes its time to go. Whatever fails here is cleared at the next open.
            let _ = self
                .store
                .run(move |_| {
                    drop(temporary);
                    Ok(())
                })
                .await;
        }
    }
}

impl Drop for FileUpload {
    fn drop(&mut self) {
        let temporary = self.temporary.take();
        if let (Some(temporary), Ok(runtime)) = (temporary, tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(temporary));
        }
    }
}

fn ended(target: &std::path::Path) -> StoreError {
    StoreError::Unavailable(format!("the upload to {} was thrown away", target.display()))
}
