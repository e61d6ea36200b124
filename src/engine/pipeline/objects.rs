//! A message that tells of several new objects: a task for each, some at a time, until all have ended.
//!
//! Each is led to its own receipt and completion. The message comes again as long as any of them has to, and then those that
//! have ended answer with their receipts: [`Settlement::of_parts`].

use futures::{StreamExt, stream};

use super::decoding::Wanted;
use super::settling::dead;
use super::{Pipeline, Run};
use crate::domain::access::ClaimKind;
use crate::domain::id::TeamId;
use crate::domain::message::NewObject;
use crate::domain::settlement::{Reason, Settlement};
use crate::engine::isolation::{Verdict, hand_back};
use crate::ports::queue::Delivery;
use crate::ports::store::StoreError;
use crate::ports::teams::{Lookup, TeamsUnavailable};

/// How many objects of one message are worked on at the same time.
const AT_ONCE: usize = 16;

impl Pipeline {
    /// Leads each object's task to its end.
    pub(super) async fn lead_all(
        &self, objects: Vec<Result<NewObject, String>>, topic_team: Option<&TeamId>, run: Run<'_>,
    ) -> Verdict {
        let is_one = objects.len() == 1;
        let led = stream::iter(objects).map(|object| async move {
            match object {
                Ok(object) => Box::pin(self.lead_object(&object, topic_team, run)).await,
                Err(problem) => dead(run.delivery, Reason::Undecodable, problem),
            }
        });
        let verdicts: Vec<Verdict> = led.buffered(AT_ONCE).collect().await;
        let mut settlements = Vec::with_capacity(verdicts.len());
        for verdict in verdicts {
            match verdict {
                Verdict::Settle(settlement) => settlements.push(settlement),
                Verdict::Leave => return Verdict::Leave,
            }
        }
        match settlements.pop() {
            Some(only) if is_one => Verdict::Settle(only),
            last => {
                settlements.extend(last);
                Verdict::Settle(Settlement::of_parts(settlements))
            }
        }
    }

    async fn lead_object(&self, object: &NewObject, topic_team: Option<&TeamId>, run: Run<'_>) -> Verdict {
        let bucket = &object.bucket;
        let team = match self.until(run.until, self.owner(bucket, run.delivery)).await {
            Some(Ok(team)) => team,
            Some(Err(verdict)) => return verdict,
            None => return hand_back(std::time::Duration::ZERO),
        };
        if topic_team.is_some_and(|only| *only != team) {
            let detail = format!("bucket {bucket} does not belong to the team of the SNS topic");
            return dead(run.delivery, Reason::Undecodable, detail);
        }
        self.lead(&Wanted::of(object.task(team)), run).await
    }

    /// The team that a bucket belongs to: the one that claimed it, else the one that declares it.
    async fn owner(&self, bucket: &str, delivery: &Delivery) -> Result<TeamId, Verdict> {
        let claims = &self.transfer.claims;
        let holder = || claims.holder(ClaimKind::Bucket, bucket);
        match self.gates.store.until_answered(StoreError::is_transient, holder).await {
            Ok(Some(team)) => return Ok(team),
            Ok(None) => {}
            Err(error) => return Err(self.store_is_broken(&error)),
        }
        let is_outage = |_: &TeamsUnavailable| true;
        match self.gates.teams.until_answered(is_outage, || self.teams.team_of_bucket(bucket)).await {
            Ok(Lookup::Known(team)) => Ok(team.id.clone()),
            Ok(Lookup::Unknown) => {
                Err(self.unknown_team(format!("no team has claimed or declares bucket {bucket}"), delivery))
            }
            Err(_) => unreachable!("every error of a directory is an outage"),
        }
    }
}
