//! A place for one test: queues, buckets, a folder for a store, a signer, and workers of the real binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use longshore::domain::digest::Sha256;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::signer::{Envelope, GOOD, Signer};
use crate::bed;
use crate::scenario::process::Worker;
use crate::sqs::fixture::{Kind, Pair, attribute};

/// A topic that is trusted for every team.
pub(super) const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:uploads";
/// A topic of team `acme`.
pub(super) const ACMES: &str = "arn:aws:sns:us-east-1:111122223333:acme";

/// A place.
pub(super) struct Place {
    pub(super) pair: Arc<Pair>,
    pub(super) s3: aws_sdk_s3::Client,
    /// The bucket that team `acme` declares.
    pub(super) raw: String,
    /// A bucket of team `acme` that keeps versions.
    pub(super) versioned: String,
    /// The bucket whose pointers are followed.
    pub(super) bodies: String,
    pub(super) signer: Signer,
    pub(super) folder: TempDir,
    /// Topics that are trusted besides.
    pub(super) topics: Vec<String>,
    pub(super) s3_endpoint: String,
}

/// A dead letter as another system finds it.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) body: String,
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) attempts: String,
}

impl Place {
    pub(super) async fn new() -> Self {
        let pair = Pair::new(Kind::Standard).await;
        let config = aws_sdk_s3::config::Builder::from(&pair.sdk).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(config);
        let name = uuid::Uuid::new_v4().simple().to_string();
        let [raw, versioned, bodies] = ["raw", "versioned", "bodies"].map(|kind| format!("{kind}-{name}"));
        for bucket in [&raw, &versioned, &bodies] {
            s3.create_bucket().bucket(bucket).send().await.unwrap();
        }
        let kept = aws_sdk_s3::types::VersioningConfiguration::builder()
            .status(aws_sdk_s3::types::BucketVersioningStatus::Enabled)
            .build();
        s3.put_bucket_versioning().bucket(&versioned).versioning_configuration(kept).send().await.unwrap();
        let folder = TempDir::with_prefix("longshore-").unwrap();
        let certificates = folder.path().join("certificates");
        std::fs::create_dir(&certificates).unwrap();
        let signer = Signer::new(folder.path(), &certificates);
        let s3_endpoint = bed::ministack_endpoint().to_owned();
        Self { pair, s3, raw, versioned, bodies, signer, folder, topics: Vec::new(), s3_endpoint }
    }

    fn write_files(&self) {
        let topics: String = self.topics.iter().map(|arn| format!(", \"{arn}\"")).collect();
        let (task, dead, bodies, s3) = (&self.pair.task, &self.pair.dead, &self.bodies, &self.s3_endpoint);
        let aws = bed::ministack_endpoint();
        let config = format!(
            "state_dir = \"state\"\n[queue]\nurl = \"{task}\"\ndead_letter = \"{dead}\"\nmax_attempts = 2\n\
             sns_topics = [\"{TOPIC}\", {{ arn = \"{ACMES}\", team = \"acme\" }}{topics}]\n\
             sns_certificates = \"certificates\"\npointer_buckets = [\"{bodies}\", \"gone-{bodies}\"]\n\
             [events]\nurl = \"local:\"\n[store]\nurl = \"file:store\"\n[admin]\nlisten = \"\"\n\
             [aws]\nregion = \"us-east-1\"\nsqs_endpoint_url = \"{aws}\"\nsts_endpoint_url = \"{aws}\"\n\
             [sources.s3]\nendpoint_url = \"{s3}\"\n[retry]\nbase = \"20ms\"\nmessage_base = \"200ms\"\n"
        );
        let teams = format!(
            "[acme.aws]\naccess = \"cross-account\"\nbuckets = [\"{}\", \"{}\"]\n[beta]\n",
            self.raw, self.versioned
        );
        std::fs::write(self.folder.path().join("longshore.toml"), config).unwrap();
        std::fs::write(self.folder.path().join("teams.toml"), teams).unwrap();
    }

