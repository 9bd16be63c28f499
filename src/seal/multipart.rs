//! What makes a multipart object: parts and blocks, each sealed alone by whichever replica it reaches, and the tail
//! that ends them.

use bytes::BytesMut;

use crate::seal::segment::{Draft, fresh_salt};
use crate::seal::table::{content_len, footer_len};
use crate::seal::{
    Binding, BlockId, CHUNK_LEN, Dek, Domain, Envelope, Header, Kind, Padding, Place, PlainLen, SealError, Sealer,
    Table,
};

/// Where an Azure block belongs, and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace<'a> {
    /// As [`Place::container`].
    pub container: &'a str,
    pub name: &'a str,
    /// The client's id, its raw bytes: 1 to 48.
    pub client: &'a [u8],
    /// By the store's clock: Unix, in ms.
    pub time_ms: u64,
}

/// What ends a multipart object: the padding, then the footer.
#[derive(Debug)]
pub struct Tail {
    header: Header,
    padding: Padding,
    footer: Vec<u8>,
}

/// Begins a part of an S3 upload, of `len` bytes, bound by [`Binding::part`].
///
/// # Errors
/// `len` is beyond the format, or the kernel gave no random bytes.
pub fn seal_part(
    dek: &Dek,
    tenant: &str,
    binding: Binding,
    len: PlainLen,
    envelope: &Envelope,
) -> Result<(Header, Sealer), SealError> {
    Draft::unpadded(Kind::Part, binding, len)?.seal(dek, tenant, envelope, fresh_salt()?)
}

/// Begins an Azure block of `len` bytes, and makes the id to send it upstream under.
///
/// # Errors
/// As [`seal_part`]; a client's id out of bounds.
pub fn seal_block(
    dek: &Dek,
    tenant: &str,
    place: &BlockPlace<'_>,
    len: PlainLen,
    envelope: &Envelope,
) -> Result<(BlockId, Header, Sealer), SealError> {
    seal_block_with(dek, tenant, place, len, envelope, fresh_salt()?)
}

/// Ends a multipart object at `place` whose segments, in order, are the table's. On S3 padding brings it to the size
/// law; on Azure there is none.
///
/// # Errors
/// On S3 a part but the last under 5 MiB, so that the law has no room; the kernel gave no random bytes.
pub fn seal_footer(
    dek: &Dek,
    tenant: &str,
    place: &Place<'_>,
    table: &Table,
    envelope: &Envelope,
) -> Result<Tail, SealError> {
    seal_footer_with(dek, tenant, place, table, envelope, fresh_salt()?)
}

impl Tail {
    /// The footer's header; its salt names this very tail, and makes its Azure block id.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The zeros that come first.
    #[must_use]
    pub fn padding(&self) -> Padding {
        self.padding
    }

    /// What follows the zeros, to the object's end: the table's chunks and the header. Half a MB for 10,000 parts.
    #[must_use]
    pub fn footer(&self) -> &[u8] {
        &self.footer
    }
}

impl Draft {
    pub(super) fn unpadded(kind: Kind, binding: Binding, len: PlainLen) -> Result<Self, SealError> {
        len.segment().ok_or(SealError::TooLong { found: len.0 })?;
        Ok(Self {
            kind,
            segments: 0,
            plain_len: len,
            content: len,
            padding: Padding(0),
            binding,
        })
    }
}

pub(super) fn seal_block_with(
    dek: &Dek,
    tenant: &str,
    place: &BlockPlace<'_>,
    len: PlainLen,
    envelope: &Envelope,
    salt: [u8; 32],
) -> Result<(BlockId, Header, Sealer), SealError> {
    let BlockPlace {
        container,
        name,
        client,
        time_ms,
    } = *place;
    let wrong = SealError::BlockId {
        client_len: client.len(),
        time_ms,
    };
    let id = BlockId::client_block(client, time_ms, &salt).ok_or(wrong)?;
    let binding = Binding::block(container, name, &id.to_bytes());
    let (header, sealer) = Draft::unpadded(Kind::Block, binding, len)?.seal(dek, tenant, envelope, salt)?;
    Ok((id, header, sealer))
}

pub(super) fn seal_footer_with(
    dek: &Dek,
    tenant: &str,
    place: &Place<'_>,
    table: &Table,
    envelope: &Envelope,
    salt: [u8; 32],
) -> Result<Tail, SealError> {
    let padding = tail_padding(place.domain, table).ok_or(SealError::NoRoom)?;
    let draft = Draft {
        kind: Kind::Footer,
        segments: table.count(),
        plain_len: table.plain_len(),
        content: content_len(table.count()),
        padding: Padding(0),
        binding: Binding::whole(place),
    };
    let (header, mut sealer) = draft.seal(dek, tenant, envelope, salt)?;
    let mut footer = BytesMut::new();
    for chunk in table.to_bytes().chunks(CHUNK_LEN) {
        sealer.seal_next(chunk, &mut footer)?;
    }
    sealer.finish()?;
    footer.extend_from_slice(&header.to_bytes());
    Ok(Tail {
        header,
        padding,
        footer: footer.into(),
    })
}

/// The padding between an object's segments and its footer; `None` where there is no room for it.
pub(super) fn tail_padding(domain: Domain, table: &Table) -> Option<Padding> {
    let mut used = footer_len(table.count()).0;
    for entry in table.entries() {
        used = used.checked_add(entry.plain_len.segment()?.0)?;
    }
    match domain {
        Domain::S3 => table.plain_len().sealed()?.0.checked_sub(used).map(Padding),
        Domain::Azure => Some(Padding(0)),
    }
}
