//! Checksums of the plaintext: the algorithms and their values here, what a client states with them in [`Expectations`].
//!
//! Names and encodings: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.

mod expectations;
mod joined;
mod kept;

use std::fmt;
use std::hash::Hasher as _;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use http::HeaderName;
use md5::Digest as _;
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64};

pub use expectations::{ChecksumError, Expectations};

const X_AMZ_CHECKSUM: &str = "x-amz-checksum-";

/// A checksum that S3 takes in `x-amz-checksum-<name>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    Sha512,
    Md5,
    XxHash64,
    XxHash3,
    XxHash128,
}

impl Algorithm {
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// As in `x-amz-checksum-algorithm`, `x-amz-sdk-checksum-algorithm` and XML.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    /// In any case of letters, as S3 takes it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The header or trailer that carries the value: `x-amz-checksum-crc32`.
    pub const fn header(self) -> HeaderName {
        HeaderName::from_static(match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
        })
    }

    pub fn from_header(header: &str) -> Option<Self> {
        let (prefix, name) = header.split_at_checked(X_AMZ_CHECKSUM.len())?;
        prefix
            .eq_ignore_ascii_case(X_AMZ_CHECKSUM)
            .then(|| Self::from_name(name))?
    }

    /// Length of the value in bytes.
    pub const fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// An algorithm and its value over some bytes. Numbers are big-endian, as S3 has them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    /// The first `algorithm.value_len()` bytes count, the rest is zero.
    value: [u8; 64],
}

impl Checksum {
    /// `None` unless `value` has exactly the algorithm's length.
    pub fn new(algorithm: Algorithm, value: &[u8]) -> Option<Self> {
        if value.len() != algorithm.value_len() {
            return None;
        }
        let mut padded = [0; 64];
        padded.get_mut(..value.len())?.copy_from_slice(value);
        Some(Self {
            algorithm,
            value: padded,
        })
    }

    /// Over bytes that are in memory.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// `None` unless it is canonical base64 of exactly the algorithm's length.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Option<Self> {
        STANDARD
            .decode(text)
            .ok()
            .and_then(|value| Self::new(algorithm, &value))
    }

    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.value())
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn value(&self) -> &[u8] {
        self.value.get(..self.algorithm.value_len()).unwrap_or_default()
    }
}

impl fmt::Debug for Checksum {
    /// The algorithm only: a plaintext's checksum confirms guesses of the content, so it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({}, …)", self.algorithm.name())
    }
}

/// Computes one checksum over bytes as they pass.
pub struct Hasher {
    algorithm: Algorithm,
    state: State,
}

/// Those of hundreds of bytes are boxed.
enum State {
    Crc(Box<crc_fast::Digest>),
    Sha(digest::Context),
    Md5(md5::Md5),
    XxHash64(XxHash64),
    XxHash3(Box<XxHash3_64>),
    XxHash128(Box<XxHash3_128>),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        let crc = |algorithm| State::Crc(Box::new(crc_fast::Digest::new(algorithm)));
        let sha = |algorithm| State::Sha(digest::Context::new(algorithm));
        let state = match algorithm {
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 => sha(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Algorithm::Sha256 => sha(&digest::SHA256),
            Algorithm::Sha512 => sha(&digest::SHA512),
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::XxHash64 => State::XxHash64(XxHash64::with_seed(0)),
            Algorithm::XxHash3 => State::XxHash3(Box::new(XxHash3_64::new())),
            Algorithm::XxHash128 => State::XxHash128(Box::new(XxHash3_128::new())),
        };
        Self { algorithm, state }
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc(state) => state.update(bytes),
            State::Sha(state) => state.update(bytes),
            State::Md5(state) => state.update(bytes),
            State::XxHash64(state) => state.write(bytes),
            State::XxHash3(state) => state.write(bytes),
            State::XxHash128(state) => state.write(bytes),
        }
    }

    pub fn finish(self) -> Checksum {
        let mut value = [0; 64];
        let mut put = |bytes: &[u8]| value.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        match self.state {
            // A CRC-32 comes in the low half of the number.
            State::Crc(state) => put(state
                .finalize()
                .to_be_bytes()
                .get(8 - self.algorithm.value_len()..)
                .unwrap_or_default()),
            State::Sha(state) => put(state.finish().as_ref()),
            State::Md5(state) => put(&state.finalize()),
            State::XxHash64(state) => put(&state.finish().to_be_bytes()),
            State::XxHash3(state) => put(&state.finish().to_be_bytes()),
            State::XxHash128(state) => put(&state.finish_128().to_be_bytes()),
        }
        Checksum {
            algorithm: self.algorithm,
            value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOX: &[u8] = b"The quick brown fox jumps over the lazy dog";

    /// Computed with Python's zlib, hashlib and xxhash, and the CRCs with a bitwise loop over their published polynomials.
    #[test]
    fn values_are_those_of_independent_implementations() {
        let values = [
            "QU+jOQ==",
            "ImIEBA==",
            "12xUBUlUwUM=",
            "L9ThxnotKPzthJ7hu3bnORuT6xI=",
            "16j7swfXgJRpypq8sAguT41WUeRtPNt2LQLQvzfJ5ZI=",
            "B+VH2VhvanP3P7rAQ17XaVEhj7fQyNeIownXhUNru2Quk6JSqVTyORJUfR6KO17W4b/XCXghIz+gU489uFT+5g==",
            "nhB9nTcrtoJr2B01QqQZ1g==",
            "CyQtNh/acbw=",
            "zn0ZpUGPs2U=",
            "3dZQIFyj5/okocwuOop2UQ==",
        ];
        for (algorithm, value) in Algorithm::ALL.into_iter().zip(values) {
            assert_eq!(Checksum::of(algorithm, FOX).to_base64(), value, "{algorithm:?}");
            assert_eq!(
                Checksum::from_base64(algorithm, value),
                Some(Checksum::of(algorithm, FOX))
            );
            let mut hasher = Hasher::new(algorithm);
            FOX.chunks(7).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), Checksum::of(algorithm, FOX), "{algorithm:?} in pieces");
        }
    }

    #[test]
    fn names_and_headers_lead_back_to_their_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(&algorithm.name().to_lowercase()), Some(algorithm));
            assert_eq!(Algorithm::from_header(algorithm.header().as_str()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_header("X-Amz-Checksum-CRC32C"), Some(Algorithm::Crc32c));
        assert_eq!(Algorithm::from_header("x-amz-checksum-"), None);
        assert_eq!(Algorithm::from_header("ü"), None);
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(
            format!("{:?}", Checksum::of(Algorithm::Crc32, FOX)),
            "Checksum(CRC32, …)"
        );
    }
}
