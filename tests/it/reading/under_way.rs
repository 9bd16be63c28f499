//! What happens while a multipart object is read: it is replaced, its lease ends, its store stalls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, Method};
use portcullis::body::{Download, MANY};
use portcullis::keys::Bounds;

use super::{FIRST, LEN, Scene, refused};
use crate::forgery::plain;
use crate::world::World;
use crate::world::adversary::{Asked, End, Lie};
use crate::world::multipart::MIB5;
use crate::world::object::Object;
use crate::world::theft::Theft;

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// One object for so many questions, then another.
fn replaced(after: u32, before: Object, then: Object) -> Lie {
    let asked = AtomicU32::new(0);
    Lie::instead(move |question: &Asked| match asked.fetch_add(1, Ordering::SeqCst) {
        count if count < after => before.answer(question),
        _ => then.answer(question),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_replaced_while_it_is_read_is_sought_again() {
    let scene = Scene::set().await;
    let newer = plain(LEN, 2);
    let (first, rest) = newer.split_at(FIRST);
    let mut then = scene.theft.multipart("file", "second", &[(1, first), (2, rest)]);
    then.etag = format!("\"{:032x}\"", 2);
    // Between footer and body, between head and footer: whatever was remembered before.
    for known in [false, true] {
        for after in [1, 2] {
            for range in ["70000-70009", "-10", "0-9"] {
                let mut before = scene.file.clone();
                before.etag = format!("\"{:032x}\"", 1000 + after);
                if known {
                    scene.world.claim("acme", "file", before.clone());
                    assert!(scene.range("70000-70009").await.is(&scene.plain[70_000..70_010]));
                }
                scene.world.lie("acme", "file", replaced(after, before, then.clone()));
                let answer = scene.range(range).await;
                let (start, end) = match range {
                    "-10" => (LEN - 10, LEN),
                    "0-9" => (0, 10),
                    _ => (70_000, 70_010),
                };
                let what = format!("{range}, {after}, known: {known}: {:?}", refused(&answer));
                let old = answer.is(&scene.plain[start..end]) && known;
                assert!(old || answer.is(&newer[start..end]), "{what}");
            }
        }
    }
    // All of it, or a whole object in its place.
    let mut before = scene.file.clone();
    before.etag = format!("\"{:032x}\"", 7);
    scene
        .world
        .lie("acme", "file", replaced(1, before.clone(), then.clone()));
    assert!(scene.world.acme.get("file").await.is(&newer));
    scene.world.claim("acme", "file", before);
    assert!(scene.range("70000-70009").await.is(&scene.plain[70_000..70_010]));
    let mut whole = scene.theft.whole("file", &newer[..200_000]);
    whole.etag = format!("\"{:032x}\"", 8);
    scene.world.claim("acme", "file", whole);
    assert!(scene.range("70000-70009").await.is(&newer[70_000..70_010]));
    assert_eq!(scene.world.audit("acme", "object_tampered"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_mean_the_same_when_the_footer_is_known() {
    let scene = Scene::set().await;
    let first = scene.range("70000-70009").await;
    let etag = first.headers[ETAG].clone();
    let mut headers = super::range_header("70000-70009");
    headers.insert(IF_MATCH, etag.clone());
    let ask = |headers: &HeaderMap| scene.world.acme.send(Method::GET, "file", headers.clone(), b"");
    assert!(ask(&headers).await.is(&scene.plain[70_000..70_010]));
    headers.insert(IF_MATCH, "\"another\"".parse().unwrap());
    assert_eq!(refused(&ask(&headers).await), (412, "PreconditionFailed".to_owned()));
    headers.remove(IF_MATCH);
    // An honest store's 304.
    let file = scene.file.clone();
    let lie = move |asked: &Asked| {
        let reply = file.answer(asked);
        match asked.headers.get(IF_NONE_MATCH) {
            Some(theirs) if *theirs == file.etag => crate::world::adversary::Reply {
                status: http::StatusCode::NOT_MODIFIED,
                body: bytes::Bytes::new(),
                ..reply
            },
            _ => reply,
        }
    };
    scene.world.lie("acme", "file", Lie::instead(lie));
    headers.insert(IF_NONE_MATCH, etag.clone());
    let answer = ask(&headers).await;
    assert_eq!(answer.status(), 304);
    assert_eq!(answer.headers[ETAG], etag);
    assert_eq!(scene.world.audit("acme", "object_tampered"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_cuts_a_multipart_download_and_what_is_remembered_opens_nothing() {
    let hour = Duration::from_secs(3600);
    let world = World::bounded(Bounds::new(Duration::from_secs(10), hour)).await;
    world.acme.put("witness", b"acme").await;
    let theft = Theft::from(&world, "acme").await;
    let words = plain(2 * MIB5, 1);
    let (first, second) = words.split_at(MIB5);
    let object = theft.multipart("file", "u", &[(1, first), (2, second)]);
    world.claim("acme", "file", object.clone());
    assert!(world.acme.get("file").await.is(&words));
    // One that is not read, and one whose store has stopped in its second part.
    let unread = world.acme.begin_get("file").await;
    let stall = move |asked: &Asked| object.answer(asked).cut(MIB5 + (1 << 20), End::Never);
    world.lie("acme", "file", Lie::instead(stall));
    let stalled = tokio::spawn(world.acme.begin_get("file").await.finish());
    world.standin.customer("acme").disable_key().unwrap();
    world.pass(Duration::from_secs(5));
    let (got, end) = tokio::time::timeout(PATIENCE, stalled).await.unwrap().unwrap();
    assert!(end.is_err() && got.len() < words.len());
    let (got, end) = tokio::time::timeout(PATIENCE, unread.finish()).await.unwrap();
    assert!(end.is_err() && got.len() < 2 << 20, "{} bytes", got.len());
    let began = Instant::now();
    while world.audit("acme", "stream_cut").len() < 2 {
        assert!(began.elapsed() < PATIENCE, "both are audited");
        tokio::task::yield_now().await;
    }
    for key in ["file", "file?partNumber=2"] {
        let answer = world.acme.get(key).await;
        assert_eq!(refused(&answer), (400, "KMS.DisabledException".to_owned()));
    }
    let answer = world.acme.get_range("file", "70000-70009").await;
    assert_eq!(refused(&answer), (400, "KMS.DisabledException".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_a_crowd_of_downloads_comes_whole() {
    // Among so many each must do with little memory: it reads less at once, and opens a chunk when the one before has left.
    let mut crowd: Vec<Download> = (0..MANY).map(|_| Download::begin()).collect();
    let world = World::start().await;
    let plain = plain(1_500_001, 3);
    world.acme.put("file", &plain).await;
    let mut stalled = Vec::new();
    for _ in 0..16 {
        stalled.push(world.acme.begin_get("file").await);
    }
    // Those that end first leave the others with more room than they began with.
    for (number, download) in stalled.into_iter().enumerate() {
        if number == 8 {
            crowd.clear();
        }
        let (got, end) = tokio::time::timeout(PATIENCE, download.finish())
            .await
            .expect("it goes on");
        assert!(end.is_ok() && got == plain);
    }
}
