//! Sending, receiving and leases.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Client, LONG_LEASE, PATIENCE, QueueFixture, SHORT_LEASE, assert_is, id_of, ids_of, nothing_comes, outgoing, send,
    settle, take, take_one,
};
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Depth, Extended, MESSAGE_BYTES_MAX, Outgoing, QueueError};

/// Waiting at an empty queue ends after some seconds, with nothing and without an error.
pub async fn an_empty_queue_gives_nothing<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    let received = timeout(PATIENCE, client.queue.receive(10)).await;
    let received = received.expect("a wait at an empty queue ends");
    assert_eq!(received.expect("an empty queue is no error"), []);
    assert_eq!(client.queue.depth().await.expect("depth"), Depth::default());
}

/// Id, body and attributes come as they were sent, as a first delivery.
pub async fn a_message_comes_as_it_was_sent<F: QueueFixture>() {
    let fixture = F::fresh(LONG_LEASE).await;
    let (sender, receiver) = (fixture.client().await, fixture.client().await);
    send(&sender, &["a"]).await;
    let delivery = take_one(&receiver).await;
    assert_is(&delivery, &outgoing("a"));
    assert_eq!((delivery.attempts, delivery.unfinished), (0, 0), "a first delivery");
    assert!(delivery.is_first());
}

/// Empty, binary and large bodies, and messages without attributes, come byte for byte.
pub async fn bodies_of_any_kind_survive<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    let binary: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let large: Vec<u8> = (0..=250).cycle().take(MESSAGE_BYTES_MAX - 1024).collect();
    let bodies = [Vec::new(), vec![0], binary, vec![0xff; 10], large];
    for (number, body) in bodies.into_iter().enumerate() {
        let message =
            Outgoing { id: format!("body-{number}"), body: Bytes::from(body), attributes: [].into(), group: None };
        let sent = client.queue.send(std::slice::from_ref(&message)).await;
        sent.unwrap_or_else(|error| panic!("a body of {} bytes: {error}", message.body.len()));
        let delivery = take_one(&client).await;
        assert_is(&delivery, &message);
        settle(&client, &delivery, &Settlement::Done).await;
    }
}

/// A receive never gives more than asked for, and what it did not give comes later.
pub async fn never_more_than_room_is_given<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["a", "b", "c", "d", "e", "f", "g"]).await;
    let mut seen = BTreeSet::new();
    for room in [1, 2, 4] {
        let taken = take(&client, room).await;
        assert_eq!(taken.len(), room);
        seen.extend(ids_of(&taken));
    }
    assert_eq!(seen.len(), 7, "each message once: {seen:?}");
}

/// While one client holds a message, no other gets it.
pub async fn a_leased_message_is_given_to_nobody_else<F: QueueFixture>() {
    let fixture = F::fresh(LONG_LEASE).await;
    let (holder, other) = (fixture.client().await, fixture.client().await);
    send(&holder, &["a"]).await;
    let held = take_one(&holder).await;
    nothing_comes(&other, Duration::from_secs(1), "the only message is leased").await;
    nothing_comes(&holder, Duration::from_millis(300), "the only message is leased to this client").await;
    settle(&holder, &held, &Settlement::Done).await;
}

/// What a client lost comes again, is known as unfinished, and no longer hears the one who lost it.
pub async fn a_lost_lease_is_redelivered_and_settles_nothing<F: QueueFixture>() {
    let fixture = F::fresh(SHORT_LEASE).await;
    let (holder, other) = (fixture.client().await, fixture.client().await);
    send(&holder, &["a"]).await;
    let lost = take_one(&holder).await;
    fixture.lose_leases(&holder).await;

    let again = take_one(&other).await;
    assert_is(&again, &outgoing("a"));
    assert_eq!(again.attempts, 0, "a lost lease is no counted attempt");
    assert!(again.unfinished >= 1, "a lost delivery shows as unfinished");
    assert_ne!(again.lease, lost.lease, "each delivery has a lease of its own");

    let settled = holder.queue.settle(&lost.lease, &Settlement::Done).await;
    assert!(matches!(settled, Err(QueueError::LeaseLost)), "a lost lease settles nothing: {settled:?}");
    settle(&other, &again, &Settlement::Done).await;
    nothing_comes(&holder, SHORT_LEASE + SHORT_LEASE / 2, "the message is done").await;
}

