//! The event that tells upstream what became of a task, built from the receipt alone: the same receipt always gives the same
//! bytes, so one event id never has two contents.

use serde_json::{Map, Value, json};

use super::receipt::{Receipt, written_time};

/// A body above this many bytes is cut (Standard Webhooks asks for less than 20 kB).
pub const BODY_BYTES_MAX: usize = 20_000;
/// Metadata above this many bytes is left out of a body that must be cut.
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// What stands in the receipt and not in the completion.
const RECEIPT_ONLY: &[&str] = &["event_id", "round", "task_digest", "began_by"];

/// Returns the completion's kind, `task.completed` and the like.
#[must_use]
pub fn kind(receipt: &Receipt) -> String {
    format!("task.{}", receipt.status.as_str())
}

/// Returns the completion's `data`: the receipt less what tells receipts apart.
#[must_use]
pub fn data(receipt: &Receipt) -> Map<String, Value> {
    let mut data = match serde_json::to_value(receipt) {
        Ok(Value::Object(map)) => map,
        Ok(_) | Err(_) => unreachable!("a receipt is a JSON object with text keys"),
    };
    data.retain(|key, _| !RECEIPT_ONLY.contains(&key.as_str()));
    data
}

/// Returns the completion's body. Above [`BODY_BYTES_MAX`] the attachments, and metadata above 8 KiB, give way to the
/// receipt's URI, where both stand whole.
#[must_use]
pub fn body(receipt: &Receipt, receipt_uri: &str) -> Vec<u8> {
    let data = data(receipt);
    let whole = envelope(receipt, &data).to_string().into_bytes();
    if whole.len() <= BODY_BYTES_MAX {
        return whole;
    }
    envelope(receipt, &cut(data, receipt_uri)).to_string().into_bytes()
}

/// Returns `data` with the receipt's URI in the place of what makes it large.
#[must_use]
pub fn cut(data: Map<String, Value>, receipt_uri: &str) -> Map<String, Value> {
    let large_metadata = data.get("metadata").is_some_and(|value| value.to_string().len() > METADATA_BYTES_MAX);
    let mut kept = Map::new();
    for (key, value) in data {
        match key.as_str() {
            "attachments" => kept.insert("attachments_uri".to_owned(), json!(receipt_uri)),
            "metadata" if large_metadata => kept.insert("metadata_uri".to_owned(), json!(receipt_uri)),
            _ => kept.insert(key, value),
        };
    }
    kept
}

/// Returns the body as JSON, in the shape of Standard Webhooks.
#[must_use]
pub fn envelope(receipt: &Receipt, data: &Map<String, Value>) -> Value {
    json!({"type": kind(receipt), "timestamp": written_time(receipt.finished_at), "data": data})
}

#[cfg(test)]
mod tests {
    use super::super::receipt::tests::receipt;
    use super::*;

    fn read(receipt: &Receipt) -> Value {
        serde_json::from_slice(&body(receipt, "s3://b/acme/receipts/t-1.json")).expect("JSON")
    }

    #[test]
    fn a_small_body_holds_everything_but_the_receipts_own_fields() {
        let body = read(&receipt());
        assert_eq!(body["type"], "task.failed");
        assert_eq!(body["timestamp"], "2026-11-21T20:10:00.123Z");
        for (at, expected) in [
            ("2026-11-21T20:10:00Z", "2026-11-21T20:10:00.000Z"),
            ("2026-11-21T20:10:00.48Z", "2026-11-21T20:10:00.480Z"),
        ] {
            assert_eq!(written_time(at.parse().expect("a time")), expected);
        }
        assert_eq!(body["data"]["attachments"][0]["error"]["code"], "not_found");
        assert_eq!(body["data"]["attachments"][0]["url"], "https://h.com/a.jpg");
        for field in RECEIPT_ONLY {
            assert!(body["data"].get(field).is_none(), "{field}");
        }
    }

    #[test]
    fn many_attachments_give_way_to_the_receipts_uri() {
        let mut receipt = receipt();
        receipt.attachments = vec![receipt.attachments[0].clone(); 200];
        receipt.metadata = Some(json!({"k": "v"}));
        let body = read(&receipt);
        assert!(body["data"].get("attachments").is_none());
        assert_eq!(body["data"]["attachments_uri"], "s3://b/acme/receipts/t-1.json");
        assert_eq!(body["data"]["metadata"]["k"], "v");
    }

    #[test]
    fn large_metadata_gives_way_too_and_the_body_stays_small() {
        let mut receipt = receipt();
        receipt.metadata = Some(json!("x".repeat(500_000)));
        let bytes = body(&receipt, "file:///r");
        assert!(bytes.len() < BODY_BYTES_MAX);
        assert_eq!(read(&receipt)["data"]["metadata_uri"], "s3://b/acme/receipts/t-1.json");
    }
}
