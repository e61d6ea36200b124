//! Which addresses and names a stranger's URL may lead to: only what the whole internet can reach.
//!
//! A pure table, taken from IANA's special-purpose registries for IPv4 and IPv6 and from the clouds' documented host agents. An
//! IPv4 address inside an IPv6 one counts as itself. What the operator allows is looked at first. The guard knows nothing of
//! connections: [`super::resolve`] asks it about a name's answers, [`super::http`] about literals and about the peer it has.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::Host;

/// IPv4 blocks that are never connected to. Wider than the registry where it calls parts of a block reachable that only the
/// network around us would answer (AS112, anycast relays).
const REFUSED_V4: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared address space"), // With Alibaba's host agent, 100.100.100.200.
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "Azure's host agent"), // Public by number only.
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"), // With Oracle's host agent, 192.0.0.192.
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "multicast relays"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
];

/// The only IPv6 block of ordinary addresses…
const GLOBAL_UNICAST_V6: &str = "2000::/3";

/// …and what of it is special. Teredo, ORCHID and the benchmarking block lie in the first.
const REFUSED_V6: &[(&str, &str)] = &[
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
];

/// NAT64's well-known prefix: on a network without IPv4 every IPv4 site is met in here.
const NAT64: &str = "64:ff9b::/96";

/// Names by which the clouds' metadata services are known inside, whatever they resolve to.
const REFUSED_NAMES: &[&str] = &[
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    // Answers with an address that is public by number, to machines of that cloud only.
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
];

/// Decides about addresses.
#[derive(Debug, Clone)]
pub struct AddressGuard {
    allow: Vec<IpNet>,
    /// Whether public addresses pass too.
    public: bool,
    /// Whether everything passes.
    open: bool,
    refused_v4: Vec<(Ipv4Net, &'static str)>,
    refused_v6: Vec<(Ipv6Net, &'static str)>,
    global_v6: Ipv6Net,
    nat64: Ipv6Net,
}

/// An address or name that is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not publicly reachable: {reason}")]
pub struct Refused {
    /// The address or name.
    pub what: String,
    /// The kind of block that it lies in.
    pub reason: &'static str,
}

impl AddressGuard {
    /// A guard that lets through public addresses and those of `allow`.
    #[must_use]
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self {
            allow,
            public: true,
            open: false,
            refused_v4: table(REFUSED_V4),
            refused_v6: table(REFUSED_V6),
            global_v6: net(GLOBAL_UNICAST_V6),
            nat64: net(NAT64),
        }
    }

    /// A guard that lets through the addresses of `allow` and no others, for what nobody outside may read.
    #[must_use]
    pub fn only(allow: Vec<IpNet>) -> Self {
        Self { public: false, ..Self::new(allow) }
    }

    /// A guard that lets everything through, where only hosts of the operator's own choice are asked.
    #[must_use]
    pub fn open() -> Self {
        Self { open: true, ..Self::new(Vec::new()) }
    }

    /// Checks one address.
    ///
    /// # Errors
    /// [`Refused`] unless it is allowed by the operator or reachable from everywhere.
    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        // The kernel dials a mapped address as the IPv4 address that it holds.
        let address = address.to_canonical();
        if self.allows(address) {
            return Ok(());
        }
        let reason = match address {
            _ if !self.public => Some("not one of the allowed networks"),
            IpAddr::V4(v4) => self.v4_refusal(v4),
            IpAddr::V6(v6) => self.v6_refusal(v6),
        };
        match reason {
            Some(reason) => Err(refused(address, reason)),
            None => Ok(()),
        }
    }

    /// Checks a URL's host as far as it says without a look-up.
    ///
    /// # Errors
    /// [`Refused`] for an address that [`Self::check`] refuses, and for a metadata service's name.
    pub fn check_host(&self, host: &Host<&str>) -> Result<(), Refused> {
        match host {
            Host::Ipv4(address) => self.check((*address).into()),
            Host::Ipv6(address) => self.check((*address).into()),
            Host::Domain(name) => self.check_name(name),
        }
    }

    /// Checks a name alone; its addresses are another question.
    ///
    /// # Errors
    /// [`Refused`] for a metadata service's name.
    pub fn check_name(&self, name: &str) -> Result<(), Refused> {
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        if !self.open && REFUSED_NAMES.contains(&plain.as_str()) {
            return Err(refused(name, "metadata service"));
        }
        Ok(())
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.open || self.allow.iter().any(|net| net.contains(&address))
    }

    fn v4_refusal(&self, address: Ipv4Addr) -> Option<&'static str> {
        reason_in(&self.refused_v4, |net| net.contains(&address))
    }

    fn v6_refusal(&self, address: Ipv6Addr) -> Option<&'static str> {
        if self.nat64.contains(&address) {
            return self.embedded_refusal(low_v4(address));
        }
        if !self.global_v6.contains(&address) {
            return Some("no global unicast address");
        }
        // Compatible and translated addresses lie outside 2000::/3, 6to4 and Teredo in blocks refused below, whatever they
        // hold; ISATAP may have any prefix.
        let inside = isatap_v4(address).and_then(|v4| self.embedded_refusal(v4));
        inside.or_else(|| reason_in(&self.refused_v6, |net| net.contains(&address)))
    }

    fn embedded_refusal(&self, address: Ipv4Addr) -> Option<&'static str> {
        if self.allows(address.into()) {
            return None;
        }
        self.v4_refusal(address)
    }
}

fn refused(what: impl ToString, reason: &'static str) -> Refused {
    Refused { what: what.to_string(), reason }
}

fn reason_in<N>(table: &[(N, &'static str)], holds: impl Fn(&N) -> bool) -> Option<&'static str> {
    table.iter().find(|(net, _)| holds(net)).map(|(_, reason)| *reason)
}

fn low_v4(address: Ipv6Addr) -> Ipv4Addr {
    let octets = address.octets();
    Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15])
}

/// The IPv4 address in an ISATAP interface identifier (RFC 5214): `0000:5efe` or `0200:5efe` before it.
fn isatap_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    (segments[4] & !0x0200 == 0 && segments[5] == 0x5efe).then(|| low_v4(address))
}

fn net<N: FromStr<Err: Debug>>(text: &str) -> N {
    text.parse().expect("the tables hold networks, and a test reads each")
}

fn table<N: FromStr<Err: Debug>>(rows: &[(&str, &'static str)]) -> Vec<(N, &'static str)> {
    rows.iter().map(|(text, reason)| (net(text), *reason)).collect()
}

#[cfg(test)]
#[path = "address_guard_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "address_guard_model.rs"]
mod model;
