//! What the deployment decides for the engine, out of the configuration.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::access::CrossAccount;
use crate::domain::message::{Topic, Trusted};
use crate::domain::plan::Policy;
use crate::domain::settlement::MessageBackoff;
use crate::engine::limits::{Limit, LimitTable, Limits};
use crate::engine::retry::RetryPolicy;
use crate::engine::settings::Settings;
use crate::shell::config::{Config, CrossAccount as CrossAccountConfig, Limit as LimitConfig, SnsTopic, StoreUrl};

/// The normalization profiles that there are.
pub(super) const PROFILES: [&str; 2] = ["original", "standard"];

/// What the deployment decides for the engine.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    let usize_of = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Settings {
        messages_in_hand: config.limits.messages_in_hand as usize,
        lookahead: config.queue.lookahead,
        attachments_in_flight: config.limits.attachments_in_flight as usize,
        memory_bytes: usize_of(config.limits.memory.get()),
        attachment_bytes_max: config.sources.http.max_bytes.get(),
        max_attempts: config.queue.max_attempts,
        hold: config.queue.hold.get(),
        backoff: MessageBackoff { base: config.retry.message_base.get(), max: config.retry.message_max.get() },
        retry: retry(config),
        limits: limits(config),
        policy: Policy {
            allow_plain: config.sources.http.allow_plain,
            cross_account: match config.sources.s3.cross_account {
                CrossAccountConfig::Declared => CrossAccount::Declared,
                CrossAccountConfig::Open => CrossAccount::Open,
                CrossAccountConfig::Off => CrossAccount::Off,
            },
            own_buckets: own_buckets(config),
            azure_suffixes: config.sources.azure.host_suffixes.clone(),
            profiles: PROFILES.map(str::to_owned).into(),
        },
        trusted: Arc::new(trusted(config)),
        grace: config.shutdown.grace.get(),
    }
}

/// Whose envelopes are taken.
#[must_use]
pub fn trusted(config: &Config) -> Trusted {
    let topic = |topic: &SnsTopic| Topic { arn: topic.arn.clone(), team: topic.team.clone() };
    Trusted {
        topics: config.queue.sns_topics.iter().map(topic).collect(),
        pointer_buckets: config.queue.pointer_buckets.clone(),
    }
}

/// The store's bucket, and those where others' messages lie.
fn own_buckets(config: &Config) -> Vec<String> {
    let store = match &config.store.url {
        StoreUrl::S3 { bucket, .. } => Some(bucket.clone()),
        StoreUrl::File { .. } => None,
    };
    store.into_iter().chain(config.queue.pointer_buckets.iter().cloned()).collect()
}

/// How often something is tried in place.
#[must_use]
pub fn retry(config: &Config) -> RetryPolicy {
    let retry = &config.retry;
    RetryPolicy {
        tries: retry.tries,
        base: retry.base.get(),
        max: retry.max.get(),
        budget_percent: retry.budget_percent,
    }
}

fn limits(config: &Config) -> LimitTable {
    let limits = &config.limits;
    let hosts = limits.host.keys().map(|host| (host.clone(), limit(limits.for_host(host))));
    LimitTable::new(Limits {
        per_host: limit(limits.per_host),
        hosts: hosts.collect::<HashMap<_, _>>(),
        per_bucket: limit(limits.per_bucket),
        per_team: limit(limits.per_team),
    })
}

fn limit(config: LimitConfig) -> Limit {
    Limit {
        requests_per_second: config.requests_per_second.get(),
        in_flight: config.in_flight as usize,
        bytes_per_second: config.bytes_per_second.get(),
    }
}
