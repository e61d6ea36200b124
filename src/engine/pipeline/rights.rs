//! Whether a team's rights still are those that the work on its task began with.

use std::time::Duration;

use tokio::time::sleep;
use tracing::info;

use super::{Pipeline, Team};
use crate::ports::teams::Lookup;

/// How often the directory is asked about the team of a task that is being worked on.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Pipeline {
    /// Waits until the directory names other rights of `team`, or knows it no more. A directory that is away says nothing.
    pub(super) async fn rights_changed(&self, team: &Team) {
        loop {
            sleep(LOOK_EVERY).await;
            let Ok(found) = self.teams.team(&team.id).await else { continue };
            self.gates.teams.came_back();
            let is_as_before = matches!(&found, Lookup::Known(now) if now.record.has_rights_of(&team.record));
            if !is_as_before {
                let team = &team.id;
                info!(%team, "the rights of team {team} have changed: a task that is being copied begins anew");
                return self.records.note(team, &found).await;
            }
        }
    }
}
