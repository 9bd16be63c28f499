//! Ranges: from bytes of plaintext to the chunks that hold them, and the stored bytes to ask for. All offsets are from
//! the segment's start, header included.

use std::ops::Range;

use crate::seal::law::{CHUNK, HEADER, SEALED_CHUNK};
use crate::seal::{ChunkIndex, PlainLen};

/// An inclusive range of plaintext, never empty, as in HTTP's `bytes=first-last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainRange {
    first: u64,
    last: u64,
}

/// An inclusive range of stored bytes, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRange {
    pub first: u64,
    pub last: u64,
}

/// The chunks that hold a range of plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSpan {
    pub first: ChunkIndex,
    pub last: ChunkIndex,
    /// Where those chunks lie.
    pub stored: StoredRange,
    /// Bytes of the first chunk's plaintext before the range.
    pub skip: usize,
    /// Bytes of the last chunk's plaintext up to the range's end, counted from that chunk's start (so where both are
    /// one chunk, the range is `skip..keep`).
    pub keep: usize,
}

/// What to ask the store for while the object's length is still unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredAsk {
    /// From this stored byte to the end; chunks end before padding does.
    From(u64),
    /// These stored bytes; the store may answer with fewer, or with padding behind the last chunk.
    Between(StoredRange),
}

impl PlainRange {
    /// `first` to `last`, both included; `None` when last comes before first.
    #[must_use]
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// All of `len` bytes; `None` when there are none.
    #[must_use]
    pub fn all(len: PlainLen) -> Option<Self> {
        Self::new(0, len.0.checked_sub(1)?)
    }

    /// `first` to `last`, or to the end, as far as `len` reaches; `None` (HTTP's 416) when `first` is at or past the
    /// end.
    #[must_use]
    pub fn within(len: PlainLen, first: u64, last: Option<u64>) -> Option<Self> {
        let end = len.0.checked_sub(1)?;
        Self::new(first, last.unwrap_or(end).min(end))
    }

    /// The last `count` bytes of `len`, or all when there are fewer; `None` (416) when that is nothing.
    #[must_use]
    pub fn suffix(len: PlainLen, count: u64) -> Option<Self> {
        if count == 0 {
            return None;
        }
        Self::within(len, len.0.saturating_sub(count), None)
    }

    #[must_use]
    pub fn first(self) -> u64 {
        self.first
    }

    #[must_use]
    pub fn last(self) -> u64 {
        self.last
    }

    /// How many bytes; at least 1.
    #[must_use]
    pub fn plain_len(self) -> PlainLen {
        PlainLen(self.last.saturating_sub(self.first).saturating_add(1))
    }
}

impl StoredRange {
    /// How many bytes; at least 1.
    #[must_use]
    pub fn count(self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The same bytes of a segment that itself starts at `base`; `None` on overflow.
    #[must_use]
    pub fn shifted(self, base: u64) -> Option<Self> {
        Some(Self {
            first: self.first.checked_add(base)?,
            last: self.last.checked_add(base)?,
        })
    }
}

impl PlainLen {
    /// The chunks of a segment with this much content that hold `range`; `None` where it reaches past the end.
    #[must_use]
    pub fn span(self, range: PlainRange) -> Option<ChunkSpan> {
        if range.last >= self.0 {
            return None;
        }
        let (first, last) = (ChunkIndex(range.first / CHUNK), ChunkIndex(range.last / CHUNK));
        let keep = (range.last % CHUNK).checked_add(1)?;
        Some(ChunkSpan {
            first,
            last,
            stored: StoredRange {
                first: chunk_start(first)?,
                last: self.chunk_end(last)?,
            },
            skip: usize::try_from(range.first % CHUNK).ok()?,
            keep: usize::try_from(keep).ok()?,
        })
    }

    /// Where chunk `index` lies, tag included; `None` past the last.
    #[must_use]
    pub fn stored_chunk(self, index: ChunkIndex) -> Option<StoredRange> {
        Some(StoredRange {
            first: chunk_start(index)?,
            last: self.chunk_end(index)?,
        })
    }

    fn chunk_end(self, index: ChunkIndex) -> Option<u64> {
        let sealed = u64::try_from(self.chunk_len(index)?)
            .ok()?
            .checked_add(SEALED_CHUNK.checked_sub(CHUNK)?)?;
        chunk_start(index)?.checked_add(sealed)?.checked_sub(1)
    }
}

impl ChunkSpan {
    /// Which bytes of chunk `index`, with `len` bytes of plaintext, belong to the range; empty outside of the span.
    #[must_use]
    pub fn wanted(&self, index: ChunkIndex, len: usize) -> Range<usize> {
        if index < self.first || index > self.last {
            return 0..0;
        }
        let start = if index == self.first { self.skip } else { 0 };
        let end = if index == self.last { self.keep } else { len };
        start.min(len)..end.min(len).max(start.min(len))
    }
}

/// What to ask the store for to read plaintext `first` to `last` (or to the end) of a whole object whose length is not
/// known yet. Once the answer has told it, [`PlainLen::span`] of the clamped range begins at the same stored byte.
/// `None` past the format.
#[must_use]
pub fn stored_ask(first: u64, last: Option<u64>) -> Option<StoredAsk> {
    let start = chunk_start(ChunkIndex(first / CHUNK))?;
    let Some(last) = last else {
        return Some(StoredAsk::From(start));
    };
    let end =
        PlainRange::new(first, last).and_then(|range| chunk_start(ChunkIndex((range.last / CHUNK).checked_add(1)?)));
    Some(StoredAsk::Between(StoredRange {
        first: start,
        last: end?.checked_sub(1)?,
    }))
}

/// Where chunk `index` begins, whether or not there is one.
fn chunk_start(index: ChunkIndex) -> Option<u64> {
    index.0.checked_mul(SEALED_CHUNK)?.checked_add(HEADER)
}
