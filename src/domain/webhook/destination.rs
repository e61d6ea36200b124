//! Where a completion is delivered, and by what the receiver knows us: decided when the task ends, and again at each try.
//!
//! A task's own `callback_url` goes before its team's. Nothing is sent anywhere without a secret, unless the team said that it
//! needs none; the key of the format `scale` is no signature but the secret itself, so it goes only where the team's record
//! says, and never over a line that others may read.

use ipnet::IpNet;
use url::{Host, Url};

use super::signature::Secret;
use crate::domain::receipt::Warning;
use crate::domain::source::URL_BYTES_MAX;
use crate::domain::team::{Callback, CallbackFormat, Team, fits_host};

/// By what a receiver knows that a delivery is ours.
#[derive(Clone, Default)]
pub struct Proof {
    /// Secrets to sign with, the current one first; none for a team that needs none.
    pub secrets: Vec<Secret>,
    /// The key of the format `scale`.
    pub auth_key: Option<AuthKey>,
}

/// The key of the format `scale`, and how far it may go.
#[derive(Clone)]
pub struct AuthKey {
    /// The key.
    pub key: String,
    /// Whether it may only go to addresses that the operator allowed: the line is not encrypted.
    pub allowed_networks_only: bool,
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").field("secrets", &self.secrets.len()).finish_non_exhaustive()
    }
}

/// Returns where a task's completion is delivered, if anywhere.
///
/// # Errors
/// The warning that stands in the receipt where a URL was given and nothing is delivered there.
pub fn destination(task_url: Option<&str>, team: &Team, allow: &[IpNet]) -> Result<Option<Url>, Warning> {
    let callback = team.callback.as_ref();
    let Some(text) = task_url.or_else(|| callback?.url.as_deref()) else {
        return Ok(None);
    };
    let url = read(text).map_err(bad_callback)?;
    proof(&url, callback, allow).map_err(bad_callback)?;
    Ok(Some(url))
}

/// The warning `bad_callback`.
#[must_use]
pub fn bad_callback(why: &str) -> Warning {
    Warning { code: "bad_callback".to_owned(), message: why.to_owned() }
}

fn read(text: &str) -> Result<Url, &'static str> {
    let text = text.trim();
    if text.len() > URL_BYTES_MAX {
        return Err("callback_url is too long");
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) | Err(_) => Err("callback_url is no http or https URL"),
    }
}

/// Returns by what the receiver at `url` knows deliveries of a team with this callback.
///
/// # Errors
/// Why nothing may be sent there.
pub fn proof(url: &Url, callback: Option<&Callback>, allow: &[IpNet]) -> Result<Proof, &'static str> {
    let callback = callback.ok_or("the team has no callback.secret and does not say callback.unsigned = true")?;
    let auth_key = match callback.format {
        CallbackFormat::Standard | CallbackFormat::Cloudevents => None,
        CallbackFormat::Scale => auth_key(url, callback, allow)?,
    };
    let written = callback.secret.iter().chain(&callback.previous_secret);
    let secrets: Result<Vec<Secret>, _> = written.map(|text| Secret::parse(text)).collect();
    let secrets = secrets.map_err(|_| "the team's callback.secret is no secret of Standard Webhooks")?;
    if callback.unsigned {
        return Ok(Proof { secrets, auth_key });
    }
    match callback.format {
        CallbackFormat::Standard | CallbackFormat::Cloudevents if callback.secret.is_none() => {
            Err("the team has no callback.secret and does not say callback.unsigned = true")
        }
        CallbackFormat::Scale if auth_key.is_none() => {
            Err("the team has no callback.auth_key and does not say callback.unsigned = true")
        }
        CallbackFormat::Standard | CallbackFormat::Cloudevents | CallbackFormat::Scale => {
            Ok(Proof { secrets, auth_key })
        }
    }
}

fn auth_key(url: &Url, callback: &Callback, allow: &[IpNet]) -> Result<Option<AuthKey>, &'static str> {
    let Some(key) = callback.auth_key.clone() else { return Ok(None) };
    if !is_of_the_team(url, callback) {
        return Err("the auth_key goes only to the host of the team's callback.url and callback.allowed_hosts");
    }
    let is_plain = url.scheme() != "https";
    if is_plain && !may_be_allowed(url, allow) {
        return Err("the auth_key goes only over https, or to webhooks.allow_networks");
    }
    Ok(Some(AuthKey { key, allowed_networks_only: is_plain }))
}

/// Whether the team's record names the URL's host.
fn is_of_the_team(url: &Url, callback: &Callback) -> bool {
    let host = url.host_str().unwrap_or_default();
    let own = callback.url.as_deref().and_then(|own| Url::parse(own).ok());
    let is_own = own.as_ref().and_then(Url::host_str).is_some_and(|own| same_host(own, host));
    is_own || callback.allowed_hosts.iter().any(|allowed| fits_host(allowed, host))
}

