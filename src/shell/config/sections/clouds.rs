//! `[aws]`, `[gcp]` and `[azure]`: the worker's own identity on each cloud.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::shell::config::address::Endpoint;
use crate::shell::config::secret::Secret;
use crate::shell::config::text;

/// The worker's own identity on AWS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsConfig {
    /// The worker's region; not set: that of the AWS environment.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub region: Option<String>,
    /// Role name for teams that give only their account.
    pub integration_role_name: String,
    /// Address of an STS emulator.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub sts_endpoint_url: Option<Endpoint>,
    /// Address of an SQS emulator.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub sqs_endpoint_url: Option<Endpoint>,
}

/// The worker's own identity on Google's cloud.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GcpConfig {
    /// Address of an IAM Credentials emulator.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub iam_endpoint_url: Option<Endpoint>,
    /// Address of a token emulator.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub token_url: Option<Endpoint>,
}

/// The multi-tenant application on Azure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureConfig {
    /// The application's id.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub client_id: Option<String>,
    /// The application's secret.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub client_secret: Option<Secret>,
    /// Or its certificate.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub certificate_file: Option<PathBuf>,
    /// Or a federated token.
    #[serde(with = "text")]
    #[schemars(with = "String")]
    pub federated_token_file: Option<PathBuf>,
    /// Where tokens are issued.
    pub authority_url: Endpoint,
}
