//! The URLs that mean harm, in every spelling that we know of, and what their names answer.

use std::sync::Arc;

use super::Script;

/// Hosts that are this machine, another internal one, or nobody's, in spellings that were seen somewhere.
const HOSTS: &[&str] = &[
    // Loopback in IPv4: short, octal, hexadecimal, decimal, mixed, padded, with a dot behind.
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.1.",
    "127.255.255.254",
    "0x7f.1",
    "0x7F.0.0.1",
    "0x7f000001",
    "0x7f.0x0.0x0.0x1",
    "0x7f.0.1",
    "0177.0.0.1",
    "0177.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "017700000001",
    "2130706433",
    "2130706433.",
    "0x7f.00.1",
    "127.0x0.0.1",
    "0",
    "0.0.0.0",
    "0x0",
    "0.0",
    "00",
    // The same in letters that only look like digits, and percent-encoded.
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0．0．1",
    "①②⑦.⓪.⓪.①",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "%30%78%37%66.1",
    "１%32７.0.0.1",
    // IPv6, and IPv4 inside of it.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:7f00:0001]",
    "[::FFFF:127.0.0.1]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::]",
    "[2001:0:808:808::80ff:fffe]",
    "[fe80::5efe:127.0.0.1]",
    "[2a00::5efe:127.0.0.1]",
    "[2a00::200:5efe:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[2001:2::1]",
    "[::1%25lo]",
    // Metadata services and host agents, by number and by name.
    "169.254.169.254",
    "169.254.169.254.",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "169.254.170.2",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "metadata.google.internal",
    "METADATA.GOOGLE.INTERNAL.",
    "metadata",
    "instance-data",
    "metadata.goog",
    // Other internal and special addresses.
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "192.0.0.1",
];

/// Names that answer something internal, alone or among public addresses.
const NAMES: &[&str] = &[
    "loop.test",
    "LOOP.test",
    "loop.test.",
    "l%6fop.test",
    "ｌｏｏｐ.test",
    "localhost",
    "localhost.",
    "sub.localhost",
    "v6loop.test",
    "zero.test",
    "mapped.test",
    "compatible.test",
    "nat64.test",
    "sixtofour.test",
    "private.test",
    "meta.test",
    "azure.test",
    "mixed.test",
    "mixed-late.test",
    "mixed-v6.test",
];

/// Addresses that every spelling is made of: loopback, private, metadata services and the clouds' host agents.
const INTERNAL: [[u8; 4]; 8] = [
    [127, 0, 0, 1],
    [127, 8, 9, 10],
    [10, 1, 2, 3],
    [192, 168, 255, 254],
    [169, 254, 169, 254],
    [168, 63, 129, 16],
    [100, 100, 100, 200],
    [192, 0, 0, 192],
];

