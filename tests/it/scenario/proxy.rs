//! Egress proxies of the test's own: tinyproxy for `CONNECT` and microsocks for SOCKS5, both asking for credentials.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::origin::{answers, free_port};
use super::process::Child;

/// What the proxies know us by. Neither may ever be seen in what we write.
pub(crate) const USER: &str = "outward-7d1e";
pub(crate) const PASSWORD: &str = "hush-4c90";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Socks,
}

/// A proxy; dropped, it is gone.
pub(crate) struct Proxy {
    kind: Kind,
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    /// Lines for tinyproxy's configuration.
    rules: &'static str,
}

impl Proxy {
    /// Starts one.
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::with_rules(kind, "").await
    }

    /// Starts a tinyproxy that connects to no port but 443.
    pub(crate) async fn of_port_443_only() -> Self {
        Self::with_rules(Kind::Http, "ConnectPort 443\n").await
    }

    async fn with_rules(kind: Kind, rules: &'static str) -> Self {
        let folder = TempDir::with_prefix("longshore-proxy-").unwrap();
        let mut proxy = Self { kind, child: None, port: free_port(), folder, rules };
        proxy.come_back().await;
        proxy
    }

    /// Its URL, with what it knows us by.
    pub(crate) fn url(&self) -> String {
        self.url_as(&format!("{USER}:{PASSWORD}"))
    }

    /// Its URL, with other credentials.
    pub(crate) fn url_as(&self, user_info: &str) -> String {
        let scheme = match self.kind {
            Kind::Http => "http",
            Kind::Socks => "socks5",
        };
        format!("{scheme}://{user_info}@127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub(crate) fn go_away(&mut self) {
        self.child = None;
    }

    /// Starts it again at the same place, and waits until it listens.
    pub(crate) async fn come_back(&mut self) {
        let command = match self.kind {
            Kind::Http => self.tinyproxy(),
            Kind::Socks => self.microsocks(),
        };
        self.child = Some(Child::new(command));
        answers(SocketAddr::from(([127, 0, 0, 1], self.port))).await;
    }

    fn tinyproxy(&self) -> std::process::Child {
        let settings = self.folder.path().join("tinyproxy.conf");
        let text = format!(
            "Port {}\nListen 127.0.0.1\nTimeout 30\nMaxClients 200\nAllow 127.0.0.1\nBasicAuth {USER} {PASSWORD}\n\
             LogLevel Connect\nLogFile \"{}\"\n{}",
            self.port,
            self.log().display(),
            self.rules
        );
        fs::write(&settings, text).unwrap();
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("tinyproxy is installed by `tests/bed/bed.sh install`")
    }

    fn microsocks(&self) -> std::process::Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &self.port.to_string(), "-u", USER, "-P", PASSWORD]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("microsocks is installed by `tests/bed/bed.sh install`")
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log")
    }

    /// What it was asked to connect to, as it wrote it down; SOCKS5 only notes what it did connect to.
    pub(crate) fn asked_for(&self) -> Vec<String> {
        let log = String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned();
        let mark = match self.kind {
            Kind::Http => "): ",
            Kind::Socks => "connected to ",
        };
        let asked = log.lines().filter_map(|line| line.split_once(mark));
        match self.kind {
            Kind::Http => asked.filter_map(|(_, request)| target(request)).collect(),
            Kind::Socks => asked.map(|(_, target)| target.trim().to_owned()).collect(),
        }
    }
}

/// The target of a request line. Other methods than `CONNECT` show with their name.
fn target(request: &str) -> Option<String> {
    let (method, rest) = request.split_once(' ')?;
    let target = rest.strip_suffix(" HTTP/1.1").or_else(|| rest.strip_suffix(" HTTP/1.0"))?;
    Some(if method == "CONNECT" { target.to_owned() } else { format!("{method} {target}") })
}
