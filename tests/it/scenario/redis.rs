//! A Redis of the test's own, that may go away and come back.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::origin::{answers, free_port};
use super::process::Child;
use crate::bed;

/// A Redis; dropped, it is gone.
pub(crate) struct Redis {
    child: Option<Child>,
    port: u16,
    has_tls: bool,
    is_cluster: bool,
    /// Where it writes what it cannot be without.
    folder: TempDir,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub(crate) async fn start() -> Self {
        Self::started(false, false).await
    }

    /// Starts one that talks TLS only, with the test bed's certificate for `localhost`.
    pub(crate) async fn start_with_tls() -> Self {
        Self::started(true, false).await
    }

    /// Starts one in cluster mode, which has no slots yet.
    pub(crate) async fn start_as_a_cluster_of_one() -> Self {
        Self::started(false, true).await
    }

    async fn started(has_tls: bool, is_cluster: bool) -> Self {
        let folder = TempDir::with_prefix("longshore-").unwrap();
        let mut redis = Self { child: None, port: free_port(), has_tls, is_cluster, folder };
        redis.come_back().await;
        redis
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        let (scheme, host) = if self.has_tls { ("rediss", "localhost") } else { ("redis", "127.0.0.1") };
        format!("{scheme}://{host}:{}", self.port)
    }

    /// The port that it listens at.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`.
    pub(crate) fn go_away(&mut self) {
        self.child = None;
    }

    /// Starts it again, empty, and waits until it answers.
    pub(crate) async fn come_back(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(self.folder.path());
        if self.is_cluster {
            // The cluster's own port is this one's and ten thousand: that may be none.
            command.args(["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]);
        }
        let port = self.port.to_string();
        if self.has_tls {
            let [certificate, key] = bed::server_pem_paths();
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key);
            command.arg("--tls-ca-cert-file").arg(bed::ca_pem_path());
        } else {
            command.args(["--port", &port]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.child = Some(Child::new(child.expect("redis-server is installed by `tests/bed/bed.sh install`")));
        answers(SocketAddr::from(([127, 0, 0, 1], self.port))).await;
    }
}
