//! `cargo bench --bench seal`: sealing and opening by the object's size, beside the bare cipher of the same library on the same
//! buffers, and beside memcpy: what the format costs above its cipher.
//!
//! Each pair does the same to memory: sealing is measured where it is, as the cipher does it, and opening from one buffer into
//! another. An object's size says what deriving its keys costs, which each segment pays once.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // a bench that can't begin has nothing to say

use std::hint::black_box;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use portcullis::seal::{
    CHUNK_LEN, ChunkIndex, CmkRef, Dek, Domain, Envelope, OriginSecrets, Place, PlainLen, TAG_LEN, WrapAlgorithm,
    open_whole, seal_whole,
};

const KIB: usize = 1024;
const SIZES: [usize; 6] = [KIB, 4 * KIB, 16 * KIB, CHUNK_LEN, 1024 * KIB, 16 * 1024 * KIB];
const TENANT: &str = "acme";
const PLACE: Place<'static> = Place {
    domain: Domain::S3,
    container: "acme-files",
    name: "some/object.bin",
};

fn seal(criterion: &mut Criterion) {
    let (dek, envelope) = keys();
    let mut group = criterion.benchmark_group("seal");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let mut buffer = BytesMut::with_capacity(CHUNK_LEN + TAG_LEN);
        buffer.resize(size.min(CHUNK_LEN), 0x5a);
        group.bench_function(BenchmarkId::new("object", size), |bencher| {
            bencher.iter(|| {
                let len = PlainLen(size as u64);
                let (header, mut sealer) = seal_whole(&dek, TENANT, &PLACE, len, &envelope).unwrap();
                while let Some(len) = sealer.next_len() {
                    buffer.truncate(len);
                    sealer.seal_from(0, &mut buffer).unwrap();
                }
                black_box(&header);
            });
        });
        // What a chunk costs once there are keys.
        if size == CHUNK_LEN {
            let mut sealer = None;
            group.bench_function(BenchmarkId::new("chunk", size), |bencher| {
                bencher.iter(|| {
                    let sealer = sealer.get_or_insert_with(|| {
                        let len = PlainLen(1 << 47);
                        seal_whole(&dek, TENANT, &PLACE, len, &envelope).unwrap().1
                    });
                    buffer.truncate(CHUNK_LEN);
                    sealer.seal_from(0, &mut buffer).unwrap();
                });
            });
        }
        let cipher = cipher();
        let mut plain = vec![0x5a; size.min(CHUNK_LEN)];
        group.bench_function(BenchmarkId::new("bare cipher", size), |bencher| {
            bencher.iter(|| {
                for _ in 0..size.div_ceil(CHUNK_LEN) {
                    let nonce = Nonce::assume_unique_for_key([7; 12]);
                    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::empty(), &mut plain);
                    let _ = black_box(tag.unwrap());
                }
            });
        });
        let mut copy = vec![0; plain.len()];
        group.bench_function(BenchmarkId::new("memcpy", size), |bencher| {
            bencher.iter(|| {
                for _ in 0..size.div_ceil(CHUNK_LEN) {
                    copy.copy_from_slice(black_box(&plain));
                    black_box(&mut copy);
                }
            });
        });
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let (dek, envelope) = keys();
    let mut group = criterion.benchmark_group("open");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let len = PlainLen(size as u64);
        let (header, mut sealer) = seal_whole(&dek, TENANT, &PLACE, len, &envelope).unwrap();
        let mut chunks = Vec::new();
        while let Some(len) = sealer.next_len() {
            let mut sealed = BytesMut::new();
            sealer.seal_next(&vec![0x5a; len], &mut sealed).unwrap();
            // A small cache, as when bytes come from a socket: the first chunks are read again and again.
            if chunks.len() < 4 {
                chunks.push(sealed.freeze());
            }
        }
        let mut plain = BytesMut::with_capacity(CHUNK_LEN + TAG_LEN);
        group.bench_function(BenchmarkId::new("object", size), |bencher| {
            bencher.iter(|| {
                let opener = open_whole(&dek, TENANT, &PLACE, None, header.core()).unwrap();
                for index in 0..size.div_ceil(CHUNK_LEN) {
                    let known = index % chunks.len();
                    plain.clear();
                    opener
                        .open(ChunkIndex(known as u64), &chunks[known], &mut plain)
                        .unwrap();
                }
            });
        });
        let cipher = cipher();
        let mut sealed = vec![0x5a; size.min(CHUNK_LEN)];
        let nonce = || Nonce::assume_unique_for_key([7; 12]);
        let tag = cipher
            .seal_in_place_separate_tag(nonce(), Aad::empty(), &mut sealed)
            .unwrap();
        let mut opened = vec![0; sealed.len()];
        group.bench_function(BenchmarkId::new("bare cipher", size), |bencher| {
            bencher.iter(|| {
                for _ in 0..size.div_ceil(CHUNK_LEN) {
                    let tag = tag.as_ref();
                    cipher
                        .open_separate_gather(nonce(), Aad::empty(), &sealed, tag, &mut opened)
                        .unwrap();
                }
            });
        });
    }
    group.finish();
}

fn cipher() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[0x11; 32]).unwrap())
}

fn keys() -> (Dek, Envelope) {
    let dek = Dek::from_bytes(&[0x11; 32]).unwrap();
    let origin = OriginSecrets::new([[0x22; 32]]).unwrap();
    let envelope = Envelope::new(
        WrapAlgorithm::RsaOaep256,
        CmkRef::of("https://acme-vault.vault.azure.net/keys/acme-cmk"),
        "0123456789abcdef0123456789abcdef".parse().unwrap(),
        &[0x33; 256],
        TENANT,
        dek.id(),
        &origin,
    )
    .unwrap();
    (dek, envelope)
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = seal, open
}
criterion_main!(benches);
