//! The checksum of what is sent in parts, from the checksums of the parts: of the whole, where the algorithm allows it, or S3's
//! composite of them.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html#full-object-checksums>

use crc_fast::CrcAlgorithm;

use crate::body::checksum::{Algorithm, Checksum, Hasher};

impl Checksum {
    /// Over all bytes of the parts, each given with its length in bytes. Only CRCs can be put together so; `None` for all others,
    /// for no part at all, and for parts of different algorithms.
    pub fn of_whole(parts: &[(Self, u64)]) -> Option<Self> {
        let ((first, _), rest) = parts.split_first()?;
        let algorithm = first.algorithm;
        let crc = match algorithm {
            Algorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Algorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Algorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Algorithm::Sha1
            | Algorithm::Sha256
            | Algorithm::Sha512
            | Algorithm::Md5
            | Algorithm::XxHash64
            | Algorithm::XxHash3
            | Algorithm::XxHash128 => return None,
        };
        let mut sum = first.number();
        for (next, len) in rest {
            if next.algorithm != algorithm {
                return None;
            }
            sum = crc_fast::checksum_combine(crc, sum, next.number(), *len);
        }
        let bytes = sum.to_be_bytes();
        Self::new(algorithm, bytes.get(8 - algorithm.value_len()..)?)
    }

    /// Over the parts' values, one behind the other: what S3 calls COMPOSITE and writes with `-` and the number of parts behind it.
    /// `None` for no part at all, and for parts of different algorithms.
    pub fn of_values<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut hasher: Option<Hasher> = None;
        for part in parts {
            let hasher = hasher.get_or_insert_with(|| Hasher::new(part.algorithm));
            if hasher.algorithm() != part.algorithm {
                return None;
            }
            hasher.update(part.value());
        }
        hasher.map(Hasher::finish)
    }

    /// A CRC as a number.
    fn number(&self) -> u64 {
        self.value().iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOX: &[u8] = b"The quick brown fox jumps over the lazy dog";

    #[test]
    fn crcs_of_parts_make_the_crc_of_the_whole() {
        for algorithm in Algorithm::ALL {
            for cuts in [vec![43], vec![0, 43], vec![1, 10, 32], vec![20, 0, 23], vec![0]] {
                let mut rest = FOX;
                let mut parts = Vec::new();
                for cut in &cuts {
                    let (part, after) = rest.split_at(*cut);
                    parts.push((Checksum::of(algorithm, part), *cut as u64));
                    rest = after;
                }
                let whole = Checksum::of(algorithm, &FOX[..FOX.len() - rest.len()]);
                let is_crc = matches!(algorithm, Algorithm::Crc32 | Algorithm::Crc32c | Algorithm::Crc64Nvme);
                let expected = is_crc.then_some(whole);
                assert_eq!(Checksum::of_whole(&parts), expected, "{algorithm:?} {cuts:?}");
            }
        }
        assert_eq!(Checksum::of_whole(&[]), None);
    }

    #[test]
    fn a_composite_is_over_the_values() {
        let parts = [
            Checksum::of(Algorithm::Sha256, b"one"),
            Checksum::of(Algorithm::Sha256, b"two"),
        ];
        let values = [parts[0].value(), parts[1].value()].concat();
        assert_eq!(
            Checksum::of_values(&parts),
            Some(Checksum::of(Algorithm::Sha256, &values))
        );
        let mixed = [parts[0], Checksum::of(Algorithm::Md5, b"two")];
        assert_eq!(Checksum::of_values(&mixed), None);
        assert_eq!(Checksum::of_values(&[]), None);
    }
}
