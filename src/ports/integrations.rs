//! Looks whether what a team granted on one cloud is as it should be.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::integration::{Cloud, Finding};
use crate::domain::source::Source;
use crate::domain::team::KnownTeam;

/// What is to be checked of a team's integration. Everything named is the team's own by its claims.
#[derive(Debug, Clone)]
pub struct CheckAsked {
    /// Whose.
    pub team: Arc<KnownTeam>,
    /// Buckets, or storage accounts, by their exact names without scheme.
    pub places: Vec<String>,
    /// Objects on this cloud that were named by URL; whether they can be read is shown elsewhere.
    pub objects: Vec<Source>,
    /// An origin whose pages should be let in by the rules of places and objects, `https://app.acme.com`.
    pub cors_origin: Option<String>,
}

/// Checks integrations of one cloud.
#[async_trait]
pub trait IntegrationChecks: Send + Sync + 'static {
    /// Which cloud.
    fn cloud(&self) -> Cloud;

    /// Looks, and says what to do where something is wrong. Reads nothing but what shows that reading works, writes nothing at
    /// the customer's, and keeps no right that it tried. May be repeated. What could not be asked is `Unproven`, so that there
    /// is no error.
    async fn check(&self, asked: &CheckAsked) -> Vec<Finding>;
}
