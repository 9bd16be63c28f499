//! Chunks: AES-256-GCM under the segment key, 64 KiB of plaintext each, in STREAM construction. The nonce is the
//! chunk's index as 11 bytes big-endian, then 1 in the segment's last chunk and 0 before; no AAD; the tag follows the
//! ciphertext. So a chunk opens at its own place only, and a segment cut short or made longer does not open at its end.
//!
//! [`Sealer`] counts its nonces itself; nobody hands one in.

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use bytes::BytesMut;

use crate::seal::derive::SegmentKeys;
use crate::seal::{AliasKey, ChunkIndex, Core, Kind, Malformed, MetadataKey, Padding, PlainLen, RandomError, TAG_LEN};

/// Why sealing stopped. Nothing of it comes from the store.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum SealError {
    #[error("{found} bytes of plaintext are beyond the format")]
    TooLong { found: u64 },
    #[error("chunk {index} has {expected} bytes of plaintext, not {found}")]
    ChunkLength { index: u64, expected: usize, found: usize },
    #[error("plaintext after the last chunk")]
    AfterLast,
    #[error("{missing} chunks were promised and not sealed")]
    Unfinished { missing: u64 },
    #[error("no block id of the gate's holds a client's id of {client_len} bytes and the time {time_ms}")]
    BlockId { client_len: usize, time_ms: u64 },
    #[error("parts and footer do not fit the size law: a part but the last is under 5 MiB")]
    NoRoom,
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error("the cipher refused")]
    Aead,
}

/// What was read is not what was sealed: the object is tampered with, damaged or swapped, and none of it is released.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum Tampered {
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    #[error("the header's DEK id is not this DEK's")]
    Dek,
    #[error("the key commitment is false")]
    Commitment,
    #[error("a segment of kind {expected:?} was expected, not {found:?}")]
    Kind { expected: Kind, found: Kind },
    #[error("sealed at another place, and no alias leads here")]
    Place,
    #[error("chunk {index} does not open")]
    Chunk { index: u64 },
    #[error("chunk {index} has the wrong length: {found} bytes")]
    ChunkLength { index: u64, found: usize },
    #[error("sealed metadata does not open")]
    Metadata,
    #[error("the stored size {found} is not what the object's own length makes")]
    Size { found: u64 },
    #[error("padding is not zeros")]
    Padding,
    #[error("the table contradicts its header")]
    Table,
    #[error("segment {number} is not the one the table names")]
    Segment { number: u64 },
    #[error("a header, chunk or padding was read where another belongs")]
    Unexpected,
}

/// Seals one segment's content, chunk by chunk, in order.
pub struct Sealer {
    keys: SegmentKeys,
    content: PlainLen,
    padding: Padding,
    next: ChunkIndex,
}

/// Opens one segment's chunks in any order: a pure function of the chunk's index and bytes.
pub struct Opener {
    keys: SegmentKeys,
    core: Core,
    content: PlainLen,
}

/// A sealed chunk, tag included, and where its plaintext goes.
pub enum SealedChunk<'a> {
    /// Opened where it lies: it becomes its plaintext, and 16 bytes of no meaning behind it.
    Here(&'a mut [u8]),
    /// Opened into another place, of just its plaintext's length: for bytes that others have too.
    Apart { sealed: &'a [u8], plaintext: &'a mut [u8] },
}

impl SealedChunk<'_> {
    /// In bytes, tag included.
    fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::Apart { sealed, .. } => sealed.len(),
        }
    }
}

impl Sealer {
    /// Seals the next chunk and appends it, with its tag, to `out`. Each takes exactly
    /// [`CHUNK_LEN`](crate::seal::CHUNK_LEN) bytes, the last what remains of the promised length; an empty segment
    /// takes one empty chunk.
    ///
    /// # Errors
    /// Another length than the promised one makes, or more chunks; `out` is then as it was.
    pub fn seal_next(&mut self, plaintext: &[u8], out: &mut BytesMut) -> Result<(), SealError> {
        let start = out.len();
        out.reserve(plaintext.len().saturating_add(TAG_LEN));
        out.extend_from_slice(plaintext);
        self.seal_from(start, out)
    }

    /// As [`Sealer::seal_next`], for plaintext that already lies in `buffer` from `start` to the end: it is sealed
    /// where it is and the tag appended, with no copy.
    ///
    /// # Errors
    /// As [`Sealer::seal_next`]; `buffer` is then cut at `start`, so that no plaintext stays in it.
    pub fn seal_from(&mut self, start: usize, buffer: &mut BytesMut) -> Result<(), SealError> {
        let sealed = self.seal_slice(buffer.get_mut(start..).unwrap_or_default());
        match sealed {
            Ok(tag) => buffer.extend_from_slice(&tag),
            Err(_) => buffer.truncate(start),
        }
        sealed.map(|_| ())
    }

    /// As [`Sealer::seal_from`], for plaintext in a slice that ends in room for the tag.
    ///
    /// # Errors
    /// As [`Sealer::seal_next`]; `chunk` is then all zeros, so that no plaintext stays in it.
    pub fn seal_in_place(&mut self, chunk: &mut [u8]) -> Result<(), SealError> {
        let sealed = match chunk.split_last_chunk_mut::<TAG_LEN>() {
            Some((plaintext, room)) => self.seal_slice(plaintext).map(|tag| *room = tag),
            None => self.seal_slice(&mut []).map(|_| ()),
        };
        sealed.inspect_err(|_| chunk.fill(0))
    }

