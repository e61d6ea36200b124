//! The checksums that S3 keeps of whole objects. An ETag is none: what it is made of depends on how the object came in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderValue};

use crate::adapters::fetch::answer::{self, Coding};
use crate::adapters::fetch::part::Part;
use crate::domain::crc::Crc;
use crate::domain::digest::Sha256;
use crate::ports::fetcher::Announced;

/// The checksums that came with an answer, of the whole content as it is sent.
pub(super) fn of(headers: &HeaderMap, part: &Part) -> Announced {
    let composite = answer::text(headers, "x-amz-checksum-type").is_some_and(|kind| kind == "COMPOSITE");
    if composite {
        return part.announced.clone();
    }
    let sha256 = sum::<32>(headers, "x-amz-checksum-sha256").and_then(|sum| Sha256::from_bytes(&sum));
    // Nobody behind a decoder sees the bytes that a CRC is of.
    let plain = part.coding == Coding::Identity;
    Announced { sha256: sha256.or(part.announced.sha256), crc: crc(headers).filter(|_| plain), md5: part.announced.md5 }
}

fn crc(headers: &HeaderMap) -> Option<Crc> {
    let crc64 = sum(headers, "x-amz-checksum-crc64nvme").map(|sum| Crc::Crc64Nvme(u64::from_be_bytes(sum)));
    let crc32c = || sum(headers, "x-amz-checksum-crc32c").map(|sum| Crc::Crc32c(u32::from_be_bytes(sum)));
    let crc32 = || sum(headers, "x-amz-checksum-crc32").map(|sum| Crc::Crc32(u32::from_be_bytes(sum)));
    crc64.or_else(crc32c).or_else(crc32)
}

/// A sum over parts' sums ends in `-` and their number, which is no base64, and counts as absent.
fn sum<const BYTES: usize>(headers: &HeaderMap, name: &'static str) -> Option<[u8; BYTES]> {
    STANDARD.decode(answer::text(headers, name)?).ok()?.try_into().ok()
}

/// Takes away the coding of the upload, which some servers keep although the bytes have it no more.
pub(super) fn drop_upload_coding(headers: &mut HeaderMap) {
    let Some(codings) = answer::text(headers, CONTENT_ENCODING) else {
        return;
    };
    let kept: Vec<&str> = codings.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
    headers.remove(CONTENT_ENCODING);
    if !kept.is_empty()
        && let Ok(kept) = HeaderValue::from_str(&kept.join(","))
    {
        headers.insert(CONTENT_ENCODING, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::fetcher::Want;

    fn announced(fields: &[(&'static str, &'static str)]) -> Announced {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        drop_upload_coding(&mut headers);
        let part = Part::of(200, &headers, "h", &Want::Body).unwrap();
        of(&headers, &part)
    }

    // The digest of "abc" as in FIPS 180-2; the sums of "123456789" as in the catalogue of CRC algorithms.
    const SHA256: (&str, &str) = ("x-amz-checksum-sha256", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    const CRC64: (&str, &str) = ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=");
    const CRC32: (&str, &str) = ("x-amz-checksum-crc32", "y/Q5Jg==");

    #[test]
    fn sums_of_the_whole_are_taken() {
        assert_eq!(announced(&[SHA256]).sha256, Some(Sha256::of(b"abc")));
        assert_eq!(announced(&[CRC32]).crc, Some(Crc::Crc32(0xcbf4_3926)));
        let both = announced(&[CRC32, CRC64]);
        assert_eq!(both.crc, Some(Crc::Crc64Nvme(0xae8b_1486_0a79_9888)));
    }

    #[test]
    fn sums_of_sums_and_etags_are_not() {
        let of_parts = ("x-amz-checksum-sha256", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=-2");
        assert_eq!(announced(&[of_parts]), Announced::default());
        assert_eq!(announced(&[SHA256, ("x-amz-checksum-type", "COMPOSITE")]), Announced::default());
        assert_eq!(announced(&[("etag", "\"900150983cd24fb0d6963f7d28e17f72\"")]), Announced::default());
    }

    #[test]
    fn the_coding_of_the_upload_is_no_coding_of_the_object() {
        assert_eq!(announced(&[CRC32, ("content-encoding", "aws-chunked")]).crc, Some(Crc::Crc32(0xcbf4_3926)));
        let zipped = announced(&[CRC32, SHA256, ("content-encoding", "aws-chunked,gzip")]);
        assert_eq!((zipped.crc, zipped.sha256), (None, Some(Sha256::of(b"abc"))));
    }
}
