//! Copies between tenants: opened under one key and sealed under the other, if the client may act for both.

use std::time::Duration;

use http::{HeaderMap, Method};
use portcullis::keys::Bounds;

use crate::copy::{LEN, copied, copy, describes, element, headers, plain, put, put_report, refused, tags};
use crate::world::World;
use crate::world::client::Client;

/// The store's clock does not jump along: no further than a signature may be off.
const BOUND: Duration = Duration::from_secs(10);

fn in_globex(world: &World) -> Client {
    world.both.at("globex-files")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_act_for_both_copies_between_them() {
    let world = World::start().await;
    let (globex, plain) = (in_globex(&world), plain(LEN));
    put_report(&world.acme, &plain).await;
    copied(&globex, "acme-files/report", "theirs", &[]).await;
    assert!(
        world.globex.get("theirs").await.is(&plain),
        "globex reads it under its own key"
    );
    assert!(
        world
            .globex
            .get_range("theirs", "65536-65540")
            .await
            .is(&plain[65_536..65_541])
    );
    describes(&world.globex, "theirs", "text/bla", Some("green")).await;
    assert_eq!(tags(&world, "globex-files", "theirs").await, ["empty", "kind"]);
    let (one, other) = (
        world.stored("acme", "report").await,
        world.stored("globex", "theirs").await,
    );
    assert_eq!(one.body.len(), other.body.len());
    assert_ne!(one.body[40..104], other.body[40..104], "another salt, another place");

    let replaced = [
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-colour", "blue"),
        ("x-amz-tagging-directive", "REPLACE"),
    ];
    copied(&globex, "acme-files/report", "replaced", &replaced).await;
    describes(&world.globex, "replaced", "binary/octet-stream", Some("blue")).await;
    assert!(tags(&world, "globex-files", "replaced").await.is_empty());
    // And back again, from a copy.
    copied(&world.both, "globex-files/theirs", "back", &[]).await;
    assert!(world.acme.get("back").await.is(&plain));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_act_for_one_does_not() {
    let world = World::start().await;
    world.acme.put("from", b"acme").await;
    world.globex.put("from", b"globex").await;
    refused(&world.acme, "globex-files/from", "no", &[], 403, "AccessDenied").await;
    refused(&world.globex, "acme-files/from", "no", &[], 403, "AccessDenied").await;
    refused(
        &world.acme.at("globex-files"),
        "acme-files/from",
        "no",
        &[],
        403,
        "AccessDenied",
    )
    .await;
    for client in [&world.acme, &world.globex] {
        assert_eq!(client.head("no").await.status(), 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_length_is_sealed_anew() {
    let world = World::start().await;
    for len in [0, 1, 65_536, (5 << 20) + 1] {
        let plain = plain(len);
        put(&world.acme, "from", &plain).await;
        copied(&in_globex(&world), "acme-files/from", "to", &[]).await;
        assert!(world.globex.get("to").await.is(&plain), "{len}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_checksums_cross_over() {
    let world = World::start().await;
    let globex = in_globex(&world);
    let stated = headers(&[("x-amz-checksum-crc32", "y/Q5Jg==")]);
    world.acme.send(Method::PUT, "from", stated, b"123456789").await;
    let answer = copied(&globex, "acme-files/from", "to", &[("if-none-match", "*")]).await;
    assert_eq!(element(&answer, "ChecksumCRC32"), "y/Q5Jg==");
    let asked = headers(&[("x-amz-checksum-mode", "ENABLED")]);
    let got = world.globex.send(Method::GET, "to", asked, b"").await;
    assert_eq!(got.headers["x-amz-checksum-crc32"], "y/Q5Jg==");
    refused(
        &globex,
        "acme-files/from",
        "to",
        &[("if-none-match", "*")],
        412,
        "PreconditionFailed",
    )
    .await;
    let other = [("x-amz-copy-source-if-match", "\"other\"")];
    refused(&globex, "acme-files/from", "to", &other, 412, "PreconditionFailed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_customers_no_is_enough_and_names_its_own_key() {
    let world = World::bounded(Bounds::new(BOUND, 4 * BOUND)).await;
    world.acme.put("from", b"acme").await;
    world.globex.put("other", b"globex").await;
    for (customer, what) in [("acme", "the source"), ("globex", "the copy")] {
        let key_url = world.standin.key_url(customer);
        world.standin.customer(customer).disable_key().unwrap();
        world.pass(BOUND);
        let answer = copy(&in_globex(&world), "acme-files/from", "to", &[]).await;
        assert_eq!(answer.code(), "KMS.DisabledException", "{what}: {answer:?}");
        assert!(
            String::from_utf8_lossy(&answer.body).contains(&key_url),
            "{what}: {answer:?}"
        );
        let refused = world.audit(customer, "request_refused");
        assert_eq!(refused.len(), 1, "{what}");
        assert_eq!(refused[0].field("operation"), "CopyObject");
        let granted = world.audit(customer, "lease_granted");
        assert_eq!(refused[0].field("version"), granted[0].field("version"), "{what}");
        world.standin.customer(customer).enable_key().unwrap();
        world.pass(BOUND);
    }
    let copied = copy(&in_globex(&world), "acme-files/from", "to", &[]).await;
    assert_eq!(copied.status(), 200, "{copied:?}");
    assert_eq!(
        world
            .globex
            .send(Method::DELETE, "to", HeaderMap::new(), b"")
            .await
            .status(),
        204
    );
}
