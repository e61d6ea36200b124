//! A Google Cloud of the test's own: its token services and a gate before the bed's storage emulator, which obeys grants.
//!
//! Nobody else asks it anything, so that its journal tells all that was asked, and by whom.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use longshore::adapters::credentials::gcp::{GcpIdentities, GcpOptions};
use longshore::adapters::fetch::gcs::{GcsFetcher, GcsSourceOptions};
use longshore::adapters::fetch::token_service::HttpTokenService;
use longshore::domain::team::GcpGrant;
use rustls::RootCertStore;
use serde_json::{Value, json};
use url::Url;

use crate::bed;
use crate::scenario::http::{Answer, ask};
use crate::scenario::origin::{answers, free_port};
use crate::scenario::process::Child;

/// The worker's own account.
pub(crate) const US: &str = "longshore@our-project.iam.gserviceaccount.com";

/// The emulator behind the gate, which lets everybody in: for set-up.
const STORAGE: ([u8; 4], u16) = ([127, 0, 0, 1], 4443);

/// A running cloud; dropped, it is gone.
pub(crate) struct Google {
    _child: Child,
    identity: SocketAddr,
    gate: SocketAddr,
}

/// A customer's account and bucket, which holds `a.txt`.
pub(crate) struct Customer {
    pub(crate) account: String,
    pub(crate) uid: String,
    pub(crate) bucket: String,
}

impl Google {
    /// Starts one that knows the worker's own account.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more arguments for the stand-in.
    pub(crate) async fn start_with(more: &[String]) -> Self {
        bed::require("gcs");
        let [identity, gate] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/identity_testbed.py");
        let child = Command::new(bed::python())
            .args([script, "--port", &identity.port().to_string(), "--gcs-gate", &gate.port().to_string()])
            .args(["--gcs-upstream", &format!("http://{}", SocketAddr::from(STORAGE))])
            .args(more)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let google = Self { _child: Child::new(child), identity, gate };
        answers(identity).await;
        answers(gate).await;
        google.apply(json!({"default_account": US})).await;
        google
    }

    /// A customer as it should be: our account may impersonate its own, which may read its bucket.
    pub(crate) async fn customer(&self) -> Customer {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let uid = id[24..].to_owned();
        let account = format!("longshore-{uid}@acme.iam.gserviceaccount.com");
        let customer = Customer { account, uid, bucket: format!("gcs-{id}") };
        let made = storage("POST", "/storage/v1/b", &json!({"name": customer.bucket}).to_string().into_bytes()).await;
        assert_eq!(made.status, 200);
        self.grant(&customer, &[US], json!({"readers": [customer.account]})).await;
        customer.put("a.txt", b"the content").await;
        customer
    }

    /// Who may impersonate the customer's account, and what whom may do with its bucket.
    pub(crate) async fn grant(&self, customer: &Customer, token_creators: &[&str], rights: Value) {
        let accounts = json!({&customer.account: {"token_creators": token_creators}});
        self.apply(json!({"accounts": accounts, "buckets": {&customer.bucket: rights}})).await;
    }

    pub(crate) async fn apply(&self, google: Value) {
        self.control("POST", "apply", &json!({"google": google})).await;
    }

    /// Ends the tokens of an account.
    pub(crate) async fn revoke(&self, email: &str) {
        self.control("POST", "revoke", &json!({"email": email})).await;
    }

    /// Lets the next requests whose path holds the text fail.
    pub(crate) async fn fail(&self, path: &str, times: u32, status: u16, reason: &str) {
        let fault = json!({"path": path, "times": times, "status": status, "reason": reason});
        self.control("POST", "fault", &fault).await;
    }

    /// Writes the file of a new key of an account, and returns its path.
    pub(crate) async fn key_file(&self, email: &str, folder: &Path) -> PathBuf {
        let key = self.control("POST", "google-key", &json!({"email": email})).await;
        let path = folder.join("key.json");
        std::fs::write(&path, key.to_string()).unwrap();
        path
    }

