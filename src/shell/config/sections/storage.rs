//! `[store]` and `[teams]`: where copies go and whose they are.

use serde::{Deserialize, Serialize};

use crate::shell::config::address::{Endpoint, StoreUrl, TeamsSource};
use crate::shell::config::secret::Secret;
use crate::shell::config::template::Template;
use crate::shell::config::text;
use crate::shell::config::units::TimeSpan;

/// Where the copies go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The folder or bucket.
    pub url: StoreUrl,
    /// Address of an S3-compatible server.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub endpoint_url: Option<Endpoint>,
    /// Bucket in the path, not in the host name.
    pub force_path_style: bool,
    /// The bucket's region; not set: that of `[aws]`.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub region: Option<String>,
}

/// Where the teams' records come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamsConfig {
    /// The file or directory.
    pub source: TeamsSource,
    /// What a directory knows us by.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub token: Option<Secret>,
    /// Where a directory tells whose a bucket is.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub bucket_url: Option<Template>,
    /// How often a worker looks whether what teams granted is still as it should be; zero: never.
    pub check_every: TimeSpan,
}
