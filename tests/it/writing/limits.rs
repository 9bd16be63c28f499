//! Limits at the exact byte, races for one name, and clients that go: what is too much is refused, what is stored is whole.

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue, Method};
use portcullis::seal::{PlainLen, SealedLen};
use portcullis::upstream::{Dialect, Provider};

use super::{headers, plain};
use crate::multipart::{Upload, all};
use crate::world::{SYSTEM_CONTAINER, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_put_and_a_part_may_be_as_long_as_the_store_takes() {
    let most = 6 << 20;
    let dialect = Dialect {
        largest_put: most,
        ..Dialect::of(Provider::Other)
    };
    let world = World::before(dialect).await;
    let last_that_fits = |fits: &dyn Fn(u64) -> bool| (0..most).rev().find(|len| fits(*len)).unwrap();

    let put = last_that_fits(&|len| PlainLen(len).sealed().is_some_and(|stored| stored.0 <= most));
    for (len, pieces) in [(put, false), (put + 1, true)] {
        let (key, body) = (format!("put-{len}"), plain(usize::try_from(len).unwrap()));
        world.acme.put(&key, &body).await;
        assert!(world.acme.get(&key).await.is(&body), "{len}");
        let stored = world.stored("acme", &key).await;
        let law = PlainLen(len).sealed().unwrap();
        assert_eq!((SealedLen(stored.body.len() as u64), law.0 > most), (law, pieces));
    }

    let part = SealedLen(most).largest_segment().0;
    let upload = Upload::begin(&world.acme, "parts").await;
    let body = plain(usize::try_from(part).unwrap() + 1);
    let refused = upload.try_part(1, &body).await;
    assert_eq!((refused.status(), refused.code().as_str()), (400, "EntityTooLarge"));
    assert!(
        String::from_utf8_lossy(&refused.body).contains(&part.to_string()),
        "it names the limit"
    );
    let body = &body[..body.len() - 1];
    let sent = [upload.part(1, body).await];
    assert_eq!(upload.complete(&sent).await.status(), 200);
    assert!(world.acme.get("parts").await.is(body));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_kept_to_its_last_byte_and_no_further() {
    let world = World::start().await;
    for (len, status) in [(1618 - 1, 200), (1618, 400)] {
        let value = "v".repeat(len);
        let said = headers(&[("x-amz-meta-n", value.as_str())]);
        let answer = world.acme.send(Method::PUT, "k", said, b"x").await;
        assert_eq!(answer.status(), status, "{len}: {answer:?}");
        if status == 200 {
            assert_eq!(world.acme.head("k").await.headers["x-amz-meta-n"], value.as_str());
        } else {
            assert_eq!(answer.code(), "MetadataTooLarge");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_may_only_create_one_does() {
    let world = World::start().await;
    let other = world.replica("acme");
    for round in 0..5 {
        let key = format!("once-{round}");
        let put = |client, body: u8| {
            let only_new = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("*"))]);
            let (key, body) = (key.clone(), vec![body; 70_000]);
            async move {
                let client: &crate::world::client::Client = client;
                (client.send(Method::PUT, &key, only_new, &body).await.status(), body)
            }
        };
        let (a, b, c, d) = tokio::join!(put(&world.acme, 1), put(&other, 2), put(&world.acme, 3), put(&other, 4));
        let all = [a, b, c, d];
        let won: Vec<_> = all.iter().filter(|(status, _)| *status == 200).collect();
        assert_eq!(won.len(), 1, "{:?}", all.each_ref().map(|one| one.0));
        let lost = all.iter().filter(|(status, _)| [409, 412].contains(status)).count();
        assert_eq!(lost, 3);
        assert!(other.get(&key).await.is(&won[0].1), "what the winner sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_leaves_what_was_there() {
    let world = World::start().await;
    world.acme.put("there", b"before").await;
    for (key, len) in [("there", 300_000), ("there", 3 << 20), ("new", 3 << 20)] {
        drop(world.acme.begin_put(key, len, &plain(100_000)).await);
    }
    // The store has nothing new, now or once all of them were noticed to be gone.
    world.acme.put("after", b"x").await;
    assert!(world.acme.get("there").await.is(b"before"));
    assert_eq!(world.acme.get("new").await.status(), 404);
    let listed = world.acme.get("?list-type=2").await;
    assert_eq!(all(&listed, "Key"), ["after", "there"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_object_has_no_range() {
    let world = World::start().await;
    world.acme.put("empty", b"").await;
    for range in ["0-", "0-0", "-1", "-0", "5-9"] {
        let answer = world.acme.get_range("empty", range).await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (416, "InvalidRange"),
            "{range}"
        );
    }
    assert!(world.acme.get("empty").await.is(b""));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_show_every_object_once_with_its_size() {
    let world = World::start().await;
    let sizes = [0, 1, 65_536, 5 << 20];
    for (number, len) in sizes.iter().enumerate() {
        world.acme.put(&format!("page/{number}"), &plain(*len)).await;
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = world
            .acme
            .get(&format!("?list-type=2&max-keys=1&prefix=page/{token}"))
            .await;
        let found = all(&page, "Size");
        assert!(found.len() <= 1);
        seen.extend(found);
        match all(&page, "NextContinuationToken").first() {
            Some(next) => {
                let next = percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC);
                token = format!("&continuation-token={next}");
            }
            None => break,
        }
    }
    assert_eq!(seen, sizes.map(|len| len.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gates_own_container_has_no_name_for_clients() {
    let world = World::start().await;
    world.acme.put("k", b"x").await;
    for name in [SYSTEM_CONTAINER, "%73ystem", "system%2F", "s%79stem"] {
        for (method, target) in [
            (Method::GET, "?list-type=2"),
            (Method::GET, "keyring/x"),
            (Method::PUT, "keyring/x"),
            (Method::DELETE, "uploads/x"),
        ] {
            let answer = world
                .both
                .at(name)
                .send(method.clone(), target, HeaderMap::new(), b"")
                .await;
            let refused = (400..500).contains(&answer.status());
            assert!(refused, "{method} {name}/{target}: {answer:?}");
        }
        let source = format!("{name}/keyring/x");
        let said = headers(&[("x-amz-copy-source", source.as_str())]);
        let copied = world.both.send(Method::PUT, "stolen", said, b"").await;
        assert!((400..500).contains(&copied.status()), "{source}: {copied:?}");
    }
    let listed = world.store_client(SYSTEM_CONTAINER).get("?list-type=2").await;
    assert!(!all(&listed, "Key").contains(&"keyring/x".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_no_stated_length_is_asked_for_one() {
    let world = World::start().await;
    world.acme.put("k", b"x").await;
    let chunked = headers(&[("transfer-encoding", "chunked")]);
    let document = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let answer = world.acme.send(Method::POST, "?delete", chunked, document).await;
    assert_eq!((answer.status(), answer.code().as_str()), (411, "MissingContentLength"));
    assert!(world.acme.get("k").await.is(b"x"));
}
