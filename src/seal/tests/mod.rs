//! The format's tests across files, and what they share. `independent` is a second implementation that knows nothing of
//! the first.

mod append;
mod independent;
mod metadata;
mod multipart;
mod vectors;
mod whole;

use bytes::BytesMut;

use crate::seal::envelope::tests::envelope;
use crate::seal::*;

pub(super) const TENANT: &str = "acme";
pub(super) const PLACE: Place<'static> = Place {
    domain: Domain::S3,
    container: "photos",
    name: "2026/cat.jpg",
};

pub(super) fn dek() -> Dek {
    Dek::from_bytes(&[0x11; 32]).unwrap()
}

/// Bytes that no two chunks share: a counter every 8 bytes.
pub(super) fn pattern(len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    for counter in 0..=len as u64 / 8 {
        bytes.extend_from_slice(&counter.to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Runs a sealer over `plaintext`, and appends what it makes, padding included.
pub(super) fn seal_all(mut sealer: Sealer, plaintext: &[u8], out: &mut BytesMut) {
    let mut rest = plaintext;
    while let Some(len) = sealer.next_len() {
        let (chunk, after) = rest.split_at(len);
        sealer.seal_next(chunk, out).unwrap();
        rest = after;
    }
    assert!(rest.is_empty());
    let padding = sealer.finish().unwrap().0;
    out.resize(out.len() + usize::try_from(padding).unwrap(), 0);
}

pub(super) fn sealed_whole(dek: &Dek, tenant: &str, place: &Place<'_>, plaintext: &[u8]) -> Vec<u8> {
    let len = PlainLen(plaintext.len() as u64);
    let (header, sealer) = seal_whole(dek, tenant, place, len, &envelope(dek, tenant)).unwrap();
    let mut out = BytesMut::from(&header.to_bytes()[..]);
    seal_all(sealer, plaintext, &mut out);
    out.to_vec()
}

/// Reads a stored whole object the way a careful reader does: size, header, place, every chunk, padding.
pub(super) fn opened_whole(dek: &Dek, tenant: &str, place: &Place<'_>, stored: &[u8]) -> Result<Vec<u8>, Tampered> {
    let size = Tampered::Size {
        found: stored.len() as u64,
    };
    let header = Header::parse(stored.get(..HEADER_LEN).ok_or(size)?)?;
    let opener = open_whole(dek, tenant, place, None, header.core())?;
    let len = header.core().plain_len();
    if !header.core().makes(SealedLen(stored.len() as u64)) {
        return Err(size);
    }
    let (mut out, mut rest) = (BytesMut::new(), &stored[HEADER_LEN..]);
    for index in (0..len.chunks()).map(ChunkIndex) {
        let (chunk, after) = rest.split_at(opener.sealed_chunk_len(index).unwrap());
        opener.open(index, chunk, &mut out)?;
        rest = after;
    }
    if !len.whole_padding().unwrap().holds(rest) {
        return Err(Tampered::Padding);
    }
    Ok(out.to_vec())
}
