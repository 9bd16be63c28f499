//! A client with a credential of its own at the store: the store is asked as that user, about the client's objects and nothing else, and
//! what it refuses the user is not done as somebody else.

use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use super::door::{Door, GATE, OWN, OWN_TOKEN, Setting, TOKEN, temporary};
use crate::multipart::{MIB5, Upload, bytes};
use crate::world::SYSTEM_CONTAINER;
use crate::world::adversary::{Asked, Lie, Reply};

async fn door(own: &'static str) -> Door {
    let setting = Setting {
        own: Some(own),
        ..Setting::default()
    };
    Door::open(setting, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_asked_as_the_client() {
    let door = door(OWN).await;
    let ours = door.askers("acme-files", "*");
    let (theirs, system) = (door.askers("globex-files", "*"), door.askers(SYSTEM_CONTAINER, "*"));
    door.acme.put("k", b"words").await;
    assert!(door.acme.get("k").await.is(b"words"));
    let body = bytes(MIB5 + 100, 1);
    let upload = Upload::begin(&door.acme, "large").await;
    let parts = [upload.part(1, &body[..MIB5]).await, upload.part(2, &body[MIB5..]).await];
    assert_eq!(upload.complete(&parts).await.status(), 200);
    assert!(door.acme.get("large").await.is(&body));
    let listed = door.acme.get("?list-type=2").await;
    assert_eq!(listed.status(), 200);
    let gone = door.acme.send(Method::DELETE, "k", HeaderMap::new(), b"").await;
    assert_eq!(gone.status(), 204);

    let asked = ours.lock().unwrap().clone();
    assert!(asked.len() >= 8 && asked.iter().all(|user| user == OWN), "{asked:?}");
    // What belongs to the gate is the gate's: the wrapped keys, and the part that waits apart.
    let asked = system.lock().unwrap().clone();
    assert!(!asked.is_empty() && asked.iter().all(|user| user == GATE), "{asked:?}");
    // And a client without one asks as the gate.
    door.globex.put("k", b"words").await;
    assert_eq!(*theirs.lock().unwrap(), [GATE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_the_client_nobody_else_does() {
    let door = door("AKIDSTRANGER").await;
    // The store knows the gate, and has the object; but not this user of its.
    door.both.put("k", b"words").await;
    let asked = door.askers("acme-files", "*");
    for (method, target) in [
        (Method::GET, "k"),
        (Method::HEAD, "k"),
        (Method::PUT, "k"),
        (Method::DELETE, "k"),
        (Method::GET, "?list-type=2"),
        (Method::POST, "large?uploads"),
    ] {
        let answer = door.acme.send(method.clone(), target, HeaderMap::new(), b"").await;
        assert!(matches!(answer.status(), 403 | 500..), "{method} {target}: {answer:?}");
    }
    let asked = asked.lock().unwrap().clone();
    assert!(
        !asked.is_empty() && asked.iter().all(|user| user == "AKIDSTRANGER"),
        "{asked:?}"
    );
    assert!(door.both.get("k").await.is(b"words"), "untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_asked_for_as_the_client() {
    let door = door(OWN).await;
    door.acme.put("k", b"words").await;
    let asked = door.askers("acme-files", "*");
    let source = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-amz-copy-source"),
        http::HeaderValue::from_static("acme-files/k"),
    )]);
    let copied = door.acme.send(Method::PUT, "copy", source, b"").await;
    assert_eq!(copied.status(), 200, "{copied:?}");
    let asked = asked.lock().unwrap().clone();
    assert!(asked.len() >= 2 && asked.iter().all(|user| user == OWN), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn temporary_credentials_are_heeded_before_the_gate_and_sent_behind_it() {
    let setting = Setting {
        own: Some(OWN),
        temporary: true,
        ..Setting::default()
    };
    let door = Door::open(setting, &[]).await;
    let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let lie = Lie::twist(move |asked, honest: Reply| {
        seen.lock().unwrap().push(asked.clone());
        honest
    });
    door.adversary.lie("acme-files", "*", lie);

    // The client's own key with another token, or with none; and a token of a client that has none.
    for (access_key, token) in [
        ("AKIDACME", Some("the/clients+token")),
        ("AKIDACME", Some(OWN_TOKEN)),
        ("AKIDACME", None),
        ("AKIDBOTH", Some(TOKEN)),
    ] {
        let client = door.acme.with(temporary(access_key, token));
        let answer = client.send(Method::PUT, "k", HeaderMap::new(), b"words").await;
        let told = (answer.status(), answer.code());
        assert_eq!(told, (400, "InvalidToken".to_owned()), "{access_key} {token:?}");
    }
    assert!(asked.lock().unwrap().is_empty(), "the store hears nothing of that");

    door.acme.put("k", b"words").await;
    assert!(door.acme.get("k").await.is(b"words"));
    let asked = asked.lock().unwrap().clone();
    assert!(asked.len() >= 2);
    for asked in &asked {
        // The store checked the signature; that it covers the token stands in it.
        let signed = asked.headers[AUTHORIZATION].to_str().unwrap();
        assert_eq!(
            asked.headers["x-amz-security-token"], OWN_TOKEN,
            "{} {signed}",
            asked.method
        );
        assert!(signed.contains("x-amz-security-token"), "{signed}");
    }
}
