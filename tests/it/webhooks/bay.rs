//! A deployment for one test: a configuration with queues of its own, a team, and the program on it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use longshore::adapters::amqp::{AmqpOptions, AmqpQueue};
use longshore::adapters::local::{LocalDatabase, LocalQueue, LocalQueueOptions};
use longshore::ports::queue::{Outgoing, Queue};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::receiver::{Receiver, secret};
use crate::bed;
use crate::ran::Ran;
use crate::sqs;

/// No command of these tests may take longer.
const WITHIN: Duration = Duration::from_secs(90);

/// On which queues a deployment works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The embedded ones, and a folder.
    Local,
    /// RabbitMQ's, and a bucket.
    Amqp,
    /// SQS's, and a folder.
    Sqs,
}

/// A deployment with a team `acme` whose endpoint is `/hook` of its receiver.
pub(super) struct Bay {
    kind: Kind,
    pub(super) name: String,
    pub(super) folder: TempDir,
    pub(super) receiver: Receiver,
    sqs: Option<SqsQueues>,
    more: Vec<(String, String)>,
}

struct SqsQueues {
    client: aws_sdk_sqs::Client,
    tasks: String,
    dead: String,
    webhooks: String,
}

impl Bay {
    pub(super) async fn new(kind: Kind) -> Self {
        let name = format!("hooks-{}", uuid::Uuid::now_v7());
        let sqs = match kind {
            Kind::Local => None,
            Kind::Amqp => {
                bed::require("rabbit");
                bed::require("weed");
                None
            }
            Kind::Sqs => Some(SqsQueues::new(&name).await),
        };
        let folder = TempDir::with_prefix("longshore-").unwrap();
        let bay = Self { kind, name, folder, receiver: Receiver::start().await, sqs, more: Vec::new() };
        bay.write("longshore.toml", &bay.config().await);
        bay.sign_with(&format!("secret = \"{}\"\n", secret(1)));
        bay
    }

    async fn config(&self) -> String {
        let name = &self.name;
        let queues = match (&self.kind, &self.sqs) {
            (Kind::Local, _) => "[store]\nurl = \"file:store\"\n".to_owned(),
            (Kind::Amqp, _) => {
                make_bucket().await;
                format!(
                    "[queue]\nurl = \"{}\"\nname = \"{name}.tasks\"\ndead_letter = \"{name}.dead\"\n\
                     [store]\nurl = \"s3://{BUCKET}/{name}\"\nendpoint_url = \"{}\"\nregion = \"us-east-1\"\n\
                     [webhooks]\nname = \"{name}.webhooks\"\n",
                    bed::rabbit_url(),
                    bed::weed_endpoint()
                )
            }
            (Kind::Sqs, Some(queues)) => format!(
                "[queue]\nurl = \"{}\"\ndead_letter = \"{}\"\n[store]\nurl = \"file:store\"\n\
                 [aws]\nregion = \"us-east-1\"\nsqs_endpoint_url = \"{}\"\n[webhooks]\nqueue_url = \"{}\"\n",
                queues.tasks,
                queues.dead,
                bed::ministack_endpoint(),
                queues.webhooks
            ),
            (Kind::Sqs, None) => unreachable!("its queues were made before"),
        };
        format!("state_dir = \"state\"\nadmin.listen = \"\"\nretry.message_base = \"200ms\"\n{queues}")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // A reader never sees half of it.
        let temporary = self.path(&format!("{name}.new"));
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(temporary, self.path(name)).unwrap();
    }

    /// Gives the team a callback at `/hook` with these further keys.
    pub(super) fn sign_with(&self, keys: &str) {
        self.write("teams.toml", &format!("[acme]\n[acme.callback]\nurl = \"{}\"\n{keys}", self.receiver.url("/hook")));
    }

