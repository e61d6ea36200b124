//! How far an import is: a bar on a terminal, else a line now and then, always on standard error.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::engine::tally::Tally;

const BAR_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows an import's progress until it ends.
pub(super) struct Progress {
    seen: Arc<Seen>,
    showing: JoinHandle<()>,
}

struct Seen {
    tally: Arc<Tally>,
    began: Instant,
    read: AtomicU64,
    ended_before: AtomicU64,
    is_all: AtomicBool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to show what `tally` counts.
    pub(super) fn begin(tally: Arc<Tally>) -> Self {
        let seen = Arc::new(Seen {
            tally,
            began: Instant::now(),
            read: AtomicU64::new(0),
            ended_before: AtomicU64::new(0),
            is_all: AtomicBool::new(false),
            bar: stderr().is_terminal().then(bar),
        });
        let shown = Arc::clone(&seen);
        let every = if seen.bar.is_some() { BAR_EVERY } else { LINE_EVERY };
        let showing = tokio::spawn(async move {
            let mut ticks = interval(every);
            // The first tick is at once, and there is nothing to tell yet.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                shown.show();
            }
        });
        Self { seen, showing }
    }

    /// Notes rows that were read.
    pub(super) fn read(&self, rows: usize) {
        self.seen.read.fetch_add(rows as u64, Relaxed);
    }

    /// Notes rows that had ended before.
    pub(super) fn has_ended(&self, rows: usize) {
        self.seen.ended_before.fetch_add(rows as u64, Relaxed);
    }

    /// Notes that the manifest was read to its end.
    pub(super) fn all_read(&self) {
        self.seen.is_all.store(true, Relaxed);
    }

    /// Ends the showing.
    pub(super) fn end(self) {
        self.showing.abort();
        if let Some(bar) = &self.seen.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} rows {msg}");
    ProgressBar::new(0).with_style(style.expect("the template is fixed, and a test reads it"))
}

impl Seen {
    fn show(&self) {
        let tally = &self.tally;
        let failed = tally.attachments_failed();
        let ended = tally.stored.load(Relaxed) + tally.adopted.load(Relaxed) + failed + self.ended_before.load(Relaxed);
        let read = self.read.load(Relaxed);
        let megabytes = tally.bytes.load(Relaxed) / 1_000_000;
        let more = if self.is_all.load(Relaxed) { "" } else { "+" };
        match &self.bar {
            Some(bar) => {
                bar.set_length(read.max(ended));
                bar.set_position(ended);
                bar.set_message(format!("{more}  {failed} failed, {megabytes} MB"));
            }
            None => {
                let seconds = self.began.elapsed().as_secs();
                let line = format!("{ended} of {read}{more} rows, {failed} failed, {megabytes} MB, {seconds} s");
                // Where standard error is closed nobody wants to know.
                let _ = writeln!(stderr(), "{line}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_bars_template_is_read() {
        assert_eq!(super::bar().length(), Some(0));
    }
}
