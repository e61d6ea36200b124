//! An AWS of the test's own, which enforces trust policies, owners and session ends, and keeps a journal of who asked for what.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::http::{Content, ask};
use super::origin::{answers, free_port};
use super::process::Child;
use crate::bed;

/// A running judge; dropped, it is gone.
pub(crate) struct Judge {
    _child: Child,
    address: SocketAddr,
}

impl Judge {
    /// Starts one that knows nobody.
    pub(crate) async fn start() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/cloud_testbed.py");
        let child = Command::new(bed::python())
            .args([script, "--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let judge = Self { _child: Child::new(child), address };
        answers(address).await;
        judge
    }

    /// Where its S3 and STS are.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls its own API.
    pub(crate) async fn control(&self, method: &str, name: &str, body: &Value) -> Value {
        let answer = ask(self.address, method, &format!("/_testbed/{name}"), "", body.to_string().as_bytes()).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{method} {name}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    /// The journal's entries that hold the text, oldest first.
    pub(crate) async fn journal(&self, holds: &str) -> Vec<Value> {
        let entries = self.control("GET", &format!("journal?holds={holds}"), &json!({})).await;
        entries.as_array().unwrap().clone()
    }

    /// The journal's entries about assuming the role.
    pub(crate) async fn assumed(&self, role_arn: &str) -> Vec<Value> {
        let mut entries = self.journal(role_arn).await;
        entries.retain(|entry| entry["role"] == role_arn);
        entries
    }

    /// Makes a large object in a bucket, and tells what it holds.
    pub(crate) async fn make_object(&self, bucket: &str, key: &str, size: usize) -> Content {
        let made = self.control("POST", "object", &json!({"bucket": bucket, "key": key, "size": size})).await;
        Content { bytes: made["bytes"].as_u64().unwrap(), sha256: made["sha256"].as_str().unwrap().to_owned() }
    }

    /// Ends the role's running sessions, and returns how many there were.
    pub(crate) async fn end_sessions(&self, role_arn: &str) -> u64 {
        self.control("POST", "expire", &json!({"role": role_arn})).await["expired"].as_u64().unwrap()
    }
}
