//! Azure Blob Storage as a source: real blobs in Azurite, behind a gate that obeys each tenant's grants, with tokens of a token
//! service that knows tenants and consent. Each test has a tenant and a container of its own.

mod access;
mod blobs;
mod checks;
mod contract;
pub(crate) mod customer;
pub(crate) mod gangway;
mod matrix;
pub(crate) mod program;
mod wire;

use std::sync::Arc;

use futures::TryStreamExt;
use longshore::adapters::credentials::azure::{AzureIdentities, AzureOptions, Proof};
use longshore::adapters::fetch::HttpOptions;
use longshore::adapters::fetch::azure_blob::{AzureFetcher, AzureSourceOptions, BlobAddressing};
use longshore::adapters::fetch::resolve::SystemNames;
use longshore::adapters::fetch::token_service::HttpTokenService;
use longshore::domain::access::{CrossAccount, Grant};
use longshore::domain::azure_blob::recognized_for;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::id::TeamId;
use longshore::domain::source::Source;
use longshore::domain::team::{AzureGrant, KnownTeam, Team};
use longshore::ports::budget::Unlimited;
use longshore::ports::fetcher::{FetchRequest, Fetched, Fetcher, Want};
use url::Url;

/// The token service, over TLS.
const AUTHORITY: &str = "https://127.0.0.1:5903";
/// The gate before Azurite.
pub(crate) const GATE: &str = "https://127.0.0.1:5902";
/// What stands behind accounts in the tests' URLs: nothing that resolves to anything but this machine.
pub(crate) const SUFFIX: &str = "blob.storage.localhost";

/// Our application with a secret.
fn application(secret: &str) -> AzureOptions {
    AzureOptions {
        client_id: Some("app".to_owned()),
        proof: Some(Proof::Secret(secret.into())),
        authority: Url::parse(AUTHORITY).unwrap(),
    }
}

/// A fetcher of our application's, that finds all storage accounts at `endpoint`.
fn fetcher_of(application: AzureOptions, endpoint: &str) -> AzureFetcher {
    let service = HttpTokenService::with(wire::roots()).unwrap();
    let options = AzureSourceOptions {
        addressing: BlobAddressing::Endpoint(Url::parse(endpoint).unwrap()),
        http: HttpOptions { min_rate: 0, ..HttpOptions::default() },
    };
    let credentials = Arc::new(AzureIdentities::new(application, Arc::new(service)));
    let names = Arc::new(SystemNames::default());
    AzureFetcher::with(options, credentials, Arc::new(Unlimited), names, wire::roots()).unwrap()
}

fn fetcher() -> AzureFetcher {
    fetcher_of(application("secret"), GATE)
}

/// What team `acme` with this grant asks for, with the rights that the rules of access give it.
fn request(azure: &AzureGrant, url: &str, want: Want) -> Result<FetchRequest, AttachmentFault> {
    let record = Team { azure: Some(azure.clone()), ..Team::default() };
    let source = recognized_for(&record, Source::parse(url)?, &[SUFFIX.to_owned()])?;
    let grant = Grant::of(&source, &record, CrossAccount::Open)?;
    let team = Arc::new(KnownTeam { id: TeamId::new("acme").unwrap(), record });
    Ok(FetchRequest { team, source, grant, want })
}

async fn open(fetcher: &AzureFetcher, azure: &AzureGrant, url: &str) -> Result<Fetched, AttachmentFault> {
    fetcher.open(request(azure, url, Want::Body)?).await
}

async fn read(fetcher: &AzureFetcher, azure: &AzureGrant, url: &str) -> Result<String, AttachmentFault> {
    let fetched = open(fetcher, azure, url).await?;
    let body = fetched.body.try_collect::<Vec<_>>().await?.concat();
    Ok(String::from_utf8(body).unwrap())
}

#[track_caller]
fn check_code(found: Result<String, AttachmentFault>, expected: Code, provider: &str) -> AttachmentFault {
    let fault = found.expect_err("this must be refused");
    assert_eq!((fault.code, fault.provider_code.as_deref()), (expected, Some(provider)), "{fault:?}");
    fault
}
