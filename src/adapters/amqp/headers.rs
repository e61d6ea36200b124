//! Headers and properties of messages: what of them is the sender's, what is ours, and what is the broker's.
//!
//! The sender's go with every copy, whatever their type. Ours begin with `longshore-`. The broker's own book-keeping is
//! never copied: a stale delivery count would raise suspicion, and a stale death history looks to the broker like a
//! message going in circles, which it throws away.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use crate::ports::queue::Attributes;

/// Attempts that were counted.
pub(super) const ATTEMPTS: &str = "longshore-attempts";
/// When the message is due, in milliseconds since 1970.
pub(super) const NOT_BEFORE: &str = "longshore-not-before";
/// Deliveries that the broker does not count any more, since the message is a copy.
pub(super) const UNFINISHED: &str = "longshore-unfinished";
/// Why a message was dead-lettered.
pub(super) const REASON: &str = "longshore-reason";
/// What exactly.
pub(super) const DETAIL: &str = "longshore-detail";
/// When, as RFC 3339.
pub(super) const FAILED_AT: &str = "longshore-failed-at";
/// The queue that a dead letter came from, where it is not the task queue.
pub(super) const QUEUE: &str = "longshore-queue";
/// Why the broker itself dead-lettered a message.
pub(super) const BROKER_REASON: &str = "x-first-death-reason";

const OURS: &str = "longshore-";
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The broker's own headers; it sends a copy to the queues that `CC` names once more.
const BROKERS: [&str; 5] = ["x-death", DELIVERY_COUNT, "x-acquired-count", "CC", "BCC"];
const BROKERS_BEGIN: [&str; 2] = ["x-first-death-", "x-last-death-"];

