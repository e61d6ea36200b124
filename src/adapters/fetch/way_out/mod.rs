//! By which way plain requests leave: straight, from an address of this machine, or through a proxy.
//!
//! A proxy is told checked addresses and never names, so that it resolves nothing and the guard holds behind it as before it.
//! Only the proxy itself is exempt: the operator named it. What a proxy says of itself is our own fault and never the
//! source's; what it says of the address is the source's. Neither its name nor our credentials are in any word of ours.

mod http_connect;
mod socks;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::resolve::Names;
use super::user_info::UserInfo;

/// How many of a name's addresses a proxy is asked for; each costs a connection to it.
const ADDRESSES_TRIED_MAX: usize = 4;
/// SOCKS5 gives each of user and password one byte for its length.
const SOCKS_TEXT_BYTES_MAX: usize = 255;

/// The way out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WayOut {
    /// Straight.
    #[default]
    Direct,
    /// From this address of this machine, and so only to addresses of its family.
    From(IpAddr),
    /// Through a proxy.
    Proxy(EgressProxy),
}

/// A proxy that connects us to addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct EgressProxy {
    kind: Kind,
    host: String,
    port: u16,
    user_info: Option<UserInfo>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    /// The same within TLS, so that nobody on the way reads the credentials.
    Https,
    Socks5,
}

impl EgressProxy {
    /// Reads a proxy's URL: `http`, `https` or `socks5`, with credentials as its user-info.
    ///
    /// # Errors
    /// What is wrong with it, in words that show no secret.
    pub fn parse(url: &Url) -> Result<Self, String> {
        let (kind, default_port) = match url.scheme() {
            "http" => (Kind::Http, 80),
            "https" => (Kind::Https, 443),
            "socks5" => (Kind::Socks5, 1080),
            "socks5h" => return Err("must not resolve names for us: write socks5: instead of socks5h:".to_owned()),
            scheme => return Err(format!("has the scheme {scheme:?}: write http:, https: or socks5:")),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("is followed by a path: write scheme, host and port only".to_owned());
        }
        let user_info = UserInfo::of(url);
        let fits = |text: &[u8]| (1..=SOCKS_TEXT_BYTES_MAX).contains(&text.len());
        let is_bad = |info: &UserInfo| kind == Kind::Socks5 && !(fits(&info.user) && fits(&info.password));
        if user_info.as_ref().is_some_and(is_bad) {
            return Err("needs user and password of 1 to 255 bytes each, or neither".to_owned());
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { kind, host, port: url.port().unwrap_or(default_port), user_info })
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, host, port, user_info } = self;
        let knows_us = user_info.is_some();
        f.debug_struct("EgressProxy")
            .field("kind", kind)
            .field("at", &(host, port))
            .field("has_credentials", &knows_us)
            .finish()
    }
}

/// Why a proxy did not lead to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    /// It leads nowhere at all: an operator must look.
    #[error("{0}")]
    Away(&'static str),
    /// It leads not to this address, or not this time, for a reason of its own.
    #[error("{0}")]
    Refuses(&'static str),
    /// It could not reach the address.
    #[error("{}", .0.words())]
    Beyond(Beyond),
}

/// What a proxy met on its way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beyond {
    NotReached,
    Refused,
    TimedOut,
}

impl Beyond {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::NotReached => "the host was not reached",
            Self::Refused => "the connection was not made",
            Self::TimedOut => "connecting took too long",
        }
    }
}

/// A connection in bytes, whatever lies beneath it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A proxy, and how it is reached.
pub(super) struct Through {
    pub(super) proxy: EgressProxy,
    /// Resolves the proxy's own name, unchecked.
    pub(super) names: Arc<dyn Names>,
    pub(super) tls: TlsConnector,
    /// How long reaching the proxy may take. What is slow after that is the source.
    pub(super) within: Duration,
}

