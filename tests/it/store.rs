//! The embedded directory store, asked through boto3 whether it behaves like S3, and through crashes whether it keeps
//! what it promised.

#![allow(clippy::unwrap_used, clippy::expect_used)] // clippy exempts tests, not their helpers

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::dev::store::{Server, Store, file_name, serve};
use tokio::net::TcpListener;
use tokio::process::Command;

const ACCESS_KEY: &str = "AKIDSTORE";
const SECRET_KEY: &str = "store-secret";

#[tokio::test(flavor = "multi_thread")]
async fn behaves_like_s3_to_boto3() {
    let dir = Scratch::new("boto3");
    let server = start(&dir.0).await;
    let python = python().await;
    let output = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/store_boto3.py"))
        .args([&format!("http://{}", server.address()), ACCESS_KEY, SECRET_KEY])
        .output()
        .await
        .expect("python starts");
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    println!("{out}");
    server.stop().await;

    // The script leaves nothing behind, and neither may the store: no body, no part, no temporary file.
    for below in ["objects", "uploads", "tmp"] {
        assert_eq!(files(&dir.0.join(below)), Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn a_directory_is_held_by_one_store_and_free_afterwards() {
    let dir = Scratch::new("lock");
    let store = Store::open(&dir.0).unwrap();
    assert!(Store::open(&dir.0).is_err());
    drop(store);
    Store::open(&dir.0).unwrap();
}

/// Each object's bytes are one file, named after its key, with nothing else below `objects/`.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_lie_in_the_open_and_outlive_the_process() {
    let dir = Scratch::new("layout");
    let server = start(&dir.0).await;
    let long = "deep/".repeat(200);
    let put = format!("for key in ('a/b c', '{long}'): s3.put_object(Bucket='bkt', Key=key, Body=key.encode() * 3)");
    script(&server, &format!("s3.create_bucket(Bucket='bkt')\n{put}")).await;
    server.stop().await;

    let bucket = dir.0.join("objects/bkt");
    let mut wanted: Vec<PathBuf> = ["a/b c", &long].map(|key| bucket.join(file_name(key))).into();
    wanted.sort();
    assert_eq!(files(&dir.0.join("objects")), wanted);
    assert_eq!(fs::read(bucket.join("a%2Fb%20c")).unwrap(), b"a/b ca/b ca/b c");

    let server = start(&dir.0).await;
    let get = "s3.get_object(Bucket='bkt', Key=key)['Body'].read()";
    script(
        &server,
        &format!("for key in ('a/b c', '{long}'): assert {get} == key.encode() * 3"),
    )
    .await;
    server.stop().await;
}

/// Every state a crash can leave between two steps of publishing or deleting, made by hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_the_old_object_or_the_new_one() {
    let dir = Scratch::new("crash");
    let server = start(&dir.0).await;
    let lines = "s3.create_bucket(Bucket='bkt')
for key in 'abcd': s3.put_object(Bucket='bkt', Key=key, Body=b'old')
s3.put_object(Bucket='bkt', Key='z', Body=b'the new!')";
    script(&server, lines).await;
    server.stop().await;

    let body = |key: &str| dir.0.join("objects/bkt").join(key);
    let record = |key: &str| dir.0.join("meta/bkt").join(format!("{key}.json"));
    let next = |key: &str| record(key).with_added_extension("next");
    let write_next = |key: &str, staged: &str| {
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(record("z")).unwrap()).unwrap();
        json["key"] = key.into();
        json["staged"] = staged.into();
        fs::write(next(key), json.to_string()).unwrap();
    };
    // a: the record was written, the body not moved yet.
    write_next("a", "staged-a");
    fs::write(dir.0.join("tmp/staged-a"), "the new!").unwrap();
    // b: the body has moved, the record not.
    write_next("b", "staged-b");
    fs::write(body("b"), "the new!").unwrap();
    // c: the record was cut short.
    fs::write(next("c"), "{\"key\":").unwrap();
    // d: deleted, all but the body.
    fs::remove_file(record("d")).unwrap();
    // And a body that was being received.
    fs::write(dir.0.join("tmp/half"), "hal").unwrap();

    let server = start(&dir.0).await;
    let lines = "for key, body in ('a', b'old'), ('b', b'the new!'), ('c', b'old'), ('z', b'the new!'):
    answer = s3.get_object(Bucket='bkt', Key=key)
    assert answer['Body'].read() == body, key
    assert answer['ETag'].strip('\"') == hashlib.md5(body).hexdigest(), key
assert [entry['Key'] for entry in s3.list_objects_v2(Bucket='bkt')['Contents']] == ['a', 'b', 'c', 'z']";
    script(&server, lines).await;
    server.stop().await;
    assert_eq!(files(&dir.0.join("objects")), ["a", "b", "c", "z"].map(body));
    assert_eq!(files(&dir.0.join("tmp")), Vec::<PathBuf>::new());
}

/// An upload in progress goes on after a restart; a damaged directory is refused and nothing in it is removed.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_outlive_the_process_and_damage_is_refused() {
    let dir = Scratch::new("restart");
    let server = start(&dir.0).await;
    let lines = "s3.create_bucket(Bucket='bkt')
where = {'Bucket': 'bkt', 'Key': 'k'}
upload = s3.create_multipart_upload(**where, Metadata={'a': 'b'})['UploadId']
s3.upload_part(**where, UploadId=upload, PartNumber=4, Body=b'part')";
    script(&server, lines).await;
    server.stop().await;
    let server = start(&dir.0).await;
    let lines = "where = {'Bucket': 'bkt', 'Key': 'k'}
upload = s3.list_multipart_uploads(Bucket='bkt')['Uploads'][0]['UploadId']
etag = s3.list_parts(**where, UploadId=upload)['Parts'][0]['ETag']
parts = {'Parts': [{'PartNumber': 4, 'ETag': etag}]}
s3.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
answer = s3.get_object(**where)
assert answer['Body'].read() == b'part' and answer['Metadata'] == {'a': 'b'}";
    script(&server, lines).await;
    server.stop().await;

    fs::write(dir.0.join("objects/bkt/k"), "shortened").unwrap();
    assert!(Store::open(&dir.0).is_err());
    fs::remove_file(dir.0.join("meta/bkt/.bucket.json")).unwrap();
    assert!(Store::open(&dir.0).is_err());
    assert_eq!(files(&dir.0.join("objects")), [dir.0.join("objects/bkt/k")]);
}

async fn start(dir: &Path) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    serve(
        Store::open(dir).unwrap(),
        listener,
        vec![(ACCESS_KEY.into(), SECRET_KEY.into())],
    )
    .unwrap()
}

/// The Python with boto3 that PORTCULLIS_PYTHON names, `python3` without it.
async fn python() -> String {
    let python = std::env::var("PORTCULLIS_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import boto3"]).output().await;
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "these tests need a Python with boto3: set PORTCULLIS_PYTHON to one (tried {python:?})"
    );
    python
}

/// Runs lines of Python that have a client `s3`.
async fn script(server: &Server, lines: &str) {
    let lines = format!(
        "import boto3, hashlib\ns3 = boto3.client('s3', endpoint_url='http://{}', region_name='us-east-1', \
         aws_access_key_id='{ACCESS_KEY}', aws_secret_access_key='{SECRET_KEY}')\n{lines}",
        server.address()
    );
    let output = Command::new(python().await)
        .args(["-c", &lines])
        .output()
        .await
        .expect("python starts");
    assert!(
        output.status.success(),
        "{lines}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Every file below `dir`, in order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
