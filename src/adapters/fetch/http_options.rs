//! What the operator sets for plain http(s) sources, with the defaults of the interface.

use std::time::Duration;

use ipnet::IpNet;

use super::way_out::WayOut;

/// Limits and permissions for plain http(s) sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Networks that are connected to beside public addresses.
    pub allow_networks: Vec<IpNet>,
    /// Whether `http:` is fetched at all.
    pub allow_plain: bool,
    /// Longest body in bytes, decoded.
    pub max_bytes: u64,
    /// How long resolving, connecting and the TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long the source may keep silent, before its head and between pieces of its body.
    pub idle_timeout: Duration,
    /// How long we wait for one body in all. A delivery's own hold is shorter as a rule.
    pub total_timeout: Duration,
    /// Bytes a second that a body must bring at least, measured over [`Self::rate_window`]; 0 turns it off.
    pub min_rate: u64,
    /// Time of waiting over which the rate is measured.
    pub rate_window: Duration,
    /// Redirects that are followed.
    pub max_redirects: u32,
    /// How long a name's checked addresses are kept.
    pub keep_names: Duration,
    /// Idle connections that are kept for each host.
    pub idle_connections_per_host: usize,
    /// By which way requests leave.
    pub way_out: WayOut,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            allow_plain: true,
            max_bytes: 50 << 30,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(12 * 60 * 60),
            min_rate: 1024,
            rate_window: Duration::from_secs(60),
            max_redirects: 5,
            keep_names: Duration::from_secs(30),
            idle_connections_per_host: 16,
            way_out: WayOut::Direct,
        }
    }
}
