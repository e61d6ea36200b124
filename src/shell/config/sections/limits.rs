//! `[limits]` and `[retry]`: how much at the same time, how fast, and when again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::shell::config::address::Endpoint;
use crate::shell::config::text;
use crate::shell::config::units::{ByteRate, ByteSize, RequestRate, TimeSpan};

/// What may go on at the same time, and how fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Fetches at the same time.
    pub attachments_in_flight: u32,
    /// Messages held at the same time.
    pub messages_in_hand: u32,
    /// Bytes buffered for parts and pixels.
    pub memory: ByteSize,
    /// For each plain http(s) host.
    pub per_host: Limit,
    /// For single hosts, by name in lower case without port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host: BTreeMap<String, LimitOverride>,
    /// For each cloud bucket or storage account.
    pub per_bucket: Limit,
    /// For each team.
    pub per_team: Limit,
    /// Over all replicas.
    pub shared: SharedLimitsConfig,
}

impl LimitsConfig {
    /// Returns the limit of one host: its own numbers, and `per_host`'s for the rest.
    #[must_use]
    pub fn for_host(&self, host: &str) -> Limit {
        let Some(own) = self.host.get(&host.to_ascii_lowercase()) else {
            return self.per_host;
        };
        Limit {
            requests_per_second: own.requests_per_second.unwrap_or(self.per_host.requests_per_second),
            in_flight: own.in_flight.unwrap_or(self.per_host.in_flight),
            bytes_per_second: own.bytes_per_second.unwrap_or(self.per_host.bytes_per_second),
        }
    }
}

/// How fast and how much at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Requests sent, retries, hops and ranges too.
    pub requests_per_second: RequestRate,
    /// Requests at the same time, for each replica.
    pub in_flight: u32,
    /// Bytes of bodies.
    pub bytes_per_second: ByteRate,
}

/// One host's own numbers; what is not set is as for every host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOverride {
    /// Requests sent, retries, hops and ranges too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<RequestRate>,
    /// Requests at the same time, for each replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Bytes of bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<ByteRate>,
}

/// Limits that hold over all replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedLimitsConfig {
    /// The Redis that hands out the time slots.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub redis_url: Option<Endpoint>,
}

/// When what failed is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryConfig {
    /// Tries in place, within one delivery.
    pub tries: u32,
    /// First delay between them.
    pub base: TimeSpan,
    /// Longest delay between them.
    pub max: TimeSpan,
    /// How many tries again a hundred first tries of a team at a host or bucket pay for.
    pub budget_percent: u32,
    /// First delay of a message that could not be settled.
    pub message_base: TimeSpan,
    /// Longest delay of a message.
    pub message_max: TimeSpan,
}
