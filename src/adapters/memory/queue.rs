//! A queue in this process's memory that keeps the whole contract of [`Queue`] and [`DeadLetters`].
//!
//! It lives in tokio's time, so a test with paused time sees leases and delays end at once and exactly. It gives messages in
//! the order they were sent, whoever's they are. Its clones are clients of one queue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::domain::settlement::Settlement;
use crate::ports::clock::Clock;
use crate::ports::queue::{
    Attributes, Chosen, DeadLetters, DeadMessage, Delivery, Depth, Extended, Lease, MESSAGE_BYTES_MAX, Message, Order,
    Outgoing, Queue, QueueError,
};

/// How long a receive waits for a first message.
const WAIT: Duration = Duration::from_secs(5);

/// A queue in memory.
#[derive(Debug, Default)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    lease: Duration,
    clock: Clock,
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    sequence: u64,
    messages: BTreeMap<u64, Entry>,
    dead: BTreeMap<u64, (Message, DeadMessage)>,
}

#[derive(Debug, Clone)]
struct Entry {
    message: Message,
    attempts: u32,
    unfinished: u32,
    sent_at: Timestamp,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Visible,
    Delayed { until: Instant },
    Leased { lease: Lease, until: Instant },
}

impl MemoryQueue {
    /// Makes an empty queue whose leases last `lease` and whose times are those of `clock`.
    #[must_use]
    pub fn new(lease: Duration, clock: Clock) -> Self {
        let shared = Shared { lease, clock, ..Shared::default() };
        Self { shared: Arc::new(shared), closed: AtomicBool::new(false) }
    }

    /// One more client of the same queue, which is closed by itself.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), closed: AtomicBool::new(false) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        let mut held = self.shared.held.lock().expect("nobody panics while holding it");
        held.come_due(Instant::now());
        held
    }

    /// Takes what is visible; without any, the moment when something may become so.
    fn take(&self, room: usize) -> Result<Vec<Delivery>, Option<Instant>> {
        let until = Instant::now() + self.shared.lease;
        let mut held = self.held();
        let taken = held.take(room, until);
        if taken.is_empty() && room > 0 { Err(held.next_due()) } else { Ok(taken) }
    }
}

