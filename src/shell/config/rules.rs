//! Rules between settings: what each allows only beside, below or without another one.

use super::address::{Endpoint, QueueUrl, TeamsSource};
use super::check::Refuse;
use super::known::show;
use super::places::Places;
use super::sections::{Config, SnsTopic, TeamsConfig};
use super::text::Text;
use crate::domain::azure_blob::is_suffix;
use crate::domain::source::check_object;

/// Tells `refuse` of every rule that `config` breaks.
pub(super) fn check(config: &Config, places: &Places, refuse: &mut Refuse<'_>) {
    check_queues(config, refuse);
    check_envelopes(config, refuse);
    check_order(config, places, refuse);
    check_endpoints(config, refuse);
    check_identities(config, refuse);
    check_suffixes(config, refuse);
    check_names(config, refuse);
    check_teams(config, refuse);
}

fn check_teams(config: &Config, refuse: &mut Refuse<'_>) {
    let TeamsConfig { source, token, bucket_url, check_every: _ } = &config.teams;
    let is_file = matches!(source, TeamsSource::File { .. });
    for (key, is_set) in [("teams.token", token.is_some()), ("teams.bucket_url", bucket_url.is_some())] {
        if is_file && is_set {
            refuse(key, "is for a directory: leave it out beside a teams file".to_owned());
        }
    }
    if token.as_ref().is_some_and(|token| !token.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
        refuse("teams.token", "holds what no token has: write letters, digits and marks without blanks".to_owned());
    }
    if !is_file
        && let Some(template) = bucket_url
        && let Err(why) = template.check("{bucket}")
    {
        refuse("teams.bucket_url", format!("{why}: write \"https://HOST/PATH/{{bucket}}\""));
    }
}

fn check_queues(config: &Config, refuse: &mut Refuse<'_>) {
    let queue = &config.queue;
    let dead_letter = QueueUrl::from_text(&queue.dead_letter);
    match (&queue.url, &dead_letter) {
        (QueueUrl::Sqs { .. }, Ok(dead @ QueueUrl::Sqs { .. })) => {
            if queue.url.is_fifo() && !dead.is_fifo() {
                refuse(
                    "queue.dead_letter",
                    "must be a FIFO queue (its name ends in .fifo), as queue.url is".to_owned(),
                );
            }
            if !queue.url.is_fifo() && dead.is_fifo() {
                refuse("queue.dead_letter", "must be a standard queue, as queue.url is".to_owned());
            }
            if queue.url == *dead {
                refuse("queue.dead_letter", "is the task queue itself: name another queue".to_owned());
            }
        }
        (QueueUrl::Sqs { .. }, _) => {
            refuse(
                "queue.dead_letter",
                "must be a queue URL on SQS, such as \"https://sqs.REGION.amazonaws.com/ACCOUNT/NAME\"".to_owned(),
            );
        }
        (QueueUrl::Amqp { .. }, Ok(QueueUrl::Sqs { .. })) => {
            refuse("queue.dead_letter", "must be a queue's name on AMQP, not a URL".to_owned())
        }
        (QueueUrl::Amqp { .. }, _) => check_amqp_names(config, refuse),
        (QueueUrl::Local { .. }, _) => {}
    }
    match (&queue.url, &config.webhooks.queue_url) {
        (_, None) => {}
        (QueueUrl::Sqs { .. }, Some(webhooks @ QueueUrl::Sqs { .. })) => check_webhook_queue(config, webhooks, refuse),
        (QueueUrl::Sqs { .. }, Some(_)) => {
            refuse("webhooks.queue_url", "must be a queue URL on SQS, as queue.url is".to_owned())
        }
        (QueueUrl::Amqp { .. } | QueueUrl::Local { .. }, Some(_)) => {
            refuse(
                "webhooks.queue_url",
                "is for SQS only: leave it empty, deliveries wait beside the task queue".to_owned(),
            );
        }
    }
}

/// Whose envelopes are taken must be said by exact names: nothing here is a pattern.
fn check_envelopes(config: &Config, refuse: &mut Refuse<'_>) {
    let topics = &config.queue.sns_topics;
    let is_again = |(index, topic): &(usize, &SnsTopic)| topics[..*index].iter().any(|other| other.arn == topic.arn);
    if let Some((_, topic)) = topics.iter().enumerate().find(is_again) {
        refuse("queue.sns_topics", format!("names {} more than once: keep one", topic.arn));
    }
    for bucket in &config.queue.pointer_buckets {
        if let Err(fault) = check_object(bucket, "key") {
            let message = format!("holds {bucket:?}, which is no bucket's name: {}", fault.message);
            refuse("queue.pointer_buckets", message);
        }
    }
}

fn check_webhook_queue(config: &Config, webhooks: &QueueUrl, refuse: &mut Refuse<'_>) {
    let dead_letter = QueueUrl::from_text(&config.queue.dead_letter).ok();
    if *webhooks == config.queue.url || Some(webhooks) == dead_letter.as_ref() {
        refuse("webhooks.queue_url", "is another queue's URL already: name a queue of its own".to_owned());
    }
    if webhooks.is_fifo() {
        let message = "must be a standard queue: on a FIFO queue one delivery that waits holds up others";
        refuse("webhooks.queue_url", message.to_owned());
    }
}

fn check_amqp_names(config: &Config, refuse: &mut Refuse<'_>) {
    if config.queue.dead_letter == config.queue.name {
        refuse("queue.dead_letter", "is the task queue itself: name another queue".to_owned());
    }
    if config.webhooks.name == config.queue.name || config.webhooks.name == config.queue.dead_letter {
        refuse("webhooks.name", "is another queue's name already: name a queue of its own".to_owned());
    }
}

