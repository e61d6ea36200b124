//! Deployments of a test's own: the real program on the embedded queue, before customers in the test bed's AWS.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::bed;
use crate::ran::Ran;
use crate::s3source::cloud::Cloud;
use crate::scenario::process::Child;

/// How long anything of these tests may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Replicas with one store, each with a queue and a teams file of its own.
pub(crate) struct Office {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    endpoint: String,
}

impl Office {
    /// A deployment whose worker is the one that `cloud` knows.
    pub(crate) fn of(cloud: &Cloud) -> Self {
        let [id, secret] = cloud.our_keys();
        Self::with(bed::cloud_endpoint(), id, secret)
    }

    /// A deployment with these keys, whose AWS is at `endpoint`.
    pub(crate) fn with(endpoint: &str, id: &str, secret: &str) -> Self {
        let environment = [
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            // No machine's own set-up plays a part.
            ("AWS_CONFIG_FILE", "none"),
            ("AWS_SHARED_CREDENTIALS_FILE", "none"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let folder = tempfile::tempdir().unwrap();
        Self { folder, environment: BTreeMap::from(environment), endpoint: endpoint.to_owned() }
    }

    /// Gives the replica of this name its teams.
    pub(crate) fn teams(&self, replica: &str, teams: &str) {
        self.write(&format!("{replica}-teams.toml"), teams);
        self.configure(replica, "");
    }

    /// Writes the replica's configuration anew, with `more` in it.
    pub(crate) fn configure(&self, replica: &str, more: &str) {
        let endpoint = &self.endpoint;
        let text = format!(
            "state_dir = \"{replica}\"\nadmin.listen = \"\"\nqueue.max_attempts = 1\nretry.tries = 1\n\
             store.url = \"file:store\"\nteams.source = \"file:{replica}-teams.toml\"\n\
             aws.region = \"us-east-1\"\naws.sts_endpoint_url = \"{endpoint}\"\nsources.s3.endpoint_url = \"{endpoint}\"\n{more}\n"
        );
        self.write(&format!("{replica}.toml"), &text);
    }

    /// Sets a variable of the environment for all commands from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// Writes a file into the folder where all commands run.
    pub(crate) fn file(&self, name: &str, text: &str) {
        self.write(name, text);
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn command(&self, replica: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.arg("--config").arg(self.folder.path().join(format!("{replica}.toml"))).args(args);
        command.current_dir(self.folder.path()).env_remove("LONGSHORE_CONFIG").env_remove("AWS_PROFILE");
        command
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Starts a command that goes on until it is dropped.
    pub(crate) fn start(&self, replica: &str, args: &[&str]) -> Child {
        let mut command = self.command(replica, args);
        Child::new(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Runs a command of the program to its end.
    pub(crate) async fn run(&self, replica: &str, args: &[&str]) -> Ran {
        let mut command = self.command(replica, args);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        output.into()
    }

    /// Lets a replica work off one task of `team`, and returns what became of each attachment: its text, or its code.
    pub(crate) async fn fetch(&self, replica: &str, team: &str, urls: &[&str]) -> Vec<String> {
        let id = self.submit(replica, team, urls).await;
        self.run(replica, &["worker", "--roles", "ingest", "--until-empty"]).await.ends(0);
        let receipt = self.run(replica, &["--json", "receipt", team, &id]).await.ends(0).json().remove(0);
        outcomes(&receipt)
    }

    /// The same where a worker of the replica is running.
    pub(crate) async fn ask(&self, replica: &str, team: &str, urls: &[&str]) -> Vec<String> {
        let id = self.submit(replica, team, urls).await;
        let began = Instant::now();
        loop {
            if let Some(receipt) = self.stored(&format!("{team}/receipts/{id}.json")).into_values().next() {
                return outcomes(&serde_json::from_str(&receipt).unwrap());
            }
            assert!(began.elapsed() < WITHIN, "no receipt of {id} after {WITHIN:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks again and again until one attachment's outcome is the wanted one: a change of the teams file takes some seconds.
    pub(crate) async fn ask_until(&self, replica: &str, team: &str, url: &str, wanted: &str) {
        let began = Instant::now();
        loop {
            let found = self.ask(replica, team, &[url]).await.remove(0);
            if found == wanted {
                return;
            }
            assert!(began.elapsed() < WITHIN, "{found}, and not {wanted}, after {WITHIN:?}");
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn submit(&self, replica: &str, team: &str, urls: &[&str]) -> String {
        let id = format!("t-{:08x}", rand::random::<u32>());
        let (task, name) = (json!({"task_id": id, "team": team, "attachments": urls}), format!("{id}.json"));
        self.write(&name, &task.to_string());
        self.run(replica, &["submit", &name]).await.ends(0);
        id
    }

    /// Everything that stands in the store and holds `part` in its path, by path.
    pub(crate) fn stored(&self, part: &str) -> BTreeMap<String, String> {
        let (root, mut found) = (self.folder.path().join("store"), BTreeMap::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                if path.is_dir() {
                    folders.push(path);
                } else if name.contains(part) {
                    found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
                }
            }
        }
        found
    }
}

fn outcomes(receipt: &Value) -> Vec<String> {
    receipt["attachments"].as_array().unwrap().iter().map(outcome).collect()
}

fn outcome(attachment: &Value) -> String {
    match attachment["object"]["uri"].as_str() {
        Some(uri) => fs::read_to_string(uri.strip_prefix("file://").unwrap()).unwrap(),
        None => attachment["error"]["code"].as_str().unwrap().to_owned(),
    }
}

/// The part of a teams file by which a team's plain URLs may name one host only, which none of ours is.
pub(crate) fn no_plain_host(team: &str) -> String {
    format!("[{team}.http]\nallowed_hosts = [\"nowhere.invalid\"]\n")
}

/// The part of a teams file that holds a delegated role.
pub(crate) fn delegated(team: &str, role_arn: &str, external_id: &str, more: &str) -> String {
    format!("[{team}.aws]\nrole_arn = \"{role_arn}\"\nexternal_id = \"{external_id}\"\n{more}\n")
}
