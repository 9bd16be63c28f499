//! Multipart objects of S3 and Azure: sealed part by part, read back whole and by range, and held together by their
//! footer.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;

use super::{PLACE, TENANT, dek, pattern, seal_all};
use crate::seal::envelope::tests::envelope;
use crate::seal::*;

const MIB5: usize = 5 << 20;
const BLOB: Place<'static> = Place {
    domain: Domain::Azure,
    container: "photos",
    name: "2026/cat.jpg",
};

/// A stored object and what made it.
struct Stored {
    bytes: Vec<u8>,
    segments: Vec<Vec<u8>>,
    tail: Vec<u8>,
}

fn whole_of(segments: &[Vec<u8>], tail: &[u8]) -> Vec<u8> {
    [&segments.concat()[..], tail].concat()
}

fn end(place: &Place<'_>, table: &Table, segments: Vec<Vec<u8>>) -> Stored {
    let tail = seal_footer(&dek(), TENANT, place, table, &envelope(&dek(), TENANT)).unwrap();
    let tail = [&vec![0; tail.padding().0 as usize][..], tail.footer()].concat();
    Stored {
        bytes: whole_of(&segments, &tail),
        segments,
        tail,
    }
}

fn part(place: &Place<'_>, upload: &str, number: u32, plaintext: &[u8]) -> (Entry, Vec<u8>) {
    let binding = Binding::part(place.container, place.name, upload, number);
    let plain_len = PlainLen(plaintext.len() as u64);
    let (header, sealer) = seal_part(&dek(), TENANT, binding, plain_len, &envelope(&dek(), TENANT)).unwrap();
    let mut out = BytesMut::from(&header.to_bytes()[..]);
    seal_all(sealer, plaintext, &mut out);
    (
        Entry {
            binding,
            plain_len,
            number,
        },
        out.to_vec(),
    )
}

fn s3_object(upload: &str, numbered: &[(u32, &[u8])]) -> Stored {
    let (entries, segments) = numbered
        .iter()
        .map(|(number, text)| part(&PLACE, upload, *number, text))
        .unzip();
    let table = Table::new(Some(upload), entries, Checksums::default()).unwrap();
    end(&PLACE, &table, segments)
}

fn azure_block(client: &str, number: u32, plaintext: &[u8]) -> (BlockId, Entry, Vec<u8>) {
    let plain_len = PlainLen(plaintext.len() as u64);
    let place = BlockPlace {
        container: BLOB.container,
        name: BLOB.name,
        client: client.as_bytes(),
        time_ms: 1_790_000_000_000,
    };
    let (id, header, sealer) = seal_block(&dek(), TENANT, &place, plain_len, &envelope(&dek(), TENANT)).unwrap();
    let mut out = BytesMut::from(&header.to_bytes()[..]);
    seal_all(sealer, plaintext, &mut out);
    let binding = Binding::block(BLOB.container, BLOB.name, &id.to_bytes());
    assert_eq!(header.core().binding(), binding);
    (
        id,
        Entry {
            binding,
            plain_len,
            number,
        },
        out.to_vec(),
    )
}

fn azure_object(blocks: &[&[u8]]) -> Stored {
    let sealed = (1..)
        .zip(blocks)
        .map(|(number, text)| azure_block("0001", number, text));
    let (entries, segments) = sealed.map(|(_, entry, bytes)| (entry, bytes)).unzip();
    end(
        &BLOB,
        &Table::new(None, entries, Checksums::default()).unwrap(),
        segments,
    )
}

fn footer(place: &Place<'_>, stored: &[u8]) -> Result<Footer, Tampered> {
    footer_with(&dek(), TENANT, place, stored)
}

fn footer_with(dek: &Dek, tenant: &str, place: &Place<'_>, stored: &[u8]) -> Result<Footer, Tampered> {
    let size = Tampered::Size {
        found: stored.len() as u64,
    };
    let (before, header) = stored.split_last_chunk::<HEADER_LEN>().ok_or(size)?;
    let header = Header::parse(header)?;
    let len = footer_len(header.core().segments()).0 as usize - HEADER_LEN;
    let at = before.len().checked_sub(len).ok_or(size)?;
    open_footer(
        dek,
        tenant,
        place,
        None,
        &header,
        &before[at..],
        SealedLen(stored.len() as u64),
    )
    .map(|(footer, _)| footer)
}

/// Reads as a gate does: footer first, then a first header apart where needed, and the body in one request.
fn read(place: &Place<'_>, stored: &[u8], range: Option<PlainRange>) -> Result<Vec<u8>, Tampered> {
    read_with(&dek(), TENANT, place, stored, range)
}

