//! The guard's table, edge by edge, and the laws that hold for every address.

use super::*;
use proptest::prelude::*;

fn guard(allow: &[&str]) -> AddressGuard {
    AddressGuard::new(allow.iter().map(|text| text.parse().unwrap()).collect())
}

fn passes(address: &str) -> bool {
    guard(&[]).check(address.parse().unwrap()).is_ok()
}

fn check(addresses: &[&str], expected: bool) {
    for address in addresses {
        assert_eq!(passes(address), expected, "{address}");
    }
}

#[test]
fn both_edges_of_every_ipv4_block_are_refused_and_their_neighbours_pass() {
    let guard = guard(&[]);
    let inside =
        |address: u32| REFUSED_V4.iter().any(|(text, _)| net::<Ipv4Net>(text).contains(&Ipv4Addr::from(address)));
    for (text, _) in REFUSED_V4 {
        let block: Ipv4Net = net(text);
        let (first, last) = (u32::from(block.network()), u32::from(block.broadcast()));
        for address in [first, last, first + (last - first) / 2] {
            assert!(guard.check(Ipv4Addr::from(address).into()).is_err(), "{text}");
        }
        for neighbour in [first.wrapping_sub(1), last.wrapping_add(1)] {
            let found = guard.check(Ipv4Addr::from(neighbour).into()).is_err();
            assert_eq!(found, inside(neighbour), "{text}");
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, a line an edge")]
fn the_ipv4_blocks_are_those_of_the_registry_and_the_clouds() {
    check(
        &[
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.9",
            "192.0.0.192",
            "192.0.0.255",
            "192.0.2.1",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.175.48.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ],
        false,
    );
    check(
        &[
            "1.0.0.0",
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
        ],
        true,
    );
}

#[test]
fn of_ipv6_only_global_unicast_less_its_special_blocks_passes() {
    check(
        &[
            "::",
            "::1",
            "1fff:ffff::1",
            "4000::1",
            "64:ff9b:1::8.8.8.8",
            "64:ff9b:1:ffff::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:1ff:ffff::1",
            "2001:2::1",
            "2001:20::1",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "2002::1",
            "2002:ffff::1",
            "2620:4f:8000::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff00::1",
            "ff02::1",
            "ff0e::1",
        ],
        false,
    );
    check(
        &[
            "2000::1",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "2620:4f:7fff::1",
            "2620:4f:8001::1",
            "2a00:1450::1",
            "3ffe:ffff::1",
            "3fff:1000::1",
        ],
        true,
    );
}

#[test]
fn an_ipv4_address_inside_an_ipv6_one_counts_as_itself() {
    check(
        &[
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            // Teredo: 127.0.0.1 as client (inverted) and as server.
            "2001:0:808:808::80ff:fffe",
            "2001:0:7f00:1::f7f7:f7f7",
            "2a00:1450::5efe:127.0.0.1",
            "2a00:1450::200:5efe:10.0.0.1",
            "fe80::5efe:8.8.8.8",
        ],
        false,
    );
    check(&["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2a00:1450::5efe:8.8.8.8", "2a00:1450::200:5efe:8.8.8.8"], true);
}

#[test]
fn what_the_operator_allows_is_looked_at_first_and_allows_no_more() {
    let guard = guard(&["127.0.0.2/32", "fd00:1::/64"]);
    let passes = |text: &str| guard.check(text.parse().unwrap()).is_ok();
    for address in ["127.0.0.2", "::ffff:127.0.0.2", "64:ff9b::127.0.0.2", "fd00:1::7", "8.8.8.8"] {
        assert!(passes(address), "{address}");
    }
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "::127.0.0.2", "2002:7f00:2::", "fd00:2::7"] {
        assert!(!passes(address), "{address}");
    }
}

#[test]
fn metadata_services_are_refused_by_name_too() {
    let guard = guard(&["0.0.0.0/0"]);
    for name in ["metadata.google.internal", "METADATA.google.internal.", "metadata", "instance-data"] {
        assert!(guard.check_host(&Host::Domain(name)).is_err(), "{name}");
    }
    for name in ["metadata.google.internal.example.com", "example.com", "localhost"] {
        assert!(guard.check_host(&Host::Domain(name)).is_ok(), "{name}");
    }
}

proptest! {
    #[test]
    fn nothing_but_global_unicast_and_public_ipv4_ever_passes(bits: u128) {
        let address = Ipv6Addr::from(bits);
        if guard(&[]).check(address.into()).is_ok() {
            let first = address.octets()[0];
            let held = address.to_ipv4_mapped().or_else(|| {
                (address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0]).then(|| low_v4(address))
            });
            match held {
                Some(v4) => prop_assert!(guard(&[]).check(v4.into()).is_ok()),
                None => prop_assert!((0x20..=0x3f).contains(&first)),
            }
        }
    }

    #[test]
    fn an_ipv4_address_is_never_let_through_by_a_wrapping_that_is_dialled_as_it(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let plain = guard(&[]).check(v4.into()).is_ok();
        prop_assert_eq!(plain, guard(&[]).check(v4.to_ipv6_mapped().into()).is_ok());
        let [a, b, c, d] = v4.octets();
        let low = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, low[0], low[1]);
        prop_assert_eq!(plain, guard(&[]).check(nat64.into()).is_ok());
        for never in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, low[0], low[1]),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, low[0], low[1]),
            Ipv6Addr::new(0x2002, low[0], low[1], 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, low[0], low[1], 0, 0, !low[0], !low[1]),
        ] {
            prop_assert!(guard(&[]).check(never.into()).is_err(), "{}", never);
        }
    }
}

#[test]
fn a_guard_for_allowed_networks_only_refuses_public_addresses_too() {
    let guard = AddressGuard::only(vec!["10.0.0.0/8".parse().unwrap()]);
    for (address, passes) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("8.8.8.8", false), ("127.0.0.1", false)] {
        assert_eq!(guard.check(address.parse().unwrap()).is_ok(), passes, "{address}");
    }
}

#[test]
fn an_open_guard_lets_the_operators_hosts_through() {
    let guard = AddressGuard::open();
    for address in ["169.254.169.254", "127.0.0.1", "10.0.0.1", "::1", "8.8.8.8"] {
        assert_eq!(guard.check(address.parse().unwrap()), Ok(()), "{address}");
    }
    assert_eq!(guard.check_name("metadata.google.internal"), Ok(()));
}
