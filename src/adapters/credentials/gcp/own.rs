//! The worker's own identity, found as Google's libraries find it, and its tokens, kept.
//!
//! The file that the environment names, and nothing else if it names one; else the file of a person who logged in with
//! `gcloud`; else the machine's metadata server. Files are read anew for each token, since they may have been replaced. That
//! the identity is missing or refused is the operator's to put right, so it is said in the log, and attachments wait.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tracing::{error, info};

use super::exchange::{self, Scope};
use super::file::{self, Identity};
use super::{GcpOptions, is_same};
use crate::adapters::credentials::kept::{Fresh, Kept};
use crate::domain::fault::{AttachmentFault, Code};
use crate::ports::credentials::GcpToken;
use crate::ports::token_service::TokenService;

/// Where Google's machines find their metadata server.
const METADATA_HOST: &str = "169.254.169.254";

/// The worker's own identity.
pub(super) struct Own {
    options: GcpOptions,
    service: Arc<dyn TokenService>,
    storage: Kept<GcpToken>,
    iam: Kept<GcpToken>,
    is_missing: AtomicBool,
}

impl Own {
    pub(super) fn new(options: GcpOptions, service: Arc<dyn TokenService>) -> Self {
        Self { options, service, storage: Kept::default(), iam: Kept::default(), is_missing: AtomicBool::new(false) }
    }

    /// Returns a token of the worker's own.
    ///
    /// # Errors
    /// `unavailable` while there is none.
    pub(super) async fn token(&self, scope: Scope) -> Result<Arc<GcpToken>, AttachmentFault> {
        self.kept(scope).keys(|| self.fetch(scope)).await
    }

    pub(super) async fn drop_if(&self, scope: Scope, token: &GcpToken) {
        self.kept(scope).drop_if(|kept| is_same(kept, token)).await;
    }

    /// Says once, until there is a good one again, that the worker's own identity is none.
    pub(super) fn say_missing(&self, why: &str) -> AttachmentFault {
        if !self.is_missing.swap(true, Relaxed) {
            error!("the worker's own Google identity cannot be used: {why}");
        }
        let message = "the worker's own Google identity cannot be used at present";
        AttachmentFault::new(Code::Unavailable, message)
    }

    /// Says that it is there again, if it was missed.
    pub(super) fn say_there(&self) {
        if self.is_missing.swap(false, Relaxed) {
            info!("the worker's own Google identity is there again");
        }
    }

    fn kept(&self, scope: Scope) -> &Kept<GcpToken> {
        match scope {
            Scope::Storage => &self.storage,
            Scope::Iam => &self.iam,
        }
    }

    async fn fetch(&self, scope: Scope) -> Result<Fresh<GcpToken>, AttachmentFault> {
        let fetched = self.find(scope).await;
        let fresh = fetched.map_err(|why| self.say_missing(&why))?;
        // A token for impersonation has yet to show that it is taken.
        if scope == Scope::Storage {
            self.say_there();
        }
        Ok(fresh)
    }

    async fn find(&self, scope: Scope) -> Result<Fresh<GcpToken>, String> {
        let (service, token_url) = (self.service.as_ref(), self.options.token_url.as_ref());
        let Some((name, text)) = self.file().await? else {
            let host = self.options.metadata_host.as_deref().unwrap_or(METADATA_HOST);
            let found = exchange::with_metadata(service, host, scope).await;
            return found.map_err(|why| format!("no file is named, and the metadata server gives none: {why}"));
        };
        let identity = file::read(&text).map_err(|problem| format!("{name} {problem}"))?;
        match identity {
            Identity::Key(key) => exchange::with_key(service, key, token_url, scope).await,
            Identity::User(user) => exchange::with_refresh_token(service, &user, token_url).await,
            Identity::External(external) => exchange::with_federation(service, &external, token_url, scope).await,
        }
        .map_err(|why| format!("{name}: {why}"))
    }

    /// The file that says who the worker is, and what to call it; none where there is none.
    async fn file(&self) -> Result<Option<(&'static str, Vec<u8>)>, String> {
        if let Some(path) = &self.options.credentials_file {
            let name = "the file of GOOGLE_APPLICATION_CREDENTIALS";
            return Ok(Some((name, exchange::read_file(path, name).await?)));
        }
        let Some(path) = &self.options.well_known_file else {
            return Ok(None);
        };
        let name = "gcloud's application_default_credentials.json";
        match tokio::fs::try_exists(path).await {
            Ok(false) => Ok(None),
            Ok(true) | Err(_) => Ok(Some((name, exchange::read_file(path, name).await?))),
        }
    }
}