    /// Starts the binary.
    pub(super) fn start(&self, arguments: &[&str]) -> Worker {
        self.write_files();
        let log = self.folder.path().join("worker.log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "111122223333")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("LONGSHORE__TELEMETRY__LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        Worker::new(command.spawn().unwrap(), log)
    }

    /// Runs a worker until the queue is empty.
    pub(super) async fn run(&self) {
        self.start(&["worker", "--roles", "ingest", "--until-empty"]).ends_with(0, Duration::from_secs(150)).await;
    }

    pub(super) async fn send(&self, body: &str) {
        self.pair.send(body, &[]).await;
    }

    /// Puts an object and returns what an event tells of it: ETag and version.
    pub(super) async fn put(&self, bucket: &str, key: &str, content: impl Into<Vec<u8>>) -> (String, Option<String>) {
        let body = ByteStream::from(content.into());
        let put = self.s3.put_object().bucket(bucket).key(key).body(body).send().await.unwrap();
        (put.e_tag.unwrap().trim_matches('"').to_owned(), put.version_id)
    }

    /// A good envelope by a topic.
    pub(super) fn sns(&self, topic: &str, message: &str) -> String {
        let given = Envelope { topic, version: "2", certificate: GOOD, attributes: Value::Null };
        self.signer.envelope(message, &given).to_string()
    }

    pub(super) fn pointer(&self, bucket: &str, key: &str) -> String {
        let class = "software.amazon.payloadoffloading.PayloadS3Pointer";
        json!([class, {"s3BucketName": bucket, "s3Key": key}]).to_string()
    }

    /// Every receipt of a team, by its first attachment's URL, or by the task's id where that has none.
    pub(super) fn receipts(&self, team: &str) -> BTreeMap<String, Value> {
        let folder = self.folder.path().join("store").join(team).join("receipts");
        let mut receipts = BTreeMap::new();
        for file in files(&folder) {
            let receipt: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            let name = receipt["attachments"][0]["url"].as_str().or(receipt["task_id"].as_str()).unwrap().to_owned();
            assert!(receipts.insert(name, receipt).is_none(), "one receipt each");
        }
        receipts
    }

    /// All dead letters. They are hidden from others for a while afterwards.
    pub(super) async fn dead(&self) -> Vec<Letter> {
        let mut letters = Vec::new();
        loop {
            let found = self.pair.look(&self.pair.dead).await;
            if found.is_empty() {
                return letters;
            }
            for message in found {
                let text = |name: &str| attribute(&message, name).unwrap_or_default().to_owned();
                letters.push(Letter {
                    body: message.body.clone().unwrap(),
                    reason: text("longshore-reason"),
                    detail: text("longshore-detail"),
                    attempts: text("longshore-attempts"),
                });
            }
        }
    }

    /// Asserts that the dead letters are these bodies, unchanged, each with its reason and some words of its detail.
    pub(super) async fn check_dead(&self, expected: &[(&str, &str, &str)]) {
        let mut letters = self.dead().await;
        for (body, reason, says) in expected {
            let found = letters.iter().position(|letter| letter.body == *body);
            let letter = letters.remove(found.unwrap_or_else(|| panic!("{body} is no dead letter: {letters:#?}")));
            let attempts = if *reason == "unknown_team" { "2" } else { "0" };
            assert_eq!((letter.reason.as_str(), letter.attempts.as_str()), (*reason, attempts), "{letter:?}");
            assert!(letter.detail.contains(says), "{letter:?} does not say {says:?}");
        }
        assert!(letters.is_empty(), "and no others: {letters:#?}");
    }

    /// Asserts that a receipt tells of one stored object with this content.
    pub(super) fn check_stored(&self, receipts: &BTreeMap<String, Value>, name: &str, content: &[u8]) {
        let receipt = receipts.get(name).unwrap_or_else(|| panic!("{name} has no receipt: {:?}", receipts.keys()));
        assert_eq!(receipt["status"], "completed", "{name}: {receipt}");
        let object = &receipt["attachments"][0]["object"];
        assert_eq!(object["sha256"], Sha256::of(content).to_string(), "{name}");
        let path = object["uri"].as_str().unwrap().strip_prefix("file://").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), content, "{name}");
    }
}

/// A task of `acme` whose attachment is a text.
pub(super) fn task(id: &str) -> Value {
    json!({"task_id": id, "team": "acme", "attachments": [{"text": format!("the text of {id}")}]})
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}
