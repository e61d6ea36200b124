//! One delivery, from its bytes to its settlement.
//!
//! The order is the guarantee: objects, then the receipt that names them, then the completion that tells of it, and only then
//! is the message settled. Stopped at any point, the next delivery finds what is done and goes on from there; it announces the
//! receipt it finds again, under the same id, rather than trusting that somebody has.
//!
//! One file a step: [`super::isolation`] (beside others, or alone), [`decoding`], [`deciding`] (with [`copying`] in its middle:
//! all attachments of one task, and [`rights`] beside it), [`announcing`], [`settling`]. A message of several tasks is led by
//! [`objects`].

mod announcing;
mod copying;
mod deciding;
mod decoding;
mod objects;
mod offering;
mod rights;
mod settling;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use self::deciding::Decided;
use self::decoding::{Wanted, Work};
use self::settling::dead;
use super::in_work::InWork;
use super::isolation::{Effort, Ended, Isolation, Verdict, hand_back};
use super::lease::Held;
use super::memory::Pool;
use super::outage::Gates;
use super::receipts::Receipts;
use super::recent::Recent;
use super::records::Records;
use super::settings::Settings;
use super::stop::Stop;
use super::tally::Tally;
use super::transfer::Transfer;
use super::webhooks::outbox::Outbox;
use crate::domain::id::{TaskId, TeamId};
use crate::domain::settlement::{Reason, Settlement};
use crate::domain::team::KnownTeam;
use crate::ports::clock::Clock;
use crate::ports::envelopes::Envelopes;
use crate::ports::publisher::Publisher;
use crate::ports::queue::{Delivery, Queue};
use crate::ports::teams::Teams;

/// Works on deliveries.
pub struct Pipeline {
    /// Where deliveries are settled.
    pub queue: Arc<dyn Queue>,
    /// Where completions go; without one they are found in the receipts only.
    pub publisher: Option<Arc<dyn Publisher>>,
    /// Proves envelopes and fetches bodies from elsewhere.
    pub envelopes: Arc<dyn Envelopes>,
    /// Memory for such bodies.
    pub bodies: Pool,
    /// Who the teams are.
    pub teams: Arc<dyn Teams>,
    /// Their records as they were used last.
    pub records: Records,
    /// What has become of tasks.
    pub receipts: Receipts,
    /// Who must be worked on alone.
    pub isolation: Isolation,
    /// Copies attachments.
    pub transfer: Transfer,
    /// Where webhooks are handed on; without it none are.
    pub webhooks: Option<Outbox>,
    /// Tasks that are worked on now.
    pub in_work: InWork<(TeamId, TaskId)>,
    /// Tasks that a delivery of this process has begun and not ended: their copies may be there already, whichever message
    /// comes next.
    pub begun: Recent<(TeamId, TaskId)>,
    /// The time of day.
    pub clock: Clock,
    /// The deployment's settings.
    pub settings: Settings,
    /// What was done so far.
    pub tally: Arc<Tally>,
    /// What may be away.
    pub gates: Gates,
    /// When to let go.
    pub stop: Stop,
}

/// What all work on one delivery has in common.
#[derive(Clone, Copy)]
struct Run<'a> {
    delivery: &'a Delivery,
    held: &'a Held,
    effort: Effort,
    /// When it has had its time.
    until: Instant,
}

impl Pipeline {
    /// Works on `delivery` until it is settled, handed back or lost: beside others, or alone if it is a suspect.
    pub async fn run(&self, delivery: Delivery, held: Held) {
        let work = |effort| self.work(&delivery, &held, effort);
        let Ended { verdict, place } = self.isolation.run(&delivery, &held, work).await;
        self.isolation.settled(place, self.end(&delivery, &held, &verdict)).await;
    }

    async fn work(&self, delivery: &Delivery, held: &Held, effort: Effort) -> Verdict {
        let until = Instant::now() + self.settings.hold;
        let Some(opened) = self.until(until, self.open(delivery)).await else {
            return hand_back(Duration::ZERO);
        };
        let run = Run { delivery: &opened.delivery, held, effort, until };
        match opened.work {
            Work::Task(wanted) => self.lead(&wanted, run).await,
            Work::Objects(objects) => self.lead_all(objects, opened.topic_team.as_ref(), run).await,
            Work::Nothing(what) => {
                Tally::add(&self.tally.ignored);
                debug!(what, "nothing to do for this message");
                Verdict::Settle(Settlement::Done)
            }
            Work::Undecodable(detail) => dead(delivery, Reason::Undecodable, detail),
            Work::Unknown(verdict) => verdict,
        }
    }

    /// Leads one task to its receipt and its completion.
    async fn lead(&self, wanted: &Wanted, run: Run<'_>) -> Verdict {
        let Run { delivery, held, effort, until } = run;
        let leading = async {
            match self.decide(wanted, delivery, held, effort).await {
                Decided::End(verdict) => verdict,
                Decided::Announce(receipt) => self.announce(&wanted.task, &receipt, delivery).await,
            }
        };
        self.until(until, leading).await.unwrap_or_else(|| hand_back(Duration::ZERO))
    }

    /// Races work that may wait for something away with the two ends of waiting: `hold`, which ends at `end`, and being cut.
    async fn until<T>(&self, end: Instant, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.was_cut() => None,
            () = tokio::time::sleep_until(end) => None,
            done = work => Some(done),
        }
    }
}

/// The team that a delivery's work is done for, as it was when the work began.
type Team = Arc<KnownTeam>;
