//! How many bytes may be held at once: pools in a fixed order: messages, bodies of messages that lie elsewhere, parts, pixels.
//!
//! Whoever holds of one pool waits only for a later one, never for more of one that it holds: more of the same is only tried
//! for. So nobody waits in a circle. A claim larger than its pool fails at once. Within the parts one team holds at most half
//! and one place at most an eighth, so that neither can starve the others.

use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::keyed::Keyed;
use crate::domain::id::TeamId;
use crate::domain::message::POINTED_BYTES_MAX;
use crate::domain::source::Place;
use crate::ports::store::PART_BYTES;

/// Pools count in units of this many bytes, so that a pool of terabytes still fits a semaphore.
const UNIT_BYTES: usize = 1024;

/// The claim is larger than the whole pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{asked} bytes are more than the pool of {capacity} bytes will ever have")]
pub struct LargerThanPool {
    /// What was asked for.
    pub asked: usize,
    /// What there is.
    pub capacity: usize,
}

/// Bytes that may be held; given back when dropped.
#[derive(Debug, Default)]
pub struct Grant {
    permits: Vec<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Grant {
    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but `bytes`; keeps everything if that is less.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = units(self.bytes).saturating_sub(units(bytes)) as usize;
        for permit in &mut self.permits {
            drop(permit.split(surplus));
        }
        self.bytes = self.bytes.min(bytes);
    }
}

/// One pool of bytes.
#[derive(Debug, Clone)]
pub struct Pool {
    semaphore: Arc<Semaphore>,
    capacity: usize,
}

impl Pool {
    /// A pool of `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(units(capacity) as usize)), capacity }
    }

    /// How many bytes are free now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.semaphore.available_permits() * UNIT_BYTES
    }

    /// Waits for `bytes`. Dropped while waiting, it holds nothing.
    ///
    /// # Errors
    /// [`LargerThanPool`], at once.
    pub async fn take(&self, bytes: usize) -> Result<Grant, LargerThanPool> {
        if bytes > self.capacity {
            return Err(LargerThanPool { asked: bytes, capacity: self.capacity });
        }
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(units(bytes)).await;
        Ok(Grant { permits: vec![permit.expect("pools are never closed")], bytes })
    }

    /// Takes `bytes` if they are free.
    #[must_use]
    pub fn try_take(&self, bytes: usize) -> Option<Grant> {
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(units(bytes)).ok()?;
        Some(Grant { permits: vec![permit], bytes })
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// The pool that parts of bodies are held in, shared out to teams and places.
#[derive(Debug, Clone)]
pub struct Parts {
    all: Pool,
    teams: Shares<TeamId>,
    places: Shares<Place>,
}

impl Parts {
    /// A pool of `capacity` bytes, but never less than one part.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(PART_BYTES);
        let share = |of: usize| (capacity / of).max(PART_BYTES);
        Self { all: Pool::new(capacity), teams: Shares::new(share(2)), places: Shares::new(share(8)) }
    }

    /// Waits for `bytes` (at most one part) of a team's and a place's share. Only for a transfer that holds nothing yet.
    pub async fn take(&self, team: &TeamId, place: &Place, bytes: usize) -> Grant {
        let bytes = bytes.clamp(1, PART_BYTES);
        let mut grant = Grant { permits: Vec::with_capacity(3), bytes };
        // Narrow shares first: who waits for a share of its own holds nothing that others could use.
        for pool in [self.places.pool(place), self.teams.pool(team), self.all.clone()] {
            let part = pool.take(bytes).await.expect("every share has room for one part");
            grant.permits.extend(part.permits);
        }
        grant
    }

    /// Takes `bytes` if they are free in every share.
    #[must_use]
    pub fn try_take(&self, team: &TeamId, place: &Place, bytes: usize) -> Option<Grant> {
        let mut grant = Grant { permits: Vec::with_capacity(3), bytes };
        for pool in [self.places.pool(place), self.teams.pool(team), self.all.clone()] {
            grant.permits.extend(pool.try_take(bytes)?.permits);
        }
        Some(grant)
    }

    /// How many bytes are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.all.capacity.saturating_sub(self.all.free())
    }
}

/// A pool of `share` bytes for each key that is in use.
#[derive(Debug, Clone)]
struct Shares<K> {
    share: usize,
    pools: Arc<Keyed<K, Semaphore>>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    fn new(share: usize) -> Self {
        Self { share, pools: Arc::default() }
    }

    fn pool(&self, key: &K) -> Pool {
        let semaphore = self.pools.of(key, || Semaphore::new(units(self.share) as usize));
        Pool { semaphore, capacity: self.share }
    }
}

/// The pools, in their order.
#[derive(Debug, Clone)]
pub struct Pools {
    /// Bodies of messages in hand.
    pub messages: Pool,
    /// Bodies that messages only point at.
    pub bodies: Pool,
    /// Parts of attachments.
    pub parts: Parts,
    /// Decoded images.
    pub pixels: Pool,
}

impl Pools {
    /// Shares `memory` bytes out: three quarters for parts, a quarter for pixels; messages have an eighth beside it, and bodies
    /// from elsewhere another, but room for one of the largest at least.
    #[must_use]
    pub fn sharing(memory: usize) -> Self {
        Self {
            messages: Pool::new((memory / 8).max(4 * crate::ports::queue::MESSAGE_BYTES_MAX)),
            bodies: Pool::new((memory / 8).max(POINTED_BYTES_MAX)),
            parts: Parts::new(memory / 4 * 3),
            pixels: Pool::new(memory / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(name: &str) -> TeamId {
        TeamId::new(name).expect("a good id")
    }

    fn host(name: &str) -> Place {
        Place::Host(name.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_larger_than_its_pool_fails_at_once() {
        let pool = Pool::new(4096);
        let error = pool.take(4097).await.expect_err("it can never be had");
        assert_eq!(error, LargerThanPool { asked: 4097, capacity: 4096 });
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_or_shrunk_is_free_again() {
        let pool = Pool::new(8192);
        let mut grant = pool.take(8192).await.expect("all of it");
        assert!(pool.try_take(1).is_none());
        grant.shrink_to(1000);
        assert_eq!(pool.free(), 7168);
        drop(grant);
        assert_eq!(pool.free(), 8192);
    }

    #[tokio::test(start_paused = true)]
    async fn one_place_holds_an_eighth_and_one_team_a_half() {
        let parts = Parts::new(16 * PART_BYTES);
        let mut held = Vec::new();
        while let Some(grant) = parts.try_take(&team("a"), &host("h"), PART_BYTES) {
            held.push(grant);
        }
        assert_eq!(held.len(), 2, "an eighth for one place");
        for number in 0.. {
            let Some(grant) = parts.try_take(&team("a"), &host(&format!("h{number}")), PART_BYTES) else {
                break;
            };
            held.push(grant);
        }
        assert_eq!(held.len(), 8, "a half for one team");
        assert!(parts.try_take(&team("b"), &host("h9"), PART_BYTES).is_some(), "others have room");
    }

    #[tokio::test(start_paused = true)]
    async fn shares_that_nobody_uses_are_forgotten() {
        let parts = Parts::new(16 * PART_BYTES);
        for number in 0..100 {
            drop(parts.take(&team("a"), &host(&format!("h{number}")), 10).await);
        }
        assert!(parts.places.pools.len() <= 1);
        assert_eq!(parts.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_budget_still_has_room_for_one_part() {
        let pools = Pools::sharing(1);
        let grant = pools.parts.take(&team("a"), &host("h"), PART_BYTES).await;
        assert_eq!(grant.bytes(), PART_BYTES);
    }
}
