//! A second judge of the guard: slow, written apart from it, by bits and prose instead of networks and tables.
//!
//! It knows the registries by the text of RFC 6890 and its successors, and unwraps embedded addresses by string surgery. Where
//! the guard is stricter than the registries on purpose, the list says so.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

/// What IANA's IPv4 registry does not call globally reachable, and what we refuse beside it, as leading bits of four bytes.
const NEVER_V4: &[([u8; 4], usize)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // Multicast, reserved, and the broadcast address at the end.
    ([224, 0, 0, 0], 3),
    // Azure's host agent, public by number only.
    ([168, 63, 129, 16], 32),
    // Reachable by the registry, but answered by whoever is nearest: relays and AS112.
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 175, 48, 0], 24),
];

/// The same for IPv6, within 2000::/3.
const NEVER_V6: &[(&str, usize)] = &[
    ("2001:0000", 23), // Teredo, benchmarking, ORCHID and other protocols.
    ("2001:0db8", 32),
    ("2002:0000", 16),
    ("2620:004f:8000", 48), // AS112.
    ("3fff:0000", 20),
];

fn bits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:08b}").expect("text takes everything");
        text
    })
}

fn hex_bits(text: &str) -> String {
    let digits = text.chars().filter(|letter| *letter != ':');
    digits.map(|digit| format!("{:04b}", digit.to_digit(16).expect("the list holds hexadecimal digits"))).collect()
}

fn v4_is_public(address: [u8; 4]) -> bool {
    let address = bits(&address);
    !NEVER_V4.iter().any(|(block, length)| address[..*length] == bits(block)[..*length])
}

fn v6_is_public(address: [u8; 16]) -> bool {
    let text = bits(&address);
    let tail: [u8; 4] = address[12..].try_into().expect("four of sixteen");
    // An IPv4 address in an envelope that the network opens is the IPv4 address.
    if text[..80] == "0".repeat(80) && text[80..96] == "1".repeat(16) {
        return v4_is_public(tail);
    }
    if text.starts_with(&(hex_bits("0064:ff9b") + &"0".repeat(64))) {
        return v4_is_public(tail);
    }
    // Everything else that is public begins so.
    if !text.starts_with("001") {
        return false;
    }
    if NEVER_V6.iter().any(|(block, length)| text[..*length] == (hex_bits(block) + &"0".repeat(128))[..*length]) {
        return false;
    }
    let is_isatap = text[64..96] == hex_bits("0000:5efe") || text[64..96] == hex_bits("0200:5efe");
    !is_isatap || v4_is_public(tail)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4_is_public(v4.octets()),
        IpAddr::V6(v6) => v6_is_public(v6.octets()),
    }
}

/// IPv4 addresses, most of them near an edge of a block.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let edge = (0..NEVER_V4.len(), any::<bool>(), -2_i64..=2).prop_map(|(index, at_end, off)| {
        let (block, length) = NEVER_V4[index];
        let first = i64::from(u32::from_be_bytes(block));
        let size = 1_i64 << (32 - length);
        let at = if at_end { first + size - 1 } else { first } + off;
        Ipv4Addr::from(u32::try_from(at.rem_euclid(1 << 32)).expect("within 32 bits"))
    });
    prop_oneof![3 => edge, 1 => any::<u32>().prop_map(Ipv4Addr::from)]
}

