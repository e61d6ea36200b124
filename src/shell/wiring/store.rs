//! Opens internal storage.

use std::sync::Arc;

use super::Trouble;
use crate::adapters::store::file::FileStore;
use crate::adapters::store::s3::{S3Options, S3Store};
use crate::ports::store::{Store, StoreError};
use crate::shell::config::{Config, StoreUrl};
use crate::shell::exit::Failure;

/// Internal storage, and what is to be done when the process ends.
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn Store>,
    s3: Option<S3Store>,
}

impl OpenStore {
    /// Waits until uploads that were dropped have been thrown away; the store is not used afterwards.
    pub async fn close(&self) {
        if let Some(s3) = &self.s3 {
            s3.close().await;
        }
    }
}

/// Opens the store and proves that it honours conditions.
///
/// # Errors
/// `ForGood` for a store that refuses us or overwrites what is there.
pub async fn store(config: &Config) -> Result<OpenStore, Trouble> {
    let opened = store_unproven(config).await?;
    opened.store.probe().await.map_err(shown)?;
    Ok(opened)
}

fn shown(error: StoreError) -> Trouble {
    let line = format!("store.url: {error}");
    match error {
        StoreError::Unavailable(_) => Trouble::ForNow(format!("{line}; is it running, and is the address right?")),
        StoreError::Refused(_) | StoreError::Corrupt(_) => {
            Trouble::ForGood(Failure::bad_input(format!("{line}; change store.url, or the store's settings")))
        }
    }
}

/// Opens the store for whoever copies nothing into it: no document is written to see what it does.
///
/// # Errors
/// As [`store`].
pub async fn store_unproven(config: &Config) -> Result<OpenStore, Trouble> {
    let (store, s3): (Arc<dyn Store>, _) = match &config.store.url {
        StoreUrl::File { path } => (Arc::new(FileStore::open(path).await.map_err(shown)?), None),
        StoreUrl::S3 { bucket, prefix } => {
            let store = s3_store(config, bucket, prefix).await;
            (Arc::new(store.clone()), Some(store))
        }
    };
    Ok(OpenStore { store, s3 })
}

async fn s3_store(config: &Config, bucket: &str, prefix: &str) -> S3Store {
    let mut loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12());
    let region = config.store.region.clone().or_else(|| config.aws.region.clone());
    if let Some(region) = region.clone() {
        loader = loader.region(aws_config::Region::new(region));
    }
    let endpoint_url = config.store.endpoint_url.as_ref().map(|url| url.expose().to_string());
    let options = S3Options {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region,
        force_path_style: config.store.force_path_style || endpoint_url.is_some(),
        endpoint_url,
    };
    S3Store::new(&loader.load().await, options)
}
