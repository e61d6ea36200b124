//! A team's record as a directory gives it: JSON with the keys of a table of the teams file, read by the same rules.
//!
//! Secrets stand in it as they are. A reference (`env:`, `file:`) would let a directory read what this machine keeps, and is a
//! mistake.

use serde_json::{Map, Value};

use super::directory::read_one;
use super::secrets::Secrets;
use crate::domain::id::TeamId;
use crate::domain::team::Team;

/// Reads a body that must be one JSON object.
///
/// # Errors
/// For what is none: whoever answered is no directory.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    let record = serde_json::from_slice(body);
    record.map_err(|_| "what it answered is no JSON object".to_owned())
}

/// Reads a record.
///
/// # Errors
/// Every mistake, in words that quote no secret.
pub(super) fn read(id: &TeamId, record: Map<String, Value>, role_name: &str) -> Result<Team, String> {
    let table = toml::Table::from_iter([(id.to_string(), toml::Value::Table(table(record)?))]);
    // The reader of teams files knows lines; those of a text that nobody has seen say nothing.
    read_one(&table.to_string(), id, role_name, &Secrets::Literal)
}

/// The same as a table; what is null is not there.
fn table(object: Map<String, Value>) -> Result<toml::Table, String> {
    let given = object.into_iter().filter(|(_, value)| !value.is_null());
    given.map(|(key, value)| Ok((key, value_of(value)?))).collect()
}

fn value_of(value: Value) -> Result<toml::Value, String> {
    Ok(match value {
        Value::Null => return Err("a list holds null".to_owned()),
        Value::Bool(flag) => toml::Value::Boolean(flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => toml::Value::Integer(whole),
            (None, Some(fraction)) => toml::Value::Float(fraction),
            (None, None) => return Err("a number is out of all bounds".to_owned()),
        },
        Value::String(text) => toml::Value::String(text),
        Value::Array(items) => toml::Value::Array(items.into_iter().map(value_of).collect::<Result<_, _>>()?),
        Value::Object(object) => toml::Value::Table(table(object)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Team, String> {
        let id = TeamId::new("acme").unwrap();
        read(&id, object(text.as_bytes())?, "Longshore-Integration")
    }

    fn check_mistake(text: &str, says: &str) {
        let mistakes = read_text(text).expect_err(text);
        assert!(mistakes.contains(says) && !mistakes.contains("hush"), "{text}: {mistakes}");
        assert!(!mistakes.contains("line"), "{mistakes}");
    }

    #[test]
    fn a_record_has_the_keys_of_a_teams_file() {
        let team = read_text(
            r#"{"normalize": "original", "unknown": null,
                "aws": {"account_id": "111122223333", "external_id": "6f1d-x", "buckets": ["acme-raw", "acme-*"]},
                "callback": {"url": "https://acme.com/h\"\u0000x", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "previous_secret": null},
                "http": {"allowed_hosts": ["CDN.acme.com"]}, "limits": {"in_flight": 3}}"#,
        );
        let team = team.unwrap();
        assert_eq!(team.normalize.as_deref(), Some("original"));
        let aws = team.aws.unwrap();
        assert_eq!(aws.role_arn.as_deref(), Some("arn:aws:iam::111122223333:role/Longshore-Integration"));
        assert_eq!(aws.buckets, ["acme-raw", "acme-*"]);
        assert_eq!(team.allowed_hosts, ["cdn.acme.com"]);
        assert_eq!(team.limits.in_flight, Some(3));
        assert!(team.callback.unwrap().secret.is_some());
        assert_eq!(read_text("{}"), Ok(Team::default()));
    }

    #[test]
    fn what_breaks_the_rules_is_a_mistake_and_what_is_no_object_is_no_record() {
        check_mistake(r#"{"colour": 1}"#, "colour is no key");
        check_mistake(r#"{"aws": {"role_arn": "arn:aws:iam::111122223333:role/x"}}"#, "aws.external_id is missing");
        check_mistake(r#"{"limits": {"weight": 1.5}}"#, "limits.weight must be a whole number");
        check_mistake(r#"{"http": {"allowed_hosts": [null]}}"#, "a list holds null");
        for none in ["", "[]", "null", "<html>hush</html>", r#"{"normalize": "orig"#, r#"{} {}"#] {
            assert_eq!(read_text(none), Err("what it answered is no JSON object".to_owned()), "{none}");
        }
    }

    #[test]
    fn a_secret_is_text_and_never_a_reference_into_our_machine() {
        for secret in ["env:HUSH", "file:/etc/hush"] {
            let text = format!(r#"{{"callback": {{"auth_key": "{secret}"}}}}"#);
            check_mistake(&text, "callback.auth_key must be the secret itself");
        }
        let long = format!(r#"{{"callback": {{"auth_key": "{}"}}}}"#, "hush".repeat(20_000));
        check_mistake(&long, "callback.auth_key");
    }
}
