//! A PUT larger than the store takes in one request.

use std::time::Duration;

use http::Method;
use portcullis::body::checksum::{Algorithm, Checksum};
use portcullis::seal::PlainLen;
use portcullis::upstream::{Dialect, Payload};

use super::{headers, plain};
use crate::multipart;
use crate::world::World;
use crate::world::adversary::{Lie, Reply};

const MIB: usize = 1 << 20;
const PUT: Dialect = Dialect {
    largest_put: 5 << 20,
    largest_object: 40 << 20,
    ..Dialect::of(portcullis::upstream::Provider::Other)
};

/// Waits until no upload is under way in the store: what clears one away runs on after the answer.
async fn is_cleared(world: &World) {
    for _ in 0..100 {
        let uploads = world.store_client("acme-files").get("?uploads").await;
        assert_eq!(uploads.status(), 200);
        if !String::from_utf8_lossy(&uploads.body).contains("<UploadId>") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("an upload is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn has_an_etag_though_the_store_leaves_it_out() {
    let world = World::before(PUT).await;
    world.lie("acme", "k", multipart::without_etag());
    let answer = world.acme.send(Method::PUT, "k", headers(&[]), &plain(6 * MIB)).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(answer.headers["etag"], world.acme.head("k").await.headers["etag"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_stored_in_pieces_and_reads_as_one() {
    for payload in [Payload::Unsigned, Payload::Trailer] {
        let world = World::before(Dialect { payload, ..PUT }).await;
        for len in [5 * MIB - 4000, 5 * MIB, 12 * MIB + 12_345] {
            let body = plain(len);
            let crc = Checksum::of(Algorithm::Crc32, &body).to_base64();
            let asking = headers(&[
                ("x-amz-checksum-crc32", &crc),
                ("content-type", "text/x-test"),
                ("x-amz-meta-note", "kept"),
            ]);
            let answer = world.acme.send(Method::PUT, "k", asking, &body).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
            assert_eq!(answer.headers["x-amz-checksum-crc32"], crc);
            let got = world.acme.get("k").await;
            assert!(got.is(&body), "{len}");
            assert_eq!(got.headers["etag"], answer.headers["etag"]);
            assert_eq!(got.headers["content-type"], "text/x-test");
            assert_eq!(got.headers["x-amz-meta-note"], "kept");
            assert!(
                world
                    .acme
                    .get_range("k", "70000-5300000")
                    .await
                    .is(&body[70_000..=5_300_000.min(len - 1)])
            );
            let stored = world.stored("acme", "k").await;
            assert_eq!(stored.body.len() as u64, PlainLen(len as u64).sealed().unwrap().0);
            let in_pieces = stored.etag.contains('-');
            assert_eq!(in_pieces, stored.body.len() > 5 * MIB, "{len}: {}", stored.etag);
        }
        is_cleared(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_nothing_behind_when_it_fails() {
    let world = World::before(PUT).await;
    let body = plain(12 * MIB);
    let wrong = headers(&[("x-amz-checksum-crc32", "AAAAAA==")]);
    let answer = world.acme.send(Method::PUT, "k", wrong, &body).await;
    assert_eq!((answer.status(), answer.code().as_str()), (400, "BadDigest"));
    is_cleared(&world).await;

    // The client goes away in the second piece.
    drop(world.acme.begin_put("k", body.len(), &body[..7 * MIB]).await);
    is_cleared(&world).await;

    // The store fails at the end, behind a head that says 200.
    let late = "  <Error><Code>InternalError</Code><Message>We</Message></Error>";
    world.lie(
        "acme",
        "k",
        Lie::twist(move |asked, honest| {
            let completes = asked.method == Method::POST && !honest.body.windows(8).any(|text| text == b"UploadId");
            if completes {
                Reply::new(http::StatusCode::OK, late)
            } else {
                honest
            }
        }),
    );
    let answer = world.acme.send(Method::PUT, "k", headers(&[]), &body).await;
    assert_eq!(answer.status(), 503, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heeds_conditions_and_limits() {
    let world = World::before(PUT).await;
    let body = plain(6 * MIB);
    let fresh = || headers(&[("if-none-match", "*")]);
    let answer = world.acme.send(Method::PUT, "k", fresh(), &body).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let again = world.acme.send(Method::PUT, "k", fresh(), &plain(7 * MIB)).await;
    assert_eq!((again.status(), again.code().as_str()), (412, "PreconditionFailed"));
    assert!(world.acme.get("k").await.is(&body));
    is_cleared(&world).await;

    let head = world.acme.expect_put("k", 40 * MIB, headers(&[])).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
}
