//! A directory of teams that is asked over https, one team at a time.
//!
//! An answer holds for [`FRESH`]; then it is asked again with its entity tag, by one asker for all. A directory that does not
//! answer well is away: the records that it gave in the last [`STALE_MAX`] stand in for it, and a team without one cannot be
//! told. Only 404 and 410 say that there is no such team. A record that breaks our rules is an answer of a directory that is
//! up: the team's last good record stands in as long, and then the team is unknown, so that nobody else's work waits for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tracing::{info, warn};
use url::Url;

use super::posted;
use crate::domain::id::TeamId;
use crate::domain::team::KnownTeam;
use crate::ports::service::{self, Question, Service};
use crate::ports::teams::{Lookup, Teams, TeamsUnavailable};

/// How long an answer holds. Changes must be known within 10 s: this, and the time that an answer may take.
pub const FRESH: Duration = Duration::from_secs(5);
/// How long a record stands in for a directory that is away, from when the directory last said it.
pub const STALE_MAX: Duration = Duration::from_secs(15 * 60);
/// How long an answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A larger record is none.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// Memory for records: those that were asked for lately are kept.
const KEPT_BYTES_MAX: u64 = 64 << 20;
/// What a record weighs beside its text.
const RECORD_OVERHEAD_BYTES: usize = 1024;
/// Buckets whose teams are remembered at most.
const KEPT_BUCKETS_MAX: u64 = 10_000;
/// Records that are remembered to have been complained of.
const COMPLAINTS_MAX: u64 = 1000;

/// Stands in a URL where a team's name goes.
pub const TEAM_MARK: &str = "{team}";
/// Stands in a URL where a bucket's name goes.
pub const BUCKET_MARK: &str = "{bucket}";

/// What the operator sets for a directory.
#[derive(Clone)]
pub struct DirectoryOptions {
    /// The URL of a team's record, with [`TEAM_MARK`].
    pub team_url: String,
    /// The URL that tells whose an S3 bucket is, with [`BUCKET_MARK`]. Without it only records that were asked for lately
    /// are looked through.
    pub bucket_url: Option<String>,
    /// What the directory knows us by.
    pub token: Option<SecretString>,
    /// The role's name where a team gives only its account.
    pub integration_role_name: String,
    /// As [`FRESH`]; tests are shorter.
    pub fresh: Duration,
    /// As [`STALE_MAX`]; tests are shorter.
    pub stale_max: Duration,
}

impl fmt::Debug for DirectoryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectoryOptions").field("has_token", &self.token.is_some()).finish_non_exhaustive()
    }
}

/// A directory of teams.
#[derive(Clone)]
pub struct TeamsDirectory {
    inner: Arc<Inner>,
}

struct Inner {
    service: Arc<dyn Service>,
    options: DirectoryOptions,
    /// What holds now.
    fresh: Cache<TeamId, Answer>,
    /// The last good record of each team.
    good: Cache<TeamId, Good>,
    /// Whose a bucket is, as the directory says.
    owners: Cache<String, Option<TeamId>>,
    is_away: AtomicBool,
    /// What was said in the log of records that are not taken, so that each is complained of once.
    complaints: Cache<TeamId, String>,
}

/// What is said of a team, and how much of it there is.
#[derive(Clone)]
struct Answer {
    lookup: Lookup,
    bytes: usize,
}

/// A record, and by what the directory tells it from others.
#[derive(Clone)]
struct Good {
    team: Arc<KnownTeam>,
    etag: Option<String>,
    bytes: usize,
}

/// What the directory says of a bucket.
#[derive(Deserialize)]
struct Owner {
    team: String,
}

impl TeamsDirectory {
    /// Asks nothing before it is asked.
    #[must_use]
    pub fn new(service: Arc<dyn Service>, options: DirectoryOptions) -> Self {
        let weight = |bytes: usize| u32::try_from(bytes + RECORD_OVERHEAD_BYTES).unwrap_or(u32::MAX);
        let fresh = Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(move |_, answer: &Answer| weight(answer.bytes))
            .time_to_live(options.fresh)
            .build();
        let good = Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(move |_, good: &Good| weight(good.bytes))
            // What is handed out at the very end holds for a while longer.
            .time_to_live(options.stale_max.saturating_sub(options.fresh))
            .build();
        let owners = Cache::builder().max_capacity(KEPT_BUCKETS_MAX).time_to_live(options.fresh).build();
        let complaints = Cache::builder().max_capacity(COMPLAINTS_MAX).time_to_live(STALE_MAX).build();
        let is_away = AtomicBool::new(false);
        Self { inner: Arc::new(Inner { service, options, fresh, good, owners, is_away, complaints }) }
    }
}

#[async_trait]
impl Teams for TeamsDirectory {
    async fn team(&self, id: &TeamId) -> Result<Lookup, TeamsUnavailable> {
        let inner = &self.inner;
        let answer = inner.fresh.try_get_with(id.clone(), inner.ask(id)).await;
        answer.map(|answer| answer.lookup).map_err(|why| TeamsUnavailable(why.as_ref().clone()))
    }

