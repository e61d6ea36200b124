//! Processes that are killed in mid-work, and files that were cut off, lose nothing that was answered for.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::queue;
use crate::adapters::local::LocalQueue;
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Outgoing, Queue, QueueError};
use crate::testing::contracts::queue::{LONG_LEASE, outgoing};

/// Names the database to the child: this same test, started once more.
const CHILD: &str = "LONGSHORE_TEST_CRASH_DATABASE";

const LEASE: Duration = Duration::from_secs(3);

fn batch(prefix: &str, count: usize) -> Vec<Outgoing> {
    (0..count).map(|number| outgoing(&format!("{prefix}-{number}"))).collect()
}

/// What a killed child said: ids that were sent, that it began to settle, and that were settled.
#[derive(Default)]
struct Told {
    sent: BTreeSet<String>,
    begun: BTreeSet<String>,
    settled: BTreeSet<String>,
}

/// A child process sends and settles without end, saying before and after each step what it does, and is killed three times in
/// mid-work. Every message it answered for is there, and none that it settled comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "the child is told its part by the environment")]
async fn a_killed_process_loses_nothing() {
    if let Some(path) = std::env::var_os(CHILD) {
        work_until_killed(Path::new(&path)).await;
    }
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    let queue = queue(&path, LEASE).await;
    let first = batch("first", 3000);
    queue.send(&first).await.expect("sent");
    let mut told = Told::default();
    for lines in [60, 400, 900] {
        let (path, lines) = (path.clone(), lines);
        told = tokio::task::spawn_blocking(move || run_and_kill(&path, lines, told)).await.expect("the child ran");
    }
    assert!(told.settled.len() > 100 && told.sent.len() > 100, "the children worked");

    let left = drain(&queue).await;
    told.sent.extend(first.into_iter().map(|message| message.id));
    let again: Vec<_> = left.intersection(&told.settled).collect();
    assert!(again.is_empty(), "settled and yet there: {again:?}");
    let lost: Vec<_> = told.sent.iter().filter(|id| !left.contains(*id) && !told.begun.contains(*id)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let untold = told.begun.difference(&told.settled).filter(|id| !left.contains(*id)).count();
    assert!(untold <= 3, "each child may die once between a settlement and saying so, not {untold} times");
    assert_whole(&path);
}

fn run_and_kill(path: &Path, lines: usize, mut told: Told) -> Told {
    let test = "adapters::local::tests::crash::a_killed_process_loses_nothing";
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the child starts");
    let mut output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let hear = |line: String, told: &mut Told| match line.split_once(' ') {
        Some(("@sent", id)) => told.sent.insert(id.to_owned()),
        Some(("@begun", id)) => told.begun.insert(id.to_owned()),
        Some(("@lost", id)) => told.begun.remove(id),
        Some(("@settled", id)) => told.settled.insert(id.to_owned()),
        Some(_) | None => false,
    };
    for line in output.by_ref().map_while(Result::ok).take(lines) {
        hear(line, &mut told);
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it ended");
    // What it said before it died and was not read yet; its last line may be cut off.
    let rest: Vec<_> = output.map_while(Result::ok).collect();
    let whole = rest.len().saturating_sub(1);
    for line in rest.into_iter().take(whole) {
        hear(line, &mut told);
    }
    told
}

/// The child's part. It ends by SIGKILL, or by itself if its parent is gone.
async fn work_until_killed(path: &Path) -> ! {
    let queue = queue(path, LEASE).await;
    let say = |what: &str, id: &str| {
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{what} {id}").and_then(|()| out.flush()).is_err() {
            std::process::exit(1);
        }
    };
    say("", "");
    for round in 0_u64.. {
        let messages = batch(&format!("child-{}-{round}", std::process::id()), 5);
        queue.send(&messages).await.expect("sent");
        for message in &messages {
            say("@sent", &message.id);
        }
        for (number, delivery) in queue.receive(8).await.expect("received").into_iter().enumerate() {
            let id = delivery.message.id.expect("an id");
            // Some are left held: the kill takes their lease with it.
            if number == 7 {
                continue;
            }
            say("@begun", &id);
            match queue.settle(&delivery.lease, &Settlement::Done).await {
                Ok(()) => say("@settled", &id),
                // A busy machine may be slower than the lease.
                Err(QueueError::LeaseLost) => say("@lost", &id),
                Err(error) => panic!("{error}"),
            }
        }
    }
    unreachable!("rounds do not end")
}

/// Receives and settles everything, also what the dead still hold.
async fn drain(queue: &LocalQueue) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    while queue.depth().await.expect("depth").total() > 0 {
        for delivery in queue.receive(200).await.expect("received") {
            queue.settle(&delivery.lease, &Settlement::Done).await.expect("settled");
            ids.insert(delivery.message.id.expect("an id"));
        }
    }
    ids
}

fn assert_whole(path: &Path) {
    let connection = rusqlite::Connection::open(path).expect("the file opens");
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok");
    let wrong: i64 = connection
        .query_row(
            "SELECT (SELECT count(*) FROM messages) - (SELECT coalesce(sum(visible + delayed + leased), 0) FROM lanes)",
            [],
            |row| row.get(0),
        )
        .expect("a count");
    assert_eq!(wrong, 0, "the lanes count what is there");
}

/// The log is cut off anywhere, as a power failure may leave it: the file opens, and holds whole sends from the first one on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_a_cut_off_log_opens_with_what_was_whole() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    let writing = queue(&path, LONG_LEASE).await;
    for round in 0..10 {
        writing.send(&batch(&round.to_string(), 3)).await.expect("sent");
    }
    let file = std::fs::read(&path).expect("the file");
    let log = std::fs::read(folder.path().join("queue.db-wal")).expect("the log");
    let mut found = BTreeSet::new();
    for part in 0..=20 {
        let copy = folder.path().join(format!("copy-{part}")).join("queue.db");
        std::fs::create_dir_all(copy.parent().expect("a folder")).expect("made");
        std::fs::write(&copy, &file).expect("copied");
        std::fs::write(copy.with_file_name("queue.db-wal"), &log[..log.len() * part / 20]).expect("copied");
        let ids = drain(&queue(&copy, LONG_LEASE).await).await;
        let whole: BTreeSet<_> =
            (0..ids.len() / 3).flat_map(|round| batch(&round.to_string(), 3)).map(|m| m.id).collect();
        assert_eq!(ids, whole, "whole sends, from the first one on, after {part}/20 of the log");
        found.insert(ids.len());
        assert_whole(&copy);
    }
    assert!(found.contains(&30) && found.len() > 3, "the cuts fell on different sends: {found:?}");
}