fn is_senders(name: &str) -> bool {
    !name.starts_with(OURS) && !BROKERS.contains(&name) && !BROKERS_BEGIN.iter().any(|begin| name.starts_with(begin))
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

/// Returns a header as text: strings and UTF-8 bytes as they are, numbers in decimals.
pub(super) fn text(properties: &BasicProperties, name: &str) -> Option<String> {
    header(properties, name).and_then(value_text)
}

/// Returns a header that is a whole number, or the text of one.
pub(super) fn number(properties: &BasicProperties, name: &str) -> Option<u64> {
    text(properties, name)?.parse().ok()
}

/// Returns a header that counts something; 0 if it is not there.
pub(super) fn count(properties: &BasicProperties, name: &str) -> u32 {
    number(properties, name).map_or(0, |count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// Returns how many deliveries of the message began before this one since the last counted attempt.
///
/// `redelivered` is all that a broker without delivery counts tells.
pub(super) fn unfinished(properties: &BasicProperties, redelivered: bool) -> u32 {
    let by_broker = match header(properties, DELIVERY_COUNT) {
        Some(_) => count(properties, DELIVERY_COUNT),
        None => u32::from(redelivered),
    };
    by_broker.saturating_add(count(properties, UNFINISHED))
}

/// Returns the sender's headers that are text or can be written as such.
pub(super) fn attributes(properties: &BasicProperties) -> Attributes {
    let Some(headers) = properties.headers() else {
        return Attributes::new();
    };
    let senders = headers.into_iter().filter(|(name, _)| is_senders(name.as_str()));
    senders.filter_map(|(name, value)| Some((name.as_str().to_owned(), value_text(value)?))).collect()
}

fn value_text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        AMQPValue::ByteArray(bytes) => String::from_utf8(bytes.as_slice().to_vec()).ok(),
        AMQPValue::Boolean(value) => Some(value.to_string()),
        AMQPValue::ShortShortInt(number) => Some(number.to_string()),
        AMQPValue::ShortShortUInt(number) => Some(number.to_string()),
        AMQPValue::ShortInt(number) => Some(number.to_string()),
        AMQPValue::ShortUInt(number) => Some(number.to_string()),
        AMQPValue::LongInt(number) => Some(number.to_string()),
        AMQPValue::LongUInt(number) => Some(number.to_string()),
        AMQPValue::LongLongInt(number) => Some(number.to_string()),
        AMQPValue::Float(number) => Some(number.to_string()),
        AMQPValue::Double(number) => Some(number.to_string()),
        AMQPValue::Timestamp(secs) => Some(secs.to_string()),
        AMQPValue::DecimalValue(_) | AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::Void => None,
    }
}

/// The most that the headers of a copy take: all of them must fit into one frame, of 128 KiB unless agreed otherwise. A
/// larger frame would cost the connection, and with it everything else that is in flight.
const HEADERS_BYTES_MAX: usize = 100 * 1024;

/// Drops the largest of the sender's headers until all fit.
fn fitted(mut headers: BTreeMap<ShortString, AMQPValue>) -> BTreeMap<ShortString, AMQPValue> {
    let entry_bytes = |name: &ShortString, value: &AMQPValue| 1 + name.as_str().len() + value_bytes(value);
    let mut total: usize = headers.iter().map(|(name, value)| entry_bytes(name, value)).sum();
    while total > HEADERS_BYTES_MAX {
        let senders = headers.iter().filter(|(name, _)| is_senders(name.as_str()));
        let Some((name, value)) = senders.max_by_key(|(_, value)| value_bytes(value)) else {
            break;
        };
        let (name, bytes) = (name.clone(), entry_bytes(name, value));
        tracing::warn!(bytes, "a copy goes without the header {name}: with it the headers do not fit into a frame");
        headers.remove(&name);
        total -= bytes;
    }
    headers
}

/// At least as many bytes as the properties take in a frame.
pub(super) fn bytes(properties: &BasicProperties) -> usize {
    /// Flags, the table's length, and what is no text: delivery mode, priority, timestamp.
    const FIXED: usize = 2 + 4 + 1 + 1 + 8;
    let texts = [
        properties.content_type(),
        properties.content_encoding(),
        properties.correlation_id(),
        properties.reply_to(),
        properties.expiration(),
        properties.message_id(),
        properties.kind(),
        properties.user_id(),
        properties.app_id(),
        properties.cluster_id(),
    ];
    let texts = texts.into_iter().flatten().map(|text| 1 + text.as_str().len());
    let headers = properties.headers().as_ref().into_iter().flatten();
    let headers = headers.map(|(name, value)| 1 + name.as_str().len() + value_bytes(value));
    FIXED + texts.sum::<usize>() + headers.sum::<usize>()
}

/// How many bytes a value takes in a frame, its type included.
fn value_bytes(value: &AMQPValue) -> usize {
    1 + match value {
        AMQPValue::LongString(text) => 4 + text.len(),
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::FieldArray(values) => 4 + values.as_slice().iter().map(value_bytes).sum::<usize>(),
        AMQPValue::FieldTable(table) => {
            let entries = table.into_iter().map(|(name, value)| 1 + name.as_str().len() + value_bytes(value));
            4 + entries.sum::<usize>()
        }
        AMQPValue::Boolean(_)
        | AMQPValue::ShortShortInt(_)
        | AMQPValue::ShortShortUInt(_)
        | AMQPValue::ShortInt(_)
        | AMQPValue::ShortUInt(_)
        | AMQPValue::LongInt(_)
        | AMQPValue::LongUInt(_)
        | AMQPValue::LongLongInt(_)
        | AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::Void => 8,
    }
}

/// A header of ours, to be written.
pub(super) type OwnHeader = (&'static str, AMQPValue);

/// Returns a header of ours that holds text.
pub(super) fn own_text(name: &'static str, text: impl Into<String>) -> OwnHeader {
    (name, AMQPValue::LongString(text.into().into_bytes().into()))
}

/// Returns a header of ours that holds a number.
pub(super) fn own_number(name: &'static str, number: u64) -> OwnHeader {
    (name, AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX)))
}

/// The headers of ours that a copy keeps when nothing is counted: what was counted before, and the deliveries that the broker does
/// not count any more.
pub(super) fn kept(properties: &BasicProperties, unfinished: u32) -> Vec<OwnHeader> {
    [(ATTEMPTS, count(properties, ATTEMPTS)), (UNFINISHED, unfinished)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| own_number(name, u64::from(count)))
        .collect()
}

/// Returns the properties with one more header of ours.
pub(super) fn with(properties: BasicProperties, (name, value): OwnHeader) -> BasicProperties {
    let mut table = properties.headers().clone().unwrap_or_default();
    table.insert(name.into(), value);
    properties.with_headers(table)
}

/// Returns the properties for a copy of a message: the sender's, and of ours only `own`.
///
/// Three properties of the sender's stay behind, since with them the broker would refuse the copy or lose it: `user_id`
/// must be the publisher's, `expiration` would end a waiting or dead message, and a direct reply queue is the sender's.
pub(super) fn copied(original: &BasicProperties, own: &[OwnHeader]) -> BasicProperties {
    let mut headers: BTreeMap<ShortString, AMQPValue> = match original.headers() {
        Some(all) => {
            let senders = all.into_iter().filter(|(name, _)| is_senders(name.as_str()));
            senders.map(|(name, value)| (name.clone(), value.clone())).collect()
        }
        None => BTreeMap::new(),
    };
    headers.extend(own.iter().map(|(name, value)| (ShortString::from(*name), value.clone())));
    let mut copy = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(fitted(headers).into());
    macro_rules! carry {
        ($($get:ident $with:ident),*) => {
            $(if let Some(value) = original.$get().clone() { copy = copy.$with(value); })*
        };
    }
    carry!(content_type with_content_type, content_encoding with_content_encoding, priority with_priority);
    carry!(correlation_id with_correlation_id, message_id with_message_id, timestamp with_timestamp);
    carry!(kind with_type, app_id with_app_id);
    match original.reply_to() {
        Some(queue) if !queue.as_str().starts_with("amq.rabbitmq.reply-to") => copy.with_reply_to(queue.clone()),
        Some(_) | None => copy,
    }
}

