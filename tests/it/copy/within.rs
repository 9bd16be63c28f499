//! Copies that the store makes: sealed bytes as they are, metadata stated anew.

use http::header::{ETAG, LAST_MODIFIED};
use http::{HeaderMap, Method};
use portcullis::upstream::{Dialect, Provider};

use crate::copy::{LEN, copied, copy, describes, element, headers, plain, put, put_report, refused, tags};
use crate::world::{ARCHIVE, SYSTEM_CONTAINER, World};

const ALIAS: &str = "x-amz-meta-portcullis-alias";
/// A store whose own copies have the tags that they should.
const KEEPS_TAGS: Dialect = Dialect {
    copies_tags: true,
    ..Dialect::of(Provider::Other)
};

#[tokio::test(flavor = "multi_thread")]
async fn the_store_copies_and_readers_take_it_under_its_new_name() {
    let world = World::before(KEEPS_TAGS).await;
    let (acme, archive) = (&world.acme, world.acme.at(ARCHIVE));
    let plain = plain(LEN);
    put_report(acme, &plain).await;
    copied(acme, "acme-files/report", "again", &[]).await;
    copied(
        &archive,
        "/acme-files/report",
        "a b/\u{fc}?"
            .to_owned()
            .replace(' ', "%20")
            .replace('\u{fc}', "%C3%BC")
            .replace('?', "%3F")
            .as_str(),
        &[],
    )
    .await;
    copied(acme, "acme-archive/a%20b%2F%C3%BC%3F", "third", &[]).await;
    let sealed = world.stored("acme", "report").await;
    for key in ["again", "third"] {
        assert!(acme.get(key).await.is(&plain), "{key}");
        assert!(
            acme.get_range(key, "65530-65545").await.is(&plain[65_530..65_546]),
            "{key}"
        );
        assert!(acme.get_range(key, "-7").await.is(&plain[LEN - 7..]), "{key}");
        assert_eq!(acme.head(key).await.headers["content-length"], LEN.to_string().as_str());
        assert_eq!(
            world.stored("acme", key).await.body,
            sealed.body,
            "{key}: the store's own copy"
        );
        describes(acme, key, "text/bla", Some("green")).await;
    }
    // A copy does not need what it was copied from.
    assert_eq!(
        acme.send(Method::DELETE, "report", HeaderMap::new(), b"")
            .await
            .status(),
        204
    );
    assert_eq!(
        archive
            .send(Method::DELETE, "a%20b/%C3%BC%3F", HeaderMap::new(), b"")
            .await
            .status(),
        204
    );
    assert!(acme.get("third").await.is(&plain));
    // Back where it was sealed it needs no alias.
    copied(acme, "acme-files/third", "report", &[]).await;
    assert!(acme.get("report").await.is(&plain));
    let of_store = world.store_client("acme-files");
    assert!(of_store.head("third").await.headers.contains_key(ALIAS));
    assert!(!of_store.head("report").await.headers.contains_key(ALIAS));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_object_and_one_with_padding_are_copied() {
    let world = World::start().await;
    for len in [0, 1, 65_536, 5 << 20] {
        let plain = plain(len);
        put(&world.acme, "from", &plain).await;
        copied(&world.acme, "acme-files/from", "to", &[]).await;
        assert!(world.acme.get("to").await.is(&plain), "{len}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_copied_onto_itself_only_where_that_changes_it() {
    let world = World::start().await;
    let (acme, plain) = (&world.acme, plain(LEN));
    put_report(acme, &plain).await;
    for nothing in [
        &[][..],
        &[("x-amz-metadata-directive", "COPY")],
        &[("x-amz-meta-colour", "red")],
    ] {
        refused(acme, "acme-files/report", "report", nothing, 400, "InvalidRequest").await;
    }
    describes(acme, "report", "text/bla", Some("green")).await;
    let replace = [
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-colour", "red"),
        ("content-type", "text/new"),
    ];
    copied(acme, "acme-files/report", "report", &replace).await;
    describes(acme, "report", "text/new", Some("red")).await;
    assert!(acme.get("report").await.is(&plain));
    copied(
        acme,
        "acme-files/report",
        "report",
        &[("x-amz-storage-class", "STANDARD")],
    )
    .await;
    describes(acme, "report", "text/new", Some("red")).await;
}

/// A store of which it isn't known is not trusted with it: radosgw 16 would drop them.
#[tokio::test(flavor = "multi_thread")]
async fn tags_are_not_left_to_a_store_that_may_lose_them() {
    for (dialect, by_the_store) in [(KEEPS_TAGS, true), (Dialect::default(), false)] {
        let world = World::before(dialect).await;
        let (acme, plain) = (&world.acme, plain(LEN));
        put_report(acme, &plain).await;
        acme.put("untagged", &plain).await;
        let replaced = [("x-amz-tagging-directive", "REPLACE"), ("x-amz-tagging", "other=1")];
        let none = [("x-amz-tagging-directive", "REPLACE")];
        for (from, said, has, stays) in [
            ("report", &[][..], &["empty", "kind"][..], by_the_store),
            ("report", &replaced, &["other"], by_the_store),
            ("report", &none, &[], true),
            ("untagged", &[], &[], true),
        ] {
            copied(acme, &format!("acme-files/{from}"), "copy", said).await;
            assert_eq!(tags(&world, "acme-files", "copy").await, has, "{from} {said:?}");
            assert!(acme.get("copy").await.is(&plain));
            let same = world.stored("acme", from).await.body == world.stored("acme", "copy").await.body;
            assert_eq!(same, stays, "{from} {said:?}: the store's own copy");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_tags_are_whose_the_directives_say() {
    let world = World::start().await;
    let (acme, plain) = (&world.acme, plain(LEN));
    put_report(acme, &plain).await;
    let theirs = [
        ("content-type", "text/ignored"),
        ("x-amz-meta-other", "x"),
        ("x-amz-tagging", "ignored=1"),
    ];
    copied(acme, "acme-files/report", "kept", &theirs).await;
    describes(acme, "kept", "text/bla", Some("green")).await;
    let head = acme.head("kept").await;
    assert_eq!(head.headers["cache-control"], "no-store");
    assert!(!head.headers.contains_key("x-amz-meta-other"));
    assert_eq!(tags(&world, "acme-files", "kept").await, ["empty", "kind"]);

    let replaced = [
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-colour", "blue"),
        ("x-amz-tagging-directive", "REPLACE"),
        ("x-amz-tagging", "other=1"),
    ];
    copied(acme, "acme-files/report", "replaced", &replaced).await;
    describes(acme, "replaced", "binary/octet-stream", Some("blue")).await;
    assert!(!acme.head("replaced").await.headers.contains_key("cache-control"));
    assert_eq!(tags(&world, "acme-files", "replaced").await, ["other"]);

    for (directive, value) in [
        ("x-amz-metadata-directive", "MOVE"),
        ("x-amz-tagging-directive", "MOVE"),
    ] {
        refused(
            acme,
            "acme-files/report",
            "no",
            &[(directive, value)],
            400,
            "InvalidArgument",
        )
        .await;
    }
    let reserved = [
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-portcullis-alias", "x"),
    ];
    refused(acme, "acme-files/report", "no", &reserved, 400, "InvalidArgument").await;
    let long = "x".repeat(1_700);
    let long = [
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-long", long.as_str()),
    ];
    refused(acme, "acme-files/report", "no", &long, 400, "MetadataTooLarge").await;
    assert_eq!(acme.head("no").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_on_what_the_client_has_seen() {
    let world = World::start().await;
    let (acme, plain) = (&world.acme, plain(10));
    acme.put("from", &plain).await;
    let head = acme.head("from").await;
    let text = |name: &str| head.headers[name].to_str().unwrap().to_owned();
    let (etag, modified) = (text(ETAG.as_str()), text(LAST_MODIFIED.as_str()));
    let long_ago = "Thu, 01 Jan 2015 00:00:00 GMT";
    for holds in [
        ("x-amz-copy-source-if-match", etag.as_str()),
        ("x-amz-copy-source-if-none-match", "\"other\""),
        ("x-amz-copy-source-if-modified-since", long_ago),
        ("x-amz-copy-source-if-unmodified-since", modified.as_str()),
    ] {
        copied(acme, "acme-files/from", "to", &[holds]).await;
    }
    for fails in [
        ("x-amz-copy-source-if-match", "ABCORZ"),
        ("x-amz-copy-source-if-none-match", etag.as_str()),
        ("x-amz-copy-source-if-modified-since", modified.as_str()),
        ("x-amz-copy-source-if-unmodified-since", long_ago),
    ] {
        refused(acme, "acme-files/from", "no", &[fails], 412, "PreconditionFailed").await;
    }
    // On the copy's own place: a copy under such a condition is a PUT, whose conditions the store is known to heed.
    refused(
        acme,
        "acme-files/from",
        "to",
        &[("if-none-match", "*")],
        412,
        "PreconditionFailed",
    )
    .await;
    copied(acme, "acme-files/from", "new", &[("if-none-match", "*")]).await;
    let new = acme.head("new").await.headers[ETAG].to_str().unwrap().to_owned();
    copied(acme, "acme-files/from", "new", &[("if-match", new.as_str())]).await;
    refused(
        acme,
        "acme-files/from",
        "new",
        &[("if-match", new.as_str())],
        412,
        "PreconditionFailed",
    )
    .await;
    assert!(acme.get("new").await.is(&plain));
    assert_eq!(acme.head("no").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_source_is_told_in_s3s_words() {
    let world = World::start().await;
    let acme = &world.acme;
    acme.put("from", b"x").await;
    for (source, status, code) in [
        ("acme-files", 400, "InvalidArgument"),
        ("/acme-files/", 400, "InvalidArgument"),
        ("acme-files/from?versionId=", 400, "InvalidArgument"),
        ("acme-files/nothing", 404, "NoSuchKey"),
        ("nothing/from", 404, "NoSuchBucket"),
        ("acme-files/../globex-files/from", 400, "InvalidURI"),
        ("globex-files/from", 403, "AccessDenied"),
        (
            "arn:aws:s3:us-east-1:123456789012:accesspoint/p/object/from",
            501,
            "NotImplemented",
        ),
        (&format!("{SYSTEM_CONTAINER}/keyring/x"), 404, "NoSuchBucket"),
    ] {
        refused(acme, source, "no", &[], status, code).await;
    }
    let sse = [("x-amz-server-side-encryption-customer-algorithm", "AES256")];
    assert_eq!(copy(acme, "acme-files/from", "no", &sse).await.status(), 501);
    assert_eq!(acme.head("no").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_come_along_and_the_store_never_sees_them() {
    let world = World::start().await;
    let acme = &world.acme;
    // CRC-32 of `123456789`: 0xCBF43926.
    let stated = headers(&[("x-amz-checksum-crc32", "y/Q5Jg==")]);
    let answer = acme.send(Method::PUT, "from", stated, b"123456789").await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let answer = copied(acme, "acme-files/from", "to", &[]).await;
    assert_eq!(element(&answer, "ChecksumCRC32"), "y/Q5Jg==");
    assert_eq!(element(&answer, "ChecksumType"), "FULL_OBJECT");
    let asked = headers(&[("x-amz-checksum-mode", "ENABLED")]);
    let got = acme.send(Method::GET, "to", asked, b"").await;
    assert_eq!(got.headers["x-amz-checksum-crc32"], "y/Q5Jg==");
    let stored = world.store_client("acme-files").head("to").await;
    assert!(!format!("{:?}", stored.headers).contains("y/Q5Jg"), "{stored:?}");
}
