//! Whose a message seems to be, by a quick look: enough to choose by, never to act on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::id::TeamId;

/// Longer bodies are not looked into: an async thread may be held for less than the time that it takes.
const LOOK_BYTES_MAX: usize = 256 * 1024;

#[derive(Deserialize)]
struct Looked<'a> {
    #[serde(borrow, default)]
    team: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<Inner<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Inner<'a> {
    Task {
        #[serde(borrow)]
        team: Cow<'a, str>,
    },
    Other(serde::de::IgnoredAny),
}

/// The team that a message names in its attributes, its body or its CloudEvents envelope.
#[must_use]
pub fn whose(body: &[u8], attributes: &BTreeMap<String, String>) -> Option<TeamId> {
    if let Some(team) = attributes.get("team") {
        return TeamId::new(team).ok();
    }
    if body.len() > LOOK_BYTES_MAX {
        return None;
    }
    let looked: Looked<'_> = serde_json::from_slice(body).ok()?;
    let inner = looked.data.and_then(|inner| match inner {
        Inner::Task { team } => Some(team),
        Inner::Other(_) => None,
    });
    TeamId::new(looked.team.or(inner)?.as_ref()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_team_is_found_where_senders_put_it() {
        let none = BTreeMap::new();
        let beside = BTreeMap::from([("team".to_owned(), "beside".to_owned())]);
        let found = |body: &str, attributes| whose(body.as_bytes(), attributes).map(|team| team.to_string());
        assert_eq!(found("{bad", &beside).as_deref(), Some("beside"));
        assert_eq!(found(r#"{"task_id":"t","attachments":["x"],"team":"acme"}"#, &none).as_deref(), Some("acme"));
        assert_eq!(found(r#"{"specversion":"1.0","data":{"a":1,"team":"in"}}"#, &none).as_deref(), Some("in"));
        for body in ["{bad", "[]", "{}", r#"{"team":7}"#, r#"{"team":"Not An Id"}"#, r#"{"data":[1,2]}"#] {
            assert_eq!(found(body, &none), None, "{body}");
        }
    }
}
