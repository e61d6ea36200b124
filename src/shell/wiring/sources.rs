//! Makes the fetcher of all sources.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Trouble, bad_setting};
use crate::adapters::budget::{RedisError, RedisSlots};
use crate::adapters::credentials::aws::{AwsIdentities, AwsOptions};
use crate::adapters::credentials::azure::{AzureIdentities, AzureOptions, Proof};
use crate::adapters::credentials::gcp::{GcpIdentities, GcpOptions};
use crate::adapters::fetch::azure_blob::{AzureChecks, AzureFetcher, AzureSourceOptions, BlobAddressing};
use crate::adapters::fetch::file::{FileFetcher, FileOptions};
use crate::adapters::fetch::gcs::{GcsChecks, GcsFetcher, GcsSourceOptions};
use crate::adapters::fetch::http::HttpFetcher;
use crate::adapters::fetch::lazy::{LazyChecks, LazyFetcher};
use crate::adapters::fetch::s3::{Addressing, AwsChecks, Region, S3Fetcher, S3SourceOptions};
use crate::adapters::fetch::text::TextFetcher;
use crate::adapters::fetch::token_service::HttpTokenService;
use crate::adapters::fetch::{ClientError, EgressProxy, HttpOptions, Sources, WayOut};
use crate::domain::integration::Cloud;
use crate::engine::limits::{Paces, SharedPaces};
use crate::engine::settings::Settings;
use crate::ports::budget::Budget;
use crate::ports::fetcher::Fetcher;
use crate::ports::integrations::IntegrationChecks;
use crate::shell::config::{AzureConfig, Config, Endpoint, HttpSourceConfig, StoreUrl, process_environment};
use crate::shell::exit::Failure;

/// The region that is asked first where nobody names one.
const DEFAULT_REGION: &str = "us-east-1";

/// Where files may be read from.
#[derive(Debug, Clone)]
pub enum FileRoots {
    /// Below the configured roots, each team in a folder of its own: for tasks from a queue.
    PerTeam,
    /// Below the configured roots and these folders, whosever they are: the person who started this process has named them.
    And(Vec<PathBuf>),
}

/// Makes what requests are paced by: for this process alone, or for all replicas that share a Redis.
///
/// # Errors
/// `ForNow` for a Redis that is away: how many replicas there are is not known before it was met once.
pub async fn budget(config: &Config, settings: &Settings) -> Result<Arc<dyn Budget>, Trouble> {
    let Some(url) = &config.limits.shared.redis_url else {
        return Ok(Arc::new(Paces::new(settings.limits.clone())));
    };
    match RedisSlots::open(url.expose().as_str()).await {
        Ok(slots) => Ok(Arc::new(SharedPaces::new(settings.limits.clone(), Arc::new(slots)))),
        Err(error @ RedisError::BadUrl(_)) => Err(bad_setting("limits.shared.redis_url", &error)),
        Err(RedisError::Away(error)) => Err(Trouble::ForNow(format!("limits.shared.redis_url: {error}"))),
    }
}

/// Makes the fetcher of all sources, at the pace of `paces`. Only plain URLs go by the configured way out.
///
/// # Errors
/// A machine whose TLS set-up cannot be used, a way out that it does not have, or an `aws.region` that is none.
pub fn fetcher(config: &Config, paces: Arc<dyn Budget>, roots: FileRoots) -> Result<Arc<dyn Fetcher>, Failure> {
    let plain = HttpOptions { way_out: way_out(&config.sources.http)?, ..http_options(&config.sources.http) };
    let http = HttpFetcher::new(plain, Arc::clone(&paces)).map_err(bad_tls)?;
    Ok(Arc::new(Sources {
        http: Arc::new(http),
        s3: Some(s3_fetcher(config, Arc::clone(&paces))?),
        gcs: Some(gcs_fetcher(config, Arc::clone(&paces))),
        azure: Some(azure_fetcher(config, paces)),
        file: file_fetcher(config, roots),
        text: Arc::new(TextFetcher),
    }))
}

pub(super) fn bad_tls(error: ClientError) -> Failure {
    Failure::bad_input(tls_line(&error))
}

fn tls_line(error: &ClientError) -> String {
    format!("this machine's TLS certificates: {error}")
}

/// Reads `s3://` sources with the teams' roles, or with the worker's own identity where the deployment allows it. AWS's
/// environment is looked at when the first one is read.
///
/// # Errors
/// An `aws.region` that is none.
pub(super) fn s3_fetcher(config: &Config, budget: Arc<dyn Budget>) -> Result<Arc<dyn Fetcher>, Failure> {
    if let Some(region) = &config.aws.region {
        region_of(region).map_err(Failure::bad_input)?;
    }
    let config = config.clone();
    Ok(Arc::new(LazyFetcher::new(move || {
        let (config, budget) = (config.clone(), Arc::clone(&budget));
        async move { Ok(Arc::new(s3(&config, budget).await?) as Arc<dyn Fetcher>) }
    })))
}

