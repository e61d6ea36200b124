//! What was seen of a world after its workers had ended: plain values, so that the checker can be checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::http::Content;
use super::origin::Request;
use super::vault::Kept;

/// An event as it was handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) team: String,
    pub(crate) body: Vec<u8>,
}

/// A dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) body: Vec<u8>,
}

/// Everything that was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Internal storage by key.
    pub(crate) kept: BTreeMap<String, Kept>,
    /// What addresses in receipts begin with.
    pub(crate) uri_prefix: String,
    /// All events, doubles too.
    pub(crate) events: Vec<Event>,
    /// The dead-letter queue.
    pub(crate) dead: Vec<Dead>,
    /// Messages left, by queue.
    pub(crate) left: Vec<(String, u64)>,
    /// What may be claimed: kind, name and team.
    pub(crate) claims: BTreeSet<[String; 3]>,
    /// The log of the origin and of the customers' buckets.
    pub(crate) log: Vec<Request>,
    /// What the origin serves, by target.
    pub(crate) served: HashMap<String, Vec<Content>>,
    /// Whether a worker was killed, perhaps while it proved the store: then papers of that proof may remain.
    pub(crate) was_killed: bool,
    /// Whether workers raced with answers that differ: then a whole copy that no receipt names may remain.
    pub(crate) raced: bool,
    /// What came to the teams' endpoints, where they have any.
    pub(crate) hooks: Option<Vec<Request>>,
    /// Unfinished uploads and temporary files.
    pub(crate) unfinished: usize,
}
