//! Objects of kind whole: what comes back, and all that must not.

use bytes::BytesMut;
use proptest::prelude::*;

use super::{PLACE, TENANT, dek, opened_whole, pattern, sealed_whole};
use crate::seal::envelope::tests::{envelope, secrets};
use crate::seal::*;

const KIB64: usize = CHUNK_LEN;
const MIB5: usize = 5 << 20;
const LENGTHS: [usize; 14] = [
    0,
    1,
    15,
    16,
    17,
    KIB64 - 1,
    KIB64,
    KIB64 + 1,
    2 * KIB64 - 1,
    2 * KIB64,
    2 * KIB64 + 1,
    MIB5 - 1,
    MIB5,
    MIB5 + 1,
];

fn open(stored: &[u8]) -> Result<Vec<u8>, Tampered> {
    opened_whole(&dek(), TENANT, &PLACE, stored)
}

#[test]
fn what_was_sealed_opens_at_every_boundary_length() {
    for len in LENGTHS
        .into_iter()
        .chain([10 * (1 << 20) - 1, 10 * (1 << 20), 10 * (1 << 20) + 1])
    {
        let plaintext = pattern(len);
        let stored = sealed_whole(&dek(), TENANT, &PLACE, &plaintext);
        assert_eq!(
            SealedLen(stored.len() as u64).plain(),
            Some(PlainLen(len as u64)),
            "{len}"
        );
        assert!(open(&stored) == Ok(plaintext), "{len}");
    }
}

#[test]
fn sealing_where_the_plaintext_lies_makes_the_same_object_readable() {
    let plaintext = pattern(KIB64 + 5);
    let len = PlainLen(plaintext.len() as u64);
    let (header, mut sealer) = seal_whole(&dek(), TENANT, &PLACE, len, &envelope(&dek(), TENANT)).unwrap();
    let mut stored = BytesMut::from(&header.to_bytes()[..]);
    for chunk in plaintext.chunks(CHUNK_LEN) {
        let start = stored.len();
        stored.extend_from_slice(chunk);
        sealer.seal_from(start, &mut stored).unwrap();
    }
    assert_eq!(sealer.finish(), Ok(Padding(0)));
    assert_eq!(open(&stored), Ok(plaintext));
}

#[test]
fn slices_are_sealed_and_opened_as_buffers_are() {
    for len in [0, 1, KIB64 - 1, KIB64, KIB64 + 1, 3 * KIB64] {
        let (dek, plaintext) = (dek(), pattern(len));
        let plain_len = PlainLen(len as u64);
        let (header, mut sealer) = seal_whole(&dek, TENANT, &PLACE, plain_len, &envelope(&dek, TENANT)).unwrap();
        let opener = open_whole(&dek, TENANT, &PLACE, None, header.core()).unwrap();
        let (mut index, mut rest) = (ChunkIndex(0), plaintext.as_slice());
        while let Some(next) = sealer.next_len() {
            let (expected, after) = rest.split_at(next);
            let mut sealed = [expected, &[0; TAG_LEN]].concat();
            sealer.seal_in_place(&mut sealed).unwrap();
            let (mut as_buffer, mut into) = (BytesMut::new(), vec![0; next]);
            opener.open(index, &sealed, &mut as_buffer).unwrap();
            let open =
                |sealed: &[u8], plaintext: &mut [u8]| opener.open_at(index, SealedChunk::Apart { sealed, plaintext });
            assert_eq!(open(&sealed, &mut into), Ok(next));
            assert!(as_buffer == expected && into == expected);
            // What does not open leaves nothing behind, wherever it was to go.
            for bit in [0, sealed.len() * 8 - 1] {
                let mut changed = sealed.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let wrong = Tampered::Chunk { index: index.0 };
                assert_eq!(open(&changed, &mut into), Err(wrong));
                assert_eq!(opener.open_at(index, SealedChunk::Here(&mut changed)), Err(wrong));
                assert!(into.iter().chain(&changed).all(|byte| *byte == 0));
            }
            let found = sealed.len() - 1;
            let short = Tampered::ChunkLength { index: index.0, found };
            assert_eq!(
                opener.open_at(index, SealedChunk::Here(&mut sealed[..found])),
                Err(short)
            );
            assert!(open(&sealed, &mut vec![0; next + 1]).is_err());
            assert_eq!(opener.open_at(index, SealedChunk::Here(&mut sealed)), Ok(next));
            assert!(sealed[..next] == *expected);
            (index, rest) = (ChunkIndex(index.0 + 1), after);
        }
        assert!(sealer.seal_in_place(&mut [0; TAG_LEN]).is_err(), "after the last");
    }
}

