//! The fetchers against servers that behave, servers that do not, and URLs that mean harm. Loopback only.

mod bodies;
pub(crate) mod contract;
mod hops;
pub(crate) mod hostile;
pub(crate) mod hostile_urls;
pub(crate) mod server;
mod statuses;
pub(crate) mod tls;
mod token_service;
mod way_out;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt;
use longshore::adapters::fetch::HttpOptions;
use longshore::adapters::fetch::http::HttpFetcher;
use longshore::adapters::fetch::resolve::Names;
use longshore::domain::fault::{AttachmentFault, Code};
use longshore::domain::id::TeamId;
use longshore::domain::source::{Place, Source};
use longshore::domain::team::{KnownTeam, Team};
use longshore::ports::budget::Budget;
use longshore::ports::fetcher::{FetchRequest, Fetched, Fetcher, Want};
use rustls::RootCertStore;

/// Names with scripted answers: the n-th look-up of a name gets its n-th answer, later ones the last.
#[derive(Default)]
pub(crate) struct Script {
    answers: HashMap<&'static str, Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    pub(crate) fn new(names: &[(&'static str, &[&[&str]])]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        let answers = names.iter().map(|(name, answers)| (*name, answers.iter().map(parse).collect()));
        Arc::new(Self { answers: answers.collect(), asked: Mutex::default() })
    }
}

#[async_trait]
impl Names for Script {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let plain = host.trim_end_matches('.').to_owned();
        if plain == "hangs.test" {
            std::future::pending::<()>().await;
        }
        let mut asked = self.asked.lock().unwrap();
        let before = asked.iter().filter(|name| **name == plain).count();
        asked.push(plain.clone());
        let answers = self.answers.get(plain.as_str()).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(answers[before.min(answers.len() - 1)].clone())
    }
}

/// Writes down what was asked and paid for.
#[derive(Default)]
struct Ledger {
    requests: Mutex<Vec<Place>>,
    bytes: Mutex<u64>,
}

#[async_trait]
impl Budget for Ledger {
    async fn request(&self, _: &KnownTeam, place: &Place) {
        self.requests.lock().unwrap().push(place.clone());
    }
    async fn bytes(&self, _: &KnownTeam, _: &Place, bytes: u64) {
        *self.bytes.lock().unwrap() += bytes;
    }
}

/// Options for servers on loopback, impatient.
fn options() -> HttpOptions {
    HttpOptions {
        allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
        connect_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(2),
        max_bytes: 1 << 20,
        min_rate: 0,
        keep_names: Duration::ZERO,
        ..HttpOptions::default()
    }
}

fn fetcher(options: HttpOptions) -> HttpFetcher {
    fetcher_with(options, Script::new(&[]), Arc::default())
}

fn fetcher_with(options: HttpOptions, names: Arc<Script>, ledger: Arc<Ledger>) -> HttpFetcher {
    HttpFetcher::with(options, ledger, names, RootCertStore::empty()).unwrap()
}

fn request(url: &str, want: Want, record: Team) -> Result<FetchRequest, AttachmentFault> {
    let team = Arc::new(KnownTeam { id: TeamId::new("acme").unwrap(), record });
    Ok(FetchRequest { team, source: Source::parse(url)?, grant: longshore::domain::access::Grant::None, want })
}

async fn open(fetcher: &dyn Fetcher, url: &str, want: Want) -> Result<Fetched, AttachmentFault> {
    let opened = fetcher.open(request(url, want, Team::default())?).await;
    if let Err(fault) = &opened {
        assert!(!fault.message.contains("secret"), "a message tells too much: {}", fault.message);
    }
    opened
}

/// Everything behind `url`, or the code of what broke it.
async fn read(fetcher: &dyn Fetcher, url: &str) -> Result<Vec<u8>, Code> {
    let whole = async {
        let fetched = open(fetcher, url, Want::Body).await?;
        let pieces: Vec<_> = fetched.body.try_collect().await?;
        Ok(pieces.concat())
    };
    whole.await.map_err(|fault: AttachmentFault| fault.code)
}
