//! Keys and tokens for what a team granted: those of the grant, and never anybody else's.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::domain::access::Grant;
use crate::domain::fault::AttachmentFault;
use crate::domain::id::TeamId;

/// Keys that sign requests to AWS.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// Names the key; no secret.
    pub access_key_id: String,
    /// Signs.
    pub secret_access_key: SecretString,
    /// Goes with every request that temporary keys sign.
    pub session_token: Option<SecretString>,
}

/// What the keys are for.
#[derive(Debug, Clone, Copy)]
pub struct AwsUse<'a> {
    /// Whose request it is.
    pub team: &'a TeamId,
    /// With whose rights.
    pub grant: &'a Grant,
    /// The bucket; the keys are good for no other.
    pub bucket: &'a str,
}

/// What an account's own service of identities says of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsCaller {
    /// The ARN of user, role session or account.
    pub arn: String,
}

/// What came of trying a role.
#[derive(Debug, Clone, PartialEq)]
pub enum RoleTried {
    /// It let us in.
    LetIn,
    /// It refused us, and no other reason is thinkable.
    Refused,
    /// Something else, which shows neither.
    Unclear(AttachmentFault),
}

/// Tries roles, for checks.
#[async_trait]
pub trait AwsRoles: Send + Sync + 'static {
    /// Tries to assume a role with this external id, or without any. The session may do nothing and is dropped at once; nothing
    /// is remembered. May be repeated.
    async fn try_role(&self, team: &TeamId, role_arn: &str, external_id: Option<&str>) -> RoleTried;

    /// Who the worker itself is.
    ///
    /// # Errors
    /// `unavailable` while nobody can say.
    async fn caller(&self) -> Result<AwsCaller, AttachmentFault>;
}

/// Gives keys for grants.
#[async_trait]
pub trait AwsCredentials: Send + Sync + 'static {
    /// Returns keys that are good now. May be repeated, and is meant to be asked before every request: keys are kept, and
    /// fetched by one caller for all who wait. Dropped, it leaves the fetching to the next who asks.
    ///
    /// # Errors
    /// `integration_broken` for a role that refuses us; `integration_missing` for a grant that is none of AWS's; what passes
    /// for the rest. A failure is remembered for some seconds.
    async fn keys(&self, wanted: AwsUse<'_>) -> Result<Arc<AwsKeys>, AttachmentFault>;

    /// Says that `keys` were refused as ended or unknown, so that the next who asks gets others. Keys that were replaced
    /// meanwhile stay.
    async fn refused(&self, wanted: AwsUse<'_>, keys: &AwsKeys);

    /// Drops all keys that are kept for a team's grants: its record has changed, or is gone.
    async fn forget(&self, team: &TeamId);
}

/// A token that Azure Storage takes as proof of who asks.
#[derive(Debug, Clone)]
pub struct AzureToken(pub SecretString);

/// What a token is for.
#[derive(Debug, Clone, Copy)]
pub struct AzureUse<'a> {
    /// Whose request it is.
    pub team: &'a TeamId,
    /// With whose rights.
    pub grant: &'a Grant,
}

/// Gives tokens for grants. A token opens Azure Storage for what the grant's tenant lets our application do, and nothing else.
#[async_trait]
pub trait AzureCredentials: Send + Sync + 'static {
    /// Returns a token of the grant's tenant that is good now. May be repeated, and is meant to be asked before every request:
    /// tokens are kept, and fetched by one caller for all who wait. Dropped, it leaves the fetching to the next who asks.
    ///
    /// # Errors
    /// `integration_broken` for a tenant that has not consented, or no longer; `internal` where our own application is refused;
    /// `integration_missing` for a grant that is none of Azure's; what passes for the rest. A failure is remembered for some
    /// seconds.
    async fn token(&self, wanted: AzureUse<'_>) -> Result<Arc<AzureToken>, AttachmentFault>;

    /// Says that `token` was refused as ended or unknown, so that the next who asks gets another. One that was replaced
    /// meanwhile stays.
    async fn refused(&self, wanted: AzureUse<'_>, token: &AzureToken);

    /// Drops all tokens that are kept for a team's grants: its record has changed, or is gone.
    async fn forget(&self, team: &TeamId);
}

/// A token that Google's services take as proof of who asks.
#[derive(Debug, Clone)]
pub struct GcpToken(pub SecretString);

/// What a token is for.
#[derive(Debug, Clone, Copy)]
pub struct GcpUse<'a> {
    /// Whose request it is.
    pub team: &'a TeamId,
    /// With whose rights.
    pub grant: &'a Grant,
}

/// Gives tokens for grants. A token opens Google Cloud Storage for reading and nothing else.
#[async_trait]
pub trait GcpCredentials: Send + Sync + 'static {
    /// Returns a token that is good now. May be repeated, and is meant to be asked before every request: tokens are kept, and
    /// fetched by one caller for all who wait. Dropped, it leaves the fetching to the next who asks.
    ///
    /// # Errors
    /// `integration_broken` for a service account that we may not impersonate; `integration_missing` for a grant that is none
    /// of Google's; what passes for the rest. A failure is remembered for some seconds.
    async fn token(&self, wanted: GcpUse<'_>) -> Result<Arc<GcpToken>, AttachmentFault>;

    /// Says that `token` was refused as ended or unknown, so that the next who asks gets another. One that was replaced
    /// meanwhile stays.
    async fn refused(&self, wanted: GcpUse<'_>, token: &GcpToken);

    /// Drops all tokens that are kept for a team's grants: its record has changed, or is gone.
    async fn forget(&self, team: &TeamId);
}
