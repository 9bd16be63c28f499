//! What changes between two questions that the gate asks for one answer, or that a client asks for one object.

use std::sync::atomic::{AtomicU32, Ordering};

use http::header::{ETAG, IF_MATCH, RANGE};
use http::{HeaderMap, HeaderValue, Method};
use portcullis::seal::Dek;

use super::{LEN, Scene, plain};
use crate::world::adversary::{Asked, Lie};
use crate::world::object::Object;
use crate::world::theft::Theft;

/// One object for the first question, another for all that follow.
fn first(first: Object, then: Object) -> Lie {
    let asked = AtomicU32::new(0);
    Lie::instead(move |question: &Asked| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => first.answer(question),
        _ => then.answer(question),
    })
}

/// The same, from a store that ignores conditions.
fn first_regardless(first: Object, then: Object) -> Lie {
    let asked = AtomicU32::new(0);
    Lie::instead(move |question: &Asked| {
        let mut question = question.clone();
        question.headers.remove(IF_MATCH);
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => first.answer(&question),
            _ => then.answer(&question),
        }
    })
}

/// Objects under a DEK that the gate has not in memory, so that a range of one needs a second question for the header.
async fn cold(scene: &Scene, count: u64) -> Vec<(Object, Vec<u8>)> {
    let theft = Theft::from(&scene.world, "acme").await;
    let dek = Dek::generate().unwrap();
    let vault = scene.world.vault("acme");
    let session = vault.session().await.unwrap();
    let wrapped = vault
        .wrap(&session, theft.envelope.version(), dek.expose())
        .await
        .unwrap();
    let envelope = theft.vouched(&dek, theft.envelope.cmk(), theft.envelope.version(), &wrapped.bytes);
    let sealed = (0..count).map(|seed| {
        let words = plain(LEN + usize::try_from(seed).unwrap(), 100 + seed);
        let mut object = theft.whole_under(&dek, &envelope, "victim", &words);
        object.etag = format!("\"{seed:032x}\"");
        (object, words)
    });
    sealed.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_between_two_ranges_shows_in_its_etag() {
    let scene = Scene::set().await;
    let before = scene.world.acme.get_range("victim", "0-70000").await;
    let newer = plain(LEN, 2);
    scene.world.acme.put("victim", &newer).await;
    // The client pins what it began to read, as SDKs do.
    let etag = HeaderMap::from_iter([(IF_MATCH, before.headers[ETAG].clone())]);
    let range = |headers: &HeaderMap, text: &'static str| {
        let mut headers = headers.clone();
        headers.insert(RANGE, HeaderValue::from_static(text));
        headers
    };
    for text in ["bytes=70001-", "bytes=0-", "bytes=-5"] {
        let after = scene
            .world
            .acme
            .send(Method::GET, "victim", range(&etag, text), b"")
            .await;
        assert_eq!(
            (after.status(), after.code().as_str()),
            (412, "PreconditionFailed"),
            "{text}"
        );
    }
    let after = scene.world.acme.get_range("victim", "70001-").await;
    assert!(after.is(&newer[70_001..]));
    assert_ne!(after.headers[ETAG], before.headers[ETAG]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_while_its_suffix_is_sought_is_sought_again() {
    let scene = Scene::set().await;
    let replaced = cold(&scene, 2).await;
    let ((old, _), (new, words)) = (&replaced[0], &replaced[1]);
    scene.world.lie("acme", "victim", first(old.clone(), new.clone()));
    let answer = scene.world.acme.get_range("victim", "-10").await;
    assert!(
        answer.is(&words[words.len() - 10..]),
        "{} {}",
        answer.status(),
        answer.code()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_while_its_header_is_sought_is_sought_again() {
    let scene = Scene::set().await;
    let replaced = cold(&scene, 2).await;
    let ((old, _), (new, words)) = (&replaced[0], &replaced[1]);
    scene.world.lie("acme", "victim", first(old.clone(), new.clone()));
    let answer = scene.world.acme.get_range("victim", "70000-70009").await;
    assert!(
        answer.is(&words[70_000..70_010]),
        "{} {}",
        answer.status(),
        answer.code()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_again_and_again_is_an_answer_too() {
    let scene = Scene::set().await;
    let (object, _) = cold(&scene, 1).await.remove(0);
    let asked = AtomicU32::new(0);
    let lie = Lie::instead(move |question: &Asked| {
        let etag = format!("\"{:032x}\"", asked.fetch_add(1, Ordering::SeqCst));
        Object { etag, ..object.clone() }.answer(question)
    });
    scene.world.lie("acme", "victim", lie);
    let answer = scene.world.acme.get_range("victim", "70000-70009").await;
    assert_eq!((answer.status(), answer.code().as_str()), (503, "ServiceUnavailable"));
    let asked = scene.world.adversary.asked("acme-files", "victim");
    assert!(asked <= 12, "{asked} questions");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_objects_never_make_one_answer() {
    let scene = Scene::set().await;
    let before = scene.tampered();
    let objects = cold(&scene, 3).await;
    let (one, other) = (&objects[0].0, &objects[2].0);
    // Of one length, so that only the seal can tell.
    let theft = Theft::from(&scene.world, "acme").await;
    let twin = theft.whole("victim", &plain(LEN, 100));
    for (what, chunks, header) in [("of another length", one, other), ("of the same length", one, &twin)] {
        scene.world.lie(
            "acme",
            "victim",
            first_regardless(chunks.with_core(None), header.with_core(None)),
        );
        let answer = scene.world.acme.get_range("victim", "70000-70009").await;
        scene.is_refusal(what, &answer, 0);
    }
    assert_eq!(scene.tampered(), before + 2);
}