    async fn team_of_bucket(&self, bucket: &str) -> Result<Lookup, TeamsUnavailable> {
        let inner = &self.inner;
        let candidates = match &inner.options.bucket_url {
            Some(template) => {
                let asking = inner.ask_owner(template, bucket);
                let owner = inner.owners.try_get_with(bucket.to_owned(), asking).await;
                owner.map_err(|why| TeamsUnavailable(why.as_ref().clone()))?.into_iter().collect()
            }
            None => inner.known_owners(bucket),
        };
        // The record decides: what was said of a bucket, or remembered, may be older.
        for id in candidates {
            if let Lookup::Known(team) = self.team(&id).await?
                && team.record.declares_bucket(bucket)
            {
                return Ok(Lookup::Known(team));
            }
        }
        Ok(Lookup::Unknown)
    }
}

impl Inner {
    /// What is to be said of a team now.
    async fn ask(&self, id: &TeamId) -> Result<Answer, String> {
        let good = self.good.get(id).await;
        let asked = self.get(&self.options.team_url.replace(TEAM_MARK, id.as_str()), good.as_ref()).await;
        match asked.and_then(|answer| self.understood(id, answer, good.as_ref())) {
            Ok(said) => {
                self.answers();
                self.take(id, said, good).await
            }
            Err(why) => {
                self.is_silent(&why);
                good.map(Good::answer).ok_or(why)
            }
        }
    }

    async fn get(&self, url: &str, good: Option<&Good>) -> Result<service::Answer, String> {
        let url = Url::parse(url).map_err(|error| format!("its address is no URL: {error}"))?;
        let bearer = self.options.token.as_ref().map(ExposeSecret::expose_secret);
        let unless = good.and_then(|good| good.etag.as_deref());
        self.service.get(Question { url: &url, bearer, unless }).await.map_err(|error| error.to_string())
    }

    fn understood(&self, id: &TeamId, answer: service::Answer, good: Option<&Good>) -> Result<Said, String> {
        match answer.status {
            200 => {
                let record = posted::object(&answer.body)?;
                let read = posted::read(id, record, &self.options.integration_role_name);
                Ok(read.map_or_else(Said::Unusable, |record| {
                    let team = Arc::new(KnownTeam { id: id.clone(), record });
                    Said::Record(Good { team, etag: answer.etag, bytes: answer.body.len() })
                }))
            }
            304 => good.cloned().map(Said::Record).ok_or_else(|| "it answered 304 to what it was not asked".to_owned()),
            404 | 410 => Ok(Said::Nobody),
            401 | 403 => Err(format!("it answered {}: look at teams.token", answer.status)),
            status => Err(format!("it answered {status}")),
        }
    }

    /// Remembers what was said, and what follows from it.
    async fn take(&self, id: &TeamId, said: Said, good: Option<Good>) -> Result<Answer, String> {
        match said {
            Said::Record(good) => {
                self.good.insert(id.clone(), good.clone()).await;
                Ok(good.answer())
            }
            Said::Nobody => {
                self.good.invalidate(id).await;
                Ok(Answer { lookup: Lookup::Unknown, bytes: 0 })
            }
            Said::Unusable(mistakes) => {
                self.complain(id, mistakes, good.is_some()).await;
                Ok(good.map_or(Answer { lookup: Lookup::Unknown, bytes: 0 }, Good::answer))
            }
        }
    }

    async fn complain(&self, id: &TeamId, mistakes: String, has_good: bool) {
        if self.complaints.get(id).await.as_ref() == Some(&mistakes) {
            return;
        }
        let meanwhile = if has_good { "its last good one stands in" } else { "the team is unknown" };
        warn!(team = %id, "the record of team {id} in the teams directory is not taken, {meanwhile}: {mistakes}");
        self.complaints.insert(id.clone(), mistakes).await;
    }

    async fn ask_owner(&self, template: &str, bucket: &str) -> Result<Option<TeamId>, String> {
        // Nothing else is a bucket's name, and nothing else leaves the URL's path as it is.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if bucket.len() < 3 || !bucket.bytes().all(is_plain) {
            return Ok(None);
        }
        let said =
            self.get(&template.replace(BUCKET_MARK, bucket), None).await.and_then(|answer| match answer.status {
                200 => {
                    let owner: Owner = serde_json::from_slice(&answer.body)
                        .map_err(|_| "it does not say whose a bucket is as {\"team\":\"NAME\"}".to_owned())?;
                    TeamId::new(owner.team).map(Some).map_err(|bad| format!("it names a team that {}", bad.problem))
                }
                404 | 410 => Ok(None),
                status => Err(format!("it answered {status}")),
            });
        match &said {
            Ok(_) => self.answers(),
            Err(why) => self.is_silent(why),
        }
        said
    }

    /// Whose records list a bucket, of those that were asked for lately, by name.
    fn known_owners(&self, bucket: &str) -> Vec<TeamId> {
        let lists = self.good.iter().filter(|(_, good)| good.team.record.declares_bucket(bucket));
        let mut owners: Vec<TeamId> = lists.map(|(id, _)| id.as_ref().clone()).collect();
        owners.sort();
        owners
    }

    /// Says once when it goes away…
    fn is_silent(&self, why: &str) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            warn!("the teams directory does not answer as it should, records that it gave lately stand in: {why}");
        }
    }

    /// …and once when it is back.
    fn answers(&self) {
        if self.is_away.swap(false, Ordering::Relaxed) {
            info!("the teams directory answers again");
        }
    }
}

/// What a directory that is up says of a team.
enum Said {
    Record(Good),
    Nobody,
    Unusable(String),
}

impl Good {
    fn answer(self) -> Answer {
        Answer { lookup: Lookup::Known(self.team), bytes: self.bytes }
    }
}
