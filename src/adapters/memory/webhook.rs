//! Endpoints in memory: each answers as it was told, and remembers what it was sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::ports::webhook::{Answered, Post, PostError, Webhook};

/// How long a try may take.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// What an endpoint does with a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Answers with this status.
    Answers(u16),
    /// Answers with this status and asks for a wait.
    AsksToWait(u16, Duration),
    /// Answers 200 after a while.
    Dawdles(Duration),
    /// Never answers.
    Hangs,
    /// Takes no connection.
    Refuses,
    /// Cannot be asked: our own way out is away.
    IsOutOfReach,
}

/// A try as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// What.
    pub post: Post,
}

impl Received {
    /// A header field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.post.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// What the next tries get; the last goes for all that follow.
    scripts: HashMap<String, Vec<Does>>,
    received: Vec<Received>,
}

/// All endpoints of a small world. Clones share them; what nobody scripted answers 200.
#[derive(Debug, Clone, Default)]
pub struct MemoryWebhook(Arc<Mutex<Inner>>);

impl MemoryWebhook {
    /// Makes `url` do these things, one after the other, and the last for ever.
    pub fn script(&self, url: &str, does: &[Does]) {
        self.inner().scripts.insert(url.to_owned(), does.to_vec());
    }

    /// What came to `url`, oldest first.
    #[must_use]
    pub fn received(&self, url: &str) -> Vec<Received> {
        let is_there = |received: &&Received| received.post.url.as_str() == url;
        self.inner().received.iter().filter(is_there).cloned().collect()
    }

    fn next(&self, url: &Url) -> Does {
        let mut inner = self.inner();
        match inner.scripts.get_mut(url.as_str()) {
            Some(does) if does.len() > 1 => does.remove(0),
            Some(does) => does.first().copied().unwrap_or(Does::Answers(200)),
            None => Does::Answers(200),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Webhook for MemoryWebhook {
    async fn post(&self, post: Post) -> Result<Answered, PostError> {
        let does = self.next(&post.url);
        let answered = |status, retry_after| Ok(Answered { status, retry_after });
        if !matches!(does, Does::Refuses | Does::IsOutOfReach) {
            self.inner().received.push(Received { at: Instant::now(), post });
        }
        match does {
            Does::Answers(status) => answered(status, None),
            Does::AsksToWait(status, wait) => answered(status, Some(wait)),
            Does::Dawdles(span) if timeout(TIMEOUT, sleep(span)).await.is_ok() => answered(200, None),
            Does::Dawdles(_) => Err(PostError::TimedOut("the answer took too long".to_owned())),
            Does::Hangs => {
                sleep(TIMEOUT).await;
                Err(PostError::TimedOut("the answer took too long".to_owned()))
            }
            Does::IsOutOfReach => Err(PostError::NoWayOut("the egress proxy takes no connection".to_owned())),
            Does::Refuses => Err(PostError::Unreachable("the connection was refused".to_owned())),
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::contracts::webhook::{Told, WebhookFixture};

    #[async_trait]
    impl WebhookFixture for MemoryWebhook {
        async fn fresh() -> Self {
            Self::default()
        }

        fn sender(&self) -> Arc<dyn Webhook> {
            Arc::new(self.clone())
        }

        async fn endpoint(&self, name: &str, told: Told) -> String {
            let url = format!("https://hooks.test/{name}");
            let does = match told {
                Told::Answers(status, None) => Does::Answers(status),
                Told::Answers(status, Some(wait)) => Does::AsksToWait(status, wait),
                Told::Hangs => Does::Hangs,
                Told::Refuses => Does::Refuses,
            };
            self.script(&url, &[does]);
            url
        }

        async fn bodies(&self, name: &str) -> Vec<Vec<u8>> {
            let received = self.received(&format!("https://hooks.test/{name}"));
            received.into_iter().map(|received| received.post.body.to_vec()).collect()
        }
    }

    crate::webhook_contract!(MemoryWebhook, #[tokio::test(start_paused = true)]);
}
