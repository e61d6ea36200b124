//! What is used but never shown.

use super::*;

#[test]
fn secrets_are_resolved_for_use_and_masked_for_show() {
    let file = "[queue]\nurl = \"file:key\"\n[events]\nurl = \"amqps://you:hush@mq2\"\n[azure]\nclient_id = \"id\"\nclient_secret = \"env:AZURE\"\n\
                [sources.http]\negress_proxy = \"http://p:hush@proxy:3128\"\n[limits.shared]\nredis_url = \"env:REDIS\"\n\
                [teams]\nsource = \"https://h/{team}?key=hush\"\nbucket_url = \"https://h/?of={bucket}&key=hush\"\n";
    let config = try_load(file, &[("AZURE", "hush"), ("REDIS", "rediss://:hush@r:6379/1")]).unwrap();
    let QueueUrl::Amqp { url } = &config.queue.url else { panic!("not AMQP") };
    assert_eq!(url.expose().as_str(), "amqp://me:hush@mq");
    assert_eq!(config.azure.client_secret.as_ref().unwrap().expose(), "hush");
    let table = config.effective();
    for (key, expected) in [
        ("queue.url", "amqp://***@mq"),
        ("events.url", "amqps://***@mq2"),
        ("azure.client_secret", "***"),
        ("sources.http.egress_proxy", "http://***@proxy:3128"),
        ("limits.shared.redis_url", "rediss://***@r:6379/1"),
        ("teams.source", "https://h/{team}?key=***"),
        ("teams.bucket_url", "https://h/?of={bucket}&key=***"),
    ] {
        assert_eq!(value_at(&table, key).as_str(), Some(expected), "{key}");
    }
    let printed = format!("{table} {config:?} {}", serde_json::to_string(&config).unwrap());
    assert!(!printed.contains("hush"), "{printed}");
}

#[test]
fn no_message_shows_a_secret() {
    for file in [
        "[queue]\nurl = \"amqp://me:hush@\"",
        "[queue]\nurl = \"hush\"",
        "[events]\nurl = \"redis://me:hush@x\"",
        "[sources.http]\negress_proxy = \"http://me:hush@:99999\"",
        "[sources.http]\negress_proxy = [\"hush\"]",
        "[azure]\nclient_secret = { value = \"hush\" }",
        "[store]\nurl = \"s3://key:hush@bucket\"",
        "[limits.shared]\nredis_url = \"hush\"",
        "[teams]\nsource = \"https://h/team?key=hush\"",
        "[teams]\nsource = \"https://h/{team}\"\nbucket_url = \"https://h/bucket?key=hush\"",
    ] {
        let errors = try_load(file, &[]).map(|_| format!("{file}: accepted")).unwrap_err();
        assert!(errors.iter().all(|error| !error.contains("hush")), "{errors:#?}");
    }
}

#[test]
fn a_secret_that_is_not_there_is_a_mistake_with_its_place() {
    check_refused("[queue]\nurl = \"env:BROKER\"", "queue.url", "BROKER is not set");
    check_refused(
        "[azure]\nclient_id = \"a\"\nclient_secret = \"file:nowhere\"",
        "azure.client_secret",
        "cannot be read",
    );
}
