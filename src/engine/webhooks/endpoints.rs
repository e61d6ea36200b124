//! What is kept of endpoints in the store: whether one is disabled, and what it answered last.
//!
//! A disabled endpoint is so in every replica until a person enables it. An answer "enabled" is remembered for at most 10
//! seconds, one of "disabled" never: who was enabled gets the next delivery. The last answers are for people to look at: they
//! are written at most once a minute for each endpoint and outcome, and one that cannot be written is left out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::debug;

use crate::domain::id::TeamId;
use crate::domain::object_key::Key;
use crate::domain::webhook::endpoint::{
    Endpoint, answers_folder, mark_key, marked_team, marks_folder, switches_folder,
};
use crate::ports::store::{ObjectMeta, Store, StoreError};

/// How long it is remembered that an endpoint is enabled.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How often the same outcome of an endpoint is written.
const ANSWER_EVERY: Duration = Duration::from_secs(60);
/// More endpoints than this are not remembered at one time.
const REMEMBERED_MAX: usize = 10_000;
/// A larger document is none of these.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Keys of one listing.
const PAGE: usize = 1000;

/// Whether an endpoint is disabled, as it stands in the store; nothing there: it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The endpoint's URL.
    pub url: String,
    /// Whether deliveries to it are dead-lettered at once.
    pub disabled: bool,
    /// Since when.
    pub since: Timestamp,
}

/// What an endpoint answered last, as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAnswer {
    /// The endpoint's URL.
    pub url: String,
    /// The status; none where nobody answered.
    pub status: Option<u16>,
    /// When.
    pub at: Timestamp,
}

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Whose it is.
    pub team: TeamId,
    /// Its URL.
    pub url: String,
    /// Whether it is disabled.
    pub disabled: bool,
    /// What it answered last, if that was written.
    pub last: Option<LastAnswer>,
}

#[derive(Debug, Default)]
struct Memory {
    enabled: HashMap<Endpoint, Instant>,
    answered: HashMap<Endpoint, (Option<u16>, Instant)>,
    marked: HashMap<TeamId, Instant>,
}

/// The endpoints in a store.
pub struct Endpoints {
    store: Arc<dyn Store>,
    memory: Mutex<Memory>,
}

impl Endpoints {
    /// The endpoints in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, memory: Mutex::default() }
    }

    /// Whether deliveries to `endpoint` are to be given up at once.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is known.
    pub async fn is_disabled(&self, endpoint: &Endpoint) -> Result<bool, StoreError> {
        let is_fresh = |asked: &Instant| asked.elapsed() < REMEMBERED;
        if self.memory().enabled.get(endpoint).is_some_and(is_fresh) {
            return Ok(false);
        }
        // The answer is as old as the question.
        let asked = Instant::now();
        let switch: Option<Switch> = self.read(&endpoint.switch_key()).await?;
        let disabled = switch.is_some_and(|switch| switch.disabled);
        if !disabled {
            let memory = &mut *self.memory();
            bounded(&mut memory.enabled, is_fresh);
            memory.enabled.insert(endpoint.clone(), asked);
        }
        Ok(disabled)
    }

    /// Disables or enables `endpoint`, durably. May be repeated.
    ///
    /// # Errors
    /// [`StoreError`]; it may be so all the same.
    pub async fn switch(&self, endpoint: &Endpoint, disabled: bool, now: Timestamp) -> Result<(), StoreError> {
        self.mark(endpoint.team()).await?;
        let switch = Switch { url: endpoint.url().to_owned(), disabled, since: now };
        let stored = self.store.overwrite(&endpoint.switch_key(), written(&switch)).await;
        self.memory().enabled.remove(endpoint);
        stored
    }

    /// Writes down what `endpoint` answered, unless the same was written a while ago.
    pub async fn note(&self, endpoint: &Endpoint, status: Option<u16>, now: Timestamp) {
        {
            let is_fresh = |noted: &(Option<u16>, Instant)| noted.1.elapsed() < ANSWER_EVERY;
            let memory = &mut *self.memory();
            if memory.answered.get(endpoint).is_some_and(|noted| noted.0 == status && is_fresh(noted)) {
                return;
            }
            bounded(&mut memory.answered, is_fresh);
            memory.answered.insert(endpoint.clone(), (status, Instant::now()));
        }
        let answer = LastAnswer { url: endpoint.url().to_owned(), status, at: now };
        let noted = async {
            self.mark(endpoint.team()).await?;
            self.store.overwrite(&endpoint.answer_key(), written(&answer)).await
        };
        if let Err(error) = noted.await {
            debug!(%error, "the last answer of an endpoint was not written");
        }
    }

    /// Notes that `team` has endpoints, so that they can be listed.
    async fn mark(&self, team: &TeamId) -> Result<(), StoreError> {
        if self.memory().marked.contains_key(team) {
            return Ok(());
        }
        let meta = ObjectMeta { media_type: "application/json", facts: None };
        self.store.put_if_absent(&mark_key(team), Bytes::from_static(b"{}"), meta).await?;
        let memory = &mut *self.memory();
        bounded(&mut memory.marked, |_| false);
        memory.marked.insert(team.clone(), Instant::now());
        Ok(())
    }

    /// Lists the endpoints of one team, or of all, by team and URL.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, team: Option<&TeamId>) -> Result<Vec<Known>, StoreError> {
        let teams = match team {
            Some(team) => vec![team.clone()],
            None => self.keys(&marks_folder()).await?.iter().filter_map(marked_team).collect(),
        };
        let mut all = Vec::new();
        for team in teams {
            all.extend(self.list_of(&team).await?);
        }
        all.sort_by(|one, other| (&one.team, &one.url).cmp(&(&other.team, &other.url)));
        Ok(all)
    }

    async fn list_of(&self, team: &TeamId) -> Result<Vec<Known>, StoreError> {
        let mut found: HashMap<String, Known> = HashMap::new();
        let of = |url: &str| Known { team: team.clone(), url: url.to_owned(), disabled: false, last: None };
        for key in self.keys(&switches_folder(team)).await? {
            if let Some(switch) = self.read::<Switch>(&key).await? {
                let known = found.entry(switch.url.clone()).or_insert_with(|| of(&switch.url));
                known.disabled = switch.disabled;
            }
        }
        for key in self.keys(&answers_folder(team)).await? {
            if let Some(answer) = self.read::<LastAnswer>(&key).await? {
                let known = found.entry(answer.url.clone()).or_insert_with(|| of(&answer.url));
                known.last = Some(answer);
            }
        }
        Ok(found.into_values().collect())
    }

    async fn keys(&self, folder: &Key) -> Result<Vec<Key>, StoreError> {
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let page = self.store.list(folder, keys.last(), PAGE).await?;
            if page.is_empty() {
                return Ok(keys);
            }
            keys.extend(page);
        }
    }

    async fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        let Some(content) = self.store.get(key, DOCUMENT_BYTES_MAX).await? else {
            return Ok(None);
        };
        let read = serde_json::from_slice(&content);
        read.map(Some).map_err(|error| StoreError::Corrupt(format!("{key} is not what belongs there: {error}")))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // No code of ours panics while it holds the lock, and a map is whole between its own calls.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room in a full map: for one more, at the cost of what is not worth keeping, and of everything if need be.
fn bounded<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, is_worth: impl Fn(&V) -> bool) {
    if map.len() >= REMEMBERED_MAX {
        map.retain(|_, value| is_worth(value));
    }
    if map.len() >= REMEMBERED_MAX {
        map.clear();
    }
}

fn written(document: &impl Serialize) -> Bytes {
    serde_json::to_vec(document).expect("the documents above are plain text").into()
}
