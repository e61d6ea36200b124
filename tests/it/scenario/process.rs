//! Processes of a test: always reaped, killed when they are dropped, and signalled by their own id only.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A process of ours.
pub(crate) struct Child {
    inner: std::process::Child,
}

impl Child {
    /// Takes charge of `inner`.
    pub(crate) fn new(inner: std::process::Child) -> Self {
        Self { inner }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.inner.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{name} could not be sent: the process is gone");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A process that has ended by itself cannot be killed, and need not be.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }
}

/// A running `longshore worker`.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Takes charge of a worker that writes to `log`.
    pub(crate) fn new(child: std::process::Child, log: PathBuf) -> Self {
        Self { child: Child::new(child), log }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.inner.kill().unwrap();
        self.child.inner.wait().unwrap();
    }

    /// `kill -STOP`.
    pub(crate) fn freeze(&self) {
        self.child.signal("-STOP");
    }

    /// `kill -CONT`.
    pub(crate) fn thaw(&self) {
        self.child.signal("-CONT");
    }

    /// `kill -TERM`.
    pub(crate) fn terminate(&self) {
        self.child.signal("-TERM");
    }

    /// Whether it still runs (or is frozen).
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.inner.try_wait().unwrap().is_none()
    }

    /// Whether it was stopped by a signal and not continued.
    pub(crate) fn is_frozen(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.inner.id())).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// Waits until it has everything that it needs.
    pub(crate) async fn works(&mut self, within: Duration) {
        let began = Instant::now();
        while !self.said().contains(" working") {
            assert!(self.is_running() && began.elapsed() < within, "it does not work:\n{}", self.last_words());
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until it ends.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.inner.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < within, "the worker still runs after {within:?}:\n{}", self.last_words());
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// `kill -TERM`, and asserts that it ends with everything settled.
    pub(crate) async fn ends_in_peace(mut self) {
        self.terminate();
        self.ends_with(0, Duration::from_secs(40)).await;
    }

    /// Waits until it ends, and asserts that it did so with `code`.
    pub(crate) async fn ends_with(&mut self, code: i32, within: Duration) {
        let status = self.ended(within).await;
        assert_eq!(status.code(), Some(code), "the worker ended otherwise:\n{}", self.last_words());
    }

    /// The most memory that it ever had, in bytes. Must be asked while it runs.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.inner.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// All that it has written to standard error.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().rev().take(25).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
