//! Letters on one connection: those that wait for a channel go out together.
//!
//! A broker says that a message had nowhere to go by sending it back, and then confirms it all the same. The client
//! library pins a returned message to whichever confirm comes next on its channel. So a channel carries one batch at a time, all
//! confirms of which are awaited, and a returned message speaks for every letter of its batch that had the same address: one of
//! them may be said to be lost that is not, which doubles it, and never the other way round.
//!
//! While few letters are under way each has a channel to itself. Batches form by themselves when more come than there are
//! channels: the broker then writes many messages to disk at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};

use super::connection::{SharedLink, answered};
use super::outbox::Letter;
use super::pile::{Pile, Waiting};
use super::trouble::Trouble;

/// How many channels carry letters at once.
const CARRIERS_MAX: usize = 16;

/// How many letters go together, and how many bytes of bodies, the last letter aside.
const BATCH_MAX: usize = 64;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A connection and the letters that go out on it.
pub(super) struct Post {
    pub(super) link: SharedLink,
    counter: Mutex<Counter>,
}

struct Counter {
    pile: Pile<Letter>,
    /// Channels that nobody uses just now.
    idle: Vec<Channel>,
}

impl Post {
    pub(super) fn new(link: SharedLink) -> Arc<Self> {
        Arc::new(Self { link, counter: Mutex::new(Counter { pile: Pile::new(CARRIERS_MAX), idle: Vec::new() }) })
    }

    /// Publishes `letter`; `Ok` once the broker has it safely in a queue. Dropped, it may or may not have gone out.
    pub(super) async fn publish(self: &Arc<Self>, letter: Letter) -> Result<(), Trouble> {
        let (word, wanted) = self.counter().pile.hand_in(letter);
        if wanted {
            tokio::spawn(Arc::clone(self).carry());
        }
        word.heard().await
    }

    fn counter(&self) -> MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries batches until nothing waits.
    async fn carry(self: Arc<Self>) {
        loop {
            let Some(batch) = self.counter().pile.next_batch(add_letters) else { return };
            match self.send(&batch).await {
                Ok(confirmations) => tell(batch, &confirmations),
                Err(trouble) => {
                    for waiting in batch {
                        let _gone = waiting.told.send(Err(trouble.clone()));
                    }
                }
            }
        }
    }

    async fn send(&self, batch: &[Waiting<Letter>]) -> Result<Vec<Confirmation>, Trouble> {
        let channel = self.channel().await?;
        let publishing = async {
            let mut confirms = Vec::with_capacity(batch.len());
            for Waiting { what: letter, .. } in batch {
                let options = BasicPublishOptions { mandatory: letter.mandatory, immediate: false };
                let (exchange, key) = (letter.exchange.clone(), letter.key.clone());
                let properties = letter.properties.clone();
                confirms.push(channel.basic_publish(exchange, key, options, &letter.body, properties).await?);
            }
            try_join_all(confirms).await
        };
        let confirmations = answered(|| channel.status().connected(), publishing).await?;
        // Only a channel whose messages were all answered may carry more; dropped before, it is closed.
        self.counter().idle.push(channel);
        Ok(confirmations)
    }

    async fn channel(&self) -> Result<Channel, Trouble> {
        loop {
            let Some(channel) = self.counter().idle.pop() else { break };
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = self.link.channel().await?;
        answered(|| self.link.is_open(), channel.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel)
    }
}

/// Adds what fits to a batch.
fn add_letters(batch: &mut Vec<Waiting<Letter>>, others: &mut VecDeque<Waiting<Letter>>) {
    let mut bytes: usize = batch.iter().map(|waiting| waiting.what.body.len()).sum();
    while batch.len() < BATCH_MAX
        && bytes < BATCH_BYTES_MAX
        && let Some(waiting) = others.pop_front()
    {
        bytes += waiting.what.body.len();
        batch.push(waiting);
    }
}

fn tell(batch: Vec<Waiting<Letter>>, confirmations: &[Confirmation]) {
    let returned: Vec<_> = confirmations
        .iter()
        .filter_map(|confirmation| match confirmation {
            Confirmation::Ack(returned) | Confirmation::Nack(returned) => returned.as_ref(),
            Confirmation::NotRequested => None,
        })
        .collect();
    for (Waiting { what: letter, told }, confirmation) in batch.into_iter().zip(confirmations) {
        let back = returned.iter().find(|back| back.exchange == letter.exchange && back.routing_key == letter.key);
        let verdict = match back {
            Some(back) => {
                let (exchange, key, why) = (&letter.exchange, &letter.key, &back.reply_text);
                Err(Trouble::Returned(format!("no queue takes `{key}` from the exchange `{exchange}`: {why}")))
            }
            None => verdict(confirmation, &letter),
        };
        let _gone = told.send(verdict);
    }
}

fn verdict(confirmation: &Confirmation, Letter { exchange, key, .. }: &Letter) -> Result<(), Trouble> {
    match confirmation {
        Confirmation::Ack(_) => Ok(()),
        Confirmation::Nack(_) => {
            Err(Trouble::Rejected(format!("a queue behind `{key}` of the exchange `{exchange}` is full")))
        }
        Confirmation::NotRequested => Err(Trouble::Away("the channel is not in confirm mode".to_owned())),
    }
}