#[test]
fn two_seals_of_one_plaintext_share_nothing() {
    let (one, two) = (
        sealed_whole(&dek(), TENANT, &PLACE, b"same"),
        sealed_whole(&dek(), TENANT, &PLACE, b"same"),
    );
    assert_ne!(one[40..72], two[40..72]);
    assert_ne!(one[HEADER_LEN..], two[HEADER_LEN..]);
}

#[test]
fn sealer_keeps_the_promised_length() {
    let begin = |len| {
        seal_whole(&dek(), TENANT, &PLACE, PlainLen(len), &envelope(&dek(), TENANT))
            .unwrap()
            .1
    };
    let mut out = BytesMut::from(&b"before"[..]);

    let mut sealer = begin(KIB64 as u64 + 1);
    let wrong = SealError::ChunkLength {
        index: 0,
        expected: KIB64,
        found: 1,
    };
    assert_eq!(sealer.seal_next(b"x", &mut out), Err(wrong));
    assert_eq!(&out[..], b"before", "a refused chunk leaves nothing behind");
    assert_eq!(sealer.finish(), Err(SealError::Unfinished { missing: 2 }));

    let mut sealer = begin(0);
    assert_eq!(sealer.next_len(), Some(0));
    sealer.seal_next(b"", &mut out).unwrap();
    assert_eq!(sealer.next_len(), None);
    assert_eq!(sealer.seal_next(b"", &mut out), Err(SealError::AfterLast));
    assert_eq!(sealer.finish(), Ok(Padding(0)));

    let too_long = seal_whole(
        &dek(),
        TENANT,
        &PLACE,
        PlainLen(MAX_PLAIN_LEN + 1),
        &envelope(&dek(), TENANT),
    );
    assert_eq!(
        too_long.err(),
        Some(SealError::TooLong {
            found: MAX_PLAIN_LEN + 1
        })
    );
}

#[test]
fn every_header_bit_is_held_by_parser_commitment_or_origin() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"content");
    for bit in 0..HEADER_LEN * 8 {
        let mut bytes = stored[..HEADER_LEN].to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(header) = Header::parse(&bytes) else { continue };
        let core = open_whole(&dek(), TENANT, &PLACE, None, header.core());
        let origin = secrets().verify(TENANT, header.core().dek_id(), header.envelope());
        match bit / 8 {
            0..CORE_LEN => assert!(core.is_err(), "core bit {bit}"),
            _ => assert!(origin.is_err(), "envelope bit {bit}"),
        }
    }
}

#[test]
fn every_bit_after_the_header_is_held_by_its_chunk_or_the_padding() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"content");
    for bit in HEADER_LEN * 8..stored.len() * 8 {
        let mut bytes = stored.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&bytes), Err(Tampered::Chunk { index: 0 }));
    }
    let mut padded = sealed_whole(&dek(), TENANT, &PLACE, &pattern(MIB5));
    let last = padded.len() - 1;
    padded[last] = 1;
    assert_eq!(open(&padded), Err(Tampered::Padding));
}

#[test]
fn swapped_cut_and_lengthened_chunks_are_refused() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, &pattern(3 * KIB64 + 9));
    let at = |index: usize| HEADER_LEN + index * SEALED_CHUNK_LEN;

    let mut swapped = stored.clone();
    swapped[at(0)..at(1)].copy_from_slice(&stored[at(1)..at(2)]);
    swapped[at(1)..at(2)].copy_from_slice(&stored[at(0)..at(1)]);
    assert_eq!(open(&swapped), Err(Tampered::Chunk { index: 0 }));

    for len in [0, 703, HEADER_LEN, at(1), at(2) - 1, at(3), stored.len() - 1] {
        assert_eq!(
            open(&stored[..len]),
            Err(Tampered::Size { found: len as u64 }),
            "cut to {len}"
        );
    }
    for more in [1, 16, SEALED_CHUNK_LEN, HEADER_LEN] {
        let longer = [&stored[..], &vec![0; more]].concat();
        assert_eq!(
            open(&longer),
            Err(Tampered::Size {
                found: longer.len() as u64
            }),
            "longer by {more}"
        );
    }
}

#[test]
fn chunk_of_the_wrong_place_or_length_never_opens() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, &pattern(2 * KIB64));
    let core = Core::parse(&stored[..CORE_LEN]).unwrap();
    let opener = open_segment(&dek(), TENANT, &core).unwrap();
    let chunk = &stored[HEADER_LEN..HEADER_LEN + SEALED_CHUNK_LEN];
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(
        opener.open(ChunkIndex(1), chunk, &mut out),
        Err(Tampered::Chunk { index: 1 })
    );
    for (index, sealed) in [
        (0, &chunk[1..]),
        (0, &chunk[..15]),
        (0, &[]),
        (2, chunk),
        (u64::MAX, chunk),
    ] {
        let found = sealed.len();
        assert_eq!(
            opener.open(ChunkIndex(index), sealed, &mut out),
            Err(Tampered::ChunkLength { index, found })
        );
    }
    assert_eq!(&out[..], b"before", "nothing of a refused chunk is released");
}