/// Every envelope that an IPv4 address travels in.
fn wrapped() -> impl Strategy<Value = Ipv6Addr> {
    (v4(), 0..11_usize, any::<[u16; 4]>()).prop_map(|(v4, way, noise)| {
        let [a, b, c, d] = v4.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let [n, m, o, p] = noise;
        let segments = match way {
            0 => [0, 0, 0, 0, 0, 0xffff, high, low],
            1 => [0, 0, 0, 0, 0, 0, high, low],
            2 => [0, 0, 0, 0, 0xffff, 0, high, low],
            3 => [0x64, 0xff9b, 0, 0, 0, 0, high, low],
            4 => [0x64, 0xff9b, 1, n, m, o, high, low],
            5 => [0x2002, high, low, n, m, o, p, 1],
            6 => [0x2001, 0, high, low, n, m, !o, !p],
            7 => [0x2001, 0, n, m, o, p, !high, !low],
            8 => [0x2a00 | (n & 0xff), m, o, p, 0, 0x5efe, high, low],
            9 => [0x2600, m, o, p, 0x0200, 0x5efe, high, low],
            _ => [0xfe80, 0, 0, 0, n & 0x0200, 0x5efe, high, low],
        };
        Ipv6Addr::from(segments)
    })
}

/// IPv6 addresses near an edge of a block.
fn v6_edge() -> impl Strategy<Value = Ipv6Addr> {
    let blocks: Vec<(String, usize)> = NEVER_V6
        .iter()
        .map(|(text, length)| (hex_bits(text), *length))
        .chain([
            ("001".to_owned(), 3),
            (hex_bits("0064:ff9b"), 96),
            (hex_bits("0064:ff9b:0001"), 48),
            (String::new(), 96),
        ])
        .collect();
    (0..blocks.len(), any::<bool>(), 0..3_u128).prop_map(move |(index, after, off)| {
        let (text, length) = &blocks[index];
        let padded = format!("{text:0<128}");
        let first = u128::from_str_radix(&padded, 2).expect("128 bits");
        let size = 1_u128 << (128 - length);
        let at = if after { first.wrapping_add(size - 1).wrapping_add(off) } else { first.wrapping_sub(off) };
        Ipv6Addr::from(at)
    })
}

fn agree(address: IpAddr) -> Result<(), TestCaseError> {
    let guard = AddressGuard::new(vec![]);
    prop_assert_eq!(guard.check(address).is_ok(), is_public(address), "{}", address);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn both_judges_agree_on_ipv4(address in v4()) {
        agree(address.into())?;
    }

    #[test]
    fn both_judges_agree_on_every_envelope(address in wrapped()) {
        agree(address.into())?;
    }

    #[test]
    fn both_judges_agree_on_ipv6(address in prop_oneof![v6_edge(), any::<u128>().prop_map(Ipv6Addr::from)]) {
        agree(address.into())?;
    }

    #[test]
    fn what_is_allowed_opens_itself_and_nothing_else(v4 in v4(), other in v4(), wrapped in wrapped()) {
        let guard = AddressGuard::new(vec![IpNet::from(IpAddr::from(v4))]);
        prop_assert!(guard.check(v4.into()).is_ok());
        prop_assert_eq!(guard.check(other.into()).is_ok(), other == v4 || is_public(other.into()));
        let only = AddressGuard::only(vec![IpNet::from(IpAddr::from(v4))]);
        prop_assert_eq!(only.check(other.into()).is_ok(), other == v4);
        // No envelope but the one that the kernel opens by itself.
        prop_assert_eq!(only.check(wrapped.into()).is_ok(), wrapped.to_ipv4_mapped() == Some(v4));
    }
}

#[test]
fn the_second_judge_is_no_yes_man() {
    for (address, expected) in [
        ("8.8.8.8", true),
        ("127.0.0.1", false),
        ("255.255.255.255", false),
        ("2a00:1450::1", true),
        ("::1", false),
        ("::ffff:8.8.8.8", true),
        ("::ffff:10.0.0.1", false),
        ("64:ff9b::8.8.8.8", true),
        ("64:ff9b::a9fe:a9fe", false),
        ("64:ff9b:1::8.8.8.8", false),
        ("2002:808:808::1", false),
        ("2001:0:808:808::1", false),
        ("2a00::5efe:10.0.0.1", false),
        ("2a00::5efe:8.8.8.8", true),
        ("fd00:ec2::254", false),
    ] {
        assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
    }
}
