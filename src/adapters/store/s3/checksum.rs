//! CRC-64/NVME as S3 wants it: of a part, and of a whole from its parts' without looking at the bytes again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm::Crc64Nvme;

/// The sum of a run of bytes, and how many there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checksum {
    sum: u64,
    bytes: u64,
}

impl Checksum {
    pub(super) fn of(content: &[u8]) -> Self {
        let sum = crc_fast::checksum(Crc64Nvme, content);
        Self { sum, bytes: content.len() as u64 }
    }

    /// The sum of these bytes and then `next`'s.
    pub(super) fn then(self, next: Self) -> Self {
        let sum = crc_fast::checksum_combine(Crc64Nvme, self.sum, next.sum, next.bytes);
        Self { sum, bytes: self.bytes + next.bytes }
    }

    pub(super) fn bytes(self) -> u64 {
        self.bytes
    }

    /// As it stands in `x-amz-checksum-crc64nvme`: big-endian, base64.
    pub(super) fn to_header(self) -> String {
        STANDARD.encode(self.sum.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_one_that_catalogues_give() {
        // The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
        assert_eq!(Checksum::of(b"123456789").sum, 0xae8b_1486_0a79_9888);
    }

    #[test]
    fn sums_of_parts_make_the_sum_of_the_whole() {
        let whole = b"one part, another part, and a short one";
        for cut in 0..whole.len() {
            let (one, two) = whole.split_at(cut);
            let joined = Checksum::of(b"").then(Checksum::of(one)).then(Checksum::of(two));
            assert_eq!(joined, Checksum::of(whole), "cut at {cut}");
        }
    }
}
