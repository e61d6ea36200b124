//! The worker's own look at every integration, once a day, by one replica.
//!
//! Teams are those that have claimed something, and those whose grants were used and never looked at: these are looked at some
//! minutes after their first use. Each team's day has an hour of its own. A replica that is about to look says so in the store,
//! waits, and goes on only if nobody has said so after it. What stands in the store afterwards is counted for the metrics.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::standing::Standing;
use super::{Integrations, Wish};
use crate::domain::digest::Sha256;
use crate::domain::id::TeamId;
use crate::domain::integration::{Cloud, turn_key};
use crate::domain::team::KnownTeam;
use crate::engine::stop::Stop;
use crate::engine::tally::Tally;
use crate::ports::store::StoreError;
use crate::ports::teams::{Lookup, Teams};

/// How much of a day goes by between two looks at the unseen, and between two looks at all.
const UNSEEN_SHARE: u32 = 480;
const ALL_SHARE: u32 = 24;
/// The shortest wait, whatever the day's length.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// How long a replica waits for another to say that it looks, too.
const TURN_WAIT: Duration = Duration::from_secs(2);
/// For how long a replica that said so is believed to be at it: less than goes by between two looks at the unseen.
const TURN_HOLDS: SignedDuration = SignedDuration::from_mins(1);
/// A larger document is no turn.
const TURN_BYTES_MAX: usize = 4096;
/// Teams that are looked at together.
const AT_ONCE: usize = 8;

/// Who looks.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    by: Uuid,
    at: Timestamp,
}

/// Looks at integrations from time to time.
pub struct Recheck {
    /// Checks them.
    pub integrations: Integrations,
    /// Which were used.
    pub standing: Arc<Standing>,
    /// Who the teams are.
    pub teams: Arc<dyn Teams>,
    /// How long a day is; zero: it never looks.
    pub every: Duration,
    /// Where the broken ones are counted.
    pub tally: Arc<Tally>,
    /// When to end.
    pub stop: Stop,
}

impl Recheck {
    /// Looks until it is stopped.
    pub async fn run(&self) {
        if self.every.is_zero() {
            return;
        }
        let mut round: u32 = 0;
        loop {
            // Replicas that were started together do not look together.
            let wait = (self.every / UNSEEN_SHARE).max(WAIT_MIN).mul_f64(0.5 + rand::random::<f64>());
            if self.stop.unless_begun(sleep(wait)).await.is_none() {
                return;
            }
            let unseen = self.standing.take_unseen();
            let is_whole = round.is_multiple_of(UNSEEN_SHARE / ALL_SHARE);
            round = round.wrapping_add(1);
            let looked = async {
                match is_whole {
                    true => self.look_at_all(unseen).await,
                    false => self.look_at(unseen).await.map(|_| ()),
                }
            };
            match self.stop.unless_begun(looked).await {
                None => return,
                Some(Ok(())) => {}
                Some(Err(error)) => debug!(%error, "integrations are looked at later"),
            }
        }
    }

    /// Looks at every team that has claimed something, and counts what is broken afterwards.
    async fn look_at_all(&self, unseen: BTreeSet<TeamId>) -> Result<(), StoreError> {
        let claims = self.integrations.claims.list(None).await?;
        let teams: BTreeSet<TeamId> = claims.into_iter().map(|claim| claim.team).chain(unseen).collect();
        let broken = self.look_at(teams).await?;
        for (counter, broken) in self.tally.integrations_broken.iter().zip(broken) {
            counter.store(broken, Relaxed);
        }
        Ok(())
    }

    /// Looks at these teams where it is time, and returns for each cloud how many integrations are broken.
    async fn look_at(&self, teams: BTreeSet<TeamId>) -> Result<[u64; 3], StoreError> {
        let looks = teams.into_iter().map(|team| self.look_at_one(team));
        let mut found = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
        let mut broken = [0; 3];
        while let Some(clouds) = found.next().await {
            for (count, cloud) in broken.iter_mut().zip(clouds?) {
                *count += u64::from(cloud);
            }
        }
        Ok(broken)
    }

    async fn look_at_one(&self, id: TeamId) -> Result<[bool; 3], StoreError> {
        let Ok(Lookup::Known(team)) = self.teams.team(&id).await else {
            return Ok([false; 3]);
        };
        if self.is_due(&team).await? && self.takes_turn(&id).await? {
            let reports = self.integrations.check(&team, &Wish::default()).await?;
            for report in &reports {
                let integration = report.integration.as_str();
                if report.is_broken() {
                    warn!(team = %id, integration, "an integration of team {id} is broken: see `longshore team check {id}`");
                } else {
                    info!(team = %id, integration, "looked at an integration of team {id}");
                }
            }
        }
        let mut broken = [false; 3];
        for (broken, cloud) in broken.iter_mut().zip(Cloud::GRANTING) {
            let mark = team.record.grant_mark(cloud);
            let report = self.integrations.last_report(&id, cloud).await?;
            *broken = report.is_some_and(|report| Some(report.grant) == mark && report.is_broken());
        }
        Ok(broken)
    }

    /// Whether some integration of the team was not looked at for its day, or not since it was changed.
    async fn is_due(&self, team: &KnownTeam) -> Result<bool, StoreError> {
        let now = self.integrations.clock.now();
        for checks in &self.integrations.checks {
            let cloud = checks.cloud();
            let Some(mark) = team.record.grant_mark(cloud) else { continue };
            let report = self.integrations.last_report(&team.id, cloud).await?;
            let is_fresh = report.is_some_and(|report| {
                let age = now.duration_since(report.checked_at);
                report.grant == mark
                    && age < SignedDuration::try_from(self.day_of(&team.id)).unwrap_or(SignedDuration::MAX)
            });
            if !is_fresh {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A team's own day, up to a tenth longer or shorter than others'.
    fn day_of(&self, team: &TeamId) -> Duration {
        let digest = Sha256::of(team.as_str().as_bytes()).to_string();
        let luck = u8::from_str_radix(&digest[..2], 16).unwrap_or_default();
        self.every.mul_f64(0.9 + 0.2 * f64::from(luck) / 255.0)
    }

    /// Says that this replica looks, and whether nobody else does.
    async fn takes_turn(&self, team: &TeamId) -> Result<bool, StoreError> {
        let now = self.integrations.clock.now();
        let is_taken = |turn: &Turn| now.duration_since(turn.at) < TURN_HOLDS.min(self.turn_of_a_day());
        if self.turn(team).await?.as_ref().is_some_and(is_taken) {
            return Ok(false);
        }
        let mine = Turn { by: Uuid::new_v4(), at: now };
        let content: Bytes = serde_json::to_vec(&mine).expect("a turn is plain text").into();
        self.integrations.store.overwrite(&turn_key(team), content).await?;
        sleep(TURN_WAIT).await;
        Ok(self.turn(team).await?.is_some_and(|turn| turn.by == mine.by))
    }

    /// A turn never holds for longer than half a day, however short days are.
    fn turn_of_a_day(&self) -> SignedDuration {
        SignedDuration::try_from(self.every / 2).unwrap_or(SignedDuration::MAX)
    }

    async fn turn(&self, team: &TeamId) -> Result<Option<Turn>, StoreError> {
        let content = self.integrations.store.get(&turn_key(team), TURN_BYTES_MAX).await?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }
}
