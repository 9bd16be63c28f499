//! Checksums of what is written: verified, answered, and kept sealed where they are known in time.

use http::Method;
use portcullis::body::checksum::{Algorithm, Checksum};
use portcullis::seal::{Core, open_segment};
use portcullis::upstream::sigv4::PayloadHash;

use super::{headers, plain};
use crate::world::World;
use crate::world::client::Answer;
use crate::world::theft::Theft;

const KEPT: &str = "x-amz-meta-portcullis-checksums";
const MIB: usize = 1 << 20;

/// What lies with an object, opened by somebody who has the DEK.
async fn kept(world: &World, theft: &Theft, key: &str) -> Option<Checksum> {
    let stored = world.store_client("acme-files").get(key).await;
    assert_eq!(stored.status(), 200, "{key}");
    let text = stored.headers.get(KEPT)?.to_str().unwrap().to_owned();
    let core = Core::parse(&stored.body[..136]).unwrap();
    let opener = open_segment(&theft.dek, &theft.tenant, &core).unwrap();
    let checksums = opener.metadata_key().open_checksums(&text).unwrap();
    let all: Vec<_> = checksums.iter().collect();
    assert_eq!(all.len(), 1, "{key}");
    assert_eq!(all[0].parts, None);
    Checksum::new(Algorithm::of_kind(all[0].kind).unwrap(), all[0].value)
}

/// A PUT with an unsigned aws-chunked body of one frame and this trailer behind it.
async fn put_with_trailer(world: &World, key: &str, body: &[u8], announced: &str, trailer: &str) -> Answer {
    let asking = headers(&[
        ("content-encoding", "aws-chunked"),
        ("x-amz-trailer", announced),
        ("x-amz-decoded-content-length", &body.len().to_string()),
    ]);
    let open = format!("{:x}\r\n", body.len());
    let mut framed = [open.as_bytes(), body, b"\r\n"].concat();
    if body.is_empty() {
        framed.clear();
    }
    framed.extend_from_slice(format!("0\r\n{trailer}\r\n\r\n").as_bytes());
    world
        .acme
        .send_as(Method::PUT, key, asking, &framed, PayloadHash::UnsignedTrailer)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_states_in_a_header_is_kept_at_every_length() {
    let world = World::start().await;
    world.acme.put("first", b"x").await;
    let theft = Theft::from(&world, "acme").await;
    for algorithm in Algorithm::ALL {
        let body = plain(1000);
        let checksum = Checksum::of(algorithm, &body);
        let (name, value) = (algorithm.header(), checksum.to_base64());
        let asking = headers(&[
            (name.as_str(), &value),
            ("x-amz-sdk-checksum-algorithm", algorithm.name()),
        ]);
        let answer = world.acme.send(Method::PUT, algorithm.name(), asking, &body).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.headers[&name], value);
        assert_eq!(answer.headers["x-amz-checksum-type"], "FULL_OBJECT");
        assert_eq!(kept(&world, &theft, algorithm.name()).await, Some(checksum));
    }
    let body = plain(3 * MIB);
    let checksum = Checksum::of(Algorithm::Sha512, &body);
    let asking = headers(&[("x-amz-checksum-sha512", &checksum.to_base64())]);
    let answer = world.acme.send(Method::PUT, "large", asking, &body).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(kept(&world, &theft, "large").await, Some(checksum));
    assert!(world.acme.get("large").await.is(&body));
    // The client never sees how it is kept.
    assert!(!world.acme.head("large").await.headers.contains_key(KEPT));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_have_a_checksum_whether_or_not_one_was_sent() {
    let world = World::start().await;
    world.acme.put("first", b"x").await;
    let theft = Theft::from(&world, "acme").await;
    for len in [0, 1, 65_536, 65_537, MIB] {
        let body = plain(len);
        let crc = Checksum::of(Algorithm::Crc64Nvme, &body);
        let answer = world.acme.send(Method::PUT, "none", headers(&[]), &body).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.headers["x-amz-checksum-crc64nvme"], crc.to_base64(), "{len}");
        assert_eq!(kept(&world, &theft, "none").await, Some(crc), "{len}");
        assert!(world.acme.get("none").await.is(&body), "{len}");

        let sha = Checksum::of(Algorithm::Sha256, &body);
        let trailer = format!("x-amz-checksum-sha256:{}", sha.to_base64());
        let answer = put_with_trailer(&world, "trailed", &body, "x-amz-checksum-sha256", &trailer).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.headers["x-amz-checksum-sha256"], sha.to_base64(), "{len}");
        assert_eq!(kept(&world, &theft, "trailed").await, Some(sha), "{len}");
        assert!(world.acme.get("trailed").await.is(&body), "{len}");
    }
    // A byte more: what comes behind the body is verified and answered, and comes too late to be kept.
    let body = plain(MIB + 1);
    let crc = Checksum::of(Algorithm::Crc32c, &body).to_base64();
    let trailer = format!("x-amz-checksum-crc32c:{crc}");
    let answer = put_with_trailer(&world, "larger", &body, "x-amz-checksum-crc32c", &trailer).await;
    assert_eq!(answer.headers["x-amz-checksum-crc32c"], crc, "{answer:?}");
    assert_eq!(kept(&world, &theft, "larger").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hold_stores_nothing() {
    let world = World::start().await;
    let wrong = Checksum::of(Algorithm::Crc32, b"another body").to_base64();
    for len in [10, 2 * MIB] {
        let body = plain(len);
        let md5 = Checksum::of(Algorithm::Md5, b"another body").to_base64();
        let crc32c = Checksum::of(Algorithm::Crc32c, &body).to_base64();
        for (asking, code) in [
            (headers(&[("x-amz-checksum-crc32", &wrong)]), "BadDigest"),
            (headers(&[("content-md5", &md5)]), "BadDigest"),
            (headers(&[("content-md5", "bm8=")]), "InvalidDigest"),
            (headers(&[("x-amz-checksum-crc128", "AAAA")]), "InvalidRequest"),
            (headers(&[("x-amz-checksum-crc32", "bm8=")]), "InvalidRequest"),
            (
                headers(&[("x-amz-checksum-crc32", &wrong), ("x-amz-checksum-crc32c", &crc32c)]),
                "InvalidRequest",
            ),
            (
                headers(&[
                    ("x-amz-checksum-crc32c", &crc32c),
                    ("x-amz-sdk-checksum-algorithm", "SHA1"),
                ]),
                "InvalidRequest",
            ),
        ] {
            let answer = world.acme.send(Method::PUT, "wrong", asking.clone(), &body).await;
            assert_eq!((answer.status(), answer.code().as_str()), (400, code), "{asking:?}");
        }
        let trailer = format!("x-amz-checksum-crc32:{wrong}");
        let answer = put_with_trailer(&world, "wrong", &body, "x-amz-checksum-crc32", &trailer).await;
        assert_eq!((answer.status(), answer.code().as_str()), (400, "BadDigest"));
        let other = PayloadHash::of(b"another body");
        let answer = world
            .acme
            .send_as(Method::PUT, "wrong", headers(&[]), &body, other)
            .await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (400, "XAmzContentSHA256Mismatch")
        );
    }
    assert_eq!(world.store_client("acme-files").get("wrong").await.status(), 404);
}
