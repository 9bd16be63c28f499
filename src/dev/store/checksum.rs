//! Checksums: what the store computes, keeps and returns; `claims` reads what clients say.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::{S3Error, S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// The five algorithms every SDK knows. S3's newer ones (SHA512, XXHASH…) are refused, not stored unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64nvme,
    Sha1,
    Sha256,
}

/// Whether a value is of the object's bytes, or of its parts' checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    FullObject,
    Composite,
}

/// A checksum as S3 writes it: base64, followed by `-N` when composite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    pub algorithm: Algorithm,
    pub kind: Kind,
    pub value: String,
}

/// Copies a checksum into the five fields that every `s3s` output has for it.
macro_rules! set_checksum {
    ($output:expr, $checksum:expr) => {{
        let checksum: &$crate::dev::store::checksum::Checksum = $checksum;
        let value = Some(checksum.value.clone());
        match checksum.algorithm {
            $crate::dev::store::checksum::Algorithm::Crc32 => $output.checksum_crc32 = value,
            $crate::dev::store::checksum::Algorithm::Crc32c => $output.checksum_crc32c = value,
            $crate::dev::store::checksum::Algorithm::Crc64nvme => $output.checksum_crc64nvme = value,
            $crate::dev::store::checksum::Algorithm::Sha1 => $output.checksum_sha1 = value,
            $crate::dev::store::checksum::Algorithm::Sha256 => $output.checksum_sha256 = value,
        }
    }};
}
pub(super) use set_checksum;

impl Algorithm {
    /// From any spelling: `CRC32`, or the end of a header's name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Crc32, Self::Crc32c, Self::Crc64nvme, Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub fn header(self) -> String {
        format!("x-amz-checksum-{}", self.as_str().to_ascii_lowercase())
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The type of a multipart object whose creator named only the algorithm.
    pub const fn default_kind(self) -> Kind {
        match self {
            Self::Crc64nvme => Kind::FullObject,
            Self::Crc32 | Self::Crc32c | Self::Sha1 | Self::Sha256 => Kind::Composite,
        }
    }

    /// Whether S3 has multipart objects of this algorithm and type: a SHA can't be computed from parts, and
    /// CRC64NVME is only ever of the whole.
    pub const fn allows(self, kind: Kind) -> bool {
        match self {
            Self::Crc32 | Self::Crc32c => true,
            Self::Crc64nvme => matches!(kind, Kind::FullObject),
            Self::Sha1 | Self::Sha256 => matches!(kind, Kind::Composite),
        }
    }

    /// `value` if it has the form of this algorithm's checksum.
    pub fn check(self, value: &str) -> S3Result<()> {
        match BASE64_STANDARD.decode(value) {
            Ok(bytes) if bytes.len() == self.bytes() => Ok(()),
            _ => Err(s3_error!(
                InvalidRequest,
                "Value for {} header is invalid.",
                self.header()
            )),
        }
    }
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }
}

impl Checksum {
    /// Of an object completed from parts with these checksums.
    pub fn composite<'a>(algorithm: Algorithm, parts: impl Iterator<Item = &'a Self>) -> S3Result<Self> {
        let mut hasher = Hasher::new(algorithm);
        let mut count = 0;
        for part in parts {
            hasher.update(&BASE64_STANDARD.decode(&part.value).map_err(S3Error::internal_error)?);
            count += 1;
        }
        Ok(Self {
            algorithm,
            kind: Kind::Composite,
            value: format!("{}-{count}", hasher.finish().value),
        })
    }
}

/// One running checksum.
pub enum Hasher {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(Crc32::new()),
            Algorithm::Crc32c => Self::Crc32c(Crc32c::new()),
            Algorithm::Crc64nvme => Self::Crc64nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Crc32c(hasher) => hasher.update(bytes),
            Self::Crc64nvme(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub fn finish(self) -> Checksum {
        let (algorithm, value) = match self {
            Self::Crc32(hasher) => (Algorithm::Crc32, BASE64_STANDARD.encode(hasher.finalize())),
            Self::Crc32c(hasher) => (Algorithm::Crc32c, BASE64_STANDARD.encode(hasher.finalize())),
            Self::Crc64nvme(hasher) => (Algorithm::Crc64nvme, BASE64_STANDARD.encode(hasher.finalize())),
            Self::Sha1(hasher) => (Algorithm::Sha1, BASE64_STANDARD.encode(hasher.finalize())),
            Self::Sha256(hasher) => (Algorithm::Sha256, BASE64_STANDARD.encode(hasher.finalize())),
        };
        Checksum {
            algorithm,
            kind: Kind::FullObject,
            value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(algorithm: Algorithm, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish().value
    }

    /// The catalogued check values of "123456789" (reveng's CRC catalogue) and FIPS 180's of "abc".
    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(
            of(Algorithm::Crc32, b"123456789"),
            BASE64_STANDARD.encode(0xcbf4_3926_u32.to_be_bytes())
        );
        assert_eq!(
            of(Algorithm::Crc32c, b"123456789"),
            BASE64_STANDARD.encode(0xe306_9283_u32.to_be_bytes())
        );
        assert_eq!(
            of(Algorithm::Crc64nvme, b"123456789"),
            BASE64_STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes())
        );
        assert_eq!(of(Algorithm::Sha1, b"abc"), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
        assert_eq!(
            of(Algorithm::Sha256, b"abc"),
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
    }

    #[test]
    fn a_composite_is_of_the_parts_checksums() {
        let part = |bytes: &[u8]| {
            let mut hasher = Hasher::new(Algorithm::Crc32);
            hasher.update(bytes);
            hasher.finish()
        };
        let parts = [part(b"one"), part(b"two")];
        let joined: Vec<u8> = parts
            .iter()
            .flat_map(|part| BASE64_STANDARD.decode(&part.value).unwrap())
            .collect();
        let composite = Checksum::composite(Algorithm::Crc32, parts.iter()).unwrap();
        assert_eq!(composite.value, format!("{}-2", of(Algorithm::Crc32, &joined)));
    }

    #[test]
    fn malformed_values_are_refused() {
        assert!(Algorithm::Crc32.check("AAAAAA==").is_ok());
        for value in ["AAAA", "!", "", "AAAAAAAAAAA="] {
            assert!(Algorithm::Crc32.check(value).is_err(), "{value}");
        }
    }
}
