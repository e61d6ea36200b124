//! S3 as a source, against an AWS of several accounts that really enforces trust policies, owners, regions and session ends.

mod access;
mod checks;
pub(crate) mod cloud;
mod keys;
mod refusals;
mod regions;
pub(crate) mod second_judge;
mod sessions;
mod versions;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use longshore::adapters::fetch::HttpOptions;
use longshore::adapters::fetch::resolve::Names;
use longshore::adapters::fetch::s3::{Addressing, Region, S3Fetcher, S3SourceOptions};
use longshore::domain::access::{CrossAccount, Grant};
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::id::TeamId;
use longshore::domain::source::{Pin, Source};
use longshore::domain::team::{AwsGrant, KnownTeam, Team};
use longshore::ports::budget::Unlimited;
use longshore::ports::credentials::AwsCredentials;
use longshore::ports::fetcher::{FetchRequest, Fetched, Fetcher, Want};
use rustls::RootCertStore;
use url::Url;

use crate::bed;

/// Every name is this machine: `*.localhost` does not resolve everywhere.
struct Loopback;

#[async_trait]
impl Names for Loopback {
    async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

fn fetcher_at(addressing: Addressing, credentials: Arc<dyn AwsCredentials>) -> S3Fetcher {
    let options = S3SourceOptions {
        addressing,
        region: Region::parse("us-east-1").unwrap(),
        http: HttpOptions { idle_connections_per_host: 128, min_rate: 0, ..HttpOptions::default() },
    };
    let roots = RootCertStore::empty();
    S3Fetcher::with(options, credentials, Arc::new(Unlimited), Arc::new(Loopback), roots).unwrap()
}

/// Buckets by path at `endpoint`.
fn fetcher(endpoint: &str, credentials: Arc<dyn AwsCredentials>) -> S3Fetcher {
    fetcher_at(Addressing::Endpoint(Url::parse(endpoint).unwrap()), credentials)
}

fn object(bucket: &str, key: &str) -> Source {
    pinned(bucket, key, None)
}

fn pinned(bucket: &str, key: &str, pin: Option<Pin>) -> Source {
    Source::S3 { bucket: bucket.to_owned(), key: key.to_owned(), pin, region: None }
}

/// What team `acme` with this grant asks for, with the rights that the rules of access give it.
fn request(aws: &AwsGrant, source: Source, want: Want) -> Result<FetchRequest, AttachmentFault> {
    let record = Team { aws: Some(aws.clone()), ..Team::default() };
    let grant = Grant::of(&source, &record, CrossAccount::Declared)?;
    let team = Arc::new(KnownTeam { id: TeamId::new("acme").unwrap(), record });
    Ok(FetchRequest { team, source, grant, want })
}

async fn open(fetcher: &S3Fetcher, aws: &AwsGrant, source: Source) -> Result<Fetched, AttachmentFault> {
    fetcher.open(request(aws, source, Want::Body)?).await
}

async fn read(fetcher: &S3Fetcher, aws: &AwsGrant, source: Source) -> Result<String, AttachmentFault> {
    let fetched = open(fetcher, aws, source).await?;
    let body = fetched.body.try_collect::<Vec<_>>().await?.concat();
    Ok(String::from_utf8(body).unwrap())
}

#[track_caller]
fn check_code(found: Result<String, AttachmentFault>, expected: Code) -> AttachmentFault {
    let fault = found.expect_err("this must be refused");
    assert_eq!(fault.code, expected, "{fault:?}");
    fault
}

/// The statuses of the requests that led to an answer.
fn statuses(fetched: &Fetched) -> Vec<u16> {
    fetched.hops.iter().map(|hop| hop.status.unwrap()).collect()
}
