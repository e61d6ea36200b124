//! The order in which teams are served, without a disk to wait for.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::Connection;

use crate::adapters::local::messages::{send, settle, take};
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Attributes, Outgoing};

fn of_team(team: &str) -> Outgoing {
    Outgoing {
        id: team.to_owned(),
        body: Bytes::new(),
        attributes: Attributes::default(),
        group: Some(team.to_owned()),
    }
}

/// Many calls fit into a millisecond here.
#[test]
fn teams_take_turns_however_quick_the_calls_are() {
    let connection = Connection::open_in_memory().expect("a database");
    connection.execute_batch(include_str!("../schema.sql")).expect("the schema");
    for team in ["a", "b", "c"] {
        send(&connection, "q", &vec![of_team(team); 200]).expect("sent");
    }
    let mut order = String::new();
    for _ in 0..600 {
        let one = take(&connection, "q", 1, Duration::from_secs(60)).expect("taken").remove(0);
        order.push_str(one.message.id.as_deref().expect("an id"));
        assert!(settle(&connection, "q", &one.lease, &Settlement::Done).expect("settled"));
    }
    assert_eq!(order, "abc".repeat(200));
}
