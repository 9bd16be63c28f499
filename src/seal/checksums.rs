//! What is known of a plaintext: its checksums and hashes. They would confirm guesses of the content, so the store sees
//! them sealed only: in a footer's table, or as metadata of a whole object.
//!
//! As bytes: fields of tag 1 ‖ length 2 ‖ value, tags ascending. Tags 1 to 127 are a checksum of the whole plaintext;
//! 128 more is S3's composite of the parts' checksums, whose value ends in the number of parts, 4 bytes.

use std::collections::BTreeMap;

use crate::seal::header::take;
use crate::seal::{Malformed, MetadataKey, SealError, Tampered};

const LABEL: &str = "checksums";
const COMPOSITE: u8 = 0x80;
const COUNT_LEN: usize = 4;

/// An algorithm a client may name (S3's `x-amz-checksum-*`, Content-MD5, Azure's CRC64), by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChecksumKind {
    Md5 = 1,
    Crc32 = 2,
    Crc32c = 3,
    /// Azure's `x-ms-content-crc64` too, which only writes it in the other byte order; kept big-endian.
    Crc64Nvme = 4,
    Sha1 = 5,
    Sha256 = 6,
    Sha512 = 7,
    XxHash64 = 8,
    XxHash3 = 9,
    XxHash128 = 10,
    /// Azure's `x-ms-blob-content-md5`: what a client said of a blob, which the service stores and never checks.
    ClaimedMd5 = 11,
}

/// One checksum: over the whole plaintext, or composed of its parts'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum<'a> {
    pub kind: ChecksumKind,
    /// The number of parts it is composed of, the `-N` of S3's COMPOSITE; `None` of the whole plaintext.
    pub parts: Option<u32>,
    pub value: &'a [u8],
}

/// The checksums of one plaintext: at most one of each kind and type.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Checksums {
    /// By tag; a composite's value with its count.
    fields: BTreeMap<u8, Vec<u8>>,
}

/// A value that is not as long as its algorithm makes it.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
#[error("a {kind:?} has {} bytes, not {found}", kind.value_len())]
pub struct ChecksumLength {
    pub kind: ChecksumKind,
    pub found: usize,
}

impl Checksums {
    /// Keeps one more; the later of two of one kind and type stays.
    ///
    /// # Errors
    /// The value has another length than its algorithm makes.
    pub fn add(&mut self, checksum: Checksum<'_>) -> Result<(), ChecksumLength> {
        let Checksum { kind, parts, value } = checksum;
        if value.len() != kind.value_len() {
            return Err(ChecksumLength {
                kind,
                found: value.len(),
            });
        }
        let (tag, count) = match parts {
            Some(parts) => (kind as u8 | COMPOSITE, parts.to_be_bytes().to_vec()),
            None => (kind as u8, Vec::new()),
        };
        self.fields.insert(tag, [value, &count].concat());
        Ok(())
    }

    /// All of them, those of the whole plaintext first.
    pub fn iter(&self) -> impl Iterator<Item = Checksum<'_>> {
        self.fields.iter().filter_map(|(tag, field)| known(*tag, field))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, value) in &self.fields {
            let length = u16::try_from(value.len()).unwrap_or_default(); // 68 at most
            bytes.push(*tag);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
    }

    /// Reads fields to the end, or to the zeros that fill the rest. A tag unknown to this version is passed over:
    /// fields are optional.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = BTreeMap::new();
        let mut before = 0;
        while let Some((tag, rest)) = bytes.split_first().filter(|(tag, _)| **tag != 0) {
            let length = usize::from(u16::from_be_bytes(take(rest, 0)?));
            let (value, after) = rest
                .get(2..)
                .and_then(|rest| rest.split_at_checked(length))
                .ok_or(Malformed::Field)?;
            if *tag <= before {
                return Err(Malformed::Field);
            }
            if let Some(kind) = ChecksumKind::of(*tag & !COMPOSITE) {
                let count = if *tag & COMPOSITE == 0 { 0 } else { COUNT_LEN };
                if kind.value_len().checked_add(count) != Some(length) {
                    return Err(Malformed::Field);
                }
                fields.insert(*tag, value.to_vec());
            }
            before = *tag;
            bytes = after;
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(Malformed::Reserved);
        }
        Ok(Self { fields })
    }
}

