//! The real program on the embedded queue, as a person or a script uses it: what it prints, where, and how it ends.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::ran::Ran;

mod imports;
mod queue;
mod signals;

/// No command of these tests may take longer.
const WITHIN: Duration = Duration::from_secs(60);

/// A failure is one line on standard error: what, where, what to do.
pub(crate) trait Fails {
    /// Asserts that it failed so.
    fn fails(self, exit: i32, says: &str) -> Ran;
}

impl Fails for Ran {
    #[track_caller]
    fn fails(self, exit: i32, says: &str) -> Ran {
        let ran = self.ends(exit);
        let told: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("longshore: ")).collect();
        assert_eq!(told.len(), 1, "{ran:?}");
        assert!(told[0].contains(says), "{told:?} does not say {says:?}");
        ran
    }
}

/// A folder with a configuration and a team `acme`, whose files may be read.
struct Ground {
    folder: TempDir,
}

impl Ground {
    fn new(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ground = Self { folder };
        ground.write(
            "longshore.toml",
            &format!(
                "events.url = \"local:\"\nadmin.listen = \"\"\nqueue.max_attempts = 1\nretry.tries = 1\n\
                 sources.file.roots = [\"files\"]\nsources.http.allow_networks = [\"127.0.0.0/8\"]\n{more}"
            ),
        );
        ground.write("teams.toml", "[acme]\n");
        ground.write("files/acme/a.txt", "a harbour\n");
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(args).current_dir(self.folder.path()).env_remove("LONGSHORE_CONFIG");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).spawn().unwrap();
        // A command that does not read its input has closed it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        end(child)
    }
}

/// Waits for a command's end and ends it by force if that takes too long.
fn end(mut child: Child) -> Ran {
    let began = Instant::now();
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let reading = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || stream.map(|stream| std::io::read_to_string(stream).unwrap()).unwrap_or_default())
    };
    let out = reading(out.take().map(|stream| Box::new(stream) as _));
    let err = reading(err.take().map(|stream| Box::new(stream) as _));
    let exit = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        if began.elapsed() > WITHIN {
            child.kill().unwrap();
            child.wait().unwrap();
            break -2;
        }
        #[expect(clippy::disallowed_methods, reason = "this thread waits for another process, and for nothing else")]
        std::thread::sleep(Duration::from_millis(20));
    };
    Ran { exit, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn task(id: &str, url: &str) -> String {
    format!("{{\"task_id\":\"{id}\",\"team\":\"acme\",\"attachments\":[\"{url}\"]}}\n")
}

fn stored_text(uri: &str) -> String {
    fs::read_to_string(Path::new(uri.strip_prefix("file://").unwrap())).unwrap()
}

#[test]
fn what_needs_no_service_prints_its_document() {
    let ground = Ground::new("");
    assert!(ground.run(&["man"]).ends(0).out.contains(".SH COMMANDS"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(ground.run(&["completions", shell]).ends(0).out.contains("longshore"));
    }
    for what in ["task", "import", "completion", "receipt", "config", "teams", "asyncapi"] {
        let printed = ground.run(&["schema", what]).ends(0).out;
        assert!(serde_json::from_str::<Value>(&printed).unwrap().is_object(), "{what}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let ground = Ground::new("");
    for args in
        [&["nonsense"][..], &[], &["receipt", "acme"], &["dead", "replay"], &["team", "claim", "--move", "bucket"]]
    {
        ground.run(args).ends(2);
    }
    ground.run(&["dead", "purge"]).fails(2, "--yes");
}

#[test]
fn every_mistake_of_the_configuration_is_told_at_once() {
    let ground = Ground::new(
        "queue.lesae = \"1m\"\nqueue.hold = \"1 fortnight\"\nazure.client_secret = \"env:NOT_SET_ANYWHERE\"\n",
    );
    let ran = ground.run(&["config", "check"]).ends(64);
    assert_eq!(ran.err.lines().count(), 3, "{ran:?}");
    assert!(ran.err.lines().all(|line| line.starts_with("longshore: longshore.toml:")), "{ran:?}");
    let told = &ground.run(&["config", "check", "--json"]).ends(64).json()[0];
    assert_eq!((&told["good"], told["mistakes"].as_array().unwrap().len()), (&Value::Bool(false), 3));
    assert!(ground.run(&["events"]).ends(64).out.is_empty());
}

#[test]
fn the_teams_file_is_checked_too_and_a_good_configuration_is_shown_masked() {
    let ground = Ground::new("azure.client_id = \"app\"\nazure.client_secret = \"hush\"\n");
    assert_eq!(ground.run(&["config", "check"]).ends(0).out, "configuration is good\n");
    let shown = ground.run(&["config", "show"]).ends(0).out;
    assert!(shown.contains("***") && !shown.contains("hush"), "{shown}");
    let nested = ground.run(&["config", "show", "--json"]).ends(0).json().remove(0);
    assert_eq!(nested["queue"]["max_attempts"], 1);
    ground.write("teams.toml", "[acme]\nnonsense = 1\n[Other]\n");
    let ran = ground.run(&["config", "check"]).ends(64);
    assert!(ran.err.lines().count() >= 2 && ran.err.contains("acme") && ran.err.contains("Other"), "{ran:?}");
    ground.run(&["worker", "--until-empty"]).ends(64);
    ground.write("teams.toml", "[acme]\nnormalize = \"huge\"\n[bolt]\nnormalize = \"original\"\n");
    let ran = ground.run(&["config", "check"]).fails(64, "team acme: normalize: there is no profile \"huge\"");
    assert!(ran.err.lines().count() == 1 && ran.err.contains("original, standard"), "{ran:?}");
}

#[test]
fn what_is_not_built_yet_is_refused() {
    let ground = Ground::new("");
    ground.write("m.txt", "files/acme/a.txt\n");
    ground.run(&["import", "m.txt", "--team", "acme", "--enqueue"]).fails(64, "imports on the queue are not supported");
    ground.run(&["import", "m.txt", "--team", "acme", "--format", "nucleus"]).fails(64, "nucleus");
    ground.run(&["worker", "--roles", "imports"]).fails(64, "imports");
}

#[test]
fn a_service_that_is_away_ends_a_command_with_69() {
    let ground = Ground::new("queue.url = \"amqp://u:hunter2@127.0.0.1:1\"\n");
    ground.write("t.json", &task("t", "https://h/a"));
    let ran = ground.run(&["submit", "t.json"]).fails(69, "queue.url");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    ground.run(&["dead", "list"]).fails(69, "queue.url");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ground = Ground::new("");
    let address = taken.local_addr().unwrap().to_string();
    let mut worker = ground.command(&["worker"]);
    let ran = end(worker.env("LONGSHORE__ADMIN__LISTEN", &address).spawn().unwrap());
    ran.fails(69, &address);
}

#[test]
fn a_store_that_cannot_be_written_ends_with_64() {
    let ground = Ground::new("store.url = \"file:taken\"\n");
    ground.write("taken", "this is no folder");
    ground.run(&["receipt", "acme", "t"]).fails(64, "store.url");
    ground.run(&["worker", "--until-empty"]).fails(64, "store.url");
}