#[test]
fn another_objects_chunk_header_tenant_place_cloud_or_dek_is_refused() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"mine");
    let other = sealed_whole(
        &dek(),
        TENANT,
        &Place {
            name: "2026/dog.jpg",
            ..PLACE
        },
        b"mine",
    );

    let spliced = [&stored[..HEADER_LEN], &other[HEADER_LEN..]].concat();
    assert_eq!(open(&spliced), Err(Tampered::Chunk { index: 0 }));
    assert_eq!(open(&other), Err(Tampered::Place));
    assert_eq!(
        opened_whole(&dek(), "acme2", &PLACE, &stored),
        Err(Tampered::Commitment)
    );
    for place in [
        Place {
            container: "docs",
            ..PLACE
        },
        Place {
            domain: Domain::Azure,
            ..PLACE
        },
    ] {
        assert_eq!(opened_whole(&dek(), TENANT, &place, &stored), Err(Tampered::Place));
    }
    let stranger = Dek::from_bytes(&[0x22; 32]).unwrap();
    assert_eq!(opened_whole(&stranger, TENANT, &PLACE, &stored), Err(Tampered::Dek));
}

#[test]
fn a_dek_that_took_anothers_id_fails_the_commitment() {
    let mut stored = sealed_whole(&dek(), TENANT, &PLACE, b"mine");
    let stranger = Dek::from_bytes(&[0x22; 32]).unwrap();
    stored[24..40].copy_from_slice(stranger.id().as_bytes());
    assert_eq!(
        opened_whole(&stranger, TENANT, &PLACE, &stored),
        Err(Tampered::Commitment)
    );
}

#[test]
fn a_copy_is_read_under_its_new_name_with_its_own_alias_only() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"mine");
    let core = Core::parse(&stored[..CORE_LEN]).unwrap();
    let copy = Place {
        name: "copies/cat.jpg",
        ..PLACE
    };
    let alias = open_whole(&dek(), TENANT, &PLACE, None, &core)
        .unwrap()
        .alias_key()
        .alias(&copy);
    let alias: Alias = alias.to_string().parse().unwrap();
    assert_eq!(alias.to_string().len(), 43);

    let open = |place: &Place<'_>, alias| open_whole(&dek(), TENANT, place, alias, &core).map(|_| ());
    assert_eq!(open(&copy, Some(&alias)), Ok(()));
    assert_eq!(open(&PLACE, Some(&alias)), Ok(()));
    assert_eq!(open(&copy, None), Err(Tampered::Place));
    assert_eq!(
        open(
            &Place {
                name: "copies/dog.jpg",
                ..PLACE
            },
            Some(&alias)
        ),
        Err(Tampered::Place)
    );

    let other = sealed_whole(&dek(), TENANT, &Place { name: "dog", ..PLACE }, b"other");
    let other = Core::parse(&other[..CORE_LEN]).unwrap();
    let swapped = open_whole(&dek(), TENANT, &copy, Some(&alias), &other);
    assert_eq!(swapped.err(), Some(Tampered::Place), "an alias is of one object only");
}

#[test]
fn core_travels_as_text_of_182_characters() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"");
    let core = Core::parse(&stored[..CORE_LEN]).unwrap();
    let text = core.to_text();
    assert_eq!(text.len(), 182);
    assert_eq!(Core::from_text(&text), Ok(core));
    for wrong in [
        "",
        &text[1..],
        &format!("{text}A"),
        &format!("{}=", &text[..181]),
        &text.replace('_', "/"),
    ] {
        if *wrong != text {
            assert!(Core::from_text(wrong).is_err(), "{wrong}");
        }
    }
}

