//! The SDK's client as we use it: our own retries, our own time-outs, and a count of what was really asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, ConfigBag, Intercept, Region, RuntimeComponents};
use aws_sdk_sqs::error::BoxError;

use super::address::Address;

/// How much longer than a poll a request may take: a long poll that hangs would hold up everything for ever.
const BEYOND_POLL: Duration = Duration::from_secs(10);

/// What a client is made of.
pub(super) struct ClientOptions<'a> {
    pub(super) sdk: &'a SdkConfig,
    pub(super) endpoint_url: Option<&'a str>,
    pub(super) region: Option<&'a str>,
    pub(super) poll_wait: Duration,
}

/// Counts the requests that left this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "longshore-counter"
    }

    fn read_before_transmit(
        &self, _context: &BeforeTransmitInterceptorContextRef<'_>, _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Makes a client for the queue at `address`.
pub(super) fn client(address: &Address, options: &ClientOptions<'_>) -> (Client, Counter) {
    let counter = Counter::default();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_millis(3100))
        .operation_attempt_timeout(options.poll_wait + BEYOND_POLL)
        .build();
    let mut config = aws_sdk_sqs::config::Builder::from(options.sdk)
        .behavior_version(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .interceptor(counter.clone());
    if let Some(region) = options.region.or(address.region.as_deref()) {
        config = config.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = options.endpoint_url.or(address.endpoint.as_deref()) {
        config = config.endpoint_url(endpoint);
    }
    (Client::from_conf(config.build()), counter)
}
