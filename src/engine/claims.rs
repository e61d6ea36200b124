//! Claims: which team a bucket, role or other name of a cloud belongs to.
//!
//! The first team that uses a name has it, in every replica and whatever any teams file says: the claim is a document in the
//! store, put if absent. Only an operator moves it. An answer "ours" is remembered for at most 10 seconds, so a moved claim is
//! known by then; an answer "another's" is never remembered.
//!
//! All spellings of one name are one claim ([`ClaimKind::canonical`]); it shows the one that was used first. A GCS bucket is
//! `gs://NAME`, so that it is never taken for the S3 bucket of the same name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use crate::domain::access::ClaimKind;
use crate::domain::id::TeamId;
use crate::domain::object_key::{Key, claim_key};
use crate::ports::clock::Clock;
use crate::ports::crash;
use crate::ports::store::{ObjectMeta, Put, Store, StoreError};

#[cfg(test)]
mod tests;

/// How long an answer "ours" is good for.
const REMEMBERED: Duration = Duration::from_secs(10);
/// More answers than this are not remembered at one time.
const REMEMBERED_MAX: usize = 10_000;
/// A larger document is no claim.
const CLAIM_BYTES_MAX: usize = 64 * 1024;
/// How often a claim that is there and then not is looked for again.
const LOOKS_MAX: usize = 3;
/// Keys of one listing, and documents that are read at the same time.
const PAGE: usize = 1000;
const READS_AT_ONCE: usize = 16;

/// A claim as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What is claimed.
    pub kind: ClaimKind,
    /// Its name.
    pub name: String,
    /// Who has it.
    pub team: TeamId,
    /// Since when.
    pub claimed_at: Timestamp,
    /// Who had it before an operator moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<TeamId>,
}

/// Whose a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// The team's that asked.
    Ours,
    /// Another team's.
    Other(TeamId),
}

type Remembered = HashMap<(ClaimKind, String, TeamId), Instant>;

/// The claims in a store.
pub struct Claims {
    store: Arc<dyn Store>,
    clock: Clock,
    ours: Mutex<Remembered>,
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

impl Claims {
    /// The claims in `store`; `clock` dates new ones.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock, ours: Mutex::default() }
    }

    /// Claims a name for a team unless somebody has it, and tells whose it is. May be repeated; dropped half-way, the claim
    /// is made or not.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is known of the claim, and it must not be taken for ours.
    pub async fn claim(&self, kind: ClaimKind, name: &str, team: &TeamId) -> Result<ClaimAnswer, StoreError> {
        if self.is_remembered(kind, name, team) {
            return Ok(ClaimAnswer::Ours);
        }
        // The answer is as old as the question.
        let asked = Instant::now();
        let owner = self.owner(kind, name, team).await?;
        if owner != *team {
            return Ok(ClaimAnswer::Other(owner));
        }
        self.remember(kind, name, team, asked);
        Ok(ClaimAnswer::Ours)
    }

    /// Tells whose a name is, and claims nothing.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is known of the claim.
    pub async fn holder(&self, kind: ClaimKind, name: &str) -> Result<Option<TeamId>, StoreError> {
        let claim = self.read(&key_of(kind, name)).await?;
        claim.map(|claim| matching(claim, kind, name).map(|claim| claim.team)).transpose()
    }

    /// Looks whose the name is, and claims it for `team` if it is nobody's.
    async fn owner(&self, kind: ClaimKind, name: &str, team: &TeamId) -> Result<TeamId, StoreError> {
        let key = key_of(kind, name);
        for _ in 0..LOOKS_MAX {
            // Read before put: nearly every claim was made long ago, and reading needs less of the store.
            if let Some(claim) = self.read(&key).await? {
                return matching(claim, kind, name).map(|claim| claim.team);
            }
            let claim = self.made_out(kind, name, team, None);
            match self.put(&key, &claim).await? {
                Put::Stored => {
                    crash::point("claim-put");
                    return Ok(team.clone());
                }
                // Somebody was quicker, or it is our own earlier try whose answer was lost.
                Put::Exists => {}
            }
        }
        Err(StoreError::Corrupt(format!("the claim {key} exists and cannot be read")))
    }

