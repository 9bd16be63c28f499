//! Sources of copies: proved before anything is made of them, and read as plaintext.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use portcullis::body::Plaintext;
use portcullis::keys::Keys;
use portcullis::s3::error::S3Error;
use portcullis::s3::layouts::Layouts;
use portcullis::s3::object::Object as Asked;
use portcullis::s3::read::Form;
use portcullis::s3::read::source::{Source, source, verified};
use portcullis::seal::PlainRange;
use portcullis::tenant::Container;
use portcullis::upstream::Caller;

use super::{LEN, Scene};

/// What an object is asked for with.
struct Gate {
    container: Arc<Container>,
    keys: Keys,
    layouts: Layouts,
}

impl Gate {
    fn of(scene: &Scene) -> Self {
        let store = scene.world.upstream();
        Self {
            container: Arc::new(scene.world.container("acme", &store)),
            keys: scene.world.keys(&store),
            layouts: Layouts::default(),
        }
    }

    fn object(&self, name: &'static str) -> Asked<'_> {
        Asked {
            cors: Arc::default(),
            container: &self.container,
            caller: &Caller::Gate,
            keys: &self.keys,
            layouts: &self.layouts,
            name: name.to_owned(),
            key: name.into(),
            version: None,
        }
    }

    async fn source(&self, name: &'static str, range: Option<PlainRange>) -> Result<Source, S3Error> {
        source(&self.object(name), HeaderMap::new(), HeaderMap::new(), range).await
    }
}

async fn all(mut source: Source) -> Vec<u8> {
    let mut got = Vec::new();
    let plaintext: &mut dyn Plaintext = &mut source.opening;
    while let Some(bytes) = plaintext.next().await.unwrap() {
        assert_ne!(bytes, Bytes::new(), "a piece without a byte");
        got.extend_from_slice(&bytes);
    }
    got
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_gives_its_plaintext_and_what_a_copy_of_it_needs() {
    let scene = Scene::set().await;
    let gate = Gate::of(&scene);
    scene.world.acme.put("whole", &scene.plain[..200_000]).await;
    scene.world.claim("acme", "none", scene.theft.whole("none", b""));
    assert!(all(gate.source("whole", None).await.unwrap()).await == scene.plain[..200_000]);
    assert!(all(gate.source("none", None).await.unwrap()).await.is_empty());
    assert!(all(gate.source("file", None).await.unwrap()).await == scene.plain);
    let range = PlainRange::new(70_000, 6_000_000);
    assert!(all(gate.source("file", range).await.unwrap()).await == scene.plain[70_000..=6_000_000]);
    for last in [LEN as u64, u64::MAX] {
        let past = gate.source("file", PlainRange::new(5, last)).await;
        assert!(matches!(past.err(), Some(S3Error::InvalidRange { size }) if size.0 == LEN as u64));
    }

    let copy = scene.theft.place("copy");
    for (name, is_whole) in [("whole", true), ("file", false)] {
        let mut source = gate.source(name, None).await.unwrap().verified;
        let mut seen = verified(&gate.object(name), HeaderMap::new(), HeaderMap::new())
            .await
            .unwrap();
        assert_eq!(matches!(source.form, Form::Whole(_)), is_whole);
        assert_eq!(source.core().is_some(), is_whole);
        assert_eq!(source.etag(), seen.etag());
        assert_eq!(source.len, seen.len);
        let alias = source.alias(&copy).unwrap();
        assert_eq!(alias, seen.alias(&copy).unwrap());
        let stored = match is_whole {
            true => scene.world.stored("acme", name).await,
            false => scene.file.clone(),
        };
        assert_eq!(alias.to_string(), scene.theft.alias(&stored, "copy"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_swapped_in_is_the_source_of_nothing() {
    let scene = Scene::set().await;
    let gate = Gate::of(&scene);
    let whole = scene.theft.whole("file", &scene.plain[..200_000]);
    let swapped = scene.theft.whole("another", &scene.plain[..200_000]);
    // With the core of the genuine one as metadata: only the header tells.
    let dressed = swapped.with_core(whole.core.clone());
    let multipart = scene.theft.multipart("another", "u", &[(1, &scene.plain)]);
    for (what, object) in [("whole", swapped), ("dressed", dressed), ("multipart", multipart)] {
        scene.world.claim("acme", "file", object);
        let opened = gate.source("file", None).await.err();
        assert!(matches!(opened, Some(S3Error::Tampered { .. })), "{what}");
        let blessed = verified(&gate.object("file"), HeaderMap::new(), HeaderMap::new())
            .await
            .err();
        assert!(matches!(blessed, Some(S3Error::Tampered { .. })), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_a_source_hold_or_are_412() {
    let scene = Scene::set().await;
    let gate = Gate::of(&scene);
    scene.world.acme.put("whole", &scene.plain[..200_000]).await;
    let etag = HeaderValue::try_from(scene.world.stored("acme", "whole").await.etag).unwrap();
    let other = HeaderValue::from_static("\"another\"");
    for (name, value, holds) in [
        (IF_MATCH, &etag, true),
        (IF_MATCH, &other, false),
        (IF_NONE_MATCH, &other, true),
        (IF_NONE_MATCH, &etag, false),
    ] {
        let conditions = HeaderMap::from_iter([(name, value.clone())]);
        let object = gate.object("whole");
        let opened = source(&object, HeaderMap::new(), conditions.clone(), None)
            .await
            .map(|_| ());
        let seen = verified(&object, HeaderMap::new(), conditions).await.map(|_| ());
        for result in [opened, seen] {
            let status = result.map_or_else(|error| error.status().as_u16(), |()| 200);
            assert_eq!(status, if holds { 200 } else { 412 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn footers_are_remembered_within_bounds_and_those_used_last_longest() {
    let scene = Scene::set().await;
    let gate = Gate::of(&scene);
    let seen = verified(&gate.object("file"), HeaderMap::new(), HeaderMap::new())
        .await
        .unwrap();
    let etag = seen.etag().unwrap().clone();
    let Form::Multipart(footer) = seen.form else {
        panic!("the scene's file was uploaded in parts");
    };
    assert_eq!(gate.layouts.last(&gate.object("file")).unwrap().0, etag);
    gate.layouts.forget(&gate.object("file"));
    assert!(gate.layouts.last(&gate.object("file")).is_none());

    let few = Layouts::of_bytes(16 * 1024);
    let names: Vec<&'static str> = (0..100).map(|number| &*format!("file-{number}").leak()).collect();
    for name in &names {
        few.keep(&gate.object(name), &etag, &footer);
        assert!(few.last(&gate.object(names[0])).is_some(), "in use all the time");
    }
    let kept = names.iter().filter(|name| few.last(&gate.object(name)).is_some());
    let kept: Vec<_> = kept.collect();
    assert!((3..40).contains(&kept.len()), "{}", kept.len());
    assert!(kept.contains(&&names[99]) && !kept.contains(&&names[1]));
    // One that alone is too much is not kept, and leaves nothing behind.
    let none = Layouts::of_bytes(100);
    none.keep(&gate.object("file"), &etag, &footer);
    assert!(none.last(&gate.object("file")).is_none());
    // What is kept of an answer keeps none of what it was read into.
    let read = Bytes::from(vec![b'e'; 100_000]);
    let slice = HeaderValue::from_maybe_shared(read.slice(1000..1034)).unwrap();
    few.keep(&gate.object("file"), &slice, &footer);
    drop(slice);
    assert!(few.last(&gate.object("file")).is_some() && read.is_unique());
}
