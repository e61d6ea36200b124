//! Many messages in one: how those that are put off together travel.
//!
//! A parcel is a message with the header `longshore-parcel` that waits in a tier as any other. Its body holds the messages one after
//! the other: the length of the properties in four bytes, most significant first, the properties as JSON, the length of the body,
//! the body. Whoever receives it puts its messages back on the task queue, each as it was. One publish and one confirm then
//! move a hundred messages, and a reader of the queue needs nothing but this file.

use std::io::{Cursor, Read};

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use super::headers::{self, OwnHeader};

/// How many messages a parcel holds; on the parcel itself.
const COUNT: &str = "longshore-parcel";

/// The most that travels together: what a worker may have to take at once, since parcels come when they are due.
pub(super) const MESSAGES_MAX: usize = 128;
pub(super) const BYTES_MAX: usize = 64 * 1024;

/// A message in a parcel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Packed {
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Why a body is no parcel.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoParcel {
    #[error("a parcel ends in the middle of a message")]
    Cut(#[from] std::io::Error),
    #[error("the properties of a message in a parcel cannot be read: {0}")]
    Properties(#[from] serde_json::Error),
}

/// Whether a message with these properties is a parcel.
pub(super) fn is_parcel(properties: &BasicProperties) -> bool {
    headers::count(properties, COUNT) > 0
}

/// The header by which a copy of a parcel is one too; none for other messages.
pub(super) fn mark(properties: &BasicProperties) -> Option<OwnHeader> {
    is_parcel(properties).then(|| mark_of(headers::count(properties, COUNT)))
}

/// The header of a parcel of so many messages.
pub(super) fn mark_of(count: u32) -> OwnHeader {
    headers::own_number(COUNT, u64::from(count))
}

/// Whether a message comes out of a parcel exactly as it went in: JSON knows fewer fractions than AMQP.
pub(super) fn may_travel(properties: &BasicProperties) -> bool {
    fn is_exact((_, value): (&ShortString, &AMQPValue)) -> bool {
        match value {
            AMQPValue::Float(_) | AMQPValue::Double(_) | AMQPValue::FieldArray(_) => false,
            AMQPValue::FieldTable(table) => table.into_iter().all(is_exact),
            _ => true,
        }
    }
    properties.headers().as_ref().is_none_or(|table| table.into_iter().all(is_exact))
}

/// Writes messages into the body of a parcel.
pub(super) fn pack<'a>(messages: impl IntoIterator<Item = &'a Packed>) -> Result<Bytes, serde_json::Error> {
    let mut body = Vec::with_capacity(BYTES_MAX);
    for message in messages {
        let properties = serde_json::to_vec(&message.properties)?;
        for part in [&properties[..], &message.body] {
            let length = u32::try_from(part.len()).expect("a queue's message is far below 4 GiB");
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(part);
        }
    }
    Ok(body.into())
}

/// Reads what [`pack`] wrote.
pub(super) fn unpack(body: &Bytes) -> Result<Vec<Packed>, NoParcel> {
    let mut rest = Cursor::new(body);
    let mut messages = Vec::new();
    while rest.position() < body.len() as u64 {
        let properties = serde_json::from_slice(&next_part(body, &mut rest)?)?;
        messages.push(Packed { properties, body: next_part(body, &mut rest)? });
    }
    Ok(messages)
}

fn next_part(whole: &Bytes, rest: &mut Cursor<&Bytes>) -> Result<Bytes, std::io::Error> {
    let mut length = [0; 4];
    rest.read_exact(&mut length)?;
    let start = usize::try_from(rest.position()).unwrap_or(usize::MAX);
    let end = start.saturating_add(usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX));
    if end > whole.len() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    rest.set_position(end as u64);
    Ok(whole.slice(start..end))
}

#[cfg(test)]
mod tests {
    use lapin::types::{ByteArray, FieldTable};
    use proptest::prelude::*;

    use super::*;

    fn with(value: AMQPValue) -> BasicProperties {
        let mut table = FieldTable::default();
        table.insert("x-mine".into(), value);
        BasicProperties::default().with_headers(table)
    }

    fn some() -> Vec<Packed> {
        let bytes = AMQPValue::ByteArray(ByteArray::from(&[0xff, 0x00][..]));
        let properties = [
            BasicProperties::default(),
            with(bytes).with_message_id("ä".into()).with_priority(3).with_timestamp(1_700_000_000),
            with(AMQPValue::DecimalValue(lapin::types::DecimalValue { scale: 2, value: 7 })),
            with(AMQPValue::LongLongInt(i64::MIN)),
        ];
        let bodies = [&b""[..], b"{}", &[0; 300], b"\xff"];
        properties
            .into_iter()
            .zip(bodies)
            .map(|(properties, body)| Packed { properties, body: Bytes::copy_from_slice(body) })
            .collect()
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        assert_eq!(unpack(&pack(&some()).unwrap()).unwrap(), some());
        assert_eq!(unpack(&Bytes::new()).unwrap(), []);
    }

    #[test]
    fn what_json_cannot_say_exactly_travels_alone() {
        assert!(some().iter().all(|message| may_travel(&message.properties)));
        assert!(!may_travel(&with(AMQPValue::Double(f64::NAN))));
        let mut inner = FieldTable::default();
        inner.insert("f".into(), AMQPValue::Float(0.1));
        assert!(!may_travel(&with(AMQPValue::FieldTable(inner))));
    }

    #[test]
    fn a_parcel_that_was_cut_is_none_wherever_it_was_cut() {
        let whole = pack(&some()).unwrap();
        let ends: Vec<usize> = (1..=4).map(|count| pack(&some()[..count]).unwrap().len()).collect();
        for length in 1..whole.len() {
            let read = unpack(&whole.slice(..length));
            assert_eq!(read.is_ok(), ends.contains(&length), "{length}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = unpack(&Bytes::from(bytes));
        }
    }
}
