//! The worker's own identity, found by AWS's standard chain and kept.
//!
//! That it is missing or has ended is the operator's to put right, so it is said in the log, and attachments wait.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tracing::{error, info};

use super::is_same;
use crate::adapters::credentials::kept::{Fresh, Kept};
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::credentials::AwsKeys;

/// How long keys are kept that name no end: their file may change.
const KEEP_ENDLESS: Duration = Duration::from_secs(15 * 60);
/// How long the chain may take; on EC2 it asks the machine's own agent, elsewhere nobody answers there.
const CHAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The worker's own identity.
pub(super) struct Own {
    provider: Option<SharedCredentialsProvider>,
    kept: Kept<AwsKeys>,
    is_missing: AtomicBool,
}

impl Own {
    pub(super) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self { provider, kept: Kept::default(), is_missing: AtomicBool::new(false) }
    }

    /// Returns the worker's own keys.
    ///
    /// # Errors
    /// `unavailable` while there are none.
    pub(super) async fn keys(&self) -> Result<Arc<AwsKeys>, AttachmentFault> {
        self.kept.keys(|| self.fetch()).await
    }

    pub(super) async fn drop_if(&self, keys: &AwsKeys) {
        self.kept.drop_if(|kept| is_same(kept, keys)).await;
    }

    /// Says once, until there are good ones again, that the worker's own keys are none.
    pub(super) fn say_missing(&self, why: &str) -> AttachmentFault {
        if !self.is_missing.swap(true, Relaxed) {
            error!("the worker's own AWS identity cannot be used: {why}");
        }
        let message = "the worker's own AWS identity cannot be used at present";
        AttachmentFault::new(Code::Unavailable, message)
    }

    async fn fetch(&self) -> Result<Fresh<AwsKeys>, AttachmentFault> {
        let Some(provider) = &self.provider else {
            return Err(self.say_missing("the AWS environment names none"));
        };
        let found = timeout(CHAIN_TIMEOUT, provider.provide_credentials()).await;
        let found = found.map_err(|_| self.say_missing("finding it took too long"))?;
        let credentials = found.map_err(|error| self.say_missing(kind(&error)))?;
        let now = SystemTime::now();
        let left = credentials.expiry().map(|end| end.duration_since(now).unwrap_or_default());
        if left == Some(Duration::ZERO) {
            return Err(self.say_missing("it has ended"));
        }
        if self.is_missing.swap(false, Relaxed) {
            info!("the worker's own AWS identity is there again");
        }
        Ok(Fresh { keys: keys_of(&credentials), life: left.unwrap_or(KEEP_ENDLESS) })
    }
}

/// What the chain met, in words that hold no value of the environment.
fn kind(error: &CredentialsError) -> &'static str {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => "environment, profile, web identity, ECS and EC2 give none",
        CredentialsError::ProviderTimedOut(_) => "finding it took too long",
        CredentialsError::InvalidConfiguration(_) => "the AWS environment or profile is not understood",
        CredentialsError::ProviderError(_) => "the service that gives it answers with an error",
        // A foreign enum that may grow.
        _ => "it was not found",
    }
}

/// Our own type for the SDK's.
pub(super) fn keys_of(credentials: &Credentials) -> AwsKeys {
    AwsKeys {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: credentials.secret_access_key().into(),
        session_token: credentials.session_token().map(Into::into),
    }
}

/// Lets the SDK sign with the same keys.
#[derive(Clone)]
pub(super) struct OwnProvider(pub(super) Arc<Own>);

impl std::fmt::Debug for OwnProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnProvider")
    }
}

impl ProvideCredentials for OwnProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            let keys = self.0.keys().await.map_err(CredentialsError::not_loaded)?;
            let token = keys.session_token.as_ref().map(|token| token.expose_secret().to_owned());
            let secret = keys.secret_access_key.expose_secret();
            Ok(Credentials::new(&keys.access_key_id, secret, token, None, "longshore"))
        })
    }
}
