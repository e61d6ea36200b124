//! A directory of the test's own, which is as well or ill as a test wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore::adapters::fetch::resolve::SystemNames;
use longshore::adapters::fetch::service::HttpService;
use longshore::adapters::teams::served::{DirectoryOptions, RECORD_BYTES_MAX, TeamsDirectory};
use longshore::domain::digest::Sha256;
use longshore::domain::id::TeamId;
use longshore::ports::teams::{Lookup, Teams};
use longshore::testing::contracts::teams::bucket_of;
use rustls::RootCertStore;
use serde_json::json;

use crate::fetch::server::{Asked, Server, Step, answer, head};
use crate::fetch::tls::{self, TlsServer};

/// What the desk knows its askers by.
pub(crate) const TOKEN: &str = "tok-hush-51";

/// How the desk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Answers everything with this status and body.
    Says(u16, &'static str),
    /// Answers well, but not before this time.
    Slow(Duration),
    /// Ends in the middle of a record.
    Cut,
}

/// A desk; dropped, it is gone.
pub(crate) struct Desk {
    pub(super) server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    records: BTreeMap<String, String>,
    mood: Mood,
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let state = Arc::new(Mutex::new(State { records: BTreeMap::new(), mood: Mood::Well }));
        let behind = Arc::clone(&state);
        let server = Server::start(move |asked| reply(&behind.lock().unwrap(), asked)).await;
        Self { server, state }
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub(crate) fn put(&self, team: &str, record: &str) {
        self.state.lock().unwrap().records.insert(team.to_owned(), record.to_owned());
    }

    pub(super) fn take_away(&self, team: &str) {
        self.state.lock().unwrap().records.remove(team);
    }

    /// Its teams are these, each with the profile that it normalizes by and with its bucket.
    pub(super) fn replace(&self, teams: &[(&str, &str)]) {
        let record = |team: &str, profile: &str| {
            json!({"normalize": profile, "aws": {"buckets": [bucket_of(team)]}}).to_string()
        };
        let records = teams.iter().map(|(team, profile)| ((*team).to_owned(), record(team, profile)));
        self.state.lock().unwrap().records = records.collect();
    }

    /// Where it has each team's record.
    pub(crate) fn team_url(&self) -> String {
        self.server.url("/teams/{team}")
    }

    /// The same over https, with a certificate that the test bed's authority has signed.
    pub(crate) async fn behind_tls(&self) -> (TlsServer, String) {
        let front = tls::before(self.server.address).await;
        let url = format!("https://127.0.0.1:{}/teams/{{team}}", front.port);
        (front, url)
    }

    pub(super) fn options(&self) -> DirectoryOptions {
        DirectoryOptions {
            team_url: self.team_url(),
            bucket_url: Some(self.server.url("/buckets?of={bucket}")),
            token: Some(TOKEN.into()),
            integration_role_name: "Longshore-Integration".to_owned(),
            fresh: Duration::from_millis(100),
            stale_max: Duration::from_secs(60),
        }
    }
}

fn reply(state: &State, asked: &Asked) -> Vec<Step> {
    if asked.fields.get("authorization").map(String::as_str) != Some(&*format!("Bearer {TOKEN}")) {
        return answer(401, "", b"");
    }
    match &state.mood {
        Mood::Well => well(state, asked),
        Mood::Says(status, body) => answer(*status, "Location: /elsewhere\r\n", body.as_bytes()),
        Mood::Slow(time) => [vec![Step::Wait(*time)], well(state, asked)].concat(),
        Mood::Cut => vec![head(200, "Content-Length: 1000\r\n"), Step::Send(b"{\"normalize\": \"orig".to_vec())],
    }
}

fn well(state: &State, asked: &Asked) -> Vec<Step> {
    if let Some(bucket) = asked.target.strip_prefix("/buckets?of=") {
        let owner = bucket.strip_suffix("-raw").filter(|team| state.records.contains_key(*team));
        return owner.map_or_else(
            || answer(404, "", b""),
            |team| answer(200, "", json!({"team": team}).to_string().as_bytes()),
        );
    }
    let path = asked.target.split('?').next().unwrap_or_default();
    let team = path.strip_prefix("/teams/").unwrap_or_default();
    let Some(record) = state.records.get(team) else { return answer(404, "", b"") };
    let etag = format!("\"{}\"", Sha256::of(record.as_bytes()));
    if asked.fields.get("if-none-match") == Some(&etag) {
        return answer(304, "", b"");
    }
    answer(200, &format!("ETag: {etag}\r\n"), record.as_bytes())
}

/// A directory that waits a second for an answer.
pub(super) fn directory(options: DirectoryOptions) -> TeamsDirectory {
    let names = Arc::new(SystemNames::default());
    let service = HttpService::with(Duration::from_secs(1), RECORD_BYTES_MAX, names, RootCertStore::empty()).unwrap();
    TeamsDirectory::new(Arc::new(service), options)
}

/// The profile of a team, `Ok(None)` for one that is unknown, or why that cannot be told.
pub(super) async fn profile(teams: &dyn Teams, team: &str) -> Result<Option<String>, String> {
    match teams.team(&TeamId::new(team).unwrap()).await {
        Ok(Lookup::Known(known)) => Ok(Some(known.record.normalize.clone().unwrap_or_default())),
        Ok(Lookup::Unknown) => Ok(None),
        Err(error) => {
            let words = error.to_string();
            assert!(!words.contains("hush"), "{words}");
            Err(words)
        }
    }
}

pub(super) fn known(profile: &str) -> Result<Option<String>, String> {
    Ok(Some(profile.to_owned()))
}
