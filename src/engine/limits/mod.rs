//! How fast requests go out and bytes come in: per place and per team.
//!
//! A token is one request sent: each hop, range and retry takes its own on its own place. What is handed out is a slot in time
//! ([`slots`]), so a limit holds within five per cent in any window of one second. Limits hold for this process ([`paces`]) or,
//! over a service that all replicas ask, for all of them together ([`shared`]).

mod paces;
mod shared;
pub(in crate::engine) mod slots;

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::source::Place;
use crate::domain::team::KnownTeam;

pub use paces::Paces;
pub use shared::SharedPaces;

/// The limits of one place or team.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// Requests a second; may be a fraction.
    pub requests_per_second: f64,
    /// Attachments in flight.
    pub in_flight: usize,
    /// Bytes a second, if limited.
    pub bytes_per_second: Option<u64>,
}

impl Default for Limit {
    fn default() -> Self {
        Self { requests_per_second: 2000.0, in_flight: 128, bytes_per_second: None }
    }
}

/// The deployment's limits.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Plain hosts.
    pub per_host: Limit,
    /// Hosts with limits of their own, by name.
    pub hosts: HashMap<String, Limit>,
    /// Buckets and storage accounts.
    pub per_bucket: Limit,
    /// Teams that have no limits of their own.
    pub per_team: Limit,
}

/// Which limit holds for whom.
#[derive(Debug, Clone, Default)]
pub struct LimitTable(Arc<Limits>);

impl LimitTable {
    /// A table of these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(limits))
    }

    /// The limit of a place.
    #[must_use]
    pub fn place(&self, place: &Place) -> Limit {
        match place {
            Place::Host(host) => self.0.hosts.get(host).copied().unwrap_or(self.0.per_host),
            Place::Bucket(_) => self.0.per_bucket,
            Place::Local => Limit { requests_per_second: f64::INFINITY, in_flight: usize::MAX, bytes_per_second: None },
        }
    }

    /// The limit of a team: its own numbers, else the deployment's.
    #[must_use]
    pub fn team(&self, team: &KnownTeam) -> Limit {
        let (own, common) = (&team.record.limits, self.0.per_team);
        Limit {
            requests_per_second: own.requests_per_second.map_or(common.requests_per_second, f64::from),
            in_flight: own.in_flight.map_or(common.in_flight, |number| number as usize),
            bytes_per_second: own.bytes_per_second.or(common.bytes_per_second),
        }
    }
}
