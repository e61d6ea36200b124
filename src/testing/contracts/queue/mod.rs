//! The contract of [`Queue`] and [`DeadLetters`], for memory, embedded and brokered queues alike.
//!
//! [`queue_contract!`](crate::queue_contract) makes one test of each function in [`delivery`], [`settlement`] and [`dead`].
//! Every function takes a fresh queue from its [`QueueFixture`] and measures time with `tokio::time`, so that a queue that
//! lives in tokio's time is tested with paused time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout_at};

use crate::domain::settlement::Settlement;
use crate::ports::queue::{Attributes, DeadLetters, DeadMessage, Delivery, Outgoing, Queue};

pub mod dead;
pub mod delivery;
pub mod settlement;

/// The lease of tests that do not wait for its end: long enough for a busy machine.
pub const LONG_LEASE: Duration = Duration::from_secs(60);

/// The lease of tests that wait for its end.
pub const SHORT_LEASE: Duration = Duration::from_secs(2);

/// How long a test waits for a message that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much earlier than promised a message may seem to come: clocks are read in milliseconds, and not only by us.
const CLOCK_STEP: Duration = Duration::from_millis(20);

/// One user of a queue: a process of its own as far as the queue can tell.
#[derive(Clone)]
pub struct Client {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// Its dead letters.
    pub dead: Arc<dyn DeadLetters>,
}

/// Makes queues for the contract: one fixture is one queue, empty at first, that nobody else uses.
#[async_trait]
pub trait QueueFixture: Sized + Send + Sync + 'static {
    /// Makes an empty queue whose leases last `lease`, where leases end by time.
    async fn fresh(lease: Duration) -> Self;

    /// Connects one more client to the queue.
    async fn client(&self) -> Client;

    /// Makes `client` lose its leases and returns once that is so. Here: it waits until they have run out. Where leases end
    /// only with a connection, the fixture breaks it.
    async fn lose_leases(&self, _client: &Client) {
        sleep(SHORT_LEASE + SHORT_LEASE / 4).await;
    }

    /// Ends and starts what keeps the messages; false where that cannot be done because they live in this process.
    async fn restart(&mut self) -> bool;

    /// Whether leases end by time.
    fn leases_time_out() -> bool {
        true
    }

    /// Whether a message that was handed back at once is told from one that nobody has had.
    fn remembers_hand_backs() -> bool {
        true
    }

    /// A short delay, as the queue can keep it.
    fn short_delay() -> Duration {
        Duration::from_millis(400)
    }

    /// A delay that outlives any test.
    fn long_delay() -> Duration {
        Duration::from_secs(600)
    }

    /// How much later than its delay a message may come, on an idle queue and a busy machine.
    fn delay_slack() -> Duration {
        Duration::from_secs(5)
    }
}

/// Makes one test of each function of the queue contract.
///
/// The first argument is the `QueueFixture`, the rest the attributes of
/// each test: `queue_contract!(MemoryFixture, #[tokio::test(start_paused = true)]);`
#[macro_export]
macro_rules! queue_contract {
    (@each $fixture:ty, $test:tt, $($part:ident { $($name:ident)+ })+) => {
        $($($crate::queue_contract!(@one $fixture, $test, $part $name);)+)+
    };
    (@one $fixture:ty, { $($test:tt)+ }, $part:ident $name:ident) => {
        $($test)+
        async fn $name() {
            $crate::testing::contracts::queue::$part::$name::<$fixture>().await;
        }
    };
    ($fixture:ty, $($test:tt)+) => {
        $crate::queue_contract! { @each $fixture, { $($test)+ },
            delivery {
                an_empty_queue_gives_nothing
                a_message_comes_as_it_was_sent
                bodies_of_any_kind_survive
                never_more_than_room_is_given
                a_leased_message_is_given_to_nobody_else
                a_lost_lease_is_redelivered_and_settles_nothing
                an_extended_lease_lasts
                extending_names_the_lost_leases
                concurrent_receivers_never_share_a_message
                a_dropped_receive_loses_nothing
                many_messages_are_all_there
                what_was_sent_survives_a_restart
                depth_counts_visible_leased_and_delayed
                a_closed_client_takes_no_more
            }
            settlement {
                done_removes_the_message
                a_retry_counts_the_attempt_and_waits
                a_long_delay_holds_up_no_other_message
                what_waits_long_is_not_due_soon
                a_hand_back_counts_no_attempt
                hand_backs_never_add_up
                what_was_put_off_comes_as_it_came
                content_survives_every_way_back
                settling_again_changes_nothing
            }
            dead {
                a_dead_letter_keeps_the_message_whole
                dead_letters_survive_a_restart
                listing_often_loses_nothing
                a_list_ends_at_its_limit_and_begins_with_the_oldest
                replay_puts_the_original_back
                replay_takes_only_the_chosen
                purge_deletes_only_the_chosen
            }
        }
    };
}

