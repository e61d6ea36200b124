//! What is refused: each mistake with key and place, all at once.

use super::*;

/// Place, key and words of every mistake of one file and its environment.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("longshore.toml:1", "colour", "is not a known key"),
    ("longshore.toml:3", "queue.lease", "expected a duration such as"),
    ("longshore.toml:4", "queue.hold", "has no unit"),
    ("longshore.toml:5", "queue.max_attempts", "expected a whole number"),
    ("longshore.toml:6", "queue.leese", "did you mean queue.lease?"),
    ("longshore.toml:8", "sources.http.allow_networks", "is no network"),
    ("longshore.toml:9", "sources.http.max_redirects", "between 0 and 20"),
    ("longshore.toml:11", "sources.s3.cross_account", "unknown variant `maybe`"),
    ("longshore.toml:13", "limits.per_host.requests_per_second", "out of range"),
    ("longshore.toml:15", "azure.client_secret", "NOT_SET is not set"),
    ("environment LONGSHORE__LIMITS__MEMORY", "limits.memory", "at least 8MiB"),
    ("environment LONGSHORE__ADMIN__LISTEN", "admin.listen", "is no address to listen on"),
];

#[test]
fn all_mistakes_are_told_at_once_each_with_key_and_place() {
    let file = "colour = 1\n[queue]\nlease = 30\nhold = \"25\"\nmax_attempts = -1\nleese = \"1m\"\n[sources.http]\nallow_networks = [\"localhost\"]\n\
                max_redirects = 99\n[sources.s3]\ncross_account = \"maybe\"\n[limits.per_host]\nrequests_per_second = 0\n[azure]\nclient_secret = \"env:NOT_SET\"\n";
    let errors =
        try_load(file, &[("LONGSHORE__LIMITS__MEMORY", "1KiB"), ("LONGSHORE__ADMIN__LISTEN", "here")]).unwrap_err();
    for (place, key, part) in MISTAKES {
        let start = format!("{place}: {key}: ");
        assert!(
            errors.iter().any(|error| error.starts_with(&start) && error.contains(part)),
            "{start}{part}\nin {errors:#?}"
        );
    }
    assert_eq!(errors.len(), MISTAKES.len(), "{errors:#?}");
    assert!(errors.iter().all(|error| !error.contains('\n')), "{errors:#?}");
}

const SQS: &str = "https://sqs.eu-west-1.amazonaws.com/1";

