//! Fuzz bodies: what must hold for any bytes at all. They live here so that the same ones run as property tests on
//! stable (below) and under `cargo fuzz` (the shims in `fuzz/`). A body returns when its promise held, and panics by
//! `assert!` when it did not.
//!
//! The readers take a sealed object of their own, edited as the input says, and must give back either an error or, of
//! bytes that are those sealed, the plaintext.

use std::ops::Range;

use bytes::BytesMut;

use crate::seal::{
    AppendRead, Binding, BlockId, BlockPlace, Checksums, ChunkIndex, CmkRef, Core, Dek, Domain, Entry, Envelope,
    HEADER_LEN, Header, MultipartRead, OriginSecrets, Place, PlainLen, SealedLen, Sealer, Table, Wants, WrapAlgorithm,
    footer_len, open_footer, open_whole, seal_append, seal_block, seal_footer, seal_whole,
};

const TENANT: &str = "acme";
const PLACE: Place<'static> = Place {
    domain: Domain::Azure,
    container: "photos",
    name: "cat.jpg",
};

/// A header that parses is written back as it was read, and its core survives as text.
pub fn header(data: &[u8]) {
    if let Ok(header) = Header::parse(data) {
        assert!(header.to_bytes() == *data);
        assert!(Core::from_text(&header.core().to_text()) == Ok(*header.core()));
    }
    if let Ok(core) = Core::parse(data) {
        assert!(core.to_bytes() == *data);
    }
    if let Some(Ok(core)) = std::str::from_utf8(data).ok().map(Core::from_text) {
        assert!(core.to_text().as_bytes() == data);
    }
}

/// A table that parses is within the format, and parses to the same again. The first two bytes are the footer's count.
pub fn table(data: &[u8]) {
    let Some((count, bytes)) = data.split_first_chunk::<2>() else {
        return;
    };
    let count = u32::from(u16::from_be_bytes(*count));
    if let Ok(table) = Table::parse(count, bytes) {
        assert!(table.plain_len().sealed().is_some());
        assert!(Table::parse(count, &table.to_bytes()) == Ok(table));
    }
    if let Ok(checksums) = Checksums::parse(bytes) {
        assert!(Checksums::parse(&checksums.to_bytes()) == Ok(checksums));
    }
}

/// A block id that parses is written back as it was read, and fits Azure.
pub fn block_id(data: &[u8]) {
    if let Ok(id) = BlockId::parse(data) {
        assert!(id.to_bytes() == data && data.len() <= 64);
        assert!(BlockId::from_base64(&id.to_base64()) == Ok(id));
    }
}

/// The whole reader, on an edited whole object.
pub fn whole(data: &[u8]) {
    attack(
        data,
        |key, lens| {
            let plaintext = vec![0x2a; lens.iter().sum()];
            let len = PlainLen(u64::try_from(plaintext.len()).ok()?);
            let (header, sealer) = seal_whole(&key.dek, TENANT, &PLACE, len, &key.envelope).ok()?;
            let stored = segment(&header, sealer, &plaintext)?;
            Some((plaintext, stored))
        },
        |key, _, stored| {
            let (bytes, mut rest) = stored.split_at_checked(HEADER_LEN)?;
            let header = key.vouched(bytes)?;
            let opener = open_whole(&key.dek, TENANT, &PLACE, None, header.core()).ok()?;
            let len = header.core().plain_len();
            let mut out = BytesMut::new();
            for index in (0..=opener.last_chunk().0).map(ChunkIndex) {
                let (chunk, after) = rest.split_at_checked(opener.sealed_chunk_len(index)?)?;
                opener.open(index, chunk, &mut out).ok()?;
                rest = after;
            }
            len.whole_padding()?.holds(rest).then_some(out)
        },
    );
}