    /// How many bytes of plaintext the next chunk takes; `None` after the last.
    #[must_use]
    pub fn next_len(&self) -> Option<usize> {
        self.content.chunk_len(self.next)
    }

    /// How much padding follows the last chunk, which [`Sealer::finish`] gives only after it.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// Ends the segment: how much padding follows the last chunk (none but in a whole object and an Append Block).
    ///
    /// # Errors
    /// Chunks are still missing.
    pub fn finish(self) -> Result<Padding, SealError> {
        match self.content.chunks().saturating_sub(self.next.0) {
            0 => Ok(self.padding),
            missing => Err(SealError::Unfinished { missing }),
        }
    }

    /// For the checksums that travel as this object's metadata.
    #[must_use]
    pub fn metadata_key(&self) -> &MetadataKey {
        &self.keys.metadata
    }

    pub(super) fn new(keys: SegmentKeys, content: PlainLen, padding: Padding) -> Self {
        Self {
            keys,
            content,
            padding,
            next: ChunkIndex(0),
        }
    }

    fn seal_slice(&mut self, plaintext: &mut [u8]) -> Result<[u8; TAG_LEN], SealError> {
        let index = self.next;
        let expected = self.content.chunk_len(index).ok_or(SealError::AfterLast)?;
        if plaintext.len() != expected {
            return Err(SealError::ChunkLength {
                index: index.0,
                expected,
                found: plaintext.len(),
            });
        }
        // Counted on before it is used: whatever happens below, no nonce comes twice.
        self.next = ChunkIndex(index.0.saturating_add(1));
        let nonce = nonce(index, index == self.content.last_chunk());
        let tag = self
            .keys
            .segment
            .seal_in_place_separate_tag(nonce, Aad::empty(), plaintext);
        tag.ok()
            .and_then(|tag| tag.as_ref().first_chunk().copied())
            .ok_or(SealError::Aead)
    }
}

impl Opener {
    /// Opens chunk `index` where `chunk` says; how many bytes of plaintext it gives.
    ///
    /// # Errors
    /// Not this segment's chunk of that index, whole. What was to hold the plaintext is then all zeros.
    pub fn open_at(&self, index: ChunkIndex, chunk: SealedChunk<'_>) -> Result<usize, Tampered> {
        let found = chunk.len();
        let len = self.content.chunk_len(index);
        let len = len.filter(|len| found.checked_sub(TAG_LEN) == Some(*len));
        let len = len.ok_or(Tampered::ChunkLength { index: index.0, found })?;
        let nonce = nonce(index, index == self.last_chunk());
        let (opened, plaintext) = match chunk {
            SealedChunk::Here(bytes) => {
                let opened = self.keys.segment.open_in_place(nonce, Aad::empty(), bytes).is_ok();
                (opened, bytes)
            }
            SealedChunk::Apart { sealed, plaintext } => {
                let (ciphertext, tag) = sealed.split_at_checked(len).unwrap_or_default();
                let opened = open_chunk(&self.keys.segment, nonce, ciphertext, tag, plaintext).is_some();
                (opened, plaintext)
            }
        };
        if !opened {
            plaintext.fill(0);
            return Err(Tampered::Chunk { index: index.0 });
        }
        Ok(len)
    }

    /// Opens chunk `index` and appends its plaintext to `out`.
    ///
    /// # Errors
    /// Not this segment's chunk of that index, whole; `out` is then as it was.
    pub fn open(&self, index: ChunkIndex, sealed: &[u8], out: &mut BytesMut) -> Result<(), Tampered> {
        let start = out.len();
        out.resize(start.saturating_add(sealed.len().saturating_sub(TAG_LEN)), 0);
        let plaintext = out.get_mut(start..).unwrap_or_default();
        let opened = self.open_at(index, SealedChunk::Apart { sealed, plaintext });
        opened.map(|_| ()).inspect_err(|_| out.truncate(start))
    }

    /// The stored length of chunk `index`, tag included; `None` past the last.
    #[must_use]
    pub fn sealed_chunk_len(&self, index: ChunkIndex) -> Option<usize> {
        self.content.chunk_len(index)?.checked_add(TAG_LEN)
    }

    #[must_use]
    pub fn last_chunk(&self) -> ChunkIndex {
        self.content.last_chunk()
    }

    /// The plaintext of this segment's own content: of a footer, its table.
    #[must_use]
    pub fn content_len(&self) -> PlainLen {
        self.content
    }

    /// The core, whose commitment is now known to be true.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    #[must_use]
    pub fn metadata_key(&self) -> &MetadataKey {
        &self.keys.metadata
    }

    #[must_use]
    pub fn alias_key(&self) -> &AliasKey {
        &self.keys.alias
    }

    pub(super) fn new(keys: SegmentKeys, core: Core, content: PlainLen) -> Self {
        Self { keys, core, content }
    }
}

fn open_chunk(key: &LessSafeKey, nonce: Nonce, ciphertext: &[u8], tag: &[u8], plaintext: &mut [u8]) -> Option<()> {
    key.open_separate_gather(nonce, Aad::empty(), ciphertext, tag, plaintext)
        .ok()
}

fn nonce(index: ChunkIndex, last: bool) -> Nonce {
    let [a, b, c, d, e, f, g, h] = index.0.to_be_bytes();
    Nonce::assume_unique_for_key([0, 0, 0, a, b, c, d, e, f, g, h, u8::from(last)])
}
