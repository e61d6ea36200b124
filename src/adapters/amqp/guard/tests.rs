use lapin::BasicProperties;
use lapin::protocol::basic::{gen_properties, parse_properties};
use lapin::types::{AMQPValue, DecimalValue, FieldTable};
use proptest::prelude::*;

use super::*;

/// A list in a table in a list, and so on; in them and beside them are other values.
fn nested(levels: usize) -> BasicProperties {
    let mut value = AMQPValue::FieldArray(vec![AMQPValue::LongInt(7)].into());
    for level in 1..levels {
        value = match level % 2 {
            0 => AMQPValue::FieldArray(vec![AMQPValue::Void, value, AMQPValue::Boolean(true)].into()),
            _ => AMQPValue::FieldTable(table([("in", value), ("text", AMQPValue::LongString("AAAA".into()))])),
        };
    }
    let decimal = AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 700 });
    let headers = table([("a", AMQPValue::LongLongInt(-1)), ("deep", value), ("z", decimal)]);
    let properties = BasicProperties::default().with_content_type("application/json".into()).with_headers(headers);
    properties.with_delivery_mode(2).with_priority(3).with_timestamp(0xFFFF).with_message_id("ä€𝄞".into())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn written(properties: &BasicProperties) -> Vec<u8> {
    let (written, _) = cookie_factory::r#gen(gen_properties(properties), Vec::new()).expect("they can be written");
    written
}

/// Reads properties as the library does.
fn read(properties: &[u8]) -> Option<BasicProperties> {
    parse_properties(properties).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, read)| read)
}

/// A frame of this kind.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    [&[kind, 0, 1], &length[..], payload, &[0xCE]].concat()
}

fn header_frame(properties: &[u8]) -> Vec<u8> {
    frame(HEADER_FRAME, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], properties].concat())
}

/// A delivery by this routing key.
fn deliver(routing_key: &[u8]) -> Vec<u8> {
    let key = [&[u8::try_from(routing_key.len()).expect("it is short")], routing_key].concat();
    frame(METHOD_FRAME, &[&DELIVER[..], b"\x04ctag", &[0xFF; 9], b"\x01e", &key].concat())
}

/// How many levels of lists and tables a value has.
fn levels(value: &AMQPValue) -> usize {
    let inner: usize = match value {
        AMQPValue::FieldArray(list) => list.as_slice().iter().map(levels).max().unwrap_or(0),
        AMQPValue::FieldTable(table) => table.inner().values().map(levels).max().unwrap_or(0),
        _ => return 0,
    };
    inner + 1
}

fn passed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    Guard::default().pass(&mut bytes);
    bytes
}

#[test]
fn what_lies_too_deep_becomes_bytes_and_all_else_stays() {
    let most = LEVELS_MAX - 1;
    for (deep, left) in [(1, 1), (most, most), (LEVELS_MAX, most), (80, most)] {
        let mut properties = written(&nested(deep));
        pass_properties(&mut properties);
        let read = read(&properties).expect("they are properties");
        let headers = read.headers().clone().expect("with headers");
        assert_eq!(levels(&headers.inner()["deep"]), left, "of {deep}");
        assert_eq!(headers.inner()["a"], AMQPValue::LongLongInt(-1));
        assert_eq!(read.message_id(), nested(1).message_id());
        if deep < LEVELS_MAX {
            assert_eq!(read, nested(deep));
        }
    }
}

#[test]
fn what_is_no_text_becomes_one_wherever_it_stands() {
    let good = written(&nested(3));
    for (name, at) in [("json", 1), ("deep", 1), ("text", 1), ("in", 1), ("𝄞", 0), ("𝄞", 3)] {
        let place = good.windows(name.len()).position(|bytes| bytes == name.as_bytes()).expect("it is there") + at;
        for bad in [0x80, 0xC3, 0xE0, 0xF4, 0xFF] {
            let mut properties = good.clone();
            properties[place.min(good.len() - 1)] = bad;
            pass_properties(&mut properties);
            assert!(read(&properties).is_some(), "{bad:x} in {name}");
        }
    }
    let key = &passed(&deliver(b"a.\xE4\xC3"))[28..];
    assert_eq!(key, b"a.??\xCE", "as far as it stands behind all else");
}

