//! Whether a grant may be used, by what was found of it last.
//!
//! A role that lets in whoever knows its name is not used, unless the team says `insecure`: our own identity would open it for
//! any other customer. An answer is remembered for at most 10 seconds, so that a role that was put right is used again soon.
//! Grants that nobody has looked at yet are noted, for [`super::recheck`] to look soon.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::last_report;
use crate::domain::access::Grant;
use crate::domain::digest::Sha256;
use crate::domain::fault::{AttachmentFault, Code};
use crate::domain::id::TeamId;
use crate::domain::integration::Cloud;
use crate::domain::team::KnownTeam;
use crate::ports::store::{Store, StoreError};

/// How long an answer is good.
const REMEMBERED: Duration = Duration::from_secs(10);
/// More answers, or more grants that nobody has looked at, are not remembered at one time.
const REMEMBERED_MAX: usize = 10_000;

#[derive(Default)]
struct Memory {
    /// With the grant that each is of.
    open_roles: HashMap<TeamId, (bool, Option<Sha256>, Instant)>,
    unseen: BTreeSet<TeamId>,
}

/// What stands against grants.
pub struct Standing {
    store: Arc<dyn Store>,
    memory: Mutex<Memory>,
}

impl Standing {
    /// What stands in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, memory: Mutex::default() }
    }

    /// Why the grant may not be used, if it may not.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is known.
    pub async fn objection(&self, team: &KnownTeam, grant: &Grant) -> Result<Option<AttachmentFault>, StoreError> {
        let Grant::AwsRole(_) = grant else { return Ok(None) };
        let Some(record) = &team.record.aws else { return Ok(None) };
        let is_open = self.is_open(team).await?;
        Ok((is_open && !record.insecure).then(|| {
            let message = "External ID configured insecurely: the role lets us in without the team's id, and is not used until \
                           a check finds it put right";
            AttachmentFault::new(Code::IntegrationBroken, message)
        }))
    }

    /// The teams whose grants were used and never looked at, since this was asked last.
    #[must_use]
    pub fn take_unseen(&self) -> BTreeSet<TeamId> {
        std::mem::take(&mut self.memory().unseen)
    }

    async fn is_open(&self, team: &KnownTeam) -> Result<bool, StoreError> {
        let mark = team.record.grant_mark(Cloud::Aws);
        let remembered = self.memory().open_roles.get(&team.id).copied();
        if let Some((is_open, of, asked)) = remembered
            && of == mark
            && asked.elapsed() < REMEMBERED
        {
            return Ok(is_open);
        }
        let asked = Instant::now();
        let report = last_report(self.store.as_ref(), &team.id, Cloud::Aws).await?;
        let report = report.filter(|report| Some(report.grant) == mark);
        let is_open = report.as_ref().is_some_and(|report| report.shows_open_role());
        let memory = &mut *self.memory();
        if memory.open_roles.len() >= REMEMBERED_MAX {
            memory.open_roles.retain(|_, (_, _, asked)| asked.elapsed() < REMEMBERED);
        }
        if memory.open_roles.len() < REMEMBERED_MAX {
            memory.open_roles.insert(team.id.clone(), (is_open, mark, asked));
        }
        if report.is_none() && memory.unseen.len() < REMEMBERED_MAX {
            memory.unseen.insert(team.id.clone());
        }
        Ok(is_open)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // No code of ours panics while it holds the lock.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
