//! Limits that hold over all replicas: slots are drawn from a service that all of them ask.
//!
//! Each request takes a slot of its team's limit and one of its host's at once, or none of either: a slot that was taken early and
//! used late would stand beside its later ones. Those of one team who wait stand in one line ([`Line`]) and are asked for
//! together; whoever finds a limit full comes again at about the time when it opens. So a busy team costs one question at a time
//! however many of its requests wait and whatever its hosts are, no replica draws far ahead of the others, and little is promised
//! twice when the service goes away or comes back. While it is away, each replica goes on at its share ([`Service`]).

mod book;
mod line;
mod service;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::time::sleep_until;

use self::line::Line;
use self::service::Service;
use super::LimitTable;
use super::paces::{cells, cells_per_second};
use super::slots::Spacing;
use crate::domain::source::Place;
use crate::domain::team::KnownTeam;
use crate::engine::keyed::Keyed;
use crate::ports::budget::{Ask, Budget, Row, SharedSlots};

/// Hands out leave for requests and bytes within limits that hold over all replicas.
pub struct SharedPaces {
    table: LimitTable,
    lines: Keyed<String, Line>,
    service: Arc<Service>,
}

impl SharedPaces {
    /// Paces by this table, out of these slots.
    #[must_use]
    pub fn new(table: LimitTable, slots: Arc<dyn SharedSlots>) -> Self {
        Self { table, lines: Keyed::default(), service: Arc::new(Service::new(slots)) }
    }

    /// Waits for the first of `number` slots of `what` of the team and the place, which have so many of them a second; who comes
    /// next waits until all are past.
    ///
    /// Whoever wakes so late that its slot would crowd the next second lets it go and asks for another; once, so that a machine
    /// that is always late still goes on.
    async fn wait(&self, what: &str, [(team, per_team), (place, per_place)]: [(String, Option<f64>); 2], number: u32) {
        let line_of = format!("{what}:team:{team}");
        let spacings = [per_team.and_then(Spacing::of_rate), per_place.and_then(Spacing::of_rate)];
        let row =
            |key, spacing: Option<Spacing>| spacing.map(|Spacing { interval, slack }| Row { key, interval, slack });
        let rows = [row(line_of.clone(), spacings[0]), row(format!("{what}:{place}"), spacings[1])];
        let ask = Ask { rows: rows.into_iter().flatten().collect(), number };
        let Some(lateness) = spacings.iter().flatten().map(|spacing| spacing.lateness()).min() else {
            return;
        };
        let line = self.lines.of(&line_of, Line::default);
        for _ in 0..2 {
            let Some(slot) = line.slot(&self.service, ask.clone()).await else {
                return;
            };
            sleep_until(slot.at).await;
            if slot.meant.elapsed() <= lateness {
                return;
            }
        }
    }
}

#[async_trait]
impl Budget for SharedPaces {
    async fn request(&self, team: &KnownTeam, place: &Place) {
        if *place == Place::Local {
            return;
        }
        let per_second = [self.table.team(team), self.table.place(place)].map(|limit| Some(limit.requests_per_second));
        self.wait("requests", named(team, place, per_second), 1).await;
    }

    async fn bytes(&self, team: &KnownTeam, place: &Place, bytes: u64) {
        let per_second =
            [self.table.team(team), self.table.place(place)].map(|limit| limit.bytes_per_second.map(cells_per_second));
        self.wait("bytes", named(team, place, per_second), cells(bytes)).await;
    }
}

fn named(team: &KnownTeam, place: &Place, [per_team, per_place]: [Option<f64>; 2]) -> [(String, Option<f64>); 2] {
    let place = match place {
        Place::Host(host) => format!("host:{host}"),
        Place::Bucket(bucket) => format!("bucket:{bucket}"),
        Place::Local => "local".to_owned(),
    };
    [(team.id.to_string(), per_team), (place, per_place)]
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of ours panics while it holds these locks, and what they guard is whole between its own calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
