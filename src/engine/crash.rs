//! Points at which a test stops the real process for good or for a while. Compiled to nothing without the feature `testing`.
//!
//! A point is armed once, by the shell, from what the test says; the engine itself reads no environment.

/// What happens at an armed point.
#[cfg(feature = "testing")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The process is killed, as by `kill -9`.
    Kill,
    /// The process is stopped until somebody continues it, as by `kill -STOP`.
    Freeze,
}

/// Named points, in the order of one task's way; the last is a webhook's own.
pub const POINTS: &[&str] = &[
    "object-stored",
    "facts-written",
    "receipt-written",
    "event-published",
    "webhook-enqueued",
    "settled",
    "webhook-sent",
];

#[cfg(feature = "testing")]
static ARMED: std::sync::OnceLock<(String, Blow, std::sync::atomic::AtomicI64)> = std::sync::OnceLock::new();

/// Arms the point `name`: the blow falls when it is passed for the `count`th time, once.
#[cfg(feature = "testing")]
pub fn arm(name: &str, blow: Blow, count: i64) {
    debug_assert!(POINTS.contains(&name), "there is no crash point {name}");
    // A second arming would be a test's mistake; the first one stays.
    let _ = ARMED.set((name.to_owned(), blow, std::sync::atomic::AtomicI64::new(count)));
}

/// Passes the point `name`.
#[cfg(feature = "testing")]
pub fn point(name: &'static str) {
    let Some((armed, blow, left)) = ARMED.get() else {
        return;
    };
    if armed != name || left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) != 1 {
        return;
    }
    let signal = match blow {
        Blow::Kill => "-KILL",
        Blow::Freeze => "-STOP",
    };
    // The signal comes from outside, so nothing of ours runs after it.
    let _ = std::process::Command::new("kill").args([signal, &std::process::id().to_string()]).status();
}

/// Passes the point `name`: nothing happens.
#[cfg(not(feature = "testing"))]
#[inline]
pub fn point(_name: &'static str) {}
