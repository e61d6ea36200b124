//! A customer on Azure: a tenant, a container in one of the emulator's storage accounts, and what is in it.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use longshore::domain::team::AzureGrant;
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::wire::{Answer, call};
use super::{GATE, SUFFIX};
use crate::bed;

/// Azurite itself: for set-up.
const AZURITE: &str = "https://127.0.0.1:10000";
/// The key that Azurite's makers publish, which the bed's accounts share.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// Where the identities' own interface is.
const CONTROL: &str = "http://127.0.0.1:5900";
/// The version of the service's interface that the set-up speaks.
const VERSION: &str = "2021-12-02";

/// One customer.
pub(crate) struct Customer {
    pub(crate) tenant: String,
    pub(crate) account: &'static str,
    pub(crate) container: String,
}

impl Customer {
    /// A customer in account `teamone` whose tenant has consented and lets us read its container, which holds `a.txt`.
    pub(crate) async fn new() -> Self {
        let customer = Self::stranger("teamone").await;
        customer.consents(true).await;
        customer.grants(&customer.container).await;
        customer
    }

    /// A customer whose tenant nobody knows, and who grants nothing.
    pub(crate) async fn stranger(account: &'static str) -> Self {
        bed::require("azure");
        bed::require("identity");
        let container = format!("c{}", Uuid::new_v4().simple());
        let customer = Self { tenant: Uuid::new_v4().to_string(), account, container };
        customer.owner("PUT", "?restype=container", &[], b"").await;
        customer.put("a.txt", b"the content").await;
        customer
    }

    /// The team's record as it should be.
    pub(crate) fn grant(&self) -> AzureGrant {
        AzureGrant { tenant_id: self.tenant.clone(), accounts: vec![self.account.to_owned()] }
    }

    /// A blob's URL; `name` is percent-encoded already, and may have a query.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("https://{}.{SUFFIX}/{}/{name}", self.account, self.container)
    }

    /// The tenant's consent to our application is given or withdrawn.
    pub(crate) async fn consents(&self, consented: bool) {
        control("apply", &json!({"azure": {"tenants": {(self.tenant.as_str()): {"consented": consented}}}})).await;
    }

    /// The tenant lets us read a container of the account.
    pub(crate) async fn grants(&self, container: &str) {
        let grant = json!({"tenant": self.tenant, "account": self.account, "container": container, "write": false});
        control("apply", &json!({"azure": {"grants": [grant]}})).await;
    }

    /// Another customer's tenant is let in to the container, too.
    pub(crate) async fn lets_in(&self, other: &Self) {
        let grant =
            json!({"tenant": other.tenant, "account": self.account, "container": self.container, "write": false});
        control("apply", &json!({"azure": {"grants": [grant]}})).await;
    }

    /// The tenant lets us read nothing any more.
    pub(crate) async fn revokes(&self) {
        control("revoke", &json!({"tenant": self.tenant})).await;
    }

    /// Puts a blob; `name` is percent-encoded already.
    pub(crate) async fn put(&self, name: &str, content: &[u8]) {
        self.owner("PUT", &format!("/{name}"), &[("x-ms-blob-type", "BlockBlob")], content).await;
    }

    /// Does something with the container, or what is in it, as the account's owner.
    pub(crate) async fn owner(&self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        owner(self.account, method, &format!("/{}{target}", self.container), fields, body).await
    }

    /// A blob's URL at Azurite itself, with a shared access signature that lets everybody read it.
    pub(crate) fn signed_url(&self, name: &str) -> String {
        let ends = "2035-01-01T00:00:00Z";
        let resource = format!("/blob/{}/{}/{name}", self.account, self.container);
        let text = ["r", "", ends, &resource, "", "", "", "2018-11-09", "b", "", "", "", "", "", ""].join("\n");
        let signature = signed(&text);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("sp", "r"), ("se", ends), ("sv", "2018-11-09"), ("sr", "b"), ("sig", &signature)])
            .finish();
        format!("{AZURITE}/{}/{}/{name}?{query}", self.account, self.container)
    }

    /// The requests for the container that came to the gate, each with its status.
    pub(crate) async fn asked(&self) -> Vec<(String, u64)> {
        let path = format!("/{}/{}", self.account, self.container);
        journal("azure", |asked| asked.starts_with(&path)).await
    }

    /// The tokens that the tenant gave us so far end.
    pub(crate) async fn ends_tokens(tenant: &str) {
        control("revoke", &json!({"tokens_of": tenant})).await;
    }

    /// Whose token each request for the container had that came to the gate, by the gate's own journal; nobody's for one that had
    /// none.
    pub(crate) async fn askers(&self) -> Vec<String> {
        let path = format!("/{}/{}", self.account, self.container);
        let entries = entries().await.into_iter().filter(|entry| entry["server"] == "azure");
        let of_container = entries.filter(|entry| entry["path"].as_str().is_some_and(|asked| asked.starts_with(&path)));
        of_container.map(|entry| entry["tenant"].as_str().unwrap_or("nobody").to_owned()).collect()
    }

    /// The requests for tokens of this tenant, each with its status.
    pub(crate) async fn tokens(&self) -> Vec<u64> {
        let path = format!("/{}/oauth2/v2.0/token", self.tenant);
        journal("identity", |asked| asked == path).await.into_iter().map(|(_, status)| status).collect()
    }
}

