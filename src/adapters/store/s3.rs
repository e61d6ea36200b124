//! Internal storage in an S3 bucket, or in a server that speaks S3 and honours conditional writes.
//!
//! Every put carries `If-None-Match: *` and a CRC-64/NVME that we computed ourselves, so the bucket takes the first whole copy
//! and nothing else. Facts go into the object's metadata with the same put. Nothing is retried here: see `engine::retry`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio_util::task::TaskTracker;

use self::checksum::Checksum;
use self::errors::{failed, is_absent, is_conflict, is_taken, stream_failed};
use self::upload::S3Upload;
use super::probe::{Probed, probe};
use crate::domain::object_key::Key;
use crate::domain::webhook::body::Link;
use crate::ports::store::{Head, ObjectMeta, ObjectStream, Put, Store, StoreError, Upload};

mod checksum;
mod errors;
mod facts;
mod link;
mod listing;
mod upload;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For one request, the sending of a part's 8 MiB with it: slower lines than 140 kB/s are no use.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a bucket is.
#[derive(Debug, Clone, Default)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with; with or without a slash at its end.
    pub prefix: String,
    /// Its region, if not the one of the environment.
    pub region: Option<String>,
    /// A server that is not Amazon's.
    pub endpoint_url: Option<String>,
    /// `ENDPOINT/BUCKET/KEY` rather than `BUCKET.ENDPOINT/KEY`.
    pub force_path_style: bool,
}

/// A bucket as a store. Clones share one client.
#[derive(Debug, Clone)]
pub struct S3Store {
    bucket: Arc<Bucket>,
}

/// The bucket and what is known of it, shared with uploads.
#[derive(Debug)]
struct Bucket {
    client: Client,
    name: String,
    /// Empty, or with one slash at its end.
    prefix: String,
    /// Uploads that were dropped and are being thrown away.
    aborts: TaskTracker,
    /// What links are signed with.
    keys: Option<SharedCredentialsProvider>,
}

impl S3Store {
    /// A store with the credentials, region and HTTP client that `shared` holds: what `aws_config` found in the environment.
    /// Nothing is asked of the bucket yet.
    #[must_use]
    pub fn new(shared: &SdkConfig, options: S3Options) -> Self {
        Self::built(Builder::from(shared), shared.credentials_provider(), options)
    }

    /// A store with keys of its own, for servers that are not Amazon's.
    #[must_use]
    pub fn with_keys(options: S3Options, access_key_id: &str, secret_access_key: &str) -> Self {
        let keys = Credentials::new(access_key_id, secret_access_key, None, None, "longshore");
        let keys = SharedCredentialsProvider::new(keys);
        let builder = Builder::new().credentials_provider(keys.clone()).region(Region::new("us-east-1"));
        Self::built(builder, Some(keys), options)
    }

    fn built(builder: Builder, keys: Option<SharedCredentialsProvider>, options: S3Options) -> Self {
        let timeouts =
            TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT);
        let mut builder = builder
            .behavior_version(BehaviorVersion::v2026_01_12())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build())
            .force_path_style(options.force_path_style);
        if let Some(region) = options.region {
            builder = builder.region(Region::new(region));
        }
        if let Some(endpoint_url) = options.endpoint_url {
            builder = builder.endpoint_url(endpoint_url);
        }
        let prefix = options.prefix.trim_matches('/');
        let bucket = Bucket {
            client: Client::from_conf(builder.build()),
            name: options.bucket,
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            aborts: TaskTracker::new(),
            keys,
        };
        Self { bucket: Arc::new(bucket) }
    }

    /// Waits until the uploads that were dropped have been thrown away, each after a minute and a half at most. For the end of
    /// a process; the store must not be used afterwards.
    pub async fn close(&self) {
        self.bucket.aborts.close();
        self.bucket.aborts.wait().await;
    }
}

impl Bucket {
    fn full(&self, key: &Key) -> String {
        format!("{}{key}", self.prefix)
    }

    fn uri(&self, key: &Key) -> String {
        format!("s3://{}/{}{key}", self.name, self.prefix)
    }