    /// Sets a configuration key (`SECTION__KEY`) from now on.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.more.push((format!("LONGSHORE__{key}"), value.to_owned()));
    }

    /// Sets a configuration key no more.
    pub(super) fn forget(&mut self, key: &str) {
        self.more.retain(|(name, _)| *name != format!("LONGSHORE__{key}"));
    }

    /// Moves to a virtual host of its own, where there are the queues of tasks and no others; webhooks have their default name.
    pub(super) async fn on_a_virtual_host_with_task_queues_only(&mut self) -> VirtualHost {
        let vhost = VirtualHost::new(&self.name).await;
        let url = bed::rabbit_url().replace("%2f", &self.name);
        let options = AmqpOptions {
            url: url.clone().into(),
            tls: None,
            queue: format!("{}.tasks", self.name),
            dead_letter: format!("{}.dead", self.name),
            declare: true,
            prefetch: 1,
            prefetch_in_a_crowd: 1,
        };
        AmqpQueue::new(options).unwrap().depth().await.unwrap();
        let config = std::fs::read_to_string(self.path("longshore.toml")).unwrap();
        let config = config.split("[webhooks]").next().unwrap().replace(bed::rabbit_url(), &url);
        self.write("longshore.toml", &config);
        vhost
    }

    fn command(&self, args: &[&str]) -> Command {
        let (key, value) = match self.kind {
            Kind::Sqs => ("111122223333", "test"),
            Kind::Local | Kind::Amqp => ("test", "test"),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.arg("--config").arg(self.path("longshore.toml")).args(args).current_dir(self.folder.path());
        command.env_remove("LONGSHORE_CONFIG").env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", value);
        command.env("LONGSHORE__WEBHOOKS__ALLOW_NETWORKS", "[\"127.0.0.0/8\"]").envs(self.more.iter().cloned());
        command
            .env("LONGSHORE__TELEMETRY__LOG", "info,longshore=debug")
            .env("LONGSHORE__TELEMETRY__LOG_FORMAT", "text");
        command
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "").await
    }

    async fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that does not read its input has closed it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let ending = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let output = tokio::time::timeout(WITHIN, ending).await.expect("no command takes so long").unwrap();
        output.into()
    }

    /// Runs a worker until its queues are empty, and returns its counts.
    pub(super) async fn work(&self, roles: &str) -> Value {
        self.run(&["worker", "--roles", roles, "--until-empty", "--json"]).await.ends(0).json().remove(0)
    }

    /// Starts a worker that runs until it is killed, perhaps by a crash point.
    pub(super) fn worker(&self, roles: &str, blow: Option<&str>) -> Running {
        let log = self.path(&format!("worker-{}.log", uuid::Uuid::now_v7()));
        let mut command = self.command(&["worker", "--roles", roles]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        if let Some(blow) = blow {
            command.env("LONGSHORE_TEST_CRASH", blow);
        }
        Running { child: command.spawn().unwrap(), log }
    }

    /// Puts a task of `count` small texts on the queue.
    pub(super) async fn submit(&self, id: &str, count: usize, more: Value) {
        let attachments: Vec<Value> = (0..count).map(|n| json!({"id": format!("part-{n}"), "text": "x"})).collect();
        let mut task = json!({"task_id": id, "team": "acme", "attachments": attachments});
        task.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.run_with(&["submit", "-"], &format!("{task}\n")).await.ends(0);
    }

    pub(super) async fn receipt(&self, id: &str) -> Value {
        self.run(&["receipt", "acme", id, "--json"]).await.ends(0).json().remove(0)
    }

    /// The dead letters' reasons and tasks.
    pub(super) async fn dead(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let listed = self.run(&["dead", "list", "--json"]).await.ends(0).json();
        listed.iter().map(|letter| (text(&letter["reason"]), text(&letter["task_id"]))).collect()
    }

    /// Puts a raw message on the task queue (`tasks`) or that of deliveries (`webhooks`).
    pub(super) async fn put(&self, queue: &str, body: &str) {
        match (&self.kind, &self.sqs) {
            (Kind::Local, _) => {
                let database = LocalDatabase::open(self.path("state/queue.db")).await.unwrap();
                let body = body.to_owned().into_bytes().into();
                let message = Outgoing { id: "raw".into(), body, attributes: Default::default(), group: None };
                LocalQueue::new(database, queue, LocalQueueOptions::default()).send(&[message]).await.unwrap();
            }
            (Kind::Amqp, _) => {
                let (_connection, channel) = channel().await;
                let (to, options) = (format!("{}.{queue}", self.name), BasicPublishOptions::default());
                let sending =
                    channel.basic_publish("".into(), to.into(), options, body.as_bytes(), BasicProperties::default());
                sending.await.unwrap().await.unwrap();
            }
            (Kind::Sqs, Some(queues)) => {
                let url = if queue == "tasks" { &queues.tasks } else { &queues.webhooks };
                queues.client.send_message().queue_url(url).message_body(body).send().await.unwrap();
            }
            (Kind::Sqs, None) => unreachable!("its queues were made before"),
        }
    }

    /// Takes away what is not in the test's own folder.
    pub(super) async fn clear(self) {
        if self.kind == Kind::Amqp {
            let (_connection, channel) = channel().await;
            for base in ["tasks", "webhooks"] {
                let tiers =
                    ["200ms", "500ms", "1s", "5s", "15s", "1m", "5m", "15m"].map(|tier| format!(".retry.{tier}"));
                for tier in std::iter::once(String::new()).chain(tiers) {
                    let queue = format!("{}.{base}{tier}", self.name);
                    let _ = channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
                }
            }
            let _ = channel.queue_delete(format!("{}.dead", self.name).into(), QueueDeleteOptions::default()).await;
        }
        if let Some(queues) = &self.sqs {
            for url in [&queues.tasks, &queues.dead, &queues.webhooks] {
                let _ = queues.client.delete_queue().queue_url(url).send().await;
            }
        }
    }
}

