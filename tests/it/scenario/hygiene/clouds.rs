//! Google's cloud and Azure for one run: token services that remember what they issued, and a customer on each.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::azuresource::{SUFFIX, customer as azure};
use crate::bed;
use crate::gcssource::google::{self, Google, US};
use crate::scenario::origin::{answers, free_port};
use crate::scenario::world::World;

const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
const STRANGER: &str = "principal://iam.googleapis.com/pools/p/subject/worker";

/// What the deployment proves itself by.
pub(super) const CLIENT_SECRET: &str = "ClientSecret~Of.The-Application";
pub(super) const WRONG_SECRET: &str = "AnotherSecretThatIsWrong";
pub(super) const FEDERATED_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhenVyZSJ9.FederatedAssertionForAzure";
pub(super) const SUBJECT_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJnb29nbGUifQ.SubjectTokenForGoogle";
pub(super) const REFRESH_TOKEN: &str = "1//RefreshTokenOfAPerson";
pub(super) const LOGIN_SECRET: &str = "ClientSecretOfTheLogin";

/// Both clouds; dropped, they are gone.
pub(super) struct Clouds {
    pub(super) google: Google,
    pub(super) of_google: google::Customer,
    pub(super) of_azure: azure::Customer,
    /// Ports of the token service over TLS and of the gate before Azurite.
    authority: u16,
    gate: u16,
    /// Files of credentials, which are no part of what a run writes.
    folder: TempDir,
}

/// By what a run proves itself: on Azure one setting, on Google's cloud one file.
pub(super) struct Proofs {
    pub(super) azure: (&'static str, String),
    pub(super) google: PathBuf,
}

impl Clouds {
    pub(super) async fn start() -> Self {
        let [authority, gate] = [free_port(), free_port()];
        let [certificate, key] = bed::server_pem_paths().map(|path| path.display().to_string());
        let [authority_port, gate_port] = [authority, gate].map(|port| port.to_string());
        let more = ["--tls-port", &authority_port, "--azure-gate", &gate_port];
        let more = more.into_iter().chain(["--tls-cert", &certificate, "--tls-key", &key]).map(str::to_owned);
        let google = Google::start_with(&more.collect::<Vec<_>>()).await;
        for port in [authority, gate] {
            answers(([127, 0, 0, 1], port).into()).await;
        }
        let (of_google, of_azure) = (google.customer().await, azure::Customer::stranger("teamone").await);
        let who = [US, "federated@us", "person@us"];
        google.grant(&of_google, &who, json!({"readers": [of_google.account]})).await;
        google.apply(json!({"accounts": {"federated@us": {"token_creators": [STRANGER]}}})).await;
        google.apply(json!({"federation": {AUDIENCE: {SUBJECT_TOKEN: STRANGER}}})).await;
        let held = json!({"client_id": "login", "client_secret": LOGIN_SECRET, "email": "person@us"});
        google.apply(json!({"refresh_tokens": {REFRESH_TOKEN: held}})).await;
        let tenants = json!({(&of_azure.tenant): {"consented": true}});
        let grant = json!({"tenant": of_azure.tenant, "account": of_azure.account, "container": of_azure.container});
        let azure = json!({"app_id": "app", "secret": CLIENT_SECRET, "tenants": tenants, "grants": [grant]});
        google.control("POST", "apply", &json!({"azure": azure})).await;
        Self { google, of_google, of_azure, authority, gate, folder: tempfile::tempdir().unwrap() }
    }

    /// Lets a world find both.
    pub(super) fn are_found_by(&self, world: &mut World) {
        world.set("GCP__IAM_ENDPOINT_URL", &self.google.identity_url());
        world.set("SOURCES__GCS__ENDPOINT_URL", &format!("http://{}", self.google.gate()));
        world.set_variable("GCE_METADATA_HOST", "127.0.0.1:1");
        world.set("AZURE__CLIENT_ID", "app");
        world.set("AZURE__AUTHORITY_URL", &format!("https://127.0.0.1:{}", self.authority));
        world.set("SOURCES__AZURE__ENDPOINT_URL", &format!("https://127.0.0.1:{}", self.gate));
        world.set("SOURCES__AZURE__HOST_SUFFIXES", &format!("['{SUFFIX}']"));
    }

    /// Teams `goog` and `azur`, as in a teams file.
    pub(super) fn records(&self) -> String {
        let azure::Customer { tenant, account, .. } = &self.of_azure;
        format!("{}[azur.azure]\ntenant_id = \"{tenant}\"\naccounts = [\"{account}\"]\n", self.of_google.table("goog"))
    }

    /// Each way of proving oneself once.
    pub(super) async fn proofs(&self) -> [Proofs; 3] {
        let federated = self.file("federated", FEDERATED_TOKEN);
        let [certificate, key] = bed::server_pem_paths().map(|path| std::fs::read_to_string(path).unwrap());
        let certificate = self.file("application.pem", &(certificate + &key));
        [
            Proofs { azure: ("CLIENT_SECRET", CLIENT_SECRET.to_owned()), google: self.stranger() },
            Proofs {
                azure: ("FEDERATED_TOKEN_FILE", federated.display().to_string()),
                google: self.google.key_file(US, self.folder.path()).await,
            },
            Proofs { azure: ("CERTIFICATE_FILE", certificate.display().to_string()), google: self.person() },
        ]
    }

    /// Somebody whom Google's cloud knows by another provider's token, and who acts as an account.
    fn stranger(&self) -> PathBuf {
        let document = json!({
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/token", self.google.identity_url()),
            "credential_source": {"file": self.file("subject", SUBJECT_TOKEN)},
            "service_account_impersonation_url": self.google.impersonation_url("federated@us"),
        });
        self.file("stranger.json", &document.to_string())
    }

    /// A person who logged in.
    fn person(&self) -> PathBuf {
        let document = json!({
            "type": "authorized_user",
            "client_id": "login",
            "client_secret": LOGIN_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "token_uri": format!("{}/token", self.google.identity_url()),
        });
        self.file("person.json", &document.to_string())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The private keys that something was signed with.
    pub(super) fn private_keys(&self) -> [String; 2] {
        let key: Value = serde_json::from_slice(&std::fs::read(self.folder.path().join("key.json")).unwrap()).unwrap();
        let [_, of_application] = bed::server_pem_paths();
        [key["private_key"].as_str().unwrap().to_owned(), std::fs::read_to_string(of_application).unwrap()]
    }

    /// The tokens that were issued, and what was shown for them.
    pub(super) async fn credentials(&self) -> [Vec<String>; 2] {
        let told = self.google.control("GET", "credentials", &json!({})).await;
        let texts = |name: &str| serde_json::from_value(told[name].clone()).unwrap();
        [texts("issued"), texts("shown")]
    }
}
