//! Waits that SQS counts as something else: those by visibility, and copies on FIFO queues that are not due yet.
//!
//! Only this process's are known. They make the counts of a queue say what they mean; nothing depends on them.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;

use crate::ports::queue::Depth;

/// What this process knows to be waiting, by SQS's id.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<String, Wait>>);

#[derive(Debug, Clone, Copy)]
struct Wait {
    due_ms: i64,
    hidden: bool,
}

impl Waiting {
    /// Notes that the message is hidden until it is due, or visible though it is not due yet.
    pub(super) fn note(&self, message_id: &str, due_ms: i64, hidden: bool, now: Timestamp) {
        let mut waits = self.0.lock().expect("nobody panics while holding it");
        waits.retain(|_, wait| wait.due_ms > now.as_millisecond());
        waits.insert(message_id.to_owned(), Wait { due_ms, hidden });
    }

    /// Counts as delayed what waits, instead of as visible or leased.
    pub(super) fn corrected(&self, mut depth: Depth, now: Timestamp) -> Depth {
        let waits = self.0.lock().expect("nobody panics while holding it");
        for wait in waits.values().filter(|wait| wait.due_ms > now.as_millisecond()) {
            let counted_as = if wait.hidden { &mut depth.leased } else { &mut depth.visible };
            if *counted_as > 0 {
                *counted_as -= 1;
                depth.delayed += 1;
            }
        }
        depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_counted_as_such_until_they_are_due() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let waiting = Waiting::default();
        waiting.note("a", 100, true, at(0));
        waiting.note("b", 100, false, at(0));
        let depth = |visible, leased, delayed| Depth { visible, leased, delayed };
        assert_eq!(waiting.corrected(depth(2, 2, 1), at(50)), depth(1, 1, 3));
        assert_eq!(waiting.corrected(depth(0, 0, 0), at(50)), depth(0, 0, 0), "counts lag behind");
        assert_eq!(waiting.corrected(depth(2, 2, 1), at(100)), depth(2, 2, 1));
    }
}
