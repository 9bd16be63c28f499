//! Append blobs: rows of blocks, read forward.

use bytes::BytesMut;

use super::{TENANT, dek, pattern, seal_all};
use crate::seal::envelope::tests::envelope;
use crate::seal::*;

const LENS: [usize; 6] = [3, 65_536, 1, 65_537, 0, 200_000];

fn append(index: u64, offset: u64, plaintext: &[u8]) -> Vec<u8> {
    let binding = Binding::append("logs", "today", index, offset);
    let len = PlainLen(plaintext.len() as u64);
    let (header, sealer) = seal_append(&dek(), TENANT, binding, len, &envelope(&dek(), TENANT)).unwrap();
    let mut out = BytesMut::from(&header.to_bytes()[..]);
    seal_all(sealer, plaintext, &mut out);
    assert_eq!(out.len() as u64, plaintext.len() as u64 + APPEND_OVERHEAD);
    out.to_vec()
}

fn blob() -> (Vec<u8>, Vec<Vec<u8>>) {
    let all = pattern(LENS.iter().sum());
    let mut offset = 0;
    let blocks = (0..).zip(LENS).map(|(index, len)| {
        let block = append(index, offset as u64, &all[offset..offset + len]);
        offset += len;
        block
    });
    let blocks = blocks.collect();
    (all, blocks)
}

fn read(stored: &[u8], blocks: u64, range: Option<PlainRange>) -> Result<Vec<u8>, Tampered> {
    let mut read = AppendRead::new("logs", "today", SealedLen(stored.len() as u64), blocks, range)?;
    let (mut rest, mut out) = (stored, BytesMut::new());
    loop {
        let len = match read.wants() {
            Wants::Header => HEADER_LEN,
            Wants::Chunk { sealed_len } => sealed_len,
            Wants::Padding { len } => len,
            Wants::Skip { len } => len as usize,
            Wants::Nothing => return Ok(out.to_vec()),
        };
        let (bytes, after) = rest.split_at_checked(len).ok_or(Tampered::Size {
            found: stored.len() as u64,
        })?;
        rest = after;
        match read.wants() {
            Wants::Header => read.enter(&dek(), TENANT, &Header::parse(bytes)?)?,
            Wants::Chunk { .. } => read.open(bytes, &mut out)?,
            Wants::Padding { .. } => read.padding(bytes)?,
            _ => read.skipped()?,
        }
    }
}

#[test]
fn rows_of_blocks_read_back_whole_and_by_range() {
    let (all, blocks) = blob();
    let stored = blocks.concat();
    assert!(read(&stored, 6, None) == Ok(all.clone()));
    assert_eq!(read(&[], 0, None), Ok(vec![]));
    let edges = [
        0,
        2,
        3,
        4,
        65_538,
        65_539,
        65_540,
        131_075,
        131_076,
        131_077,
        200_000,
        all.len() - 1,
    ];
    for first in edges {
        for last in edges.into_iter().filter(|last| *last >= first) {
            let range = PlainRange::new(first as u64, last as u64);
            assert!(
                read(&stored, 6, range) == Ok(all[first..=last].to_vec()),
                "{first}-{last}"
            );
        }
    }
    let past = read(&stored, 6, PlainRange::new(0, all.len() as u64));
    assert_eq!(
        past,
        Err(Tampered::Size {
            found: stored.len() as u64
        })
    );
}

#[test]
fn swapped_dropped_and_miscounted_blocks_are_refused() {
    let (_, blocks) = blob();
    let row = |order: &[usize]| order.iter().flat_map(|at| blocks[*at].clone()).collect::<Vec<u8>>();
    assert_eq!(read(&row(&[2, 1, 0, 3, 4, 5]), 6, None), Err(Tampered::Place));
    assert_eq!(read(&row(&[0, 2, 3, 4, 5]), 5, None), Err(Tampered::Place));
    assert_eq!(read(&row(&[0, 1, 2, 2]), 4, None), Err(Tampered::Place));
    for count in [5, 7] {
        assert!(read(&blocks.concat(), count, None).is_err(), "{count} blocks said");
    }
    let cut = &blocks.concat()[..LENS[0] + APPEND_OVERHEAD as usize - 1];
    assert!(read(cut, 1, None).is_err());
    let elsewhere = AppendRead::new("logs", "tomorrow", SealedLen(blocks[0].len() as u64), 1, None).unwrap();
    let mut elsewhere = elsewhere;
    let header = Header::parse(&blocks[0][..HEADER_LEN]).unwrap();
    assert_eq!(elsewhere.enter(&dek(), TENANT, &header), Err(Tampered::Place));
}

#[test]
fn a_row_cut_at_a_blocks_end_still_reads() {
    let (all, blocks) = blob();
    assert!(
        read(&blocks[..3].concat(), 3, None) == Ok(all[..65_540].to_vec()),
        "stated as not detected"
    );
}

#[test]
fn padding_must_be_zeros() {
    let (_, blocks) = blob();
    let mut stored = blocks[0].clone();
    let last = stored.len() - 1;
    stored[last] = 1;
    assert_eq!(read(&stored, 1, None), Err(Tampered::Padding));
}

#[test]
fn blocks_over_4_mib_are_refused_before_any_byte() {
    let binding = Binding::append("logs", "today", 0, 0);
    let len = PlainLen(MAX_APPEND_LEN.0 + 1);
    let refused = seal_append(&dek(), TENANT, binding, len, &envelope(&dek(), TENANT));
    assert_eq!(refused.err(), Some(SealError::TooLong { found: len.0 }));
}
