//! One try of one delivery: from its message to its settlement.
//!
//! Body and secret are read at each try, from the receipt and from the team's record as they are then. What an endpoint does
//! wrong is counted and scheduled; what is away on our side waits and counts nothing.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use super::crowd::{self, Crowd, Place};
use super::endpoints::Endpoints;
use crate::domain::receipt::Receipt;
use crate::domain::settlement::{DeadLetter, Reason, Settlement};
use crate::domain::team::{CallbackFormat, KnownTeam};
use crate::domain::webhook::body::{self, Body};
use crate::domain::webhook::destination::{Proof, proof};
use crate::domain::webhook::endpoint::Endpoint;
use crate::domain::webhook::pending::Pending;
use crate::domain::webhook::schedule::{self, Next};
use crate::domain::webhook::signature::signatures;
use crate::engine::chance;
use crate::engine::isolation::{Effort, Ended, Isolation, Verdict};
use crate::engine::lease::Held;
use crate::engine::outage::Gates;
use crate::engine::receipts::Receipts;
use crate::engine::stop::Stop;
use crate::engine::tally::Tally;
use crate::ports::clock::Clock;
use crate::ports::crash;
use crate::ports::queue::Delivery;
use crate::ports::store::StoreError;
use crate::ports::teams::{Lookup, Teams, TeamsUnavailable};
use crate::ports::webhook::{Answered, Post, PostError, Reach, Webhook};

/// How soon a delivery that cannot be sent as things are is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// How long what the store holds is waited for where it cannot be.
const BROKEN_WAIT: Duration = Duration::from_secs(900);
/// Receipts that are read at once: a large one takes megabytes, and what is sent of it some kilobytes.
const READS_AT_ONCE: usize = 4;
/// How soon a delivery comes back that had no way out.
const NO_WAY_OUT: Duration = Duration::from_secs(10);
/// How long a link to a receipt opens it.
const LINK_LASTS: Duration = Duration::from_secs(24 * 3600);

/// Makes deliveries.
pub struct Deliverer {
    /// What became of tasks.
    pub receipts: Receipts,
    /// Who the teams are.
    pub teams: Arc<dyn Teams>,
    /// Sends.
    pub webhook: Arc<dyn Webhook>,
    /// What is kept of endpoints.
    pub endpoints: Endpoints,
    /// Who may send now.
    pub crowd: Crowd,
    /// Networks that callback URLs may reach beside public addresses.
    pub allow_networks: Vec<IpNet>,
    /// The time of day.
    pub clock: Clock,
    /// What was done so far.
    pub tally: Arc<Tally>,
    /// What may be away.
    pub gates: Gates,
    /// When to let go.
    pub stop: Stop,
    /// Room to read receipts in.
    pub reads: Semaphore,
    /// Who must be worked on alone.
    pub isolation: Isolation,
}

/// What is known before a try is sent.
struct Ready {
    format: CallbackFormat,
    proof: Proof,
    body: Body,
}

/// What an endpoint answered to a try; no status where nobody answered.
struct Answer {
    endpoint: Endpoint,
    status: Option<u16>,
}

/// Why nothing was sent.
enum Unsent {
    /// It never will be: the message is not what it seems.
    Refused(&'static str),
    /// The team's record does not let it out as it is.
    Held(String),
    /// The store holds what cannot be.
    Broken(StoreError),
}

impl Deliverer {
    /// The room that a deliverer has for reading receipts.
    #[must_use]
    pub fn reads() -> Semaphore {
        Semaphore::new(READS_AT_ONCE)
    }

    /// Makes one try and settles the message.
    pub async fn run(&self, delivery: Delivery, held: Held) {
        let mut answer = None;
        let noted = &mut answer;
        let work = |effort| {
            // Moved in: there is one run.
            let noted = noted;
            self.work(&delivery, noted, effort)
        };
        let Ended { verdict, place } = self.isolation.run(&delivery, &held, work).await;
        self.isolation.settled(place, self.end(&held, &verdict)).await;
        if let Some(Answer { endpoint, status }) = answer {
            self.endpoints.note(&endpoint, status, self.clock.now()).await;
        }
    }

    async fn end(&self, held: &Held, verdict: &Verdict) {
        let settlement = match verdict {
            Verdict::Settle(settlement) if held.settle(settlement, &self.stop).await => settlement,
            Verdict::Settle(_) | Verdict::Leave => {
                Tally::add(&self.tally.lost);
                return info!("could not settle a webhook's delivery: it will be made again, under the same id");
            }
        };
        if let Settlement::DeadLetter(DeadLetter { reason, detail, .. }) = settlement {
            warn!(%reason, detail, "dead-lettered a webhook's delivery");
            self.tally.add_dead(*reason);
            if matches!(reason, Reason::WebhookExhausted | Reason::AttemptsExhausted) {
                Tally::add(&self.tally.webhooks.exhausted);
            }
        }
    }

