//! Two replicas, two clients, one upload: Complete twice, at once, against Abort, against parts that come late.

use std::time::{Duration, SystemTime};

use portcullis::s3::multipart::sweep;

use crate::multipart::{MIB5, Upload, all, between, bytes, holds, left_over};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_sent_again_is_answered_again() {
    let world = World::start().await;
    let other = world.replica("acme");
    for (key, last) in [("multi", MIB5), ("staged", 70_000), ("whole", 0)] {
        let upload = Upload::begin(&world.acme, key).await;
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        if last > 0 {
            plain = bytes(MIB5, 1);
            parts.push(upload.part(1, &plain).await);
        }
        let body = bytes(last.max(1), 2);
        parts.push(upload.part(2, &body).await);
        plain.extend(body);
        let first = upload.complete(&parts).await;
        assert_eq!(first.status(), 200, "{key}: {first:?}");
        let again = upload.through(&other).complete(&parts).await;
        assert_eq!(again.status(), 200, "{key}: {again:?}");
        assert_eq!(between(&again, "ETag"), between(&first, "ETag"));
        assert_eq!(upload.complete(&parts).await.body, first.body);
        // Another list is another Complete, which was never done.
        let mut others = parts.clone();
        others[0].1 = "\"00000000000000000000000000000000-0\"".into();
        let never = upload.complete(&others).await;
        assert_eq!((never.status(), never.code().as_str()), (404, "NoSuchUpload"), "{key}");
        holds(&world, key, &plain).await;
        // What lies there later came of something else.
        world.acme.put(key, b"later").await;
        let late = upload.complete(&parts).await;
        assert_eq!((late.status(), late.code().as_str()), (404, "NoSuchUpload"), "{key}");
        assert!(world.acme.get(key).await.is(b"later"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_complete_at_once() {
    let world = World::start().await;
    let other = world.replica("acme");
    for round in 0..6_u8 {
        let key = format!("raced-{round}");
        let upload = Upload::begin(&world.acme, &key).await;
        let (mut parts, mut plain) = (Vec::new(), Vec::new());
        // In turn: the last part upstream, apart, and the only one.
        if round % 3 < 2 {
            plain = bytes(MIB5, round);
            parts.push(upload.part(1, &plain).await);
        }
        if round % 3 > 0 {
            let body = bytes(1_000, round + 100);
            parts.push(upload.part(2, &body).await);
            plain.extend(body);
        }
        let through = upload.through(&other);
        let (one, two) = tokio::join!(upload.complete(&parts), through.complete(&parts));
        assert_eq!((one.status(), two.status()), (200, 200), "{round}: {one:?} {two:?}");
        assert_eq!(between(&one, "ETag"), between(&two, "ETag"), "{round}");
        holds(&world, &key, &plain).await;
    }
    assert_eq!(left_over(&world).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_lists_at_once_one_is_the_object() {
    let world = World::start().await;
    let other = world.replica("acme");
    for round in 0..4_u8 {
        let key = format!("lists-{round}");
        let upload = Upload::begin(&world.acme, &key).await;
        let (one, two) = (bytes(MIB5, 1), bytes(MIB5, 2));
        let parts = [upload.part(1, &one).await, upload.part(2, &two).await];
        let through = upload.through(&other);
        let (short, long) = tokio::join!(upload.complete(&parts[..1]), through.complete(&parts));
        let (won, lost, plain) = match short.status() {
            200 => (short, long, one),
            _ => (long, short, [one, two].concat()),
        };
        assert_eq!(won.status(), 200, "{won:?} {lost:?}");
        // The one that came later found no upload, or a tail that had taken a listed part's place.
        assert!(
            matches!(
                (lost.status(), lost.code().as_str()),
                (404, "NoSuchUpload") | (400, "InvalidPart")
            ),
            "{lost:?}"
        );
        holds(&world, &key, &plain).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_and_abort_at_once_leave_an_object_or_nothing() {
    let world = World::start().await;
    let other = world.replica("acme");
    for round in 0..4_u8 {
        let key = format!("aborted-{round}");
        let upload = Upload::begin(&world.acme, &key).await;
        let one = bytes(MIB5, round);
        let parts = [upload.part(1, &one).await, upload.part(2, b"end").await];
        let through = upload.through(&other);
        let (done, aborted) = tokio::join!(upload.complete(&parts), through.abort());
        match (done.status(), aborted.status()) {
            (200, 404) => holds(&world, &key, &[&one[..], b"end"].concat()).await,
            (404, 204) => {
                assert_eq!(done.code(), "NoSuchUpload");
                assert_eq!(world.acme.head(&key).await.status(), 404);
            }
            (503, 204) => assert_eq!(world.acme.head(&key).await.status(), 404),
            other => panic!("{other:?}: {done:?} {aborted:?}"),
        }
    }
    sweep(&world.upstream(), SystemTime::now()).await.unwrap();
    assert_eq!(left_over(&world).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_come_after_the_end_make_nothing() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "late").await;
    let first = upload.part(1, b"first").await;
    // A part that is under way while the upload is aborted.
    let target = format!("late?partNumber=2&uploadId={}", upload.id);
    let slow = world.acme.begin_put(&target, 10, b"12345").await;
    let begun = || async { !all(&upload.list("").await, "PartNumber").is_empty() };
    assert!(begun().await);
    assert_eq!(upload.abort().await.status(), 204);
    let (answer, _) = slow.send(b"67890").await.finish().await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("NoSuchUpload"), "{answer}");
    assert_eq!(left_over(&world).await, (0, 0));
    let done = upload.complete(&[first]).await;
    assert_eq!((done.status(), done.code().as_str()), (404, "NoSuchUpload"));
    assert_eq!(world.acme.head("late").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_uploads_leave_over_is_swept_and_nothing_else() {
    let world = World::start().await;
    let running = Upload::begin(&world.acme, "running").await;
    let kept = running.part(1, b"kept").await;
    let done = Upload::begin(&world.acme, "done").await;
    let part = done.part(1, b"done").await;
    assert_eq!(done.complete(&[part]).await.status(), 200);
    // An orphan: its upload goes without the gate.
    let orphan = Upload::begin(&world.acme, "orphans/%C3%BC%20x").await;
    orphan.part(1, b"orphan").await;
    let theirs = world.store_client(&crate::world::bucket("acme"));
    assert_eq!(orphan.through(&theirs).abort().await.status(), 204);
    assert_eq!(left_over(&world).await, (2, 1));

    let store = world.upstream();
    let now = SystemTime::now();
    assert_eq!(sweep(&store, now).await.unwrap(), 1, "the orphan");
    assert_eq!(left_over(&world).await, (1, 1));
    let tomorrow = now + Duration::from_secs(25 * 3600);
    assert_eq!(sweep(&store, tomorrow).await.unwrap(), 1, "the record");
    assert_eq!(left_over(&world).await, (1, 0));
    assert_eq!(running.complete(&[kept]).await.status(), 200);
    holds(&world, "running", b"kept").await;
}
