//! The customer says no while parts are under way, and before an upload is completed: nothing more is sealed, and what was sealed waits
//! until the customer says yes again.

use std::time::Duration;

use portcullis::keys::Bounds;

use crate::multipart::{MIB5, Upload, bytes, holds};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_cuts_parts_that_are_under_way_and_completes_nothing() {
    let bound = Duration::from_secs(12);
    let world = World::bounded(Bounds::new(bound, bound * 10)).await;
    let upload = Upload::begin(&world.acme, "revoked").await;
    let body = bytes(MIB5, 1);
    let parts = [upload.part(1, &body).await, upload.part(2, b"end").await];
    // One goes upstream and one waits apart; neither client sends on.
    let target = |number: u32| format!("revoked?partNumber={number}&uploadId={}", upload.id);
    let large = world.acme.begin_put(&target(3), MIB5, &body[..MIB5 - 1]).await;
    let small = world.acme.begin_put(&target(4), 100_000, &body[..99_999]).await;
    let begun = std::time::Instant::now();
    while world.adversary.asked(&crate::world::bucket("acme"), "revoked") < 6 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::task::yield_now().await;
    }
    world.standin.customer("acme").disable_key().unwrap();
    // More than a third of the bound: the vault is asked again, and says no.
    world.pass(Duration::from_secs(5));
    for stalled in [large, small] {
        let (answer, _) = stalled.finish().await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains("KMS.DisabledException"), "{answer}");
    }
    for refused in [
        upload.complete(&parts).await,
        upload.try_part(5, b"more").await,
        upload.list("").await,
    ] {
        assert_eq!(refused.code(), "KMS.DisabledException", "{refused:?}");
    }
    world.standin.customer("acme").enable_key().unwrap();
    world.pass(bound * 3);
    let begun = std::time::Instant::now();
    let done = loop {
        let done = upload.complete(&parts).await;
        if done.status() == 200 || begun.elapsed() > Duration::from_secs(20) {
            break done;
        }
    };
    assert_eq!(done.status(), 200, "{done:?}");
    holds(&world, "revoked", &[&body[..], b"end"].concat()).await;
}
