//! Finds a manifest: a file is taken where it lies, one at a URL is copied into the state folder first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use url::Url;
use uuid::Uuid;

use super::broken;
use super::source::{Origin, Source};
use crate::domain::access::Grant;
use crate::domain::attachment_url::redacted;
use crate::domain::fault::AttachmentFault;
use crate::domain::source::Source as FetchSource;
use crate::domain::team::KnownTeam;
use crate::engine::retry::{Next, RetryPolicy};
use crate::ports::fetcher::{FetchRequest, Fetcher, Want};
use crate::shell::exit::Failure;

/// A manifest that is on this machine; what was copied for it goes with it.
#[derive(Debug)]
pub struct Found {
    /// The manifest.
    pub source: Source,
    copy: Option<PathBuf>,
}

impl Drop for Found {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            // A copy that stays is only room on a disk.
            let _ = std::fs::remove_file(copy);
        }
    }
}

impl Found {
    /// Finds a file, or a `file:` URL, of this machine; `None` for other URLs.
    ///
    /// # Errors
    /// A file that is not there.
    pub fn here(manifest: &str) -> Result<Option<Self>, Failure> {
        let path = match Url::parse(manifest) {
            Ok(url) if matches!(url.scheme(), "http" | "https" | "s3" | "gs") => return Ok(None),
            Ok(url) if url.scheme() == "file" => {
                url.to_file_path().map_err(|()| broken(format!("{manifest}: names no file of this machine")))?
            }
            Ok(_) | Err(_) => PathBuf::from(manifest),
        };
        let cannot = |error: &dyn std::fmt::Display| broken(format!("{manifest}: cannot be read: {error}"));
        // Symbolic links are followed here: what lies beside the true file is what its rows mean.
        let path = path.canonicalize().map_err(|error| cannot(&error))?;
        if !path.is_file() {
            return Err(cannot(&"it is no file"));
        }
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let source = Source { name: manifest.to_owned(), path, origin: Origin::Folder(folder) };
        Ok(Some(Self { source, copy: None }))
    }

    /// Copies the manifest at a URL into `folder`. What passes is tried again by `retry`.
    ///
    /// # Errors
    /// Why it cannot be fetched; a folder that cannot be written.
    pub async fn fetched(
        manifest: &str, folder: &Path, fetcher: &dyn Fetcher, retry: RetryPolicy,
    ) -> Result<Self, Failure> {
        let name = redacted(manifest);
        let url = Url::parse(manifest).map_err(|error| broken(format!("{name}: is no URL: {error}")))?;
        let path = folder.join(format!("manifest-{}", Uuid::now_v7()));
        let cannot =
            |error: std::io::Error| Failure::unreachable(format!("{}: cannot be written: {error}", path.display()));
        tokio::fs::create_dir_all(folder).await.map_err(cannot)?;
        let found = Self {
            source: Source { name: name.clone(), path: path.clone(), origin: Origin::Url(url) },
            copy: Some(path.clone()),
        };
        let mut tried = 1;
        loop {
            let fault = match fetch(manifest, &path, fetcher).await {
                Ok(()) => return Ok(found),
                Err(Stopped::Write(error)) => return Err(cannot(error)),
                Err(Stopped::Fetch(fault)) => fault,
            };
            match retry.next(fault.fault(), tried, 0.5) {
                Next::After(wait) => sleep(wait).await,
                Next::GiveUp if fault.code.is_transient() => {
                    return Err(Failure::unreachable(format!("{name}: {}", fault.message)));
                }
                Next::GiveUp => return Err(broken(format!("{name}: {}", fault.message))),
            }
            tried += 1;
        }
    }
}

enum Stopped {
    Fetch(AttachmentFault),
    Write(std::io::Error),
}

async fn fetch(manifest: &str, path: &Path, fetcher: &dyn Fetcher) -> Result<(), Stopped> {
    // The person at this terminal asks, not a team: no team's rights are used, and no team's rules hold.
    let team = Arc::new(KnownTeam::ourselves());
    let source = FetchSource::parse(manifest).map_err(Stopped::Fetch)?;
    let request = FetchRequest { team, source, grant: Grant::None, want: Want::Body };
    let mut body = fetcher.open(request).await.map_err(Stopped::Fetch)?.body;
    let mut file = tokio::fs::File::create(path).await.map_err(Stopped::Write)?;
    while let Some(bytes) = body.try_next().await.map_err(Stopped::Fetch)? {
        file.write_all(&bytes).await.map_err(Stopped::Write)?;
    }
    file.flush().await.map_err(Stopped::Write)
}
