//! No secret shows in logs, audit, errors, answers or metrics, and no key, signature or token outlives its lease in the process's
//! memory.
//!
//! A binary and a process of its own: the log of everything and the memory are the whole process's, so no other test may
//! share them.
// A panic is how a test fails; clippy's own exception covers only the test functions, not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod blobs;
mod client;
mod log;
mod masked;
mod memory;
mod mirror;
mod needle;
mod planted;
mod world;

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

use crate::blobs::Blobs;
use crate::client::{Answer, Client, forged, signature_of};
use crate::masked::Masked;
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
/// `identity_bound` of `dev`: so long a token may be of use to a tenant that comes again.
const IDENTITY: Duration = Duration::from_secs(60);
/// How the assertion of an application with a certificate begins: `{"alg":"PS256","ty` in base64url. Entra refuses it here.
const ASSERTION: &str = "eyJhbGciOiJQUzI1NiIsInR5";

/// What stays in memory as long as the gate runs, because it is needed again, and why; so it is searched for everywhere but there.
const STAYS: [(&str, &str); 14] = [
    ("store", "signs every request to the store"),
    ("acme", "checks the signatures of this client's requests"),
    ("globex", "checks the signatures of this client's requests"),
    ("stranger", "checks the signatures of this client's requests"),
    ("origin", "marks and checks every envelope"),
    ("acme-azure", "checks SharedKey and SAS"),
    ("acme-blob", "signs every request to the storage account"),
    ("audit-key", "makes the digest of every line of the trail"),
    ("recheck", "is compared with what is shown"),
    ("application", "is shown to Entra for every token"),
    ("certificate", "signs an assertion for every token"),
    (
        "cckm",
        "is shown to CipherTrust Manager when its tokens are no longer taken",
    ),
    (
        "jwt",
        "CipherTrust Manager's token: it opens no key, and outlives every lease",
    ),
    ("refresh", "the same, for the next token"),
];