/// An extended lease outlives its first length; one that is no longer extended ends.
pub async fn an_extended_lease_lasts<F: QueueFixture>() {
    let fixture = F::fresh(SHORT_LEASE).await;
    let (holder, other) = (fixture.client().await, fixture.client().await);
    send(&holder, &["a"]).await;
    let held = take_one(&holder).await;
    let taken_at = Instant::now();
    while taken_at.elapsed() < SHORT_LEASE * 2 {
        nothing_comes(&other, SHORT_LEASE / 4, "the lease is being extended").await;
        let extended = holder.queue.extend(std::slice::from_ref(&held.lease)).await;
        assert_eq!(extended.expect("leases can be extended"), Extended::default(), "a held lease is not lost");
    }
    if F::leases_time_out() {
        assert_eq!(id_of(&take_one(&other).await), id_of(&held), "a lease that is not extended ends");
    } else {
        settle(&holder, &held, &Settlement::Done).await;
    }
}

/// Extending tells lost leases from held ones, and an unknown lease is a lost one.
pub async fn extending_names_the_lost_leases<F: QueueFixture>() {
    let fixture = F::fresh(SHORT_LEASE).await;
    let (holder, other) = (fixture.client().await, fixture.client().await);
    assert_eq!(holder.queue.extend(&[]).await.expect("nothing to extend"), Extended::default());
    send(&holder, &["a"]).await;
    let lost = take_one(&holder).await;
    fixture.lose_leases(&holder).await;
    let _again = take_one(&other).await;
    send(&holder, &["b"]).await;
    let held = take_one(&holder).await;
    assert_eq!(id_of(&held), "id-b");
    let leases = [lost.lease.clone(), held.lease.clone()];
    let named = holder.queue.extend(&leases).await.expect("leases can be extended");
    assert_eq!(named, Extended::but(vec![lost.lease]), "exactly the lost lease is named");
}

/// Many clients at once: each message goes to one of them.
pub async fn concurrent_receivers_never_share_a_message<F: QueueFixture>() {
    const MESSAGES: usize = 200;
    let fixture = F::fresh(LONG_LEASE).await;
    let names: Vec<_> = (0..MESSAGES).map(|number| format!("m{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    send(&fixture.client().await, &names).await;
    let mut receivers = JoinSet::new();
    for _ in 0..4 {
        receivers.spawn(drain(fixture.client().await));
    }
    let mut all = Vec::new();
    while let Some(ids) = receivers.join_next().await {
        all.extend(ids.expect("a receiver ends"));
    }
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (MESSAGES, MESSAGES), "each message comes once");
}

/// Receives and settles until a wait brings nothing.
async fn drain(client: Client) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let received = client.queue.receive(7).await.expect("a queue gives messages");
        if received.is_empty() {
            return ids;
        }
        for delivery in received {
            settle(&client, &delivery, &Settlement::Done).await;
            ids.push(id_of(&delivery));
        }
    }
}

