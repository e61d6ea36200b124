//! Where the services of the test bed are, and how to break them: the Rust side of `tests/bed/bed.sh`.
//!
//! A test calls [`require`] for each service that it needs, and fails with what to do when one is not there: a service
//! is never skipped. It starts nothing by itself, since two hundred tests would race to do so.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const NAMES: [&str; 10] =
    ["rabbit", "weed", "nginx", "chaos", "fault", "ministack", "cloud", "gcs", "azure", "identity"];

/// Returns the URL of the broker that tests may kill.
pub(crate) fn rabbit_url() -> &'static str {
    "amqp://guest:guest@127.0.0.1:5673/%2f"
}

/// Returns the same broker's URL with TLS; its certificate is signed by [`ca_pem_path`].
pub(crate) fn amqps_url() -> &'static str {
    "amqps://guest:guest@localhost:5674/%2f"
}

/// Returns the broker's management API, for what AMQP cannot tell; same user and password.
pub(crate) fn rabbit_management_url() -> &'static str {
    "http://127.0.0.1:15673"
}

/// Returns the S3 endpoint of the store; the access key is `test` or `111122223333`, the secret `test`.
pub(crate) fn weed_endpoint() -> &'static str {
    "http://127.0.0.1:8333"
}

/// Returns the same S3 endpoint behind the fault proxy, whose rules are set at [`fault_control_url`].
pub(crate) fn fault_endpoint() -> &'static str {
    "http://127.0.0.1:5701"
}

/// Returns where the fault proxy takes its rules.
pub(crate) fn fault_control_url() -> &'static str {
    "http://127.0.0.1:5700"
}

/// Returns the endpoint of the AWS emulator (SQS, STS, S3). A key id of 12 digits is that account's root.
pub(crate) fn ministack_endpoint() -> &'static str {
    "http://127.0.0.1:4566"
}

/// Returns the AWS of several accounts whose permissions are real; tests make accounts of their own in it.
pub(crate) fn cloud_endpoint() -> &'static str {
    "http://127.0.0.1:5600"
}

/// Returns the origin that misbehaves as its URLs ask; it also answers on 127.0.0.2 to 127.0.0.40.
pub(crate) fn chaos_url() -> &'static str {
    "http://127.0.0.1:5800"
}

/// Returns the same origin with TLS.
pub(crate) fn chaos_tls_url() -> &'static str {
    "https://localhost:5843"
}

/// Returns the well-behaved origin; it serves the files of [`nginx_root`].
pub(crate) fn nginx_url() -> &'static str {
    "http://127.0.0.1:8088"
}

/// Returns the well-behaved origin with TLS and HTTP/2.
pub(crate) fn nginx_tls_url() -> &'static str {
    "https://localhost:8443"
}

/// Returns the origin that answers 429 with `Retry-After: 1` above 50 requests a second.
pub(crate) fn nginx_limited_url() -> &'static str {
    "http://127.0.0.1:8089"
}

/// Returns the folder that nginx serves; a test writes below a folder of its own in it.
pub(crate) fn nginx_root() -> PathBuf {
    folder().join("www")
}

/// Returns the certificate of the CA that signed the services' certificates, as PEM.
pub(crate) fn ca_pem_path() -> PathBuf {
    folder().join("tls/ca.pem")
}

/// Returns the certificate of `localhost` that is signed by it, and its key.
pub(crate) fn server_pem_paths() -> [PathBuf; 2] {
    ["tls/server.pem", "tls/server.key"].map(|path| folder().join(path))
}

/// Asserts that the service called `name` answers on its ports.
///
/// # Panics
/// With what to do, when it does not.
pub(crate) fn require(name: &str) {
    for port in ports(name) {
        let address = SocketAddr::from(([127, 0, 0, 1], *port));
        if let Err(error) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            panic!("{name} does not answer on {address} ({error}): start it with `make bed`");
        }
    }
}

/// Ends and starts the service called `name`, and returns when it is ready again. Its data stay.
pub(crate) fn restart(name: &str) {
    run("restart", name);
}

/// Kills the service called `name` as a crash would, and returns when it is gone. Its data stay.
pub(crate) fn kill9(name: &str) {
    run("kill9", name);
}

/// Starts the service called `name` unless it runs, and returns when it is ready.
pub(crate) fn start(name: &str) {
    run("start", name);
}

fn ports(name: &str) -> &'static [u16] {
    match name {
        "rabbit" => &[5673, 5674, 15673],
        "weed" => &[8333],
        "nginx" => &[8088, 8089, 8443],
        "chaos" => &[5800, 5843],
        "fault" => &[5700, 5701],
        "ministack" => &[4566],
        "cloud" => &[5600],
        "gcs" => &[4443],
        "azure" => &[10000],
        "identity" => &[5900, 5901, 5902, 5903],
        other => panic!("no service of the test bed is called {other}; there are {NAMES:?}"),
    }
}

/// Returns the Python that has what the bed's own services need.
pub(crate) fn python() -> PathBuf {
    folder().join("venv/bin/python")
}

#[expect(clippy::disallowed_methods, reason = "where the bed lies is the test's setting, not the program's")]
fn folder() -> PathBuf {
    let project = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("LONGSHORE_BED").map_or_else(|| project.join(".testbed"), |bed| project.join(bed))
}

fn run(verb: &str, name: &str) {
    assert!(NAMES.contains(&name), "no service of the test bed is called {name}; there are {NAMES:?}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/bed.sh");
    let output = Command::new(script)
        .args([verb, name])
        .env("LONGSHORE_BED", folder())
        .stdin(Stdio::null())
        .output()
        .expect("the bed's script is in the repository and may be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`bed.sh {verb} {name}` failed: {said}");
}

/// Has the broker's management do something.
///
/// # Panics
/// When it does not do it.
pub(crate) async fn manage_rabbit(method: &str, target: &str, body: &str) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let address = rabbit_management_url().trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{method} {target}: {answer}");
}
