//! The message of one delivery: names only, never bodies or secrets.
//!
//! How many tries were sent is the message's counted attempts; with the time of its creation that is its place in the schedule.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::domain::id::{TaskId, TeamId};

/// What such a message says of itself, so that no task is ever taken for one.
const TYPE: &str = "webhook";

/// A delivery that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Whose completion it is.
    pub team: TeamId,
    /// The task that ended.
    pub task_id: TaskId,
    /// Which round of it, from 1.
    pub round: u32,
    /// Where to.
    pub url: Url,
    /// The completion's id, the same over all tries.
    pub event_id: String,
    /// When the delivery was handed on.
    pub created_at: Timestamp,
}

impl Pending {
    /// The message's body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut message = match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            Ok(_) | Err(_) => unreachable!("a delivery is a JSON object with text keys"),
        };
        message.insert("type".to_owned(), TYPE.into());
        Value::Object(message).to_string().into_bytes()
    }

    /// Reads a message of the webhook queue.
    ///
    /// # Errors
    /// What is wrong, in words that quote nothing of it.
    pub fn decode(body: &[u8]) -> Result<Self, &'static str> {
        let message: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON")?;
        if message.get("type").and_then(Value::as_str) != Some(TYPE) {
            return Err("type is not webhook: only deliveries of webhooks are taken from this queue");
        }
        let pending: Self = serde_json::from_value(message)
            .map_err(|_| "one of team, task_id, round, url, event_id and created_at is missing or wrong")?;
        let is_web = matches!(pending.url.scheme(), "http" | "https") && pending.url.has_host();
        if is_web { Ok(pending) } else { Err("url is no http or https URL") }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A delivery of the receipt of this layer's tests.
    pub(crate) fn pending(url: &str) -> Pending {
        Pending {
            team: TeamId::new("acme").expect("good"),
            task_id: TaskId::new("t-1").expect("good"),
            round: 1,
            url: Url::parse(url).expect("a URL"),
            event_id: "evt_1".to_owned(),
            created_at: "2026-11-21T20:10:00.123Z".parse().expect("a time"),
        }
    }

    #[test]
    fn a_delivery_reads_back_as_it_was_written() {
        let pending = pending("https://u:p@h.com/hook?x=1");
        assert_eq!(Pending::decode(&pending.encode()), Ok(pending));
    }

    #[test]
    fn what_is_no_delivery_is_refused_and_nothing_of_it_is_quoted() {
        let changed = |field: &str, value: Value| {
            let mut message: Value = serde_json::from_slice(&pending("https://h/x").encode()).expect("JSON");
            message[field] = value;
            message.to_string()
        };
        let task = r#"{"task_id":"t","team":"acme","attachments":["https://secret/?token=1"]}"#;
        for (body, part) in [
            ("", "not JSON"),
            ("[]", "type is not webhook"),
            (task, "type is not webhook"),
            (&changed("team", "No Team?secret".into()), "one of team"),
            (&changed("round", "secret".into()), "one of team"),
            (&changed("url", "secret".into()), "one of team"),
            (&changed("url", "ftp://secret/".into()), "no http"),
            (&changed("url", "mailto:secret@h".into()), "no http"),
        ] {
            let said = Pending::decode(body.as_bytes()).expect_err(body);
            assert!(said.contains(part) && !said.contains("secret"), "{body}: {said}");
        }
    }
}
