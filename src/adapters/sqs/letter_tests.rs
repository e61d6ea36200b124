use super::*;
use crate::domain::settlement::{DeadLetter, Reason};

fn parcel(attributes: usize) -> Parcel {
    let named = |number: usize| (format!("a{number:02}"), Value::text(number.to_string()));
    Parcel {
        id: "t-1".to_owned(),
        body: Bytes::from_static(b"{}"),
        attributes: (0..attributes).map(named).collect(),
        sent_ms: Some(5),
        ..Parcel::default()
    }
}

fn delivered(letter: &Letter) -> Message {
    let attributes = letter.attributes.iter();
    let attributes = attributes.map(|(name, value)| (name.clone(), value.to_wire().unwrap())).collect();
    Message::builder().message_id("m-1").body(&letter.body).set_message_attributes(Some(attributes)).build()
}

fn buried(parcel: &Parcel, detail: &str) -> Parcel {
    let letter = DeadLetter { reason: Reason::Undecodable, detail: detail.to_owned(), attempts: 0 };
    parcel.buried(&letter, None, "2026-11-21T20:10:00.123Z".parse().unwrap())
}

#[test]
fn ten_attributes_of_the_senders_come_back_from_a_dead_letter() {
    for count in [0, 5, 6, 9, 10] {
        let mut original = parcel(count);
        original.attributes.insert("team".to_owned(), Value::text("acme"));
        let mut dead = buried(&original, "task_id");
        dead.dead.as_mut().unwrap().queue = (count == 9).then(|| "webhooks".to_owned());
        let letter = Letter::of(&dead);
        assert!(letter.attributes.len() <= ATTRIBUTES_MAX, "{:?}", letter.attributes);
        assert_eq!(letter.attributes["team"], Value::text("acme"), "others read the team");
        let read = read(&delivered(&letter));
        assert_eq!(read, dead);
        assert_eq!(read.raised(), original);
    }
}

#[test]
fn the_names_of_the_interface_stand_beside_a_dead_letter() {
    let letter = Letter::of(&buried(&parcel(1), "why\0"));
    let text = |name: &str| letter.attributes[name].as_text().unwrap();
    assert_eq!(text("longshore-reason"), "undecodable");
    assert_eq!(text("longshore-detail"), "why\u{FFFD}");
    assert_eq!(text("longshore-attempts"), "0");
    assert_eq!(text("longshore-failed-at"), "2026-11-21T20:10:00.123Z");
    assert_eq!(letter.body, "{}");
}

#[test]
fn bodies_and_attributes_that_sqs_does_not_take_survive() {
    for body in [&b""[..], b"\0", b"\xff\xfe", "\u{FFFE}".as_bytes(), b"plain"] {
        let mut original = parcel(2);
        original.body = Bytes::copy_from_slice(body);
        original.attributes.insert("größe".to_owned(), Value::text("1"));
        original.attributes.insert("empty".to_owned(), Value::text(""));
        let letter = Letter::of(&original);
        assert!(!letter.body.is_empty() && is_allowed_text(&letter.body));
        for (name, value) in &letter.attributes {
            assert!(is_allowed_name(name) && value.is_allowed(), "{name}: {value:?}");
        }
        assert_eq!(read(&delivered(&letter)), original);
    }
}

#[test]
fn attempts_waits_and_unfinished_deliveries_travel_with_a_copy() {
    let copy = parcel(1).handed_back(3, Some(99)).retried(2, Some(77));
    assert_eq!(read(&delivered(&Letter::of(&copy))), copy);
    let back = parcel(1).handed_back(3, None);
    assert_eq!(read(&delivered(&Letter::of(&back))).unfinished, 3);
}

#[test]
fn a_message_that_is_not_from_us_has_sqss_id() {
    let read = read(&Message::builder().message_id("m-1").body("x").build());
    assert_eq!((read.id.as_str(), read.attempts, read.unfinished), ("m-1", 0, 0));
    assert_eq!(read.dead, None);
}

#[test]
fn size_counts_names_types_and_values() {
    let letter = Letter {
        body: "12345".to_owned(),
        attributes: [("ab".to_owned(), Value::text("xyz"))].into(),
        trace: None,
        group: None,
    };
    assert_eq!(letter.size(), 5 + 2 + "String".len() + 3);
}
