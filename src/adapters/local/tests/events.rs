//! Events in the database.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::adapters::local::{LocalDatabase, LocalEvents, events};
use crate::domain::id::TeamId;
use crate::ports::clock::Clock;
use crate::ports::publisher::{Event, Publisher};

fn event(number: usize) -> Event {
    Event {
        id: format!("event-{number}"),
        kind: "task.completed".to_owned(),
        team: TeamId::new("acme").expect("a good name"),
        body: Bytes::from(format!("{{\"number\":{number}}}")),
        traceparent: number
            .is_multiple_of(2)
            .then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stored_once_and_read_in_order_from_any_place() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("queue.db");
    let here = LocalEvents::new(LocalDatabase::open(&path).await.expect("made"), Clock::System);
    let there = LocalEvents::new(LocalDatabase::open(&path).await.expect("opened"), Clock::System);
    for number in [0, 1, 2, 1, 0] {
        here.publish(&event(number)).await.expect("stored");
    }
    let all = there.read_after(0, 100).await.expect("read");
    assert_eq!(all.iter().map(|stored| stored.event.clone()).collect::<Vec<_>>(), [event(0), event(1), event(2)]);
    let rest = there.read_after(all[0].sequence, 1).await.expect("read");
    assert_eq!(rest, [all[1].clone()]);
    assert_eq!(there.read_after(all[2].sequence, 100).await.expect("read"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_seven_days_and_then_go_in_small_steps() {
    let folder = TempDir::new().expect("a folder");
    let database = LocalDatabase::open(folder.path().join("queue.db")).await.expect("made");
    let now = Timestamp::now();
    let at = |age: Duration| {
        let age = SignedDuration::try_from(age).expect("a short time");
        LocalEvents::new(database.clone(), Clock::starting(now - age))
    };
    let (old, young) = (at(events::KEPT + Duration::from_secs(60)), at(events::KEPT - Duration::from_secs(60)));
    for number in 0..25 {
        old.publish(&event(number)).await.expect("stored");
    }
    young.publish(&event(100)).await.expect("stored");
    let today = at(Duration::ZERO);
    let count = async || today.read_after(0, 1000).await.expect("read").len();
    assert_eq!(count().await, 26, "nothing is cleared before its time");
    let mut counts = Vec::new();
    for number in 101..105 {
        today.publish(&event(number)).await.expect("stored");
        counts.push(count().await);
    }
    assert_eq!(counts, [17, 8, 4, 5], "ten at a time, until only those within seven days are left");
}