fn check_order(config: &Config, places: &Places, refuse: &mut Refuse<'_>) {
    let (retry, http) = (&config.retry, &config.sources.http);
    for (low_key, low, high_key, high) in [
        ("retry.base", retry.base, "retry.max", retry.max),
        ("retry.message_base", retry.message_base, "retry.message_max", retry.message_max),
        ("sources.http.total_timeout", http.total_timeout, "queue.hold", config.queue.hold),
    ] {
        if low > high {
            // Shown where somebody set something: the other side may be a default.
            let key = if places.is_set(low_key) { low_key } else { high_key };
            refuse(key, format!("{low_key} ({low}) must not be above {high_key} ({high})"));
        }
    }
}

const WEB: &[&str] = &["http", "https"];
const PROXY: &[&str] = &["http", "https", "socks5"];
const REDIS: &[&str] = &["redis", "rediss"];

/// Returns every endpoint that is set, with its key and the schemes that it may have.
fn endpoints(config: &Config) -> Vec<(&'static str, &Endpoint, &'static [&'static str])> {
    let (aws, gcp, sources) = (&config.aws, &config.gcp, &config.sources);
    let all: [(_, &Option<Endpoint>, _); 11] = [
        ("store.endpoint_url", &config.store.endpoint_url, WEB),
        ("aws.sts_endpoint_url", &aws.sts_endpoint_url, WEB),
        ("aws.sqs_endpoint_url", &aws.sqs_endpoint_url, WEB),
        ("gcp.iam_endpoint_url", &gcp.iam_endpoint_url, WEB),
        ("gcp.token_url", &gcp.token_url, WEB),
        ("sources.http.egress_proxy", &sources.http.egress_proxy, PROXY),
        ("sources.s3.endpoint_url", &sources.s3.endpoint_url, WEB),
        ("sources.gcs.endpoint_url", &sources.gcs.endpoint_url, WEB),
        ("sources.azure.endpoint_url", &sources.azure.endpoint_url, WEB),
        ("limits.shared.redis_url", &config.limits.shared.redis_url, REDIS),
        ("telemetry.otlp_endpoint", &config.telemetry.otlp_endpoint, WEB),
    ];
    let set = all.into_iter().filter_map(|(key, endpoint, schemes)| Some((key, endpoint.as_ref()?, schemes)));
    set.chain([("azure.authority_url", &config.azure.authority_url, WEB)]).collect()
}

fn check_endpoints(config: &Config, refuse: &mut Refuse<'_>) {
    for (key, endpoint, schemes) in endpoints(config) {
        let scheme = endpoint.expose().scheme();
        if !schemes.contains(&scheme) {
            let wanted = schemes.join(":, ");
            refuse(key, format!("has the scheme {scheme:?}: write a URL with {wanted}:"));
        }
    }
    let http = &config.sources.http;
    if http.egress_proxy.is_some() && http.bind_address.is_some() {
        let message = "cannot stand beside sources.http.egress_proxy: keep one of the two";
        refuse("sources.http.bind_address", message.to_owned());
    }
}

fn check_identities(config: &Config, refuse: &mut Refuse<'_>) {
    let azure = &config.azure;
    let proofs = [
        ("azure.client_secret", azure.client_secret.is_some()),
        ("azure.certificate_file", azure.certificate_file.is_some()),
        ("azure.federated_token_file", azure.federated_token_file.is_some()),
    ];
    let given: Vec<&str> = proofs.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
    if let [_, second, ..] = given[..] {
        refuse(second, format!("only one of {} may be set", given.join(", ")));
    }
    if let ([proof, ..], None) = (&given[..], &azure.client_id) {
        refuse(proof, "needs azure.client_id beside it".to_owned());
    }
}

/// A suffix that is too short would send tokens to strangers.
fn check_suffixes(config: &Config, refuse: &mut Refuse<'_>) {
    for suffix in &config.sources.azure.host_suffixes {
        if !is_suffix(suffix) {
            let message =
                format!("holds {suffix:?}: write what stands behind the account, as \"blob.core.windows.net\"");
            refuse("sources.azure.host_suffixes", message);
        }
    }
}

fn check_names(config: &Config, refuse: &mut Refuse<'_>) {
    for (host, limit) in &config.limits.host {
        let table = show(&["limits", "host", host].map(ToOwned::to_owned));
        let as_url = url::Url::parse(&format!("http://{host}/")).ok();
        if as_url.as_ref().and_then(url::Url::host_str) != Some(host.as_str()) {
            refuse(
                &table,
                "is no host's name: write it without scheme, port and path, as in [limits.host.\"cdn.acme.com\"]"
                    .to_owned(),
            );
        }
        if limit.in_flight == Some(0) {
            refuse(&format!("{table}.in_flight"), "must be at least 1; it is 0".to_owned());
        }
    }
    for (name, profile) in &config.normalize {
        let table = show(&["normalize", name].map(ToOwned::to_owned));
        if name == "original" || name == "standard" {
            refuse(&table, "is a profile of ours: choose another name".to_owned());
        }
        if profile.quality.is_some_and(|quality| !(1..=100).contains(&quality)) {
            refuse(&format!("{table}.quality"), "must be between 1 and 100".to_owned());
        }
        for (field, pixels) in [("max_side", profile.max_side), ("thumbnail", profile.thumbnail)] {
            if pixels.is_some_and(|pixels| !(1..=10_000).contains(&pixels)) {
                refuse(&format!("{table}.{field}"), "must be between 1 and 10000 pixels".to_owned());
            }
        }
    }
}