pub(super) fn read_with(
    dek: &Dek,
    tenant: &str,
    place: &Place<'_>,
    stored: &[u8],
    range: Option<PlainRange>,
) -> Result<Vec<u8>, Tampered> {
    let footer = footer_with(dek, tenant, place, stored)?;
    let mut read = MultipartRead::new(Arc::clone(footer.layout()), range).ok_or(Tampered::Unexpected)?;
    let slice = |range: StoredRange| &stored[range.first as usize..=range.last as usize];
    let mut apart = read.apart().map(slice);
    let mut body = read.body().map(slice).unwrap_or_default();
    let mut out = BytesMut::new();
    loop {
        match read.wants() {
            Wants::Header => {
                let bytes = apart.take().unwrap_or_else(|| {
                    let (header, rest) = body.split_at(HEADER_LEN);
                    body = rest;
                    header
                });
                read.enter(dek, tenant, &Header::parse(bytes)?)?;
            }
            Wants::Chunk { sealed_len } => {
                let (chunk, rest) = body.split_at(sealed_len);
                body = rest;
                read.open(chunk, &mut out)?;
            }
            Wants::Nothing => break,
            other => panic!("{other:?} in a multipart object"),
        }
    }
    assert!(body.is_empty(), "no byte more was asked for than was wanted");
    Ok(out.to_vec())
}

#[test]
fn s3_objects_obey_the_size_law_and_read_back() {
    let five = pattern(MIB5);
    let odd = pattern(MIB5 + 65_537);
    for parts in [
        &[(1, &five[..])][..],
        &[(1, &five[..]), (2, b"")],
        &[(1, &five[..]), (2, b"x")],
        &[(3, &odd[..]), (7, &five[..]), (9_999, &odd[..65_536])],
        &[(1, &odd[..]), (10_000, &five[..])],
    ] {
        let stored = s3_object("upload", parts);
        let plaintext: Vec<u8> = parts.iter().flat_map(|(_, text)| text.iter().copied()).collect();
        let size = SealedLen(stored.bytes.len() as u64);
        assert_eq!(size.plain(), Some(PlainLen(plaintext.len() as u64)));
        assert!(footer_ask(Some(size)) >= footer_len(parts.len() as u32).0);
        assert!(read(&PLACE, &stored.bytes, None) == Ok(plaintext));
        let footer = footer(&PLACE, &stored.bytes).unwrap();
        assert!(footer.layout().table().is_of_upload("upload"));
    }
}

#[test]
fn law_has_room_for_every_layout_of_parts() {
    let table = |lens: Vec<u64>| {
        let entries = (1..).zip(lens).map(|(number, len)| Entry {
            binding: Binding::part("c", "n", "u", number),
            plain_len: PlainLen(len),
            number,
        });
        Table::new(Some("u"), entries.collect(), Checksums::default()).unwrap()
    };
    let room = |lens| multipart::tail_padding(Domain::S3, &table(lens));
    let five = MIB5 as u64;
    // Two parts with one odd tag each is the tightest case: nothing is left but the optional fields' own room.
    assert_eq!(room(vec![five + 1, 1]), Some(Padding(0)));
    for last in [0, 1, 65_536, 65_537, five - 1, five] {
        for count in [1, 2, 3, 100, 1_359, 1_360, 9_998, 9_999] {
            let lens = std::iter::repeat_n(five + 1, count).chain([last]).collect();
            assert!(room(lens).is_some(), "{count} parts and {last} bytes");
        }
    }
    assert!(
        room(std::iter::repeat_n(5 << 30, 10_000).collect()).is_some(),
        "the largest parts"
    );
    assert_eq!(room(vec![1, 1]), None, "small parts do not fit, and are refused");
    let refused = seal_footer(&dek(), TENANT, &PLACE, &table(vec![1, 1]), &envelope(&dek(), TENANT));
    assert_eq!(refused.err(), Some(SealError::NoRoom));
}

#[test]
fn azure_objects_read_back_with_any_blocks() {
    let big = pattern(2 * 65_536 + 9);
    for blocks in [
        &[][..],
        &[&b""[..]],
        &[b"x"],
        &[b"x", b"y", b"x", b"", b"z"],
        &[&big, b"", &big[..65_536]],
    ] {
        let stored = azure_object(blocks);
        assert!(read(&BLOB, &stored.bytes, None) == Ok(blocks.concat()));
    }
}

