//! How many attachments are in flight: at once in all, per place and per team.
//!
//! The narrowest permit is taken first, so that a slow host's attachments wait in that host's line and not in everybody's.
//! Turns between teams by weight, and a pace that follows a host's answers, belong here and are not here yet.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::keyed::Keyed;
use super::limits::LimitTable;
use crate::domain::id::TeamId;
use crate::domain::source::Place;
use crate::domain::team::KnownTeam;

/// Leave to have one attachment in flight; given back when dropped.
#[derive(Debug)]
pub struct InFlight {
    _permits: Vec<OwnedSemaphorePermit>,
}

/// Who may be in flight.
#[derive(Debug)]
pub struct Lanes {
    all: Arc<Semaphore>,
    places: Keyed<Place, Semaphore>,
    teams: Keyed<TeamId, Semaphore>,
    table: LimitTable,
}

impl Lanes {
    /// Lanes for `in_flight` attachments at once, with the table's limits for places and teams.
    #[must_use]
    pub fn new(in_flight: usize, table: LimitTable) -> Self {
        Self { all: Arc::new(Semaphore::new(in_flight)), places: Keyed::default(), teams: Keyed::default(), table }
    }

    /// Waits until one more attachment of `team` from `place` may be in flight.
    pub async fn enter(&self, team: &KnownTeam, place: &Place) -> InFlight {
        let mut lines = Vec::with_capacity(3);
        if *place != Place::Local {
            lines.push(self.places.of(place, || Semaphore::new(self.table.place(place).in_flight)));
            lines.push(self.teams.of(&team.id, || Semaphore::new(self.table.team(team).in_flight)));
        }
        lines.push(Arc::clone(&self.all));
        let mut permits = Vec::with_capacity(lines.len());
        for line in lines {
            permits.push(line.acquire_owned().await.expect("lanes are never closed"));
        }
        InFlight { _permits: permits }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::domain::team::Team;
    use crate::engine::limits::{Limit, Limits};

    fn team(name: &str) -> KnownTeam {
        KnownTeam { id: TeamId::new(name).expect("a good id"), record: Team::default() }
    }

    fn host(name: &str) -> Place {
        Place::Host(name.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_host_holds_up_nobody_else() {
        let limit = Limit { in_flight: 2, ..Limit::default() };
        let table = LimitTable::new(Limits { per_host: limit, ..Limits::default() });
        let lanes = Lanes::new(3, table);
        let _held = (lanes.enter(&team("a"), &host("slow")).await, lanes.enter(&team("a"), &host("slow")).await);
        let wait = Duration::from_secs(1);
        // The third waits in the host's own line and holds nothing of the common one meanwhile.
        let slow = tokio::spawn({
            let (team, lanes) = (team("a"), Arc::new(lanes));
            let kept = Arc::clone(&lanes);
            async move {
                let entered = timeout(wait, lanes.enter(&team, &host("slow"))).await.is_ok();
                drop(kept);
                (entered, lanes)
            }
        });
        let (entered, lanes) = slow.await.expect("no panic");
        assert!(!entered);
        assert!(timeout(wait, lanes.enter(&team("b"), &host("quick"))).await.is_ok());
    }
}
