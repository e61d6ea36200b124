//! `[sources.*]`: how each kind of source is read.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::shell::config::address::Endpoint;
use crate::shell::config::text;
use crate::shell::config::units::{ByteSize, Network, TimeSpan};

/// How each kind of source is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcesConfig {
    /// Plain URLs.
    pub http: HttpSourceConfig,
    /// S3.
    pub s3: S3SourceConfig,
    /// Google Cloud Storage.
    pub gcs: GcsSourceConfig,
    /// Azure Blob Storage.
    pub azure: AzureSourceConfig,
    /// Files of this machine.
    pub file: FileSourceConfig,
}

/// Plain URLs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSourceConfig {
    /// Networks that the address guard lets through beside public addresses.
    pub allow_networks: Vec<Network>,
    /// Accept `http:` beside `https:`.
    pub allow_plain: bool,
    /// A proxy as the fixed way out.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub egress_proxy: Option<Endpoint>,
    /// Or a local address to connect from.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub bind_address: Option<IpAddr>,
    /// Largest body that is taken.
    pub max_bytes: ByteSize,
    /// How long connecting may take.
    pub connect_timeout: TimeSpan,
    /// Longest silence inside an answer.
    pub idle_timeout: TimeSpan,
    /// Slowest pace, bytes a second over 60 s; zero turns it off.
    pub min_rate: ByteSize,
    /// Redirects that are followed.
    pub max_redirects: u32,
    /// Bound of one whole fetch.
    pub total_timeout: TimeSpan,
}

/// S3 as a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3SourceConfig {
    /// Address of an emulator.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub endpoint_url: Option<Endpoint>,
    /// Use of the worker's own identity for teams without a role.
    pub cross_account: CrossAccount,
    /// Networks that the address guard lets through for hosts that we built.
    pub allow_networks: Vec<Network>,
}

/// Use of the worker's own identity for teams without a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CrossAccount {
    /// Only for buckets that the team lists.
    Declared,
    /// For every bucket that the cloud lets us read.
    Open,
    /// Never.
    Off,
}

/// Google Cloud Storage as a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GcsSourceConfig {
    /// Address of an emulator.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub endpoint_url: Option<Endpoint>,
    /// Networks that the address guard lets through for hosts that we built.
    pub allow_networks: Vec<Network>,
}

/// Azure Blob Storage as a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureSourceConfig {
    /// Address of an emulator.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub endpoint_url: Option<Endpoint>,
    /// What stands behind the account in the hosts of blobs.
    pub host_suffixes: Vec<String>,
    /// Networks that the address guard lets through for hosts that we built.
    pub allow_networks: Vec<Network>,
}

/// Files of this machine as a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSourceConfig {
    /// Folders below which `file://` may read.
    pub roots: Vec<PathBuf>,
}