#[test]
fn a_repeated_block_is_read_twice() {
    let (_, entry, bytes) = azure_block("0001", 1, b"again");
    let table = Table::new(None, vec![entry, Entry { number: 2, ..entry }], Checksums::default()).unwrap();
    let stored = end(&BLOB, &table, vec![bytes.clone(), bytes]);
    assert_eq!(read(&BLOB, &stored.bytes, None), Ok(b"againagain".to_vec()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_range_of_blocks_reads_as_its_slice(
        lens in prop::collection::vec(prop::sample::select(vec![0_usize, 1, 7, 65_535, 65_536, 65_537, 140_000]), 1..6),
        cuts in (0.0..1.0_f64, 0.0..1.0_f64),
    ) {
        let all = pattern(lens.iter().sum());
        prop_assume!(!all.is_empty());
        let mut rest = &all[..];
        let blocks: Vec<&[u8]> = lens.iter().map(|len| rest.split_off(..*len).unwrap()).collect();
        let stored = azure_object(&blocks);
        let at = |cut: f64| (all.len() as f64 * cut) as usize;
        let (first, last) = (at(cuts.0.min(cuts.1)), at(cuts.0.max(cuts.1)));
        let range = PlainRange::new(first as u64, last as u64);
        prop_assert!(read(&BLOB, &stored.bytes, range) == Ok(all[first..=last].to_vec()));
    }
}

#[test]
fn ranges_at_segment_and_chunk_edges_read_exactly() {
    let all = pattern(65_537 + 3 + 131_072);
    let stored = azure_object(&[&all[..65_537], &all[65_537..65_540], b"", &all[65_540..]]);
    let edges = [
        0,
        1,
        65_535,
        65_536,
        65_537,
        65_539,
        65_540,
        65_541,
        131_075,
        131_076,
        all.len() - 1,
    ];
    for first in edges {
        for last in edges.into_iter().filter(|last| *last >= first) {
            let range = PlainRange::new(first as u64, last as u64);
            assert!(
                read(&BLOB, &stored.bytes, range) == Ok(all[first..=last].to_vec()),
                "{first}-{last}"
            );
        }
    }
    let past = PlainRange::new(0, all.len() as u64);
    assert_eq!(read(&BLOB, &stored.bytes, past), Err(Tampered::Unexpected));
}

#[test]
fn parts_are_found_by_their_numbers() {
    let five = pattern(MIB5);
    let stored = s3_object("upload", &[(3, &five[..]), (7, b"end")]);
    let footer = footer(&PLACE, &stored.bytes).unwrap();
    let layout = footer.layout();
    assert_eq!(layout.segments().len(), 2);
    assert_eq!(layout.part(3), Some(PlainRange::new(0, MIB5 as u64 - 1)));
    assert_eq!(layout.part(7), Some(PlainRange::new(MIB5 as u64, MIB5 as u64 + 2)));
    assert_eq!(layout.part(4), None);
    assert!(read(&PLACE, &stored.bytes, layout.part(7).unwrap()) == Ok(b"end".to_vec()));
}

#[test]
fn every_bit_of_a_footer_is_held() {
    let stored = azure_object(&[b"one", b"two"]);
    let from = stored.bytes.len() - footer_len(2).0 as usize;
    for bit in from * 8..(stored.bytes.len() - HEADER_LEN + CORE_LEN) * 8 {
        let mut bytes = stored.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(footer(&BLOB, &bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn cut_lengthened_and_rearranged_objects_are_refused() {
    let stored = azure_object(&[b"one", b"two", b"end"]);
    let Stored { segments, tail, .. } = &stored;
    let len = stored.bytes.len();
    for cut in [0, 1, HEADER_LEN, 720, len - 1, len - HEADER_LEN] {
        assert!(read(&BLOB, &stored.bytes[..cut], None).is_err(), "cut to {cut}");
    }
    for more in [1, 720, HEADER_LEN] {
        let front = [&vec![0; more][..], &stored.bytes].concat();
        assert_eq!(
            read(&BLOB, &front, None),
            Err(Tampered::Size {
                found: front.len() as u64
            })
        );
    }
    let dropped = whole_of(&segments[1..], tail);
    assert_eq!(
        read(&BLOB, &dropped, None),
        Err(Tampered::Size {
            found: dropped.len() as u64
        })
    );
    let swapped = whole_of(&[segments[1].clone(), segments[0].clone(), segments[2].clone()], tail);
    assert_eq!(read(&BLOB, &swapped, None), Err(Tampered::Segment { number: 1 }));
}

#[test]
fn a_block_of_an_earlier_version_does_not_splice_in() {
    let old = azure_object(&[b"one", b"old"]);
    let new = azure_object(&[b"one", b"new"]);
    let spliced = whole_of(&[new.segments[0].clone(), old.segments[1].clone()], &new.tail);
    assert_eq!(read(&BLOB, &spliced, None), Err(Tampered::Segment { number: 2 }));
}

#[test]
fn another_uploads_footer_or_part_is_refused() {
    let five = pattern(MIB5);
    let one = s3_object("upload 1", &[(1, &five[..]), (2, b"end")]);
    let two = s3_object("upload 2", &[(1, &five[..]), (2, b"end")]);
    assert_eq!(
        read(&PLACE, &whole_of(&one.segments, &two.tail), None),
        Err(Tampered::Segment { number: 1 })
    );
    let mixed = whole_of(&[one.segments[0].clone(), two.segments[1].clone()], &one.tail);
    assert_eq!(read(&PLACE, &mixed, None), Err(Tampered::Segment { number: 2 }));
}

#[test]
fn segments_serve_as_their_own_kind_only() {
    let five = pattern(MIB5);
    let stored = s3_object("upload", &[(1, &five[..])]);
    let core = |bytes: &[u8]| Core::parse(&bytes[..CORE_LEN]).unwrap();
    let part = core(&stored.segments[0]);
    let as_whole = open_whole(&dek(), TENANT, &PLACE, None, &part);
    assert_eq!(
        as_whole.err(),
        Some(Tampered::Kind {
            expected: Kind::Whole,
            found: Kind::Part
        })
    );
    let footer_core = core(&stored.bytes[stored.bytes.len() - HEADER_LEN..]);
    let as_whole = open_whole(&dek(), TENANT, &PLACE, None, &footer_core);
    assert_eq!(
        as_whole.err(),
        Some(Tampered::Kind {
            expected: Kind::Whole,
            found: Kind::Footer
        })
    );

    let whole = super::sealed_whole(&dek(), TENANT, &PLACE, b"whole");
    let core = core(&whole);
    let as_part = open_bound(&dek(), TENANT, Kind::Part, &core.binding(), &core);
    assert_eq!(
        as_part.err(),
        Some(Tampered::Kind {
            expected: Kind::Part,
            found: Kind::Whole
        })
    );
    let elsewhere = Binding::whole(&BLOB);
    assert_eq!(
        open_bound(&dek(), TENANT, Kind::Whole, &elsewhere, &core).err(),
        Some(Tampered::Place)
    );
}

#[test]
fn a_multipart_copy_is_read_by_its_footers_alias() {
    let stored = azure_object(&[b"one", b"two"]);
    let (before, header) = stored.bytes.split_last_chunk::<HEADER_LEN>().unwrap();
    let header = Header::parse(header).unwrap();
    let table = &before[before.len() - (footer_len(2).0 as usize - HEADER_LEN)..];
    let size = SealedLen(stored.bytes.len() as u64);
    let copy = Place { name: "copy", ..BLOB };
    let (_, opener) = open_footer(&dek(), TENANT, &BLOB, None, &header, table, size).unwrap();
    let alias = opener.alias_key().alias(&copy);
    let open = |place: &Place<'_>, alias| open_footer(&dek(), TENANT, place, alias, &header, table, size).map(|_| ());
    assert_eq!(open(&copy, Some(&alias)), Ok(()));
    assert_eq!(open(&copy, None), Err(Tampered::Place));
    assert_eq!(
        open(&Place { name: "other", ..BLOB }, Some(&alias)),
        Err(Tampered::Place)
    );
}

#[test]
fn checksums_come_back_from_the_table() {
    let mut checksums = Checksums::default();
    let sha = Checksum {
        kind: ChecksumKind::Sha512,
        parts: None,
        value: &[5; 64],
    };
    let crc = Checksum {
        kind: ChecksumKind::Crc32,
        parts: Some(2),
        value: &[6; 4],
    };
    checksums.add(sha).unwrap();
    checksums.add(crc).unwrap();
    let (_, entry, bytes) = azure_block("0001", 1, b"x");
    let stored = end(&BLOB, &Table::new(None, vec![entry], checksums).unwrap(), vec![bytes]);
    let footer = footer(&BLOB, &stored.bytes).unwrap();
    assert_eq!(
        footer.layout().table().checksums().iter().collect::<Vec<_>>(),
        [sha, crc]
    );
}

#[test]
fn reader_refuses_what_it_did_not_ask_for() {
    let stored = azure_object(&[b"one"]);
    let layout = Arc::clone(footer(&BLOB, &stored.bytes).unwrap().layout());
    let mut read = MultipartRead::new(layout, None).unwrap();
    let mut out = BytesMut::new();
    assert_eq!(read.open(&[0; 19], &mut out), Err(Tampered::Unexpected));
    let header = Header::parse(&stored.bytes[..HEADER_LEN]).unwrap();
    read.enter(&dek(), TENANT, &header).unwrap();
    assert_eq!(read.enter(&dek(), TENANT, &header), Err(Tampered::Unexpected));
    assert_eq!(read.open(&[0; 19], &mut out), Err(Tampered::Chunk { index: 0 }));
    assert_eq!(
        read.wants(),
        Wants::Chunk { sealed_len: 19 },
        "a refused chunk is not passed by"
    );
    assert!(out.is_empty());
}
