//! Keys for AWS: those of a team's role, assumed, or the worker's own where the grant says so. There is no fall-back from one
//! to the other: a role that refuses us is a refusal.
//!
//! The keys of a role are good for one bucket, by a session policy, and are kept for team, role, external id and bucket: a
//! team whose record changes asks with another name and gets other keys, and the old ones are dropped. They are renewed before they end, by one caller, while
//! the others go on with the old ones. Failures are remembered for some seconds, so that a broken role costs one request and
//! not one for each attachment. Read [`super::kept`] next.

mod own;
mod role;
mod session;
mod sts;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use moka::future::Cache;
use tracing::info;

use self::own::Own;
use self::role::{Assume, Wanted};
use self::sts::Sts;
use super::kept::Kept;
use crate::domain::access::{AwsRole, Grant};
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::ports::credentials::{AwsCaller, AwsCredentials, AwsKeys, AwsRoles, AwsUse, RoleTried};

/// Sessions that are kept at most; one that falls out is assumed again.
const SESSIONS_MAX: u64 = 10_000;
/// How long a session is kept that nobody asks for.
const KEEP_IDLE: Duration = Duration::from_secs(2 * 60 * 60);
/// How often the use of the worker's own identity is said again, for each team and bucket.
const SAY_AGAIN: Duration = Duration::from_secs(60 * 60);

/// What the operator sets for AWS identities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsOptions {
    /// The region whose STS is asked; empty: what the AWS environment says, else `us-east-1`.
    pub region: String,
    /// STS elsewhere: emulators, private endpoints.
    pub sts_endpoint_url: Option<String>,
    /// This replica's name, as customers see it in their logs.
    pub replica: String,
}

/// Gives keys for AWS grants.
pub struct AwsIdentities {
    own: Arc<Own>,
    assume: Arc<dyn Assume>,
    sessions: Cache<SessionName, Arc<Kept<AwsKeys>>>,
    said: Cache<(TeamId, String), ()>,
    replica: String,
}

/// What tells sessions apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SessionName {
    team: TeamId,
    role_arn: String,
    external_id: Option<String>,
    bucket: String,
}

impl AwsIdentities {
    /// Finds the worker's own identity by the standard chain: environment, profile, web identity, ECS, IMDS. Reads the AWS
    /// environment and profile files once, at the start; asks nobody yet.
    pub async fn load(options: AwsOptions) -> Self {
        let config = sts::environment(&options).await;
        let own = config.credentials_provider();
        Self::over(options, &config, own)
    }

    /// The same with an own identity that is given.
    pub async fn with_own(options: AwsOptions, own: SharedCredentialsProvider) -> Self {
        let config = sts::environment(&options).await;
        Self::over(options, &config, Some(own))
    }

    fn over(options: AwsOptions, config: &aws_config::SdkConfig, own: Option<SharedCredentialsProvider>) -> Self {
        let own = Arc::new(Own::new(own));
        let sts = Sts::new(config, &options, Arc::clone(&own));
        Self::asking(own, Arc::new(sts), options.replica)
    }

    fn asking(own: Arc<Own>, assume: Arc<dyn Assume>, replica: String) -> Self {
        let sessions = Cache::builder().max_capacity(SESSIONS_MAX).time_to_idle(KEEP_IDLE).build();
        let said = Cache::builder().max_capacity(SESSIONS_MAX).time_to_live(SAY_AGAIN).build();
        Self { own, assume, sessions, said, replica }
    }

    async fn session(&self, wanted: AwsUse<'_>, role: &AwsRole) -> Arc<Kept<AwsKeys>> {
        let name = SessionName {
            team: wanted.team.clone(),
            role_arn: role.role_arn.clone(),
            external_id: role.external_id.clone(),
            bucket: wanted.bucket.to_owned(),
        };
        self.sessions.get_with(name, async { Arc::new(Kept::default()) }).await
    }

    async fn of_role(&self, wanted: AwsUse<'_>, role: &AwsRole) -> Result<Arc<AwsKeys>, AttachmentFault> {
        let session = self.session(wanted, role).await;
        let assume = || async {
            self.assume
                .assume(&Wanted {
                    role_arn: &role.role_arn,
                    external_id: role.external_id.as_deref(),
                    session_name: session::name(wanted.team, &self.replica),
                    policy: session::policy(&role.role_arn, wanted.bucket),
                })
                .await
        };
        session.keys(assume).await
    }

    /// Says, now and then, that a customer's bucket is read with the worker's own identity.
    async fn say(&self, wanted: AwsUse<'_>) {
        let (team, bucket) = (wanted.team, wanted.bucket);
        let entry = self.said.entry((team.clone(), bucket.to_owned())).or_insert(());
        if entry.await.is_fresh() {
            info!(%team, bucket, "reading bucket {bucket} of team {team} with the worker's own AWS identity");
        }
    }
}

#[async_trait]
impl AwsCredentials for AwsIdentities {
    async fn keys(&self, wanted: AwsUse<'_>) -> Result<Arc<AwsKeys>, AttachmentFault> {
        match wanted.grant {
            Grant::AwsRole(role) => self.of_role(wanted, role).await,
            Grant::AwsOwn(_) => {
                self.say(wanted).await;
                self.own.keys().await
            }
            Grant::None | Grant::GcpAccount(_) | Grant::GcpOwn | Grant::AzureTenant(_) => {
                let message = "no grant of the team is one of AWS's";
                Err(AttachmentFault::new(Code::IntegrationMissing, message))
            }
        }
    }

    async fn refused(&self, wanted: AwsUse<'_>, keys: &AwsKeys) {
        match wanted.grant {
            Grant::AwsRole(role) => self.session(wanted, role).await.drop_if(|kept| is_same(kept, keys)).await,
            Grant::AwsOwn(_) => self.own.drop_if(keys).await,
            Grant::None | Grant::GcpAccount(_) | Grant::GcpOwn | Grant::AzureTenant(_) => {}
        }
    }

    async fn forget(&self, team: &TeamId) {
        let names: Vec<_> = self.sessions.iter().map(|(name, _)| name).filter(|name| name.team == *team).collect();
        for name in names {
            self.sessions.invalidate(name.as_ref()).await;
        }
    }
}

#[async_trait]
impl AwsRoles for AwsIdentities {
    async fn try_role(&self, team: &TeamId, role_arn: &str, external_id: Option<&str>) -> RoleTried {
        let (session_name, policy) = (session::name(team, &self.replica), session::nothing());
        let wanted = Wanted { role_arn, external_id, session_name, policy };
        match self.assume.assume(&wanted).await {
            Ok(_) => RoleTried::LetIn,
            // Other refusals may have other reasons: a region that is off, a service that is busy, an id that is none.
            Err(fault) if fault.provider_code.as_deref() == Some("AccessDenied") => RoleTried::Refused,
            Err(fault) => RoleTried::Unclear(fault),
        }
    }

    async fn caller(&self) -> Result<AwsCaller, AttachmentFault> {
        self.assume.caller().await
    }
}

/// Whether two keys are one: no two sessions have the same id.
fn is_same(kept: &AwsKeys, keys: &AwsKeys) -> bool {
    kept.access_key_id == keys.access_key_id
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
