//! Durations, sizes, rates and networks, as people write them.
//!
//! A number without a unit is refused wherever a unit is meant, so that nobody's 30 becomes milliseconds.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::text::{Text, text_type};

/// A length of time, written as `"200ms"`, `"30s"`, `"2m"`, `"11h"`, `"7d"` or joined, `"1h30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// Wraps a duration; what is finer than a millisecond is cut off.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the duration.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Text for TimeSpan {
    const EXPECTED: &'static str = "a duration such as \"200ms\", \"30s\", \"2m\" or \"11h\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("{text:?} {why}: write {}", Self::EXPECTED);
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(refused("is no duration"));
        }
        let mut total_ms: u64 = 0;
        while !rest.is_empty() {
            let (number, unit, further) = number_and_unit(rest).ok_or_else(|| refused("is no duration"))?;
            let scale = scale_of(unit, &TIME_UNITS).ok_or_else(|| refused(&unit_problem(unit)))?;
            let part = number.checked_mul(scale).ok_or_else(|| refused("is too long"))?;
            total_ms = total_ms.checked_add(part).ok_or_else(|| refused("is too long"))?;
            rest = further;
        }
        Ok(Self(Duration::from_millis(total_ms)))
    }

    fn to_text(&self) -> String {
        let whole_ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        match TIME_UNITS.iter().find(|(_, scale)| whole_ms > 0 && whole_ms.is_multiple_of(*scale)) {
            Some((unit, scale)) => format!("{}{unit}", whole_ms / scale),
            None => "0s".to_owned(),
        }
    }
}
text_type!(TimeSpan);

/// A number of bytes, written as `"512B"`, `"64kB"`, `"64MB"`, `"1KiB"`, `"64MiB"`, `"50GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Wraps a number of bytes.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

const SIZE_UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

impl Text for ByteSize {
    const EXPECTED: &'static str = "a size such as \"64kB\", \"1KiB\", \"64MiB\" or \"50GiB\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("{text:?} {why}: write {}", Self::EXPECTED);
        let (number, unit, rest) = number_and_unit(text.trim()).ok_or_else(|| refused("is no size"))?;
        let scale = scale_of(unit, &SIZE_UNITS).ok_or_else(|| refused(&unit_problem(unit)))?;
        if !rest.is_empty() {
            return Err(refused("is no size"));
        }
        number.checked_mul(scale).map(Self).ok_or_else(|| refused("is too large"))
    }

    fn to_text(&self) -> String {
        match SIZE_UNITS.iter().find(|(_, scale)| self.0 > 0 && self.0.is_multiple_of(*scale)) {
            Some((unit, scale)) => format!("{}{unit}", self.0 / scale),
            None => "0B".to_owned(),
        }
    }
}
text_type!(ByteSize);

/// Bytes a second, written as a size; empty text is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate(Option<ByteSize>);

impl ByteRate {
    /// Returns the bytes a second, or nothing where there is no limit.
    #[must_use]
    pub fn get(self) -> Option<u64> {
        self.0.map(ByteSize::get)
    }
}

impl Text for ByteRate {
    const EXPECTED: &'static str = "a size for each second such as \"10MiB\", or \"\" for no limit";

    fn from_text(text: &str) -> Result<Self, String> {
        match Option::<ByteSize>::from_text(text)? {
            Some(ByteSize(0)) => Err("a limit of 0 would let nothing through: write \"\" for no limit".to_owned()),
            rate => Ok(Self(rate)),
        }
    }

    fn to_text(&self) -> String {
        self.0.to_text()
    }
}
text_type!(ByteRate);

/// Requests a second: a number above 0, fractions too.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, schemars::JsonSchema)]
pub struct RequestRate(f64);

impl RequestRate {
    /// Returns the requests a second: finite, above 0 and at most a million.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Serialize for RequestRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A whole number is shown as it was written, without ".0".
        match format!("{}", self.0).parse::<u32>() {
            Ok(whole) => serializer.serialize_u32(whole),
            Err(_) => serializer.serialize_f64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for RequestRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rate = f64::deserialize(deserializer)?;
        if rate > 0.0 && rate <= 1_000_000.0 {
            Ok(Self(rate))
        } else {
            Err(de::Error::custom(format!(
                "{rate} is out of range: write a number above 0, at most 1000000, such as 100 or 0.5"
            )))
        }
    }
}

/// A range of IP addresses, written as `"10.0.0.0/8"`; a single address stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Returns the network, its host bits cleared.
    #[must_use]
    pub fn get(self) -> IpNet {
        self.0
    }
}

