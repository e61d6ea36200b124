//! Gives an attachment that is its own content.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};

use crate::domain::facts::SourceVersion;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::source::Source;
use crate::ports::fetcher::{Announced, FetchRequest, Fetched, Fetcher, Want};

/// Opens texts that came with their task.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextFetcher;

#[async_trait]
impl Fetcher for TextFetcher {
    async fn open(&self, request: FetchRequest) -> Result<Fetched, AttachmentFault> {
        let Source::Text(text) = request.source else {
            return Err(AttachmentFault::new(Code::UnsupportedScheme, "only texts are opened here"));
        };
        let length = text.len() as u64;
        let body = match request.want {
            Want::Body => stream::iter([Ok(Bytes::from(text))]).boxed(),
            Want::Head => stream::empty().boxed(),
            Want::Rest { .. } => {
                return Err(AttachmentFault::new(Code::Truncated, "texts give no ranges"));
            }
        };
        Ok(Fetched {
            version: SourceVersion::default(),
            length: Some(length),
            resumable: false,
            announced: Announced::default(),
            hops: Vec::new(),
            body,
        })
    }
}
