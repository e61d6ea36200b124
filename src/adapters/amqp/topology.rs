//! The queues and the exchange that we need on the broker: declared, or looked for.
//!
//! Task, tier and dead-letter queues are quorum queues without a delivery limit. What leaves one by itself is moved at
//! least once: it is gone here only when it is safe there. That needs the overflow rule `reject-publish`.
//! Nothing is ever deleted, and what exists with other arguments is not touched: it is refused by name.

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};

use super::address::BadAmqp;
use super::connection::{Link, answered};
use super::ladder::{LADDER, Tier};
use super::trouble::Trouble;

/// The longest name that leaves room for the tiers' suffixes within AMQP's 255 bytes.
const NAME_BYTES_MAX: usize = 240;

/// The queues of one kind of message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queues {
    /// The task queue.
    pub(super) task: ShortString,
    /// The dead-letter queue.
    pub(super) dead: ShortString,
    /// Whether the dead-letter queue is another's, too: the broker itself then moves nothing there, so that queues of one name
    /// are declared alike whatever dead-letter queue stands beside them.
    pub(super) shares_dead: bool,
}

impl Queues {
    /// Checks the names.
    pub(super) fn new(task: &str, dead: &str) -> Result<Self, BadAmqp> {
        Ok(Self {
            task: checked_name("queue", task)?,
            dead: checked_name("dead-letter queue", dead)?,
            shares_dead: false,
        })
    }

    /// Returns the queue of `tier`.
    pub(super) fn tier(&self, tier: Tier) -> ShortString {
        tier.queue_of(self.task.as_str()).into()
    }
}

/// Returns `name` as a short string, if it is one that a queue or an exchange can have.
pub(super) fn checked_name(what: &str, name: &str) -> Result<ShortString, BadAmqp> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with("amq.") {
        let rule = format!("must have 1 to {NAME_BYTES_MAX} bytes and not begin with `amq.`");
        return Err(BadAmqp(format!("the {what}'s name {rule}: `{name}`")));
    }
    Ok(ShortString::from(name))
}

/// What a connection needs to find on the broker.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    /// What it is.
    pub(super) wanted: Wanted,
    /// Whether we may make it.
    pub(super) declare: bool,
}

/// What is needed.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// Task, tier and dead-letter queues.
    Queues(Queues),
    /// A durable topic exchange.
    Exchange(ShortString),
}

impl Topology {
    /// Makes or finds everything. May be repeated.
    pub(super) async fn ensure(&self, link: &Link) -> Result<(), Trouble> {
        match &self.wanted {
            Wanted::Queues(queues) => self.ensure_queues(link, queues).await,
            Wanted::Exchange(exchange) => self.ensure_exchange(link, exchange).await,
        }
    }

    async fn ensure_queues(&self, link: &Link, queues: &Queues) -> Result<(), Trouble> {
        let unlimited = link.server_major().is_some_and(|major| major >= 4);
        let channel = link.channel().await?;
        let mut missing = Vec::new();
        for (name, arguments) in all_queues(queues, unlimited) {
            if self.declare {
                let options = QueueDeclareOptions { durable: true, ..Default::default() };
                answered(|| channel.status().connected(), channel.queue_declare(name.clone(), options, arguments))
                    .await
                    .map_err(|trouble| trouble.at(&format!("declaring the queue {name}")))?;
            } else {
                missing.extend(look_for_queue(link, name).await?);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.join(", ");
        Err(Trouble::Refused(format!("these queues are missing, and `declare` is false: {names}")))
    }

    async fn ensure_exchange(&self, link: &Link, exchange: &ShortString) -> Result<(), Trouble> {
        let options = ExchangeDeclareOptions { passive: !self.declare, durable: true, ..Default::default() };
        let channel = link.channel().await?;
        let declaring = channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, options, FieldTable::default());
        answered(|| channel.status().connected(), declaring)
            .await
            .map_err(|trouble| trouble.at(&format!("the exchange {exchange}")))
    }
}

/// Looks for a queue on a channel of its own, since the broker closes the channel when there is none.
async fn look_for_queue(link: &Link, name: ShortString) -> Result<Option<String>, Trouble> {
    let channel = link.channel().await?;
    match ready_messages(&channel, name.clone()).await {
        Ok(_count) => Ok(None),
        Err(Trouble::Refused(text)) if text.starts_with("NOT_FOUND") => Ok(Some(name.to_string())),
        Err(trouble) => Err(trouble.at(&format!("looking for the queue {name}"))),
    }
}

/// Returns how many messages of the queue wait to be delivered.
pub(super) async fn ready_messages(channel: &Channel, name: ShortString) -> Result<u32, Trouble> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let asking = channel.queue_declare(name, options, FieldTable::default());
    let queue = answered(|| channel.status().connected(), asking).await?;
    Ok(queue.message_count())
}

/// Lists the queues with their arguments; `unlimited` where the broker has a delivery limit unless told otherwise.
fn all_queues(queues: &Queues, unlimited: bool) -> Vec<(ShortString, FieldTable)> {
    let quorum = || {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        if unlimited {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(-1));
        }
        arguments
    };
    let moving_to = |target: &ShortString| {
        let mut arguments = quorum();
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text(target.as_str()));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments
    };
    // Targets come first, so that nothing moves to a queue that is not there yet.
    let own = if queues.shares_dead { quorum() } else { moving_to(&queues.dead) };
    let mut all = vec![(queues.dead.clone(), quorum()), (queues.task.clone(), own)];
    for tier in LADDER {
        let mut arguments = moving_to(&queues.task);
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(i64::from(tier.millis)));
        all.push((queues.tier(tier), arguments));
    }
    all
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_lifted_only_where_there_is_one() {
        let queues = Queues::new("tasks", "tasks.dead").unwrap();
        for (name, arguments) in all_queues(&queues, false) {
            assert!(!arguments.contains_key("x-delivery-limit"), "{name}");
        }
        for (name, arguments) in all_queues(&queues, true) {
            let limit = arguments.inner().get("x-delivery-limit");
            assert_eq!(limit, Some(&AMQPValue::LongLongInt(-1)), "{name}");
        }
    }

    #[test]
    fn all_queues_but_the_dead_one_move_messages_at_least_once() {
        let queues = Queues::new("tasks", "tasks.dead").unwrap();
        let all = all_queues(&queues, false);
        assert_eq!(all.len(), 2 + LADDER.len());
        for (name, arguments) in all.iter().filter(|(name, _)| *name != queues.dead) {
            let strategy = arguments.inner().get("x-dead-letter-strategy");
            assert_eq!(strategy, Some(&text("at-least-once")), "{name}");
            assert_eq!(arguments.inner().get("x-overflow"), Some(&text("reject-publish")), "{name}");
        }
    }

    #[test]
    fn a_queue_that_shares_its_dead_letters_is_declared_alike_beside_any_dead_letter_queue() {
        let own = |dead: &str| {
            let queues = Queues { shares_dead: true, ..Queues::new("webhooks", dead).unwrap() };
            all_queues(&queues, false).into_iter().filter(|(name, _)| name.as_str() != dead).collect::<Vec<_>>()
        };
        assert_eq!(own("one.dead"), own("other.dead"));
    }

    #[test]
    fn names_that_the_broker_would_refuse_are_refused_at_once() {
        for name in ["", "amq.mine", &"n".repeat(241)] {
            assert!(Queues::new(name, "dead").is_err(), "{name}");
            assert!(Queues::new("tasks", name).is_err(), "{name}");
        }
    }
}
