//! A Redis of the test's own, that may go away and come back.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::origin::{answers, free_port};
use super::process::Child;

/// A Redis; dropped, it is gone.
pub(crate) struct Redis {
    child: Option<Child>,
    port: u16,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub(crate) async fn start() -> Self {
        let mut redis = Self { child: None, port: free_port() };
        redis.come_back().await;
        redis
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub(crate) fn go_away(&mut self) {
        self.child = None;
    }

    /// Starts it again, empty, and waits until it answers.
    pub(crate) async fn come_back(&mut self) {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", "", "--appendonly", "no"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed by `tests/bed/bed.sh install`");
        self.child = Some(Child::new(child));
        answers(SocketAddr::from(([127, 0, 0, 1], self.port))).await;
    }
}
