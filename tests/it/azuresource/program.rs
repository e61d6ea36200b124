//! The real program as a deployment with our application runs it: tasks are submitted, a worker works until nothing is left,
//! and the receipts are read.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{AUTHORITY, GATE, SUFFIX};
use crate::bed;

/// A folder with a configuration.
pub(crate) struct Program {
    folder: TempDir,
}

/// One attachment's part of a receipt.
pub(crate) struct Copied(Value);

impl Copied {
    /// The error's code, or `stored`.
    pub(crate) fn code(&self) -> &str {
        let error = &self.0["error"]["code"];
        error.as_str().unwrap_or_else(|| self.0["status"].as_str().unwrap())
    }

    pub(crate) fn provider_code(&self) -> Option<&str> {
        self.0["error"]["provider_code"].as_str()
    }

    pub(crate) fn part(&self, name: &str) -> &Value {
        &self.0[name]
    }
}

impl Program {
    /// A deployment whose application has the right secret, and that finds storage accounts at the gate.
    pub(crate) fn new() -> Self {
        Self::with("secret", GATE)
    }

    pub(crate) fn with(secret: &str, endpoint: &str) -> Self {
        Self::proving("client_secret = \"env:AZURE_SECRET\"", secret, endpoint)
    }

    /// A deployment that proves who it is by this line of its configuration; the file `secret` holds the secret.
    pub(crate) fn proving(proof: &str, secret: &str, endpoint: &str) -> Self {
        let program = Self { folder: tempfile::tempdir().unwrap() };
        program.write(
            "longshore.toml",
            &format!(
                "events.url = \"local:\"\nadmin.listen = \"\"\nqueue.max_attempts = 1\n\
                 retry.tries = 3\nretry.base = \"10ms\"\nretry.max = \"50ms\"\n\
                 [azure]\nclient_id = \"app\"\n{proof}\nauthority_url = \"{AUTHORITY}\"\n\
                 [sources.azure]\nendpoint_url = \"{endpoint}\"\nhost_suffixes = [\"{SUFFIX}\"]\n"
            ),
        );
        program.write("secret", secret);
        program
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Adds to the configuration.
    pub(crate) fn append(&self, text: &str) {
        let path = self.folder.path().join("longshore.toml");
        let whole = fs::read_to_string(&path).unwrap() + text;
        fs::write(path, whole).unwrap();
    }

    /// Writes the teams file: each team's name, tenant and storage accounts; without a tenant it has no Azure integration.
    pub(crate) fn teams(&self, teams: &[(&str, Option<&str>, &[&str])]) {
        let record = |(team, tenant, accounts): &(&str, Option<&str>, &[&str])| match tenant {
            Some(tenant) => format!("[{team}.azure]\ntenant_id = \"{tenant}\"\naccounts = {accounts:?}\n"),
            None => format!("[{team}]\n"),
        };
        self.write("teams.toml", &teams.iter().map(record).collect::<String>());
    }

    /// Copies `url` for `team`, in a task of its own and in a process of its own.
    pub(crate) async fn copy(&self, team: &str, url: &str) -> Copied {
        let id = format!("t{}", uuid::Uuid::new_v4().simple());
        let task = json!({"task_id": id, "team": team, "attachments": [url]}).to_string();
        self.run(&["submit", "-"], &task).await;
        self.run(&["worker", "--until-empty"], "").await;
        let receipt: Value = serde_json::from_str(&self.run(&["receipt", team, &id], "").await).unwrap();
        let copied = receipt["attachments"][0].clone();
        assert!(copied.is_object(), "{receipt:#}");
        Copied(copied)
    }

    /// The content of a stored copy.
    pub(crate) fn content(copied: &Copied) -> Vec<u8> {
        let uri = copied.part("object")["uri"].as_str().unwrap();
        fs::read(uri.strip_prefix("file://").unwrap()).unwrap()
    }

    /// What the workers wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Every file of the deployment: configuration, queue, store, log.
    pub(crate) fn files(&self) -> Vec<(PathBuf, String)> {
        let (mut folders, mut files) = (vec![self.folder.path().to_owned()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                    files.push((path, content));
                }
            }
        }
        files
    }

    /// Runs a command that refuses the configuration, and returns what it said.
    pub(crate) async fn refused(&self, args: &[&str]) -> String {
        let ran = self.ended(args, "").await;
        assert_eq!(ran.status.code(), Some(64), "{args:?}:\n{}", self.log());
        self.log()
    }

    /// Runs a command to its good end and returns what it printed.
    pub(crate) async fn run(&self, args: &[&str], input: &str) -> String {
        let ran = self.ended(args, input).await;
        assert!(ran.status.success(), "{args:?} ended with {:?}:\n{}", ran.status.code(), self.log());
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Runs a command, and returns how it ended and what it printed.
    pub(crate) async fn ends(&self, args: &[&str]) -> (i32, String) {
        let ran = self.ended(args, "").await;
        (ran.status.code().unwrap(), String::from_utf8(ran.stdout).unwrap())
    }

    async fn ended(&self, args: &[&str], input: &str) -> Output {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let secret = fs::read_to_string(self.folder.path().join("secret")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(args).current_dir(self.folder.path()).env_remove("LONGSHORE_CONFIG");
        command.env("SSL_CERT_FILE", bed::ca_pem_path()).env("AZURE_SECRET", secret);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let input = input.to_owned();
        // A test's own servers answer meanwhile.
        let ran = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        });
        let ran = tokio::time::timeout(std::time::Duration::from_secs(90), ran).await;
        ran.unwrap_or_else(|_| panic!("{args:?} takes too long:\n{}", self.log())).unwrap()
    }
}
