//! Keys and tokens of any cloud that are kept until they end, and fetched by one caller for all.
//!
//! Good keys are handed out at once. From some time before their end on, whoever comes first fetches new ones, and the others
//! go on with the old; once they have ended, everybody waits for that one. Dropped in the middle, the fetching falls to the
//! next. A failure is handed out to everybody for a while, with the rest of that while as its `retry_after`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, RwLock};
use tokio::time::Instant;

use crate::domain::fault::{AttachmentFault, Fault};

/// How long a refusal is remembered: a person must change something.
const REMEMBER_REFUSAL: Duration = Duration::from_secs(30);
/// How long what may pass is remembered.
const REMEMBER_TROUBLE: Duration = Duration::from_secs(3);
/// Keys are renewed when this share of their life is gone…
const RENEW_AFTER: f64 = 0.8;
/// …less up to this share, so that sessions that began together are not renewed together.
const JITTER: f64 = 0.1;
/// Keys are not handed out in this last share of their life: a request with them may be on its way for a while.
const LAST_SHARE: f64 = 0.02;

/// New keys, and how long they are good.
pub(super) struct Fresh<K> {
    pub(super) keys: K,
    pub(super) life: Duration,
}

/// Keys, or the memory of a failure.
pub(super) struct Kept<K> {
    state: RwLock<State<K>>,
    fetching: Mutex<()>,
}

struct State<K> {
    keys: Option<Good<K>>,
    failed: Option<Failed>,
}

struct Good<K> {
    keys: Arc<K>,
    renew_at: Instant,
    ends_at: Instant,
}

#[derive(Clone)]
struct Failed {
    fault: AttachmentFault,
    until: Instant,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self { state: RwLock::new(State { keys: None, failed: None }), fetching: Mutex::default() }
    }
}

impl<K> Clone for Good<K> {
    fn clone(&self) -> Self {
        Self { keys: Arc::clone(&self.keys), ..*self }
    }
}

impl<K> Kept<K> {
    /// Returns good keys, from `fetch` if need be.
    ///
    /// # Errors
    /// What `fetch` failed with, now or a while ago.
    pub(super) async fn keys<F>(&self, fetch: impl Fn() -> F) -> Result<Arc<K>, AttachmentFault>
    where
        F: Future<Output = Result<Fresh<K>, AttachmentFault>>,
    {
        let (good, failed) = self.look().await;
        match (good, failed) {
            (Some(good), _) if Instant::now() < good.renew_at => Ok(good.keys),
            // Old keys still do, and what was tried a moment ago is not tried again.
            (Some(good), Some(_)) => Ok(good.keys),
            (Some(good), None) => match self.fetching.try_lock() {
                Ok(turn) => Ok(self.renew(turn, fetch).await.unwrap_or(good.keys)),
                Err(_) => Ok(good.keys),
            },
            (None, Some(failed)) => Err(failed.now()),
            (None, None) => {
                let turn = self.fetching.lock().await;
                self.renew(turn, fetch).await
            }
        }
    }

    /// Forgets the keys that `is_meant`, unless others have taken their place.
    pub(super) async fn drop_if(&self, is_meant: impl FnOnce(&K) -> bool) {
        let mut state = self.state.write().await;
        if state.keys.as_ref().is_some_and(|good| is_meant(&good.keys)) {
            state.keys = None;
        }
    }

    /// The keys that are still good, and the failure that is still remembered.
    async fn look(&self) -> (Option<Good<K>>, Option<Failed>) {
        let (state, now) = (self.state.read().await, Instant::now());
        let good = state.keys.clone().filter(|good| now < good.ends_at);
        let failed = state.failed.clone().filter(|failed| now < failed.until);
        (good, failed)
    }

    /// Fetches, unless whoever had the turn before has done so.
    async fn renew<F>(&self, _turn: MutexGuard<'_, ()>, fetch: impl Fn() -> F) -> Result<Arc<K>, AttachmentFault>
    where
        F: Future<Output = Result<Fresh<K>, AttachmentFault>>,
    {
        match self.look().await {
            (Some(good), _) if Instant::now() < good.renew_at => return Ok(good.keys),
            (None, Some(failed)) => return Err(failed.now()),
            (Some(_) | None, _) => {}
        }
        // Life is counted from before the request, so that a slow answer makes it shorter and not longer.
        let asked_at = Instant::now();
        let fetched = fetch().await;
        let mut state = self.state.write().await;
        match fetched {
            Ok(Fresh { keys, life }) => {
                let good = Good::new(Arc::new(keys), asked_at, life, rand::random());
                let keys = Arc::clone(&good.keys);
                *state = State { keys: Some(good), failed: None };
                Ok(keys)
            }
            Err(fault) => {
                state.failed = Some(Failed::new(fault.clone()));
                Err(fault)
            }
        }
    }
}

impl<K> Good<K> {
    /// `luck` is between 0 and 1.
    fn new(keys: Arc<K>, from: Instant, life: Duration, luck: f64) -> Self {
        Self {
            keys,
            renew_at: from + life.mul_f64(RENEW_AFTER - JITTER * luck),
            ends_at: from + life.mul_f64(1.0 - LAST_SHARE),
        }
    }
}

impl Failed {
    fn new(fault: AttachmentFault) -> Self {
        let remember = match fault.fault() {
            Fault::Permanent => REMEMBER_REFUSAL,
            Fault::Transient { .. } => REMEMBER_TROUBLE,
        };
        let until = Instant::now() + remember;
        Self { fault, until }
    }

    /// The fault as it is to be told now: asking again before the memory fades is of no use.
    fn now(self) -> AttachmentFault {
        let left = self.until.saturating_duration_since(Instant::now());
        let retry_after = self.fault.code.is_transient().then_some(left);
        AttachmentFault { retry_after, ..self.fault }
    }
}

#[cfg(test)]
#[path = "kept_tests.rs"]
mod tests;