impl Through {
    /// Connects to one of `addresses`, in their order, and says to which.
    ///
    /// # Errors
    /// What the last one met, or at once what is wrong with the proxy.
    pub(super) async fn connect(
        &self, addresses: &[IpAddr], port: u16,
    ) -> Result<(Box<dyn Stream>, SocketAddr), ProxyError> {
        let mut met = Beyond::NotReached;
        for address in addresses.iter().take(ADDRESSES_TRIED_MAX) {
            let address = SocketAddr::new(*address, port);
            match self.connect_to(address).await {
                Ok(stream) => return Ok((stream, address)),
                Err(ProxyError::Beyond(beyond)) => met = beyond,
                Err(error @ (ProxyError::Away(_) | ProxyError::Refuses(_))) => return Err(error),
            }
        }
        Err(ProxyError::Beyond(met))
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Box<dyn Stream>, ProxyError> {
        let reaching = timeout(self.within, self.reach());
        let mut stream = reaching.await.map_err(|_| ProxyError::Away("the egress proxy does not answer in time"))??;
        let user_info = self.proxy.user_info.as_ref();
        match self.proxy.kind {
            Kind::Http | Kind::Https => http_connect::ask(&mut stream, address, user_info).await?,
            Kind::Socks5 => socks::ask(&mut stream, address, user_info).await?,
        }
        Ok(stream)
    }

    /// A connection to the proxy itself.
    async fn reach(&self) -> Result<Box<dyn Stream>, ProxyError> {
        let EgressProxy { kind, host, port, user_info: _ } = &self.proxy;
        let addresses = match host.parse::<IpAddr>() {
            Ok(literal) => vec![literal],
            Err(_) => self
                .names
                .addresses(host)
                .await
                .map_err(|_| ProxyError::Away("the egress proxy has a name without addresses"))?,
        };
        let sockets: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
        let stream = TcpStream::connect(&sockets[..])
            .await
            .map_err(|_| ProxyError::Away("the egress proxy takes no connection"))?;
        // Small pieces of a handshake wait for nothing; without it they would only be slower.
        let _ = stream.set_nodelay(true);
        match kind {
            Kind::Http | Kind::Socks5 => Ok(Box::new(stream)),
            Kind::Https => {
                let untrusted = "the egress proxy has no certificate that is trusted for its name";
                let name = ServerName::try_from(host.clone()).map_err(|_| ProxyError::Away(untrusted))?;
                let stream = self.tls.connect(name, stream).await.map_err(|_| ProxyError::Away(untrusted))?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// The literal address that a URI's host is, if it is one.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    match Host::parse(host).ok()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<&str, &str>) {
        match (EgressProxy::parse(&Url::parse(url).unwrap()), expected) {
            (Ok(proxy), Ok(at)) => assert_eq!(format!("{}:{}", proxy.host, proxy.port), at, "{url}"),
            (Err(why), Err(part)) => {
                assert!(why.contains(part), "{url}: {why}");
                assert!(!why.contains("hush"), "{url}: {why}");
            }
            (found, _) => panic!("{url}: {found:?}"),
        }
    }

    #[test]
    fn a_proxy_is_a_scheme_a_host_and_a_port() {
        check("http://proxy:3128", Ok("proxy:3128"));
        check("http://me:hush@proxy/", Ok("proxy:80"));
        check("https://[2001:db8::1]", Ok("2001:db8::1:443"));
        check("socks5://me:hush@10.0.0.1", Ok("10.0.0.1:1080"));
        check("socks5h://me:hush@proxy", Err("must not resolve names"));
        check("ftp://me:hush@proxy", Err("scheme \"ftp\""));
        check("http://proxy/hush", Err("followed by a path"));
        check("http://proxy/?hush", Err("followed by a path"));
        check("socks5://hush@proxy", Err("user and password"));
        check(&format!("socks5://me:{}@proxy", "hush".repeat(64)), Err("user and password"));
    }

    #[test]
    fn a_proxy_never_shows_its_credentials() {
        let proxy = EgressProxy::parse(&Url::parse("http://somebody:hush@proxy:3128").unwrap()).unwrap();
        let shown = format!("{:?}", WayOut::Proxy(proxy));
        assert!(!shown.contains("somebody") && !shown.contains("hush"), "{shown}");
        assert!(shown.contains("3128"), "{shown}");
    }
}
