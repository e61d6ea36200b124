//! What a file and the environment set.

use super::*;

/// One value of every kind.
const EVERY_KIND: &str = r#"
[queue]
url = "amqp://me:hush@mq:5672/v"
lease = "1s"
sns_topics = ["arn:aws:sns:eu-west-1:1:t", { arn = "arn:aws:sns:eu-west-1:2:u", team = "acme" }]
[store]
url = "s3://internal/longshore/"
region = "eu-west-1"
[sources.http]
allow_networks = ["127.0.0.0/8", "::1"]
bind_address = "192.0.2.7"
[sources.s3]
cross_account = "off"
[limits]
memory = "64MiB"
[limits.per_host]
requests_per_second = 0.5
bytes_per_second = "10MB"
[limits.host."CDN.acme.com"]
in_flight = 7
[limits.host."b.test"]
bytes_per_second = ""
[admin]
listen = ""
[telemetry]
log_format = "json"
log = "info,longshore::engine=debug"
"#;

#[test]
fn values_are_read_as_their_types() {
    let config = loaded(EVERY_KIND);
    assert_eq!(config.queue.lease.get(), std::time::Duration::from_secs(1));
    assert_eq!(config.queue.sns_topics[1].team.as_ref().map(crate::domain::id::TeamId::as_str), Some("acme"));
    assert_eq!(config.store.url, StoreUrl::S3 { bucket: "internal".into(), prefix: "longshore".into() });
    assert_eq!(config.store.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.sources.http.allow_networks[1].get().to_string(), "::1/128");
    assert_eq!(config.sources.http.bind_address, Some([192, 0, 2, 7].into()));
    assert_eq!(config.sources.s3.cross_account, CrossAccount::Off);
    assert_eq!(config.limits.memory.get(), 64 << 20);
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.telemetry.log_format, LogFormat::Json);
    let own = config.limits.for_host("cdn.ACME.com");
    assert_eq!((own.in_flight, own.requests_per_second.get(), own.bytes_per_second.get()), (7, 0.5, Some(10_000_000)));
    assert_eq!(config.limits.for_host("b.test").bytes_per_second.get(), None);
    assert_eq!(config.limits.for_host("other.test"), config.limits.per_host);
}

#[test]
fn the_environment_lies_over_the_file() {
    let file = "[queue]\nlease = \"3m\"\nmax_attempts = 3\n";
    let environment = [
        ("LONGSHORE__QUEUE__LEASE", "4m"),
        ("LONGSHORE__SOURCES__HTTP__ALLOW_NETWORKS", "[\"127.0.0.0/8\"]"),
        ("LONGSHORE__LIMITS__HOST__CDN.ACME.COM__REQUESTS_PER_SECOND", "9"),
        ("HOME", "/nowhere"),
    ];
    let config = try_load(file, &environment).unwrap();
    assert_eq!((config.queue.lease.to_string().as_str(), config.queue.max_attempts), ("4m", 3));
    assert_eq!(config.sources.http.allow_networks[0].to_string(), "127.0.0.0/8");
    assert_eq!(config.limits.for_host("cdn.acme.com").requests_per_second.get(), 9.0);
}
