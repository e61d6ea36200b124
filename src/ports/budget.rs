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

    /// Waits until bytes of `team` from `place` are within every limit, and takes `bytes` of them: who comes next waits for all of
    /// these. So what has come is paid for, piece by piece, before more is read.
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

/// A row of slots in time, which is a limit: of one team, host or bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose it is.
    pub key: String,
    /// How far its slots are apart.
    pub interval: Duration,
    /// How much of the time that went by unused may still be used, and how far ahead a slot may be taken.
    pub slack: Duration,
}

/// What somebody wants who must be within several limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Slots of each of these; one at the least.
    pub rows: Vec<Row>,
    /// How many of each.
    pub number: u32,
}

/// What became of an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It has its slots in every row. The first may be used after this time, which is no longer than the slack of any of them.
    Taken(Duration),
    /// It has none.
    Full {
        /// The place in [`Ask::rows`] of the row that opens last.
        by: usize,
        /// When it is worth asking again.
        again: Duration,
    },
}

/// Slots in time that all replicas draw from.
#[async_trait]
pub trait SharedSlots: Send + Sync + 'static {
    /// Answers each of these in their order: it gets slots of all its rows, which nobody else gets, or of none. Repeated, it
    /// takes more; slots that nobody uses are lost.
    ///
    /// # Errors
    /// [`SlotsAway`]: nothing, or slots that nobody will use, were taken. It answers within a second.
    async fn take(&self, asks: &[Ask]) -> Result<Vec<Answer>, SlotsAway>;

    /// How many replicas draw from them, ourselves included, as far as was last seen.
    fn replicas(&self) -> u32;
}

/// Nobody hands out slots now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SlotsAway(pub String);
