//! A message's form on the wire: a body that SQS takes, at most ten attributes, at most 1 MiB together.

use std::collections::HashMap;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::attributes::{
    ATTEMPTS, ATTRIBUTES_MAX, BODY, DETAIL, FAILED_AT, NOT_BEFORE, ORIGIN, OVERFLOW, REASON, STORED, Value,
    is_allowed_name, is_allowed_text, is_ours, made_allowed,
};
use super::overflow::{self, Values};
use super::parcel::{Dead, Parcel};
use crate::ports::queue::MESSAGE_BYTES_MAX;

/// What stands as the body of a message whose body SQS does not take; it must not be empty.
const ELSEWHERE: &str = "-";

/// How much of a dead letter's detail is written.
const DETAIL_CHARS_MAX: usize = 1024;

/// Attributes that are moved into JSON last, since others read them.
const KEPT_LONGEST: [&str; 3] = ["team", "traceparent", "tracestate"];

/// A message as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) body: String,
    pub(super) attributes: Values,
    pub(super) trace: Option<String>,
    pub(super) group: Option<String>,
}

impl Letter {
    /// Writes a parcel.
    pub(super) fn of(parcel: &Parcel) -> Self {
        let mut own = own_attributes(parcel);
        let body = write_body(&parcel.body, &mut own);
        let attributes = fitted(&parcel.attributes, own);
        Self { body, attributes, trace: parcel.trace.clone(), group: parcel.group.clone() }
    }

    /// Writes a parcel as its sender did, with nothing of ours; `None` for one that SQS does not take so.
    pub(super) fn bare(parcel: &Parcel) -> Option<Self> {
        let body = std::str::from_utf8(&parcel.body).ok().filter(|text| !text.is_empty() && is_allowed_text(text))?;
        let allowed = parcel.attributes.iter().all(|(name, value)| is_allowed_name(name) && value.is_allowed());
        let letter = Self {
            body: body.to_owned(),
            attributes: parcel.attributes.clone(),
            trace: parcel.trace.clone(),
            group: parcel.group.clone(),
        };
        (allowed && letter.attributes.len() <= ATTRIBUTES_MAX && letter.fits()).then_some(letter)
    }

    /// Writes a parcel whose body and attributes lie at `key` in our store, which is `uri` for a person.
    pub(super) fn pointing(parcel: &Parcel, key: &str, uri: &str) -> Self {
        let mut attributes = own_attributes(parcel);
        attributes.insert(STORED.to_owned(), Value::text(key));
        Self {
            body: overflow::to_text(&json!({ STORED: uri })),
            attributes,
            trace: parcel.trace.clone(),
            group: parcel.group.clone(),
        }
    }

    /// Whether a reader who knows nothing of ours finds the parcel's body and attributes in it.
    pub(super) fn holds_all_of(&self, parcel: &Parcel) -> bool {
        self.fits() && parcel.attributes.iter().all(|(name, value)| self.attributes.get(name) == Some(value))
    }

    /// What counts against the largest message and the largest batch.
    pub(super) fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, value)| name.len() + value.size()).sum();
        self.body.len() + attributes
    }

    pub(super) fn fits(&self) -> bool {
        self.size() <= MESSAGE_BYTES_MAX
    }
}

fn own_attributes(parcel: &Parcel) -> Values {
    let mut own = Values::new();
    let mut put = |name: &str, value: Value| {
        if value.is_allowed() {
            own.insert(name.to_owned(), value);
        }
    };
    let mut origin = json!({ "id": parcel.id });
    let dead_id = parcel.dead.as_ref().and_then(|dead| dead.id.clone());
    let queue = parcel.dead.as_ref().and_then(|dead| dead.queue.clone());
    for (name, value) in [
        ("sent_ms", parcel.sent_ms.map(Json::from)),
        ("unfinished", (parcel.unfinished > 0).then(|| Json::from(parcel.unfinished))),
        ("dead_id", dead_id.map(Json::from)),
        ("queue", queue.map(Json::from)),
    ] {
        if let Some(value) = value {
            origin[name] = value;
        }
    }
    put(ORIGIN, Value::text(overflow::to_text(&origin)));
    if parcel.attempts > 0 || parcel.dead.is_some() {
        put(ATTEMPTS, Value::number(parcel.attempts));
    }
    if let Some(due) = parcel.not_before_ms {
        put(NOT_BEFORE, Value::number(due));
    }
    if let Some(dead) = &parcel.dead {
        put(REASON, Value::text(&dead.reason));
        put(DETAIL, Value::text(made_allowed(&dead.detail, DETAIL_CHARS_MAX)));
        if let Some(failed_at) = dead.failed_at {
            put(FAILED_AT, Value::text(failed_at.to_string()));
        }
    }
    own
}

