//! Tokens for Azure Storage: those of one multi-tenant application, each from the tenant that the grant names and no other.
//!
//! Tokens are kept for team and tenant: a team whose record changes asks with another name and gets others, and
//! the old ones are dropped. They are renewed
//! before they end, by one caller, while the others go on with the old ones; failures are remembered for some seconds. That
//! our own application is refused is the operator's to put right: it is said in the log, and attachments wait. Read
//! [`entra`] next, for what the token service's answers mean.

mod assertion;
mod entra;
mod proof;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;
use secrecy::{ExposeSecret, SecretString};
use tracing::{error, info};
use url::Url;

use self::entra::Trouble;
use super::kept::{Fresh, Kept};
use crate::domain::access::Grant;
use crate::domain::access::azure::AzureTenant;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::ports::credentials::{AzureCredentials, AzureToken, AzureUse};
use crate::ports::token_service::{TokenBody, TokenRequest, TokenService};

pub use self::proof::Proof;

/// What the token is for: everything that the application may do in Azure Storage. The same in every Azure cloud.
const SCOPE: &str = "https://storage.azure.com/.default";
/// Tenants whose tokens are kept at most; one that falls out is asked again.
const TENANTS_MAX: u64 = 10_000;
/// How long a token is kept that nobody asks for.
const KEEP_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// The operator's application.
#[derive(Debug, Clone)]
pub struct AzureOptions {
    /// Its id; not set: there is none, and no token is to be had.
    pub client_id: Option<String>,
    /// By what it proves itself.
    pub proof: Option<Proof>,
    /// Who issues tokens.
    pub authority: Url,
}

/// Gives tokens for Azure's grants.
pub struct AzureIdentities {
    options: AzureOptions,
    service: Arc<dyn TokenService>,
    tenants: Cache<TokenName, Arc<Kept<AzureToken>>>,
    is_refused: AtomicBool,
}

/// What tells tokens apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TokenName {
    team: TeamId,
    tenant: String,
}

impl AzureIdentities {
    /// Tokens that are asked for by `service`; neither asks nor reads anything yet.
    #[must_use]
    pub fn new(options: AzureOptions, service: Arc<dyn TokenService>) -> Self {
        let tenants = Cache::builder().max_capacity(TENANTS_MAX).time_to_idle(KEEP_IDLE).build();
        Self { options, service, tenants, is_refused: AtomicBool::new(false) }
    }

    async fn kept(&self, team: &TeamId, tenant: &AzureTenant) -> Arc<Kept<AzureToken>> {
        let name = TokenName { team: team.clone(), tenant: tenant.id.clone() };
        self.tenants.get_with(name, async { Arc::default() }).await
    }

    async fn fetch(&self, tenant: &AzureTenant) -> Result<Fresh<AzureToken>, AttachmentFault> {
        let found = match self.ask(tenant).await {
            Ok(fresh) => Ok(fresh),
            Err(Trouble::Ours(why)) => return Err(self.say_refused(&why)),
            Err(Trouble::Refused(mut fault, why)) => {
                fault.message = self.say_refused(&why).message;
                return Err(fault);
            }
            Err(Trouble::Other(fault)) => Err(fault),
        };
        if found.is_ok() && self.is_refused.swap(false, Relaxed) {
            info!("the worker's own Azure application is accepted again");
        }
        found
    }

    async fn ask(&self, tenant: &AzureTenant) -> Result<Fresh<AzureToken>, Trouble> {
        let ours = |why: &str| Trouble::Ours(why.to_owned());
        let client_id = self.options.client_id.as_deref().ok_or_else(|| ours("azure.client_id is not set"))?;
        let proof = self.options.proof.as_ref().ok_or_else(|| {
            ours("none of azure.client_secret, azure.certificate_file and azure.federated_token_file is set")
        })?;
        let url = self.token_url(tenant).ok_or_else(|| ours("azure.authority_url cannot be asked for tokens"))?;
        let mut form = vec![
            ("client_id", SecretString::from(client_id)),
            ("scope", SCOPE.into()),
            ("grant_type", "client_credentials".into()),
        ];
        form.extend(proof.fields(client_id, &url).await.map_err(Trouble::Ours)?);
        let request = TokenRequest { url, fields: Vec::new(), body: TokenBody::Form(form) };
        let answer = self.service.ask(request).await.map_err(|error| {
            Trouble::Other(AttachmentFault::new(Code::Unavailable, format!("Azure's token service: {error}")))
        })?;
        entra::read(&answer, tenant)
    }

    /// Where the tenant's tokens are issued. An id is a GUID, so that it stays one part of the path.
    fn token_url(&self, tenant: &AzureTenant) -> Option<Url> {
        let mut url = self.options.authority.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.path_segments_mut().ok()?.pop_if_empty().extend([&tenant.id, "oauth2", "v2.0", "token"]);
        Some(url)
    }

    /// Says once, until it is accepted again, that our own application is not.
    fn say_refused(&self, why: &str) -> AttachmentFault {
        if !self.is_refused.swap(true, Relaxed) {
            error!("the worker's own Azure application cannot be used: {why}");
        }
        AttachmentFault::new(Code::Internal, "the worker's own Azure application cannot be used at present")
    }
}

#[async_trait]
impl AzureCredentials for AzureIdentities {
    async fn token(&self, wanted: AzureUse<'_>) -> Result<Arc<AzureToken>, AttachmentFault> {
        match wanted.grant {
            Grant::AzureTenant(tenant) => {
                let kept = self.kept(wanted.team, tenant).await;
                kept.keys(|| self.fetch(tenant)).await
            }
            Grant::None | Grant::AwsRole(_) | Grant::AwsOwn(_) | Grant::GcpAccount(_) | Grant::GcpOwn => {
                let message = "no grant of the team is one of Azure's";
                Err(AttachmentFault::new(Code::IntegrationMissing, message))
            }
        }
    }

    async fn refused(&self, wanted: AzureUse<'_>, token: &AzureToken) {
        match wanted.grant {
            Grant::AzureTenant(tenant) => {
                let is_meant = |kept: &AzureToken| kept.0.expose_secret() == token.0.expose_secret();
                self.kept(wanted.team, tenant).await.drop_if(is_meant).await;
            }
            Grant::None | Grant::AwsRole(_) | Grant::AwsOwn(_) | Grant::GcpAccount(_) | Grant::GcpOwn => {}
        }
    }

    async fn forget(&self, team: &TeamId) {
        let names: Vec<_> = self.tenants.iter().map(|(name, _)| name).filter(|name| name.team == *team).collect();
        for name in names {
            self.tenants.invalidate(name.as_ref()).await;
        }
    }
}

#[cfg(test)]
#[path = "azure_tests.rs"]
mod tests;
