//! What the store says around the bytes: statuses, lengths, ranges, ETags, listings.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use http::{HeaderName, StatusCode};

use super::{LEN, Scene};
use crate::world::adversary::{Asked, End, Lie, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_a_range_is_not_believed() {
    let scene = Scene::set().await;
    scene.world.lie("acme", "victim", Lie::deaf(RANGE));
    for range in ["0-9", "70000-70009", "-10", "70000-"] {
        let answer = scene.world.acme.get_range("victim", range).await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (503, "ServiceUnavailable"),
            "{range}"
        );
    }
    assert!(scene.world.acme.get("victim").await.is(&scene.plain));
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_the_range_asked_for_are_refused() {
    let scene = Scene::set().await;
    let full = scene.victim.body.len();
    for total in [full - 1, full + 1, full + 65_552, 720] {
        let before = scene.tampered();
        let victim = scene.victim.clone();
        let lie = move |asked: &Asked| {
            let reply = victim.answer(asked);
            let text = reply.headers[CONTENT_RANGE].to_str().unwrap();
            let (range, _) = text.split_once('/').unwrap();
            let text = format!("{range}/{total}");
            reply.with(CONTENT_RANGE, &text)
        };
        scene.world.lie("acme", "victim", Lie::instead(lie));
        for range in ["0-9", "70000-70009"] {
            let answer = scene.world.acme.get_range("victim", range).await;
            // 416: past the end of what the store says there is.
            assert!(
                [403, 416].contains(&answer.status()),
                "{total}, {range}: {}",
                answer.status()
            );
        }
        assert!(scene.tampered() > before || total == 720, "{total}");
    }
    // The right words about other bytes.
    for shift in [1, 65_552] {
        let victim = scene.victim.clone();
        let lie = move |asked: &Asked| {
            let honest = victim.answer(asked);
            let mut moved = asked.clone();
            let text = asked.headers[RANGE].to_str().unwrap();
            let (first, last) = text.trim_start_matches("bytes=").split_once('-').unwrap();
            let number = |text: &str| text.parse::<usize>().unwrap() + shift;
            let text = format!("bytes={}-{}", number(first), number(last));
            moved.headers.insert(RANGE, text.try_into().unwrap());
            Reply {
                body: victim.answer(&moved).body,
                ..honest
            }
        };
        scene.world.lie("acme", "victim", Lie::instead(lie));
        for range in ["0-9", "70000-70009"] {
            let answer = scene.world.acme.get_range("victim", range).await;
            scene.is_refusal(&format!("{shift} off, {range}"), &answer, 0);
        }
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_not_the_bodys_is_noticed() {
    let scene = Scene::set().await;
    let full = scene.victim.body.len();
    for (announced, statuses) in [
        (full - 1, [403, 403]),
        (full + 1, [403, 503]),
        (720, [403, 403]),
        (5, [403, 403]),
    ] {
        let victim = scene.victim.clone();
        let lie = move |asked: &Asked| Reply {
            end: End::Broken,
            ..victim.answer(asked).with(CONTENT_LENGTH, &announced.to_string())
        };
        scene.world.lie("acme", "victim", Lie::instead(lie));
        let answer = scene.world.acme.get("victim").await;
        assert!(statuses.contains(&answer.status()), "{announced}: {}", answer.status());
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_status_makes_bytes_pass_unopened() {
    let scene = Scene::set().await;
    for status in [
        201, 203, 206, 299, 301, 302, 307, 400, 403, 404, 410, 412, 500, 503, 511,
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let secret = "bytes of the store's own choice, 0123456789".repeat(20);
        let lie = move |_: &Asked| Reply::new(status, secret.clone());
        scene.world.lie("acme", "victim", Lie::instead(lie));
        for answer in [
            scene.world.acme.get("victim").await,
            scene.world.acme.get_range("victim", "0-9").await,
            scene.world.acme.get_range("victim", "70000-70009").await,
        ] {
            assert!(answer.status() >= 400, "{status} came back as {}", answer.status());
            let body = String::from_utf8_lossy(&answer.body);
            assert!(!body.contains("bytes of the store's own choice"), "{status}: {body}");
        }
    }
    scene.is_undisturbed(1).await;
}

/// The store's ETag is its own word, shown with the mark that keeps clients from taking it for the content's MD5.
#[tokio::test(flavor = "multi_thread")]
async fn an_etag_is_only_a_name() {
    let scene = Scene::set().await;
    let md5_of_other = "\"900150983cd24fb0d6963f7d28e17f72\"";
    scene.world.lie(
        "acme",
        "victim",
        Lie::twist(move |_, reply| reply.with(ETAG, md5_of_other)),
    );
    let answer = scene.world.acme.get("victim").await;
    assert!(answer.is(&scene.plain));
    assert_eq!(answer.headers[ETAG], "\"900150983cd24fb0d6963f7d28e17f72-0\"");
    let checksum = HeaderName::from_static("x-amz-checksum-crc32");
    let lie = move |_: &Asked, reply: Reply| reply.with(HeaderName::from_static("x-amz-checksum-crc32"), "AAAAAA==");
    scene.world.lie("acme", "victim", Lie::twist(lie));
    assert!(
        !scene.world.acme.get("victim").await.headers.contains_key(checksum),
        "a checksum of sealed bytes"
    );
    scene.is_undisturbed(1).await;
}

/// Names, sizes and order of a listing are the store's word: a lie there misleads, but releases and opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_the_stores_word_and_never_more() {
    let scene = Scene::set().await;
    let list = || scene.world.acme.get("?list-type=2");
    let entry = |key: &str, size: &str| format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>");
    let page = |entries: &str| format!("<ListBucketResult><Name>acme-files</Name>{entries}</ListBucketResult>");
    let honest = list().await;
    let text = String::from_utf8_lossy(&honest.body).into_owned();
    assert!(text.contains(&format!("<Size>{LEN}</Size>")), "{text}");

    let lied =
        page(&(entry("victim", "720") + &entry("a", "7") + &entry("b", "-1") + &entry("c", "99999999999999999999")));
    scene.world.lie(
        "acme",
        "",
        Lie::instead(move |_| Reply::new(StatusCode::OK, lied.clone())),
    );
    let text = String::from_utf8_lossy(&list().await.body).into_owned();
    for size in [
        "<Size>0</Size>",
        "<Size>7</Size>",
        "<Size>-1</Size>",
        "<Size>99999999999999999999</Size>",
    ] {
        assert!(
            text.contains(size),
            "a size that no sealed object has stays as it is: {text}"
        );
    }
    assert!(
        scene.world.acme.get("victim").await.is(&scene.plain),
        "whatever the listing says"
    );

    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>".to_owned() + &page("&b;");
    let endless = page(&entry("k", "720").repeat(400_000));
    let unclosed = "<ListBucketResult><Contents></ListBucketResult>".to_owned();
    for (what, page) in [("unclosed", unclosed), ("over 16 MiB", endless)] {
        scene.world.lie(
            "acme",
            "",
            Lie::instead(move |_| Reply::new(StatusCode::OK, page.clone())),
        );
        assert_eq!(list().await.status(), 503, "{what}");
    }
    scene.world.lie(
        "acme",
        "",
        Lie::instead(move |_| Reply::new(StatusCode::OK, bomb.clone())),
    );
    assert!(list().await.body.len() < 1000, "entities are not expanded");
    scene.is_undisturbed(1).await;
}
