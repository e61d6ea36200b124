//! Checksums that object stores keep beside an object: good against damage, not against forgers.

use crc_fast::{CrcAlgorithm, Digest};

/// A checksum of a whole content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crc {
    /// CRC-64/NVME.
    Crc64Nvme(u64),
    /// CRC-32C (Castagnoli).
    Crc32c(u32),
    /// CRC-32 as in zip files.
    Crc32(u32),
}

/// Takes the checksum of the kind that was announced, over bytes in the order in which they are given.
#[derive(Clone)]
pub struct CrcHasher {
    announced: Crc,
    digest: Digest,
}

impl CrcHasher {
    /// Begins a checksum that will be compared with `announced`.
    #[must_use]
    pub fn new(announced: Crc) -> Self {
        let algorithm = match announced {
            Crc::Crc64Nvme(_) => CrcAlgorithm::Crc64Nvme,
            Crc::Crc32c(_) => CrcAlgorithm::Crc32Iscsi,
            Crc::Crc32(_) => CrcAlgorithm::Crc32IsoHdlc,
        };
        let digest = Digest::new(algorithm);
        Self { announced, digest }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// Whether the bytes given so far have the checksum that was announced.
    #[must_use]
    pub fn fits(&self) -> bool {
        let announced = match self.announced {
            Crc::Crc64Nvme(sum) => sum,
            Crc::Crc32c(sum) | Crc::Crc32(sum) => u64::from(sum),
        };
        self.digest.finalize() == announced
    }
}

impl std::fmt::Debug for CrcHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CrcHasher({:?})", self.announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(announced: Crc, fits: bool) {
        let mut hasher = CrcHasher::new(announced);
        hasher.update(b"1234");
        hasher.update(b"56789");
        assert_eq!(hasher.fits(), fits, "{announced:?}");
    }

    // The check values of the catalogue of parametrised CRC algorithms.
    #[test]
    fn each_kind_gives_the_value_of_the_catalogue() {
        check(Crc::Crc64Nvme(0xae8b_1486_0a79_9888), true);
        check(Crc::Crc32c(0xe306_9283), true);
        check(Crc::Crc32(0xcbf4_3926), true);
        check(Crc::Crc64Nvme(1), false);
        check(Crc::Crc32c(0xcbf4_3926), false);
        check(Crc::Crc32(0xe306_9283), false);
    }
}
