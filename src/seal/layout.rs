//! A multipart object as its footer describes it: where each segment lies. Held against the stored size before any byte
//! is released; it holds no key, so it may be cached as long as the object's ETag stands.

use std::sync::Arc;

use bytes::BytesMut;

use crate::seal::multipart::tail_padding;
use crate::seal::segment::expect_kind;
use crate::seal::{
    Alias, ChunkIndex, Core, Dek, Domain, Entry, Envelope, HEADER_LEN, Header, Kind, Opener, Place, PlainLen,
    PlainRange, SEALED_CHUNK_LEN, SealedLen, StoredRange, Table, Tampered, footer_len, open_segment,
};

/// A footer, checked: what a reader keeps of a multipart object.
#[derive(Clone, Debug)]
pub struct Footer {
    core: Core,
    envelope: Envelope,
    layout: Arc<Layout>,
}

/// Where the segments of a multipart object lie.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    domain: Domain,
    table: Table,
    segments: Vec<Segment>,
}

/// One segment of a multipart object, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub entry: Entry,
    /// Its first byte among the object's plaintext.
    pub plain_start: u64,
    /// Its header's first byte among the stored.
    pub stored_start: u64,
}

/// Opens the footer of an object asked for as `place`, of `stored` bytes in all. `sealed` is what stands before
/// `header`, which is the last of the object: [`footer_len`] less a header, in length.
///
/// # Errors
/// No footer, another place with no alias, or a table that does not make exactly the stored size.
pub fn open_footer(
    dek: &Dek,
    tenant: &str,
    place: &Place<'_>,
    alias: Option<&Alias>,
    header: &Header,
    sealed: &[u8],
    stored: SealedLen,
) -> Result<(Footer, Opener), Tampered> {
    let core = header.core();
    expect_kind(core, Kind::Footer)?;
    let opener = open_segment(dek, tenant, core)?;
    opener.at(place, alias)?;
    let table = Table::parse(core.segments(), &open_content(&opener, sealed)?)?;
    if table.plain_len() != core.plain_len() {
        return Err(Tampered::Table);
    }
    let layout = Arc::new(Layout::of(place.domain, table, stored)?);
    Ok((
        Footer {
            core: *core,
            envelope: header.envelope().clone(),
            layout,
        },
        opener,
    ))
}

impl Footer {
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Of the footer's own DEK; segments bring theirs.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }
}

impl Layout {
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The plaintext of the whole object.
    #[must_use]
    pub fn plain_len(&self) -> PlainLen {
        self.table.plain_len()
    }

    /// The plaintext of the part with this number (S3's `partNumber`): `None` where there is no such part, `Some(None)`
    /// where it is empty.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<Option<PlainRange>> {
        let at = self
            .segments
            .binary_search_by_key(&number, |segment| segment.entry.number)
            .ok()?;
        let segment = self.segments.get(at)?;
        let end = segment.plain_start.checked_add(segment.entry.plain_len.0)?;
        Some(
            end.checked_sub(1)
                .and_then(|last| PlainRange::new(segment.plain_start, last)),
        )
    }

    /// What a segment of this object is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.domain {
            Domain::S3 => Kind::Part,
            Domain::Azure => Kind::Block,
        }
    }

    /// The place among [`Layout::segments`] of the one that holds plaintext byte `at`, which is not past the end.
    pub(super) fn holder(&self, at: u64) -> usize {
        self.segments
            .partition_point(|segment| segment.plain_start <= at)
            .saturating_sub(1)
    }

    fn of(domain: Domain, table: Table, stored: SealedLen) -> Result<Self, Tampered> {
        let size = Tampered::Size { found: stored.0 };
        let mut segments = Vec::with_capacity(table.entries().len());
        let (mut plain_start, mut stored_start) = (0_u64, 0_u64);
        for entry in table.entries() {
            segments.push(Segment {
                entry: *entry,
                plain_start,
                stored_start,
            });
            let sealed = entry.plain_len.segment().ok_or(size)?.0;
            plain_start = plain_start.checked_add(entry.plain_len.0).ok_or(size)?;
            stored_start = stored_start.checked_add(sealed).ok_or(size)?;
        }
        let padding = tail_padding(domain, &table).ok_or(size)?.0;
        let all = stored_start
            .checked_add(padding)
            .and_then(|all| all.checked_add(footer_len(table.count()).0));
        if all == Some(stored.0) {
            Ok(Self {
                domain,
                table,
                segments,
            })
        } else {
            Err(size)
        }
    }
}

impl Segment {
    /// Where its header lies.
    #[must_use]
    pub fn header(&self) -> StoredRange {
        let last = self.stored_start.saturating_add(HEADER_LEN as u64).saturating_sub(1);
        StoredRange {
            first: self.stored_start,
            last,
        }
    }
}

/// Opens all chunks of a small content that lies in memory.
fn open_content(opener: &Opener, sealed: &[u8]) -> Result<BytesMut, Tampered> {
    let mut content = BytesMut::new();
    let mut chunks = sealed.chunks(SEALED_CHUNK_LEN);
    for index in (0..=opener.last_chunk().0).map(ChunkIndex) {
        opener.open(index, chunks.next().unwrap_or_default(), &mut content)?;
    }
    if chunks.next().is_some() {
        Err(Tampered::Unexpected)
    } else {
        Ok(content)
    }
}
