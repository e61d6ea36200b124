//! The memory queue keeps the contract, and the contract is worth something: queues that break a promise fail it.

use std::future::Future;
use std::marker::PhantomData;

use super::*;
use crate::testing::contracts::queue::{Client, LONG_LEASE, QueueFixture, dead, delivery, outgoing, settlement};

struct MemoryFixture(MemoryQueue);

#[async_trait]
impl QueueFixture for MemoryFixture {
    async fn fresh(lease: Duration) -> Self {
        Self(MemoryQueue::new(lease, Clock::System))
    }

    async fn client(&self) -> Client {
        let queue = Arc::new(self.0.another());
        Client { queue: queue.clone(), dead: queue }
    }

    async fn restart(&mut self) -> bool {
        false
    }
}

mod keeps_the_contract {
    use super::MemoryFixture;

    crate::queue_contract!(MemoryFixture, #[tokio::test(start_paused = true)]);
}

#[tokio::test(start_paused = true)]
async fn a_message_above_the_limit_is_refused_and_none_of_its_call_is_sent() {
    let queue = MemoryQueue::new(LONG_LEASE, Clock::System);
    let large = Outgoing { body: vec![0; MESSAGE_BYTES_MAX].into(), ..outgoing("large") };
    let refused = queue.send(&[outgoing("a"), large]).await;
    assert!(matches!(refused, Err(QueueError::Refused(_))), "{refused:?}");
    assert_eq!(queue.depth().await.expect("depth"), Depth::default());
}

/// How a queue may break its promises.
trait Mutation: Send + Sync + 'static {
    /// What is really settled instead of `settlement`; nothing at all for `None`.
    fn settles(settlement: &Settlement) -> Option<Settlement> {
        Some(settlement.clone())
    }
    /// What is really given instead of `delivery`.
    fn gives(delivery: Delivery) -> Delivery {
        delivery
    }
    /// How much room is really asked for.
    fn room(room: usize) -> usize {
        room
    }
    /// Whether leases are really extended.
    const EXTENDS: bool = true;
}

struct Broken<M>(MemoryQueue, PhantomData<M>);

#[async_trait]
impl<M: Mutation> QueueFixture for Broken<M> {
    async fn fresh(lease: Duration) -> Self {
        Self(MemoryQueue::new(lease, Clock::System), PhantomData)
    }

    async fn client(&self) -> Client {
        let queue = Arc::new(Self(self.0.another(), PhantomData));
        Client { queue, dead: Arc::new(self.0.another()) }
    }

    async fn restart(&mut self) -> bool {
        false
    }
}

#[async_trait]
impl<M: Mutation> Queue for Broken<M> {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        let received = self.0.receive(M::room(room)).await?;
        Ok(received.into_iter().map(M::gives).collect())
    }

    fn order(&self) -> Order {
        self.0.order()
    }
    fn lease_length(&self) -> Duration {
        self.0.lease_length()
    }

    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        if M::EXTENDS { self.0.extend(leases).await } else { Ok(Extended::default()) }
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        match M::settles(settlement) {
            Some(settlement) => self.0.settle(lease, &settlement).await,
            None => Ok(()),
        }
    }

    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        self.0.send(messages).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.0.depth().await
    }

    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        self.0.due(span).await
    }

    fn count_lag(&self) -> Duration {
        self.0.count_lag()
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// Checks that a contract panics.
async fn breaks(contract: impl Future<Output = ()> + Send + 'static) {
    let ended = tokio::spawn(contract).await;
    assert!(ended.is_err_and(|error| error.is_panic()), "the contract did not see the broken promise");
}

struct KeepsWhatIsDone;
impl Mutation for KeepsWhatIsDone {
    fn settles(settlement: &Settlement) -> Option<Settlement> {
        (*settlement != Settlement::Done).then(|| settlement.clone())
    }
}

struct ForgetsAttempts;
impl Mutation for ForgetsAttempts {
    fn gives(delivery: Delivery) -> Delivery {
        Delivery { attempts: 0, ..delivery }
    }
}

struct ForgetsDelays;
impl Mutation for ForgetsDelays {
    fn settles(settlement: &Settlement) -> Option<Settlement> {
        Some(match settlement {
            Settlement::Retry { attempts, .. } => Settlement::Retry { attempts: *attempts, delay: Duration::ZERO },
            other => other.clone(),
        })
    }
}

struct CountsHandBacks;
impl Mutation for CountsHandBacks {
    fn settles(settlement: &Settlement) -> Option<Settlement> {
        Some(match settlement {
            Settlement::HandBack { delay } => Settlement::Retry { attempts: 1, delay: *delay },
            other => other.clone(),
        })
    }
}

struct MarksWhatWasPutOff;
impl Mutation for MarksWhatWasPutOff {
    fn settles(settlement: &Settlement) -> Option<Settlement> {
        Some(match settlement {
            Settlement::PutOff { delay } => Settlement::HandBack { delay: *delay },
            other => other.clone(),
        })
    }
}

struct DropsDeadLetters;
impl Mutation for DropsDeadLetters {
    fn settles(settlement: &Settlement) -> Option<Settlement> {
        Some(match settlement {
            Settlement::DeadLetter(_) => Settlement::Done,
            other => other.clone(),
        })
    }
}

struct LosesAttributes;
impl Mutation for LosesAttributes {
    fn gives(mut delivery: Delivery) -> Delivery {
        delivery.message.attributes.pop_last();
        delivery
    }
}

struct GivesTooMany;
impl Mutation for GivesTooMany {
    fn room(room: usize) -> usize {
        room + 1
    }
}

struct NeverExtends;
impl Mutation for NeverExtends {
    const EXTENDS: bool = false;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_breaks_a_promise_fails_the_contract() {
    breaks(settlement::done_removes_the_message::<Broken<KeepsWhatIsDone>>()).await;
    breaks(settlement::a_retry_counts_the_attempt_and_waits::<Broken<ForgetsAttempts>>()).await;
    breaks(settlement::a_retry_counts_the_attempt_and_waits::<Broken<ForgetsDelays>>()).await;
    breaks(settlement::a_long_delay_holds_up_no_other_message::<Broken<ForgetsDelays>>()).await;
    breaks(settlement::a_hand_back_counts_no_attempt::<Broken<CountsHandBacks>>()).await;
    breaks(settlement::what_was_put_off_comes_as_it_came::<Broken<MarksWhatWasPutOff>>()).await;
    breaks(dead::a_dead_letter_keeps_the_message_whole::<Broken<DropsDeadLetters>>()).await;
    breaks(delivery::a_message_comes_as_it_was_sent::<Broken<LosesAttributes>>()).await;
    breaks(delivery::never_more_than_room_is_given::<Broken<GivesTooMany>>()).await;
    breaks(delivery::an_extended_lease_lasts::<Broken<NeverExtends>>()).await;
}
