//! One connection to the broker, bounded in time while it is made and when it ends.
//!
//! The client library's own recovery is off: when a connection ends, everything on it ends with it, and whoever owns it
//! makes a new one. So there is one place that knows which deliveries died.

use std::sync::Arc;
use std::time::Duration;

use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::address::Address;
use super::runtime;
use super::trouble::Trouble;
use super::wire::{Greeting, Wire};

/// How long a connection may take, from the name's resolution to the end of the handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How long the broker may take for one answer that is no publisher confirm.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// How long the broker may take to say goodbye.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// An open connection.
pub(super) struct Link {
    connection: Connection,
    server_major: Option<u32>,
    cut_when_dropped: Option<DropGuard>,
}

impl Link {
    /// Connects to `address`; `purpose` shows in the broker's list of connections.
    pub(super) async fn open(address: &Address, purpose: &str) -> Result<Self, Trouble> {
        let cut = CancellationToken::new();
        let cut_when_dropped = cut.clone().drop_guard();
        let greeting = Greeting::default();
        let dial = {
            let (address, greeting) = (address.clone(), greeting.clone());
            async move |_uri, _runtime| {
                let dialled = timeout(CONNECT_LIMIT, Wire::dial(&address, greeting.clone(), cut.clone())).await;
                dialled.unwrap_or_else(|_| Err(no_answer())).map(lapin::tcp::AsyncTcpStream::Plain).map_err(Into::into)
            }
        };
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("longshore {purpose}").into())
            .with_client_property("product".into(), "longshore".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let connecting = Connection::connector(address.uri(), runtime::current(), dial, properties);
        let connection = match timeout(CONNECT_LIMIT, connecting).await {
            Ok(connected) => connected.map_err(Trouble::from),
            Err(_) => Err(Trouble::Away(no_answer().to_string())),
        };
        let connection = connection.map_err(|trouble| trouble.at(&address.to_string()))?;
        Ok(Self { connection, server_major: greeting.server_major(), cut_when_dropped: Some(cut_when_dropped) })
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, Trouble> {
        answered(|| self.is_open(), self.connection.create_channel()).await
    }

    /// Whether the connection stands, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        self.connection.status().connected()
    }

    /// The broker's main version, where it told.
    pub(super) fn server_major(&self) -> Option<u32> {
        self.server_major
    }

    /// Takes leave of the broker and waits until it has read everything.
    pub(super) async fn close(self) {
        // A broker that does not answer any more is cut off.
        let _answer = timeout(LEAVE_LIMIT, self.connection.close(200, "done".into())).await;
    }
}

impl Drop for Link {
    /// The library takes leave by itself; what was sent last is read by the broker then. A broker that does not answer is
    /// cut off a little later, or with the runtime.
    fn drop(&mut self) {
        let cut_when_dropped = self.cut_when_dropped.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                sleep(LEAVE_LIMIT).await;
                drop(cut_when_dropped);
            });
        }
    }
}

/// Waits for one answer of the broker, within [`ANSWER_LIMIT`] and for as long as `alive` says that it can come.
pub(super) async fn answered<T>(
    alive: impl Fn() -> bool, answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Trouble> {
    tokio::select! {
        biased;
        answer = timeout(ANSWER_LIMIT, answer) => match answer {
            Ok(answer) => answer.map_err(Trouble::from),
            Err(_) => {
                let secs = ANSWER_LIMIT.as_secs();
                Err(Trouble::Away(format!("the broker did not answer within {secs} s")))
            }
        },
        () = gone(alive) => Err(Trouble::Away("the connection ended before the broker answered".to_owned())),
    }
}

/// Waits until `alive` has been false for a moment.
///
/// The library tells most of those who wait that their connection ended, but not those who began in that very moment.
/// The moment more is for those whom it tells, with the broker's reason.
async fn gone(alive: impl Fn() -> bool) {
    const MOMENT: Duration = Duration::from_millis(250);
    while alive() {
        sleep(MOMENT).await;
    }
    sleep(MOMENT).await;
}

fn no_answer() -> std::io::Error {
    let text = format!("no answer within {} s", CONNECT_LIMIT.as_secs());
    std::io::Error::new(std::io::ErrorKind::TimedOut, text)
}

/// The waits between tries to connect: doubled from 100 ms to 10 s, and spread over the whole length, so that a fleet
/// does not come back in step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Returns the next wait.
    pub(super) fn next_wait(&mut self) -> Duration {
        const LONGEST_MILLIS: u64 = 10_000;
        let longest = (100u64 << self.tries.min(10)).min(LONGEST_MILLIS);
        self.tries = self.tries.saturating_add(1);
        Duration::from_millis(rand::random_range(50..=longest))
    }

    /// How many waits there were.
    pub(super) fn tries(self) -> u32 {
        self.tries
    }
}

/// A link that several parts use.
pub(super) type SharedLink = Arc<Link>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_ten_seconds_and_are_never_nothing() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..200).map(|_| backoff.next_wait()).collect();
        assert!(waits[0] <= Duration::from_millis(100));
        assert!(waits.iter().all(|wait| (50..=10_000).contains(&wait.as_millis())));
        assert!(waits[20..].iter().any(|wait| *wait > Duration::from_secs(5)));
        assert_eq!(backoff.tries(), 200);
    }
}
