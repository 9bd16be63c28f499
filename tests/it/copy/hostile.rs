//! Copies at the mercy of a store that lies: a swap is never given the right to a name.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::copy::{LEN, copied, copy, plain, refused};
use crate::world::World;
use crate::world::adversary::{Lie, Reply};
use crate::world::object::Object;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_swapped_before_is_not_copied() {
    let world = World::start().await;
    let both = world.both.at("globex-files");
    world.acme.put("from", &plain(LEN)).await;
    world.acme.put("other", &plain(LEN + 1)).await;
    let (from, other) = (world.stored("acme", "from").await, world.stored("acme", "other").await);
    let seen = world.audit("acme", "object_tampered").len();
    let lies = [
        ("another object", other),
        ("a core that was changed", from.flipped(41, 0)),
        (
            "no seal at all",
            from.with_body(vec![b'x'; from.body.len()]).with_core(None),
        ),
    ];
    let count = lies.len();
    for (what, lie) in lies {
        world.claim("acme", "from", lie);
        for client in [&world.acme, &both] {
            let answer = copy(client, "acme-files/from", "no", &[]).await;
            assert_eq!(answer.status(), 403, "{what}: {answer:?}");
            assert!(
                ["ObjectTampered", "ObjectNotSealed"].contains(&answer.code().as_str()),
                "{what}"
            );
        }
    }
    world.adversary.honest();
    let events = world.audit("acme", "object_tampered");
    assert_eq!(events.len(), seen + 2 * count);
    for event in &events[seen..] {
        assert_eq!((event.field("container"), event.field("name")), ("acme-files", "from"));
    }
    assert_eq!(world.audit("globex", "object_tampered"), []);
    for client in [&world.acme, &world.globex] {
        assert_eq!(client.head("no").await.status(), 404);
    }
}

/// The store shows one object, and has another of the same tenant's when it copies.
async fn swapped(world: &World) -> Object {
    world.acme.put("from", &plain(LEN)).await;
    let shown = world.stored("acme", "from").await;
    world
        .acme
        .put("from", &plain(LEN).iter().rev().copied().collect::<Vec<_>>())
        .await;
    world.claim("acme", "from", shown.clone());
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_swapped_under_way_misses_the_pin() {
    let world = World::start().await;
    swapped(&world).await;
    refused(&world.acme, "acme-files/from", "to", &[], 503, "ServiceUnavailable").await;
    assert_eq!(world.acme.head("to").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_swapped_past_the_pin_is_refused_to_readers() {
    let world = World::start().await;
    let shown = swapped(&world).await;
    // It takes the question, does not copy what it showed, and keeps what it was told of it.
    let told = Arc::new(Mutex::new(HeaderMap::new()));
    let keep = Arc::clone(&told);
    let done = format!(
        "<CopyObjectResult><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag></CopyObjectResult>",
        shown.etag.replace('"', "&quot;")
    );
    let lie = Lie::instead(move |asked| {
        keep.lock().unwrap().clone_from(&asked.headers);
        Reply::new(StatusCode::OK, done.clone())
    });
    world.adversary.lie("acme-files", "to", lie);
    assert_eq!(copy(&world.acme, "acme-files/from", "to", &[]).await.status(), 200);
    let mut own = told.lock().unwrap().clone();
    assert!(own.contains_key(ALIAS) && own["x-amz-copy-source-if-match"] == shown.etag.as_str());
    let gates = |name: &HeaderName| name.as_str().starts_with("x-amz-meta-");
    let others: Vec<_> = own.keys().filter(|name| !gates(name)).cloned().collect();
    for name in others {
        own.remove(name);
    }
    let store = world.store_client("acme-files");
    let other = store.get("from").await.body;
    assert_ne!(other, shown.body);
    assert_eq!(store.send(Method::PUT, "to", own, &other).await.status(), 200);
    world.adversary.honest();
    // Neither as it lies there, nor with the core in its metadata taken away or put right.
    let got = world.acme.get("to").await;
    assert_eq!((got.status(), got.code().as_str()), (403, "ObjectTampered"));
    let lain = world.stored("acme", "to").await;
    for core in [None, Some(lain.own_core_text())] {
        world.claim("acme", "to", lain.with_core(core));
        for range in ["0-9", "65536-65545"] {
            assert_eq!(
                world.acme.get_range("to", range).await.code(),
                "ObjectTampered",
                "{range}"
            );
        }
        assert_eq!(world.acme.get("to").await.code(), "ObjectTampered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_is_one_objects_right_to_one_name() {
    let world = World::start().await;
    let acme = &world.acme;
    acme.put("from", &plain(LEN)).await;
    acme.put("third", &plain(LEN)).await;
    copied(acme, "acme-files/from", "to", &[]).await;
    copied(acme, "acme-files/third", "another", &[]).await;
    let (to, another) = (world.stored("acme", "to").await, world.stored("acme", "another").await);
    let aliases = [alias(&world, "to").await, alias(&world, "another").await];
    for (what, name, object, alias) in [
        ("moved on", "elsewhere", &to, &aliases[0]),
        ("onto another copy's name", "another", &to, &aliases[0]),
        ("with another object's alias", "to", &another, &aliases[0]),
        ("with its own alias of another name", "to", &another, &aliases[1]),
    ] {
        let (object, alias) = (object.clone(), alias.clone());
        let told = Lie::instead(move |asked| object.answer(asked).with(ALIAS, &alias));
        world.adversary.lie("acme-files", name, told);
        let got = acme.get(name).await;
        assert_eq!((got.status(), got.code().as_str()), (403, "ObjectTampered"), "{what}");
        refused(acme, &format!("acme-files/{name}"), "no", &[], 403, "ObjectTampered").await;
    }
    world.adversary.honest();
    assert!(acme.get("to").await.is(&plain(LEN)));
}

const ALIAS: HeaderName = HeaderName::from_static("x-amz-meta-portcullis-alias");

async fn alias(world: &World, key: &str) -> String {
    let head = world.store_client("acme-files").head(key).await;
    head.headers[ALIAS].to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_under_200_is_no_copy() {
    let world = World::start().await;
    world.acme.put("from", b"x").await;
    for (said, status, code) in [
        (
            "<Error><Code>InternalError</Code><Message>m</Message></Error>",
            503,
            "ServiceUnavailable",
        ),
        (
            "<Error><Code>AccessDenied</Code><Message>arn:aws:iam::1:user/gate</Message></Error>",
            403,
            "AccessDenied",
        ),
        ("", 503, "ServiceUnavailable"),
        ("<CopyObjectResult><ETag>x", 503, "ServiceUnavailable"),
    ] {
        let body = Bytes::from(["<?xml version=\"1.0\"?>\n   ", said].concat());
        let told = Lie::instead(move |_| Reply::new(StatusCode::OK, body.clone()));
        world.adversary.lie("acme-files", "to", told);
        let answer = copy(&world.acme, "acme-files/from", "to", &[]).await;
        assert_eq!((answer.status(), answer.code().as_str()), (status, code), "{said}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("arn:"), "{said}");
    }
}

impl Object {
    /// The core that its own bytes begin with.
    fn own_core_text(&self) -> String {
        portcullis::seal::Core::parse(&self.body[..136]).unwrap().to_text()
    }
}
