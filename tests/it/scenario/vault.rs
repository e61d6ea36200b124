//! What really lies in internal storage, read without the program's own store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use futures::StreamExt;

use super::http::{Content, Digest};

/// The bucket of these tests; each world has a prefix of its own in it.
pub(crate) const BUCKET: &str = "longshore-scenario-it";

/// Documents of up to this size are kept whole.
const KEPT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// One stored thing.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) content: Content,
    /// The bytes of a document (`.json`), not of objects.
    pub(crate) document: Option<Vec<u8>>,
}

/// Where a world's internal storage is.
pub(crate) enum Vault {
    Folder(PathBuf),
    Bucket { client: Client, prefix: String },
}

impl Vault {
    /// A prefix in the bed's bucket.
    pub(crate) async fn in_bucket(prefix: &str) -> Self {
        let config = Builder::new()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .region(Region::new("us-east-1"))
            .endpoint_url(crate::bed::weed_endpoint())
            .force_path_style(true);
        let client = Client::from_conf(config.build());
        // Another test may make it at the same time; the head request that follows tells.
        let _ = client.create_bucket().bucket(BUCKET).send().await;
        client.head_bucket().bucket(BUCKET).send().await.unwrap();
        Self::Bucket { client, prefix: format!("{prefix}/") }
    }

    /// What every address in a receipt begins with.
    pub(crate) fn uri_prefix(&self) -> String {
        match self {
            Self::Folder(root) => format!("file://{}/", root.display()),
            Self::Bucket { prefix, .. } => format!("s3://{BUCKET}/{prefix}"),
        }
    }

    /// The keys that there are.
    pub(crate) async fn keys(&self) -> Vec<String> {
        match self {
            Self::Folder(root) => {
                let mut keys = Vec::new();
                walk(root, root, &mut keys);
                keys
            }
            Self::Bucket { client, prefix } => {
                let mut pages = client.list_objects_v2().bucket(BUCKET).prefix(prefix).into_paginator().send();
                let mut keys = Vec::new();
                while let Some(page) = pages.next().await {
                    let page = page.unwrap();
                    keys.extend(
                        page.contents()
                            .iter()
                            .filter_map(|object| object.key()?.strip_prefix(prefix))
                            .map(str::to_owned),
                    );
                }
                keys
            }
        }
    }

    /// Whether anything is at `key`.
    pub(crate) async fn holds(&self, key: &str) -> bool {
        match self {
            Self::Folder(root) => root.join(key).exists(),
            Self::Bucket { client, prefix } => {
                client.head_object().bucket(BUCKET).key(format!("{prefix}{key}")).send().await.is_ok()
            }
        }
    }

    /// Everything that there is, digested.
    pub(crate) async fn contents(&self) -> BTreeMap<String, Kept> {
        let reading = self.keys().await.into_iter().map(|key| async move {
            let kept = self.read(&key).await;
            (key, kept)
        });
        futures::stream::iter(reading).buffer_unordered(16).collect().await
    }

    async fn read(&self, key: &str) -> Kept {
        let is_document = key.rsplit('.').next() == Some("json") && !key.contains("/objects/");
        let (content, bytes) = match self {
            Self::Folder(root) => {
                let path = root.join(key);
                tokio::task::spawn_blocking(move || read_file(&path, is_document)).await.unwrap()
            }
            Self::Bucket { client, prefix } => {
                let got = client.get_object().bucket(BUCKET).key(format!("{prefix}{key}")).send().await;
                let mut body = got.unwrap_or_else(|error| panic!("{key}: {error:?}")).body;
                let (mut digest, mut bytes) = (Digest::default(), Vec::new());
                while let Some(piece) = body.next().await {
                    let piece = piece.unwrap();
                    digest.update(&piece);
                    if is_document {
                        bytes.extend_from_slice(&piece);
                    }
                }
                (digest.finish(), bytes)
            }
        };
        assert!(!is_document || content.bytes < KEPT_BYTES_MAX, "{key} is no document");
        Kept { content, document: is_document.then_some(bytes) }
    }

    /// How many unfinished uploads or temporary files there are.
    pub(crate) async fn unfinished(&self) -> usize {
        match self {
            Self::Folder(root) => std::fs::read_dir(root.join("_tmp")).map_or(0, Iterator::count),
            Self::Bucket { client, prefix } => {
                let listed = client.list_multipart_uploads().bucket(BUCKET).prefix(prefix).send().await.unwrap();
                listed.uploads().len()
            }
        }
    }

    /// Takes everything away.
    pub(crate) async fn clear(&self) {
        if let Self::Bucket { client, prefix } = self {
            let deleting = self.keys().await.into_iter().map(|key| async move {
                client.delete_object().bucket(BUCKET).key(format!("{prefix}{key}")).send().await.unwrap();
            });
            futures::stream::iter(deleting).buffer_unordered(16).collect::<()>().await;
        }
    }
}

/// Collects the files below `folder`, but for the store's own temporary ones.
fn walk(root: &Path, folder: &Path, keys: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if path != root.join("_tmp") {
                walk(root, &path, keys);
            }
        } else {
            keys.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

fn read_file(path: &Path, keep: bool) -> (Content, Vec<u8>) {
    use std::io::Read;
    let (mut file, mut digest, mut bytes) = (std::fs::File::open(path).unwrap(), Digest::default(), Vec::new());
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let read = file.read(&mut buffer).unwrap();
        if read == 0 {
            return (digest.finish(), bytes);
        }
        digest.update(&buffer[..read]);
        if keep {
            bytes.extend_from_slice(&buffer[..read]);
        }
    }
}