fn same_host(one: &str, other: &str) -> bool {
    one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

/// Whether the host may lie in an allowed network. Of a name only the connection tells: it is made to no other address then.
fn may_be_allowed(url: &Url, allow: &[IpNet]) -> bool {
    let holds = |address: std::net::IpAddr| allow.iter().any(|network| network.contains(&address.to_canonical()));
    match url.host() {
        Some(Host::Ipv4(address)) => holds(address.into()),
        Some(Host::Ipv6(address)) => holds(address.into()),
        Some(Host::Domain(_)) => !allow.is_empty(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn signed() -> Callback {
        Callback { secret: Some(SECRET.to_owned()), ..Callback::default() }
    }

    fn scale(url: &str) -> Callback {
        Callback {
            url: Some(url.to_owned()),
            format: CallbackFormat::Scale,
            auth_key: Some("k-9".to_owned()),
            ..Callback::default()
        }
    }

    /// Where a delivery goes, or a part of why it does not.
    fn check(task_url: Option<&str>, callback: Option<Callback>, expected: Result<Option<&str>, &str>) {
        let team = Team { callback, ..Team::default() };
        let allow = ["10.0.0.0/8".parse().expect("a network")];
        let found = destination(task_url, &team, &allow);
        match (&found, expected) {
            (Ok(url), Ok(expected)) => assert_eq!(url.as_ref().map(Url::as_str), expected, "{task_url:?}"),
            (Err(warning), Err(part)) => {
                assert!(warning.code == "bad_callback" && warning.message.contains(part), "{task_url:?}: {warning:?}");
                assert!(!warning.message.contains("k-9"));
            }
            (found, expected) => panic!("{task_url:?}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_tasks_own_url_goes_before_its_teams() {
        let own = Callback { url: Some("https://acme.com/hooks".into()), ..signed() };
        check(None, None, Ok(None));
        check(None, Some(signed()), Ok(None));
        check(None, Some(own.clone()), Ok(Some("https://acme.com/hooks")));
        check(Some(" http://other.com/x?y=1 "), Some(own), Ok(Some("http://other.com/x?y=1")));
    }

    #[test]
    fn what_is_no_web_address_is_refused() {
        for url in
            ["me@acme.com", "mailto:me@acme.com", "ftp://acme.com/x", "acme.com/hooks", "", "http://", "file:///x"]
        {
            check(Some(url), Some(signed()), Err("no http"));
        }
        check(Some(&format!("https://h/{}", "x".repeat(20_000))), Some(signed()), Err("too long"));
    }

    #[test]
    fn nothing_goes_out_without_a_secret_unless_the_team_says_so() {
        let url = Some("https://acme.com/hooks");
        check(url, None, Err("no callback.secret"));
        check(url, Some(Callback::default()), Err("no callback.secret"));
        check(
            url,
            Some(Callback { previous_secret: Some(SECRET.into()), ..Callback::default() }),
            Err("no callback.secret"),
        );
        check(url, Some(Callback { unsigned: true, ..Callback::default() }), Ok(url));
        check(url, Some(Callback { format: CallbackFormat::Scale, ..signed() }), Err("no callback.auth_key"));
        check(url, Some(Callback { format: CallbackFormat::Scale, unsigned: true, ..Callback::default() }), Ok(url));
        check(
            url,
            Some(Callback { secret: Some("plain".into()), ..Callback::default() }),
            Err("no secret of Standard"),
        );
    }

    #[test]
    fn the_auth_key_goes_only_to_the_teams_own_hosts() {
        let own = scale("https://hooks.acme.com/in");
        check(None, Some(own.clone()), Ok(Some("https://hooks.acme.com/in")));
        check(Some("https://HOOKS.acme.com.:8443/x"), Some(own.clone()), Ok(Some("https://hooks.acme.com.:8443/x")));
        for foreign in
            ["https://evil.com/x", "https://acme.com/x", "https://hooks.acme.com.evil.com/x", "https://10.1.2.3/x"]
        {
            check(Some(foreign), Some(own.clone()), Err("only to the host"));
        }
        let more = Callback { allowed_hosts: vec!["*.b.com".into()], ..own };
        check(Some("https://x.b.com/y"), Some(more.clone()), Ok(Some("https://x.b.com/y")));
        check(Some("https://b.com/y"), Some(more), Err("only to the host"));
    }

    #[test]
    fn the_auth_key_goes_over_no_line_that_others_read() {
        check(None, Some(scale("http://hooks.acme.com/in")), Ok(Some("http://hooks.acme.com/in")));
        check(None, Some(scale("http://8.8.8.8/in")), Err("only over https"));
        check(None, Some(scale("http://10.1.2.3/in")), Ok(Some("http://10.1.2.3/in")));
        let plain = |url: &str, allow: &[IpNet]| {
            let found = proof(&Url::parse(url).expect("a URL"), Some(&scale(url)), allow);
            found.map(|proof| proof.auth_key.map(|key| key.allowed_networks_only))
        };
        let allow = ["10.0.0.0/8".parse().expect("a network")];
        assert_eq!(plain("http://hooks.acme.com/in", &allow), Ok(Some(true)), "the connection tells");
        assert!(plain("http://hooks.acme.com/in", &[]).is_err());
        assert_eq!(plain("https://hooks.acme.com/in", &[]), Ok(Some(false)));
    }
}
