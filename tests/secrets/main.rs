//! No secret shows in logs, audit, errors, answers or metrics, and no key outlives its lease in the process's memory.
//!
//! A binary and a process of its own: the log of everything and the memory are the whole process's, so no other test may
//! share them.
// A panic is how a test fails; clippy's own exception covers only the test functions, not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod log;
mod memory;
mod needle;
mod world;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

use crate::client::{Answer, Client, forged};
use crate::memory::Memory;
use crate::needle::Needles;
use crate::world::World;

/// As the gate's own binary has it.
#[global_allocator]
static ALLOCATOR: portcullis::Allocator = portcullis::ALLOCATOR;

/// More than the sockets on the way hold back, so that a client that does not read stalls the gate.
const BIG: usize = 24 << 20;
/// A search begun so long after the leases' end finds nothing. By then the connections to the vault are closed, whose buffers
/// have its last answers: two seconds after they were last used (docs/KEYS.md), and as much again for a busy machine.
const FORGOTTEN: Duration = Duration::from_secs(4);

#[test]
fn no_secret_shows_and_no_key_outlives_its_lease() {
    // Opened first: the gate forbids it to all but root.
    let memory = Memory::open();
    log::keep();
    let mut world = World::start();
    log::await_line(0, &["memory is"]);
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    assert_eq!(getrlimit(Resource::Core).maximum, Some(0));

    let mut acme = world.client("acme", "PORTCULLISDEVACME001");
    let mut globex = world.client("globex", "PORTCULLISDEVGLBX001");
    entra_refuses_at_first(&world, &mut acme);
    ordinary_work(&mut acme, "/acme-files");
    ordinary_work(&mut globex, "/globex-files");
    wrong_requests(&mut acme);
    let store = hostile_store(&world, &mut acme);

    let mut needles = Needles::new();
    world.plant(&mut needles);
    let control = needles.control();

    // While somebody downloads, the keys are where they are expected: so these are the keys, and the search finds them.
    let since = log::so_far();
    let head = acme.signed("GET /acme-files/big", &[], 0);
    let mut download = acme.begin(&head);
    download.read_exact(&mut [0; 1024]).unwrap();
    let head = acme.signed("PUT /acme-files/never", &[], BIG);
    let mut upload = acme.begin(&head);
    upload.write_all(&[7; 200_000]).unwrap();
    let found = memory.search(&needles);
    let holds = |kind: &str| found.iter().any(|name| name.starts_with(kind) && name.contains("/raw"));
    assert!(holds("dek/acme/"), "{found:#?}");
    // How a cipher keeps its key is its own business; with AES-NI the schedule begins with the key itself.
    assert!(
        holds("segment/acme/big") || cfg!(not(target_arch = "x86_64")),
        "{found:#?}"
    );

    // acme's lease ends by a no, under a download and an upload; globex's because nobody uses it.
    world.customer("acme", "disable-key");
    log::await_line(since, &["stream_cut", "acme"]);
    acme.hear(download);
    refused(&acme.hear(upload), 400);
    log::await_line(0, &["lease_ended", "globex"]);
    let ended = Instant::now();
    loop {
        let begun = ended.elapsed();
        let mut found = memory.search(&needles);
        let controls = found.extract_if(.., |name| name.starts_with("control")).count();
        assert!(controls > 0, "the search would find nothing");
        if found.is_empty() {
            break;
        }
        assert!(begun < FORGOTTEN, "{found:#?}");
    }

    // What is left to refuse.
    refused(&acme.ask("GET /acme-files/small", &[], b""), 400);
    world.customer("globex", "remove-role");
    refused(&globex.ask("GET /globex-files/small", &[], b""), 403);
    let tokens = world.token();
    let metrics = world.metrics();
    let others = world.stop();
    until(&mut globex, "GET /globex-files/small", 503);

    for name in ["acme", "globex", "store", "origin"] {
        needles.add(name, world.secret(name).as_bytes());
    }
    for (kind, part) in tokens.split('.').take(2).zip(["header", "claims"]) {
        // How every token begins, whatever its claims are.
        needles.add(format!("token's {part}"), &kind.as_bytes()[..16]);
    }
    let sent = [&acme, &globex, &store]
        .map(|client| client.signatures.clone())
        .concat();
    let passed_on = world.signatures();
    assert!(sent.len() > 30 && passed_on.len() > 30);
    for signature in sent.into_iter().chain(passed_on).collect::<BTreeSet<_>>() {
        needles.add(format!("signature {signature}"), signature.as_bytes());
    }
    let log = log::all();
    assert!(log.len() > 100_000, "everything is logged");
    for (what, text) in [
        ("the log and the audit", &log),
        ("an answer to acme", &acme.heard),
        ("an answer to globex", &globex.heard),
        ("the metrics", &metrics),
        ("the log of dev", &others),
    ] {
        let text = [text, control.as_slice()].concat();
        let found = needles.search(&text);
        assert!(
            found.iter().any(|(name, _)| *name == "control"),
            "the search would find nothing"
        );
        let found: Vec<_> = found.iter().filter(|(name, _)| *name != "control").collect();
        assert!(found.is_empty(), "{what}: {found:?}");
    }
}

