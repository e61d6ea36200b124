//! Many messages in one: how those of a team that are put off together travel.
//!
//! A parcel is a message with the header `longshore-parcel`, the number of its messages, that waits in a tier as any other. Its body
//! holds the messages one after the other: the length of the properties in four bytes, most significant first, the properties as
//! AMQP writes them, the length of the body, the body. Whoever receives it puts its messages back on the task queue, each as it was.
//! One publish and one confirm then move many messages.

use std::io::{Cursor, Read};

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::protocol::basic::{gen_properties, parse_properties};

use super::guard;
use super::headers::{self, OwnHeader};
use crate::domain::id::TeamId;

/// How many messages a parcel holds; on the parcel itself.
const COUNT: &str = "longshore-parcel";
/// Whose its messages are; on the parcel itself.
const TEAM: &str = "longshore-parcel-team";

/// The most that travels together, and is taken for a parcel. The bytes are those of the parcel's body, so a larger message goes alone.
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
    #[error("it ends in the middle of a message")]
    Cut(#[from] std::io::Error),
    #[error("the properties of a message in it are not AMQP's")]
    Properties,
    #[error("it has more than {MESSAGES_MAX} messages or {BYTES_MAX} bytes")]
    TooLarge,
}

/// Whether a message with these properties is a parcel.
pub(super) fn is_parcel(properties: &BasicProperties) -> bool {
    headers::count(properties, COUNT) > 0
}

/// Whose messages a parcel holds, and how many.
pub(super) fn contents(properties: &BasicProperties) -> (Option<TeamId>, usize) {
    let team = headers::text(properties, TEAM).and_then(|team| TeamId::new(&team).ok());
    (team, usize::try_from(headers::count(properties, COUNT)).unwrap_or(usize::MAX).min(MESSAGES_MAX))
}

/// The headers by which a copy of a parcel is one too; none for other messages.
pub(super) fn marks(properties: &BasicProperties) -> Vec<OwnHeader> {
    if !is_parcel(properties) {
        return Vec::new();
    }
    let (team, count) = contents(properties);
    marks_of(team.as_ref(), count)
}

/// The headers of a parcel of so many messages of `team`.
pub(super) fn marks_of(team: Option<&TeamId>, count: usize) -> Vec<OwnHeader> {
    let mut marks = vec![headers::own_number(COUNT, u64::try_from(count).unwrap_or(u64::MAX))];
    marks.extend(team.map(|team| headers::own_text(TEAM, team.as_str())));
    marks
}

/// The bytes that say how long properties and body are.
const LENGTHS: usize = 2 * size_of::<u32>();

impl Packed {
    /// At least as many bytes as the message takes in a parcel.
    pub(super) fn bytes_at_most(&self) -> usize {
        LENGTHS + headers::bytes(&self.properties) + self.body.len()
    }

    /// The message as it stands in a parcel.
    ///
    /// # Errors
    /// When its properties are not such as AMQP can say, which none that came by AMQP are.
    pub(super) fn written(&self) -> Result<Bytes, cookie_factory::GenError> {
        let mut buffer = vec![0; headers::bytes(&self.properties)];
        let (_, length) = cookie_factory::r#gen(gen_properties(&self.properties), Cursor::new(&mut buffer[..]))?;
        let properties = &buffer[..usize::try_from(length).unwrap_or(usize::MAX)];
        let mut written = Vec::with_capacity(LENGTHS + properties.len() + self.body.len());
        for part in [properties, &self.body] {
            let length = u32::try_from(part.len()).expect("a queue's message is far below 4 GiB");
            written.extend_from_slice(&length.to_be_bytes());
            written.extend_from_slice(part);
        }
        Ok(written.into())
    }
}

