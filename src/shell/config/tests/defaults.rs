//! The compiled-in file against the types and the promised values, and the forms in which settings are shown.

use super::*;

/// The defaults with the examples in comments taken in, as their own text says how.
fn defaults_with_examples() -> String {
    let taken = DEFAULTS.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
        _ => line,
    });
    taken.collect::<Vec<_>>().join("\n")
}

fn keys(table: &Table) -> Vec<String> {
    known::leaves(table, &[]).iter().map(|path| known::show(path)).collect()
}

#[test]
fn the_file_of_defaults_and_the_types_have_the_same_keys() {
    let file: Table = defaults_with_examples().parse().unwrap();
    let config: Config = file.clone().try_into().unwrap();
    assert_eq!(keys(&file), keys(&config.effective()));
    assert_eq!(keys(known::defaults()).len() + 9, keys(&file).len(), "the examples are the two tables of names");
}

#[test]
fn every_key_of_the_defaults_is_explained() {
    let lines: Vec<&str> = DEFAULTS.lines().collect();
    for section in lines.split(|line| line.is_empty()).filter(|section| section.iter().any(|line| line.contains(" = ")))
    {
        assert!(section.iter().any(|line| line.contains("# ")) || section[0].starts_with("[sources."), "{section:#?}");
    }
}

/// Keys and their promised defaults, as TOML.
const PROMISED: &[(&str, &str)] = &[
    ("queue.url", "\"local:\""),
    ("queue.name", "\"longshore.tasks\""),
    ("queue.dead_letter", "\"longshore.tasks.dead\""),
    ("queue.declare", "true"),
    ("queue.lease", "\"2m\""),
    ("queue.max_attempts", "5"),
    ("queue.hold", "\"25m\""),
    ("queue.lookahead", "20000"),
    ("queue.sns_topics", "[]"),
    ("queue.pointer_buckets", "[]"),
    ("events.url", "\"\""),
    ("events.exchange", "\"longshore.events\""),
    ("events.mandatory", "true"),
    ("webhooks.queue_url", "\"\""),
    ("webhooks.name", "\"longshore.webhooks\""),
    ("webhooks.allow_networks", "[]"),
    ("webhooks.timeout", "\"20s\""),
    ("store.endpoint_url", "\"\""),
    ("store.force_path_style", "false"),
    ("store.region", "\"\""),
    ("aws.region", "\"\""),
    ("aws.integration_role_name", "\"Longshore-Integration\""),
    ("aws.sts_endpoint_url", "\"\""),
    ("gcp.iam_endpoint_url", "\"\""),
    ("gcp.token_url", "\"\""),
    ("azure.client_id", "\"\""),
    ("azure.client_secret", "\"\""),
    ("azure.authority_url", "\"https://login.microsoftonline.com\""),
    ("sources.http.allow_networks", "[]"),
    ("sources.http.allow_plain", "true"),
    ("teams.token", "\"\""),
    ("teams.bucket_url", "\"\""),
    ("sources.http.egress_proxy", "\"\""),
    ("sources.http.max_bytes", "\"50GiB\""),
    ("sources.http.connect_timeout", "\"5s\""),
    ("sources.http.idle_timeout", "\"30s\""),
    ("sources.http.min_rate", "\"1KiB\""),
    ("sources.http.max_redirects", "5"),
    ("sources.http.total_timeout", "\"24m\""),
    ("sources.s3.endpoint_url", "\"\""),
    ("sources.s3.cross_account", "\"declared\""),
    ("sources.gcs.endpoint_url", "\"\""),
    ("sources.azure.endpoint_url", "\"\""),
    ("sources.file.roots", "[]"),
    ("limits.attachments_in_flight", "128"),
    ("limits.messages_in_hand", "64"),
    ("limits.memory", "\"256MiB\""),
    ("limits.per_host.requests_per_second", "100"),
    ("limits.per_host.in_flight", "32"),
    ("limits.per_host.bytes_per_second", "\"\""),
    ("limits.per_bucket.requests_per_second", "2000"),
    ("limits.per_bucket.in_flight", "128"),
    ("limits.per_team.requests_per_second", "2000"),
    ("limits.per_team.in_flight", "128"),
    ("limits.shared.redis_url", "\"\""),
    ("retry.tries", "5"),
    ("retry.base", "\"200ms\""),
    ("retry.max", "\"30s\""),
    ("retry.budget_percent", "20"),
    ("retry.message_base", "\"5s\""),
    ("retry.message_max", "\"15m\""),
    ("shutdown.grace", "\"25s\""),
    ("admin.listen", "\"127.0.0.1:9464\""),
    ("telemetry.otlp_endpoint", "\"\""),
    ("telemetry.log", "\"info\""),
    ("telemetry.log_format", "\"auto\""),
    ("telemetry.team_labels", "false"),
];

#[test]
fn the_defaults_are_the_promised_ones() {
    let config = loaded("");
    let table = config.effective();
    for (key, expected) in PROMISED {
        assert_eq!(value_at(&table, key).to_string(), *expected, "{key}");
    }
    let raw = known::defaults();
    assert_eq!(value_at(raw, "state_dir").as_str(), Some("longshore-data"));
    assert_eq!(value_at(raw, "store.url").as_str(), Some("file:longshore-data/store"));
    assert_eq!(value_at(raw, "teams.source").as_str(), Some("file:teams.toml"));
}

#[test]
fn what_is_shown_can_be_loaded_again_and_is_the_same() {
    let config = loaded(&defaults_with_examples());
    let shown = config.effective().to_string();
    assert_eq!(loaded(&shown), config);
}

#[test]
fn the_json_form_is_nested_as_the_file_is() {
    let json = serde_json::to_value(loaded("[limits.host.\"a.test\"]\nin_flight = 3")).unwrap();
    assert_eq!(json["queue"]["lease"], "2m");
    assert_eq!(json["sources"]["http"]["max_redirects"], 5);
    assert_eq!(json["limits"]["host"]["a.test"], serde_json::json!({"in_flight": 3}));
}

#[test]
fn the_schema_knows_every_key_and_demands_none() {
    let schema = Config::schema();
    assert!(!schema.to_string().contains("\"required\":["), "{schema}");
    for key in ["state_dir", "queue", "sources", "normalize", "limits"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert!(schema["$defs"]["HttpSourceConfig"]["properties"].get("total_timeout").is_some(), "{schema:#}");
    assert_eq!(schema["$defs"]["QueueConfig"]["additionalProperties"], false);
}
