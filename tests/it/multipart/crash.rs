//! A gate that ends in the middle, at every step of a Complete: the store did it, or did not, and nobody heard. The client then asks
//! another replica.

use crate::multipart::{MIB5, Sent, Upload, all, bytes, holds, left_over};
use crate::world::World;

/// An upload that is ready to be completed, and what it will be.
async fn ready<'a>(world: &'a World, key: &'a str, kind: u8) -> (Upload<'a>, Vec<Sent>, Vec<u8>) {
    let upload = Upload::begin(&world.acme, key).await;
    let (mut parts, mut plain) = (Vec::new(), Vec::new());
    if kind < 2 {
        plain = bytes(MIB5, 1);
        parts.push(upload.part(1, &plain).await);
    }
    if kind > 0 {
        let body = bytes(1_000, 2);
        parts.push(upload.part(2, &body).await);
        plain.extend(body);
    }
    (upload, parts, plain)
}

/// `kind`: the last part upstream, apart, or the only one.
async fn crashes(kind: u8) {
    let world = World::start().await;
    let other = world.replica("acme");
    let mut step = 0;
    let mut finished = false;
    while !finished {
        for done in [false, true] {
            let key = format!("crash-{kind}-{step}-{done}");
            let (upload, parts, plain) = ready(&world, &key, kind).await;
            world.adversary.die_after(step, done);
            let first = upload.complete(&parts).await;
            finished = !world.adversary.heal() || first.status() == 200;
            assert!([200, 503].contains(&first.status()), "{key}: {first:?}");
            // Until it is done the client sees its own parts and nothing else.
            let listed = upload.list("").await;
            if listed.status() == 200 {
                let numbers: Vec<_> = parts.iter().map(|(number, _)| number.to_string()).collect();
                assert_eq!(all(&listed, "PartNumber"), numbers, "{key}");
            }
            let again = upload.through(&other).complete(&parts).await;
            assert_eq!(again.status(), 200, "{key}: {again:?}");
            holds(&world, &key, &plain).await;
        }
        step += 1;
        assert!(step < 20, "a Complete asks the store no more than so often");
    }
    assert!(step >= 5, "{step} steps");
    portcullis::s3::multipart::sweep(&world.upstream(), std::time::SystemTime::now())
        .await
        .unwrap();
    assert_eq!(left_over(&world).await.0, 0, "what a crash left behind is swept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_can_be_cut_off_anywhere_with_all_parts_upstream() {
    crashes(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_can_be_cut_off_anywhere_with_the_last_part_apart() {
    crashes(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_can_be_cut_off_anywhere_with_one_small_part() {
    crashes(2).await;
}
