//! A publisher that keeps what it was given, for tests to look at.
//!
//! It records every hand-over, repeated ones too; [`MemoryPublisher::distinct`] is what a receiver that knows ids would see.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;

use crate::ports::publisher::{Event, PublishError, Publisher};

/// A publisher in memory. Its clones share what was published.
#[derive(Debug, Clone, Default)]
pub struct MemoryPublisher {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    unavailable: bool,
    events: Vec<Event>,
}

impl MemoryPublisher {
    /// Makes a publisher that takes everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes nothing from now on: every hand-over is `Unavailable` and leaves nothing.
    pub fn go_away(&self) {
        self.shared().unavailable = true;
    }

    /// Takes events again.
    pub fn come_back(&self) {
        self.shared().unavailable = false;
    }

    /// Every event as it was handed on, in order, repeated ones too.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.shared().events.clone()
    }

    /// The first event of each id, in order.
    #[must_use]
    pub fn distinct(&self) -> Vec<Event> {
        let mut seen = BTreeSet::new();
        let mut events = self.events();
        events.retain(|event| seen.insert(event.id.clone()));
        events
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("nobody panics while holding it")
    }
}

#[async_trait]
impl Publisher for MemoryPublisher {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let mut shared = self.shared();
        if shared.unavailable {
            return Err(PublishError::Unavailable("switched off by the test".to_owned()));
        }
        shared.events.push(event.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::id::TeamId;

    fn event(id: &str) -> Event {
        Event {
            id: id.to_owned(),
            kind: "task.completed".to_owned(),
            team: TeamId::new("acme").expect("a good name"),
            body: Bytes::from_static(b"{}"),
            traceparent: None,
        }
    }

    #[tokio::test]
    async fn every_event_is_kept_and_repeated_ones_can_be_told() {
        let publisher = MemoryPublisher::new();
        for id in ["a", "b", "a"] {
            publisher.clone().publish(&event(id)).await.expect("it takes everything");
        }
        assert_eq!(publisher.events(), [event("a"), event("b"), event("a")]);
        assert_eq!(publisher.distinct(), [event("a"), event("b")]);
    }

    #[tokio::test]
    async fn a_publisher_that_is_away_takes_nothing_until_it_comes_back() {
        let publisher = MemoryPublisher::new();
        publisher.go_away();
        let refused = publisher.publish(&event("a")).await;
        assert!(matches!(refused, Err(PublishError::Unavailable(_))));
        assert_eq!(publisher.events(), []);
        publisher.come_back();
        publisher.publish(&event("a")).await.expect("it is back");
        assert_eq!(publisher.events(), [event("a")]);
    }
}