fn region_of(name: &str) -> Result<Region, String> {
    Region::parse(name).ok_or_else(|| format!("aws.region: {name:?} is no region's name"))
}

async fn s3(config: &Config, budget: Arc<dyn Budget>) -> Result<S3Fetcher, String> {
    let identities = aws_identities(config).await?;
    s3_with(config, budget, Arc::new(identities)).await
}

async fn region(config: &Config) -> String {
    super::aws(config).await.region().map(ToString::to_string).unwrap_or_else(|| DEFAULT_REGION.to_owned())
}

fn url_of(endpoint: &Option<Endpoint>) -> Option<url::Url> {
    endpoint.as_ref().map(|url| url.expose().clone())
}

/// The worker's own identity on AWS, and the roles that it assumes. Reads the AWS environment.
///
/// # Errors
/// An `aws.region` that is none.
pub async fn aws_identities(config: &Config) -> Result<AwsIdentities, String> {
    let region = region(config).await;
    region_of(&region)?;
    let sts_endpoint_url = url_of(&config.aws.sts_endpoint_url).map(String::from);
    let replica = format!("longshore-{}", std::process::id());
    Ok(AwsIdentities::load(AwsOptions { region, sts_endpoint_url, replica }).await)
}

/// Makes the checks of integrations, one for each cloud; each looks at its cloud's environment when it is first needed.
///
/// # Errors
/// An `aws.region` that is none.
pub fn integration_checks(
    config: &Config, budget: Arc<dyn Budget>,
) -> Result<Vec<Arc<dyn IntegrationChecks>>, Failure> {
    if let Some(region) = &config.aws.region {
        region_of(region).map_err(Failure::bad_input)?;
    }
    let (config, again) = (config.clone(), (config.clone(), Arc::clone(&budget)));
    let third = again.clone();
    let google = LazyChecks::new(Cloud::Gcp, move || {
        let made = gcs(&again.0, Arc::clone(&again.1));
        async move { made.map(|gcs| Arc::new(GcsChecks::new(Arc::new(gcs))) as Arc<dyn IntegrationChecks>) }
    });
    let azure_checks = LazyChecks::new(Cloud::Azure, move || {
        let made = azure(&third.0, Arc::clone(&third.1)).map_err(|error| tls_line(&error));
        async move { made.map(|azure| Arc::new(AzureChecks::new(Arc::new(azure))) as Arc<dyn IntegrationChecks>) }
    });
    let aws = LazyChecks::new(Cloud::Aws, move || {
        let (config, budget) = (config.clone(), Arc::clone(&budget));
        async move {
            let identities = Arc::new(aws_identities(&config).await?);
            let s3 = s3_with(&config, budget, Arc::clone(&identities)).await?;
            Ok(Arc::new(AwsChecks::new(Arc::new(s3), identities)) as Arc<dyn IntegrationChecks>)
        }
    });
    Ok(vec![Arc::new(aws), Arc::new(google), Arc::new(azure_checks)])
}

async fn s3_with(
    config: &Config, budget: Arc<dyn Budget>, identities: Arc<AwsIdentities>,
) -> Result<S3Fetcher, String> {
    let named = region_of(&region(config).await)?;
    let s3 = &config.sources.s3;
    let options = S3SourceOptions {
        addressing: url_of(&s3.endpoint_url).map_or(Addressing::Aws, Addressing::Endpoint),
        region: named,
        http: HttpOptions {
            allow_networks: s3.allow_networks.iter().map(|network| network.get()).collect(),
            idle_connections_per_host: config.limits.per_bucket.in_flight as usize,
            ..http_options(&config.sources.http)
        },
    };
    S3Fetcher::new(options, identities, budget).map_err(|error| tls_line(&error))
}

/// By which way plain URLs and webhooks leave.
///
/// # Errors
/// A proxy's URL that cannot be one, or an address that this machine does not have.
pub fn way_out(http: &HttpSourceConfig) -> Result<WayOut, Failure> {
    let bad = |key: &str, why: String| Failure::bad_input(format!("sources.http.{key}: {why}"));
    if let Some(url) = &http.egress_proxy {
        let proxy = EgressProxy::parse(url.expose()).map_err(|why| bad("egress_proxy", why))?;
        return Ok(WayOut::Proxy(proxy));
    }
    let Some(address) = http.bind_address else { return Ok(WayOut::Direct) };
    std::net::UdpSocket::bind((address, 0))
        .map_err(|error| bad("bind_address", format!("{address} is no address of this machine: {error}")))?;
    Ok(WayOut::From(address))
}

/// Reads `gs://` sources with the teams' service accounts, or with the worker's own where a team lists the bucket. Google's
/// environment is looked at when the first one is read.
fn gcs_fetcher(config: &Config, budget: Arc<dyn Budget>) -> Arc<dyn Fetcher> {
    let config = config.clone();
    Arc::new(LazyFetcher::new(move || {
        let made = gcs(&config, Arc::clone(&budget)).map(|gcs| Arc::new(gcs) as Arc<dyn Fetcher>);
        async move { made }
    }))
}

