//! An origin of the test's own, so that nobody else's requests stand in its log.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;

use super::http::{Content, ask, digest_of};
use super::process::Child;

/// One request as the origin saw it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Request {
    pub(crate) time: f64,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) status: Option<u16>,
    pub(crate) whole: bool,
    /// By name in lower case.
    #[serde(default)]
    pub(crate) headers: HashMap<String, String>,
    /// What came with it.
    #[serde(default)]
    pub(crate) body: String,
}

impl Request {
    /// Whether it is the GET of a body that was sent to its end.
    pub(crate) fn is_whole_fetch(&self) -> bool {
        self.method == "GET" && self.whole && matches!(self.status, Some(200 | 206))
    }
}

/// A running origin; dropped, it is gone.
pub(crate) struct Origin {
    _child: Child,
    pub(crate) address: SocketAddr,
}

impl Origin {
    /// Starts one that answers on 127.0.0.1 up to 127.0.0.`hosts`.
    pub(crate) async fn start(hosts: u8) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/chaos_origin.py");
        let child = Command::new("python3")
            .args([script, "--port", &address.port().to_string(), "--hosts", &hosts.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let origin = Self { _child: Child::new(child), address };
        answers(address).await;
        origin
    }

    /// The URL of `target`, which begins with a slash.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// The URL of `target` on 127.0.0.`host`.
    pub(crate) fn url_on(&self, host: u8, target: &str) -> String {
        format!("http://127.0.0.{host}:{}{target}", self.address.port())
    }

    /// All requests whose target begins with `prefix`, oldest first.
    pub(crate) async fn log(&self, prefix: &str) -> Vec<Request> {
        let prefix: String = url::form_urlencoded::byte_serialize(prefix.as_bytes()).collect();
        let answer = ask(self.address, "GET", &format!("/_log?prefix={prefix}"), "", b"").await;
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Waits until the log holds more than `count` fetches of blobs.
    pub(crate) async fn log_grows_beyond(&self, count: usize, within: Duration) {
        let began = tokio::time::Instant::now();
        while self.log("/blob").await.len() <= count {
            assert!(began.elapsed() < within, "not {count} requests after {within:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it serves at the targets, each asked for as often as is said.
    pub(crate) async fn contents(
        &self, targets: impl IntoIterator<Item = (String, u32)>,
    ) -> HashMap<String, Vec<Content>> {
        let asked = targets.into_iter().map(|(target, times)| async move {
            let mut contents = Vec::new();
            for _ in 0..times {
                contents.push(digest_of(self.address, &target).await);
            }
            (target, contents)
        });
        futures::stream::iter(asked).buffer_unordered(16).collect().await
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody answers.
pub(crate) async fn answers(address: SocketAddr) {
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody answers on {address}");
}
