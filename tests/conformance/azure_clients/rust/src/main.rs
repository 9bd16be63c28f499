//! The Azure SDK for Rust: in one and in blocks, in parallel, ranges, append, copies, snapshots, leases, tags, lists. It signs with
//! tokens only, and so it is given a SAS. Prints what it checked; a check that fails is a panic, and with it the exit status.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;

use azure_core::http::{RequestContent, Url};
use azure_storage_blob::models::{
    BlobClientAcquireLeaseResultHeaders, BlobClientCreateSnapshotResultHeaders, BlobClientDownloadOptions,
    BlobClientGetPropertiesResultHeaders, BlobClientSetMetadataOptions, BlobClientStartCopyFromUrlResultHeaders, BlobTags,
    BlobContainerClientListBlobsOptions, BlockBlobClientUploadOptions, BlockLookupList, CopyStatus,
};
use azure_storage_blob::{BlobClient, BlobContainerClient};
use futures::TryStreamExt as _;

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

struct Files {
    container: BlobContainerClient,
    sizes: BTreeMap<String, u64>,
}

impl Files {
    fn blob(&self, name: &str) -> BlobClient {
        self.container.blob_client(name)
    }

    async fn read(&self, name: &str, options: Option<BlobClientDownloadOptions<'_>>) -> Vec<u8> {
        let got = self.blob(name).download(options).await.expect("GET");
        got.body.collect().await.expect("the bytes of GET").to_vec()
    }

    async fn is_whole(&mut self, name: &str, expected: &[u8]) {
        assert!(self.read(name, None).await == expected, "the bytes of {name}");
        let parts = BlobClientDownloadOptions { parallel: NonZero::new(4), partition_size: NonZero::new(3 * MIB + 1), ..Default::default() };
        assert!(self.read(name, Some(parts)).await == expected, "the bytes of {name} in parallel");
        let seen = self.blob(name).get_properties(None).await.expect("HEAD");
        assert_eq!(seen.content_length().expect("a length"), Some(expected.len() as u64), "HEAD {name}");
        self.sizes.insert(name.to_owned(), expected.len() as u64);
    }

    async fn put(&mut self, name: &str, body: &[u8], partition: usize) {
        let options = BlockBlobClientUploadOptions {
            parallel: NonZero::new(4),
            partition_size: NonZero::new(partition as u64),
            metadata: Some(HashMap::from([("colour".to_owned(), "blue".to_owned())])),
            ..Default::default()
        };
        self.blob(name).upload(RequestContent::from(body.to_vec()), Some(options)).await.expect("upload");
        self.is_whole(name, body).await;
    }

    async fn in_blocks(&mut self, name: &str) {
        let (one, two) = (content(MIB + 1, 1), content(70_000, 2));
        let blob = self.blob(name).block_blob_client();
        for (id, block) in [(b"two", &two), (b"one", &one)] {
            let body = RequestContent::from(block.clone());
            blob.stage_block(id, block.len() as u64, body, None).await.expect("Put Block");
        }
        let latest = [b"one", b"two", b"one"].map(|id| id.to_vec()).to_vec();
        let list = BlockLookupList { latest: Some(latest), ..Default::default() };
        blob.commit_block_list(list.try_into().expect("a list"), None).await.expect("Put Block List");
        self.is_whole(name, &[&one[..], &two, &one].concat()).await;
    }

    async fn appended(&mut self, name: &str) {
        let blob = self.blob(name).append_blob_client();
        blob.create(None).await.expect("an append blob");
        let mut whole = Vec::new();
        for (seed, size) in [6, 100_000, 1, 4 * MIB].into_iter().enumerate() {
            let part = content(size, seed as u64);
            blob.append_block(RequestContent::from(part.clone()), size as u64, None).await.expect("Append Block");
            whole.extend(part);
        }
        blob.seal(None).await.expect("seal");
        self.is_whole(name, &whole).await;
    }

    async fn is_listed(&self) {
        let options = BlobContainerClientListBlobsOptions { maxresults: Some(3), ..Default::default() };
        let mut blobs = self.container.list_blobs(Some(options)).expect("a list");
        let mut listed = BTreeMap::new();
        while let Some(blob) = blobs.try_next().await.expect("a page") {
            let size = blob.properties.and_then(|properties| properties.content_length);
            listed.insert(blob.name.expect("a name"), size.expect("a size"));
        }
        assert_eq!(listed, self.sizes, "the list");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = Url::parse(&given("CLIENT_SAS_URL")).expect("a URL");
    let container = BlobContainerClient::new(url, None, None).expect("a client");
    let mut files = Files { container, sizes: BTreeMap::new() };
    for (seed, size) in [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 4 * MIB + 1].into_iter().enumerate() {
        files.put(&format!("größe {size}"), &content(size, seed as u64), 100 * MIB).await;
    }
    let big = content(300 * MIB, 99);
    files.put("big", &big, 8 * MIB).await;
    for (first, last) in [(0, 0), (65_530, 65_540), (8 * MIB - 2, 8 * MIB + 2), (300 * MIB - 2, 300 * MIB - 1)] {
        let options = BlobClientDownloadOptions { range: Some((first as u64..last as u64 + 1).into()), ..Default::default() };
        assert!(files.read("big", Some(options)).await == big[first..=last], "range {first}");
    }
    files.in_blocks("blocks").await;
    files.appended("append").await;

    for (from, to) in [("big", "copy"), ("append", "copy of rows")] {
        let expected = files.read(from, None).await;
        let source = files.blob(from).url().as_str().to_owned();
        let answer = files.blob(to).start_copy_from_url(source, None).await.expect("copy");
        assert_eq!(answer.copy_status().expect("a status"), Some(CopyStatus::Success), "copy");
        files.is_whole(to, &expected).await;
    }
    let blob = files.blob("copy");
    let taken = blob.create_snapshot(None).await.expect("a snapshot").snapshot().expect("its time").expect("its time");
    let held = blob.acquire_lease(15, None).await.expect("a lease").lease_id().expect("its id").expect("its id");
    let options = BlobClientSetMetadataOptions { lease_id: Some(held.clone()), ..Default::default() };
    blob.set_metadata(&HashMap::from([("a".to_owned(), "b".to_owned())]), Some(options)).await.expect("metadata");
    blob.release_lease(held, None).await.expect("release");
    let tags = BlobTags::from(HashMap::from([("a".to_owned(), "1".to_owned())]));
    blob.set_tags(tags.try_into().expect("tags"), None).await.expect("tags");
    let old = blob.with_snapshot(&taken).expect("a client").get_properties(None).await.expect("the snapshot");
    assert_eq!(old.metadata().expect("metadata").get("colour").map(String::as_str), Some("blue"), "the snapshot's metadata");
    files.is_listed().await;
    println!(
        "checked: bytes in one and in blocks, both ways in parallel, 300 MiB, ranges, blocks repeated, append, copies, snapshot, lease, metadata, tags, \
         sizes in the list by pages, through a SAS"
    );
}
