//! The header of a segment, 704 bytes, and its first 136, the core. Big-endian throughout.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic |
//! | 8 | 1 | version: 1 |
//! | 9 | 1 | kind |
//! | 10 | 6 | zero, checked; in a footer bytes 12 to 15 are the number of segments |
//! | 16 | 8 | plaintext length of the segment's content; in a footer that of the whole object |
//! | 24 | 16 | DEK id |
//! | 40 | 32 | salt |
//! | 72 | 32 | binding |
//! | 104 | 32 | key commitment |
//! | 136 | 568 | envelope |

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::seal::{Binding, CORE_LEN, DekId, Envelope, HEADER_LEN, MAX_PLAIN_LEN, Place, PlainLen, SealedLen};

/// The first bytes of every segment's header. The first is no ASCII and no UTF-8, so that no text is taken for a sealed
/// object.
pub(super) const MAGIC: [u8; 8] = *b"\x8ePORTCUL";
const VERSION: u8 = 1;
/// The most segments a footer may count: Azure's 50,000 blocks of a blob; S3 has 10,000 parts.
pub(super) const MAX_SEGMENTS: u32 = 50_000;

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// An object of one segment.
    Whole = 1,
    /// A part of an S3 multipart upload.
    Part = 2,
    /// A block of an Azure block blob.
    Block = 3,
    /// One Append Block of an Azure append blob.
    Append = 4,
    /// What ends a multipart object.
    Footer = 5,
}

/// The 136 bytes that derive and commit a segment's keys: all that a reader with the DEK needs. Public, and true only
/// once [`open_segment`](crate::seal::open_segment) has checked its commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    kind: Kind,
    segments: u32,
    plain_len: PlainLen,
    dek_id: DekId,
    salt: [u8; 32],
    binding: Binding,
    commitment: [u8; 32],
}

/// A segment's header: the core, and the envelope that leads to its DEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    core: Core,
    envelope: Envelope,
}

/// Why bytes or text are no header, core or other part of the format: nothing here was ever sealed so.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum Malformed {
    #[error("expected {expected} bytes, found {found}")]
    Length { expected: usize, found: usize },
    #[error("no magic: not a sealed object")]
    Magic,
    #[error("format version {found} is unknown")]
    Version { found: u8 },
    #[error("segment kind {found} is unknown")]
    Kind { found: u8 },
    #[error("reserved bytes are not zero")]
    Reserved,
    #[error("{found} bytes of plaintext are beyond the format")]
    PlainLen { found: u64 },
    #[error("{found} segments are beyond the format")]
    Segments { found: u32 },
    #[error("wrap algorithm {found} is unknown")]
    WrapAlgorithm { found: u8 },
    #[error("a wrapped DEK of {found} bytes is beyond the format")]
    WrappedLength { found: usize },
    #[error("not base64url of the right length")]
    Text,
    #[error("a table's segments are out of order or beyond the format")]
    Table,
    #[error("an optional field is cut, out of order or of the wrong length")]
    Field,
    #[error("not a block id of the gate's")]
    BlockId,
}

