//! What a type does not say: bounds of single settings, and the way to the rules between them ([`super::rules`]).
//!
//! Bounds are wide: they refuse what cannot work, not what is unusual. Nothing here looks at a file or the network.

use super::address::QueueUrl;
use super::errors::ConfigError;
use super::places::Places;
use super::rules;
use super::sections::Config;
use super::text::Text;
use super::units::TimeSpan;

/// Returns every rule that `config` breaks.
pub(super) fn check(config: &Config, places: &Places) -> Vec<ConfigError> {
    let mut broken = Vec::new();
    let mut refuse = |key: &str, message: String| broken.push(places.error(key, message));
    check_durations(config, &mut refuse);
    check_counts(config, &mut refuse);
    check_sizes(config, &mut refuse);
    check_texts(config, &mut refuse);
    rules::check(config, places, &mut refuse);
    broken
}

/// Takes a key and what is wrong with it.
pub(super) type Refuse<'a> = dyn FnMut(&str, String) + 'a;

fn check_durations(config: &Config, refuse: &mut Refuse<'_>) {
    let http = &config.sources.http;
    for (key, value, least, most) in [
        // SQS ends a visibility time-out at 12 hours.
        ("queue.lease", config.queue.lease, "1s", "12h"),
        ("queue.hold", config.queue.hold, "1s", hold_max(config)),
        ("webhooks.timeout", config.webhooks.timeout, "1ms", "5m"),
        ("sources.http.connect_timeout", http.connect_timeout, "1ms", "10m"),
        ("sources.http.idle_timeout", http.idle_timeout, "1ms", "10m"),
        ("retry.base", config.retry.base, "1ms", "10m"),
        ("retry.max", config.retry.max, "1ms", "10m"),
        ("retry.message_base", config.retry.message_base, "1ms", "12h"),
        ("retry.message_max", config.retry.message_max, "1ms", "12h"),
        ("shutdown.grace", config.shutdown.grace, "0s", "1h"),
    ] {
        let bound = |text: &str| TimeSpan::from_text(text).expect("the bounds of the table above are durations");
        if value < bound(least) || value > bound(most) {
            let why = if key == "queue.hold" { hold_reason(config) } else { "" };
            refuse(key, format!("must be between {least} and {most}{why}; it is {value}"));
        }
    }
}

fn hold_max(config: &Config) -> &'static str {
    match config.queue.url {
        QueueUrl::Amqp { .. } => "25m",
        QueueUrl::Sqs { .. } | QueueUrl::Local { .. } => "11h",
    }
}

fn hold_reason(config: &Config) -> &'static str {
    match config.queue.url {
        QueueUrl::Amqp { .. } => " on AMQP, for the broker takes a delivery back after 30 minutes",
        QueueUrl::Sqs { .. } => " on SQS, which takes a message back after 12 hours",
        QueueUrl::Local { .. } => "",
    }
}

fn check_counts(config: &Config, refuse: &mut Refuse<'_>) {
    let limits = &config.limits;
    for (key, value, least, most) in [
        ("queue.max_attempts", config.queue.max_attempts, 1, 100),
        ("sources.http.max_redirects", config.sources.http.max_redirects, 0, 20),
        ("limits.attachments_in_flight", limits.attachments_in_flight, 1, 65_536),
        ("limits.messages_in_hand", limits.messages_in_hand, 1, 10_000),
        ("limits.per_host.in_flight", limits.per_host.in_flight, 1, 65_536),
        ("limits.per_bucket.in_flight", limits.per_bucket.in_flight, 1, 65_536),
        ("limits.per_team.in_flight", limits.per_team.in_flight, 1, 65_536),
        ("retry.tries", config.retry.tries, 1, 20),
        ("retry.budget_percent", config.retry.budget_percent, 0, 100),
    ] {
        if value < least || value > most {
            refuse(key, format!("must be between {least} and {most}; it is {value}"));
        }
    }
}

fn check_sizes(config: &Config, refuse: &mut Refuse<'_>) {
    if config.limits.memory.get() < 8 << 20 {
        refuse("limits.memory", format!("must be at least 8MiB, the size of one part; it is {}", config.limits.memory));
    }
    if config.sources.http.total_timeout.get().is_zero() {
        refuse("sources.http.total_timeout", "would let nothing through: write a bound below queue.hold".to_owned());
    }
    if config.sources.http.max_bytes.get() == 0 {
        refuse(
            "sources.http.max_bytes",
            "would let nothing through: write the largest size to take, such as \"50GiB\"".to_owned(),
        );
    }
}

fn check_texts(config: &Config, refuse: &mut Refuse<'_>) {
    for (key, text) in [
        ("queue.name", &config.queue.name),
        ("queue.dead_letter", &config.queue.dead_letter),
        ("events.exchange", &config.events.exchange),
        ("webhooks.name", &config.webhooks.name),
        ("aws.integration_role_name", &config.aws.integration_role_name),
    ] {
        if text.trim().is_empty() {
            refuse(key, "is empty: give a name, or leave the key out for the default".to_owned());
        }
        // AMQP carries a name's length in one byte.
        if key != "queue.dead_letter" && text.len() > 255 {
            refuse(key, "is longer than 255 bytes: give a shorter name".to_owned());
        }
    }
    let nowhere = |path: &std::path::PathBuf| path.as_os_str().is_empty();
    if nowhere(&config.state_dir) {
        refuse("state_dir", "is empty: give a folder".to_owned());
    }
    // Empty text would open the configuration's own folder.
    if config.sources.file.roots.iter().any(nowhere) {
        refuse("sources.file.roots", "holds an empty path: give folders, \".\" for the configuration's own".to_owned());
    }
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&config.telemetry.log) {
        refuse(
            "telemetry.log",
            format!(
                "is no log filter ({error}): write a level such as \"info\", or filters such as \"info,longshore=debug\""
            ),
        );
    }
}
