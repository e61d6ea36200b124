//! A webhook's body in the team's format, built from the receipt alone.
//!
//! What is too large gives way to the receipt's address, as in events, and where the store can to a link that opens it. That
//! link is signed at each try and is no part of the completion.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::domain::completion::{self, BODY_BYTES_MAX};
use crate::domain::receipt::{Outcome, Receipt, Status};
use crate::domain::team::CallbackFormat;

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A link that opens the receipt for a while, whoever has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// The signed URL: a credential.
    pub url: String,
    /// When it opens nothing any more.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Returns the whole body; `None` if it is too large to be sent.
#[must_use]
pub fn whole(receipt: &Receipt, format: CallbackFormat) -> Option<Body> {
    let data = completion::data(receipt);
    let body = written(receipt, format, &data, None);
    (body.bytes.len() <= BODY_BYTES_MAX).then_some(body)
}

/// Returns the body without what makes it large, which stands whole at `receipt_uri` and opens with `link`.
#[must_use]
pub fn cut(receipt: &Receipt, format: CallbackFormat, receipt_uri: &str, link: Option<&Link>) -> Body {
    let mut data = completion::cut(completion::data(receipt), receipt_uri);
    if let Some(link) = link {
        data.insert("attachments_url".to_owned(), json!(link.url));
        data.insert("attachments_url_expires_at".to_owned(), json!(link.expires_at));
    }
    let elsewhere: Map<String, Value> = data
        .iter()
        .filter(|(key, _)| key.starts_with("attachments_"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    written(receipt, format, &data, Some(&elsewhere))
}

fn written(
    receipt: &Receipt, format: CallbackFormat, data: &Map<String, Value>, elsewhere: Option<&Map<String, Value>>,
) -> Body {
    let (content_type, value) = match format {
        CallbackFormat::Standard => ("application/json", completion::envelope(receipt, data)),
        CallbackFormat::Cloudevents => ("application/cloudevents+json; charset=utf-8", cloudevent(receipt, data)),
        CallbackFormat::Scale => ("application/json", scale(receipt, data, elsewhere)),
    };
    Body { content_type, bytes: value.to_string().into_bytes() }
}

/// CloudEvents 1.0, structured mode.
fn cloudevent(receipt: &Receipt, data: &Map<String, Value>) -> Value {
    json!({
        "specversion": "1.0", "id": receipt.event_id, "source": format!("/longshore/{}", receipt.team),
        "type": completion::kind(receipt), "subject": receipt.task_id, "time": receipt.finished_at,
        "datacontenttype": "application/json", "data": data,
    })
}

/// What receivers of Scale's callbacks read: the task, and what became of it; a failure names each status and URL.
fn scale(receipt: &Receipt, data: &Map<String, Value>, elsewhere: Option<&Map<String, Value>>) -> Value {
    let status = match receipt.status {
        Status::Completed => "completed",
        Status::Partial | Status::Failed => "error",
    };
    let mut task = data.clone();
    task.insert("status".to_owned(), json!(status));
    task.insert("created_at".to_owned(), json!(receipt.started_at));
    task.insert("completed_at".to_owned(), json!(receipt.finished_at));
    let mut response = match elsewhere {
        Some(elsewhere) => elsewhere.clone(),
        None => Map::from_iter([("attachments".to_owned(), attachments(receipt))]),
    };
    if receipt.status != Status::Completed {
        response.insert("error".to_owned(), json!("One or more attachments could not be downloaded."));
    }
    json!({"task": task, "response": response, "task_id": receipt.task_id})
}

/// The copies of a task that was stored whole, else what failed.
fn attachments(receipt: &Receipt) -> Value {
    let shown = receipt.attachments.iter().filter_map(|outcome| match receipt.status {
        Status::Completed => Some(json!({"url": outcome.url, "object": outcome.object})),
        Status::Partial | Status::Failed => failure(outcome),
    });
    shown.collect()
}

fn failure(outcome: &Outcome) -> Option<Value> {
    let error = outcome.error.as_ref()?;
    Some(json!({"statusCode": error.http_status, "url": outcome.url}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::receipt::tests::{receipt, stored};

    const FORMATS: [CallbackFormat; 3] = [CallbackFormat::Standard, CallbackFormat::Scale, CallbackFormat::Cloudevents];
    const URI: &str = "s3://b/acme/receipts/t-1.json";

    fn read(body: &Body) -> Value {
        serde_json::from_slice(&body.bytes).expect("JSON")
    }

    fn large() -> Receipt {
        let mut receipt = receipt();
        receipt.attachments = vec![receipt.attachments[0].clone(); 200];
        receipt
    }

    fn link() -> Link {
        Link {
            url: "https://b.s3/r?X-Amz-Signature=x".into(),
            expires_at: "2026-11-22T00:00:00Z".parse().expect("a time"),
        }
    }

    #[test]
    fn a_small_standard_body_is_the_events_body() {
        let body = whole(&receipt(), CallbackFormat::Standard).expect("small");
        assert_eq!(body.bytes, completion::body(&receipt(), URI));
        assert_eq!(body.content_type, "application/json");
    }

    #[test]
    fn a_cloudevent_has_the_required_attributes_and_the_completions_data() {
        let body = whole(&receipt(), CallbackFormat::Cloudevents).expect("small");
        let event = read(&body);
        assert!(body.content_type.starts_with("application/cloudevents+json"));
        assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!(receipt().event_id)));
        assert_eq!((&event["type"], &event["source"]), (&json!("task.failed"), &json!("/longshore/acme")));
        assert_eq!(event["data"], Value::Object(completion::data(&receipt())));
        let lower = |name: &String| name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_lowercase());
        assert!(event.as_object().expect("an object").keys().all(lower));
    }

    #[test]
    fn a_scale_failure_names_status_and_url() {
        let body = read(&whole(&receipt(), CallbackFormat::Scale).expect("small"));
        let expected = json!({
            "error": "One or more attachments could not be downloaded.",
            "attachments": [{"statusCode": 404, "url": "https://h.com/a.jpg"}],
        });
        assert_eq!((&body["response"], &body["task_id"]), (&expected, &json!("t-1")));
        assert_eq!((&body["task"]["status"], &body["task"]["task_id"]), (&json!("error"), &json!("t-1")));
    }

    #[test]
    fn a_scale_success_names_the_copies() {
        let receipt = stored();
        let body = read(&whole(&receipt, CallbackFormat::Scale).expect("small"));
        assert_eq!(body["task"]["status"], "completed");
        assert_eq!(body["response"]["attachments"][0]["object"]["uri"], "s3://b/acme/objects/o");
        assert!(body["response"].get("error").is_none());
    }

    #[test]
    fn what_is_too_large_gives_way_to_the_receipts_address_and_a_link_in_every_format() {
        for format in FORMATS {
            assert_eq!(whole(&large(), format), None);
            for link in [None, Some(link())] {
                let body = cut(&large(), format, URI, link.as_ref());
                assert!(body.bytes.len() < BODY_BYTES_MAX);
                let body = read(&body);
                let data = if format == CallbackFormat::Scale { &body["task"] } else { &body["data"] };
                assert_eq!(data["attachments_uri"], URI);
                assert!(data.get("attachments").is_none());
                assert_eq!(data["attachments_url"].as_str(), link.as_ref().map(|link| link.url.as_str()));
                assert_eq!(data.get("attachments_url_expires_at").is_some(), link.is_some());
                if format == CallbackFormat::Scale {
                    assert_eq!(body["response"]["attachments_uri"], URI);
                    assert!(body["response"]["error"].is_string());
                }
            }
        }
    }

    #[test]
    fn without_a_link_a_cut_standard_body_is_the_events_body() {
        let body = cut(&large(), CallbackFormat::Standard, URI, None);
        assert_eq!(body.bytes, completion::body(&large(), URI));
    }
}
