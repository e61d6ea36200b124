//! A store that fails now and then: a fault proxy of the test's own before the bed's S3.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::http::ask;
use super::origin::{answers, free_port};
use super::process::Child;
use crate::bed;

/// A running proxy; dropped, it is gone.
pub(crate) struct Faults {
    _child: Child,
    address: SocketAddr,
    control: SocketAddr,
}

impl Faults {
    /// Starts one that lets everything through.
    pub(crate) async fn before_the_store() -> Self {
        let [address, control] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/fault_proxy.py");
        let upstream = bed::weed_endpoint().trim_start_matches("http://");
        let child = Command::new("python3")
            .args([script, "--listen", &address.port().to_string(), "--control", &control.port().to_string()])
            .args(["--upstream", upstream])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let faults = Self { _child: Child::new(child), address, control };
        answers(address).await;
        answers(control).await;
        faults
    }

    /// Where the store is found by this way.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next requests of a kind fail as the rule says.
    pub(crate) async fn add(&self, rule: &Value) {
        self.call("POST", "/rules", rule).await;
    }

    /// Lets everything through again.
    pub(crate) async fn clear(&self) {
        self.call("DELETE", "/rules", &json!({})).await;
    }

    /// Breaks all connections with a reset.
    pub(crate) async fn sever(&self) {
        self.call("POST", "/sever", &json!({})).await;
    }

    async fn call(&self, method: &str, path: &str, body: &Value) {
        let answer = ask(self.control, method, path, "", body.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{method} {path} {body}: {}", String::from_utf8_lossy(&answer.body));
    }
}
