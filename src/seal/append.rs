//! Append blobs: a row of segments, each one Append Block, padded to a constant overhead ([`APPEND_OVERHEAD`]), and
//! bound to its index and the plaintext before it. There is no table: the blob grows, so it is read forward, header by
//! header.
//!
//! A row cut at a block's end still reads (the format says so). A copy made by the store does not: its blocks are bound
//! to the name they were appended under, and no footer names it.
//!
//! [`APPEND_OVERHEAD`]: crate::seal::APPEND_OVERHEAD

use std::ops::Range;

use bytes::BytesMut;

use crate::seal::read::{Window, keep, local_span_at};
use crate::seal::segment::{Draft, fresh_salt};
use crate::seal::{
    Binding, ChunkIndex, Dek, Envelope, HEADER_LEN, Header, Kind, MAX_APPEND_LEN, Mark, Padding, PlainLen, PlainRange,
    SealError, SealedChunk, SealedLen, Sealer, Tampered, Wants, open_bound,
};

/// Begins one Append Block of `len` bytes, bound by [`Binding::append`]; its sealer ends with padding.
///
/// # Errors
/// `len` is over 4 MiB, or the kernel gave no random bytes.
pub fn seal_append(
    dek: &Dek,
    tenant: &str,
    binding: Binding,
    len: PlainLen,
    envelope: &Envelope,
) -> Result<(Header, Sealer), SealError> {
    Draft::append(binding, len)?.seal(dek, tenant, envelope, fresh_salt()?)
}

/// Reads an append blob, or a range of it, forward from its start or from a block that was found.
pub struct AppendRead {
    container: String,
    name: String,
    plain_len: PlainLen,
    blocks: u64,
    range: Option<PlainRange>,
    /// Blocks behind us, and their plaintext.
    index: u64,
    offset: u64,
    at: At,
}

enum At {
    Header,
    /// Passing over chunks before the first wanted.
    Before {
        window: Box<Window>,
        len: u64,
    },
    Chunk {
        window: Box<Window>,
        index: ChunkIndex,
    },
    Padding {
        len: usize,
    },
    /// Passing over a block before the range.
    Past {
        len: u64,
    },
    End,
}

impl AppendRead {
    /// Reads `range`, or with none the whole of a blob of `stored` bytes in `blocks` blocks. The container is the
    /// logical name.
    ///
    /// # Errors
    /// No append blob has that size and count, or the range reaches past its end.
    pub fn new(
        container: &str,
        name: &str,
        stored: SealedLen,
        blocks: u64,
        range: Option<PlainRange>,
    ) -> Result<Self, Tampered> {
        let size = Tampered::Size { found: stored.0 };
        let plain_len = stored.append_plain(blocks).ok_or(size)?;
        if range.is_some_and(|range| range.last() >= plain_len.0) {
            return Err(size);
        }
        let at = if blocks == 0 { At::End } else { At::Header };
        let (container, name) = (container.to_owned(), name.to_owned());
        Ok(Self {
            container,
            name,
            plain_len,
            blocks,
            range,
            index: 0,
            offset: 0,
            at,
        })
    }

    /// Begins at another block than the first, and is fed the stored bytes from there on. The block is held to being that one.
    ///
    /// # Errors
    /// The blob has no such block, or the range begins before it.
    pub fn begun(mut self, at: Mark) -> Result<Self, Tampered> {
        let none = Tampered::Segment { number: at.index };
        if at.index == self.index && at.offset == self.offset {
            return Ok(self);
        }
        let before = self.range.is_none_or(|range| range.first() < at.offset);
        if at.index >= self.blocks || at.offset >= self.plain_len.0 || before {
            return Err(none);
        }
        (self.index, self.offset) = (at.index, at.offset);
        Ok(self)
    }

    #[must_use]
    pub fn plain_len(&self) -> PlainLen {
        self.plain_len
    }

    #[must_use]
    pub fn wants(&self) -> Wants {
        match &self.at {
            At::Header => Wants::Header,
            At::Before { len, .. } | At::Past { len } => Wants::Skip { len: *len },
            At::Chunk { window, index } => Wants::Chunk {
                sealed_len: window.sealed_len(*index),
            },
            At::Padding { len } => Wants::Padding { len: *len },
            At::End => Wants::Nothing,
        }
    }