impl Core {
    /// Reads exactly 136 bytes.
    ///
    /// # Errors
    /// Anything that no gate would have written; see [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != CORE_LEN {
            return Err(Malformed::Length {
                expected: CORE_LEN,
                found: bytes.len(),
            });
        }
        if take::<8>(bytes, 0)? != MAGIC {
            return Err(Malformed::Magic);
        }
        let [version, code] = take(bytes, 8)?;
        if version != VERSION {
            return Err(Malformed::Version { found: version });
        }
        let kind = Kind::of(code)?;
        let segments = u32::from_be_bytes(take(bytes, 12)?);
        if take::<2>(bytes, 10)? != [0, 0] || (kind != Kind::Footer && segments != 0) {
            return Err(Malformed::Reserved);
        }
        if segments > MAX_SEGMENTS {
            return Err(Malformed::Segments { found: segments });
        }
        let plain_len = u64::from_be_bytes(take(bytes, 16)?);
        if plain_len > MAX_PLAIN_LEN {
            return Err(Malformed::PlainLen { found: plain_len });
        }
        Ok(Self {
            kind,
            segments,
            plain_len: PlainLen(plain_len),
            dek_id: DekId::from_array(take(bytes, 24)?),
            salt: take(bytes, 40)?,
            binding: Binding::from_array(take(bytes, 72)?),
            commitment: take(bytes, 104)?,
        })
    }

    /// The bytes as they stand in a header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CORE_LEN] {
        let mut bytes = [0; CORE_LEN];
        put(&mut bytes, 0, &self.uncommitted());
        put(&mut bytes, 104, &self.commitment);
        bytes
    }

    /// As object metadata: base64url without padding, 182 characters.
    #[must_use]
    pub fn to_text(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.to_bytes())
    }

    /// Reads object metadata.
    ///
    /// # Errors
    /// Not base64url, or not a core.
    pub fn from_text(text: &str) -> Result<Self, Malformed> {
        Self::parse(&BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed::Text)?)
    }

    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The plaintext of the segment's content; of a footer, that of the whole object.
    #[must_use]
    pub fn plain_len(&self) -> PlainLen {
        self.plain_len
    }

    /// How many segments a footer ends; 0 for every other kind.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.segments
    }

    #[must_use]
    pub fn dek_id(&self) -> DekId {
        self.dek_id
    }

    #[must_use]
    pub fn binding(&self) -> Binding {
        self.binding
    }

    /// Fresh for every segment ever written; what tells two seals of the same plaintext apart.
    #[must_use]
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// Whether it was sealed at this very place; a copy needs an [`Alias`](crate::seal::Alias) as well.
    #[must_use]
    pub fn born_at(&self, place: &Place<'_>) -> bool {
        self.binding == Binding::whole(place)
    }

    /// Whether an object that this core describes is stored in this many bytes: S(P). So it is for kind whole, and for
    /// footers on S3.
    #[must_use]
    pub fn makes(&self, stored: SealedLen) -> bool {
        self.plain_len.sealed() == Some(stored)
    }

    pub(super) fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// A core yet to be committed to.
    pub(super) fn draft(
        kind: Kind,
        segments: u32,
        plain_len: PlainLen,
        dek_id: DekId,
        salt: [u8; 32],
        binding: Binding,
    ) -> Self {
        Self {
            kind,
            segments,
            plain_len,
            dek_id,
            salt,
            binding,
            commitment: [0; 32],
        }
    }

    pub(super) fn committed(self, commitment: [u8; 32]) -> Self {
        Self { commitment, ..self }
    }

    /// The first 104 bytes: all but the commitment.
    pub(super) fn uncommitted(&self) -> [u8; 104] {
        let mut bytes = [0; 104];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &[VERSION, self.kind as u8]);
        put(&mut bytes, 12, &self.segments.to_be_bytes());
        put(&mut bytes, 16, &self.plain_len.0.to_be_bytes());
        put(&mut bytes, 24, self.dek_id.as_bytes());
        put(&mut bytes, 40, &self.salt);
        put(&mut bytes, 72, self.binding.as_bytes());
        bytes
    }
}

impl Header {
    /// Reads exactly 704 bytes.
    ///
    /// # Errors
    /// Anything that no gate would have written; see [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let wrong = Malformed::Length {
            expected: HEADER_LEN,
            found: bytes.len(),
        };
        if bytes.len() != HEADER_LEN {
            return Err(wrong);
        }
        let (core, envelope) = bytes.split_at_checked(CORE_LEN).ok_or(wrong)?;
        Ok(Self {
            core: Core::parse(core)?,
            envelope: Envelope::parse(envelope)?,
        })
    }

    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        put(&mut bytes, 0, &self.core.to_bytes());
        put(&mut bytes, CORE_LEN, &self.envelope.to_bytes());
        bytes
    }

    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(super) fn new(core: Core, envelope: Envelope) -> Self {
        Self { core, envelope }
    }
}

impl Kind {
    fn of(code: u8) -> Result<Self, Malformed> {
        match code {
            1 => Ok(Self::Whole),
            2 => Ok(Self::Part),
            3 => Ok(Self::Block),
            4 => Ok(Self::Append),
            5 => Ok(Self::Footer),
            found => Err(Malformed::Kind { found }),
        }
    }
}

/// The `N` bytes at `at`.
pub(super) fn take<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Malformed> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk).copied();
    found.ok_or(Malformed::Length {
        expected: at.saturating_add(N),
        found: bytes.len(),
    })
}

/// Writes `field` at `at`. Offsets are the constants of this format and fields fit by their types; the round-trip tests
/// hold both.
pub(super) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(room) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..field.len())) {
        room.copy_from_slice(field);
    }
}
