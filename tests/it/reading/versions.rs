//! Versions, before a store that has them: which one is meant goes along with every question, also with those that follow the first, and
//! which one it was comes out again. All versions have one ETag here, so that no pin saves a question that forgot its version.

use std::sync::{Arc, Mutex};

use http::header::CONTENT_TYPE;
use http::{HeaderName, Method, StatusCode};

use super::{LEN, Scene, header, refused};
use crate::world::adversary::{Asked, Lie, Reply};
use crate::world::bucket;

const VERSION: &str = "x-amz-version-id";
const SOURCE: &str = "x-amz-copy-source";

#[tokio::test(flavor = "multi_thread")]
async fn the_version_goes_along_with_every_question_and_comes_out() {
    let scene = Scene::set().await;
    let (world, plain) = (&scene.world, &scene.plain);
    let newest = scene.theft.whole("file", b"the newest");
    // Cold: its header has to be asked for.
    let (parts, whole) = (
        scene.file.clone(),
        scene.theft.whole("file", &plain[..200_000]).with_core(None),
    );
    let asked = Arc::new(Mutex::new(Vec::<Asked>::new()));
    let seen = Arc::clone(&asked);
    let store = Lie::instead(move |asked| {
        seen.lock().unwrap().push(asked.clone());
        let named = asked.query.split('&').find_map(|pair| pair.strip_prefix("versionId="));
        let version = HeaderName::from_static(VERSION);
        match (&asked.method, named) {
            (&Method::DELETE, _) => Reply::new(StatusCode::NO_CONTENT, "").with(version, named.unwrap_or("marker")),
            (_, Some("parts")) => parts.answer(asked).with(version, "parts"),
            (_, Some("whole")) => whole.answer(asked).with(version, "whole"),
            (_, None) => newest.answer(asked).with(version, "newest"),
            (..) => Reply::new(StatusCode::NOT_FOUND, "<Error><Code>NoSuchVersion</Code></Error>"),
        }
    });
    world.lie("acme", "file", store);
    let copies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&copies);
    let done =
        "<CopyObjectResult><ETag>\"0\"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></CopyObjectResult>";
    let copying = Lie::instead(move |asked| {
        seen.lock().unwrap().push(asked.headers.get(SOURCE).cloned());
        Reply::new(StatusCode::OK, done).with(HeaderName::from_static(VERSION), "made")
    });
    world.lie("acme", "copy", copying);

    for (version, len) in [("parts", LEN), ("whole", 200_000)] {
        let target = format!("file?versionId={version}");
        let got = world.acme.get(&target).await;
        assert!(got.is(&plain[..len]), "{version}: {}", got.status());
        let range = world.acme.get_range(&target, "70000-70009").await;
        assert!(range.is(&plain[70_000..70_010]), "{version}: {range:?}");
        let end = world.acme.get_range(&target, "-9").await;
        assert!(end.is(&plain[len - 9..len]), "{version}: {end:?}");
        let head = world.acme.head(&target).await;
        assert_eq!(header(&head, "content-length"), len.to_string(), "{version}");
        let from = format!("acme-files/{target}");
        let copied = scene.with(Method::PUT, "copy", &[(SOURCE, &from)]).await;
        assert_eq!(
            (copied.status(), header(&copied, VERSION)),
            (200, "made".to_owned()),
            "{copied:?}"
        );
        assert_eq!(header(&copied, "x-amz-copy-source-version-id"), version);
        let told = copies.lock().unwrap().pop().flatten().unwrap();
        assert_eq!(told.to_str().unwrap().trim_start_matches('/'), from);
        let gone = scene.with(Method::DELETE, &target, &[]).await;
        assert_eq!(gone.status(), 204, "{gone:?}");
        for answer in [got, range, end, head, gone] {
            assert_eq!(header(&answer, VERSION), version);
        }
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        // The header, the footer and the copy's look at its source are questions of their own.
        assert!(asked.len() > 6, "{asked:?}");
        for one in asked {
            assert_eq!(one.query, format!("versionId={version}"), "{one:?}");
        }
    }
    let absent = world.acme.get("file?versionId=none").await;
    assert_eq!(refused(&absent), (404, "NoSuchVersion".to_owned()));
    let newest = world.acme.get("file").await;
    assert!(newest.is(b"the newest"), "{newest:?}");
    assert_eq!(header(&newest, VERSION), "newest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_versions_has_plain_sizes_and_keeps_its_delete_markers() {
    let scene = Scene::set().await;
    let marker = "<DeleteMarker><Key>k</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest></DeleteMarker>";
    let page = |sizes: [usize; 2]| {
        let version = |(number, size)| {
            format!("<Version><Key>k</Key><VersionId>v{number}</VersionId><Size>{size}</Size></Version>")
        };
        let versions: String = (1..).zip(sizes).map(version).collect();
        format!("<ListVersionsResult><Name>acme-files</Name>{marker}{versions}</ListVersionsResult>")
    };
    let whole = scene.theft.whole("k", b"eleven byte");
    let stored = page([whole.body.len(), scene.file.body.len()]);
    let listing =
        Lie::instead(move |_| Reply::new(StatusCode::OK, stored.clone()).with(CONTENT_TYPE, "application/xml"));
    scene.world.adversary.lie(&bucket("acme"), "", listing);
    let listed = scene.world.acme.get("?versions").await;
    assert_eq!(listed.status(), 200, "{listed:?}");
    assert_eq!(String::from_utf8_lossy(&listed.body), page([11, LEN]));
}
