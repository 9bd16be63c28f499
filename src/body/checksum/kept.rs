//! The checksums that stay with a whole object, sealed: between what clients name them and how the format keeps them.

use crate::body::checksum::{Algorithm, Checksum};
use crate::seal::{self, ChecksumKind, Checksums, MetadataKey, SealError};

impl Algorithm {
    /// As the format keeps it.
    pub const fn kind(self) -> ChecksumKind {
        match self {
            Self::Crc32 => ChecksumKind::Crc32,
            Self::Crc32c => ChecksumKind::Crc32c,
            Self::Crc64Nvme => ChecksumKind::Crc64Nvme,
            Self::Sha1 => ChecksumKind::Sha1,
            Self::Sha256 => ChecksumKind::Sha256,
            Self::Sha512 => ChecksumKind::Sha512,
            Self::Md5 => ChecksumKind::Md5,
            Self::XxHash64 => ChecksumKind::XxHash64,
            Self::XxHash3 => ChecksumKind::XxHash3,
            Self::XxHash128 => ChecksumKind::XxHash128,
        }
    }

    /// As S3 names it; what a client of Azure only claimed is none of S3's.
    pub const fn of_kind(kind: ChecksumKind) -> Option<Self> {
        Some(match kind {
            ChecksumKind::Crc32 => Self::Crc32,
            ChecksumKind::Crc32c => Self::Crc32c,
            ChecksumKind::Crc64Nvme => Self::Crc64Nvme,
            ChecksumKind::Sha1 => Self::Sha1,
            ChecksumKind::Sha256 => Self::Sha256,
            ChecksumKind::Sha512 => Self::Sha512,
            ChecksumKind::Md5 => Self::Md5,
            ChecksumKind::XxHash64 => Self::XxHash64,
            ChecksumKind::XxHash3 => Self::XxHash3,
            ChecksumKind::XxHash128 => Self::XxHash128,
            ChecksumKind::ClaimedMd5 => return None,
        })
    }
}

impl Checksum {
    /// Sealed for the object whose key this is, as text for its metadata.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn sealed(&self, key: &MetadataKey) -> Result<String, SealError> {
        let mut kept = Checksums::default();
        // The value is as long as its algorithm makes it.
        let _ = kept.add(seal::Checksum {
            kind: self.algorithm.kind(),
            parts: None,
            value: self.value(),
        });
        key.seal_checksums(&kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_of_s3_can_be_kept() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::of_kind(algorithm.kind()), Some(algorithm));
            assert_eq!(algorithm.kind().value_len(), algorithm.value_len());
        }
        assert_eq!(Algorithm::of_kind(ChecksumKind::ClaimedMd5), None);
    }
}