fn ok(answer: &Answer) {
    assert!((200..300).contains(&answer.status), "{}", answer.text());
}

fn refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
}

/// Asks until the answer is this one: the gate leaves whoever said no alone for a while.
fn until(client: &mut Client, line: &str, status: u16) {
    let since = Instant::now();
    while client.ask(line, &[], b"").status != status {
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{line} is not answered {status}"
        );
    }
}

fn entra_refuses_at_first(world: &World, acme: &mut Client) {
    world.customer("acme", "remove-app");
    refused(&acme.ask("HEAD /acme-files", &[], b""), 403);
    world.customer("acme", "install-app");
    until(acme, "HEAD /acme-files", 200);
}

fn ordinary_work(client: &mut Client, bucket: &str) {
    ok(&client.ask(
        &format!("PUT {bucket}/small"),
        &[("x-amz-meta-a", "b")],
        b"a small object",
    ));
    ok(&client.ask(&format!("PUT {bucket}/big"), &[], &vec![b'x'; BIG]));
    ok(&client.ask(&format!("PUT {bucket}/changed"), &[], &[b'y'; 100_000]));
    ok(&client.ask(&format!("GET {bucket}/small"), &[], b""));
    ok(&client.ask(&format!("GET {bucket}/big"), &[("range", "bytes=70000-270000")], b""));
    ok(&client.ask(&format!("HEAD {bucket}/big"), &[], b""));
    ok(&client.ask(&format!("GET {bucket}?list-type=2"), &[], b""));
    ok(&client.ask("GET /", &[], b""));
    ok(&client.ask(&format!("DELETE {bucket}/nothing"), &[], b""));
    let head = client.presigned(&format!("GET {bucket}/small"), Duration::ZERO, 0);
    ok(&client.send(&head, b""));
    let head = client.presigned(&format!("PUT {bucket}/presigned"), Duration::ZERO, 9);
    ok(&client.send(&head, b"presigned"));
}

/// Each is refused, and its signature, right or nearly right, must not be repeated.
fn wrong_requests(client: &mut Client) {
    let (line, old) = ("GET /acme-files/small", Duration::from_secs(600));
    let head = forged(client.signed(line, &[], 0));
    refused(&client.send(&head, b""), 403);
    let head = forged(client.presigned(line, Duration::ZERO, 0));
    refused(&client.send(&head, b""), 403);
    let head = client.presigned(line, old, 0);
    refused(&client.send(&head, b""), 403);
    let head = client.presigned("GET /acme-files/small?acl", Duration::ZERO, 0);
    refused(&client.send(&head, b""), 501);
    let head = client.presigned("GET /acme-files/absent", Duration::ZERO, 0);
    refused(&client.send(&head, b""), 404);
    let head = client.presigned("GET /globex-files/small", Duration::ZERO, 0);
    refused(&client.send(&head, b""), 403);
    let head = client.presigned("GET /acme-files/%ff", Duration::ZERO, 0);
    refused(&client.send(&head, b""), 400);
    // Signed twice.
    let signed = client.signed(line, &[], 0);
    let mut head = client.presigned(line, Duration::ZERO, 0);
    head.headers.extend(signed.headers);
    refused(&client.send(&head, b""), 400);
    // Signed, and cut off, and no HTTP at all.
    let mut head = client.signed(line, &[], 0);
    let value = head.headers["authorization"]
        .to_str()
        .unwrap()
        .replace(", Signature", " Signature");
    head.headers.insert("authorization", value.parse().unwrap());
    refused(&client.send(&head, b""), 400);
    let signature = client.signatures.last().unwrap().clone();
    let head = client.head(line, &[("authorization", &format!("AWS AKID:{signature}"))], 0);
    refused(&client.send(&head, b""), 403);
    let head = client.head(&format!("{line}?X-Amz-Signature={signature}"), &[], 0);
    refused(&client.send(&head, b""), 400);
    let stream = client.raw(format!("GET /?X-Amz-Signature={signature} HTTP/1.1\r\n{signature}\r\n\r\n").as_bytes());
    assert!(client.hear(stream).status != 200);
    // A body that is not the one that was signed.
    let head = client.signed(
        "PUT /acme-files/never",
        &[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")],
        4,
    );
    refused(&client.send(&head, b"body"), 400);
}

/// The store changes an object, and holds one that bears no seal.
fn hostile_store(world: &World, acme: &mut Client) -> Client {
    let file = world.stored("acme-files", "changed");
    let mut bytes = fs::read(&file).unwrap();
    bytes[1000] ^= 1;
    fs::write(&file, bytes).unwrap();
    refused(&acme.ask("GET /acme-files/changed", &[], b""), 403);
    let file = world.stored("acme-files", "presigned");
    let mut bytes = fs::read(&file).unwrap();
    bytes[40] ^= 1;
    fs::write(&file, bytes).unwrap();
    refused(&acme.ask("GET /acme-files/presigned", &[], b""), 403);

    let mut store = Client::new(world.store, "PORTCULLISDEVSTORE01", &world.secret("store"));
    ok(&store.ask("PUT /acme-files/plain", &[], &[b'z'; 2000]));
    refused(&acme.ask("GET /acme-files/plain", &[], b""), 403);
    store
}
