//! The checksums that Google keeps of an object, and of which bytes they are: of those that are stored, which are not always
//! those that are sent.
//!
//! An object may be stored compressed and unpacked on its way, or be compressed on its way. Only where what is sent, or what is
//! left of it when its coding is undone, is what is stored, is there anything to compare.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;

use crate::adapters::fetch::answer::{self, Coding};
use crate::domain::crc::Crc;
use crate::ports::fetcher::Announced;

/// Whatever an answer is checked against.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sums {
    /// Sums of the bytes as they are sent.
    pub(super) sent: Announced,
    /// Sums of the bytes without their coding.
    pub(super) decoded: Announced,
    /// Whether the bytes are sent as they are stored, so that a part of them is the same part of the object.
    pub(super) is_as_stored: bool,
}

impl Sums {
    /// Reads them of an answer whose body comes in `coding`.
    pub(super) fn of(headers: &HeaderMap, coding: Coding) -> Self {
        let sums = kept(headers);
        let stored = answer::text(headers, "x-goog-stored-content-encoding");
        let is_stored_plain = stored.as_deref().is_some_and(|stored| stored.eq_ignore_ascii_case("identity"));
        match (coding, stored) {
            // Nothing says how it is stored: as it is sent, then.
            (Coding::Identity, None) => Self { sent: sums, is_as_stored: true, ..Self::default() },
            (Coding::Identity, Some(_)) if is_stored_plain => {
                Self { sent: sums, is_as_stored: true, ..Self::default() }
            }
            // Unpacked on its way.
            (Coding::Identity, Some(_)) => Self::default(),
            // Packed on its way.
            (Coding::Gzip | Coding::Zstd, Some(_)) if is_stored_plain => Self { decoded: sums, ..Self::default() },
            (Coding::Gzip | Coding::Zstd, Some(_) | None) => Self { sent: sums, is_as_stored: true, ..Self::default() },
        }
    }
}

/// `crc32c=…` and `md5=…`, in one field or several. Of composed objects there is no MD5.
fn kept(headers: &HeaderMap) -> Announced {
    let fields = headers.get_all("x-goog-hash").into_iter().filter_map(|value| value.to_str().ok());
    let pairs: Vec<_> =
        fields.flat_map(|field| field.split(',')).filter_map(|pair| pair.trim().split_once('=')).collect();
    let of = |name: &str| pairs.iter().find(|(kind, _)| *kind == name).map(|(_, sum)| *sum);
    let crc = of("crc32c").and_then(decoded).map(|sum| Crc::Crc32c(u32::from_be_bytes(sum)));
    Announced { sha256: None, crc, md5: of("md5").and_then(decoded) }
}

fn decoded<const BYTES: usize>(sum: &str) -> Option<[u8; BYTES]> {
    STANDARD.decode(sum).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The CRC of "123456789" as in the catalogue of CRC algorithms; the MD5 of "abc" as in RFC 1321.
    const CRC: &str = "crc32c=4waSgw==";
    const MD5: &str = "md5=kAFQmDzST7DWlj99KOF/cg==";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a field"));
        }
        headers
    }

    #[test]
    fn sums_are_read_in_one_field_or_several() {
        let both = format!("{CRC},{MD5}");
        for fields in [&[("x-goog-hash", both.as_str())][..], &[("x-goog-hash", MD5), ("x-goog-hash", CRC)][..]] {
            let found = kept(&headers(fields));
            assert_eq!(found.crc, Some(Crc::Crc32c(0xe306_9283)));
            assert_eq!(found.md5.map(|sum| sum[0]), Some(0x90));
        }
        for odd in ["crc32c=!", "crc32c=4waS", "md5", "sha1=4waSgw=="] {
            assert_eq!(kept(&headers(&[("x-goog-hash", odd)])), Announced::default(), "{odd}");
        }
    }

    #[test]
    fn sums_are_of_what_is_stored() {
        let stored = |coding: Option<&str>, sent| {
            let mut headers = headers(&[("x-goog-hash", CRC)]);
            if let Some(coding) = coding {
                headers.insert("x-goog-stored-content-encoding", coding.parse().expect("a field"));
            }
            let sums = Sums::of(&headers, sent);
            (sums.sent.crc.is_some(), sums.decoded.crc.is_some(), sums.is_as_stored)
        };
        for (coding, sent, expected) in [
            (None, Coding::Identity, (true, false, true)),
            (Some("identity"), Coding::Identity, (true, false, true)),
            (Some("gzip"), Coding::Gzip, (true, false, true)),
            (None, Coding::Gzip, (true, false, true)),
            (Some("gzip"), Coding::Identity, (false, false, false)),
            (Some("br"), Coding::Identity, (false, false, false)),
            (Some("identity"), Coding::Gzip, (false, true, false)),
        ] {
            assert_eq!(stored(coding, sent), expected, "{coding:?} {sent:?}");
        }
    }
}
