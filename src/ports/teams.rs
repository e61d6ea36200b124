//! Who the teams are.

use std::sync::Arc;

use async_trait::async_trait;

use crate::domain::id::TeamId;
use crate::domain::team::KnownTeam;

/// The answer of a directory that is up.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// The team and its record.
    Known(Arc<KnownTeam>),
    /// No such team: it may be a lagging directory, so the task is tried again for a while.
    Unknown,
}

/// The directory cannot be asked; tells nothing about any team.
#[derive(Debug, thiserror::Error)]
#[error("the teams directory cannot be reached: {0}")]
pub struct TeamsUnavailable(pub String);

/// A directory of teams.
#[async_trait]
pub trait Teams: Send + Sync + 'static {
    /// Looks a team up. Answers follow a change of the directory within 10 seconds.
    ///
    /// # Errors
    /// [`TeamsUnavailable`]: ask again later; never an answer about the team.
    async fn team(&self, id: &TeamId) -> Result<Lookup, TeamsUnavailable>;

    /// Looks for the team whose record lists this S3 bucket ([`Team::declares_bucket`](crate::domain::team::Team)); of several
    /// the first by name. Follows changes as [`Teams::team`] does.
    ///
    /// # Errors
    /// As [`Teams::team`].
    async fn team_of_bucket(&self, bucket: &str) -> Result<Lookup, TeamsUnavailable>;
}
