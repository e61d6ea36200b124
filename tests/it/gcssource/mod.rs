//! Google Cloud Storage as a source, against token services and a gate that really refuse whoever was not granted anything.

mod access;
mod checks;
mod contract;
pub(crate) mod google;
mod identities;
mod objects;
pub(crate) mod program;
mod refusals;

use std::sync::Arc;

use futures::TryStreamExt;
use longshore::adapters::fetch::gcs::GcsFetcher;
use longshore::domain::access::{CrossAccount, Grant};
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::id::TeamId;
use longshore::domain::source::{Pin, Source};
use longshore::domain::team::{GcpGrant, KnownTeam, Team};
use longshore::ports::fetcher::{FetchRequest, Fetched, Fetcher, Want};

fn object(bucket: &str, name: &str) -> Source {
    pinned(bucket, name, None)
}

fn pinned(bucket: &str, name: &str, pin: Option<Pin>) -> Source {
    Source::Gcs { bucket: bucket.to_owned(), object: name.to_owned(), pin }
}

/// What team `acme` with this grant asks for, with the rights that the rules of access give it.
fn request(gcp: &GcpGrant, source: Source, want: Want) -> Result<FetchRequest, AttachmentFault> {
    let record = Team { gcp: Some(gcp.clone()), ..Team::default() };
    // What is allowed on AWS is of no matter here.
    let grant = Grant::of(&source, &record, CrossAccount::Open)?;
    let team = Arc::new(KnownTeam { id: TeamId::new("acme").unwrap(), record });
    Ok(FetchRequest { team, source, grant, want })
}

async fn open(fetcher: &GcsFetcher, gcp: &GcpGrant, source: Source) -> Result<Fetched, AttachmentFault> {
    fetcher.open(request(gcp, source, Want::Body)?).await
}

async fn read(fetcher: &GcsFetcher, gcp: &GcpGrant, source: Source) -> Result<String, AttachmentFault> {
    let fetched = open(fetcher, gcp, source).await?;
    Ok(String::from_utf8(bytes(fetched).await?).unwrap())
}

async fn bytes(fetched: Fetched) -> Result<Vec<u8>, AttachmentFault> {
    Ok(fetched.body.try_collect::<Vec<_>>().await?.concat())
}

#[track_caller]
fn check_code<T>(found: Result<T, AttachmentFault>, expected: Code) -> AttachmentFault {
    let fault = found.err().expect("this must be refused");
    assert_eq!(fault.code, expected, "{fault:?}");
    fault
}

/// The statuses of the requests that led to an answer.
fn statuses(fetched: &Fetched) -> Vec<u16> {
    fetched.hops.iter().map(|hop| hop.status.unwrap()).collect()
}
