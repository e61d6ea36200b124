//! Leave to send a request: limits on requests and bytes, kept per team and per place.

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
