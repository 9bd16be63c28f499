//! `Expect: 100-continue`: what the head alone condemns is refused before the body is asked for.

use http::{Method, StatusCode};
use portcullis::upstream::sigv4::{Credential, SecretKey};

use super::{headers, plain};
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