    /// Lists the claims of one team, or of all, by kind and name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, team: Option<&TeamId>) -> Result<Vec<Claim>, StoreError> {
        let folder = Key::new("_claims");
        let (mut claims, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list(&folder, after.as_ref(), PAGE).await?;
            let Some(last) = page.last().cloned() else {
                break;
            };
            // Of owned keys: a stream of borrowing futures is not one that a task of its own may drive.
            let reads = page.into_iter().map(|key| async move { self.read(&key).await });
            let read: Vec<Option<Claim>> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
            claims.extend(read.into_iter().flatten());
            after = Some(last);
        }
        claims.retain(|claim| team.is_none_or(|team| claim.team == *team));
        claims.sort_by(|left, right| (left.kind, &left.name).cmp(&(right.kind, &right.name)));
        Ok(claims)
    }

    /// Gives a name to a team, whoever has it, and returns the claim as it stands then. Other processes know within 10
    /// seconds. Two moves at the same time: one of them stands.
    ///
    /// # Errors
    /// [`StoreError`]; the claim may be moved. May be repeated.
    pub async fn move_to(&self, kind: ClaimKind, name: &str, team: &TeamId) -> Result<Claim, StoreError> {
        let key = key_of(kind, name);
        let before = self.read(&key).await?;
        if let Some(claim) = before.as_ref().filter(|claim| claim.team == *team) {
            return Ok(claim.clone());
        }
        let claim = self.made_out(kind, name, team, before.map(|claim| claim.team));
        let stored = self.store.overwrite(&key, written(&claim)).await;
        self.ours().retain(|(other_kind, other, _), _| *other_kind != kind || !kind.is_same(other, name));
        stored.map(|()| claim)
    }

    fn made_out(&self, kind: ClaimKind, name: &str, team: &TeamId, moved_from: Option<TeamId>) -> Claim {
        Claim { kind, name: name.to_owned(), team: team.clone(), claimed_at: self.clock.now(), moved_from }
    }

    async fn read(&self, key: &Key) -> Result<Option<Claim>, StoreError> {
        let Some(content) = self.store.get(key, CLAIM_BYTES_MAX).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&content)
            .map(Some)
            .map_err(|error| StoreError::Corrupt(format!("the claim {key} is none: {error}")))
    }

    async fn put(&self, key: &Key, claim: &Claim) -> Result<Put, StoreError> {
        let meta = ObjectMeta { media_type: "application/json", facts: None };
        self.store.put_if_absent(key, written(claim), meta).await
    }

    fn ours(&self) -> MutexGuard<'_, Remembered> {
        // No code of ours panics while it holds the lock, and a map is whole between its own calls.
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_remembered(&self, kind: ClaimKind, name: &str, team: &TeamId) -> bool {
        let asked = self.ours().get(&(kind, name.to_owned(), team.clone())).copied();
        asked.is_some_and(|asked| asked.elapsed() < REMEMBERED)
    }

    fn remember(&self, kind: ClaimKind, name: &str, team: &TeamId, asked: Instant) {
        let mut ours = self.ours();
        if ours.len() >= REMEMBERED_MAX {
            ours.retain(|_, asked| asked.elapsed() < REMEMBERED);
        }
        if ours.len() < REMEMBERED_MAX {
            ours.insert((kind, name.to_owned(), team.clone()), asked);
        }
    }
}

fn key_of(kind: ClaimKind, name: &str) -> Key {
    claim_key(kind.as_str(), &kind.canonical(name))
}

fn written(claim: &Claim) -> Bytes {
    serde_json::to_vec(claim).expect("a claim is plain text").into()
}

/// A document of another name at this key would give away what it does not name.
fn matching(claim: Claim, kind: ClaimKind, name: &str) -> Result<Claim, StoreError> {
    if claim.kind == kind && kind.is_same(&claim.name, name) {
        Ok(claim)
    } else {
        Err(StoreError::Corrupt(format!("the claim of {} {name} is another's document", kind.as_str())))
    }
}
