//! The log: to standard error, as text for a person or as JSON lines for a machine.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use super::config::{LogFormat, TelemetryConfig};

/// Crates below us that tell much at `info`, and URLs or headers at `debug`: heard only from this level on unless a filter
/// names them. The RabbitMQ client shows whole messages in its warnings, and calls the end of its own
/// connection an error; what matters of it is told by our adapter.
const FOREIGN: [(&str, &str); 8] = [
    ("aws", "warn"),
    ("h2", "warn"),
    ("hyper", "warn"),
    ("lapin", "off"),
    ("reqwest", "warn"),
    ("rustls", "warn"),
    ("tower", "warn"),
    ("async_rs", "warn"),
];

/// Begins to log, with `log` as filter. A second call changes nothing.
pub fn begin(config: &TelemetryConfig, log: &str) {
    let as_text = match config.log_format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt().with_writer(stderr).with_env_filter(filter(log));
    // It fails only where a log has begun already.
    let _ = if as_text {
        builder.with_ansi(stderr().is_terminal()).with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

fn filter(log: &str) -> EnvFilter {
    let quiet = FOREIGN.iter().filter(|(name, _)| !log.contains(name)).map(|(name, level)| format!("{name}={level}"));
    let own = std::iter::once(log.to_owned()).filter(|log| !log.is_empty());
    let text = quiet.chain(own).collect::<Vec<_>>().join(",");
    // What does not parse was refused with the configuration.
    EnvFilter::builder().parse_lossy(text)
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn foreign_crates_are_quiet_unless_they_are_named() {
        let check = |log: &str, part: &str, stays| {
            let shown = filter(log).to_string();
            assert_eq!(shown.split(',').any(|directive| directive == part), stays, "{shown}");
        };
        check("info", "reqwest=warn", true);
        check("info", "lapin=off", true);
        check("info", "info", true);
        check("debug,reqwest=debug", "reqwest=warn", false);
        check("debug,reqwest=debug", "reqwest=debug", true);
    }
}