/// A virtual host of one test.
pub(super) struct VirtualHost(String);

impl VirtualHost {
    async fn new(name: &str) -> Self {
        bed::manage_rabbit("PUT", &format!("/api/vhosts/{name}"), "").await;
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        bed::manage_rabbit("PUT", &format!("/api/permissions/{name}/guest"), all).await;
        Self(name.to_owned())
    }

    pub(super) async fn drop(self) {
        bed::manage_rabbit("DELETE", &format!("/api/vhosts/{}", self.0), "").await;
    }
}

impl SqsQueues {
    async fn new(name: &str) -> Self {
        let client = aws_sdk_sqs::Client::new(&sqs::fixture::identity().await);
        let make = async |kind: &str| {
            client.create_queue().queue_name(format!("{name}-{kind}")).send().await.unwrap().queue_url.unwrap()
        };
        Self { tasks: make("tasks").await, dead: make("dead").await, webhooks: make("webhooks").await, client }
    }
}

/// The bucket of these tests; each deployment has a prefix of its own in it.
const BUCKET: &str = "longshore-webhooks-it";

async fn make_bucket() {
    use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(bed::weed_endpoint())
        .force_path_style(true);
    let client = aws_sdk_s3::Client::from_conf(config.build());
    // Another test may make it at the same time; the head request that follows tells.
    let _ = client.create_bucket().bucket(BUCKET).send().await;
    client.head_bucket().bucket(BUCKET).send().await.unwrap();
}

async fn channel() -> (Connection, lapin::Channel) {
    let connection = Connection::connect(bed::rabbit_url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// A worker that runs; killed when dropped.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// `kill -9`, and waits until it is gone.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it was killed at its crash point.
    pub(super) async fn falls(&mut self, within: Duration) {
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < within, "it still runs:\n{}", self.said());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it says `words`.
    pub(super) async fn says(&mut self, words: &str, within: Duration) {
        let began = Instant::now();
        while !self.said().contains(words) {
            assert!(began.elapsed() < within, "it does not say {words:?}:\n{}", self.said());
            assert!(self.child.try_wait().unwrap().is_none(), "it ended:\n{}", self.said());
            sleep(Duration::from_millis(20)).await;
        }
    }
}
