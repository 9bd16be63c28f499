//! The core as metadata: stripped, swapped, old, edited. It saves a request and decides nothing. And names that are the gate's.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use portcullis::seal::Core;

use super::{CHUNK, LEN, Scene, plain};
use crate::world::adversary::Lie;
use crate::world::bucket;

/// A range that does not need the header, and so reads the core from metadata.
const RANGE: &str = "70000-70099";
const BYTES: std::ops::Range<usize> = 70_000..70_100;

#[tokio::test(flavor = "multi_thread")]
async fn a_core_in_metadata_saves_a_request_and_without_it_the_header_decides() {
    let scene = Scene::set().await;
    let (world, bucket) = (&scene.world, bucket("acme"));
    for (core, requests) in [
        (scene.victim.core.clone(), 1),
        (None, 2),
        (Some(String::new()), 2),
        (Some("!".to_owned()), 2),
        (Some("A".repeat(182)), 2),
    ] {
        world.claim("acme", "victim", scene.victim.with_core(core.clone()));
        let before = world.adversary.asked(&bucket, "victim");
        assert!(
            world.acme.get_range("victim", RANGE).await.is(&scene.plain[BYTES]),
            "{core:?}"
        );
        assert!(world.acme.get("victim").await.is(&scene.plain), "{core:?}");
        assert_eq!(
            world.adversary.asked(&bucket, "victim") - before,
            requests + 1,
            "{core:?}"
        );
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_of_another_object_or_of_an_older_version_opens_nothing() {
    let scene = Scene::set().await;
    scene.world.acme.put("other", &plain(LEN, 2)).await;
    let other = scene.world.stored("acme", "other").await;
    scene.world.acme.put("victim", &plain(LEN, 3)).await;
    let newer = scene.world.stored("acme", "victim").await;
    scene
        .refuses_range(
            "another object's core",
            scene.victim.with_core(other.core.clone()),
            RANGE,
        )
        .await;
    scene
        .refuses_range(
            "another object's body",
            other.with_core(scene.victim.core.clone()),
            RANGE,
        )
        .await;
    scene
        .refuses_range(
            "the older version's core",
            newer.with_core(scene.victim.core.clone()),
            RANGE,
        )
        .await;
    scene.refuses_range("another object", other.clone(), RANGE).await;
    // Of a whole read the metadata is not looked at.
    scene.world.claim("acme", "victim", scene.victim.with_core(other.core));
    assert!(scene.world.acme.get("victim").await.is(&scene.plain));
    assert!(scene.world.acme.get_range("victim", "0-9").await.is(&scene.plain[..10]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_core_gives_the_right_bytes_or_none() {
    let scene = Scene::set().await;
    let core = Core::from_text(scene.victim.core.as_deref().unwrap())
        .unwrap()
        .to_bytes();
    for byte in 0..core.len() {
        for bit in 0..8 {
            let mut edited = core;
            edited[byte] ^= 1 << bit;
            let text = Core::parse(&edited).map_or_else(|_| "unreadable".to_owned(), |core| core.to_text());
            scene.world.claim("acme", "victim", scene.victim.with_core(Some(text)));
            let answer = scene.world.acme.get_range("victim", RANGE).await;
            if !answer.is(&scene.plain[BYTES]) {
                scene.is_refusal(&format!("bit {bit} of byte {byte}"), &answer, 0);
            }
        }
    }
    scene.is_undisturbed(1).await;
}

/// What a warm range can't notice is what it does not read; what it returns is right all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_warm_range_is_right_whatever_lies_outside_its_chunks() {
    let scene = Scene::set().await;
    for byte in [
        0,
        50,
        200,
        690,
        704,
        704 + CHUNK + 15,
        704 + 2 * (CHUNK + 16),
        scene.victim.body.len() - 1,
    ] {
        scene.world.claim("acme", "victim", scene.victim.flipped(byte, 0));
        assert!(
            scene
                .world
                .acme
                .get_range("victim", RANGE)
                .await
                .is(&scene.plain[BYTES]),
            "byte {byte}"
        );
    }
    for byte in [704 + CHUNK + 16, 704 + 2 * (CHUNK + 16) - 1] {
        scene
            .refuses_range("its own chunk", scene.victim.flipped(byte, 0), RANGE)
            .await;
    }
    scene.is_undisturbed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_the_gates_own_name_passes_neither_way() {
    let scene = Scene::set().await;
    let world = &scene.world;
    for name in ["core", "checksums", "alias", "multipart", "x"] {
        let name = HeaderName::try_from(format!("x-amz-meta-portcullis-{name}")).unwrap();
        let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static("1"))]);
        let answer = world.acme.send(Method::PUT, "planted", headers, b"words").await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (400, "InvalidArgument"),
            "{name}"
        );
        let lie = move |_: &_, reply: crate::world::adversary::Reply| reply.with(name.clone(), "planted");
        world.lie("acme", "victim", Lie::twist(lie));
        for answer in [world.acme.head("victim").await, world.acme.get("victim").await] {
            let leaked: Vec<_> = answer
                .headers
                .keys()
                .filter(|name| name.as_str().contains("portcullis"))
                .collect();
            assert_eq!(leaked, Vec::<&HeaderName>::new());
        }
    }
    assert_eq!(world.acme.get("planted").await.status(), 404, "nothing was stored");
    let own = HeaderMap::from_iter([(HeaderName::from_static("x-amz-meta-own"), HeaderValue::from_static("1"))]);
    assert_eq!(world.acme.send(Method::PUT, "kept", own, b"words").await.status(), 200);
    assert_eq!(world.acme.head("kept").await.headers["x-amz-meta-own"], "1");
    scene.is_undisturbed(1).await;
}