    /// Takes the header wanted, with the DEK that its envelope led to, under a live lease.
    ///
    /// # Errors
    /// Not this blob's block of this index and offset, or more than the blob holds.
    pub fn enter(&mut self, dek: &Dek, tenant: &str, header: &Header) -> Result<(), Tampered> {
        if !matches!(self.at, At::Header) {
            return Err(Tampered::Unexpected);
        }
        let binding = Binding::append(&self.container, &self.name, self.index, self.offset);
        let opener = open_bound(dek, tenant, Kind::Append, &binding, header.core())?;
        let len = header.core().plain_len();
        let wrong = Tampered::Segment { number: self.index };
        let stored = len.append().ok_or(wrong)?;
        let end = self
            .offset
            .checked_add(len.0)
            .filter(|end| *end <= self.plain_len.0)
            .ok_or(wrong)?;
        let body = stored.0.checked_sub(HEADER_LEN as u64).ok_or(wrong)?;
        if self.range.is_some_and(|range| end <= range.first()) {
            self.at = At::Past { len: body };
        } else {
            let span = local_span_at(self.offset, len, self.range).ok_or(wrong)?;
            let before = span.stored.first.saturating_sub(HEADER_LEN as u64);
            let window = Box::new(Window { opener, span });
            self.at = match before {
                0 => At::Chunk {
                    index: span.first,
                    window,
                },
                len => At::Before { window, len },
            };
        }
        (self.index, self.offset) = (self.index.saturating_add(1), end);
        Ok(())
    }

    /// The bytes of no interest have been passed over.
    ///
    /// # Errors
    /// None were, or the blob ends short of its length.
    pub fn skipped(&mut self) -> Result<(), Tampered> {
        match std::mem::replace(&mut self.at, At::End) {
            At::Before { window, .. } => {
                self.at = At::Chunk {
                    index: window.span.first,
                    window,
                }
            }
            At::Past { .. } => self.next_block()?,
            other => {
                self.at = other;
                return Err(Tampered::Unexpected);
            }
        }
        Ok(())
    }

    /// Takes the chunk wanted, and appends what of it belongs to the range to `out`.
    ///
    /// # Errors
    /// It does not open; `out` is then as it was.
    pub fn open(&mut self, sealed: &[u8], out: &mut BytesMut) -> Result<(), Tampered> {
        let start = out.len();
        out.extend_from_slice(sealed);
        let opened = self.open_at(SealedChunk::Here(out.get_mut(start..).unwrap_or_default()));
        let kept = opened.inspect_err(|_| out.truncate(start))?;
        keep(out, start, kept);
        Ok(())
    }

    /// As [`AppendRead::open`], where `chunk` says; which bytes of its plaintext belong to the range.
    ///
    /// # Errors
    /// It does not open, or the blob ends short of its length. Nothing of the plaintext may be used then.
    pub fn open_at(&mut self, chunk: SealedChunk<'_>) -> Result<Range<usize>, Tampered> {
        let At::Chunk { window, index } = &mut self.at else {
            return Err(Tampered::Unexpected);
        };
        let kept = window.open_at(*index, chunk)?;
        if *index < window.span.last {
            *index = ChunkIndex(index.0.saturating_add(1));
            return Ok(kept);
        }
        if self.range.is_some_and(|range| self.offset > range.last()) {
            self.at = At::End;
            return Ok(kept);
        }
        let padding = window.opener.content_len().append_padding().unwrap_or(Padding(0)).0;
        match usize::try_from(padding).unwrap_or_default() {
            0 => self.next_block()?,
            len => self.at = At::Padding { len },
        }
        Ok(kept)
    }

    /// Takes the padding wanted.
    ///
    /// # Errors
    /// Not zeros, or not as many.
    pub fn padding(&mut self, zeros: &[u8]) -> Result<(), Tampered> {
        let At::Padding { len } = self.at else {
            return Err(Tampered::Unexpected);
        };
        if zeros.len() != len || zeros.iter().any(|byte| *byte != 0) {
            return Err(Tampered::Padding);
        }
        self.next_block()
    }

    fn next_block(&mut self) -> Result<(), Tampered> {
        self.at = if self.index < self.blocks { At::Header } else { At::End };
        let whole = self.index < self.blocks || self.offset == self.plain_len.0;
        if whole {
            Ok(())
        } else {
            Err(Tampered::Segment { number: self.index })
        }
    }
}

impl Draft {
    pub(super) fn append(binding: Binding, len: PlainLen) -> Result<Self, SealError> {
        let padding = len.append_padding().ok_or(SealError::TooLong { found: len.0 })?;
        const { assert!(MAX_APPEND_LEN.0 == 4 << 20) };
        Ok(Self {
            kind: Kind::Append,
            segments: 0,
            plain_len: len,
            content: len,
            padding,
            binding,
        })
    }
}