/// The multipart reader, on an edited Azure object of three blocks.
pub fn multipart(data: &[u8]) {
    attack(
        data,
        |key, lens| {
            let (mut plaintext, mut stored, mut entries) = (Vec::new(), Vec::new(), Vec::new());
            for (number, len) in (1_u32..).zip(lens) {
                let place = BlockPlace {
                    container: PLACE.container,
                    name: PLACE.name,
                    client: b"0001",
                    time_ms: u64::from(number),
                };
                let text = vec![number.to_be_bytes()[3]; *len];
                let plain_len = PlainLen(u64::try_from(*len).ok()?);
                let (id, header, sealer) = seal_block(&key.dek, TENANT, &place, plain_len, &key.envelope).ok()?;
                stored.extend(segment(&header, sealer, &text)?);
                entries.push(Entry {
                    binding: Binding::block(PLACE.container, PLACE.name, &id.to_bytes()),
                    plain_len,
                    number,
                });
                plaintext.extend(text);
            }
            let table = Table::new(None, entries, Checksums::default()).ok()?;
            stored.extend_from_slice(
                seal_footer(&key.dek, TENANT, &PLACE, &table, &key.envelope)
                    .ok()?
                    .footer(),
            );
            Some((plaintext, stored))
        },
        |key, _, stored| {
            let (before, bytes) = stored.split_last_chunk::<HEADER_LEN>()?;
            let header = key.vouched(bytes)?;
            let chunks = usize::try_from(footer_len(header.core().segments()).0)
                .ok()?
                .checked_sub(HEADER_LEN)?;
            let (body, sealed) = before.split_at_checked(before.len().checked_sub(chunks)?)?;
            let size = SealedLen(u64::try_from(stored.len()).ok()?);
            let (footer, _) = open_footer(&key.dek, TENANT, &PLACE, None, &header, sealed, size).ok()?;
            let mut read = MultipartRead::new(std::sync::Arc::clone(footer.layout()), None)?;
            let (mut rest, mut out) = (body, BytesMut::new());
            loop {
                let bytes = next(&mut rest, read.wants())?;
                match read.wants() {
                    Wants::Header => read.enter(&key.dek, TENANT, &key.vouched(bytes)?).ok()?,
                    Wants::Chunk { .. } => read.open(bytes, &mut out).ok()?,
                    Wants::Nothing => return rest.is_empty().then_some(out),
                    Wants::Padding { .. } | Wants::Skip { .. } => return None,
                }
            }
        },
    );
}

/// The append blob's reader, on an edited blob of three blocks.
pub fn append(data: &[u8]) {
    attack(
        data,
        |key, lens| {
            let (mut plaintext, mut stored) = (Vec::new(), Vec::new());
            for (index, len) in (0_u64..).zip(lens) {
                let offset = u64::try_from(plaintext.len()).ok()?;
                let binding = Binding::append(PLACE.container, PLACE.name, index, offset);
                let text = vec![index.to_be_bytes()[7]; *len];
                let plain_len = PlainLen(u64::try_from(*len).ok()?);
                let (header, sealer) = seal_append(&key.dek, TENANT, binding, plain_len, &key.envelope).ok()?;
                stored.extend(segment(&header, sealer, &text)?);
                plaintext.extend(text);
            }
            Some((plaintext, stored))
        },
        |key, blocks, stored| {
            let size = SealedLen(u64::try_from(stored.len()).ok()?);
            let mut read = AppendRead::new(PLACE.container, PLACE.name, size, blocks, None).ok()?;
            let (mut rest, mut out) = (stored, BytesMut::new());
            loop {
                let bytes = next(&mut rest, read.wants())?;
                match read.wants() {
                    Wants::Header => read.enter(&key.dek, TENANT, &key.vouched(bytes)?).ok()?,
                    Wants::Chunk { .. } => read.open(bytes, &mut out).ok()?,
                    Wants::Padding { .. } => read.padding(bytes).ok()?,
                    Wants::Skip { .. } => read.skipped().ok()?,
                    Wants::Nothing => return rest.is_empty().then_some(out),
                }
            }
        },
    );
}

struct Key {
    dek: Dek,
    secrets: OriginSecrets,
    envelope: Envelope,
}

impl Key {
    fn fixed() -> Option<Self> {
        let dek = Dek::from_bytes(&[0x11; 32]).ok()?;
        let secrets = OriginSecrets::new([[0x22_u8; 32]]).ok()?;
        let version = "000102030405060708090a0b0c0d0e0f".parse().ok()?;
        let cmk = CmkRef::of("https://acme.vault.azure.net/keys/gate");
        let envelope = Envelope::new(
            WrapAlgorithm::A256Kw,
            cmk,
            version,
            &[7; 40],
            TENANT,
            dek.id(),
            &secrets,
        )
        .ok()?;
        Some(Self { dek, secrets, envelope })
    }

    /// A header whose origin is true.
    fn vouched(&self, bytes: &[u8]) -> Option<Header> {
        let header = Header::parse(bytes).ok()?;
        self.secrets
            .verify(TENANT, header.core().dek_id(), header.envelope())
            .ok()?;
        Some(header)
    }
}

/// Seals segments of lengths that the first byte of `data` picks, edits the object as the rest says, and reads it.
fn attack(
    data: &[u8],
    seal: impl Fn(&Key, &[usize]) -> Option<(Vec<u8>, Vec<u8>)>,
    read: impl Fn(&Key, u64, &[u8]) -> Option<BytesMut>,
) {
    const LENS: [&[usize]; 4] = [&[20, 1, 3], &[0, 0, 0], &[65_536, 0, 1], &[65_537, 3, 65_535]];
    let (pick, edits) = data.split_first().unwrap_or((&0, &[]));
    let lens = LENS.get(usize::from(pick % 4)).copied().unwrap_or_default();
    let key = Key::fixed();
    assert!(key.is_some());
    let Some(key) = key else { return };
    let sealed = seal(&key, lens);
    assert!(sealed.is_some());
    let Some((plaintext, stored)) = sealed else { return };
    let edited = edit(stored.clone(), edits);
    let blocks = u64::try_from(lens.len()).unwrap_or_default();
    match read(&key, blocks, &edited) {
        Some(out) => assert!(edited == stored && out == plaintext, "an edited object was read"),
        None => assert!(edited != stored, "an untouched object was refused"),
    }
}

