//! What was sent, and how each of it must end.

use bytes::Bytes;

use super::http::Content;

/// A message with its expected end.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// The message's id on the queue.
    pub(crate) id: String,
    /// The body, byte for byte.
    pub(crate) body: Bytes,
    /// The `team` attribute, where it is sent beside the body.
    pub(crate) team_attribute: Option<String>,
    /// Messages of one task with the same mark ask for the same, however they are written.
    pub(crate) content: String,
    /// How it must end.
    pub(crate) end: End,
}

/// How a message must end.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// With a receipt of this task. Where several messages of one task have other contents, one content gets the receipt and
    /// the others are dead-lettered as `task_conflict`.
    Receipt(Wanted),
    /// In the dead-letter queue.
    Dead {
        /// With this reason.
        reason: &'static str,
        /// And a detail that holds this.
        detail: &'static str,
    },
}

/// A receipt as it must be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) team: String,
    pub(crate) task: String,
    /// The attachments, in order.
    pub(crate) parts: Vec<Part>,
}

/// An attachment's outcome as it must be.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) id: String,
    pub(crate) outcome: Outcome,
}

/// What becomes of an attachment.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Stored with the bytes that the origin serves at `oracle`; its log knows the fetches of `target`.
    Fetched { oracle: String, target: String },
    /// Stored with one of the contents that the origin serves in turn, or failed with `not_found` where it may.
    Alternating { oracle: String, target: String, may_fail: bool },
    /// Stored with what lies in a customer's bucket; the log knows the fetches of `target`.
    Copied { content: Content, target: String },
    /// Stored with this text.
    Text(String),
    /// Failed with this code.
    Failed(&'static str),
}

impl Sent {
    /// A message with the expected end.
    pub(crate) fn new(id: impl Into<String>, body: impl Into<Bytes>, end: End) -> Self {
        let body = body.into();
        Self { id: id.into(), content: Content::of(&body).sha256, body, team_attribute: None, end }
    }

    /// The same message with another body.
    pub(crate) fn with_body(self, body: &serde_json::Value) -> Self {
        Self { team_attribute: self.team_attribute, ..Self::new(self.id, body.to_string(), self.end) }
    }

    /// The receipt that is expected of it.
    pub(crate) fn wanted(&self) -> Option<&Wanted> {
        match &self.end {
            End::Receipt(wanted) => Some(wanted),
            End::Dead { .. } => None,
        }
    }
}

impl Wanted {
    /// The receipt's key.
    pub(crate) fn receipt_key(&self) -> String {
        format!("{}/receipts/{}.json", self.team, self.task)
    }
}

impl Outcome {
    /// Where the origin's truth can be had, and how often it must be asked to see all of it.
    pub(crate) fn oracle(&self) -> Option<(&str, u32)> {
        match self {
            Self::Fetched { oracle, .. } => Some((oracle, 1)),
            Self::Alternating { oracle, .. } => Some((oracle, 2)),
            Self::Copied { .. } | Self::Text(_) | Self::Failed(_) => None,
        }
    }

    /// What the origin's log knows the fetches by.
    pub(crate) fn target(&self) -> Option<&str> {
        match self {
            Self::Fetched { target, .. } | Self::Alternating { target, .. } | Self::Copied { target, .. } => {
                Some(target)
            }
            Self::Text(_) | Self::Failed(_) => None,
        }
    }
}
