//! Puts adapters in the ports' places, as the configuration says: the only folder that names concrete adapters.
//!
//! Nothing here decides what is done with a task. Opening may fail for now or for good ([`Trouble`]): a worker waits for the
//! first, a command ends with it. Each function maps one section of the configuration to one adapter's options.

mod envelopes;
mod queues;
mod settings;
mod sources;
mod store;
mod teams;
mod webhooks;

pub use envelopes::envelopes;
pub use queues::{
    ImportQueue, dead_letters, import_queue, local_events, publisher, task_queue, webhook_backlog, webhook_queue,
};
pub use settings::{retry, settings, trusted};
pub use sources::{FileRoots, aws_identities, budget, fetcher, integration_checks, way_out};
pub use store::{OpenStore, store, store_unproven};
pub use teams::{check_teams, teams};
pub use webhooks::{allow_networks, webhook};

use super::config::Config;
use super::exit::Failure;

/// Why something could not be opened.
#[derive(Debug)]
pub enum Trouble {
    /// It may be there later.
    ForNow(String),
    /// A person must change something.
    ForGood(Failure),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::ForNow(why) => Self::unreachable(why),
            Trouble::ForGood(failure) => failure,
        }
    }
}

fn bad_setting(key: &str, error: &dyn std::fmt::Display) -> Trouble {
    Trouble::ForGood(Failure::bad_input(format!("{key}: {error}")))
}

/// The worker's own AWS set-up: region by configuration, else by the AWS environment.
async fn aws(config: &Config) -> aws_config::SdkConfig {
    let mut loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12());
    if let Some(region) = config.aws.region.clone() {
        loader = loader.region(aws_config::Region::new(region));
    }
    loader.load().await
}
