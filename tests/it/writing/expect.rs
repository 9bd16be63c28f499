//! `Expect: 100-continue`: what the head alone condemns is refused before the body is asked for. Of an empty body nothing is asked, and the
//! connection closes behind the answer.

use http::{Method, StatusCode};
use portcullis::upstream::sigv4::{Credential, SecretKey};

use super::{headers, plain};
use crate::multipart::{MIB5, Upload};
use crate::world::World;
use crate::world::adversary::{Lie, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_only_if_it_may_be_stored() {
    let world = World::start().await;
    world.acme.put("there", b"x").await;

    let small = world.acme.expect_put("k", 10, headers(&[])).await;
    assert!(small.starts_with("HTTP/1.1 100 "), "{small}");
    let large = world.acme.expect_put("k", 10 << 20, headers(&[])).await;
    assert!(large.starts_with("HTTP/1.1 100 "), "{large}");

    let long = "v".repeat(1700);
    let sse = "x-amz-server-side-encryption";
    let customers = "x-amz-server-side-encryption-customer-algorithm";
    for (why, len, asking, status) in [
        ("too large", 6_usize << 40, headers(&[]), 400),
        ("metadata", 10, headers(&[("x-amz-meta-n", &long)]), 400),
        ("reserved", 10, headers(&[("x-amz-meta-portcullis-core", "x")]), 400),
        ("digest", 10, headers(&[("content-md5", "bm8=")]), 400),
        ("checksum", 10, headers(&[("x-amz-checksum-crc128", "bm8=")]), 400),
        ("encryption", 10, headers(&[(sse, "AES1")]), 400),
        ("client's key", 10, headers(&[(customers, "AES256")]), 501),
    ] {
        let head = world.acme.expect_put("k", len, asking).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {head}");
    }

    // Whoever may not write here sends nothing.
    let stranger = world
        .acme
        .with(Credential::new("AKIDACME", SecretKey::new("a guess")).unwrap());
    let head = stranger.expect_put("k", 10, headers(&[])).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let other = world
        .acme
        .with(Credential::new("AKIDGLOBEX", SecretKey::new("globex-secret")).unwrap());
    let head = other.expect_put("k", 10, headers(&[])).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_asks_for_no_body() {
    let world = World::start().await;
    world.standin.customer("acme").disable_key().unwrap();
    let head = world.acme.expect_put("k", 10, headers(&[])).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_is_not_asked_for() {
    let world = World::start().await;
    let no = "<Error><Code>QuotaExceeded</Code><Message>full</Message></Error>";
    world.lie(
        "acme",
        "k",
        Lie::instead(move |_| Reply::new(StatusCode::FORBIDDEN, no)),
    );
    let head = world.acme.expect_put("k", 10 << 20, headers(&[])).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    // One whom the store wants is asked, and what it sends is stored.
    let body = plain(3 << 20);
    let expects = headers(&[("expect", "100-continue")]);
    let stored = world.acme.send(Method::PUT, "other", expects, &body).await;
    assert_eq!(stored.status(), 200, "{stored:?}");
    assert!(world.acme.get("other").await.is(&body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_asked_for_only_if_it_may_be_stored() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "k").await;
    let target = |number: u32, id: &str| format!("k?partNumber={number}&uploadId={id}");
    // A part that waits apart, and one that goes to the store at once.
    for len in [10, MIB5] {
        let wanted = world.acme.expect_put(&target(1, &upload.id), len, headers(&[])).await;
        assert!(wanted.starts_with("HTTP/1.1 100 "), "{len}: {wanted}");
        let number = world
            .acme
            .expect_put(&target(10_001, &upload.id), len, headers(&[]))
            .await;
        assert!(number.starts_with("HTTP/1.1 400 "), "{len}: {number}");
        let digest = headers(&[("content-md5", "bm8=")]);
        let digest = world.acme.expect_put(&target(1, &upload.id), len, digest).await;
        assert!(digest.starts_with("HTTP/1.1 400 "), "{len}: {digest}");
        let other = Credential::new("AKIDGLOBEX", SecretKey::new("globex-secret")).unwrap();
        let other = world.acme.with(other);
        let other = other.expect_put(&target(1, &upload.id), len, headers(&[])).await;
        assert!(other.starts_with("HTTP/1.1 403 "), "{len}: {other}");
    }
    let large = world
        .acme
        .expect_put(&target(1, &upload.id), 6 << 40, headers(&[]))
        .await;
    assert!(large.starts_with("HTTP/1.1 400 "), "{large}");

    // One that the store wants is sent, and counts.
    let (first, last) = (plain(MIB5), plain(1000));
    let mut sent = Vec::new();
    for (number, body) in [(1, &first), (2, &last)] {
        let expects = headers(&[("expect", "100-continue")]);
        let target = target(number, &upload.id);
        let stored = world.acme.send(Method::PUT, &target, expects, body).await;
        assert_eq!(stored.status(), 200, "{stored:?}");
        sent.push((number, stored.headers["etag"].to_str().unwrap().to_owned()));
    }
    assert_eq!(upload.complete(&sent).await.status(), 200);
    assert!(world.acme.get("k").await.is(&[first, last].concat()));

    world.standin.customer("acme").disable_key().unwrap();
    world.pass(std::time::Duration::from_secs(4000));
    let closed = world.acme.expect_put(&target(1, &upload.id), MIB5, headers(&[])).await;
    assert!(closed.starts_with("HTTP/1.1 400 "), "{closed}");
}

/// botocore before 1.43.127 takes the answer to an empty body for the early one that it waits for, and keeps it in mind for the next
/// request on the same connection.
#[tokio::test(flavor = "multi_thread")]
async fn behind_an_empty_body_the_connection_closes() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "parts").await;
    let part = format!("parts?partNumber=1&uploadId={}", upload.id);
    for (target, status) in [("k", 200), (&part, 200), ("k?versionId=x&torrent", 501), ("/../k", 400)] {
        let head = world.acme.expect_put(target, 0, headers(&[])).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {head}");
        let closes = head.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        assert!(closes, "{target}: {head}");
    }
    // With a body the connection stays, and so it does without the header.
    let stays = world.acme.expect_put("k", 10, headers(&[])).await;
    assert!(!stays.to_ascii_lowercase().contains("connection: close"), "{stays}");
    let plain = world
        .acme
        .send(Method::PUT, "k", headers(&[("content-length", "0")]), b"")
        .await;
    assert!(
        plain.status() == 200 && !plain.headers.contains_key("connection"),
        "{plain:?}"
    );
}
