//! `[shutdown]`, `[admin]` and `[telemetry]`: the process itself.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::shell::config::address::Endpoint;
use crate::shell::config::text;
use crate::shell::config::units::TimeSpan;

/// How the worker ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShutdownConfig {
    /// Time for the work in hand before it is handed back.
    pub grace: TimeSpan,
}

/// The admin page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Where it listens; port 0 picks one; not set: nowhere.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub listen: Option<SocketAddr>,
}

/// Logs, metrics and traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where traces are sent.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub otlp_endpoint: Option<Endpoint>,
    /// Level or filters of the log.
    pub log: String,
    /// The log's form.
    pub log_format: LogFormat,
    /// Put the team's name on metrics.
    pub team_labels: bool,
}

/// The log's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// One JSON document a line.
    Json,
}
