//! Where a broker is, read from its URL. The user and the password are inside, and never come out in text.

use std::fmt;
use std::sync::Arc;

use lapin::uri::{AMQPScheme, AMQPUri};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

/// What is wrong with a broker's settings; names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAmqp(pub(super) String);

/// How often the two sides show that they are alive, unless the URL says otherwise.
const HEARTBEAT_SECS: u16 = 15;

/// A broker's address.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
    host: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Address {
    /// Reads `amqp[s]://[USER:PASSWORD@]HOST[:PORT][/VHOST]`; no virtual host, or an empty one, is `/`.
    pub(super) fn parse(url: &SecretString, tls: Option<Arc<rustls::ClientConfig>>) -> Result<Self, BadAmqp> {
        let bad = |problem: &str| BadAmqp(format!("the broker's URL {problem}"));
        let parsed = Url::parse(url.expose_secret()).map_err(|_| bad("is no URL"))?;
        // The texts of the parser below may quote what it read, so they are not passed on.
        let mut uri: AMQPUri =
            url.expose_secret().parse().map_err(|_| bad("must be amqp[s]://USER:PASSWORD@HOST:PORT/VHOST"))?;
        let host = match parsed.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(Host::Domain(_)) | None => return Err(bad("has no host")),
        };
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECS);
        let tls = match uri.scheme {
            AMQPScheme::AMQP => None,
            AMQPScheme::AMQPS => Some(match tls {
                Some(config) => config,
                None => super::tls::trusting_the_system()?,
            }),
        };
        Ok(Self { uri, host, tls })
    }

    /// The parsed URL, password included.
    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    /// The host's name or address, without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.uri.authority.port
    }

    /// How to encrypt, for `amqps`.
    pub(super) fn tls(&self) -> Option<&Arc<rustls::ClientConfig>> {
        self.tls.as_ref()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}://{}{}{}:{}", self.uri.scheme, brackets.0, self.host, brackets.1, self.port())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, shown: &str, vhost: &str) {
        let address = Address::parse(&SecretString::from(url), None).unwrap();
        assert_eq!(address.to_string(), shown);
        assert_eq!(format!("{address:?}"), shown);
        assert_eq!(address.uri().vhost, vhost);
    }

    #[test]
    fn addresses_are_shown_without_user_and_password() {
        check("amqp://someone:s3cret@127.0.0.1:5673/%2f", "amqp://127.0.0.1:5673", "/");
        check("amqp://someone:s3cret@broker", "amqp://broker:5672", "/");
        check("amqp://[::1]:5673/jobs", "amqp://[::1]:5673", "jobs");
    }

    #[test]
    fn an_empty_virtual_host_is_the_default_one() {
        check("amqp://guest:guest@localhost:5672/", "amqp://localhost:5672", "/");
    }

    #[test]
    fn a_bad_url_is_refused_without_quoting_it() {
        for url in ["amqp://u:hunter2@", "http://u:hunter2@host", "hunter2", "amqp://u:hunter2@host/?heartbeat=x"] {
            let error = Address::parse(&SecretString::from(url), None).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