impl MetadataKey {
    /// As metadata of a whole object.
    ///
    /// # Errors
    /// The kernel gave no random bytes.
    pub fn seal_checksums(&self, checksums: &Checksums) -> Result<String, SealError> {
        self.seal(LABEL, &checksums.to_bytes())
    }

    /// Opens what [`MetadataKey::seal_checksums`] made.
    ///
    /// # Errors
    /// Not sealed for this object.
    pub fn open_checksums(&self, text: &str) -> Result<Checksums, Tampered> {
        Ok(Checksums::parse(&self.open(LABEL, text)?)?)
    }
}

impl ChecksumKind {
    /// Bytes of a value.
    #[must_use]
    pub fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 | Self::ClaimedMd5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn of(tag: u8) -> Option<Self> {
        Some(match tag {
            1 => Self::Md5,
            2 => Self::Crc32,
            3 => Self::Crc32c,
            4 => Self::Crc64Nvme,
            5 => Self::Sha1,
            6 => Self::Sha256,
            7 => Self::Sha512,
            8 => Self::XxHash64,
            9 => Self::XxHash3,
            10 => Self::XxHash128,
            11 => Self::ClaimedMd5,
            _ => return None,
        })
    }
}

impl std::fmt::Debug for Checksums {
    /// Kinds only: the values would confirm guesses of the content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|checksum| (checksum.kind, checksum.parts)))
            .finish()
    }
}

fn known(tag: u8, field: &[u8]) -> Option<Checksum<'_>> {
    let kind = ChecksumKind::of(tag & !COMPOSITE)?;
    if tag & COMPOSITE == 0 {
        return Some(Checksum {
            kind,
            parts: None,
            value: field,
        });
    }
    let (value, count) = field.split_last_chunk::<COUNT_LEN>()?;
    Some(Checksum {
        kind,
        parts: Some(u32::from_be_bytes(*count)),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip_and_stand_in_order_of_their_tags() {
        let mut checksums = Checksums::default();
        for tag in (1..=11).rev() {
            let kind = ChecksumKind::of(tag).unwrap();
            let value = vec![tag; kind.value_len()];
            checksums
                .add(Checksum {
                    kind,
                    parts: None,
                    value: &value,
                })
                .unwrap();
            checksums
                .add(Checksum {
                    kind,
                    parts: Some(3),
                    value: &value,
                })
                .unwrap();
        }
        let bytes = checksums.to_bytes();
        assert_eq!(Checksums::parse(&bytes), Ok(checksums.clone()));
        assert_eq!(Checksums::parse(&[&bytes[..], &[0; 9]].concat()), Ok(checksums.clone()));
        assert_eq!(checksums.iter().count(), 22);
        assert_eq!(bytes[..4], [1, 0, 16, 1]);
    }

    #[test]
    fn broken_fields_are_refused_and_unknown_ones_passed_over() {
        for broken in [
            &[2][..],
            &[2, 0],
            &[2, 0, 4, 1, 1, 1],
            &[2, 0, 3, 1, 1, 1],
            &[12, 0, 0, 12, 0, 0],
            &[13, 0, 0, 12, 0, 0],
        ] {
            assert!(Checksums::parse(broken).is_err(), "{broken:?}");
        }
        assert_eq!(Checksums::parse(&[0, 1]), Err(Malformed::Reserved));
        assert_eq!(Checksums::parse(&[12, 0, 1, 9, 13, 0, 0]), Ok(Checksums::default()));
    }

    #[test]
    fn values_of_another_length_are_not_taken() {
        let wrong = Checksum {
            kind: ChecksumKind::Md5,
            parts: None,
            value: &[0; 15],
        };
        let refused = Checksums::default().add(wrong);
        assert_eq!(
            refused,
            Err(ChecksumLength {
                kind: ChecksumKind::Md5,
                found: 15
            })
        );
    }
}
