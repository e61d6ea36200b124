//! The typed settings: one structure for each section of `deploy/longshore.toml`, field for field.
//!
//! What a field means, its default and the reason stand in that file; a test keeps the two the same.

mod clouds;
mod limits;
mod messages;
mod normalize;
mod process;
mod sources;
mod storage;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use clouds::{AwsConfig, AzureConfig, GcpConfig};
pub use limits::{Limit, LimitOverride, LimitsConfig, RetryConfig, SharedLimitsConfig};
pub use messages::{EventsConfig, QueueConfig, SnsTopic, WebhooksConfig};
pub use normalize::{ImageFormat, ProfileConfig};
pub use process::{AdminConfig, LogFormat, ShutdownConfig, TelemetryConfig};
pub use sources::{
    AzureSourceConfig, CrossAccount, FileSourceConfig, GcsSourceConfig, HttpSourceConfig, S3SourceConfig, SourcesConfig,
};
pub use storage::{StoreConfig, TeamsConfig};

/// All settings, as they are in force: defaults, file and environment together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the embedded queue and, by default, the store.
    pub state_dir: PathBuf,
    /// Where tasks come from.
    pub queue: QueueConfig,
    /// Completions for upstream systems.
    pub events: EventsConfig,
    /// Completions for customers.
    pub webhooks: WebhooksConfig,
    /// Where the copies go.
    pub store: StoreConfig,
    /// Where the teams' records come from.
    pub teams: TeamsConfig,
    /// The worker's own identity on AWS.
    pub aws: AwsConfig,
    /// The worker's own identity on Google's cloud.
    pub gcp: GcpConfig,
    /// The worker's own identity on Azure.
    pub azure: AzureConfig,
    /// How each kind of source is read.
    pub sources: SourcesConfig,
    /// Named normalization profiles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub normalize: BTreeMap<String, ProfileConfig>,
    /// What may go on at the same time, and how fast.
    pub limits: LimitsConfig,
    /// When what failed is tried again.
    pub retry: RetryConfig,
    /// How the worker ends.
    pub shutdown: ShutdownConfig,
    /// The admin page.
    pub admin: AdminConfig,
    /// Logs, metrics and traces.
    pub telemetry: TelemetryConfig,
}
