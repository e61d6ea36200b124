//! `[queue]`, `[events]` and `[webhooks]`: what comes in and what goes out as messages.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::id::TeamId;
use crate::shell::config::address::QueueUrl;
use crate::shell::config::text;
use crate::shell::config::units::{Network, TimeSpan};

/// Where tasks come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueConfig {
    /// The queue, or the broker that holds it.
    pub url: QueueUrl,
    /// AMQP: name of the task queue.
    pub name: String,
    /// AMQP: name of the queue of dead letters; SQS: its URL.
    pub dead_letter: String,
    /// AMQP: declare the topology, or only check it.
    pub declare: bool,
    /// How long a message stays ours, unless extended.
    pub lease: TimeSpan,
    /// Counted attempts before a task is given up.
    pub max_attempts: u32,
    /// How long one delivery may be worked on.
    pub hold: TimeSpan,
    /// How many of a busy team's messages are moved behind.
    pub lookahead: u32,
    /// SNS topics whose envelopes are taken.
    pub sns_topics: Vec<SnsTopic>,
    /// Folder of certificates that may sign SNS envelopes.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub sns_certificates: Option<PathBuf>,
    /// Buckets whose extended-client pointers are followed.
    pub pointer_buckets: Vec<String>,
}

/// An SNS topic whose envelopes are taken, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "WrittenTopic")]
pub struct SnsTopic {
    /// The topic's ARN.
    pub arn: String,
    /// The customer's team, where the topic is a customer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamId>,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(untagged, deny_unknown_fields, expecting = "expected a topic's ARN, or { arn = \"…\", team = \"…\" }")]
enum WrittenTopic {
    Arn(String),
    WithTeam { arn: String, team: Option<String> },
}

impl TryFrom<WrittenTopic> for SnsTopic {
    type Error = String;

    fn try_from(written: WrittenTopic) -> Result<Self, String> {
        let (arn, team) = match written {
            WrittenTopic::Arn(arn) => (arn, None),
            WrittenTopic::WithTeam { arn, team } => (arn, team),
        };
        let parts: Vec<&str> = arn.split(':').collect();
        let is_topic = matches!(parts[..], ["arn", _, "sns", _, _, _]) && parts.iter().all(|part| !part.is_empty());
        if !is_topic {
            return Err(format!("{arn:?} is no topic's ARN: write \"arn:aws:sns:REGION:ACCOUNT:NAME\""));
        }
        let team = team.map(TeamId::new).transpose().map_err(|bad| bad.to_string())?;
        Ok(Self { arn, team })
    }
}

/// Completions for upstream systems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventsConfig {
    /// Where they are published; not set: nowhere.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub url: Option<QueueUrl>,
    /// AMQP: the topic exchange.
    pub exchange: String,
    /// AMQP: an event that no queue is bound for is a failure.
    pub mandatory: bool,
}

/// Completions for customers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhooksConfig {
    /// SQS: the queue of pending deliveries.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub queue_url: Option<QueueUrl>,
    /// AMQP: name of that queue.
    pub name: String,
    /// Networks that callback URLs may reach beside public addresses.
    pub allow_networks: Vec<Network>,
    /// How long one try may take.
    pub timeout: TimeSpan,
}
