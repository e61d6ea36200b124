//! Attributes as JSON, for those that SQS has no room for or does not take.
//!
//! `{"name":"text","count":{"type":"Number","text":"7"},"blob":{"type":"Binary","base64":"AP8="}}`

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use super::attributes::Value;

/// The sender's attributes, of any type.
pub(super) type Values = BTreeMap<String, Value>;

/// Writes attributes as a JSON object.
pub(super) fn to_json(values: &Values) -> Json {
    let written = |value: &Value| match value {
        Value::Text { kind, text } if kind == "String" => json!(text),
        Value::Text { kind, text } => json!({"type": kind, "text": text}),
        Value::Binary { kind, bytes } => json!({"type": kind, "base64": STANDARD.encode(bytes)}),
    };
    let members: Map<_, _> = values.iter().map(|(name, value)| (name.clone(), written(value))).collect();
    Json::Object(members)
}

/// Reads what [`to_json`] wrote; what cannot be read is left out.
pub(super) fn from_json(json: &Json) -> Values {
    let members = json.as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), read(value)?))).collect()
}

fn read(json: &Json) -> Option<Value> {
    if let Some(text) = json.as_str() {
        return Some(Value::text(text));
    }
    let kind = json.get("type")?.as_str()?.to_owned();
    if let Some(text) = json.get("text") {
        let text = text.as_str()?.to_owned();
        return Some(Value::Text { kind, text });
    }
    let bytes = STANDARD.decode(json.get("base64")?.as_str()?).ok()?.into();
    Some(Value::Binary { kind, bytes })
}

/// A JSON document as text that SQS takes: the two characters that JSON allows and SQS does not are escaped.
pub(super) fn to_text(json: &Json) -> String {
    json.to_string().replace('\u{FFFE}', "\\ufffe").replace('\u{FFFF}', "\\uffff")
}

#[cfg(test)]
mod tests {
    use super::super::attributes::is_allowed_text;
    use super::*;

    #[test]
    fn attributes_of_every_type_come_back() {
        let values: Values = [
            ("a", Value::text("")),
            ("b \0", Value::text("\0 \u{FFFE} ✓ \"")),
            ("c", Value::number(7)),
            ("d", Value::binary(vec![0, 255].into())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let text = to_text(&to_json(&values));
        assert!(is_allowed_text(&text), "{text}");
        assert_eq!(from_json(&serde_json::from_str(&text).unwrap()), values);
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let json = json!({"a": 1, "b": {"type": "Binary", "base64": "?"}, "c": "x", "d": {}});
        assert_eq!(from_json(&json), [("c".to_owned(), Value::text("x"))].into());
        assert_eq!(from_json(&json!([])), Values::new());
    }
}
