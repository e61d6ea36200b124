//! Messages that must end in the dead-letter queue, each with its reason.

use serde_json::json;

use super::expect::{End, Sent};

/// One of each kind; `host` is an origin's address.
pub(crate) fn all(host: &str) -> Vec<Sent> {
    let url = format!("http://{host}/blob/never?size=1");
    let mut bad = undecodable(&url);
    bad.extend(undecodable_names(&url));
    let lost = json!({"task_id": "lost", "team": "nobody-knows", "attachments": [url]});
    bad.push(("unknown-team", lost.to_string().into_bytes(), "unknown_team", "nobody-knows"));
    bad.into_iter()
        .map(|(name, body, reason, detail)| Sent::new(format!("bad-{name}"), body, End::Dead { reason, detail }))
        .collect()
}

type Row = (&'static str, Vec<u8>, &'static str, &'static str);

fn undecodable(url: &str) -> Vec<Row> {
    let many: Vec<String> = (0..10_001).map(|number| format!("http://h/{number}")).collect();
    let row = |name, body: serde_json::Value, field| (name, body.to_string().into_bytes(), "undecodable", field);
    vec![
        ("no-json", b"{\"task_id\": ".to_vec(), "undecodable", ""),
        ("empty", b" ".to_vec(), "undecodable", ""),
        ("no-text", vec![0xff, 0xfe, 0x00, 0x80, b'{'], "undecodable", ""),
        ("a-list", b"[1,2]".to_vec(), "undecodable", ""),
        (
            "many",
            json!({"task_id": "b-1", "team": "acme", "attachments": many}).to_string().into_bytes(),
            "undecodable",
            "attachments",
        ),
        row("none", json!({"task_id": "b-2", "team": "acme", "attachments": []}), "attachments"),
        row(
            "doubled",
            json!({"task_id": "b-3", "team": "acme", "attachments": [{"id": "x", "url": url}, {"id": "x", "url": url}]}),
            "attachments",
        ),
        row(
            "doubled-index",
            json!({"task_id": "b-4", "team": "acme", "attachments": [{"id": "1", "url": url}, url]}),
            "attachments",
        ),
    ]
}

fn undecodable_names(url: &str) -> Vec<Row> {
    let row = |name, body: serde_json::Value, field| (name, body.to_string().into_bytes(), "undecodable", field);
    vec![
        row("no-id", json!({"team": "acme", "attachments": [url]}), "task_id"),
        row("bad-id", json!({"task_id": "a/b", "team": "acme", "attachments": [url]}), "task_id"),
        row("dots", json!({"task_id": "..", "team": "acme", "attachments": [url]}), "task_id"),
        row("long-id", json!({"task_id": "x".repeat(129), "team": "acme", "attachments": [url]}), "task_id"),
        row("no-team", json!({"task_id": "b-5", "attachments": [url]}), "team"),
        row("bad-team", json!({"task_id": "b-6", "team": "Acme!", "attachments": [url]}), "team"),
        row("import", json!({"type": "import", "import_id": "i", "team": "acme", "manifest": [url]}), "import"),
        row(
            "large",
            json!({"task_id": "a/b", "team": "acme", "attachments": [url], "metadata": "x".repeat(1_000_000)}),
            "task_id",
        ),
    ]
}