#[test]
fn no_secret_shows_and_none_outlives_its_lease() {
    // Opened first: the gate forbids it to all but root.
    let memory = Memory::open();
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
    let blobs = azure_work(&world);
    let stranger = entra_knows_neither(&world);
    let store = hostile_store(&world, &mut acme);
    let rechecked = wishes(&world);
    let mut tokens = Needles::new();
    let tokens_control = tokens.control();
    plant_tokens(&world, &mut tokens);

    let mut needles = Needles::new();
    world.plant(&mut needles);
    let control = needles.control();

    // While somebody downloads, the keys are where they are expected: so these are the keys, and the search finds them.
    let since = log::so_far();
    let mut download = under_way(&mut acme, "GET /acme-files/big", 0);
    download.read_exact(&mut [0; 1024]).unwrap();
    let mut upload = under_way(&mut acme, "PUT /acme-files/never", BIG);
    upload.write_all(&[7; 200_000]).unwrap();
    let sent = [&acme, &globex, &stranger]
        .map(|client| client.signatures.clone())
        .concat();
    let passed_on = [world.signatures(), world.mirror.signatures()].concat();
    for signature in sent.iter().chain(&blobs.signatures).chain(&passed_on) {
        needles.add("a signature", &signature.shown());
    }
    let found = memory.search(&needles);
    let holds = |kind: &str| found.iter().any(|name| name.starts_with(kind) && name.contains("/raw"));
    assert!(holds("dek/acme/"), "{found:#?}");
    // How a cipher keeps its key is its own business; with AES-NI the schedule begins with the key itself.
    assert!(
        holds("segment/acme/big") || cfg!(not(target_arch = "x86_64")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|name| name.starts_with("a signature")),
        "of the download"
    );
    let found = memory.search(&tokens);
    assert!(found.iter().any(|name| name.starts_with("a token")), "{found:#?}");

    // acme's lease ends by a no, under a download and an upload; globex's because nobody uses it.
    world.customer("acme", "disable-key");
    log::await_line(since, &["stream_cut", "acme"]);
    acme.hear(download);
    refused(&acme.hear(upload), 400);
    log::await_line(0, &["lease_ended", "globex"]);
    scrub_the_stack();
    is_forgotten(&memory, &needles, FORGOTTEN);
    // Nobody asks for anything, and no token can be of use any more.
    is_forgotten(&memory, &tokens, IDENTITY + FORGOTTEN);

    // What is left to refuse.
    refused(&acme.ask("GET /acme-files/small", &[], b""), 400);
    world.customer("globex", "remove-role");
    refused(&globex.ask("GET /globex-files/small", &[], b""), 403);
    assert!(
        world.mirror.was_told("/api/v1/cckm/azure/keys"),
        "the manager was asked"
    );
    let metrics = world.metrics();
    let others = world.stop();
    until(&mut globex, "GET /globex-files/small", 503);

    // From here on nothing more is asked of memory.
    for (name, _) in STAYS {
        match world.planted.forms(name) {
            Some(forms) => forms.iter().for_each(|form| needles.add(name, form)),
            None => needles.add(name, world.secret(name).as_bytes()),
        }
    }
    assert!(
        world
            .planted
            .names()
            .all(|planted| STAYS.iter().any(|(name, _)| *name == planted))
    );
    let shown: Vec<Masked> = [&acme, &globex, &store, &stranger]
        .map(|client| client.signatures.clone())
        .concat();
    let passed_on = [world.signatures(), world.mirror.signatures()].concat();
    assert!(shown.len() > 30 && passed_on.len() > 30 && !world.mirror.signatures().is_empty());
    for signature in shown.iter().chain(&passed_on) {
        needles.add("a signature", &signature.shown());
    }
    let (log, trail) = (log::all(), world.trail());
    assert!(log.len() > 100_000, "everything is logged");
    for crates in ["hyper", "azure_core", "portcullis::gateway"] {
        assert!(String::from_utf8_lossy(&log).contains(crates), "{crates} is heard");
    }
    let written = String::from_utf8_lossy(&trail);
    for event in [
        "lease_granted",
        "stream_cut",
        "object_tampered",
        "request_refused",
        "hmac-sha256",
    ] {
        assert!(written.contains(event), "{event} is in the trail");
    }
    for (what, text) in [
        ("the log and the audit", &log),
        ("the audit's trail", &trail),
        ("an answer to acme", &acme.heard),
        ("an answer to globex", &globex.heard),
        ("an answer to a tenant whom Entra does not know", &stranger.heard),
        ("an answer to a client of Azure's", &blobs.heard),
        ("an answer to a wish for a proof", &rechecked),
        ("the metrics", &metrics),
        ("the log of dev", &others),
    ] {
        for (needles, control) in [(&needles, &control), (&tokens, &tokens_control)] {
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
}

/// Searches until nothing is found. One that began later than this must not find anything.
fn is_forgotten(memory: &Memory, needles: &Needles, within: Duration) {
    let since = Instant::now();
    loop {
        let begun = since.elapsed();
        let mut found = memory.search(needles);
        let controls = found.extract_if(.., |name| name.starts_with("control")).count();
        assert!(controls > 0, "the search would find nothing");
        if found.is_empty() {
            break;
        }
        assert!(begun < within, "{found:#?}");
    }
}

/// The test's own thread has made signatures, and what it called left them behind on its stack.
#[inline(never)]
fn scrub_the_stack() {
    std::hint::black_box(&mut [0_u8; 1 << 20]);
}

/// A signed request that is left to go on.
fn under_way(client: &mut Client, line: &str, length: usize) -> std::net::TcpStream {
    let head = client.signed(line, &[], length);
    client.begin(&head)
}

/// How every token begins, whatever its claims are; and the assertion that the gate makes itself.
fn plant_tokens(world: &World, needles: &mut Needles) {
    let token = world.token();
    for (part, name) in token.split('.').take(2).zip(["header", "claims"]) {
        needles.add(format!("a token's {name}"), &part.as_bytes()[..16]);
    }
    needles.add("an assertion", ASSERTION.as_bytes());
}

/// A wish for a proof with the right token, a wrong one, and one that is nearly right.
fn wishes(world: &World) -> Vec<u8> {
    let token = world.planted.get("recheck");
    let (right, wrong) = (world.recheck(token), world.recheck(&token[1..]));
    let said = |answer: &[u8], status: &str| answer.starts_with(format!("HTTP/1.1 {status}").as_bytes());
    assert!(said(&right, "202") && said(&wrong, "401"));
    [right, wrong].concat()
}

/// The store repeats the gate's signatures in its refusals.
fn azure_work(world: &World) -> Blobs {
    let mut blobs = Blobs::new(world.azure, world.planted.get("acme-azure"));
    for (forged, served) in [(false, true), (true, false)] {
        let (told, forbidden) = ([403, 502, 503], 403);
        let key = blobs.shared_key("files/by-key", forged);
        let sas = blobs.sas("files/by-sas", forged);
        assert!(told.contains(&key) && told.contains(&sas), "{key} {sas}");
        assert!(served || (key, sas) == (forbidden, forbidden));
    }
    for name in ["by-key", "by-sas"] {
        assert!(
            world.mirror.was_told(&format!("GET /acme/files/{name} ")),
            "{name} reached the store"
        );
    }
    assert!((400..500).contains(&blobs.bearer("files/small", world.planted.get("jwt"))));
    blobs
}

/// Requests for keys that are reached by a certificate and by a secret which Entra does not know.
fn entra_knows_neither(world: &World) -> Client {
    let mut client = Client::new(world.gate, "PORTCULLISDEVOTHER01", world.planted.get("stranger"));
    for bucket in ["initech-files", "hooli-files"] {
        refused(&client.ask(&format!("GET /{bucket}/small"), &[], b""), 503);
    }
    client
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
    let signature = signature_of(&client.signed(line, &[], 0)).to_owned();
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