/// Files, and the key and the words of the one mistake in each.
const REFUSED: &[(&str, &str, &str)] = &[
    ("[queue]\nlease = \"500ms\"", "queue.lease", "between 1s and 12h; it is 500ms"),
    ("[queue]\nurl = \"amqp://mq\"\nhold = \"26m\"", "queue.hold", "between 1s and 25m on AMQP"),
    ("[queue]\nhold = \"12h\"", "queue.hold", "between 1s and 11h"),
    ("[queue]\nmax_attempts = 0", "queue.max_attempts", "between 1 and 100"),
    ("[queue]\nname = \"\"", "queue.name", "is empty"),
    (
        "[queue]\nurl = \"amqp://mq\"\ndead_letter = \"longshore.tasks\"",
        "queue.dead_letter",
        "is the task queue itself",
    ),
    ("[queue]\nurl = \"amqp://mq\"\n[webhooks]\nname = \"longshore.tasks\"", "webhooks.name", "another queue's name"),
    ("[webhooks]\nqueue_url = \"http://h/1/q\"", "webhooks.queue_url", "is for SQS only"),
    ("[retry]\nbase = \"1m\"", "retry.base", "must not be above retry.max (30s)"),
    ("[retry]\nmessage_max = \"1s\"", "retry.message_max", "message_base (5s) must not be above"),
    ("[retry]\ntries = 0", "retry.tries", "between 1 and 20"),
    ("[retry]\nbudget_percent = 101", "retry.budget_percent", "between 0 and 100"),
    ("[sources.http]\ntotal_timeout = \"30m\"", "sources.http.total_timeout", "must not be above queue.hold (25m)"),
    ("[sources.http]\nmax_bytes = \"0B\"", "sources.http.max_bytes", "would let nothing through"),
    (
        "[sources.http]\negress_proxy = \"http://p:1\"\nbind_address = \"192.0.2.1\"",
        "sources.http.bind_address",
        "keep one of the two",
    ),
    ("[sources.http]\negress_proxy = \"ftp://p:1\"", "sources.http.egress_proxy", "has the scheme \"ftp\""),
    ("[sources.file]\nroots = [\"\"]", "sources.file.roots", "empty path"),
    ("state_dir = \"\"\nstore.url = \"file:x\"", "state_dir", "is empty"),
    ("[store]\nendpoint_url = \"s3://x\"", "store.endpoint_url", "has the scheme \"s3\""),
    ("[limits.shared]\nredis_url = \"http://x\"", "limits.shared.redis_url", "has the scheme"),
    ("[limits.per_team]\nin_flight = 0", "limits.per_team.in_flight", "between 1 and 65536"),
    ("[limits.per_team]\nbytes_per_second = \"0B\"", "limits.per_team.bytes_per_second", "would let nothing through"),
    ("[limits.host.\"a.test:80\"]\nin_flight = 1", "limits.host.\"a.test:80\"", "is no host's name"),
    ("[limits.host.\"a.test\"]\nin_flight = 0", "limits.host.\"a.test\".in_flight", "at least 1"),
    ("[normalize.standard]\nquality = 3", "normalize.standard", "is a profile of ours"),
    ("[normalize.web]\nquality = 0", "normalize.web.quality", "between 1 and 100"),
    ("[normalize.web]\nmax_side = 20000", "normalize.web.max_side", "between 1 and 10000"),
    ("[normalize.web]\nformat = \"bmp\"", "normalize.web.format", "unknown variant"),
    ("[azure]\nclient_secret = \"x\"", "azure.client_secret", "needs azure.client_id"),
    (
        "[azure]\nclient_id = \"a\"\nclient_secret = \"x\"\ncertificate_file = \"c\"",
        "azure.certificate_file",
        "only one of",
    ),
    (
        "[sources.azure]\nhost_suffixes = [\"windows.net\"]",
        "sources.azure.host_suffixes",
        "what stands behind the account",
    ),
    ("[telemetry]\nlog = \"info,[\"", "telemetry.log", "is no log filter"),
    ("[queue]\nsns_topics = [3]", "queue.sns_topics", "a topic's ARN"),
    ("[queue]\nsns_topics = [\"my-topic\"]", "queue.sns_topics", "is no topic's ARN"),
    ("[queue]\nurl = 3", "queue.url", "must be text"),
    ("[queue]\nname = 3", "queue.name", "expected a string"),
];

#[test]
fn rules_between_settings_are_kept() {
    for (file, key, part) in REFUSED {
        check_refused(file, key, part);
    }
}

#[test]
fn sqs_needs_queue_urls_of_its_own_kind() {
    let file =
        |url: &str, dead: &str, more: &str| format!("[queue]\nurl = \"{SQS}/{url}\"\ndead_letter = \"{dead}\"\n{more}");
    check_refused(&format!("[queue]\nurl = \"{SQS}/q\""), "queue.dead_letter", "must be a queue URL on SQS");
    check_refused(&file("q.fifo", &format!("{SQS}/d"), ""), "queue.dead_letter", "must be a FIFO queue");
    check_refused(&file("q", &format!("{SQS}/d.fifo"), ""), "queue.dead_letter", "must be a standard queue");
    check_refused(&file("q", &format!("{SQS}/q"), ""), "queue.dead_letter", "is the task queue itself");
    check_refused(&file("q", &format!("{SQS}/d"), "hold = \"12h\""), "queue.hold", "between 1s and 11h on SQS");
    check_refused(
        &file("q", &format!("{SQS}/d"), "[webhooks]\nqueue_url = \"local:\""),
        "webhooks.queue_url",
        "must be a queue URL on SQS",
    );
    for (queue, part) in
        [("w.fifo", "must be a standard queue"), ("q", "another queue's URL"), ("d", "another queue's URL")]
    {
        let webhooks = format!("[webhooks]\nqueue_url = \"{SQS}/{queue}\"");
        check_refused(&file("q", &format!("{SQS}/d"), &webhooks), "webhooks.queue_url", part);
    }
    loaded(&file("q.fifo", &format!("{SQS}/d.fifo"), &format!("[webhooks]\nqueue_url = \"{SQS}/w\"")));
    check_refused(
        &format!("[queue]\nurl = \"amqp://mq\"\ndead_letter = \"{SQS}/d\""),
        "queue.dead_letter",
        "a queue's name on AMQP",
    );
    let config = loaded(&file("q.fifo", &format!("{SQS}/d.fifo"), "hold = \"11h\""));
    assert!(config.queue.url.is_fifo());
}

