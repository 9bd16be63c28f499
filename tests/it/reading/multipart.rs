//! Objects of many segments: the whole, ranges across parts, parts by number, and with how few questions.

use http::Method;
use portcullis::seal::{Checksum, ChecksumKind, Checksums, Dek};

use super::{FIRST, LAST, LEN, SECOND, Scene, header, range_header, refused};
use crate::world::multipart::MIB5;

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_and_every_kind_of_range_read_back() {
    let scene = Scene::set().await;
    assert!(scene.world.acme.get("file").await.is(&scene.plain));
    for forget in [true, false] {
        for (range, bytes) in [
            ("0-0", 0..1),
            ("0-99999", 0..100_000),
            ("0-", 0..LEN),
            ("65536-65540", 65_536..65_541),
            ("70000-200000", 70_000..200_001),
            (&format!("{}-{}", FIRST - 1, FIRST), FIRST - 1..FIRST + 1),
            (&format!("{FIRST}-{}", FIRST + 9), FIRST..FIRST + 10),
            (&format!("5-{}", LEN - 5), 5..LEN - 4),
            (
                &format!("{}-{}", FIRST + 70_000, FIRST + SECOND + 3),
                FIRST + 70_000..FIRST + SECOND + 4,
            ),
            (&format!("{}-", LEN - 1), LEN - 1..LEN),
            ("-1", LEN - 1..LEN),
            ("-100100", LEN - 100_100..LEN),
            (&format!("-{}", LEN + 5), 0..LEN),
            ("0-9223372036854775807", 0..LEN),
        ] {
            if forget {
                // Another ETag, so that what is remembered of it is of no use.
                let mut file = scene.file.clone();
                file.etag = format!("\"{:032x}\"", range.len() * 1000 + bytes.start % 1000);
                scene.world.claim("acme", "file", file);
            }
            // Of the long ones, one tells as much of what is remembered as all of them.
            if !forget && bytes.len() > MIB5 && bytes.start != 5 {
                continue;
            }
            let answer = scene.range(range).await;
            assert_eq!(answer.status(), 206, "{range}: {}", answer.code());
            assert!(answer.is(&scene.plain[bytes.clone()]), "{range}, cold: {forget}");
            let text = format!("bytes {}-{}/{LEN}", bytes.start, bytes.end - 1);
            assert_eq!(header(&answer, "content-range"), text);
        }
    }
    for range in [format!("{LEN}-"), "-0".to_owned(), format!("{}-{}", LEN + 9, LEN + 10)] {
        let answer = scene.range(&range).await;
        assert_eq!(refused(&answer), (416, "InvalidRange".to_owned()), "{range}");
        assert_eq!(header(&answer, "content-range"), format!("bytes */{LEN}"));
    }
    assert_eq!(scene.world.audit("acme", "object_tampered"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn few_questions_are_asked_and_fewer_once_the_footer_is_known() {
    let scene = Scene::set().await;
    let (answer, asked) = scene.questions(|| scene.world.acme.get("file")).await;
    assert!(answer.is(&scene.plain));
    assert_eq!(asked, 2, "the whole object, and its footer");
    let (answer, asked) = scene.questions(|| scene.world.acme.get("file")).await;
    assert!(answer.is(&scene.plain));
    assert_eq!(asked, 1, "the whole object");
    let (answer, asked) = scene.questions(|| scene.range("70000-70009")).await;
    assert!(answer.is(&scene.plain[70_000..70_010]));
    assert_eq!(asked, 2, "header and chunks, side by side");
    let second = format!("{FIRST}-{}", FIRST + 9);
    let (answer, asked) = scene.questions(|| scene.range(&second)).await;
    assert!(answer.is(&scene.plain[FIRST..FIRST + 10]));
    assert_eq!(asked, 1, "header and chunk lie together");
    let (answer, asked) = scene.questions(|| scene.range("-10")).await;
    assert!(answer.is(&scene.plain[LEN - 10..]));
    assert_eq!(asked, 2, "no need to ask where the end is");
    let (answer, asked) = scene.questions(|| scene.world.acme.get("file?partNumber=3")).await;
    assert!(answer.is(&scene.plain[FIRST..FIRST + SECOND]));
    assert_eq!(asked, 1, "a part, whose header comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_mark_the_header_decides() {
    let scene = Scene::set().await;
    let ranges = [("0-9", 0..10), ("70000-70009", 70_000..70_010), ("-10", LEN - 10..LEN)];
    for (number, (range, bytes)) in ranges.into_iter().enumerate() {
        let mut file = scene.file.stripped();
        file.etag = format!("\"{number:032x}\"");
        scene.world.claim("acme", "file", file);
        assert!(scene.range(range).await.is(&scene.plain[bytes]), "{range}");
    }
    let mut file = scene.file.stripped();
    file.etag = format!("\"{:032x}\"", 99);
    scene.world.claim("acme", "file", file);
    assert!(
        scene
            .world
            .acme
            .get("file?partNumber=7")
            .await
            .is(&scene.plain[LEN - LAST..])
    );
    let mut file = scene.file.stripped();
    file.etag = format!("\"{:032x}\"", 100);
    scene.world.claim("acme", "file", file);
    assert!(scene.world.acme.get("file").await.is(&scene.plain));
    assert_eq!(scene.world.audit("acme", "object_tampered"), []);
    // And one with the mark that is whole: an upload's only part, shorter than 5 MiB.
    let whole = scene
        .theft
        .whole("small", b"words")
        .with_core(None)
        .with_own("multipart", 1);
    scene.world.claim("acme", "small", whole);
    assert!(scene.world.acme.get("small").await.is(b"words"));
    assert!(scene.world.acme.get_range("small", "1-2").await.is(b"or"));
    assert_eq!(header(&scene.world.acme.head("small").await, "content-length"), "5");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_read_by_their_number() {
    let scene = Scene::set().await;
    for (number, bytes) in [(7, LEN - LAST..LEN), (1, 0..FIRST), (3, FIRST..FIRST + SECOND)] {
        let key = format!("file?partNumber={number}");
        let content_range = format!("bytes {}-{}/{LEN}", bytes.start, bytes.end - 1);
        for method in [Method::HEAD, Method::GET] {
            let answer = scene.with(method.clone(), &key, &[]).await;
            assert_eq!(answer.status(), 206, "{number}");
            assert_eq!(header(&answer, "content-range"), content_range);
            assert_eq!(header(&answer, "content-length"), bytes.len().to_string());
            assert_eq!(header(&answer, "x-amz-mp-parts-count"), "3");
            if method == Method::GET {
                assert!(answer.is(&scene.plain[bytes.clone()]));
            }
        }
    }
    for method in [Method::GET, Method::HEAD] {
        let answer = scene.with(method, "file?partNumber=2", &[]).await;
        assert_eq!(answer.status(), 416);
    }
    let answer = scene.world.acme.get("file?partNumber=8").await;
    assert_eq!(refused(&answer), (416, "InvalidPartNumber".to_owned()));
    for number in ["0", "10001", "-1", "x", ""] {
        let answer = scene.world.acme.get(&format!("file?partNumber={number}")).await;
        assert_eq!(refused(&answer), (400, "InvalidArgument".to_owned()), "{number}");
    }
    let answer = scene
        .world
        .acme
        .send(Method::GET, "file?partNumber=1", range_header("0-9"), b"")
        .await;
    assert_eq!(refused(&answer), (400, "InvalidRequest".to_owned()));
    // An object of one piece is its own first part, and says nothing of parts.
    scene.world.acme.put("one", b"words").await;
    for method in [Method::GET, Method::HEAD] {
        let answer = scene.with(method, "one?partNumber=1", &[]).await;
        assert_eq!(
            (answer.status(), header(&answer, "content-length").as_str()),
            (206, "5")
        );
        assert_eq!(header(&answer, "content-range"), "bytes 0-4/5");
        assert_eq!(header(&answer, "x-amz-mp-parts-count"), "");
    }
    let answer = scene.world.acme.get("one?partNumber=2").await;
    assert_eq!(refused(&answer), (416, "InvalidPartNumber".to_owned()));
    scene.world.claim("acme", "none", scene.theft.whole("none", b""));
    let answer = scene.world.acme.get("none?partNumber=1").await;
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_opens_under_its_own_dek() {
    let scene = Scene::set().await;
    let theft = &scene.theft;
    let dek = Dek::generate().unwrap();
    let vault = scene.world.vault("acme");
    let session = vault.session().await.unwrap();
    let version = theft.envelope.version();
    let wrapped = vault.wrap(&session, version, dek.expose()).await.unwrap();
    let envelope = theft.vouched(&dek, theft.envelope.cmk(), version, &wrapped.bytes);
    let (first, rest) = scene.plain.split_at(FIRST);
    let (second, last) = rest.split_at(SECOND);
    let parts = [
        theft.part("file", "u", 1, first),
        theft.part_under(&dek, &envelope, "file", "u", 2, second),
        theft.part("file", "u", 3, last),
    ];
    let object = theft.tied("file", "u", &parts, &Checksums::default());
    scene.world.claim("acme", "file", object);
    let before = scene.world.unwraps("acme");
    assert!(scene.world.acme.get("file").await.is(&scene.plain));
    let range = format!("{}-{}", FIRST + 70_000, FIRST + 70_009);
    assert!(
        scene
            .range(&range)
            .await
            .is(&scene.plain[FIRST + 70_000..FIRST + 70_010])
    );
    assert_eq!(scene.world.unwraps("acme"), before + 1, "one call for the other DEK");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_part_without_a_byte_is_a_part_too() {
    let scene = Scene::set().await;
    let five = &scene.plain[..MIB5];
    let object = scene.theft.multipart("file", "u", &[(1, five), (2, b"")]);
    scene.world.claim("acme", "file", object.clone());
    assert!(scene.world.acme.get("file").await.is(five));
    assert!(scene.range("-5").await.is(&five[MIB5 - 5..]));
    let answer = scene.world.acme.get("file?partNumber=2").await;
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    assert_eq!(header(&answer, "x-amz-mp-parts-count"), "2");
    // The last byte waits for it.
    let at = object.own_core();
    assert_eq!(at.segments(), 2);
    let chunk = MIB5 + 704 + 16 * MIB5.div_ceil(65_536) + 704;
    scene.world.claim("acme", "file", object.flipped(chunk + 3, 0));
    let answer = scene.world.acme.get("file").await;
    assert!(!answer.whole && answer.body.len() < MIB5);
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_come_with_the_whole_and_only_when_asked_for() {
    let scene = Scene::set().await;
    let (first, rest) = scene.plain.split_at(FIRST);
    let parts = [
        scene.theft.part("file", "u", 1, first),
        scene.theft.part("file", "u", 2, rest),
    ];
    let mut checksums = Checksums::default();
    let value = [1, 2, 3, 4];
    let composite = Checksum {
        kind: ChecksumKind::Crc32,
        parts: Some(2),
        value: &value,
    };
    checksums.add(composite).unwrap();
    let object = scene.theft.tied("file", "u", &parts, &checksums);
    scene.world.claim("acme", "file", object);
    const ENABLED: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");
    for method in [Method::GET, Method::HEAD] {
        let answer = scene.with(method.clone(), "file", &[ENABLED]).await;
        assert_eq!(header(&answer, "x-amz-checksum-crc32"), "AQIDBA==-2", "{method}");
        assert_eq!(header(&answer, "x-amz-checksum-type"), "COMPOSITE");
        for (key, headers) in [
            ("file", &[][..]),
            ("file", &[ENABLED, ("range", "bytes=0-9")]),
            ("file?partNumber=1", &[ENABLED]),
        ] {
            let answer = scene.with(method.clone(), key, headers).await;
            assert!((200..300).contains(&answer.status()), "{key}");
            assert_eq!(header(&answer, "x-amz-checksum-crc32"), "", "{method} {key}");
        }
    }
}
