//! What HEAD claims, what a whole object's sealed checksums say, and what errors say of an object.

use http::header::LAST_MODIFIED;
use http::{HeaderName, Method, StatusCode};
use portcullis::seal::{Checksum, ChecksumKind, Checksums, open_segment};

use super::{LEN, Scene, header, refused};
use crate::world::adversary::{Lie, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn head_claims_no_object_that_its_metadata_or_first_bytes_show_to_be_none() {
    let scene = Scene::set().await;
    let (theft, world) = (&scene.theft, &scene.world);
    assert_eq!(
        header(&world.acme.head("file").await, "content-length"),
        LEN.to_string()
    );
    let whole = theft.whole("object", &scene.plain[..200_000]);
    world.claim("acme", "object", whole.clone());
    assert_eq!(header(&world.acme.head("object").await, "content-length"), "200000");
    // Without any metadata of the gate's: its own first bytes say so.
    for object in [whole.stripped(), scene.theft.whole("object", b"")] {
        world.claim("acme", "object", object);
        assert_eq!(world.acme.head("object").await.status(), 200);
    }
    world.claim(
        "acme",
        "object",
        scene
            .theft
            .multipart("object", "u", &[(1, &scene.plain[..LEN])])
            .stripped(),
    );
    assert_eq!(
        header(&world.acme.head("object").await, "content-length"),
        LEN.to_string()
    );
    assert_eq!(world.audit("acme", "object_tampered"), []);

    let shorter = theft.whole("object", &scene.plain[..199_999]);
    let elsewhere = theft.whole("elsewhere", &scene.plain[..200_000]);
    for (what, object) in [
        (
            "text, as long as a sealed object",
            whole.stripped().with_body(vec![b'x'; 721]),
        ),
        ("of no sealed object's size", whole.with_body(vec![b'x'; 719])),
        ("the core of a shorter object", whole.with_core(shorter.core.clone())),
        (
            "a shorter object's header",
            whole
                .stripped()
                .with_body([&shorter.body[..704], &whole.body[704..]].concat()),
        ),
        ("another object", elsewhere),
    ] {
        world.claim("acme", "object", object);
        assert_eq!(world.acme.head("object").await.status(), 403, "{what}");
    }
    assert_eq!(world.audit("acme", "object_tampered").len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_objects_sealed_checksums_come_back() {
    let scene = Scene::set().await;
    let (theft, world) = (&scene.theft, &scene.world);
    let whole = theft.whole("object", b"words");
    let other = theft.whole("object", b"words");
    let sealed = |object: &crate::world::object::Object| {
        let mut checksums = Checksums::default();
        let sha256 = Checksum {
            kind: ChecksumKind::Sha256,
            parts: None,
            value: &[7; 32],
        };
        checksums.add(sha256).unwrap();
        let opener = open_segment(&theft.dek, &theft.tenant, &object.own_core()).unwrap();
        opener.metadata_key().seal_checksums(&checksums).unwrap()
    };
    const ENABLED: [(&str, &str); 1] = [("x-amz-checksum-mode", "ENABLED")];
    world.claim("acme", "object", whole.clone().with_own("checksums", sealed(&whole)));
    for method in [Method::GET, Method::HEAD] {
        let answer = scene.with(method.clone(), "object", &ENABLED).await;
        assert_eq!(
            header(&answer, "x-amz-checksum-sha256"),
            "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            "{method}"
        );
        assert_eq!(header(&answer, "x-amz-checksum-type"), "FULL_OBJECT");
        let answer = scene.with(method, "object", &[]).await;
        assert_eq!(header(&answer, "x-amz-checksum-sha256"), "");
    }
    // Another object's, even of the same words, are not this one's.
    world.claim("acme", "object", whole.clone().with_own("checksums", sealed(&other)));
    let answer = scene.with(Method::GET, "object", &ENABLED).await;
    assert_eq!(refused(&answer), (403, "ObjectTampered".to_owned()));
    assert!(
        world.acme.get("object").await.is(b"words"),
        "who does not ask is not told"
    );
    world.claim("acme", "object", whole);
    assert!(scene.with(Method::GET, "object", &ENABLED).await.is(b"words"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_the_store_says_of_the_object() {
    let scene = Scene::set().await;
    for (status, code) in [(404, "NoSuchKey"), (405, "MethodNotAllowed")] {
        let lie = move |_: &_| {
            let body = format!("<Error><Code>{code}</Code></Error>");
            Reply::new(StatusCode::from_u16(status).unwrap(), body)
                .with(HeaderName::from_static("x-amz-delete-marker"), "true")
                .with(HeaderName::from_static("x-amz-version-id"), "v1")
                .with(HeaderName::from_static("x-amz-id-2"), "whose")
                .with(LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT")
        };
        scene.world.lie("acme", "file", Lie::instead(lie));
        for (method, key) in [
            (Method::GET, "file"),
            (Method::HEAD, "file"),
            (Method::GET, "file?versionId=v1"),
            (Method::GET, "file?partNumber=1"),
        ] {
            let answer = scene.with(method, key, &[]).await;
            assert_eq!(answer.status(), status, "{key}");
            assert_eq!(header(&answer, "x-amz-delete-marker"), "true");
            assert_eq!(header(&answer, "x-amz-version-id"), "v1");
            assert_ne!(header(&answer, "last-modified"), "");
            assert_eq!(header(&answer, "x-amz-id-2"), "");
        }
    }
}
