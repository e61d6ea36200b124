//! The queues of a world, whatever they are kept in.

use longshore::ports::queue::Outgoing;

use super::broker::Broker;
use super::embedded::Embedded;
use super::expect::Sent;
use super::seen::{Dead, Event};
use super::sqs::Sqs;

/// Tasks, dead letters and events of one world.
pub(crate) enum Queue {
    Broker(Broker),
    Sqs(Sqs),
    Embedded(Embedded),
}

impl Queue {
    /// The configuration's part about queues.
    pub(crate) fn config(&self) -> String {
        match self {
            Self::Broker(broker) => broker.config(),
            Self::Sqs(sqs) => sqs.config(),
            Self::Embedded(embedded) => embedded.config(),
        }
    }

    /// Puts messages on the task queue.
    pub(crate) async fn send(&self, sent: &[Sent]) {
        let messages: Vec<Outgoing> = sent.iter().map(outgoing).collect();
        match self {
            Self::Broker(broker) => broker.send(&messages).await,
            Self::Sqs(sqs) => sqs.send(&messages).await,
            Self::Embedded(embedded) => embedded.send(&messages).await,
        }
    }

    /// The SQS side.
    pub(crate) fn sqs(&self) -> &Sqs {
        match self {
            Self::Sqs(sqs) => sqs,
            Self::Broker(_) | Self::Embedded(_) => panic!("this world has no SQS"),
        }
    }

    /// Whether a task is still on its way to its event or its end. On RabbitMQ only the first event can be waited for.
    pub(crate) async fn is_busy(&self) -> bool {
        match self {
            Self::Broker(broker) => broker.events_waiting().await == 0,
            Self::Sqs(_) | Self::Embedded(_) => self.left().await.iter().any(|(_, count)| *count > 0),
        }
    }

    /// All events; they are taken off their queue on RabbitMQ and SQS.
    pub(crate) async fn events(&self) -> Vec<Event> {
        match self {
            Self::Broker(broker) => broker.take_events().await,
            Self::Sqs(sqs) => sqs.take_events().await,
            Self::Embedded(embedded) => embedded.events().await,
        }
    }

    /// All dead letters; they are taken off their queue on RabbitMQ and SQS.
    pub(crate) async fn dead(&self) -> Vec<Dead> {
        match self {
            Self::Broker(broker) => broker.take_dead().await,
            Self::Sqs(sqs) => sqs.take_dead().await,
            Self::Embedded(embedded) => embedded.dead().await,
        }
    }

    /// How many messages are left, by queue or sort.
    pub(crate) async fn left(&self) -> Vec<(String, u64)> {
        match self {
            Self::Broker(broker) => broker.left().await,
            Self::Sqs(sqs) => sqs.left().await,
            Self::Embedded(embedded) => embedded.left().await,
        }
    }

    /// Takes away what is not in the world's own folder.
    pub(crate) async fn clear(&self) {
        match self {
            Self::Broker(broker) => broker.clear().await,
            Self::Sqs(sqs) => sqs.clear().await,
            Self::Embedded(_) => {}
        }
    }
}

fn outgoing(sent: &Sent) -> Outgoing {
    let team = sent.team_attribute.clone();
    Outgoing {
        id: sent.id.clone(),
        body: sent.body.clone(),
        attributes: team.map(|team| ("team".to_owned(), team)).into_iter().collect(),
        // As `submit` does: the team is the group.
        group: sent.wanted().map(|wanted| wanted.team.clone()),
    }
}