#[test]
fn small_values_of_tests_are_taken() {
    loaded(
        "[queue]\nlease = \"1s\"\nhold = \"1s\"\n[retry]\nbase = \"1ms\"\nmax = \"1ms\"\nmessage_base = \"1ms\"\nmessage_max = \"10ms\"\n[shutdown]\ngrace = \"0s\"\n[limits]\nmemory = \"8MiB\"\nattachments_in_flight = 1\nmessages_in_hand = 1",
    );
}

#[test]
fn a_file_that_is_no_toml_is_told_by_line_beside_the_environments_mistakes() {
    let errors = try_load("[queue]\nlease = \n", &[("LONGSHORE__QUEUE__HOLD", "x")]).unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].starts_with("longshore.toml:2: "), "{errors:#?}");
    assert!(errors[1].starts_with("environment LONGSHORE__QUEUE__HOLD: queue.hold: "), "{errors:#?}");
}

#[test]
fn envelopes_are_taken_by_exact_names_only() {
    let topic = "arn:aws:sns:eu-west-1:111122223333:t";
    let good = format!(
        "[queue]\nsns_topics = [\"{topic}\", {{ arn = \"{topic}2\", team = \"acme\" }}]\npointer_buckets = [\"raw-bodies\"]"
    );
    loaded(&good);
    for (queue, says) in [
        (format!("sns_topics = [\"{topic}\", \"{topic}\"]"), "queue.sns_topics: names arn:aws:sns:"),
        ("sns_topics = [\"arn:aws:sqs:eu-west-1:1:t\"]".to_owned(), "is no topic's ARN"),
        ("sns_topics = [\"arn:aws:sns:eu-west-1::t\"]".to_owned(), "is no topic's ARN"),
        (format!("sns_topics = [{{ arn = \"{topic}\", team = \"Acme\" }}]"), "team must be 1 to 64"),
        ("pointer_buckets = [\"raw-*\"]".to_owned(), "queue.pointer_buckets: holds \"raw-*\""),
        ("pointer_buckets = [\"\"]".to_owned(), "queue.pointer_buckets: holds \"\""),
    ] {
        let errors = try_load(&format!("[queue]\n{queue}\n"), &[]).unwrap_err();
        assert!(matches!(&errors[..], [only] if only.contains(says)), "{queue}: {errors:#?}");
    }
}

#[test]
fn what_is_not_built_yet_is_refused_with_the_rest() {
    let file = format!(
        "[queue]\nurl = \"{SQS}/q\"\ndead_letter = \"{SQS}/d\"\nlease = \"1ms\"\n[events]\nurl = \"{SQS}/e\"\n[webhooks]\nqueue_url = \"{SQS}/w\"\n\
         [normalize.web]\nquality = 3\n\
         [telemetry]\notlp_endpoint = \"http://o\"\n"
    );
    let errors = load_with(&file, &[], unsupported::unsupported).unwrap_err();
    let (not_yet, rest): (Vec<_>, Vec<_>) =
        errors.iter().partition(|error| error.contains("is not supported by this version yet"));
    assert_eq!(rest.len(), 1, "{rest:#?}");
    assert!(rest[0].contains("queue.lease"), "{rest:#?}");
    for key in ["longshore.toml:10: normalize", "longshore.toml:12: telemetry.otlp_endpoint"] {
        assert!(not_yet.iter().any(|error| error.starts_with(&format!("{key}: "))), "{key}\nin {not_yet:#?}");
    }
    assert_eq!(not_yet.len(), 2, "{not_yet:#?}");
}

#[test]
fn the_errors_are_shown_one_a_line() {
    let error =
        |key: &str, place: &str| ConfigError { key: key.into(), place: place.into(), message: "is wrong".into() };
    let errors = ConfigErrors(vec![error("a.b", "f:1"), error("", "f")]);
    assert_eq!(errors.to_string(), "f:1: a.b: is wrong\nf: is wrong");
}

#[test]
fn a_host_in_other_letters_case_still_has_its_place() {
    let errors = try_load("[limits.host.\"A.test:1\"]\nin_flight = 0\n", &[]).unwrap_err();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors.iter().all(|error| error.starts_with("longshore.toml:2: limits.host.\"a.test:1\"")), "{errors:#?}");
}
