//! The contract of the queue port, on RabbitMQ.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore::adapters::amqp::AmqpQueue;
use longshore::domain::settlement::Settlement;
use longshore::ports::queue::{Delivery, Depth, Extended, Lease, Order, Outgoing, Queue, QueueError};
use longshore::testing::contracts::queue::{Client, QueueFixture};

use super::bench::Bench;
use super::relay::Relay;

/// Clients behind relays: their leases end when the relay breaks.
struct RabbitFixture {
    bench: Arc<Bench>,
    relays: Mutex<HashMap<usize, Arc<Relay>>>,
}

/// A queue that outlives its fixture: the contract lets go of that early.
struct Kept {
    queue: Arc<AmqpQueue>,
    _relay: Option<Arc<Relay>>,
    _bench: Arc<Bench>,
}

#[async_trait]
impl Queue for Kept {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        self.queue.receive(room).await
    }

    fn order(&self) -> Order {
        self.queue.order()
    }
    fn lease_length(&self) -> Duration {
        self.queue.lease_length()
    }

    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        self.queue.extend(leases).await
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        self.queue.settle(lease, settlement).await
    }

    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        self.queue.send(messages).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth().await
    }

    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        self.queue.due(span).await
    }

    fn count_lag(&self) -> Duration {
        self.queue.count_lag()
    }

    async fn close(&self) {
        self.queue.close().await;
    }
}

fn identity(client: &Client) -> usize {
    Arc::as_ptr(&client.queue).cast::<()>().addr()
}

fn client(bench: &Arc<Bench>, queue: Arc<AmqpQueue>, relay: Option<Arc<Relay>>) -> Client {
    let dead = Arc::new(bench.dead_letters());
    Client { queue: Arc::new(Kept { queue, _relay: relay, _bench: Arc::clone(bench) }), dead }
}

#[async_trait]
impl QueueFixture for RabbitFixture {
    async fn fresh(_lease: Duration) -> Self {
        Self { bench: Arc::new(Bench::new().await), relays: Mutex::default() }
    }

    async fn client(&self) -> Client {
        let (queue, relay) = self.bench.relayed(Duration::ZERO).await;
        let relay = Arc::new(relay);
        let client = client(&self.bench, queue, Some(Arc::clone(&relay)));
        self.relays.lock().unwrap().insert(identity(&client), relay);
        client
    }

    async fn lose_leases(&self, client: &Client) {
        let relay = Arc::clone(&self.relays.lock().unwrap()[&identity(client)]);
        relay.break_all();
        // Both sides have to notice; the client goes on by itself.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    async fn restart(&mut self) -> bool {
        false
    }

    fn leases_time_out() -> bool {
        false
    }

    fn short_delay() -> Duration {
        Duration::from_secs(1)
    }
}

longshore::queue_contract!(RabbitFixture, #[tokio::test(flavor = "multi_thread", worker_threads = 2)]);

mod kills {
    use super::{Arc, Bench, Client, Duration, QueueFixture, async_trait, client};
    use crate::bed;
    use longshore::testing::contracts::queue::{dead, delivery};

    /// Clients of a broker that is really killed.
    struct KilledFixture(Arc<Bench>);

    #[async_trait]
    impl QueueFixture for KilledFixture {
        async fn fresh(_lease: Duration) -> Self {
            Self(Arc::new(Bench::new().await))
        }

        async fn client(&self) -> Client {
            client(&self.0, Arc::new(self.0.queue()), None)
        }

        async fn restart(&mut self) -> bool {
            super::super::outages::kill_and_start().await;
            true
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_was_sent_survives_a_kill() {
        bed::require("rabbit");
        delivery::what_was_sent_survives_a_restart::<KilledFixture>().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn dead_letters_survive_a_kill() {
        dead::dead_letters_survive_a_restart::<KilledFixture>().await;
    }
}