/// Reads the body of a parcel: messages as [`Packed::written`], one after the other.
pub(super) fn unpack(body: &Bytes) -> Result<Vec<Packed>, NoParcel> {
    if body.len() > BYTES_MAX {
        return Err(NoParcel::TooLarge);
    }
    let mut rest = Cursor::new(body);
    let mut messages = Vec::new();
    while rest.position() < body.len() as u64 {
        if messages.len() == MESSAGES_MAX {
            return Err(NoParcel::TooLarge);
        }
        let mut properties = next_part(body, &mut rest)?.to_vec();
        // Whoever may send to the queue may send what says that it is a parcel.
        guard::pass_properties(&mut properties);
        let (left, properties) = parse_properties(&properties[..]).map_err(|_| NoParcel::Properties)?;
        if !left.is_empty() {
            return Err(NoParcel::Properties);
        }
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
    use lapin::types::{AMQPValue, ByteArray, DecimalValue, FieldTable};
    use proptest::prelude::*;

    use super::*;

    fn with(value: AMQPValue) -> BasicProperties {
        let mut table = FieldTable::default();
        table.insert("x-mine".into(), value);
        BasicProperties::default().with_headers(table)
    }

    fn some() -> Vec<Packed> {
        let bytes = AMQPValue::ByteArray(ByteArray::from(&[0xff, 0x00][..]));
        let inner = with(AMQPValue::Double(1.0 / 3.0)).headers().clone().unwrap();
        let properties = [
            BasicProperties::default(),
            with(bytes).with_message_id("ä".into()).with_priority(3).with_timestamp(1_700_000_000),
            with(AMQPValue::FieldArray(vec![AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 7 })].into())),
            with(AMQPValue::FieldTable(inner)),
            with(AMQPValue::LongLongInt(i64::MIN)),
        ];
        let bodies = [&b""[..], b"{}", &[0; 300], b"\xff", b"last"];
        let packed = |(properties, body)| Packed { properties, body: Bytes::copy_from_slice(body) };
        properties.into_iter().zip(bodies).map(packed).collect()
    }

    fn parcel_of(messages: &[Packed]) -> Bytes {
        messages.iter().map(|message| message.written().unwrap()).collect::<Vec<_>>().concat().into()
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        assert_eq!(unpack(&parcel_of(&some())).unwrap(), some());
        assert!(some().iter().all(|message| message.written().unwrap().len() <= message.bytes_at_most()));
        assert_eq!(unpack(&Bytes::new()).unwrap(), []);
    }

    #[test]
    fn a_parcel_that_was_cut_is_none_wherever_it_was_cut() {
        let whole = parcel_of(&some());
        let ends: Vec<usize> = (1..=some().len()).map(|count| parcel_of(&some()[..count]).len()).collect();
        for length in 1..whole.len() {
            let read = unpack(&whole.slice(..length));
            assert_eq!(read.is_ok(), ends.contains(&length), "{length}: {read:?}");
        }
    }

    #[test]
    fn what_holds_more_than_we_pack_is_no_parcel() {
        let empty = Packed { properties: BasicProperties::default(), body: Bytes::new() };
        assert!(unpack(&parcel_of(&vec![empty.clone(); MESSAGES_MAX])).is_ok());
        assert!(matches!(unpack(&parcel_of(&vec![empty; MESSAGES_MAX + 1])), Err(NoParcel::TooLarge)));
        let large = Packed { properties: BasicProperties::default(), body: vec![0; BYTES_MAX].into() };
        assert!(matches!(unpack(&parcel_of(&[large])), Err(NoParcel::TooLarge)));
    }

    #[test]
    fn what_follows_the_properties_makes_them_none() {
        let mut written = parcel_of(&some()[..1]).to_vec();
        written[3] += 1;
        written.insert(6, 0);
        assert!(matches!(unpack(&written.into()), Err(NoParcel::Properties)));
    }

    #[test]
    fn properties_that_are_nested_too_deep_leave_stack_enough() {
        let levels = 10_000;
        let list = (0..levels).flat_map(|level| [&b"A"[..], &u32::to_be_bytes(5 * (levels - 1 - level))].concat());
        let table = [&[1, b'a'], &list.collect::<Vec<u8>>()[..]].concat();
        let properties = [&[0x20, 0], &u32::try_from(table.len()).unwrap().to_be_bytes()[..], &table].concat();
        let length = u32::try_from(properties.len()).unwrap().to_be_bytes();
        let parcel = [&length[..], &properties, &[0, 0, 0, 0]].concat();
        assert_eq!(unpack(&parcel.into()).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read = unpack(&Bytes::from(bytes));
        }
    }
}