#[test]
fn headers_no_gate_writes_are_refused_with_their_reason() {
    let stored = sealed_whole(&dek(), TENANT, &PLACE, b"");
    let changed = |at: usize, with: &[u8]| {
        let mut bytes = stored[..HEADER_LEN].to_vec();
        bytes[at..at + with.len()].copy_from_slice(with);
        Header::parse(&bytes).unwrap_err()
    };
    assert_eq!(changed(0, b"PK"), Malformed::Magic);
    assert_eq!(changed(8, &[2]), Malformed::Version { found: 2 });
    assert_eq!(changed(9, &[0]), Malformed::Kind { found: 0 });
    assert_eq!(changed(9, &[6]), Malformed::Kind { found: 6 });
    for at in 10..16 {
        assert_eq!(changed(at, &[1]), Malformed::Reserved);
    }
    assert_eq!(
        changed(9, &[5, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        Malformed::Segments { found: u32::MAX }
    );
    assert_eq!(changed(16, &[0xff; 8]), Malformed::PlainLen { found: u64::MAX });
    assert_eq!(changed(136, &[3]), Malformed::WrapAlgorithm { found: 3 });
    for len in [0, 703, 705] {
        let bytes = vec![0; len];
        assert_eq!(
            Header::parse(&bytes),
            Err(Malformed::Length {
                expected: HEADER_LEN,
                found: len
            })
        );
    }
}

/// Reads one range as a gate does: the stored bytes asked for before the length is known, then only the chunks of the
/// span.
fn ranged(stored: &[u8], first: u64, last: Option<u64>) -> Option<Vec<u8>> {
    let core = Core::parse(&stored[..CORE_LEN]).unwrap();
    let range = PlainRange::within(core.plain_len(), first, last)?;
    let span = core.plain_len().span(range).unwrap();
    let (start, end) = match stored_ask(first, last).unwrap() {
        StoredAsk::From(start) => (start, stored.len() as u64 - 1),
        StoredAsk::Between(asked) => (asked.first, asked.last.min(stored.len() as u64 - 1)),
    };
    assert_eq!(start, span.stored.first);
    assert!(end >= span.stored.last, "the answer holds the whole span");

    let opener = open_whole(&dek(), TENANT, &PLACE, None, &core).unwrap();
    let mut rest = &stored[start as usize..=end as usize];
    let mut out = Vec::new();
    for index in (span.first.0..=span.last.0).map(ChunkIndex) {
        let (sealed, after) = rest.split_at(opener.sealed_chunk_len(index).unwrap());
        let mut chunk = BytesMut::new();
        opener.open(index, sealed, &mut chunk).unwrap();
        out.extend_from_slice(&chunk[span.wanted(index, chunk.len())]);
        rest = after;
    }
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_range_reads_as_the_slice_it_names(
        len in prop::sample::select(LENGTHS[..11].to_vec()),
        cuts in (0.0..1.2_f64, 0.0..1.2_f64),
        near in (0..3_usize, -2..=2_i64, -2..=2_i64),
    ) {
        let plaintext = pattern(len);
        let stored = sealed_whole(&dek(), TENANT, &PLACE, &plaintext);
        let place = |cut: f64, near: i64| ((len as f64 * cut) as i64 / 4096 * 4096 + near).max(0) as u64;
        let (one, two) = (place(cuts.0, near.1), place(cuts.1, near.2));
        let (first, last) = (one.min(two), (near.0 > 0).then_some(one.max(two)));
        let end = last.map_or(len, |last| (last as usize + 1).min(len));
        let expected = (first < len as u64).then(|| plaintext[first as usize..end].to_vec());
        prop_assert!(ranged(&stored, first, last) == expected);
    }

    #[test]
    fn any_plaintext_round_trips(plaintext in prop::collection::vec(any::<u8>(), 0..3000), name in ".{0,40}") {
        let place = Place { name: &name, ..PLACE };
        let stored = sealed_whole(&dek(), TENANT, &place, &plaintext);
        prop_assert_eq!(opened_whole(&dek(), TENANT, &place, &stored), Ok(plaintext));
    }
}

#[test]
fn ranges_at_every_chunk_edge_read_exactly() {
    let plaintext = pattern(2 * KIB64 + 7);
    let stored = sealed_whole(&dek(), TENANT, &PLACE, &plaintext);
    let edges = [
        0,
        1,
        KIB64 - 1,
        KIB64,
        KIB64 + 1,
        2 * KIB64 - 1,
        2 * KIB64,
        2 * KIB64 + 6,
    ];
    for first in edges {
        for last in edges.into_iter().filter(|last| *last >= first) {
            let read = ranged(&stored, first as u64, Some(last as u64));
            assert!(read == Some(plaintext[first..=last].to_vec()), "{first}-{last}");
        }
    }
}

#[test]
fn ranges_resolve_as_http_has_them() {
    let len = PlainLen(10);
    assert_eq!(PlainRange::within(len, 10, None), None);
    assert_eq!(PlainRange::within(PlainLen(0), 0, None), None);
    assert_eq!(PlainRange::within(len, 9, Some(u64::MAX)), PlainRange::new(9, 9));
    assert_eq!(PlainRange::suffix(len, 3), PlainRange::new(7, 9));
    assert_eq!(PlainRange::suffix(len, 30), PlainRange::all(len));
    assert_eq!(PlainRange::suffix(len, 0), None);
    assert_eq!(PlainRange::new(3, 2), None);
    assert_eq!(len.span(PlainRange::new(0, 10).unwrap()), None);
    assert_eq!(stored_ask(u64::MAX, None), None);
    assert_eq!(stored_ask(3, Some(2)), None);
}
