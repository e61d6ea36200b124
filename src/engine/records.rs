//! Notices that a team's record has changed since it was used last, so that nothing is kept of the rights that it had.
//!
//! Who looks a team up gets an answer that is at most some seconds old, so that what was kept is dropped before anything is
//! read by the new record. Teams that nobody asks for keep what is of no use to anybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::info;

use crate::domain::id::TeamId;
use crate::domain::team::KnownTeam;
use crate::ports::fetcher::Fetcher;
use crate::ports::teams::Lookup;

/// More teams than this are not remembered at one time: a team that was forgotten counts as unchanged.
const REMEMBERED_MAX: usize = 100_000;

/// The records as they were used last.
pub struct Records {
    fetcher: Arc<dyn Fetcher>,
    used: Mutex<HashMap<TeamId, Arc<KnownTeam>>>,
}

impl Records {
    /// Tells `fetcher` of records that have changed.
    #[must_use]
    pub fn new(fetcher: Arc<dyn Fetcher>) -> Self {
        Self { fetcher, used: Mutex::default() }
    }

    /// Notes what the directory says of a team now.
    pub async fn note(&self, team: &TeamId, found: &Lookup) {
        if self.has_changed(team, found) {
            info!(%team, "the record of team {team} has changed: what was kept of its rights is dropped");
            self.fetcher.forget(team).await;
        }
    }

    fn has_changed(&self, team: &TeamId, found: &Lookup) -> bool {
        let mut used = self.used();
        match found {
            Lookup::Unknown => used.remove(team).is_some(),
            Lookup::Known(now) => match used.get_mut(team) {
                Some(before) if Arc::ptr_eq(before, now) => false,
                Some(before) => {
                    let changed = before.record != now.record;
                    *before = Arc::clone(now);
                    changed
                }
                None => {
                    if used.len() < REMEMBERED_MAX {
                        used.insert(team.clone(), Arc::clone(now));
                    }
                    false
                }
            },
        }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<TeamId, Arc<KnownTeam>>> {
        // No code of ours panics while it holds the lock.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::domain::fault::{AttachmentFault, Code};
    use crate::domain::team::{AwsGrant, Team};
    use crate::ports::fetcher::{FetchRequest, Fetched};

    /// Opens nothing, and writes down whom it forgot.
    #[derive(Default)]
    struct Forgetful(Mutex<Vec<String>>);

    #[async_trait]
    impl Fetcher for Forgetful {
        async fn open(&self, _: FetchRequest) -> Result<Fetched, AttachmentFault> {
            Err(AttachmentFault::new(Code::Internal, "nothing is opened here"))
        }

        async fn forget(&self, team: &TeamId) {
            self.0.lock().expect("no test panics with the lock held").push(team.to_string());
        }
    }

    fn known(team: &str, role: Option<&str>) -> Lookup {
        let aws = role.map(|role| AwsGrant { role_arn: Some(role.to_owned()), ..AwsGrant::default() });
        let id = TeamId::new(team).expect("a good name");
        Lookup::Known(Arc::new(KnownTeam { id, record: Team { aws, ..Team::default() } }))
    }

    #[tokio::test]
    async fn a_team_is_forgotten_each_time_that_its_record_changes_or_goes() {
        let fetcher = Arc::new(Forgetful::default());
        let records = Records::new(Arc::clone(&fetcher) as Arc<dyn Fetcher>);
        for (team, found, forgotten) in [
            ("acme", known("acme", Some("a")), 0),
            ("acme", known("acme", Some("a")), 0),
            ("bolt", known("bolt", Some("a")), 0),
            ("acme", known("acme", Some("b")), 1),
            ("acme", known("acme", Some("a")), 2),
            ("acme", Lookup::Unknown, 3),
            ("acme", Lookup::Unknown, 3),
            ("acme", known("acme", None), 3),
            ("bolt", known("bolt", Some("a")), 3),
        ] {
            records.note(&TeamId::new(team).expect("a good name"), &found).await;
            let all = fetcher.0.lock().expect("whole").clone();
            assert_eq!(all.len(), forgotten, "{team} {found:?}");
            assert!(all.iter().all(|team| team == "acme"), "{all:?}");
        }
    }
}