    /// Makes one try, unless there may be none any more.
    async fn work(&self, delivery: &Delivery, answer: &mut Option<Answer>, effort: Effort) -> Verdict {
        match effort {
            Effort::Whole => Verdict::Settle(tokio::select! {
                biased;
                () = self.stop.was_cut() => hand_back(Duration::ZERO),
                settlement = self.deliver(delivery, answer) => settlement,
            }),
            // Nothing tells whether an endpoint has had it.
            Effort::Look => self.isolation.exhausted(delivery),
        }
    }

    /// Makes one try; `answer` is set when one was sent.
    async fn deliver(&self, delivery: &Delivery, answer: &mut Option<Answer>) -> Settlement {
        let pending = match Pending::decode(&delivery.message.body) {
            Ok(pending) => pending,
            Err(detail) => return dead(Reason::Undecodable, detail.to_owned(), delivery.attempts),
        };
        let endpoint = Endpoint::of(&pending.team, &pending.url);
        let place = match self.crowd.enter(&endpoint, pending.url.host_str().unwrap_or_default()) {
            Ok(place) => place,
            Err(wait) => {
                Tally::add(&self.tally.webhooks.put_off);
                return Settlement::PutOff { delay: wait };
            }
        };
        match self.is_disabled(&endpoint).await {
            Ok(false) => {}
            Ok(true) => {
                let detail = format!("{} is disabled since it answered 410", endpoint.url());
                return exhausted(detail, delivery.attempts);
            }
            Err(error) => return broken(&error),
        }
        match self.prepare(&pending).await {
            Ok(ready) => {
                let tried = self.send(&pending, ready, place).await;
                if let Err(PostError::NoWayOut(why)) = &tried {
                    self.gates.way_out.went_down(why);
                    return hand_back(NO_WAY_OUT);
                }
                let status = tried.as_ref().ok().map(|answered| answered.status);
                *answer = Some(Answer { endpoint: endpoint.clone(), status });
                self.judge(&pending, &endpoint, tried, delivery.attempts.saturating_add(1)).await
            }
            Err(unsent) => self.unsent(&pending, unsent, delivery.attempts),
        }
    }

    async fn is_disabled(&self, endpoint: &Endpoint) -> Result<bool, StoreError> {
        let gate = &self.gates.store;
        gate.until_answered(StoreError::is_transient, || self.endpoints.is_disabled(endpoint)).await
    }

    /// Reads what is sent, and by what the receiver knows us.
    async fn prepare(&self, pending: &Pending) -> Result<Ready, Unsent> {
        let team = self.team(pending).await?;
        let callback = team.record.callback.as_ref();
        let proof = proof(&pending.url, callback, &self.allow_networks).map_err(|why| Unsent::Held(why.to_owned()))?;
        let format = callback.map(|callback| callback.format).unwrap_or_default();
        let _room = self.reads.acquire().await.expect("room is never closed");
        let found = self.receipts.round(&pending.team, &pending.task_id, pending.round).await;
        let receipt = found.map_err(Unsent::Broken)?;
        let receipt = receipt.ok_or(Unsent::Refused("there is no receipt of this task and round"))?;
        if receipt.event_id != pending.event_id {
            return Err(Unsent::Refused("event_id is not the receipt's"));
        }
        let body = self.body(&receipt, format).await.map_err(Unsent::Broken)?;
        Ok(Ready { format, proof, body })
    }

    async fn team(&self, pending: &Pending) -> Result<Arc<KnownTeam>, Unsent> {
        let is_outage = |_: &TeamsUnavailable| true;
        match self.gates.teams.until_answered(is_outage, || self.teams.team(&pending.team)).await {
            Ok(Lookup::Known(team)) => Ok(team),
            Ok(Lookup::Unknown) => Err(Unsent::Held(format!("no team {} is known", pending.team))),
            Err(_) => unreachable!("every error of a directory is an outage"),
        }
    }

    async fn body(&self, receipt: &Receipt, format: CallbackFormat) -> Result<Body, StoreError> {
        if let Some(whole) = body::whole(receipt, format) {
            return Ok(whole);
        }
        let link = self.receipts.link(receipt, LINK_LASTS).await?;
        Ok(body::cut(receipt, format, &self.receipts.uri(receipt), link.as_ref()))
    }