/// The delivery mode of messages that survive a restart.
pub(super) const PERSISTENT: u8 = 2;

#[cfg(test)]
mod tests {
    use lapin::types::{ByteArray, FieldTable, LongString};

    use super::*;

    fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    fn long(text: &str) -> AMQPValue {
        AMQPValue::LongString(LongString::from(text))
    }

    fn all_kinds() -> BasicProperties {
        with(&[
            ("team", long("acme")),
            ("bytes", AMQPValue::ByteArray(ByteArray::from(&b"text"[..]))),
            ("binary", AMQPValue::ByteArray(ByteArray::from(&[0xff, 0x00][..]))),
            ("count", AMQPValue::LongInt(-7)),
            ("longshore-attempts", AMQPValue::LongLongInt(3)),
            ("longshore-reason", long("undecodable")),
            ("x-death", AMQPValue::FieldArray(vec![].into())),
            ("x-first-death-queue", long("tasks")),
            ("x-delivery-count", AMQPValue::LongLongInt(2)),
            ("CC", AMQPValue::FieldArray(vec![].into())),
            ("x-mine", long("kept")),
        ])
    }

    #[test]
    fn attributes_are_the_senders_text() {
        let found: Vec<_> = attributes(&all_kinds()).into_iter().collect();
        let expected = [("bytes", "text"), ("count", "-7"), ("team", "acme"), ("x-mine", "kept")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(attributes(&BasicProperties::default()), Attributes::new());
    }

    #[test]
    fn a_copy_keeps_the_senders_headers_of_every_type_and_nothing_of_the_brokers() {
        let copy = copied(&all_kinds(), &[own_number(ATTEMPTS, 4)]);
        let names: Vec<_> =
            copy.headers().as_ref().unwrap().inner().keys().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(names, ["binary", "bytes", "count", "longshore-attempts", "team", "x-mine"]);
        assert_eq!(number(&copy, ATTEMPTS), Some(4));
        assert_eq!(header(&copy, "binary"), header(&all_kinds(), "binary"));
    }

    #[test]
    fn a_copy_keeps_the_senders_properties_but_those_that_would_lose_it() {
        let original = BasicProperties::default()
            .with_message_id("m-1".into())
            .with_content_type("application/json".into())
            .with_type("task".into())
            .with_expiration("1000".into())
            .with_user_id("somebody".into())
            .with_reply_to("amq.rabbitmq.reply-to.g1".into());
        let copy = copied(&original, &[]);
        assert_eq!(copy.message_id(), original.message_id());
        assert_eq!(copy.content_type(), original.content_type());
        assert_eq!(copy.kind(), original.kind());
        assert_eq!((copy.expiration(), copy.user_id(), copy.reply_to()), (&None, &None, &None));
        assert_eq!(copy.delivery_mode(), &Some(PERSISTENT));
        assert_eq!(copied(&copy.with_reply_to("mine".into()), &[]).reply_to(), &Some("mine".into()));
    }

    #[test]
    fn headers_that_do_not_fit_into_a_frame_cost_the_largest_of_the_senders() {
        let huge = with(&[("huge", long(&"x".repeat(90_000))), ("large", long(&"y".repeat(30_000)))]);
        let copy = copied(&huge, &[own_text(DETAIL, "z".repeat(2_000))]);
        let names: Vec<_> =
            copy.headers().as_ref().unwrap().inner().keys().map(|name| name.as_str().to_owned()).collect();
        assert_eq!(names, ["large", "longshore-detail"]);
    }

    #[test]
    fn unfinished_deliveries_are_the_brokers_count_and_those_before_a_copy() {
        let counted = with(&[("x-delivery-count", AMQPValue::LongLongInt(2)), own_number(UNFINISHED, 3)]);
        assert_eq!(unfinished(&counted, true), 5);
        assert_eq!(unfinished(&BasicProperties::default(), true), 1);
        assert_eq!(unfinished(&BasicProperties::default(), false), 0);
    }
}
