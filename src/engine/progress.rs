//! How far a delivery is: whether anything of it is under way, and whether it comes forward.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

/// A delivery is slow while it brings fewer bytes than this, and ends no attachment, between two looks.
const QUICK_BYTES: u64 = 32 * 1024;
/// For so many looks it must have been slow, or idle, to make room for others; and idle, to be in their way.
const SLOW_LOOKS: u32 = 2;
const IDLE_LOOKS: u32 = 5;
/// When the first look is: by then what can begin at once has.
pub const FIRST_LOOK: Duration = Duration::from_millis(10);
/// How long lies between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the attachments of one delivery do, told by themselves.
#[derive(Debug, Default)]
pub struct Progress {
    /// Attachments that are being worked on and do not wait in a lane.
    active: AtomicUsize,
    begun: AtomicBool,
    has_failed: AtomicBool,
    bytes: AtomicU64,
}

impl Progress {
    /// One more attachment is worked on, until the guard is dropped.
    pub fn active(&self) -> Active<'_> {
        self.active.fetch_add(1, Relaxed);
        Active(&self.active)
    }

    /// One of those that are worked on waits in its lane, until the guard is dropped.
    pub fn waiting(&self) -> Waiting<'_> {
        self.active.fetch_sub(1, Relaxed);
        Waiting(&self.active)
    }

    /// Notes that an attachment is in flight: until then the delivery has only waited for others.
    pub fn begin(&self) {
        self.begun.store(true, Relaxed);
    }

    /// Whether any attachment was in flight.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// Notes that a try failed and may be repeated.
    pub fn fail(&self) {
        self.has_failed.store(true, Relaxed);
    }

    /// Whether any try failed: then this delivery is an attempt, and goes back only as one.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Relaxed)
    }

    /// Notes bytes that came.
    pub fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

/// Counts an attachment as worked on.
#[derive(Debug)]
pub struct Active<'a>(&'a AtomicUsize);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Counts an attachment as waiting.
#[derive(Debug)]
pub struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// What a look at a delivery shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gait {
    /// It comes forward, or has not been looked at for long.
    Quick,
    /// Something of it is under way and brings little.
    Slow,
    /// All that is left of it waits in lanes, since a moment.
    Queued,
    /// All that is left of it has been waiting in lanes for a while.
    Waiting {
        /// Whether it has done so for long.
        is_long: bool,
    },
}

/// Looks at a delivery from time to time.
#[derive(Debug, Default)]
pub struct Watch {
    slow_looks: u32,
    idle_looks: u32,
    ended_before: usize,
}

impl Watch {
    /// Looks at a delivery of which `ended` attachments have ended so far.
    pub fn look(&mut self, progress: &Progress, ended: usize) -> Gait {
        let moved = progress.bytes.swap(0, Relaxed) >= QUICK_BYTES;
        let has_ended_some = std::mem::replace(&mut self.ended_before, ended) < ended;
        let is_idle = progress.active.load(Relaxed) == 0;
        self.slow_looks = if moved || has_ended_some { 0 } else { self.slow_looks.saturating_add(1) };
        self.idle_looks = if is_idle && !has_ended_some { self.idle_looks.saturating_add(1) } else { 0 };
        match (self.slow_looks, self.idle_looks) {
            (_, SLOW_LOOKS..) => Gait::Waiting { is_long: self.idle_looks >= IDLE_LOOKS },
            (SLOW_LOOKS.., _) => Gait::Slow,
            (_, 1..) => Gait::Queued,
            _ => Gait::Quick,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_slow_after_two_looks_and_quick_again_at_once() {
        let (progress, mut watch) = (Progress::default(), Watch::default());
        let active = progress.active();
        let mut look = |bytes, ended| {
            progress.moved(bytes);
            watch.look(&progress, ended)
        };
        assert_eq!([look(0, 0), look(1000, 0), look(1000, 0)], [Gait::Quick, Gait::Slow, Gait::Slow]);
        assert_eq!([look(1 << 20, 0), look(0, 1)], [Gait::Quick, Gait::Quick]);
        let waiting = progress.waiting();
        let gaits: Vec<Gait> = (0..11).map(|_| watch.look(&progress, 1)).collect();
        assert_eq!(gaits[0], Gait::Queued);
        assert_eq!(gaits[1], Gait::Waiting { is_long: false });
        assert_eq!(gaits[10], Gait::Waiting { is_long: true });
        drop(waiting);
        assert_eq!(watch.look(&progress, 1), Gait::Slow);
        drop(active);
    }
}