impl Text for Network {
    const EXPECTED: &'static str = "a network such as \"10.0.0.0/8\" or \"fd00::/8\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let network = network.map_err(|_| format!("{text:?} is no network: write {}", Self::EXPECTED))?;
        Ok(Self(network.trunc()))
    }

    fn to_text(&self) -> String {
        self.0.to_string()
    }
}
text_type!(Network);

/// Splits `12ms34s` into 12, `ms` and `34s`.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(digits_end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, further) = rest.split_at(unit_end);
    Some((digits.parse().ok()?, unit.trim(), further))
}

fn scale_of(unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

fn unit_problem(unit: &str) -> String {
    if unit.is_empty() { "has no unit".to_owned() } else { format!("has an unknown unit {unit:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Text>(input: &str, expected: Result<&str, &str>) {
        match (T::from_text(input), expected) {
            (Ok(value), Ok(text)) => assert_eq!(value.to_text(), text, "{input}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{input}: {message}"),
            (Ok(value), Err(part)) => {
                panic!("{input}: got {}, expected to be refused: {part}", value.to_text())
            }
            (Err(message), Ok(_)) => panic!("{input}: {message}"),
        }
    }

    #[test]
    fn durations_are_read_with_their_units_and_written_with_the_largest_that_fits() {
        for (input, expected) in [
            ("30s", "30s"),
            ("200ms", "200ms"),
            ("120s", "2m"),
            ("11h", "11h"),
            ("90m", "90m"),
            ("1h30m", "90m"),
            ("7d", "7d"),
            ("0s", "0s"),
            ("0ms", "0s"),
            (" 5 s ", "5s"),
        ] {
            check::<TimeSpan>(input, Ok(expected));
        }
        for (input, part) in [
            ("30", "has no unit"),
            ("", "is no duration"),
            ("5x", "unknown unit \"x\""),
            ("5S", "unknown unit"),
            ("s", "is no duration"),
            ("-5s", "is no duration"),
            ("1.5s", "unknown unit"),
            ("1h5", "has no unit"),
            ("99999999999999999999s", "is no duration"),
            ("9999999999999999999h", "is too long"),
        ] {
            check::<TimeSpan>(input, Err(part));
        }
        assert_eq!("2m".parse::<TimeSpan>().unwrap().get(), Duration::from_secs(120));
    }

    #[test]
    fn sizes_know_binary_and_decimal_units() {
        for (input, bytes, shown) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("1KiB", 1024, "1KiB"),
            ("50GiB", 50 << 30, "50GiB"),
            ("2TiB", 2 << 40, "2TiB"),
            ("64kB", 64_000, "64kB"),
            ("64KB", 64_000, "64kB"),
            ("5MB", 5_000_000, "5MB"),
            ("3GB", 3_000_000_000, "3GB"),
            ("512B", 512, "512B"),
            ("0B", 0, "0B"),
            ("10 MiB", 10 << 20, "10MiB"),
        ] {
            check::<ByteSize>(input, Ok(shown));
            assert_eq!(input.parse::<ByteSize>().unwrap().get(), bytes, "{input}");
        }
        for (input, part) in [
            ("1000", "has no unit"),
            ("", "is no size"),
            ("64mib", "unknown unit"),
            ("64M", "unknown unit"),
            ("1MiB5", "is no size"),
            ("-1B", "is no size"),
            ("99999999999TiB", "is too large"),
        ] {
            check::<ByteSize>(input, Err(part));
        }
    }

    #[test]
    fn a_byte_rate_may_be_absent_but_not_zero() {
        check::<ByteRate>("", Ok(""));
        check::<ByteRate>("10MiB", Ok("10MiB"));
        check::<ByteRate>("0B", Err("would let nothing through"));
        assert_eq!(ByteRate::from_text("").unwrap().get(), None);
        assert_eq!(ByteRate::from_text("1kB").unwrap().get(), Some(1000));
    }

    #[test]
    fn networks_lose_host_bits_and_single_addresses_stand_for_themselves() {
        check::<Network>("127.0.0.0/8", Ok("127.0.0.0/8"));
        check::<Network>("10.1.2.3/8", Ok("10.0.0.0/8"));
        check::<Network>("192.0.2.7", Ok("192.0.2.7/32"));
        check::<Network>("::1", Ok("::1/128"));
        check::<Network>("fd00::/8", Ok("fd00::/8"));
        check::<Network>("localhost", Err("is no network"));
        check::<Network>("10.0.0.0/33", Err("is no network"));
    }
}
