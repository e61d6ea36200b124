//! Leave to send a request: limits on requests and bytes, kept per team and per place.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::source::Place;
use crate::domain::team::KnownTeam;

/// Hands out leave. A token is one request sent: each hop, range and retry asks on its own place.
#[async_trait]
pub trait Budget: Send + Sync + 'static {
    /// Waits until one more request of `team` to `place` is within every limit. Dropped while waiting, it has taken nothing
    /// but perhaps one token.
    async fn request(&self, team: &KnownTeam, place: &Place);

    /// Waits until `bytes` more of `team` from `place` are within every limit.
    async fn bytes(&self, team: &KnownTeam, place: &Place, bytes: u64);
}

/// No limits at all: for sources of this machine and for tests of other things.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unlimited;

#[async_trait]
impl Budget for Unlimited {
    async fn request(&self, _: &KnownTeam, _: &Place) {}
    async fn bytes(&self, _: &KnownTeam, _: &Place, _: u64) {}
}

/// Slots in time that all replicas draw from.
#[async_trait]
pub trait SharedSlots: Send + Sync + 'static {
    /// Takes `number` slots of `key`, each `interval` after the one before, and returns how long from now the first is; nobody
    /// else gets them. What went by unused may be used for as long as `slack` reaches back. Repeated, it takes more; slots that
    /// nobody uses are lost.
    ///
    /// # Errors
    /// [`SlotsAway`]: nothing, or slots that nobody will use, were taken. It answers within a second.
    async fn take(&self, key: &str, number: u32, interval: Duration, slack: Duration) -> Result<Duration, SlotsAway>;

    /// How many replicas draw from them, ourselves included, as far as was last seen.
    fn replicas(&self) -> u32;
}

/// Nobody hands out slots now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SlotsAway(pub String);
