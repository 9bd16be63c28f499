//! Parts in every shape: odd numbers and orders, sent again in other sizes, listed in part, at the edges of 5 MiB; what S3 refuses.

use http::Method;
use portcullis::body::checksum::{Algorithm, Checksum};

use crate::multipart::{MIB5, Upload, all, between, bytes, headers, holds, left_over, without_etag};
use crate::world::World;
use crate::world::client::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_in_any_order_through_two_replicas_make_one_object() {
    let world = World::start().await;
    let other = world.replica("acme");
    let said = [
        ("content-type", "text/x-odd"),
        ("x-amz-meta-color", "blue"),
        ("x-amz-checksum-algorithm", "CRC32"),
    ];
    let upload = Upload::begin_with(&world.acme, "a/odd%20key", &said).await;
    let (one, three, seven) = (bytes(MIB5, 1), bytes(MIB5 + 70_000, 3), bytes(100_001, 7));
    let third = upload.part(3, &three).await;
    let seventh = upload.through(&other).part(7, &seven).await;
    let first = upload.through(&other).part(1, &one).await;
    let done = upload.through(&other).complete(&[first, third, seventh]).await;
    assert_eq!(done.status(), 200, "{done:?}");
    assert_eq!(between(&done, "Key"), "a/odd key");
    let etag = between(&done, "ETag");
    assert!(etag.ends_with("-3\""), "{etag}");
    holds(&world, "a/odd%20key", &[one, three, seven].concat()).await;
    let head = world.acme.head("a/odd%20key").await;
    assert_eq!(head.headers["etag"], etag.as_str());
    assert_eq!(head.headers["content-type"], "text/x-odd");
    assert_eq!(head.headers["x-amz-meta-color"], "blue");
    assert!(!head.headers.contains_key("x-amz-meta-portcullis-multipart"));
    assert_eq!(left_over(&world).await, (0, 1), "the record stays for a day");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_part_of_any_size_is_an_object() {
    let world = World::start().await;
    for len in [0, 1, 65_536, MIB5 - 1, MIB5, MIB5 + 1] {
        let key = format!("one-{len}");
        let upload = Upload::begin_with(&world.acme, &key, &[("content-type", "text/x-one")]).await;
        let body = bytes(len, 9);
        let part = upload.part(4, &body).await;
        let done = upload.complete(&[part]).await;
        assert_eq!(done.status(), 200, "{len}: {done:?}");
        holds(&world, &key, &body).await;
        assert_eq!(world.acme.head(&key).await.headers["content-type"], "text/x-one");
    }
    assert_eq!(left_over(&world).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_number_holds_a_part_of_any_size() {
    let world = World::start().await;
    for (key, len) in [("small", 3), ("large", MIB5 + 3)] {
        let upload = Upload::begin(&world.acme, key).await;
        let (one, last) = (bytes(MIB5, 1), bytes(len, 2));
        let first = upload.part(1, &one).await;
        let end = upload.part(10_000, &last).await;
        let done = upload.complete(&[first, end]).await;
        assert_eq!(done.status(), 200, "{key}: {done:?}");
        holds(&world, key, &[one, last].concat()).await;
    }
    let upload = Upload::begin(&world.acme, "alone").await;
    let body = bytes(MIB5 + 5, 3);
    let end = upload.part(10_000, &body).await;
    assert_eq!(upload.complete(&[end]).await.status(), 200);
    holds(&world, "alone", &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_sent_again_counts_by_its_etag() {
    let world = World::start().await;
    let one = bytes(MIB5, 1);
    let (small, large) = (bytes(1_000, 2), bytes(MIB5 + 7, 3));
    for (key, first_sent, then_sent) in [
        ("grown", &small, &large),
        ("shrunk", &large, &small),
        ("again", &small, &bytes(1_000, 4)),
    ] {
        let upload = Upload::begin(&world.acme, key).await;
        let first = upload.part(1, &one).await;
        let before = upload.part(2, first_sent).await;
        let after = upload.part(2, then_sent).await;
        let listed = upload.list("").await;
        assert_eq!(all(&listed, "PartNumber"), ["1", "2"], "{listed:?}");
        if key == "again" {
            // Overwritten where it lay: the earlier one is no more.
            let done = upload.complete(&[first.clone(), before]).await;
            assert_eq!((done.status(), done.code().as_str()), (400, "InvalidPart"));
        }
        let done = upload.complete(&[first, after]).await;
        assert_eq!(done.status(), 200, "{key}: {done:?}");
        holds(&world, key, &[&one[..], then_sent].concat()).await;
    }
    assert_eq!(left_over(&world).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_listed_becomes_the_object() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "subset").await;
    let bodies: Vec<_> = (1..=4).map(|seed| bytes(MIB5, seed)).collect();
    let mut parts = Vec::new();
    for (number, body) in (1..).zip(&bodies) {
        parts.push(upload.part(number, body).await);
    }
    upload.part(9, b"left out").await;
    // Part 3 makes room for the tail.
    let done = upload.complete(&[parts[0].clone(), parts[1].clone()]).await;
    assert_eq!(done.status(), 200, "{done:?}");
    holds(&world, "subset", &bodies[..2].concat()).await;
    assert_eq!(left_over(&world).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_s3_refuses_is_refused_in_its_words() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "refused").await;
    let first = upload.part(1, &bytes(MIB5, 1)).await;
    let small = upload.part(2, b"small").await;
    let third = upload.part(3, b"also small").await;
    let refused = |answer: Answer| (answer.status(), answer.code());
    let order = upload.complete(&[small.clone(), first.clone()]).await;
    assert_eq!(refused(order), (400, "InvalidPartOrder".into()));
    let missing = upload.complete(&[first.clone(), (8, small.1.clone())]).await;
    assert_eq!(refused(missing), (400, "InvalidPart".into()));
    let wrong = upload.complete(&[(1, small.1.clone())]).await;
    assert_eq!(refused(wrong), (400, "InvalidPart".into()));
    let too_small = upload.complete(&[first.clone(), small.clone(), third]).await;
    assert_eq!(refused(too_small), (400, "EntityTooSmall".into()));
    assert_eq!(refused(upload.complete(&[]).await), (400, "MalformedXML".into()));
    let size = [("x-amz-mp-object-size", "5")];
    let claimed = upload.complete_with(&[first.clone(), small.clone()], &size).await;
    assert_eq!(refused(claimed), (400, "InvalidRequest".into()));
    for number in [0, 10_001] {
        let answer = upload.try_part(number, b"x").await;
        assert_eq!(refused(answer), (400, "InvalidArgument".into()));
    }
    let nowhere = Upload {
        id: "nosuchupload".into(),
        ..upload.through(&world.acme)
    };
    for answer in [
        nowhere.try_part(1, b"small").await,
        nowhere.try_part(1, &bytes(MIB5, 1)).await,
        nowhere.complete(std::slice::from_ref(&first)).await,
        nowhere.abort().await,
        nowhere.list("").await,
    ] {
        assert_eq!(refused(answer), (404, "NoSuchUpload".into()));
    }
    // An object that is there, and a condition against it; and then it is done after all.
    world.acme.put("refused", b"before").await;
    let unless = [("if-none-match", "*")];
    let condition = upload.complete_with(&[first.clone(), small.clone()], &unless).await;
    assert_eq!(refused(condition), (412, "PreconditionFailed".into()));
    assert!(world.acme.get("refused").await.is(b"before"));
    // A part listed twice in a row counts once.
    assert_eq!(upload.complete(&[first.clone(), first, small]).await.status(), 200);
    holds(&world, "refused", &[&bytes(MIB5, 1)[..], b"small"].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_what_was_stated_makes_no_part() {
    let world = World::start().await;
    let upload = Upload::begin(&world.acme, "stated").await;
    for (before, len) in [10, MIB5].into_iter().enumerate() {
        let target = format!("stated?partNumber={}&uploadId={}", before + 1, upload.id);
        let wrong = headers(&[("x-amz-checksum-crc32", "AAAAAA==")]);
        let answer = world.acme.send(Method::PUT, &target, wrong, &bytes(len, 1)).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "BadDigest"), "{len}");
        let right = Checksum::of(Algorithm::Crc32, &bytes(len, 1)).to_base64();
        assert_eq!(all(&upload.list("").await, "PartNumber").len(), before, "{len}");
        let said = headers(&[("x-amz-checksum-crc32", &right)]);
        let answer = world.acme.send(Method::PUT, &target, said, &bytes(len, 1)).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers["x-amz-checksum-crc32"], right.as_str());
    }
}

/// A Complete whose list repeats the part's checksum, as SDKs send it.
async fn complete_one(upload: &Upload<'_>, etag: &str, algorithm: Algorithm, value: &str) -> Answer {
    let element = format!("Checksum{}", algorithm.name());
    let document = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag><{element}>{value}</{element}></Part>\
         </CompleteMultipartUpload>"
    );
    let target = format!("{}?uploadId={}", upload.key, upload.id);
    upload
        .client
        .send(Method::POST, &target, headers(&[]), document.as_bytes())
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_one_part_has_its_checksum() {
    let world = World::start().await;
    for (algorithm, kind) in [
        (Algorithm::Crc64Nvme, "FULL_OBJECT"),
        (Algorithm::Crc32, "COMPOSITE"),
        (Algorithm::Sha256, "COMPOSITE"),
    ] {
        for len in [1000, MIB5, MIB5 + 70_000] {
            let key = format!("{}-{len}", algorithm.name());
            let (name, body) = (algorithm.header(), bytes(len, 5));
            let said = [
                ("x-amz-checksum-algorithm", algorithm.name()),
                ("x-amz-checksum-type", kind),
            ];
            let upload = Upload::begin_with(&world.acme, &key, &said).await;
            let own = Checksum::of(algorithm, &body);
            let target = format!("{key}?partNumber=1&uploadId={}", upload.id);
            let mut stated = headers(&[]);
            stated.insert(name.clone(), own.to_base64().parse().unwrap());
            let part = world.acme.send(Method::PUT, &target, stated, &body).await;
            assert_eq!(
                (part.status(), &part.headers[&name]),
                (200, &own.to_base64().parse().unwrap())
            );
            let etag = part.headers["etag"].to_str().unwrap();

            let done = complete_one(&upload, etag, algorithm, &own.to_base64()).await;
            assert_eq!(done.status(), 200, "{key}: {done:?}");
            let whole = match kind {
                "FULL_OBJECT" => own.to_base64(),
                _ => format!("{}-1", Checksum::of_values([&own]).unwrap().to_base64()),
            };
            assert_eq!(
                between(&done, &format!("Checksum{}", algorithm.name())),
                whole,
                "{key}: {done:?}"
            );
            assert_eq!(between(&done, "ChecksumType"), kind, "{key}");
            holds(&world, &key, &body).await;
            let told = headers(&[("x-amz-checksum-mode", "ENABLED")]);
            let told = world.acme.send(Method::HEAD, &key, told, b"").await;
            let told = told.headers.get(&name).map(|value| value.to_str().unwrap());
            // Under 5 MiB it is an object without a footer, whose metadata was fixed before its content was known.
            assert_eq!(told, (len >= MIB5).then_some(whole.as_str()), "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etag_that_the_store_leaves_out_is_asked_for() {
    let world = World::start().await;
    world.lie("acme", "silent", without_etag());
    let upload = Upload::begin(&world.acme, "silent").await;
    let part = upload.part(1, &bytes(MIB5, 1)).await;
    let done = upload.complete(&[part]).await;
    assert_eq!(done.status(), 200, "{done:?}");
    let now = world.acme.head("silent").await;
    assert_eq!(now.headers["etag"], between(&done, "ETag").as_str());
}