/// Does something in an account as its owner, with its shared key.
pub(crate) async fn owner(account: &str, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
    let answer = as_owner(account, method, target, fields, body).await;
    assert!(answer.status < 300, "{method} {target}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    answer
}

/// The same, whatever is answered.
pub(crate) async fn as_owner(
    account: &str, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8],
) -> Answer {
    let mut fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.push(("x-ms-date".to_owned(), jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()));
    fields.push(("x-ms-version".to_owned(), VERSION.to_owned()));
    fields.sort();
    let of_service = fields.iter().filter(|(name, _)| name.starts_with("x-ms-"));
    let canonical: String = of_service.map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut query: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    query.sort();
    // The emulator's paths begin with the account, which the resource begins with, too.
    let resource: String = query.iter().map(|(name, value)| format!("\n{name}:{value}")).collect();
    let length = if body.is_empty() { String::new() } else { body.len().to_string() };
    let text = format!("{method}\n\n\n{length}\n\n\n\n\n\n\n\n\n{canonical}/{account}/{account}{path}{resource}");
    fields.push(("Authorization".to_owned(), format!("SharedKey {account}:{}", signed(&text))));
    call(AZURITE, method, &format!("/{account}{target}"), &fields, body).await
}

fn signed(text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

async fn control(name: &str, body: &Value) {
    let answer = call(CONTROL, "POST", &format!("/_testbed/{name}"), &[], body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{name}");
}

async fn entries() -> Vec<Value> {
    let answer = call(CONTROL, "GET", "/_testbed/journal", &[], b"").await;
    serde_json::from_slice(&answer.body).unwrap()
}

async fn journal(server: &str, is_meant: impl Fn(&str) -> bool) -> Vec<(String, u64)> {
    let entries = entries().await;
    // Entries that are no requests tell of something else.
    let entries = entries
        .iter()
        .filter(|entry| entry["server"] == server)
        .filter_map(|entry| Some((entry["method"].as_str()?, entry["path"].as_str()?, entry["status"].as_u64()?)));
    let meant = entries.filter(|(_, path, _)| is_meant(path));
    meant.map(|(method, path, status)| (format!("{method} {path}"), status)).collect()
}

/// Sends a request on to the gate.
pub(crate) async fn at_the_gate(method: &str, target: &str, fields: &[(String, String)]) -> Answer {
    call(GATE, method, target, fields, b"").await
}
