//! A fault proxy of a test's own before a service of the bed; dropped, it is gone.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::scenario::http::ask;
use crate::scenario::origin::{answers, free_port};
use crate::scenario::process::Child;

/// A running proxy.
pub(crate) struct FaultProxy {
    _child: Child,
    pub(crate) endpoint: String,
    control: SocketAddr,
}

impl FaultProxy {
    /// Starts one that passes everything on to `upstream`, `host:port`.
    pub(crate) async fn before(upstream: &str) -> Self {
        let [port, control] = [free_port(), free_port()];
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/fault_proxy.py");
        let child = Command::new("python3")
            .args([script, "--listen", &port.to_string(), "--control", &control.to_string(), "--upstream", upstream])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let control = SocketAddr::from(([127, 0, 0, 1], control));
        let proxy = Self { _child: Child::new(child), endpoint: format!("http://127.0.0.1:{port}"), control };
        answers(control).await;
        answers(format!("127.0.0.1:{port}").parse().unwrap()).await;
        proxy
    }

    /// Breaks the next answer to a GET after so many bytes of its body, which come at this pace.
    pub(crate) async fn cut_next_after(&self, bytes: usize, bytes_per_second: usize) {
        let cut = json!({"method": "GET", "times": 1, "cut_after": bytes, "rate": bytes_per_second, "reset": true});
        self.rule(&cut).await;
    }

    /// Sends so many bytes of the next body that a GET is answered with, and no more until [`FaultProxy::sever`].
    pub(crate) async fn hang_next_after(&self, bytes: usize) {
        self.rule(&json!({"method": "GET", "times": 1, "hang_after": bytes})).await;
    }

    /// Breaks every connection.
    pub(crate) async fn sever(&self) {
        let answer = ask(self.control, "POST", "/sever", "", b"").await;
        assert_eq!(answer.status, 200);
    }

    /// Flips one bit of the bodies that so many GETs are answered with; none: of all.
    pub(crate) async fn damage(&self, times: Option<u32>) {
        self.rule(&json!({"method": "GET", "times": times, "corrupt_at": 3})).await;
    }

    async fn rule(&self, rule: &Value) {
        let answer = ask(self.control, "POST", "/rules", "", rule.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200);
    }
}
