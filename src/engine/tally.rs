//! What this process has done so far, counted once where it is decided.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::domain::fault::Code;
use crate::domain::integration::Cloud;
use crate::domain::settlement::Reason;

/// Counters that only grow, but for what is in hand.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tasks that ended with all attachments stored.
    pub completed: AtomicU64,
    /// Tasks that ended with some stored.
    pub partial: AtomicU64,
    /// Tasks that ended with none stored.
    pub failed: AtomicU64,
    /// Deliveries that were put off, counted as attempts.
    pub retried: AtomicU64,
    /// Deliveries that were handed back uncounted.
    pub handed_back: AtomicU64,
    /// Deliveries that went back before anybody began them.
    pub put_off: AtomicU64,
    /// Messages that went to the dead-letter queue.
    pub dead: AtomicU64,
    /// The same by their reason, in the order of [`Reason::ALL`].
    pub dead_by_reason: [AtomicU64; Reason::ALL.len()],
    /// Messages that needed nothing, such as test events.
    pub ignored: AtomicU64,
    /// Deliveries whose lease was lost.
    pub lost: AtomicU64,
    /// Attachments stored by this process.
    pub stored: AtomicU64,
    /// Attachments whose copy was found.
    pub adopted: AtomicU64,
    /// Attachments that failed for good, by their code in the order of [`Code::ALL`].
    pub failed_by_code: [AtomicU64; Code::ALL.len()],
    /// Bytes fetched.
    pub bytes: AtomicU64,
    /// Tries of attachments after the first.
    pub retries: AtomicU64,
    /// The same by the code that the try before ended with, in the order of [`Code::ALL`].
    pub retries_by_code: [AtomicU64; Code::ALL.len()],
    /// Deliveries in hand now.
    pub in_hand: AtomicU64,
    /// Attachments in flight now.
    pub in_flight: AtomicU64,
    /// What became of webhooks.
    pub webhooks: WebhookTally,
    /// Integrations whose last check found something wrong, for each cloud in the order of [`Cloud::GRANTING`].
    pub integrations_broken: [AtomicU64; Cloud::GRANTING.len()],
}

/// Counters of webhooks.
#[derive(Debug, Default)]
pub struct WebhookTally {
    /// Tries that were answered with success.
    pub delivered: AtomicU64,
    /// Tries that were sent in vain.
    pub failed: AtomicU64,
    /// Deliveries that were given up and dead-lettered.
    pub exhausted: AtomicU64,
    /// Deliveries that were put off because their endpoint was busy.
    pub put_off: AtomicU64,
    /// Deliveries in hand now.
    pub in_hand: AtomicU64,
}

impl Tally {
    /// Adds one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// The tasks that have ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.completed.load(Relaxed) + self.partial.load(Relaxed) + self.failed.load(Relaxed)
    }

    /// Counts an attachment that failed for good.
    pub fn add_failed(&self, code: Code) {
        add_one_of(Code::ALL, &self.failed_by_code, &code);
    }

    /// Counts a try after one that ended with `code`.
    pub fn add_retry(&self, code: Code) {
        Self::add(&self.retries);
        add_one_of(Code::ALL, &self.retries_by_code, &code);
    }

    /// Counts a message that went to the dead-letter queue.
    pub fn add_dead(&self, reason: Reason) {
        Self::add(&self.dead);
        add_one_of(Reason::ALL, &self.dead_by_reason, &reason);
    }

    /// The attachments that failed for good.
    #[must_use]
    pub fn attachments_failed(&self) -> u64 {
        self.failed_by_code.iter().map(|counter| counter.load(Relaxed)).sum()
    }

    /// The line that `--until-empty` ends with.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "completed {} partial {} failed {} dead {} retried {} handed-back {} stored {} adopted {} attachments-failed {} bytes {} \
             webhooks-delivered {} webhooks-failed {} webhooks-exhausted {}",
            self.completed.load(Relaxed),
            self.partial.load(Relaxed),
            self.failed.load(Relaxed),
            self.dead.load(Relaxed),
            self.retried.load(Relaxed),
            self.handed_back.load(Relaxed),
            self.stored.load(Relaxed),
            self.adopted.load(Relaxed),
            self.attachments_failed(),
            self.bytes.load(Relaxed),
            self.webhooks.delivered.load(Relaxed),
            self.webhooks.failed.load(Relaxed),
            self.webhooks.exhausted.load(Relaxed),
        )
    }
}

/// Adds one to the counter of `which`, one of `all`.
fn add_one_of<T: PartialEq>(all: &[T], counters: &[AtomicU64], which: &T) {
    if let Some((_, counter)) = all.iter().zip(counters).find(|(known, _)| *known == which) {
        Tally::add(counter);
    }
}

/// Counts something for as long as it lives.
#[derive(Debug)]
pub struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    /// Adds one until dropped.
    #[must_use]
    pub fn one(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