fn write_body(body: &Bytes, own: &mut Values) -> String {
    let elsewhere = match std::str::from_utf8(body) {
        Ok("") => Value::text("empty"),
        Ok(text) if is_allowed_text(text) => return text.to_owned(),
        Ok(_) | Err(_) => Value::binary(body.clone()),
    };
    own.insert(BODY.to_owned(), elsewhere);
    ELSEWHERE.to_owned()
}

/// The sender's attributes beside ours, as many as there is room for; the rest as JSON.
fn fitted(senders: &Values, own: Values) -> Values {
    let allowed = |(name, value): &(&String, &Value)| is_allowed_name(name) && value.is_allowed();
    let mut takes: Vec<&String> = senders.iter().filter(allowed).map(|(name, _)| name).collect();
    takes.sort_by_key(|name| !KEPT_LONGEST.contains(&name.as_str()));
    let room = ATTRIBUTES_MAX.saturating_sub(own.len());
    if takes.len() < senders.len() || takes.len() > room {
        takes.truncate(room.saturating_sub(1));
    }
    let (natives, rest): (Values, Values) = senders.clone().into_iter().partition(|(name, _)| takes.contains(&name));
    let mut written = natives;
    written.extend(own);
    if !rest.is_empty() {
        let json = overflow::to_text(&overflow::to_json(&rest));
        written.insert(OVERFLOW.to_owned(), Value::text(json));
    }
    written
}

/// Reads a message as it came. Body and attributes that lie in our store are still to be read.
pub(super) fn read(message: &Message) -> Parcel {
    let all: Values = message
        .message_attributes()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), Value::from_wire(value)))
        .collect();
    let own = |name: &str| all.get(name).and_then(Value::as_text);
    let origin: Json = own(ORIGIN).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let system = SystemAttributes(message.attributes());
    let id = origin["id"].as_str().or(message.message_id()).unwrap_or_default();
    let rest = own(OVERFLOW).and_then(|text| serde_json::from_str(text).ok());
    let senders = all.iter().filter(|(name, _)| !is_ours(name));
    let mut attributes: Values = senders.map(|(name, value)| (name.clone(), value.clone())).collect();
    attributes.extend(rest.map(|json: Json| overflow::from_json(&json)).unwrap_or_default());
    Parcel {
        id: id.to_owned(),
        body: read_body(message, all.get(BODY)),
        attributes,
        trace: system.text(&MessageSystemAttributeName::AwsTraceHeader).map(str::to_owned),
        group: system.text(&MessageSystemAttributeName::MessageGroupId).map(str::to_owned),
        sent_ms: origin["sent_ms"].as_i64().or(system.number(&MessageSystemAttributeName::SentTimestamp)),
        attempts: own(ATTEMPTS).and_then(|text| text.parse().ok()).unwrap_or(0),
        unfinished: origin["unfinished"].as_u64().and_then(|count| count.try_into().ok()).unwrap_or(0),
        not_before_ms: own(NOT_BEFORE).and_then(|text| text.parse().ok()),
        // What SQS itself moved to the dead-letter queue has no reason of ours, but may have been moved within it.
        dead: own(REASON).or(origin["dead_id"].as_str()).map(|_| Dead {
            id: origin["dead_id"].as_str().map(str::to_owned),
            reason: own(REASON).unwrap_or_default().to_owned(),
            detail: own(DETAIL).unwrap_or_default().to_owned(),
            failed_at: own(FAILED_AT).and_then(|text| text.parse().ok()),
            queue: origin["queue"].as_str().map(str::to_owned),
        }),
        stored: own(STORED).map(str::to_owned),
    }
}

fn read_body(message: &Message, elsewhere: Option<&Value>) -> Bytes {
    match elsewhere {
        Some(Value::Binary { bytes, .. }) => bytes.clone(),
        Some(Value::Text { .. }) => Bytes::new(),
        None => Bytes::from(message.body().unwrap_or_default().to_owned()),
    }
}

/// What SQS itself says of a message.
#[derive(Clone, Copy)]
pub(super) struct SystemAttributes<'a>(pub(super) Option<&'a HashMap<MessageSystemAttributeName, String>>);

impl<'a> SystemAttributes<'a> {
    pub(super) fn text(self, name: &MessageSystemAttributeName) -> Option<&'a str> {
        self.0?.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn number(self, name: &MessageSystemAttributeName) -> Option<i64> {
        self.text(name)?.parse().ok()
    }
}

#[cfg(test)]
#[path = "letter_tests.rs"]
mod tests;
