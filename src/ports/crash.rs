//! Points at which a test stops the real process for good or for a while. Compiled to nothing without the feature `testing`.
//!
//! A point is armed once, by the shell, from what the test says; who passes one reads no environment. They stand here since
//! engine and adapters both pass some. This is no port: a release has nothing of it.

/// What happens at an armed point.
#[cfg(feature = "testing")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// The process is killed, as by `kill -9`.
    Kill,
    /// The process is stopped until somebody continues it, as by `kill -STOP`.
    Freeze,
}

/// Named points, in the order of one task's way; the last is a webhook's own. What is copied is a message that goes back or to
/// the dead letters, before the message that the copy replaces is let go.
pub const POINTS: &[&str] = &[
    "suspect-noted",
    "task-begun",
    "claim-put",
    "object-stored",
    "facts-written",
    "receipt-written",
    "event-published",
    "webhook-enqueued",
    "message-copied",
    "settled",
    "webhook-sent",
];

/// An armed point.
#[cfg(feature = "testing")]
#[derive(Debug)]
struct Armed {
    name: String,
    blow: Blow,
    left: std::sync::atomic::AtomicI64,
    only_task: Option<String>,
}

#[cfg(feature = "testing")]
static ARMED: std::sync::OnceLock<Armed> = std::sync::OnceLock::new();

/// Arms the point `name`: the blow falls when it is passed for the `count`th time, once; where a task is named, when that one
/// passes it.
#[cfg(feature = "testing")]
pub fn arm(name: &str, blow: Blow, count: i64, only_task: Option<&str>) {
    debug_assert!(POINTS.contains(&name), "there is no crash point {name}");
    let left = std::sync::atomic::AtomicI64::new(count);
    // A second arming would be a test's mistake; the first one stays.
    let _ = ARMED.set(Armed { name: name.to_owned(), blow, left, only_task: only_task.map(str::to_owned) });
}

/// Passes the point `name`.
#[cfg(feature = "testing")]
pub fn point(name: &'static str) {
    pass(name, None);
}

/// Passes the point `name` with a task.
#[cfg(feature = "testing")]
pub fn point_of(name: &'static str, task: &crate::domain::id::TaskId) {
    pass(name, Some(task.as_str()));
}

#[cfg(feature = "testing")]
fn pass(name: &'static str, task: Option<&str>) {
    let Some(armed) = ARMED.get() else {
        return;
    };
    let is_meant = armed.name == name && armed.only_task.as_deref().is_none_or(|only| Some(only) == task);
    if !is_meant || armed.left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) != 1 {
        return;
    }
    let signal = match armed.blow {
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

/// Passes the point `name` with a task: nothing happens.
#[cfg(not(feature = "testing"))]
#[inline]
pub fn point_of(_name: &'static str, _task: &crate::domain::id::TaskId) {}
