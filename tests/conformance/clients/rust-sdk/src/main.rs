//! The AWS SDK for Rust: objects from memory and from files, multipart with two parts at once, ranges, copies, presigned URLs.
//! Prints what it checked; a check that fails is a panic, and with it the exit status.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier};

const MIB: usize = 1 << 20;

/// Different for each seed, and without a period that fits a chunk.
fn content(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(step).take(size).collect()
}

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

struct Bucket {
    client: Client,
    name: String,
    prefix: String,
    sizes: BTreeMap<String, i64>,
}

impl Bucket {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn read(&self, key: &str, range: Option<String>) -> Vec<u8> {
        let asked = self.client.get_object().bucket(&self.name).key(key).set_range(range);
        let got = asked.send().await.expect("GET");
        got.body.collect().await.expect("the bytes of GET").to_vec()
    }

    async fn put(&mut self, key: &str, body: ByteStream, expected: &[u8]) {
        let put = self.client.put_object().bucket(&self.name).key(key).body(body);
        put.send().await.expect("PUT");
        self.is_whole(key, expected).await;
    }

    async fn is_whole(&mut self, key: &str, expected: &[u8]) {
        assert!(self.read(key, None).await == expected, "the bytes of {key}");
        let head = self.client.head_object().bucket(&self.name).key(key).send().await.expect("HEAD");
        assert_eq!(head.content_length(), Some(expected.len() as i64), "HEAD {key}");
        self.sizes.insert(key.to_owned(), expected.len() as i64);
    }

    async fn multipart(&mut self, key: &str, whole: &[u8]) {
        let made = self.client.create_multipart_upload().bucket(&self.name).key(key).send().await.expect("Create");
        let id = made.upload_id().expect("the upload's id");
        let part = |number: i32, bytes: &[u8]| {
            let part = self.client.upload_part().bucket(&self.name).key(key).upload_id(id).part_number(number);
            let sent = part.body(bytes.to_vec().into()).send();
            async move {
                let done = sent.await.expect("UploadPart");
                CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(done.e_tag().map(str::to_owned))
                    .set_checksum_crc32(done.checksum_crc32().map(str::to_owned))
                    .build()
            }
        };
        // The second is on its way before the first, and longer.
        let (two, one) = tokio::join!(part(2, &whole[6 * MIB..18 * MIB]), part(1, &whole[..6 * MIB]));
        let three = part(3, &whole[18 * MIB..]).await;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(vec![one, two, three])).build();
        let complete = self.client.complete_multipart_upload().bucket(&self.name).key(key).upload_id(id);
        complete.multipart_upload(parts).send().await.expect("Complete");
        self.is_whole(key, whole).await;
    }

    async fn by_url(&mut self, key: &str) {
        let soon = || PresigningConfig::expires_in(Duration::from_secs(300)).expect("a span");
        let put = self.client.put_object().bucket(&self.name).key(key).presigned(soon()).await.expect("presign");
        let get = self.client.get_object().bucket(&self.name).key(key).presigned(soon()).await.expect("presign");
        // Who is given a URL needs no SDK.
        let ca = std::env::var("CLIENT_CA_FILE").map(|file| vec!["--cacert".to_owned(), file]).unwrap_or_default();
        let curl = |arguments: &[&str]| {
            let done = std::process::Command::new("curl").args(["-sSf"]).args(&ca).args(arguments).output().expect("curl");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        };
        curl(&["-X", put.method(), "-H", "Content-Type:", "--data-binary", "by URL", put.uri()]);
        assert_eq!(curl(&[get.uri()]), b"by URL", "presigned");
        self.sizes.insert(key.to_owned(), 6);
    }

    async fn is_listed(&self) {
        let mut pages = self.client.list_objects_v2().bucket(&self.name).prefix(&self.prefix).max_keys(3).into_paginator().send();
        let mut listed = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for entry in page.expect("LIST").contents() {
                listed.insert(entry.key().unwrap_or_default().to_owned(), entry.size().unwrap_or(-1));
            }
        }
        assert_eq!(listed, self.sizes, "LIST");
    }

    async fn clear(&self) {
        let names = self.sizes.keys().map(|key| ObjectIdentifier::builder().key(key).build().expect("a name"));
        let all = Delete::builder().set_objects(Some(names.collect())).build().expect("names");
        let gone = self.client.delete_objects().bucket(&self.name).delete(all).send().await.expect("DeleteObjects");
        assert!(gone.errors().is_empty(), "{:?}", gone.errors());
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let config = Builder::new()
        .endpoint_url(given("CLIENT_ENDPOINT"))
        .region(Region::new(given("CLIENT_REGION")))
        .credentials_provider(Credentials::new(given("CLIENT_ACCESS_KEY"), given("CLIENT_SECRET_KEY"), None, None, "given"))
        .force_path_style(true)
        .build();
    let mut bucket = Bucket {
        client: Client::from_conf(config),
        name: given("CLIENT_BUCKET"),
        prefix: given("CLIENT_PREFIX"),
        sizes: BTreeMap::new(),
    };
    for (seed, size) in [0, 1, 65_536, 65_537, 5 * MIB + 1].into_iter().enumerate() {
        let (key, body) = (bucket.key(&format!("größe {size}")), content(size, seed as u64));
        bucket.put(&key, body.clone().into(), &body).await;
    }

    let big = content(20 * MIB, 99);
    let file = format!("{}/big", given("CLIENT_SCRATCH"));
    std::fs::write(&file, &big).expect("a file");
    // From a file it sends signed chunked frames with a trailer.
    let body = ByteStream::from_path(&file).await.expect("a file");
    let key = bucket.key("file");
    bucket.put(&key, body, &big).await;

    let key = bucket.key("multipart");
    bucket.multipart(&key, &big).await;
    for (first, last) in [(0, 0), (65_530, 65_540), (6 * MIB - 2, 6 * MIB + 2), (20 * MIB - 2, 20 * MIB + 10)] {
        let piece = bucket.read(&key, Some(format!("bytes={first}-{last}"))).await;
        assert!(piece == big[first..(last + 1).min(big.len())], "range {first}");
    }

    let copy = bucket.key("copy");
    let copied = bucket.client.copy_object().bucket(&bucket.name).key(&copy);
    copied.copy_source(format!("{}/{key}", bucket.name)).send().await.expect("CopyObject");
    bucket.is_whole(&copy, &big).await;

    let key = bucket.key("presigned");
    bucket.by_url(&key).await;
    bucket.is_listed().await;
    bucket.clear().await;
    println!("checked: bytes, file, multipart, ranges, copy, presigned URLs, sizes in LIST and HEAD");
}
