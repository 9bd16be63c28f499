//! UploadPartCopy, and copies of what uploads made.

use http::{HeaderMap, Method};

use crate::copy::{copied, copy, element, headers, plain, put_report};
use crate::world::client::{Answer, Client};
use crate::world::{ARCHIVE, World};

const MIB5: usize = 5 << 20;

async fn create(client: &Client, key: &str) -> String {
    let described = headers(&[("content-type", "text/bla"), ("x-amz-meta-colour", "green")]);
    let answer = client
        .send(Method::POST, &format!("{key}?uploads"), described, b"")
        .await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    element(&answer, "UploadId")
}

async fn part(client: &Client, key: &str, upload: &str, number: u32, more: &[(&str, &str)]) -> Answer {
    let target = format!("{key}?partNumber={number}&uploadId={upload}");
    client.send(Method::PUT, &target, headers(more), b"").await
}

async fn complete(client: &Client, key: &str, upload: &str, etags: &[String]) {
    let parts = etags.iter().enumerate().map(|(at, etag)| {
        let number = at + 1;
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    });
    let list: String = parts.collect();
    let list = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let target = format!("{key}?uploadId={upload}");
    let answer = client
        .send(Method::POST, &target, HeaderMap::new(), list.as_bytes())
        .await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert!(
        String::from_utf8_lossy(&answer.body).contains("<CompleteMultipartUploadResult"),
        "{answer:?}"
    );
}

/// An upload put together of ranges of a source.
async fn upload_of(client: &Client, key: &str, source: &str, ranges: &[Option<&str>]) {
    let upload = create(client, key).await;
    let mut etags = Vec::new();
    for (number, range) in (1..).zip(ranges) {
        let mut more = vec![("x-amz-copy-source", source)];
        more.extend(range.map(|range| ("x-amz-copy-source-range", range)));
        let answer = part(client, key, &upload, number, &more).await;
        assert_eq!(answer.status(), 200, "{range:?}: {answer:?}");
        assert!(
            String::from_utf8_lossy(&answer.body).contains("<CopyPartResult"),
            "{answer:?}"
        );
        assert!(element(&answer, "LastModified").ends_with('Z'), "{answer:?}");
        etags.push(element(&answer, "ETag"));
    }
    complete(client, key, &upload, &etags).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_copied_of_ranges_and_the_upload_is_copied_on() {
    let world = World::start().await;
    let plain = plain(MIB5 + 100_000);
    put_report(&world.acme, &plain).await;
    let first = format!("bytes=7-{}", MIB5 + 6);
    let ranges = [Some(first.as_str()), Some("bytes=65530-65545")];
    upload_of(&world.acme, "parts", "acme-files/report", &ranges).await;
    let together = [&plain[7..MIB5 + 7], &plain[65_530..65_546]].concat();
    assert!(world.acme.get("parts").await.is(&together));

    // By the store, as it is; to the other tenant, as a whole; and as a part again, across the parts' border.
    copied(&world.acme.at(ARCHIVE), "acme-files/parts", "kept", &[]).await;
    copied(&world.acme, "acme-archive/kept", "again", &[]).await;
    let lain = world.stored("acme", "parts").await;
    assert_eq!(
        world.stored("acme", "again").await.body,
        lain.body,
        "the store's own copy"
    );
    assert!(world.acme.get("again").await.is(&together));
    let tail = format!("{}-", MIB5 - 3);
    assert!(world.acme.get_range("again", &tail).await.is(&together[MIB5 - 3..]));
    copied(&world.both.at("globex-files"), "acme-files/again", "theirs", &[]).await;
    assert!(world.globex.get("theirs").await.is(&together));
    let head = world.globex.head("theirs").await;
    assert_eq!(head.headers["x-amz-meta-colour"], "green");
    let across = format!("bytes={}-{}", MIB5 - 3, MIB5 + 3);
    upload_of(
        &world.both.at("globex-files"),
        "small",
        "acme-files/again",
        &[Some(&across)],
    )
    .await;
    assert!(world.globex.get("small").await.is(&together[MIB5 - 3..MIB5 + 4]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_without_a_range_is_the_whole() {
    let world = World::start().await;
    for key in ["%20", "_", "%3FversionId", "a%2Bb"] {
        world.acme.put(key, key.as_bytes()).await;
        upload_of(&world.acme, "parts", &format!("acme-files/{key}"), &[None]).await;
        assert!(world.acme.get("parts").await.is(key.as_bytes()), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_refused_as_s3_does() {
    let world = World::start().await;
    let acme = &world.acme;
    acme.put("from", b"12345").await;
    world.globex.put("from", b"globex").await;
    let upload = create(acme, "parts").await;
    let source = ("x-amz-copy-source", "acme-files/from");
    let range = |range| [source, ("x-amz-copy-source-range", range)];
    for (range, code) in [
        (range("bytes=0-21"), (416, "InvalidRange")),
        (range("bytes=5-6"), (416, "InvalidRange")),
        (range("0-2"), (400, "InvalidArgument")),
        (range("bytes=0"), (400, "InvalidArgument")),
        (range("bytes=hello-world"), (400, "InvalidArgument")),
        (range("bytes=0-2,3-5"), (400, "InvalidArgument")),
    ] {
        let answer = part(acme, "parts", &upload, 1, &range).await;
        assert_eq!((answer.status(), answer.code().as_str()), code, "{range:?}");
    }
    for (number, upload, more, status, code) in [
        (1, "nothing", source, 404, "NoSuchUpload"),
        (0, upload.as_str(), source, 400, "InvalidArgument"),
        (
            1,
            upload.as_str(),
            ("x-amz-copy-source", "acme-files/nothing"),
            404,
            "NoSuchKey",
        ),
        (
            1,
            upload.as_str(),
            ("x-amz-copy-source", "globex-files/from"),
            403,
            "AccessDenied",
        ),
    ] {
        let answer = part(acme, "parts", upload, number, &[more]).await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (status, code),
            "{number} {upload} {more:?}"
        );
    }
    let failing = [source, ("x-amz-copy-source-if-none-match", "*")];
    assert_eq!(
        part(acme, "parts", &upload, 1, &failing).await.code(),
        "PreconditionFailed"
    );
    // What was swapped is no part either.
    acme.put("other", b"54321").await;
    world.claim("acme", "from", world.stored("acme", "other").await);
    assert_eq!(
        part(acme, "parts", &upload, 1, &[source]).await.code(),
        "ObjectTampered"
    );
    assert_eq!(copy(acme, "acme-files/from", "no", &[]).await.code(), "ObjectTampered");
}