    async fn send(&self, pending: &Pending, ready: Ready, place: Place) -> Result<Answered, PostError> {
        let answered = self.webhook.post(self.post(pending, ready)).await;
        crash::point("webhook-sent");
        match &answered {
            Ok(_) => {
                self.gates.way_out.came_back();
                place.ended(crowd::Ended::Answered);
            }
            // Nothing was learned of the endpoint.
            Err(PostError::NoWayOut(_)) => drop(place),
            Err(PostError::Blocked(_) | PostError::TimedOut(_) | PostError::Unreachable(_)) => {
                place.ended(crowd::Ended::Silent)
            }
        }
        answered
    }

    fn post(&self, pending: &Pending, ready: Ready) -> Post {
        let Ready { format, proof, body } = ready;
        let timestamp = self.clock.now().as_second();
        let mut fields = vec![("webhook-id", pending.event_id.clone()), ("webhook-timestamp", timestamp.to_string())];
        if !proof.secrets.is_empty() {
            let signed = signatures(&proof.secrets, &pending.event_id, timestamp, &body.bytes);
            fields.push(("webhook-signature", signed));
        }
        let mut reach = Reach::Public;
        if let (CallbackFormat::Scale, Some(auth)) = (format, proof.auth_key) {
            fields.push(("scale-callback-auth", auth.key));
            if auth.allowed_networks_only {
                reach = Reach::AllowedOnly;
            }
        }
        Post { url: pending.url.clone(), fields, content_type: body.content_type, body: body.bytes.into(), reach }
    }

    /// Decides what follows from an answer, after `tries` tries with this one.
    async fn judge(
        &self, pending: &Pending, endpoint: &Endpoint, answered: Result<Answered, PostError>, tries: u32,
    ) -> Settlement {
        let (what, retry_after) = match answered {
            Ok(Answered { status: 200..=299, .. }) => {
                Tally::add(&self.tally.webhooks.delivered);
                debug!(event.id = pending.event_id, team = %pending.team, tries, "delivered a webhook to {}", endpoint.url());
                return Settlement::Done;
            }
            Ok(Answered { status: 410, .. }) => return self.disable(endpoint, tries).await,
            Ok(Answered { status, retry_after }) => (format!("it answered {status}"), retry_after),
            Err(error) => (error.to_string(), None),
        };
        Tally::add(&self.tally.webhooks.failed);
        let jitter = chance::draw();
        match schedule::next(tries, pending.created_at, self.clock.now(), retry_after, jitter) {
            Next::After(delay) => {
                debug!(event.id = pending.event_id, team = %pending.team, tries, ?delay, "a webhook to {} failed: {what}", endpoint.url());
                Settlement::Retry { attempts: tries, delay }
            }
            Next::Never => exhausted(format!("{} was tried {tries} times; at last {what}", endpoint.url()), tries),
        }
    }

    /// Nothing is delivered here any more until somebody says so. The switch is durable before the message goes.
    async fn disable(&self, endpoint: &Endpoint, tries: u32) -> Settlement {
        let gate = &self.gates.store;
        let now = self.clock.now();
        let switched =
            gate.until_answered(StoreError::is_transient, || self.endpoints.switch(endpoint, true, now)).await;
        if let Err(error) = switched {
            return broken(&error);
        }
        Tally::add(&self.tally.webhooks.failed);
        warn!(team = %endpoint.team(), "{} answered 410: it is disabled until `longshore webhooks enable`", endpoint.url());
        exhausted(format!("{} answered 410: it is disabled", endpoint.url()), tries)
    }

    fn unsent(&self, pending: &Pending, unsent: Unsent, attempts: u32) -> Settlement {
        match unsent {
            Unsent::Refused(detail) => dead(Reason::Undecodable, detail.to_owned(), attempts),
            Unsent::Broken(error) => broken(&error),
            Unsent::Held(why) if schedule::is_over(pending.created_at, self.clock.now()) => {
                exhausted(format!("it cannot be sent: {why}"), attempts)
            }
            Unsent::Held(why) => {
                debug!(event.id = pending.event_id, team = %pending.team, "a webhook cannot be sent now: {why}");
                hand_back(LOOK_AGAIN)
            }
        }
    }
}

fn exhausted(detail: String, attempts: u32) -> Settlement {
    dead(Reason::WebhookExhausted, detail, attempts)
}

fn dead(reason: Reason, detail: String, attempts: u32) -> Settlement {
    Settlement::DeadLetter(DeadLetter { reason, detail, attempts })
}

fn hand_back(delay: Duration) -> Settlement {
    Settlement::HandBack { delay }
}

/// The store answers, and what it says cannot be: a person must look. Nothing is used up meanwhile.
fn broken(error: &StoreError) -> Settlement {
    warn!(%error, "internal storage holds what cannot be; a webhook waits");
    hand_back(BROKEN_WAIT)
}
