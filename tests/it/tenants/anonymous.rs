//! Buckets that are open to the world: what nobody signed is asked of the store as nobody's, and its word counts. The customer's key
//! counts all the same, and what is half signed is not anonymous.

use std::sync::{Arc, Mutex};

use http::StatusCode;

use super::door::{Asking, Door, Setting, asker};
use crate::world::adversary::{Lie, Reply};
use crate::world::object::Object;

const OPEN: &str = "acme-public";

/// A bucket that the gate's configuration opens, in it one object that the store gives anybody, and one that it doesn't. And who asked for
/// the first.
async fn door() -> (Door, Arc<Mutex<Vec<String>>>) {
    let setting = Setting {
        open: vec![OPEN],
        ..Setting::default()
    };
    let door = Door::open(setting, &[]).await;
    let acme = door.acme.at(OPEN);
    acme.put("public", b"for everybody").await;
    acme.put("private", b"for acme").await;
    let object = Object::of(&door.at_store(OPEN).get("public").await);
    let askers: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&askers);
    // As a store does with an object whose ACL says public-read.
    let public = Lie::instead(move |asked| {
        seen.lock().unwrap().push(asker(&asked.headers));
        match asked.method.as_str() {
            "GET" | "HEAD" => object.answer(asked),
            _ => Reply::new(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>"),
        }
    });
    door.adversary.lie(OPEN, "public", public);
    (door, askers)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_gives_the_world_the_gate_does_too() {
    let (door, askers) = door().await;
    door.get(&format!("/{OPEN}/public")).await.is(b"for everybody");
    let ranged = Asking {
        said: &[("range", "bytes=4-12")],
        ..Asking::get("/acme-public/public")
    };
    let part = door.send(ranged).await;
    assert_eq!((part.status, &part.body[..]), (206, &b"everybody"[..]), "{part:?}");
    assert!(
        askers.lock().unwrap().iter().all(String::is_empty),
        "unsigned at the store too"
    );
    assert_eq!(askers.lock().unwrap().len(), 2);
    // Who signs is asked for as ever.
    assert!(door.acme.at(OPEN).get("private").await.is(b"for acme"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_keeps_from_the_world_the_gate_does_too() {
    let (door, askers) = door().await;
    for target in ["private", "none", "?list-type=2", "?acl", "private?tagging"] {
        door.get(&format!("/{OPEN}/{target}"))
            .await
            .is_error(403, "AccessDenied");
    }
    for target in ["public", "new"] {
        let target = format!("/{OPEN}/{target}");
        let put = door.send(Asking::put(&target, b"graffiti")).await;
        put.is_error(403, "AccessDenied");
        let copy = Asking {
            said: &[("x-amz-copy-source", "acme-files/secret")],
            ..Asking::put(&target, b"")
        };
        door.acme.put("secret", b"words").await;
        door.send(copy).await.is_error(403, "AccessDenied");
    }
    assert!(askers.lock().unwrap().iter().all(String::is_empty));
    assert_eq!(door.at_store(OPEN).get("new").await.status(), 404, "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_open_asks_no_store() {
    let (door, _) = door().await;
    door.acme.put("k", b"words").await;
    let askers = [door.askers("acme-files", "k"), door.askers("acme-files", "*")];
    for target in ["k", "?list-type=2", ""] {
        door.get(&format!("/acme-files/{target}"))
            .await
            .is_error(403, "AccessDenied");
    }
    let put = Asking::put("/acme-files/k", b"x");
    door.send(put).await.is_error(403, "AccessDenied");
    door.get("/nowhere/k").await.is_error(404, "NoSuchBucket");
    assert!(askers.iter().all(|askers| askers.lock().unwrap().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_half_signed_is_not_anonymous() {
    let (door, askers) = door().await;
    for half in ["AWS4-HMAC-SHA256 Credential=AKIDACME/x", "AWS AKIDACME:x", "Bearer x"] {
        let asking = Asking {
            said: &[("authorization", half)],
            ..Asking::get("/acme-public/public")
        };
        let answer = door.send(asking).await;
        assert!(matches!(answer.status, 400 | 403), "{half:?}: {answer:?}");
    }
    let stranger = door
        .send(Asking::get(
            "/acme-public/public?X-Amz-Signature=00&X-Amz-Algorithm=AWS4-HMAC-SHA256",
        ))
        .await;
    assert!(stranger.status >= 400, "{stranger:?}");
    assert!(askers.lock().unwrap().is_empty(), "the store was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_key_closes_it_to_the_world() {
    let (door, _) = door().await;
    door.world.standin.customer("acme").disable_key().unwrap();
    // The lease ends, and is not given again.
    door.world.pass(std::time::Duration::from_secs(4000));
    door.get(&format!("/{OPEN}/public"))
        .await
        .is_error(400, "KMS.DisabledException");
}