/// A message whose id, body and attributes follow from `name`.
#[must_use]
pub fn outgoing(name: &str) -> Outgoing {
    let attributes = [("team", "acme"), ("note", name), ("umlaut", "Größe 1 · ✓")];
    Outgoing {
        id: format!("id-{name}"),
        body: format!("{{\"task_id\":\"{name}\"}}").into_bytes().into(),
        attributes: attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        group: Some("acme".to_owned()),
    }
}

async fn send(client: &Client, names: &[&str]) {
    let messages: Vec<_> = names.iter().map(|name| outgoing(name)).collect();
    client.queue.send(&messages).await.expect("a queue takes messages");
}

/// Receives until `count` deliveries are in hand.
async fn take(client: &Client, count: usize) -> Vec<Delivery> {
    let end = Instant::now() + PATIENCE;
    let mut taken = Vec::new();
    while taken.len() < count {
        let room = count - taken.len();
        let Ok(received) = timeout_at(end, client.queue.receive(room)).await else {
            panic!("only {} of {count} messages came within {PATIENCE:?}", taken.len());
        };
        let received = received.expect("a queue gives messages");
        assert!(received.len() <= room, "{} messages for room {room}", received.len());
        taken.extend(received);
    }
    taken
}

async fn take_one(client: &Client) -> Delivery {
    take(client, 1).await.remove(0)
}

/// Checks that no message comes for `span`.
async fn nothing_comes(client: &Client, span: Duration, why: &str) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        let Ok(received) = timeout_at(end, client.queue.receive(10)).await else {
            return;
        };
        let received = received.expect("a queue answers");
        assert!(received.is_empty(), "{why}, but {received:?} came");
        // A closed client may answer at once, and paused time moves only when everybody waits.
        sleep(Duration::from_millis(10)).await;
    }
}

async fn settle(client: &Client, delivery: &Delivery, settlement: &Settlement) {
    let settled = client.queue.settle(&delivery.lease, settlement).await;
    settled.unwrap_or_else(|error| panic!("{settlement:?} of a held delivery failed: {error}"));
}

async fn list(client: &Client) -> Vec<DeadMessage> {
    client.dead.list(1000).await.expect("dead letters can be listed")
}

fn id_of(delivery: &Delivery) -> String {
    delivery.message.id.clone().expect("a message keeps the id that it was sent with")
}

fn ids_of(deliveries: &[Delivery]) -> BTreeSet<String> {
    deliveries.iter().map(id_of).collect()
}

fn assert_is(delivery: &Delivery, sent: &Outgoing) {
    assert_eq!(delivery.message.id.as_deref(), Some(sent.id.as_str()), "the id");
    assert!(delivery.message.body == sent.body, "the body of {} changed", sent.id);
    assert_same_attributes(&delivery.message.attributes, &sent.attributes);
}

fn assert_same_attributes(found: &Attributes, sent: &Attributes) {
    assert_eq!(found, sent, "attributes come as they were sent, without any of our own");
}
