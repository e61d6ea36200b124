//! How a process ends that is told to, and what the admin port says of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::time::Duration;

use super::{Fails, Ground, end, task};

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A source that takes a connection and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    (listener, url)
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Reads the log until a line says `what`, and returns it.
fn until(log: &mut impl BufRead, what: &str) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the log ended without {what:?}");
        if line.contains(what) {
            return line;
        }
    }
}

#[test]
fn an_idle_worker_tells_how_it_is_and_ends_with_0() {
    let ground = Ground::new("");
    let mut worker = ground.command(&["worker"]);
    worker.env("LONGSHORE__ADMIN__LISTEN", "127.0.0.1:0").env("LONGSHORE__TELEMETRY__LOG_FORMAT", "json");
    let mut child = worker.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let line = until(&mut log, "listens on");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap();
    until(&mut log, "working");
    assert!(get(address, "/live").starts_with("HTTP/1.1 200"));
    assert!(get(address, "/ready").starts_with("HTTP/1.1 200"));
    let metrics = get(address, "/metrics");
    for name in ["tasks_total{status=\"completed\"} 0", "queue_depth 0", "buffered_bytes 0"] {
        assert!(metrics.contains(&format!("longshore_{name}\n")), "{name}: {metrics}");
    }
    assert!(get(address, "/status.json").contains("\"ready\":true"));
    signal(&child, "-TERM");
    end(child).ends(0);
}

#[test]
fn a_worker_hands_back_what_does_not_end_within_the_grace() {
    let ground = Ground::new("shutdown.grace = \"200ms\"\n");
    let (source, url) = silent();
    ground.run_with(&["submit", "-"], &task("t-1", &url)).ends(0);
    let child = ground.command(&["worker"]).spawn().unwrap();
    let _asked = source.accept().unwrap();
    signal(&child, "-TERM");
    end(child).ends(75);
    ground.run(&["receipt", "acme", "t-1"]).fails(1, "no receipt");
}

#[test]
fn a_second_signal_waits_for_no_grace() {
    let ground = Ground::new("shutdown.grace = \"1h\"\n");
    let (source, url) = silent();
    ground.run_with(&["submit", "-"], &task("t-1", &url)).ends(0);
    let mut child = ground.command(&["worker"]).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let _asked = source.accept().unwrap();
    signal(&child, "-INT");
    until(&mut log, "taking no more work");
    signal(&child, "-INT");
    end(child).ends(75);
}

#[test]
fn an_import_that_is_stopped_says_how_to_go_on() {
    let ground = Ground::new("shutdown.grace = \"200ms\"\n");
    let (source, url) = silent();
    ground.write("set/a.txt", "a");
    ground.write("set/m.txt", &format!("{url}\na.txt\n"));
    let child = ground.command(&["import", "set/m.txt", "--team", "acme", "--id", "i-1"]).spawn().unwrap();
    let _asked = source.accept().unwrap();
    signal(&child, "-INT");
    end(child).fails(75, "--id i-1");
    drop((source, _asked));
    let ran = ground.run(&["import", "set/m.txt", "--team", "acme", "--id", "i-1", "--json"]).ends(1);
    assert_eq!(ran.json()[0]["stored"], 1, "{ran:?}");
}