#[test]
fn a_stream_is_followed_in_pieces_of_any_length() {
    let frames = [
        (deliver("tasks.ä".as_bytes()), false),
        (header_frame(&written(&nested(80))), true),
        (frame(3, b"\x02\0\x01 a body \xFF AAAA"), false),
        (deliver(b"tasks.\xFC"), true),
        (header_frame(&written(&BasicProperties::default().with_message_id("m".into()))), false),
        (frame(8, b""), false),
        (header_frame(&written(&nested(3))), false),
        (frame(METHOD_FRAME, b"\0\x0A\0\x0A\xFF\xFF the broker's"), false),
        (header_frame(&written(&nested(70))), true),
    ];
    for (nth, (frame, is_changed)) in frames.iter().enumerate() {
        assert_eq!(passed(frame) != *frame, *is_changed, "frame {nth}");
    }
    let whole = frames.iter().map(|(frame, _)| frame.clone()).collect::<Vec<_>>().concat();
    let expected = frames.iter().map(|(frame, _)| passed(frame)).collect::<Vec<_>>().concat();
    for length in 1..50 {
        let mut stream = whole.clone();
        let mut guard = Guard::default();
        stream.chunks_mut(length).for_each(|piece| guard.pass(piece));
        assert_eq!(stream, expected, "in pieces of {length}");
    }
}

#[test]
fn a_broker_that_speaks_something_else_is_passed_on() {
    assert_eq!(passed(b"AMQP\0\0\x09\x01 and more"), b"AMQP\0\0\x09\x01 and more");
}

/// Bytes among which those that mean something are many.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'A'), Just(b'F'), Just(b'S'), Just(0), Just(1), Just(5), any::<u8>()];
    proptest::collection::vec(byte, 0..400)
}

proptest! {
    #[test]
    fn a_text_is_changed_where_it_is_none_and_keeps_its_length(text in bytes()) {
        let whole = &text[..text.len().min(255)];
        let mut guarded = Text { left: u8::try_from(whole.len()).unwrap(), ..Text::default() };
        let passed: Vec<u8> = whole.iter().map(|byte| guarded.pass(*byte)).collect();
        prop_assert!(std::str::from_utf8(&passed).is_ok(), "{passed:x?}");
        if std::str::from_utf8(whole).is_ok() {
            prop_assert_eq!(&passed, whole);
        }
    }

    #[test]
    fn whatever_comes_in_a_table_is_taken_or_refused_and_never_deeper(bytes in bytes(), deep in 0usize..80) {
        // So many lists, each of the length that is left, and then anything.
        let mut table = vec![1, b'a'];
        for level in 0..deep {
            let length = u32::try_from(bytes.len() + 5 * (deep - 1 - level)).unwrap();
            table.extend([&b"A"[..], &length.to_be_bytes()].concat());
        }
        table.extend(&bytes);
        let length = u32::try_from(table.len()).unwrap().to_be_bytes();
        let mut properties = [&[0x20, 0], &length[..], &table].concat();
        pass_properties(&mut properties);
        let headers = read(&properties).and_then(|read| read.headers().clone());
        for value in headers.iter().flat_map(|headers| headers.inner().values()) {
            prop_assert!(levels(value) < LEVELS_MAX);
        }
    }

    #[test]
    fn whatever_comes_keeps_its_length(bytes in bytes()) {
        for start in [&b""[..], &[HEADER_FRAME, 0, 1, 0, 0, 0, 200], &[METHOD_FRAME, 0, 1, 0, 0, 0, 200, 0, 60, 0, 60]] {
            let whole = [start, &bytes].concat();
            prop_assert_eq!(passed(&whole).len(), whole.len());
        }
    }
}
