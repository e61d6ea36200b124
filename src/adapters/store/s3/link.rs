//! Links that open an object for whoever has them, for a while: presigned GETs.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::{Builder, Credentials, ProvideCredentials};
use aws_sdk_s3::presigning::PresigningConfig;
use jiff::Timestamp;

use super::Bucket;
use crate::domain::object_key::Key;
use crate::domain::webhook::body::Link;
use crate::ports::store::StoreError;

impl Bucket {
    /// Signs a link to `key` that opens it for `lasts`, or for as long as our keys are good if that is shorter. Asks the bucket
    /// for nothing.
    pub(super) async fn link(&self, key: &Key, lasts: Duration) -> Result<Link, StoreError> {
        let keys = self.current_keys().await?;
        let now = SystemTime::now();
        let keys_last = keys.expiry().map(|end| end.duration_since(now).unwrap_or_default());
        let lasts = keys_last.map_or(lasts, |keys_last| keys_last.min(lasts)).max(Duration::from_secs(1));
        let refused = |what: String| StoreError::Refused(format!("{} cannot be signed for: {what}", self.uri(key)));
        let options = PresigningConfig::builder().start_time(now).expires_in(lasts).build();
        let options = options.map_err(|error| refused(error.to_string()))?;
        let request = self.client.get_object().bucket(&self.name).key(self.full(key));
        // The very keys whose end we know: the client may hold older ones.
        let signing = request.customize().config_override(Builder::new().credentials_provider(keys)).presigned(options);
        let signed = signing.await.map_err(|error| refused(error.to_string()))?;
        let expires_at = Timestamp::try_from(now + lasts).map_err(|error| refused(error.to_string()))?;
        Ok(Link { url: signed.uri().to_owned(), expires_at })
    }

    async fn current_keys(&self) -> Result<Credentials, StoreError> {
        let Some(provider) = &self.keys else {
            return Err(StoreError::Refused("there are no keys to sign links with".to_owned()));
        };
        let found = provider.provide_credentials().await;
        found.map_err(|error| StoreError::Unavailable(format!("the worker's own keys are not to be had: {error}")))
    }
}