    pub(crate) async fn control(&self, method: &str, name: &str, body: &Value) -> Value {
        let answer = ask(self.identity, method, &format!("/_testbed/{name}"), "", body.to_string().as_bytes()).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{method} {name}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    /// All that was asked, and by whom, oldest first.
    pub(crate) async fn journal(&self) -> Vec<Value> {
        self.control("GET", "journal", &json!({})).await.as_array().unwrap().clone()
    }

    /// Who asked the gate for anything, in order; nobody's name for a token that is not known.
    pub(crate) async fn readers(&self) -> Vec<String> {
        let entries = self.journal().await;
        let at_gate = entries.iter().filter(|entry| entry["server"] == "gcs");
        at_gate.map(|entry| entry["caller"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// How the gate was asked, in order.
    pub(crate) async fn methods(&self) -> Vec<String> {
        let entries = self.journal().await;
        let at_gate = entries.iter().filter(|entry| entry["server"] == "gcs");
        at_gate.filter_map(|entry| entry["method"].as_str().map(str::to_owned)).collect()
    }

    /// What the gate answered, in order.
    pub(crate) async fn statuses(&self) -> Vec<u64> {
        let entries = self.journal().await;
        entries.iter().filter(|entry| entry["server"] == "gcs").filter_map(|entry| entry["status"].as_u64()).collect()
    }

    /// How often the customer's account was asked to be impersonated, whatever was answered.
    pub(crate) async fn impersonations(&self, customer: &Customer) -> usize {
        let path = format!("/v1/projects/-/serviceAccounts/{}:generateAccessToken", customer.account);
        self.journal().await.iter().filter(|entry| entry["path"] == path.as_str()).count()
    }

    pub(crate) fn gate(&self) -> SocketAddr {
        self.gate
    }

    /// Where tokens are asked for.
    pub(crate) fn identity_url(&self) -> String {
        format!("http://{}", self.identity)
    }

    /// The URL by which federation ends in an account's token.
    pub(crate) fn impersonation_url(&self, account: &str) -> String {
        format!("{}/v1/projects/-/serviceAccounts/{account}:generateAccessToken", self.identity_url())
    }

    /// The environment of a worker on a machine of Google's.
    pub(crate) fn on_google(&self) -> GcpOptions {
        GcpOptions { metadata_host: Some(self.identity.to_string()), ..self.elsewhere() }
    }

    /// The environment of a worker that nobody gave an identity.
    pub(crate) fn elsewhere(&self) -> GcpOptions {
        GcpOptions {
            metadata_host: Some(format!("127.0.0.1:{}", free_port())),
            iam_endpoint_url: Some(self.identity_url().parse().unwrap()),
            ..GcpOptions::default()
        }
    }

    pub(crate) fn fetcher(&self) -> GcsFetcher {
        self.fetcher_in(self.on_google())
    }

    pub(crate) fn fetcher_in(&self, environment: GcpOptions) -> GcsFetcher {
        self.fetcher_at(&format!("http://{}", self.gate), environment)
    }

    /// A fetcher that asks another place for objects, such as a proxy before the gate.
    pub(crate) fn fetcher_at(&self, endpoint: &str, environment: GcpOptions) -> GcsFetcher {
        let service = HttpTokenService::with(RootCertStore::empty()).unwrap();
        fetcher(endpoint, Arc::new(GcpIdentities::new(environment, Arc::new(service))))
    }
}

/// A fetcher that asks `endpoint`.
pub(crate) fn fetcher(
    endpoint: &str, credentials: Arc<dyn longshore::ports::credentials::GcpCredentials>,
) -> GcsFetcher {
    let options = GcsSourceOptions {
        endpoint_url: Some(Url::parse(endpoint).unwrap()),
        http: longshore::adapters::fetch::HttpOptions { min_rate: 0, ..Default::default() },
    };
    let names = Arc::new(longshore::adapters::fetch::resolve::SystemNames::default());
    let budget = Arc::new(longshore::ports::budget::Unlimited);
    GcsFetcher::with(options, credentials, budget, names, RootCertStore::empty()).unwrap()
}

impl Customer {
    /// The team's record as it should be.
    pub(crate) fn record(&self) -> GcpGrant {
        GcpGrant {
            service_account: Some(self.account.clone()),
            uid: Some(self.uid.clone()),
            buckets: vec![self.bucket.clone()],
            ..GcpGrant::default()
        }
    }

    /// The same in a teams file.
    pub(crate) fn table(&self, team: &str) -> String {
        let Self { account, uid, bucket } = self;
        format!("[{team}.gcp]\nservice_account = \"{account}\"\nuid = \"{uid}\"\nbuckets = [\"{bucket}\"]\n")
    }

    /// Puts an object into the bucket, and returns what the emulator tells of it.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Value {
        self.upload(name, "", bytes).await
    }

    /// The same with the bytes of a coding.
    pub(crate) async fn put_coded(&self, name: &str, coding: &str, bytes: &[u8]) -> Value {
        self.upload(name, &format!("&contentEncoding={coding}"), bytes).await
    }

    async fn upload(&self, name: &str, more: &str, bytes: &[u8]) -> Value {
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let path = format!("/upload/storage/v1/b/{}/o?uploadType=media&name={name}{more}", self.bucket);
        let answer = storage("POST", &path, bytes).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub(crate) async fn delete(&self, name: &str) {
        let answer = storage("DELETE", &format!("/storage/v1/b/{}/o/{name}", self.bucket), b"").await;
        assert!(matches!(answer.status, 200 | 204), "{}", answer.status);
    }
}

async fn storage(method: &str, path: &str, body: &[u8]) -> Answer {
    ask(SocketAddr::from(STORAGE), method, path, "Content-Type: application/octet-stream\r\n", body).await
}