    async fn put_if_absent(
        &self, key: &Key, content: Bytes, media_type: &str, facts: Option<String>,
    ) -> Result<Put, StoreError> {
        let request = self.client.put_object().bucket(&self.name).key(self.full(key));
        let sent = request
            .if_none_match("*")
            .content_type(media_type)
            .set_metadata(facts.map(facts::metadata))
            .checksum_crc64_nvme(Checksum::of(&content).to_header())
            .body(content.into())
            .customize()
            // The checksum is signed and the payload checked against it: a second digest would say nothing more.
            .disable_payload_signing()
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Put::Stored),
            Err(error) if is_taken(&error) => Ok(Put::Exists),
            // Another write of the key is under way. Who wins is not known yet.
            Err(error) if is_conflict(&error) => match self.head(key).await? {
                Some(_) => Ok(Put::Exists),
                None => Err(failed("PutObject", &self.uri(key), &error)),
            },
            Err(error) => Err(failed("PutObject", &self.uri(key), &error)),
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        let request = self.client.head_object().bucket(&self.name).key(self.full(key));
        match request.send().await {
            Ok(found) => Ok(Some(Head {
                bytes: u64::try_from(found.content_length().unwrap_or(0)).unwrap_or(0),
                facts: found.metadata().and_then(facts::kept),
            })),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed("HeadObject", &self.uri(key), &error)),
        }
    }

    async fn open(&self, key: &Key) -> Result<Option<GetObjectOutput>, StoreError> {
        let request = self.client.get_object().bucket(&self.name).key(self.full(key));
        match request.send().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed("GetObject", &self.uri(key), &error)),
        }
    }
}

#[async_trait]
impl Store for S3Store {
    fn keeps_facts(&self) -> bool {
        true
    }

    async fn put_if_absent(&self, key: &Key, content: Bytes, meta: ObjectMeta<'_>) -> Result<Put, StoreError> {
        let facts = meta.facts.map(facts::encoded);
        self.bucket.put_if_absent(key, content, meta.media_type, facts).await
    }

    async fn begin(&self, key: &Key, meta: ObjectMeta<'_>) -> Result<Box<dyn Upload>, StoreError> {
        let upload = S3Upload::begin(Arc::clone(&self.bucket), key, meta).await?;
        Ok(Box::new(upload))
    }

    async fn head(&self, key: &Key) -> Result<Option<Head>, StoreError> {
        self.bucket.head(key).await
    }

    async fn find(&self, stem: &Key) -> Result<Option<Key>, StoreError> {
        self.bucket.find(stem).await
    }

    async fn read(&self, key: &Key) -> Result<Option<ObjectStream>, StoreError> {
        let Some(found) = self.bucket.open(key).await? else {
            return Ok(None);
        };
        let uri = self.bucket.uri(key);
        let pieces = futures::stream::unfold(Some(found.body), move |body| {
            let uri = uri.clone();
            async move {
                let mut body = body?;
                match body.next().await? {
                    Ok(piece) => Some((Ok(piece), Some(body))),
                    Err(error) => Some((Err(stream_failed(&uri, &error)), None)),
                }
            }
        });
        Ok(Some(pieces.boxed()))
    }

    async fn get(&self, key: &Key, bytes_max: usize) -> Result<Option<Bytes>, StoreError> {
        let Some(found) = self.bucket.open(key).await? else {
            return Ok(None);
        };
        let (uri, mut body, mut content) = (self.bucket.uri(key), found.body, BytesMut::new());
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| stream_failed(&uri, &error))?;
            if content.len() + piece.len() > bytes_max {
                return Err(StoreError::Corrupt(format!(
                    "{uri} is larger than the {bytes_max} bytes that are allowed"
                )));
            }
            content.extend_from_slice(&piece);
        }
        Ok(Some(content.freeze()))
    }

    async fn overwrite(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        let bucket = &self.bucket;
        let request = bucket.client.put_object().bucket(&bucket.name).key(bucket.full(key));
        let sent = request
            .content_type("application/json")
            .checksum_crc64_nvme(Checksum::of(&content).to_header())
            .body(content.into())
            .customize()
            .disable_payload_signing()
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => Err(failed("PutObject", &bucket.uri(key), &error)),
        }
    }

    async fn list(&self, folder: &Key, after: Option<&Key>, limit: usize) -> Result<Vec<Key>, StoreError> {
        self.bucket.list(folder, after, limit).await
    }

    fn uri(&self, key: &Key) -> String {
        self.bucket.uri(key)
    }

    async fn link(&self, key: &Key, lasts: Duration) -> Result<Option<Link>, StoreError> {
        self.bucket.link(key, lasts).await.map(Some)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        probe(self).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        let request = self.bucket.client.head_bucket().bucket(&self.bucket.name);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_absent(&error) => Err(StoreError::Refused(format!(
                "there is no bucket {} (create it, or name another in store.url)",
                self.bucket.name
            ))),
            Err(error) => Err(failed("HeadBucket", &self.bucket.name, &error)),
        }
    }
}

#[async_trait]
impl Probed for S3Store {
    async fn remove(&self, key: &Key) -> Result<(), StoreError> {
        let bucket = &self.bucket;
        let request = bucket.client.delete_object().bucket(&bucket.name).key(bucket.full(key));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(failed("DeleteObject", &bucket.uri(key), &error)),
        }
    }
}
