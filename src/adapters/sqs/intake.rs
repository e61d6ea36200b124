//! Polls: as many long polls under way as there is room and reason for.
//!
//! A poll lives on when the receive that started it is dropped, since SQS may already have given it messages; these wait
//! here for the next receive. An idle queue is asked by one poll at a time, a busy one by up to [`POLLS_MAX`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};

use super::held::{Held, Received};
use super::letter::{self, SystemAttributes};
use super::pace::{Pace, pause_after};
use super::parcel::Parcel;
use super::queue::{Core, whole_secs};
use super::requests::BATCH_MAX;
use super::trouble::Trouble;
use crate::domain::settlement::Settlement;
use crate::ports::queue::{Delivery, Lease, Message as PortMessage};

/// How many polls may be under way.
const POLLS_MAX: usize = 8;

/// Messages on their way in.
pub(super) struct Intake {
    read_ahead: usize,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    ready: VecDeque<Arc<Held>>,
    /// Polls under way, and how many messages they may bring.
    polls: usize,
    asked: usize,
    /// How many polls are worth it.
    polls_wanted: usize,
    ended: u64,
    trouble: Option<Trouble>,
    failures: u32,
    resume_at: Instant,
    pace: Pace,
    closed: bool,
}

impl Intake {
    pub(super) fn new(read_ahead: usize) -> Self {
        let state = State {
            ready: VecDeque::new(),
            polls: 0,
            asked: 0,
            polls_wanted: 1,
            ended: 0,
            trouble: None,
            failures: 0,
            resume_at: Instant::now(),
            pace: Pace::new(),
            closed: false,
        };
        Self { read_ahead: read_ahead.min(BATCH_MAX - 1), state: Mutex::new(state), changed: Notify::new() }
    }

