//! Reads one team's table into its record, by the rules of the interface.

use url::Url;

use super::grants;
use super::secrets::Secrets;
use super::section::Section;
use crate::domain::team::{Callback, CallbackFormat, Team, TeamLimits};
use crate::domain::webhook::signature::Secret;

/// Reads a team's table; mistakes are noted, and the record is then not to be used.
pub(super) fn read(mut team: Section<'_>, role_name: &str, secrets: &Secrets<'_>) -> Team {
    let record = Team {
        normalize: profile(&mut team),
        allowed_hosts: team.section("http").map(hosts).unwrap_or_default(),
        limits: team.section("limits").map(limits).unwrap_or_default(),
        aws: team.section("aws").map(|section| grants::aws(section, role_name)),
        gcp: team.section("gcp").map(grants::gcp),
        azure: team.section("azure").map(grants::azure),
        callback: team.section("callback").map(|section| callback(section, secrets)),
    };
    team.end();
    record
}

fn profile(team: &mut Section<'_>) -> Option<String> {
    let name = team.text("normalize")?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.len() > 64 || !name.bytes().all(allowed) {
        team.mistake("normalize", "must be 1 to 64 characters of a-z, 0-9, _ and -");
    }
    Some(name)
}

fn hosts(mut section: Section<'_>) -> Vec<String> {
    let hosts = host_list(&mut section);
    section.end();
    hosts
}

/// Host names, a leading `*.` standing for any sub-domain.
fn host_list(section: &mut Section<'_>) -> Vec<String> {
    let mut hosts = section.texts("allowed_hosts");
    for host in &mut hosts {
        *host = host.trim_end_matches('.').to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(host);
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if name.is_empty() || name.contains("://") || !name.bytes().all(allowed) {
            let problem = format!("must hold host names without scheme, port and path, not {host:?}");
            section.mistake("allowed_hosts", &problem);
        }
    }
    hosts
}

fn limits(mut section: Section<'_>) -> TeamLimits {
    let limits = TeamLimits {
        requests_per_second: section.number("requests_per_second"),
        in_flight: section.number("in_flight"),
        bytes_per_second: bytes_per_second(&mut section),
        weight: section.number("weight"),
    };
    section.end();
    limits
}

fn bytes_per_second(section: &mut Section<'_>) -> Option<u64> {
    let text = section.text("bytes_per_second")?;
    let size = size(&text).filter(|bytes| *bytes > 0);
    if size.is_none() {
        section.mistake("bytes_per_second", "must be a size such as \"10MiB\"");
    }
    size
}

/// Reads a size with its unit.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor: u64 = match text[digits.len()..].trim() {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn callback(mut section: Section<'_>, secrets: &Secrets<'_>) -> Callback {
    let format = format(&mut section);
    let callback = Callback {
        url: section.text("url"),
        secret: secrets.take(&mut section, "secret"),
        previous_secret: secrets.take(&mut section, "previous_secret"),
        format: format.unwrap_or_default(),
        auth_key: secrets.take(&mut section, "auth_key"),
        unsigned: section.flag("unsigned"),
        allowed_hosts: host_list(&mut section),
    };
    for (key, secret) in [("secret", &callback.secret), ("previous_secret", &callback.previous_secret)] {
        if let Some(Err(bad)) = secret.as_deref().map(Secret::parse) {
            section.mistake(key, &bad.to_string());
        }
    }
    if callback.auth_key.as_deref().is_some_and(|key| !is_header_text(key)) {
        section.mistake("auth_key", "must be text that a header can hold");
    }
    check_callback(&section, &callback);
    section.end();
    callback
}

fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

fn format(section: &mut Section<'_>) -> Option<CallbackFormat> {
    match section.text("format")?.as_str() {
        "standard" => Some(CallbackFormat::Standard),
        "scale" => Some(CallbackFormat::Scale),
        "cloudevents" => Some(CallbackFormat::Cloudevents),
        _ => {
            section.mistake("format", "must be standard, scale or cloudevents");
            None
        }
    }
}

fn check_callback(section: &Section<'_>, callback: &Callback) {
    let Some(url) = &callback.url else { return };
    let good = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !good {
        section.mistake("url", "must be an http or https URL");
    }
    let signed = match callback.format {
        CallbackFormat::Standard | CallbackFormat::Cloudevents => section.has("secret") || callback.secret.is_some(),
        CallbackFormat::Scale => section.has("auth_key") || callback.auth_key.is_some(),
    };
    if !signed && !callback.unsigned {
        let needed = match callback.format {
            CallbackFormat::Standard | CallbackFormat::Cloudevents => "secret",
            CallbackFormat::Scale => "auth_key",
        };
        section.mistake("url", &format!("needs callback.{needed} or callback.unsigned = true"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_a_unit() {
        for (text, expected) in [
            ("10MiB", Some(10 << 20)),
            ("1 kB", Some(1000)),
            ("10", None),
            ("MiB", None),
            ("-1B", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }
}
