//! An object that is sent part by part and appears when S3 has put the parts together and agrees on the whole's checksum.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::Bucket;
use super::checksum::Checksum;
use super::errors::{failed, is_conflict, is_corrupt, is_taken, is_upload_gone};
use super::facts;
use crate::domain::object_key::Key;
use crate::ports::store::{ObjectMeta, Put, StoreError, Upload};

/// S3 takes its time to put thousands of parts together.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(300);

const ABORT_TRIES: u32 = 3;
const ABORT_TIMEOUT: Duration = Duration::from_secs(30);

/// S3's own bound: with parts of 8 MiB it is reached at 80 GB.
const PARTS_MAX: usize = 10_000;

/// One upload. Dropped before its end, it is thrown away by a task of the store.
pub(super) struct S3Upload {
    bucket: Arc<Bucket>,
    key: Key,
    media_type: String,
    facts: Option<String>,
    /// None once it is finished or thrown away.
    id: Option<String>,
    parts: Vec<CompletedPart>,
    whole: Checksum,
}

impl S3Upload {
    /// If the future is dropped, the upload may have been opened and is left to the bucket's own rules.
    pub(super) async fn begin(bucket: Arc<Bucket>, key: &Key, meta: ObjectMeta<'_>) -> Result<Self, StoreError> {
        let facts = meta.facts.map(facts::encoded);
        let request = bucket.client.create_multipart_upload().bucket(&bucket.name).key(bucket.full(key));
        let sent = request
            .content_type(meta.media_type)
            .set_metadata(facts.clone().map(facts::metadata))
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject)
            .send()
            .await;
        let created = sent.map_err(|error| failed("CreateMultipartUpload", &bucket.uri(key), &error))?;
        let Some(id) = created.upload_id else {
            return Err(StoreError::Corrupt("CreateMultipartUpload was answered without an id".to_owned()));
        };
        let (media_type, whole) = (meta.media_type.to_owned(), Checksum::of(b""));
        Ok(Self { bucket, key: key.clone(), media_type, facts, id: Some(id), parts: Vec::new(), whole })
    }

    async fn send(&self, id: &str, number: i32, content: Bytes, sum: Checksum) -> Result<CompletedPart, StoreError> {
        let bucket = &self.bucket;
        let request = bucket.client.upload_part().bucket(&bucket.name).key(bucket.full(&self.key));
        let sent = request
            .upload_id(id)
            .part_number(number)
            .checksum_crc64_nvme(sum.to_header())
            .body(content.into())
            .customize()
            .disable_payload_signing()
            .send()
            .await;
        let part = sent.map_err(|error| {
            let lost = is_upload_gone(&error);
            let failed = failed("UploadPart", &bucket.uri(&self.key), &error);
            // No try of this upload will ever succeed: the copy has to begin anew.
            if lost { StoreError::Corrupt(failed.to_string()) } else { failed }
        })?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
        Ok(part.checksum_crc64_nvme(sum.to_header()).build())
    }

    async fn complete(&self, id: &str) -> Result<Put, StoreError> {
        let bucket = &self.bucket;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        let request = bucket.client.complete_multipart_upload().bucket(&bucket.name).key(bucket.full(&self.key));
        let patient = TimeoutConfig::builder().operation_attempt_timeout(COMPLETE_TIMEOUT).build();
        let sent = request
            .upload_id(id)
            .multipart_upload(parts)
            .if_none_match("*")
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc64_nvme(self.whole.to_header())
            .mpu_object_size(i64::try_from(self.whole.bytes()).expect("S3 objects end at 50 TB"))
            .customize()
            .config_override(Config::builder().timeout_config(patient))
            .send()
            .await;
        let Err(error) = sent else {
            return Ok(Put::Stored);
        };
        if is_taken(&error) {
            return Ok(Put::Exists);
        }
        // An upload that is gone may be our own, finished by a try whose answer was lost; a conflict may be lost to another.
        if (is_conflict(&error) || is_upload_gone(&error)) && bucket.head(&self.key).await?.is_some() {
            return Ok(Put::Exists);
        }
        let uri = bucket.uri(&self.key);
        match failed("CompleteMultipartUpload", &uri, &error) {
            StoreError::Unavailable(said) if is_corrupt(&error) => Err(StoreError::Corrupt(said)),
            // Nothing of this upload can be finished any more: the copy has to begin anew.
            failed if is_conflict(&error) || is_upload_gone(&error) => Err(StoreError::Corrupt(failed.to_string())),
            error => Err(error),
        }
    }

    /// S3 knows no upload without parts: an empty object is put instead.
    async fn put_empty(&self) -> Result<Put, StoreError> {
        let facts = self.facts.clone();
        self.bucket.put_if_absent(&self.key, Bytes::new(), &self.media_type, facts).await
    }

    fn ended(&self) -> StoreError {
        StoreError::Corrupt(format!("the upload to {} was thrown away", self.bucket.uri(&self.key)))
    }
}

#[async_trait]
impl Upload for S3Upload {
    async fn part(&mut self, content: Bytes) -> Result<(), StoreError> {
        let Some(id) = self.id.clone() else {
            return Err(self.ended());
        };
        if content.is_empty() {
            return Ok(());
        }
        if self.parts.len() == PARTS_MAX {
            let uri = self.bucket.uri(&self.key);
            return Err(StoreError::Corrupt(format!(
                "S3 takes {PARTS_MAX} parts, and {uri} has more: send larger ones"
            )));
        }
        let number = i32::try_from(self.parts.len() + 1).expect("there are 10,000 parts at most");
        let sum = Checksum::of(&content);
        let part = self.send(&id, number, content, sum).await?;
        self.parts.push(part);
        self.whole = self.whole.then(sum);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Put, StoreError> {
        let Some(id) = self.id.clone() else {
            return match self.bucket.head(&self.key).await? {
                Some(_) => Ok(Put::Exists),
                None => Err(self.ended()),
            };
        };
        if self.parts.is_empty() {
            let put = self.put_empty().await?;
            self.abort().await;
            return Ok(put);
        }
        match self.complete(&id).await? {
            Put::Stored => {
                self.id = None;
                Ok(Put::Stored)
            }
            Put::Exists => {
                self.abort().await;
                Ok(Put::Exists)
            }
        }
    }

    async fn abort(&mut self) {
        if let Some(id) = &self.id {
            // Still ours while we wait: if this future is dropped, the store's task goes on.
            abort(&self.bucket.client, &self.bucket.name, &self.bucket.full(&self.key), id).await;
            self.id = None;
        }
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        let id = self.id.take();
        // Without a runtime the process is ending, and the bucket's own rules must do.
        if let (Some(id), Ok(runtime)) = (id, tokio::runtime::Handle::try_current()) {
            let (bucket, key) = (Arc::clone(&self.bucket), self.bucket.full(&self.key));
            let aborts = bucket.aborts.clone();
            aborts.spawn_on(async move { abort(&bucket.client, &bucket.name, &key, &id).await }, &runtime);
        }
    }
}

async fn abort(client: &Client, bucket: &str, key: &str, id: &str) {
    for left in (0..ABORT_TRIES).rev() {
        let request = client.abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
        let error = match tokio::time::timeout(ABORT_TIMEOUT, request.send()).await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) if is_upload_gone(&error) => return,
            Ok(Err(error)) => failed("AbortMultipartUpload", key, &error).to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if left == 0 {
            tracing::warn!(key, "parts of an upload to {key} stay until the bucket's own rule removes them: {error}");
        } else {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
