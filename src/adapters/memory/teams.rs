//! A directory of teams that tests change as they go, and that can be away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::domain::id::TeamId;
use crate::domain::team::{KnownTeam, Team};
use crate::ports::teams::{Lookup, Teams, TeamsUnavailable};

#[derive(Debug, Default)]
struct Directory {
    teams: BTreeMap<TeamId, Arc<KnownTeam>>,
    away: bool,
}

/// A directory in memory; clones share it. A change is known at once.
#[derive(Debug, Clone, Default)]
pub struct MemoryTeams(Arc<Mutex<Directory>>);

impl MemoryTeams {
    /// A directory that holds nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory that holds one team with an empty record.
    ///
    /// # Panics
    /// If `name` is no team's name.
    #[must_use]
    pub fn with(self, name: &str) -> Self {
        self.put(name, Team::default());
        self
    }

    /// Adds a team, or changes its record.
    ///
    /// # Panics
    /// If `name` is no team's name.
    pub fn put(&self, name: &str, record: Team) {
        let id = TeamId::new(name).expect("a test names teams well");
        let known = Arc::new(KnownTeam { id: id.clone(), record });
        self.directory().teams.insert(id, known);
    }

    /// Removes a team; quiet if it is not there.
    pub fn remove(&self, name: &str) {
        self.directory().teams.retain(|id, _| id.as_str() != name);
    }

    /// Takes the directory away, so that it answers nobody, or brings it back.
    pub fn set_away(&self, away: bool) {
        self.directory().away = away;
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        // No code of ours panics while it holds the lock, and a map is whole between its own calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Teams for MemoryTeams {
    async fn team(&self, id: &TeamId) -> Result<Lookup, TeamsUnavailable> {
        let directory = self.directory();
        if directory.away {
            return Err(TeamsUnavailable("it was taken away by a test".to_owned()));
        }
        let known = directory.teams.get(id).cloned();
        Ok(known.map_or(Lookup::Unknown, Lookup::Known))
    }

    async fn team_of_bucket(&self, bucket: &str) -> Result<Lookup, TeamsUnavailable> {
        let directory = self.directory();
        if directory.away {
            return Err(TeamsUnavailable("it was taken away by a test".to_owned()));
        }
        let known = directory.teams.values().find(|team| team.record.declares_bucket(bucket)).cloned();
        Ok(known.map_or(Lookup::Unknown, Lookup::Known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::team::AwsGrant;
    use crate::testing::contracts::teams::{Fixture, bucket_of};

    async fn fixture() -> Fixture {
        let teams = MemoryTeams::new();
        let changed = teams.clone();
        Fixture {
            teams: Arc::new(teams),
            replace: Box::new(move |list| {
                changed.directory().teams.clear();
                for (name, profile) in list {
                    let aws = AwsGrant { buckets: vec![bucket_of(name)], ..AwsGrant::default() };
                    let record = Team { normalize: Some(profile.to_owned()), aws: Some(aws), ..Team::default() };
                    changed.put(name, record);
                }
                Box::pin(async {})
            }),
            keep: Box::new(()),
        }
    }

    crate::teams_contract!(fixture);

    #[tokio::test]
    async fn a_directory_that_is_away_tells_nothing_of_any_team() {
        let teams = MemoryTeams::new().with("acme");
        let id = TeamId::new("acme").expect("a good name");
        teams.set_away(true);
        assert!(teams.team(&id).await.is_err());
        teams.set_away(false);
        assert!(matches!(teams.team(&id).await, Ok(Lookup::Known(_))));
        teams.remove("acme");
        assert!(matches!(teams.team(&id).await, Ok(Lookup::Unknown)));
    }
}