/// A receive that is given up half-way leaves its messages to be received again, at the latest when a lease ends.
pub async fn a_dropped_receive_loses_nothing<F: QueueFixture>() {
    let client = F::fresh(SHORT_LEASE).await.client().await;
    let names: Vec<_> = (0..20).map(|number| format!("m{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut seen = BTreeSet::new();
    let waiting = client.queue.clone();
    let dropped = timeout(Duration::from_millis(50), waiting.receive(5)).await;
    assert!(dropped.is_err(), "nothing was sent yet");
    send(&client, &names).await;
    for step in 0..20 {
        let given_up = Duration::from_micros(step * 150);
        if let Ok(received) = timeout(given_up, client.queue.receive(1)).await {
            settle_all(&client, received.expect("a queue gives messages"), &mut seen).await;
        }
    }
    let end = Instant::now() + PATIENCE;
    while seen.len() < names.len() && Instant::now() < end {
        let received = client.queue.receive(10).await.expect("a queue gives messages");
        settle_all(&client, received, &mut seen).await;
    }
    assert_eq!(seen.len(), names.len(), "every message comes in the end: {seen:?}");
}

async fn settle_all(client: &Client, received: Vec<crate::ports::queue::Delivery>, seen: &mut BTreeSet<String>) {
    for delivery in received {
        settle(client, &delivery, &Settlement::Done).await;
        assert!(seen.insert(id_of(&delivery)), "{} came again after it was done", id_of(&delivery));
    }
}

/// One call sends many messages, and each of them comes.
pub async fn many_messages_are_all_there<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    client.queue.send(&[]).await.expect("nothing is easily sent");
    let names: Vec<_> = (0..1500).map(|number| format!("m{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    send(&client, &names).await;
    let mut seen = BTreeSet::new();
    while seen.len() < names.len() {
        let room = (names.len() - seen.len()).min(100);
        settle_all(&client, take(&client, room).await, &mut seen).await;
    }
}

/// What `send` answered for, and what a client held, is there after the queue was restarted.
pub async fn what_was_sent_survives_a_restart<F: QueueFixture>() {
    let mut fixture = F::fresh(SHORT_LEASE).await;
    let client = fixture.client().await;
    send(&client, &["a", "b", "c"]).await;
    let held = take_one(&client).await;
    settle(&client, &held, &Settlement::Retry { attempts: 1, delay: Duration::ZERO }).await;
    let _unfinished = take_one(&client).await;
    drop(client);
    let restarted = fixture.restart().await;
    let client = fixture.client().await;
    if !restarted {
        fixture.lose_leases(&client).await;
    }
    let taken = take(&client, 3).await;
    assert_eq!(ids_of(&taken).len(), 3, "all three are there");
    let attempts: u32 = taken.iter().map(|delivery| delivery.attempts).sum();
    assert_eq!(attempts, 1, "the counted attempt is there too");
}

/// Visible, leased and delayed messages are counted as such.
pub async fn depth_counts_visible_leased_and_delayed<F: QueueFixture>() {
    let client = F::fresh(LONG_LEASE).await.client().await;
    send(&client, &["a", "b", "c"]).await;
    depth_becomes(&client, "three visible", |depth| depth == Depth { visible: 3, ..Depth::default() }).await;
    let held = take(&client, 2).await;
    let delay = F::long_delay();
    settle(&client, &held[0], &Settlement::Retry { attempts: 1, delay }).await;
    // A broker's client may hold the third one ahead: then it is leased and no longer visible.
    depth_becomes(&client, "one delayed, one leased, three in all", |depth| {
        depth.delayed == 1 && depth.leased >= 1 && depth.total() == 3
    })
    .await;
    settle(&client, &held[1], &Settlement::Done).await;
    depth_becomes(&client, "two left", |depth| depth.delayed == 1 && depth.total() == 2).await;
}

async fn depth_becomes(client: &Client, what: &str, expected: impl Fn(Depth) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let depth = client.queue.depth().await.expect("depth");
        if expected(depth) {
            return;
        }
        assert!(Instant::now() < end, "expected {what}, found {depth:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A closed client gets no more messages and can still settle; the others get them.
pub async fn a_closed_client_takes_no_more<F: QueueFixture>() {
    let fixture = F::fresh(LONG_LEASE).await;
    let (closed, other) = (fixture.client().await, fixture.client().await);
    send(&other, &["a", "b"]).await;
    let held = take_one(&closed).await;
    closed.queue.close().await;
    nothing_comes(&closed, Duration::from_millis(500), "the client is closed").await;
    let left = take_one(&other).await;
    assert_ne!(id_of(&left), id_of(&held));
    settle(&closed, &held, &Settlement::Done).await;
    settle(&other, &left, &Settlement::Done).await;
    nothing_comes(&other, Duration::from_millis(500), "both are done").await;
}
