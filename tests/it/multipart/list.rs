//! ListParts and ListMultipartUploads: the client's own parts with the lengths it sent, page by page.

use crate::multipart::{MIB5, Upload, all, between, bytes, holds};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_exact_over_parts_of_both_homes() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "paged").await;
    let mut sent = Vec::new();
    for (number, len) in [(2, 5), (3, MIB5), (4, 0), (7, MIB5 + 1), (10_000, 9)] {
        let (_, etag) = upload.part(number, &bytes(len, 1)).await;
        sent.push((number.to_string(), len.to_string(), etag));
    }
    for most in 1..=6 {
        let (mut seen, mut marker) = (Vec::new(), "0".to_owned());
        for page in 1.. {
            let listed = upload
                .list(&format!("&max-parts={most}&part-number-marker={marker}"))
                .await;
            assert_eq!(listed.status(), 200, "{listed:?}");
            let numbers = all(&listed, "PartNumber");
            assert!(numbers.len() <= most, "{numbers:?}");
            let entries = numbers.into_iter().zip(all(&listed, "Size")).zip(all(&listed, "ETag"));
            seen.extend(entries.map(|((number, size), etag)| (number, size, etag)));
            assert_eq!(between(&listed, "MaxParts"), most.to_string());
            assert_eq!(between(&listed, "PartNumberMarker"), marker);
            marker = between(&listed, "NextPartNumberMarker");
            let more = between(&listed, "IsTruncated") == "true";
            assert_eq!(more, page * most < sent.len(), "page {page} of {most}");
            if !more {
                break;
            }
        }
        assert_eq!(seen, sent, "pages of {most}");
    }
    let text = upload.list("").await;
    let text = String::from_utf8_lossy(&text.body);
    assert!(!text.contains("Checksum"), "{text}");
    for wrong in ["&max-parts=-1", "&max-parts=x", "&part-number-marker=x"] {
        let refused = upload.list(wrong).await;
        assert_eq!(
            (refused.status(), refused.code().as_str()),
            (400, "InvalidArgument"),
            "{wrong}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_was_left_over_is_no_part() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "tail").await;
    let one = bytes(MIB5, 1);
    let first = upload.part(1, &one).await;
    // The store does all but the last: the tail is up.
    let unless = [("if-none-match", "*")];
    world.acme.put("tail", b"in the way").await;
    let refused = upload.complete_with(std::slice::from_ref(&first), &unless).await;
    assert_eq!(refused.status(), 412, "{refused:?}");
    let theirs = world.store_client(&crate::world::bucket("acme"));
    let upstream = theirs.get(&format!("tail?uploadId={}", upload.id)).await;
    assert_eq!(all(&upstream, "PartNumber"), ["1", "2"], "the tail is there");
    assert_eq!(all(&upload.list("").await, "PartNumber"), ["1"], "and is nobody's part");
    // The client goes on with a part of that number.
    let two = bytes(MIB5 + 9, 2);
    let second = upload.part(2, &two).await;
    assert_eq!(all(&upload.list("").await, "PartNumber"), ["1", "2"]);
    assert_eq!(upload.complete(&[first, second]).await.status(), 200);
    holds(&world, "tail", &[one, two].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_listed_until_they_are_done() {
    let world = World::start().await;
    let kept = Upload::begin(&world.acme, "uploads/kept").await;
    let gone = Upload::begin(&world.acme, "uploads/gone").await;
    let listed = world.acme.get("?uploads&prefix=uploads/").await;
    assert_eq!(all(&listed, "UploadId"), [gone.id.clone(), kept.id.clone()]);
    assert_eq!(gone.abort().await.status(), 204);
    let listed = world.acme.get("?uploads&prefix=uploads/").await;
    assert_eq!(all(&listed, "UploadId"), [kept.id]);
    let theirs = world.globex.get("?uploads&prefix=uploads/").await;
    assert!(all(&theirs, "UploadId").is_empty());
}
