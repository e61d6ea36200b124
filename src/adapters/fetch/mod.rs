//! Opens sources: http(s) URLs, objects in S3 and Google Cloud Storage, Azure's blobs, files of this machine, texts; and posts
//! webhooks and asks token services with the same client.
//!
//! [`Sources`] picks by kind. Start with [`http`]; [`address_guard`] is what stands between a stranger's URL and our network.

pub mod address_guard;
mod answer;
pub mod azure_blob;
mod body;
mod client;
mod connect;
mod decode;
pub mod file;
pub mod gcs;
pub mod http;
mod http_options;
pub mod lazy;
mod object_path;
mod part;
pub mod resolve;
pub mod s3;
pub mod service;
pub mod text;
pub mod token_service;
mod trouble;
mod user_info;
mod way_out;
pub mod webhook;
mod wire;
mod worded;

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::source::Source;
use crate::ports::fetcher::{FetchRequest, Fetched, Fetcher};

pub use client::{ClientError, system_roots};
pub use http_options::HttpOptions;
pub use way_out::{EgressProxy, WayOut};

/// Opens each source with the fetcher of its kind.
#[derive(Clone)]
pub struct Sources {
    /// Opens http(s) URLs.
    pub http: Arc<dyn Fetcher>,
    /// Opens files.
    pub file: Arc<dyn Fetcher>,
    /// Opens texts.
    pub text: Arc<dyn Fetcher>,
    /// Opens objects in S3; without it none are.
    pub s3: Option<Arc<dyn Fetcher>>,
    /// Opens objects in Google Cloud Storage; without it none are.
    pub gcs: Option<Arc<dyn Fetcher>>,
    /// Opens blobs in Azure Storage; without it none are.
    pub azure: Option<Arc<dyn Fetcher>>,
}

#[async_trait]
impl Fetcher for Sources {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        match &request.source {
            Source::Http(_) => self.http.open(request).await,
            Source::File(_) => self.file.open(request).await,
            Source::Text(_) => self.text.open(request).await,
            Source::S3 { .. } => match &self.s3 {
                Some(s3) => s3.open(request).await,
                None => Err(not_read("S3")),
            },
            Source::Gcs { .. } => match &self.gcs {
                Some(gcs) => gcs.open(request).await,
                None => Err(not_read("Google Cloud Storage")),
            },
            Source::AzureBlob(_) => match &self.azure {
                Some(azure) => azure.open(request).await,
                None => Err(not_read("Azure Storage")),
            },
        }
    }

    async fn forget(&self, team: &TeamId) {
        for cloud in [&self.s3, &self.gcs, &self.azure].into_iter().flatten() {
            cloud.forget(team).await;
        }
    }
}

fn not_read(cloud: &str) -> AttachmentFault {
    let message = format!("{cloud} is not read here");
    AttachmentFault::new(Code::IntegrationMissing, message)
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::file::{FileFetcher, FileOptions};
    use super::http::HttpFetcher;
    use super::text::TextFetcher;
    use super::*;
    use crate::domain::team::{KnownTeam, Team};
    use crate::ports::budget::Unlimited;
    use crate::ports::fetcher::Want;

    fn sources() -> Sources {
        let nothing = FileOptions { roots: vec![], per_team: true, excluded: vec![], bytes_max: 1 };
        Sources {
            http: Arc::new(HttpFetcher::new(HttpOptions::default(), Arc::new(Unlimited)).unwrap()),
            file: Arc::new(FileFetcher::new(nothing)),
            text: Arc::new(TextFetcher),
            s3: None,
            gcs: None,
            azure: None,
        }
    }

    async fn open(source: Source, want: Want) -> Result<Fetched, Code> {
        let id = TeamId::new("acme").unwrap();
        let team = Arc::new(KnownTeam { id, record: Team::default() });
        let opened =
            sources().open(FetchRequest { team, source, grant: crate::domain::access::Grant::None, want }).await;
        opened.map_err(|fault| fault.code)
    }

    #[tokio::test]
    async fn each_kind_of_source_has_its_fetcher_or_none_yet() {
        for (url, code) in [
            ("http://127.0.0.1/", Code::BlockedAddress),
            ("file:///etc/passwd", Code::UnsupportedScheme),
            ("s3://bucket/key", Code::IntegrationMissing),
            ("gs://bucket/key", Code::IntegrationMissing),
        ] {
            let opened = open(Source::parse(url).unwrap(), Want::Body).await;
            assert_eq!(opened.unwrap_err(), code, "{url}");
        }
    }

    #[tokio::test]
    async fn a_text_is_its_own_content() {
        let text = Source::Text("tomato".into());
        let fetched = open(text.clone(), Want::Body).await.unwrap();
        assert_eq!((fetched.length, fetched.resumable), (Some(6), false));
        assert_eq!(fetched.body.try_collect::<Vec<_>>().await.unwrap().concat(), b"tomato");
        let head = open(text, Want::Head).await.unwrap();
        assert!(head.body.try_collect::<Vec<_>>().await.unwrap().is_empty());
    }
}
