//! Tokens for Google Cloud: those of a team's service account, impersonated, or the worker's own where the grant says so.
//! There is no fall-back from one to the other: an account that refuses us is a refusal.
//!
//! A team's tokens may read Cloud Storage and nothing else, and are kept for team, account and uid: a team whose record
//! changes asks with another name and gets others. They are renewed before they end, by one caller, while the others go on with
//! the old ones; failures are remembered for some seconds. The worker's own identity is found as Google's libraries find
//! it: [`own`]. Read [`super::kept`] next.

mod exchange;
mod file;
mod impersonate;
mod jwt;
mod own;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;
use secrecy::ExposeSecret;
use tracing::info;
use url::Url;

use self::exchange::Scope;
use self::impersonate::Impersonate;
use self::own::Own;
use super::kept::Kept;
use crate::domain::access::Grant;
use crate::domain::access::gcp::GcpAccount;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::ports::credentials::{GcpCredentials, GcpToken, GcpUse};
use crate::ports::token_service::TokenService;

/// Accounts whose tokens are kept at most; one that falls out is impersonated again.
const ACCOUNTS_MAX: u64 = 10_000;
/// How long a token is kept that nobody asks for.
const KEEP_IDLE: Duration = Duration::from_secs(2 * 60 * 60);
/// How often the use of the worker's own identity is said again, for each team.
const SAY_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What the operator's environment and settings say of Google identities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcpOptions {
    /// The file that `GOOGLE_APPLICATION_CREDENTIALS` names: if it is set, nothing else is looked at.
    pub credentials_file: Option<PathBuf>,
    /// Where `gcloud` puts the file of a person who logged in; it need not be there.
    pub well_known_file: Option<PathBuf>,
    /// The metadata server's host, with its port if need be; not set: the usual address.
    pub metadata_host: Option<String>,
    /// IAM Credentials elsewhere: emulators, private endpoints.
    pub iam_endpoint_url: Option<Url>,
    /// Where credentials are exchanged for tokens, in place of what their file names.
    pub token_url: Option<Url>,
}

/// Gives tokens for Google's grants.
pub struct GcpIdentities {
    own: Arc<Own>,
    impersonate: Impersonate,
    accounts: Cache<AccountName, Arc<Kept<GcpToken>>>,
    said: Cache<TeamId, ()>,
}

/// What tells tokens apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AccountName {
    team: TeamId,
    service_account: String,
    uid: String,
}

impl GcpIdentities {
    /// Identities that are asked for by `service`; neither asks nor reads anything yet.
    #[must_use]
    pub fn new(options: GcpOptions, service: Arc<dyn TokenService>) -> Self {
        let endpoint = options.iam_endpoint_url.clone();
        let own = Arc::new(Own::new(options, Arc::clone(&service)));
        Self {
            impersonate: Impersonate::new(endpoint, service, Arc::clone(&own)),
            own,
            accounts: Cache::builder().max_capacity(ACCOUNTS_MAX).time_to_idle(KEEP_IDLE).build(),
            said: Cache::builder().max_capacity(ACCOUNTS_MAX).time_to_live(SAY_AGAIN).build(),
        }
    }

    async fn kept(&self, team: &TeamId, account: &GcpAccount) -> Arc<Kept<GcpToken>> {
        let GcpAccount { service_account, uid, user_project: _ } = account.clone();
        let name = AccountName { team: team.clone(), service_account, uid };
        self.accounts.get_with(name, async { Arc::default() }).await
    }

    /// Says, now and then, that a customer's buckets are read with the worker's own identity.
    async fn say(&self, team: &TeamId) {
        if self.said.entry(team.clone()).or_insert(()).await.is_fresh() {
            info!(%team, "reading Google buckets that team {team} lists with the worker's own service account");
        }
    }
}

#[async_trait]
impl GcpCredentials for GcpIdentities {
    async fn token(&self, wanted: GcpUse<'_>) -> Result<Arc<GcpToken>, AttachmentFault> {
        match wanted.grant {
            Grant::GcpAccount(account) => {
                let kept = self.kept(wanted.team, account).await;
                kept.keys(|| self.impersonate.token(&account.service_account)).await
            }
            Grant::GcpOwn => {
                self.say(wanted.team).await;
                self.own.token(Scope::Storage).await
            }
            Grant::None | Grant::AwsRole(_) | Grant::AwsOwn(_) | Grant::AzureTenant(_) => {
                let message = "no grant of the team is one of Google's";
                Err(AttachmentFault::new(Code::IntegrationMissing, message))
            }
        }
    }

    async fn refused(&self, wanted: GcpUse<'_>, token: &GcpToken) {
        match wanted.grant {
            Grant::GcpAccount(account) => {
                self.kept(wanted.team, account).await.drop_if(|kept| is_same(kept, token)).await;
            }
            Grant::GcpOwn => self.own.drop_if(Scope::Storage, token).await,
            Grant::None | Grant::AwsRole(_) | Grant::AwsOwn(_) | Grant::AzureTenant(_) => {}
        }
    }

    async fn forget(&self, team: &TeamId) {
        let names: Vec<_> = self.accounts.iter().map(|(name, _)| name).filter(|name| name.team == *team).collect();
        for name in names {
            self.accounts.invalidate(name.as_ref()).await;
        }
    }
}

/// Whether two tokens are one.
fn is_same(kept: &GcpToken, token: &GcpToken) -> bool {
    kept.0.expose_secret() == token.0.expose_secret()
}

#[cfg(test)]
#[path = "gcp_tests.rs"]
mod tests;
