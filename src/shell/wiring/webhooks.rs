//! Makes what sends webhooks.

use std::sync::Arc;

use ipnet::IpNet;

use super::sources::{bad_tls, way_out};
use crate::adapters::fetch::webhook::{HttpWebhook, WebhookOptions};
use crate::ports::webhook::Webhook;
use crate::shell::config::Config;
use crate::shell::exit::Failure;

/// Makes the sender of webhooks.
///
/// # Errors
/// A machine whose TLS set-up cannot be used, or a way out that it does not have.
pub fn webhook(config: &Config) -> Result<Arc<dyn Webhook>, Failure> {
    let options = WebhookOptions {
        allow_networks: allow_networks(config),
        connect_timeout: config.sources.http.connect_timeout.get(),
        timeout: config.webhooks.timeout.get(),
        way_out: way_out(&config.sources.http)?,
    };
    Ok(Arc::new(HttpWebhook::new(&options).map_err(bad_tls)?))
}

/// Networks that callback URLs may reach beside public addresses.
#[must_use]
pub fn allow_networks(config: &Config) -> Vec<IpNet> {
    config.webhooks.allow_networks.iter().map(|network| network.get()).collect()
}