    /// Ends a poll, and returns what nobody wants any more.
    fn hand_in(&self, most: usize, count: &Result<usize, Trouble>, ready: Vec<Arc<Held>>) -> Vec<Arc<Held>> {
        let mut state = self.state();
        state.poll_ended(most, count);
        if state.closed {
            return ready;
        }
        state.ready.extend(ready);
        Vec::new()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

impl State {
    /// How many messages each new poll shall bring, for a caller with this much room.
    fn new_polls(&mut self, room: usize, read_ahead: usize) -> Vec<usize> {
        let ahead = self.pace.recent().min(read_ahead);
        // Rooms come one by one while a worker is full; each would cost a request.
        let wanted = if room < BATCH_MAX { (room + ahead).min(BATCH_MAX) } else { room };
        let mut left = wanted.saturating_sub(self.asked);
        let mut polls = Vec::new();
        while left > 0 && self.polls < self.polls_wanted {
            let most = left.min(BATCH_MAX);
            left -= most;
            self.polls += 1;
            self.asked += most;
            polls.push(most);
        }
        polls
    }

    fn poll_ended(&mut self, most: usize, found: &Result<usize, Trouble>) {
        self.polls -= 1;
        self.asked -= most;
        self.ended += 1;
        match found {
            Ok(count) => {
                self.failures = 0;
                if *count == 0 {
                    self.polls_wanted = 1;
                } else if *count == most {
                    self.polls_wanted = (self.polls_wanted * 2).min(POLLS_MAX);
                }
            }
            Err(trouble) => {
                self.polls_wanted = 1;
                self.failures = self.failures.saturating_add(1);
                self.resume_at = Instant::now() + pause_after(self.failures);
                self.trouble = Some(trouble.clone());
            }
        }
    }
}

/// What a receive does next.
enum Step {
    Give(Vec<Arc<Held>>),
    Fail(Trouble),
    WaitUntil(Instant),
    WaitForPolls,
}

impl Core {
    /// See [`crate::ports::queue::Queue::receive`].
    pub(super) async fn receive(self: &Arc<Self>, room: usize) -> Result<Vec<Delivery>, Trouble> {
        let begun = self.intake.state().ended;
        loop {
            let changed = self.intake.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.step(room, begun) {
                Step::Give(held) => {
                    let given = self.still_fresh(held);
                    return Ok(given.iter().map(|held| delivery(held)).collect());
                }
                Step::Fail(trouble) => return Err(trouble),
                Step::WaitUntil(moment) => {
                    let _ = timeout_at(moment, changed).await;
                }
                Step::WaitForPolls => changed.await,
            }
        }
    }

    fn step(self: &Arc<Self>, room: usize, begun: u64) -> Step {
        let mut state = self.intake.state();
        if state.closed || room == 0 {
            return Step::Give(Vec::new());
        }
        let count = state.ready.len().min(room);
        if count > 0 {
            state.pace.note(count);
            return Step::Give(state.ready.drain(..count).collect());
        }
        if let Some(trouble) = state.trouble.take() {
            return Step::Fail(trouble);
        }
        if state.ended > begun && state.polls == 0 {
            return Step::Give(Vec::new());
        }
        if state.resume_at > Instant::now() {
            return Step::WaitUntil(state.resume_at);
        }
        for most in state.new_polls(room, self.intake.read_ahead) {
            let core = Arc::clone(self);
            tokio::spawn(async move { core.poll(most).await });
        }
        Step::WaitForPolls
    }

    /// Leaves out what waited here for so long that the caller would not have most of a lease left, and gives it back.
    fn still_fresh(self: &Arc<Self>, held: Vec<Arc<Held>>) -> Vec<Arc<Held>> {
        let needed = Instant::now() + self.lease * 3 / 4;
        let (fresh, stale): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.until() >= needed);
        for held in stale {
            let core = Arc::clone(self);
            tokio::spawn(async move { core.give_back(&held).await });
        }
        fresh
    }

    async fn poll(self: Arc<Self>, most: usize) {
        let found = self.ask(most).await;
        let count = found.as_ref().map(|(messages, _)| messages.len()).map_err(Clone::clone);
        let mut ready = Vec::new();
        if let Ok((messages, given)) = found {
            for message in messages {
                ready.extend(self.take_in(message, given + self.lease).await);
            }
        }
        for held in self.intake.hand_in(most, &count, ready) {
            self.give_back(&held).await;
        }
        self.intake.changed.notify_waiters();
    }

    /// Polls, and tells when the messages were given at the latest: SQS gives them while a poll waits, not after. An answer
    /// that lay unread, since this process was frozen or the way slow, may hold messages that are no longer ours.
    async fn ask(&self, most: usize) -> Result<(Vec<Message>, Instant), Trouble> {
        self.terms().await?;
        let most = i32::try_from(most).unwrap_or(1);
        let asked = Instant::now();
        let messages = self.queue.receive(most, whole_secs(self.lease), whole_secs(self.poll_wait)).await?;
        Ok((messages, Instant::now().min(asked + self.poll_wait)))
    }

    /// Takes a message in hand until its lease ends and returns it, unless something must be done with it first.
    async fn take_in(self: &Arc<Self>, message: Message, until: Instant) -> Option<Arc<Held>> {
        let retention = self.terms().await.ok()?.retention;
        let now = self.clock.now();
        let sent_ms = SystemAttributes(message.attributes()).number(&System::SentTimestamp);
        let mut received = received(message);
        if received.parcel.stored.is_some() {
            match self.stored.fetched(received.parcel).await {
                Ok(parcel) => received.parcel = parcel,
                Err(trouble) => {
                    debug!(trouble = trouble.text(), "a stored message cannot be read now: it comes again");
                    return None;
                }
            }
        }
        let held = self.hand.take(received, until);
        let age = age(sent_ms, now);
        let wait = held.parcel.waits(now);
        if wait.is_none() && age <= retention / 2 {
            return Some(held);
        }
        let core = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(trouble) = core.put_off(&held, wait).await {
                debug!(trouble = trouble.text(), "a message could not be put off: it comes again");
            }
        });
        None
    }

    async fn give_back(&self, held: &Held) {
        let at_once = Settlement::HandBack { delay: Duration::ZERO };
        if let Err(trouble) = self.settle(&held.lease, &at_once).await {
            debug!(trouble = trouble.text(), "a message could not be given back: its lease will run out");
        }
    }

    /// See [`crate::ports::queue::Queue::close`]; waits for polls under way until `end`.
    pub(super) async fn close(&self, end: Instant) {
        let ready: Vec<_> = {
            let mut state = self.intake.state();
            state.closed = true;
            state.ready.drain(..).collect()
        };
        self.intake.changed.notify_waiters();
        futures::future::join_all(ready.iter().map(|held| self.give_back(held))).await;
        while self.intake.state().polls > 0 {
            if Instant::now() >= end {
                warn!("a poll does not end: what it brings comes again when its lease ends");
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn delivery(held: &Held) -> Delivery {
    let parcel = &held.parcel;
    Delivery {
        lease: Lease(held.lease.0.clone()),
        message: PortMessage {
            id: Some(parcel.id.clone()),
            body: parcel.body.clone(),
            attributes: parcel.text_attributes(),
        },
        attempts: parcel.attempts,
        unfinished: held.unfinished,
        sent_at: parcel.sent_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
    }
}

/// Reads what a receive brought.
fn received(message: Message) -> Received {
    let parcel = letter::read(&message);
    let system = SystemAttributes(message.attributes());
    let count = system.number(&System::ApproximateReceiveCount).unwrap_or(1);
    let receive_count = u32::try_from(count).unwrap_or(1).max(1);
    let unfinished = unfinished(&parcel, receive_count, system.number(&System::ApproximateFirstReceiveTimestamp));
    Received {
        handle: message.receipt_handle.unwrap_or_default(),
        message_id: message.message_id.unwrap_or_default(),
        receive_count,
        unfinished,
        parcel,
    }
}

/// How many deliveries began before this one. A receive before the message was due began none: it only hid it again.
fn unfinished(parcel: &Parcel, receive_count: u32, first_receive_ms: Option<i64>) -> u32 {
    let too_early = matches!((parcel.not_before_ms, first_receive_ms), (Some(due), Some(first)) if first < due);
    let begun = receive_count.saturating_sub(1).saturating_sub(u32::from(too_early));
    begun.saturating_add(parcel.unfinished)
}

fn age(sent_ms: Option<i64>, now: Timestamp) -> Duration {
    let age = sent_ms.map_or(0, |sent| now.as_millisecond().saturating_sub(sent));
    Duration::from_millis(u64::try_from(age).unwrap_or(0))
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