/// The ways in which URL parsers, resolvers and IPv6 write one IPv4 address.
fn spellings([a, b, c, d]: [u8; 4]) -> Vec<String> {
    let whole = u32::from_be_bytes([a, b, c, d]);
    let (low24, low16) = (whole & 0x00ff_ffff, whole & 0xffff);
    let (high, low) = (whole >> 16, whole & 0xffff);
    let mut found = vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{a}.{b}.{low16}"),
        format!("{a}.{low24}"),
        format!("{whole}"),
        format!("{whole}."),
        format!("{whole:#x}"),
        format!("0X{whole:X}"),
        format!("0x00000000{whole:x}"),
        format!("0{whole:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("00000{a:o}.0{b:o}.0{c:o}.{d}"),
        format!("{a:#x}.{low24}"),
        format!("0{a:o}.{b:#x}.{low16}"),
        format!("{a}。{b}．{c}｡{d}"),
        format!("{a}.{b}.{c}.{d}").replace('1', "%31"),
    ];
    found.extend([
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[0:0:0:0:0:FFFF:{high:x}:{low:04X}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[::ffff:0:{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b:1:7f00::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:{high:x}:{low:x}::1]"),
        format!("[2001:0:808:808::{:x}:{:x}]", high ^ 0xffff, low ^ 0xffff),
        format!("[fe80::5efe:{a}.{b}.{c}.{d}]"),
        format!("[2a00:1450::5efe:{a}.{b}.{c}.{d}]"),
        format!("[2a00:1450:0:1:200:5efe:{high:x}:{low:x}]"),
    ]);
    found
}

/// Hosts that mean harm by themselves, whatever a name server says.
pub(crate) fn literal_hosts() -> Vec<String> {
    let fixed = HOSTS.iter().map(|host| (*host).to_owned());
    let mut hosts: Vec<String> = fixed.chain(INTERNAL.into_iter().flat_map(spellings)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// What those names answer. 127.0.0.2 is the only address that the fetcher under test may reach, and stands for the public.
pub(crate) fn names() -> Arc<Script> {
    Script::new(&[
        ("open.test", &[&["127.0.0.2"]]),
        ("loop.test", &[&["127.0.0.1"]]),
        ("localhost", &[&["127.0.0.1", "::1"]]),
        ("sub.localhost", &[&["127.0.0.1"]]),
        ("v6loop.test", &[&["::1"]]),
        ("zero.test", &[&["0.0.0.0"]]),
        ("mapped.test", &[&["::ffff:127.0.0.1"]]),
        ("compatible.test", &[&["::127.0.0.1"]]),
        ("nat64.test", &[&["64:ff9b::127.0.0.1"]]),
        ("sixtofour.test", &[&["2002:7f00:1::1"]]),
        ("private.test", &[&["10.0.0.1"]]),
        ("meta.test", &[&["169.254.169.254"]]),
        ("azure.test", &[&["168.63.129.16"]]),
        ("mixed.test", &[&["127.0.0.1", "127.0.0.2"]]),
        ("mixed-late.test", &[&["127.0.0.2", "127.0.0.2", "127.0.0.1"]]),
        ("mixed-v6.test", &[&["127.0.0.2", "::1"]]),
        ("rebind.test", &[&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2"]]),
    ])
}

/// Every host with the ways to write it into a URL.
pub(crate) fn urls(port: u16) -> Vec<String> {
    let names = NAMES.iter().map(|name| (*name).to_owned());
    urls_of(literal_hosts().into_iter().chain(names), port)
}

/// The same for hosts that need no name server.
pub(crate) fn literal_urls(port: u16) -> Vec<String> {
    urls_of(literal_hosts().into_iter(), port)
}

fn urls_of(hosts: impl Iterator<Item = String>, port: u16) -> Vec<String> {
    let both = hosts.flat_map(|host| [format!("http://{host}:{port}/"), format!("https://{host}:{port}/")]);
    let tricks = [
        format!("http://open.test@127.0.0.1:{port}/"),
        format!("http://open.test:80@127.0.0.1:{port}/"),
        format!("http://open.test%2f@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}\\@open.test/"),
        format!("http:\\\\127.0.0.1:{port}/"),
        format!("http:/127.0.0.1:{port}/"),
        format!("http:127.0.0.1:{port}/"),
        format!("http:///127.0.0.1:{port}/"),
        format!("HTTP://127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}#@open.test/"),
        format!("http://127.0.0.1:{port}?@open.test/"),
        format!("http://a@b@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:0{port}/"),
        format!("http://[::1]:{port}@127.0.0.1:{port}/"),
        format!("http://127.0.0.1%00.open.test:{port}/"),
        format!("http://127.0.0.1%0d%0a:{port}/"),
        format!("http://127.0.0.1 .open.test:{port}/"),
        format!("ht\ttp://127.0.0.\n1:{port}/"),
        "http://127.0.0.1/".to_owned(),
        "http://127.0.0.1:22/".to_owned(),
        "http://127.0.0.1:0/".to_owned(),
        "http://127.0.0.1:65535/".to_owned(),
        "https://[::1]/".to_owned(),
    ];
    both.chain(tricks).collect()
}

/// Whether a redirect to it leads, from an http URL, to another page of the same server.
pub(crate) fn is_relative(url: &str) -> bool {
    url.starts_with("http:127") || url.starts_with("http:/1")
}
