//! The signals that end the program: the first takes no more work, the second lets go of what is in hand.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::exit::Failure;
use crate::engine::stop::Stop;

/// Begins `stop` at the first SIGTERM or SIGINT and cuts it at the second, for as long as the process lives.
///
/// # Errors
/// Where the system gives us no signals.
pub(super) fn listen(stop: &Stop) -> Result<JoinHandle<()>, Failure> {
    let heard = |kind| signal(kind).map_err(|error| Failure::unreachable(format!("signals cannot be heard: {error}")));
    let mut signals =
        Signals { terminate: heard(SignalKind::terminate())?, interrupt: heard(SignalKind::interrupt())? };
    let stop = stop.clone();
    Ok(tokio::spawn(async move {
        let first = signals.next().await;
        info!(signal = first, "{first}: taking no more work; once more to hand back what is in hand");
        stop.begin();
        let second = signals.next().await;
        warn!(signal = second, "{second} again: handing back what is in hand");
        stop.cut();
    }))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