/// Applies edits of 8 bytes each: what to do 1, where 3, how much 3, with what 1.
fn edit(mut bytes: Vec<u8>, edits: &[u8]) -> Vec<u8> {
    for edit in edits.as_chunks::<8>().0.iter().take(16) {
        let [what, a, b, c, d, e, f, with] = *edit;
        let within = |number: u32| {
            usize::try_from(number)
                .unwrap_or_default()
                .checked_rem(bytes.len())
                .unwrap_or_default()
        };
        let at = within(u32::from_be_bytes([0, a, b, c]));
        let end = at
            .saturating_add(within(u32::from_be_bytes([0, d, e, f])))
            .min(bytes.len());
        let Range { start, end } = at..end;
        match what % 6 {
            0 => bytes.get_mut(start).into_iter().for_each(|byte| *byte ^= with),
            1 => bytes.truncate(start),
            2 => drop(bytes.drain(start..end)),
            3 => bytes.extend_from_within(start..end),
            4 => bytes.insert(start, with),
            _ => bytes.get_mut(start..end).into_iter().for_each(|piece| piece.reverse()),
        }
    }
    bytes
}

fn segment(header: &Header, mut sealer: Sealer, plaintext: &[u8]) -> Option<Vec<u8>> {
    let mut out = BytesMut::from(header.to_bytes().as_slice());
    let mut rest = plaintext;
    while let Some(len) = sealer.next_len() {
        let (chunk, after) = rest.split_at_checked(len)?;
        sealer.seal_next(chunk, &mut out).ok()?;
        rest = after;
    }
    let padding = usize::try_from(sealer.finish().ok()?.0).ok()?;
    out.resize(out.len().checked_add(padding)?, 0);
    Some(out.into())
}

/// The bytes a reader wants; `None` where the object ends before.
fn next<'a>(rest: &mut &'a [u8], wants: Wants) -> Option<&'a [u8]> {
    let len = match wants {
        Wants::Header => HEADER_LEN,
        Wants::Chunk { sealed_len } => sealed_len,
        Wants::Padding { len } => len,
        Wants::Skip { len } => usize::try_from(len).ok()?,
        Wants::Nothing => 0,
    };
    rest.split_off(..len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Headers and tables that nearly parse: true ones with a few bytes changed.
    fn nearly(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4).prop_map(move |changes| {
            let mut bytes = bytes.clone();
            for (at, with) in changes {
                let at = at.index(bytes.len());
                bytes[at] = with;
            }
            bytes
        })
    }

    fn true_header() -> Vec<u8> {
        let key = Key::fixed().unwrap();
        seal_whole(&key.dek, TENANT, &PLACE, PlainLen(9), &key.envelope)
            .unwrap()
            .0
            .to_bytes()
            .to_vec()
    }

    fn true_table() -> Vec<u8> {
        let entry = |number| Entry {
            binding: Binding::whole(&PLACE),
            plain_len: PlainLen(5),
            number,
        };
        let table = Table::new(Some("upload"), vec![entry(1), entry(2)], Checksums::default()).unwrap();
        [&[0, 2][..], &table.to_bytes()].concat()
    }

    fn true_block_id() -> Vec<u8> {
        let key = Key::fixed().unwrap();
        let place = BlockPlace {
            container: "c",
            name: "n",
            client: b"000001",
            time_ms: 7,
        };
        seal_block(&key.dek, TENANT, &place, PlainLen(0), &key.envelope)
            .unwrap()
            .0
            .to_bytes()
    }

    fn edits() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..40)
    }

    #[test]
    fn untouched_objects_are_read_at_every_length() {
        for pick in 0..4 {
            whole(&[pick]);
            multipart(&[pick]);
            append(&[pick]);
        }
    }

    proptest! {
        #[test]
        fn headers_hold(data in prop_oneof![prop::collection::vec(any::<u8>(), 0..800), nearly(true_header())]) {
            header(&data);
        }

        #[test]
        fn tables_hold(data in prop_oneof![prop::collection::vec(any::<u8>(), 0..800), nearly(true_table())]) {
            table(&data);
        }

        #[test]
        fn block_ids_hold(data in prop_oneof![prop::collection::vec(any::<u8>(), 0..80), nearly(true_block_id())]) {
            block_id(&data);
        }

        #[test]
        fn whole_objects_hold(data in edits()) {
            whole(&data);
        }

        #[test]
        fn multipart_objects_hold(data in edits()) {
            multipart(&data);
        }

        #[test]
        fn append_blobs_hold(data in edits()) {
            append(&data);
        }
    }
}
