//! Reading a multipart object: a plan of what to ask the store for, and a machine that is fed what it answers. No I/O
//! of its own: it says what it wants next, and takes it.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;

use crate::seal::{
    ChunkIndex, ChunkSpan, Dek, Header, Layout, Opener, PlainLen, PlainRange, SealedChunk, Segment, StoredRange,
    Tampered, open_bound,
};

/// What a reader wants next of the stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A segment's header of [`HEADER_LEN`](crate::seal::HEADER_LEN) bytes; hand it to `enter` with the DEK its
    /// envelope leads to.
    Header,
    /// One chunk of this many bytes, tag included; hand it to `open`.
    Chunk { sealed_len: usize },
    /// Zeros of this many bytes; hand them to `padding`.
    Padding { len: usize },
    /// This many bytes of no interest: pass over them, with a new request if that is cheaper; then call `skipped`.
    Skip { len: u64 },
    /// All is read.
    Nothing,
}

/// Reads a multipart object, or a range of it, segment by segment. Nothing is released but from chunks that opened, in
/// segments that are the very ones the table names.
pub struct MultipartRead {
    layout: Arc<Layout>,
    range: Option<PlainRange>,
    last: usize,
    at: At,
}

enum At {
    Header {
        segment: usize,
    },
    Chunk {
        segment: usize,
        window: Box<Window>,
        index: ChunkIndex,
    },
    End,
}

/// A segment being read: its keys, and the chunks that matter in it.
pub(super) struct Window {
    pub(super) opener: Opener,
    pub(super) span: ChunkSpan,
}

impl MultipartRead {
    /// Reads `range`, or with none the whole object, empty segments included. `None` where the range reaches past the
    /// end.
    #[must_use]
    pub fn new(layout: Arc<Layout>, range: Option<PlainRange>) -> Option<Self> {
        if range.is_some_and(|range| range.last() >= layout.plain_len().0) {
            return None;
        }
        let first = range.map_or(0, |range| layout.holder(range.first()));
        let end = layout.segments().len().saturating_sub(1);
        let last = range.map_or(end, |range| layout.holder(range.last()));
        let at = if layout.segments().is_empty() {
            At::End
        } else {
            At::Header { segment: first }
        };
        Some(Self {
            layout,
            range,
            last,
            at,
        })
    }

    /// The header to ask for apart from the body, side by side with it: where the range begins past its segment's first
    /// chunk. Asked before reading begins; `None` when the body brings it.
    #[must_use]
    pub fn apart(&self) -> Option<StoredRange> {
        let (segment, span) = self.first()?;
        (span.first > ChunkIndex(0)).then(|| segment.header())
    }

    /// The stored bytes to ask for in one request; `None` for an object of no segments. Asked before reading begins.
    #[must_use]
    pub fn body(&self) -> Option<StoredRange> {
        let (first, span) = self.first()?;
        let end = self.layout.segments().get(self.last)?;
        let start = if span.first > ChunkIndex(0) {
            span.stored.shifted(first.stored_start)?.first
        } else {
            first.stored_start
        };
        let last = local_span(end, self.range)?.stored.shifted(end.stored_start)?.last;
        Some(StoredRange { first: start, last })
    }

    #[must_use]
    pub fn wants(&self) -> Wants {
        match &self.at {
            At::Header { .. } => Wants::Header,
            At::Chunk { window, index, .. } => Wants::Chunk {
                sealed_len: window.sealed_len(*index),
            },
            At::End => Wants::Nothing,
        }
    }

    /// Takes the header wanted, with the DEK that its envelope led to, under a live lease.
    ///
    /// # Errors
    /// Not the segment the table names here.
    pub fn enter(&mut self, dek: &Dek, tenant: &str, header: &Header) -> Result<(), Tampered> {
        let At::Header { segment: at } = self.at else {
            return Err(Tampered::Unexpected);
        };
        let segment = self.layout.segments().get(at).ok_or(Tampered::Unexpected)?;
        let number = u64::from(segment.entry.number);
        let core = header.core();
        if core.plain_len() != segment.entry.plain_len || core.binding() != segment.entry.binding {
            return Err(Tampered::Segment { number });
        }
        let opener = open_bound(dek, tenant, self.layout.kind(), &segment.entry.binding, core)?;
        let span = local_span(segment, self.range).ok_or(Tampered::Unexpected)?;
        self.at = At::Chunk {
            segment: at,
            index: span.first,
            window: Box::new(Window { opener, span }),
        };
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

    /// As [`MultipartRead::open`], where `chunk` says; which bytes of its plaintext belong to the range.
    ///
    /// # Errors
    /// It does not open. What was to hold the plaintext is then all zeros.
    pub fn open_at(&mut self, chunk: SealedChunk<'_>) -> Result<Range<usize>, Tampered> {
        let At::Chunk { segment, window, index } = &mut self.at else {
            return Err(Tampered::Unexpected);
        };
        let kept = window.open_at(*index, chunk)?;
        if *index < window.span.last {
            *index = ChunkIndex(index.0.saturating_add(1));
        } else if *segment < self.last {
            self.at = At::Header {
                segment: segment.saturating_add(1),
            };
        } else {
            self.at = At::End;
        }
        Ok(kept)
    }

    fn first(&self) -> Option<(&Segment, ChunkSpan)> {
        let at = self.range.map_or(0, |range| self.layout.holder(range.first()));
        let segment = self.layout.segments().get(at)?;
        Some((segment, local_span(segment, self.range)?))
    }
}

impl Window {
    pub(super) fn sealed_len(&self, index: ChunkIndex) -> usize {
        self.opener.sealed_chunk_len(index).unwrap_or_default()
    }

    /// Opens a chunk; which bytes of its plaintext the span wants.
    pub(super) fn open_at(&self, index: ChunkIndex, chunk: SealedChunk<'_>) -> Result<Range<usize>, Tampered> {
        let len = self.opener.open_at(index, chunk)?;
        Ok(self.span.wanted(index, len))
    }
}

/// Leaves of what `out` holds from `start` on only these bytes.
pub(super) fn keep(out: &mut BytesMut, start: usize, kept: Range<usize>) {
    if kept.start > 0 {
        out.copy_within(start.saturating_add(kept.start)..start.saturating_add(kept.end), start);
    }
    out.truncate(start.saturating_add(kept.len()));
}

/// The chunks of one segment that `range` of the whole object takes; all with none. An empty segment's one chunk is
/// read, and gives nothing.
fn local_span(segment: &Segment, range: Option<PlainRange>) -> Option<ChunkSpan> {
    local_span_at(segment.plain_start, segment.entry.plain_len, range)
}

pub(super) fn local_span_at(plain_start: u64, len: PlainLen, range: Option<PlainRange>) -> Option<ChunkSpan> {
    let Some(all) = PlainRange::all(len) else {
        let stored = len.stored_chunk(ChunkIndex(0))?;
        return Some(ChunkSpan {
            first: ChunkIndex(0),
            last: ChunkIndex(0),
            stored,
            skip: 0,
            keep: 0,
        });
    };
    let local = range.map_or(Some(all), |range| {
        let first = range.first().saturating_sub(plain_start);
        let last = range.last().checked_sub(plain_start)?.min(all.last());
        PlainRange::new(first, last)
    });
    len.span(local?)
}