impl Held {
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn come_due(&mut self, now: Instant) {
        for entry in self.messages.values_mut() {
            match &entry.state {
                State::Delayed { until } if *until <= now => entry.state = State::Visible,
                State::Leased { until, .. } if *until <= now => {
                    entry.unfinished += 1;
                    entry.state = State::Visible;
                }
                State::Visible | State::Delayed { .. } | State::Leased { .. } => {}
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let due = |entry: &Entry| match entry.state {
            State::Visible => None,
            State::Delayed { until } | State::Leased { until, .. } => Some(until),
        };
        self.messages.values().filter_map(due).min()
    }

    fn take(&mut self, room: usize, until: Instant) -> Vec<Delivery> {
        let visible = self.messages.iter_mut().filter(|(_, entry)| matches!(entry.state, State::Visible));
        let lease = |(sequence, entry): (&u64, &mut Entry)| {
            let lease = Lease(format!("{sequence}-{}", uuid::Uuid::new_v4()));
            entry.state = State::Leased { lease: lease.clone(), until };
            Delivery {
                lease,
                message: entry.message.clone(),
                attempts: entry.attempts,
                unfinished: entry.unfinished,
                sent_at: Some(entry.sent_at),
            }
        };
        visible.take(room).map(lease).collect()
    }

    fn sequence_of(&self, wanted: &Lease) -> Option<u64> {
        let is_wanted = |entry: &Entry| matches!(&entry.state, State::Leased { lease, .. } if lease == wanted);
        self.messages.iter().find(|(_, entry)| is_wanted(entry)).map(|(sequence, _)| *sequence)
    }

    fn settle(&mut self, sequence: u64, mut entry: Entry, settlement: &Settlement, clock: &Clock) {
        let again = |delay: Duration| match delay {
            Duration::ZERO => State::Visible,
            delay => State::Delayed { until: Instant::now() + delay },
        };
        match settlement {
            Settlement::Done => return,
            Settlement::Retry { attempts, delay } => {
                entry.attempts = *attempts;
                entry.unfinished = 0;
                entry.state = again(*delay);
            }
            Settlement::HandBack { delay } => {
                // It is no first delivery any more, and becomes no more suspicious than that.
                entry.unfinished = entry.unfinished.max(1);
                entry.state = again(*delay);
            }
            Settlement::PutOff { delay } => entry.state = again(*delay),
            Settlement::DeadLetter(letter) => {
                let place = self.next();
                let dead = DeadMessage {
                    id: place.to_string(),
                    reason: letter.reason.to_string(),
                    detail: letter.detail.clone(),
                    attempts: letter.attempts,
                    failed_at: Some(clock.now()),
                    body: entry.message.body.clone(),
                    attributes: entry.message.attributes.clone(),
                };
                self.dead.insert(place, (entry.message, dead));
                return;
            }
        }
        self.messages.insert(sequence, entry);
    }

    fn send(&mut self, message: Message, sent_at: Timestamp) {
        let entry = Entry { message, attempts: 0, unfinished: 0, sent_at, state: State::Visible };
        let sequence = self.next();
        self.messages.insert(sequence, entry);
    }

    fn chosen(&self, chosen: &Chosen) -> Vec<u64> {
        let wanted = |id: &String| match chosen {
            Chosen::All => true,
            Chosen::Ids(ids) => ids.contains(id),
        };
        self.dead.iter().filter(|(_, (_, dead))| wanted(&dead.id)).map(|(place, _)| *place).collect()
    }
}

/// The attributes of a message without those that a queue adds to a dead letter.
fn without_ours(attributes: &Attributes) -> Attributes {
    let own = |name: &str| name.starts_with("longshore-");
    attributes.iter().filter(|(name, _)| !own(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn receive(&self, room: usize) -> Result<Vec<Delivery>, QueueError> {
        let end = Instant::now() + WAIT;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.closed.load(Ordering::SeqCst) {
                return Ok(Vec::new());
            }
            let due = match self.take(room) {
                Ok(taken) => return Ok(taken),
                Err(due) => due.unwrap_or(end),
            };
            let timed_out = timeout_at(due.min(end), changed).await.is_err();
            if timed_out && Instant::now() >= end {
                return Ok(self.take(room).unwrap_or_default());
            }
        }
    }

    fn order(&self) -> Order {
        Order::AsSent
    }

    fn lease_length(&self) -> Duration {
        self.shared.lease
    }

    async fn extend(&self, leases: &[Lease]) -> Result<Extended, QueueError> {
        let mut held = self.held();
        let new_end = Instant::now() + self.shared.lease;
        let mut lost = Vec::new();
        for lease in leases {
            let entry = held.sequence_of(lease).and_then(|sequence| held.messages.get_mut(&sequence));
            match entry.map(|entry| &mut entry.state) {
                Some(State::Leased { until, .. }) => *until = new_end,
                Some(State::Visible | State::Delayed { .. }) | None => lost.push(lease.clone()),
            }
        }
        Ok(Extended::but(lost))
    }

    async fn settle(&self, lease: &Lease, settlement: &Settlement) -> Result<(), QueueError> {
        let mut held = self.held();
        let sequence = held.sequence_of(lease).ok_or(QueueError::LeaseLost)?;
        let entry = held.messages.remove(&sequence).ok_or(QueueError::LeaseLost)?;
        held.settle(sequence, entry, settlement, &self.shared.clock);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        if let Some(large) = messages.iter().find(|message| message.size() > MESSAGE_BYTES_MAX) {
            return Err(QueueError::Refused(format!("message {} is above {MESSAGE_BYTES_MAX} bytes", large.id)));
        }
        let sent_at = self.shared.clock.now();
        let mut held = self.held();
        for outgoing in messages {
            let message = Message {
                id: Some(outgoing.id.clone()),
                body: outgoing.body.clone(),
                attributes: outgoing.attributes.clone(),
            };
            held.send(message, sent_at);
        }
        self.shared.changed.notify_waiters();
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let mut depth = Depth::default();
        for entry in self.held().messages.values() {
            match entry.state {
                State::Visible => depth.visible += 1,
                State::Delayed { .. } => depth.delayed += 1,
                State::Leased { .. } => depth.leased += 1,
            }
        }
        Ok(depth)
    }

    async fn due(&self, span: Duration) -> Result<u64, QueueError> {
        let held = self.held();
        let end = Instant::now() + span;
        let is_due = |entry: &&Entry| match entry.state {
            State::Visible | State::Leased { .. } => true,
            State::Delayed { until } => until <= end,
        };
        Ok(held.messages.values().filter(is_due).count() as u64)
    }

    fn count_lag(&self) -> Duration {
        Duration::ZERO
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.shared.changed.notify_waiters();
    }
}

#[async_trait]
impl DeadLetters for MemoryQueue {
    async fn list(&self, limit: usize) -> Result<Vec<DeadMessage>, QueueError> {
        let held = self.held();
        Ok(held.dead.values().take(limit).map(|(_, dead)| dead.clone()).collect())
    }

    async fn replay(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        let sent_at = self.shared.clock.now();
        let mut held = self.held();
        let mut replayed = 0;
        for place in held.chosen(chosen) {
            if let Some((mut message, _)) = held.dead.remove(&place) {
                message.attributes = without_ours(&message.attributes);
                held.send(message, sent_at);
                replayed += 1;
            }
        }
        self.shared.changed.notify_waiters();
        Ok(replayed)
    }

    async fn purge(&self, chosen: &Chosen) -> Result<u64, QueueError> {
        let mut held = self.held();
        let places = held.chosen(chosen);
        Ok(places.iter().map(|place| u64::from(held.dead.remove(place).is_some())).sum())
    }
}

#[cfg(test)]
mod tests;
