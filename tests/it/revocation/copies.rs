//! Copies and parts under way when a customer says no: refused with the no of that customer's own key, whoever it is that stalls, and
//! nothing of them is kept.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{DUE, PATIENCE, served_again, world};
use crate::world::adversary::{Asked, End, Lie, Reply};
use crate::world::client::{Answer, Client};
use crate::world::{World, bucket};

/// The source: more than fits in the buffers between the store and the gate.
const LONG: usize = 2 << 20;
const NO: &str = "KMS.DisabledException";

fn long() -> Vec<u8> {
    (0..LONG / 8).flat_map(|at| (at as u64).to_le_bytes()).collect()
}

/// From acme's `file` to globex's bucket, so that both keys are needed and the gate itself copies.
async fn copy(world: &World, to: &str) -> Answer {
    let source = (
        HeaderName::from_static("x-amz-copy-source"),
        HeaderValue::from_static("acme-files/file"),
    );
    let globex = world.both.at(&bucket("globex"));
    let answer = globex.send(Method::PUT, to, HeaderMap::from_iter([source]), b"");
    tokio::time::timeout(PATIENCE, answer).await.expect("an end")
}

/// Of what the store sends of `file`, half comes, and then nothing more.
fn stalls(world: &World) {
    let half = |asked: &Asked, reply: Reply| match asked.method == Method::GET && reply.body.len() > LONG / 2 {
        true => reply.cut(LONG / 2, End::Never),
        false => reply,
    };
    world.lie("acme", "file", Lie::twist(half));
}

async fn begin_upload(client: &Client, key: &str) -> String {
    let target = format!("{key}?uploads");
    let answer = client.send(Method::POST, &target, HeaderMap::new(), b"").await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let inner = text
        .split_once("<UploadId>")
        .and_then(|(_, rest)| rest.split_once("</UploadId>"));
    inner.expect("an upload").0.to_owned()
}

/// This customer disables its key, once the store has been asked for more of this key than before.
async fn says_no(world: &World, customer: &str, of: (&str, &str), before: u64) {
    let began = Instant::now();
    while world.adversary.asked(&bucket(of.0), of.1) < before {
        assert!(began.elapsed() < PATIENCE, "the store is not asked");
        tokio::task::yield_now().await;
    }
    world.standin.customer(customer).disable_key().unwrap();
    world.pass(DUE);
}

/// The no of this customer's key, in the answer's head or, where that had gone out, behind it.
fn is_refused(world: &World, customer: &str, what: &str, answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    assert!(
        text.contains(&format!("<Code>{NO}</Code>")),
        "{what}, {customer}: {text}"
    );
    let key = world.standin.key_url(customer);
    assert!(text.contains(&key), "{what}: it is {customer}'s: {text}");
}

async fn mended(world: &World, customer: &str, file: &[u8]) {
    world.adversary.honest();
    world.standin.customer(customer).enable_key().unwrap();
    served_again(world, customer, file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_source_stalls_is_refused_by_either_key() {
    let file = long();
    let world = world(&file).await;
    for customer in ["acme", "globex"] {
        stalls(&world);
        // What it is, and then what is in it.
        let asked = world.adversary.asked(&bucket("acme"), "file");
        let no = says_no(&world, customer, ("acme", "file"), asked + 2);
        let (answer, ()) = tokio::join!(copy(&world, "to"), no);
        is_refused(&world, customer, "a copy", &answer.body);
        world.adversary.honest();
        let stored = world.store_client(&bucket("globex")).get("to").await;
        assert_eq!(stored.status(), 404, "{customer}: nothing is stored");
        mended(&world, customer, &file).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_copied_from_a_source_that_stalls_is_refused_by_either_key() {
    let file = long();
    let world = world(&file).await;
    let upload = begin_upload(&world.globex, "parts").await;
    for customer in ["acme", "globex"] {
        stalls(&world);
        let asked = world.adversary.asked(&bucket("acme"), "file");
        let no = says_no(&world, customer, ("acme", "file"), asked + 2);
        let target = format!("parts?partNumber=1&uploadId={upload}");
        let (answer, ()) = tokio::join!(copy(&world, &target), no);
        is_refused(&world, customer, "a part of a copy", &answer.body);
        mended(&world, customer, &file).await;
        has_no_part(&world, "globex", "parts", &upload).await;
    }
}

/// The store makes the copy itself, and does not come to its end: the gate leaves with the lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_the_store_makes_and_never_ends_is_refused() {
    let file = long();
    let world = world(&file).await;
    let never = |asked: &Asked, reply: Reply| match asked.method == Method::PUT {
        true => reply.cut(0, End::Never),
        false => reply,
    };
    world.lie("acme", "to", Lie::twist(never));
    let source = (
        HeaderName::from_static("x-amz-copy-source"),
        HeaderValue::from_static("acme-files/file"),
    );
    let asked = world.adversary.asked(&bucket("acme"), "to");
    let copying = world.acme.send(Method::PUT, "to", HeaderMap::from_iter([source]), b"");
    let no = says_no(&world, "acme", ("acme", "to"), asked + 1);
    let (answer, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(copying, no) })
        .await
        .expect("an end");
    is_refused(&world, "acme", "a copy by the store", &answer.body);
    mended(&world, "acme", &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_stalls_at_the_client_or_at_the_store_is_refused() {
    let file = long();
    let world = world(&file).await;
    let upload = begin_upload(&world.acme, "parts").await;
    let target = format!("parts?partNumber=1&uploadId={upload}");
    for (stalling, first) in [
        ("the client, before its first chunk is full", 1000),
        ("the client, half way", LONG / 2),
        ("the store", LONG),
    ] {
        if stalling == "the store" {
            world.lie("acme", "parts", Lie::silence());
        }
        let asked = world.adversary.asked(&bucket("acme"), "parts");
        let part = world.acme.begin_put(&target, LONG, &file[..first]).await;
        says_no(&world, "acme", ("acme", "parts"), asked + u64::from(first > 1000)).await;
        let (got, _) = tokio::time::timeout(PATIENCE, part.finish()).await.expect("an end");
        is_refused(&world, "acme", stalling, &got);
        mended(&world, "acme", &file).await;
        has_no_part(&world, "acme", "parts", &upload).await;
    }
}

async fn has_no_part(world: &World, customer: &str, key: &str, upload: &str) {
    let listed = world.client(customer).get(&format!("{key}?uploadId={upload}")).await;
    let text = String::from_utf8_lossy(&listed.body);
    assert!(listed.status() == 200 && !text.contains("<PartNumber>"), "{text}");
}