fn gcs(config: &Config, budget: Arc<dyn Budget>) -> Result<GcsFetcher, String> {
    let tokens = HttpTokenService::new().map_err(|error| tls_line(&error))?;
    let identities = GcpIdentities::new(gcp_options(config), Arc::new(tokens));
    let gcs = &config.sources.gcs;
    let options = GcsSourceOptions {
        endpoint_url: gcs.endpoint_url.as_ref().map(|url| url.expose().clone()),
        http: HttpOptions {
            allow_networks: gcs.allow_networks.iter().map(|network| network.get()).collect(),
            idle_connections_per_host: config.limits.per_bucket.in_flight as usize,
            ..http_options(&config.sources.http)
        },
    };
    GcsFetcher::new(options, Arc::new(identities), budget).map_err(|error| tls_line(&error))
}

/// What Google's own tools read of the environment, beside our settings.
fn gcp_options(config: &Config) -> GcpOptions {
    let environment: HashMap<String, String> = process_environment().collect();
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let gcloud = set("CLOUDSDK_CONFIG").map(PathBuf::from);
    let gcloud = gcloud.or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".config/gcloud")));
    let endpoint = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|url| url.expose().clone());
    GcpOptions {
        credentials_file: set("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from),
        well_known_file: gcloud.map(|folder| folder.join("application_default_credentials.json")),
        metadata_host: set("GCE_METADATA_HOST").cloned(),
        iam_endpoint_url: endpoint(&config.gcp.iam_endpoint_url),
        token_url: endpoint(&config.gcp.token_url),
    }
}

/// Reads blobs of teams that have a tenant, with a token that this tenant gives our application. Made when the first one is read.
fn azure_fetcher(config: &Config, budget: Arc<dyn Budget>) -> Arc<dyn Fetcher> {
    let config = config.clone();
    Arc::new(LazyFetcher::new(move || {
        let made = azure(&config, Arc::clone(&budget)).map_err(|error| tls_line(&error));
        async move { made.map(|made| Arc::new(made) as Arc<dyn Fetcher>) }
    }))
}

fn azure(config: &Config, budget: Arc<dyn Budget>) -> Result<AzureFetcher, ClientError> {
    let application = AzureOptions {
        client_id: config.azure.client_id.clone(),
        proof: azure_proof(&config.azure),
        authority: config.azure.authority_url.expose().clone(),
    };
    let identities = AzureIdentities::new(application, Arc::new(HttpTokenService::new()?));
    let azure = &config.sources.azure;
    let options = AzureSourceOptions {
        addressing: match &azure.endpoint_url {
            Some(endpoint) => BlobAddressing::Endpoint(endpoint.expose().clone()),
            None => BlobAddressing::Azure { suffixes: azure.host_suffixes.clone() },
        },
        http: HttpOptions {
            allow_networks: azure.allow_networks.iter().map(|network| network.get()).collect(),
            idle_connections_per_host: config.limits.per_bucket.in_flight as usize,
            ..http_options(&config.sources.http)
        },
    };
    AzureFetcher::new(options, Arc::new(identities), budget)
}

/// By what the application proves itself; the configuration has one of the three at most.
fn azure_proof(azure: &AzureConfig) -> Option<Proof> {
    let secret = azure.client_secret.as_ref().map(|secret| Proof::Secret(secret.expose().into()));
    let certificate = azure.certificate_file.clone().map(Proof::CertificateFile);
    secret.or(certificate).or_else(|| azure.federated_token_file.clone().map(Proof::FederatedTokenFile))
}

pub(super) fn http_options(http: &HttpSourceConfig) -> HttpOptions {
    HttpOptions {
        allow_networks: http.allow_networks.iter().map(|network| network.get()).collect(),
        allow_plain: http.allow_plain,
        max_bytes: http.max_bytes.get(),
        connect_timeout: http.connect_timeout.get(),
        idle_timeout: http.idle_timeout.get(),
        total_timeout: http.total_timeout.get(),
        min_rate: http.min_rate.get(),
        max_redirects: http.max_redirects,
        ..HttpOptions::default()
    }
}

fn file_fetcher(config: &Config, roots: FileRoots) -> Arc<dyn Fetcher> {
    let excluded = match &config.store.url {
        StoreUrl::File { path } => vec![path.clone()],
        StoreUrl::S3 { .. } => Vec::new(),
    };
    let below = |roots: Vec<PathBuf>, per_team| {
        FileFetcher::new(FileOptions {
            roots,
            per_team,
            excluded: excluded.clone(),
            bytes_max: config.sources.http.max_bytes.get(),
        })
    };
    match roots {
        FileRoots::PerTeam => Arc::new(below(config.sources.file.roots.clone(), true)),
        FileRoots::And(named) => {
            let all = [named, config.sources.file.roots.clone()].concat();
            Arc::new(below(all, false))
        }
    }
}
