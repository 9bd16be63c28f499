//! The running gate before a store that lies: what is not what was sealed never reaches a client, the audit names it, and no
//! lease and no other tenant feels it.
//!
//! What a client or a race can do to S3 stands elsewhere:
//!
//! | row | tests |
//! |---|---|
//! | parts re-sent, in any order, listed in part, of every size; number 10,000; pages of parts | `multipart::{shapes, list}` |
//! | Complete twice, on two replicas, cut off at each step; against Abort and late parts | `multipart::{race, crash}`, `killed_gates.py` |
//! | copies onto itself, of versions, ranges, swapped sources | `copy` |
//! | overwritten between footer, header and range | `moments`, `reading::under_way` |
//! | `If-None-Match: *` raced; limits at the exact byte; clients that go; the gate's container; pages of one; ranges of nothing | `writing::limits` |
//! | trailers good, bad and missing; a wrong Content-MD5 | `writing::checksums` |
//! | `Expect` refused before the body | `writing::expect` |
//! | part numbers, suffixes, every other range | `reading` |
//! | presigned, in every way | `s3::auth`'s own tests, `forms_and_urls.py` |
//! | size law and layouts | `seal`'s own tests |
//!
//! Not here, because the gate does not speak it yet: Azure Blob (blocks spliced, append blobs cut, the two clouds' names
//! confused). `crate::seal`'s own tests hold the format's half of it.

mod bodies;
mod envelopes;
mod headers;
mod metadata;
mod moments;
mod multipart;
mod words;

use crate::world::World;
use crate::world::client::Answer;
use crate::world::object::Object;

/// Three chunks and a bit more.
const LEN: usize = 3 * 65_536 + 100;
const CHUNK: usize = 65_536;

/// Bytes that no two places of any two objects share.
pub fn plain(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}

/// A world in which both tenants have an object `witness` and acme has `victim`, of these bytes.
struct Scene {
    world: World,
    plain: Vec<u8>,
    /// What was stored as `victim`.
    victim: Object,
}

impl Scene {
    async fn set() -> Self {
        Self::of(LEN).await
    }

    async fn of(len: usize) -> Self {
        let world = World::start().await;
        let plain = plain(len, 1);
        world.acme.put("victim", &plain).await;
        world.acme.put("witness", b"acme").await;
        world.globex.put("witness", b"globex").await;
        let victim = world.stored("acme", "victim").await;
        Self { world, plain, victim }
    }

    /// The store claims that `object` lies under `victim`: read as a whole it is refused, and the audit says so.
    async fn refuses(&self, what: &str, object: Object) {
        self.refuses_after(what, object, 0).await;
    }

    /// The same, where what is wrong lies so far back that this many bytes, the right ones, may have been released.
    async fn refuses_after(&self, what: &str, object: Object, released: usize) {
        let before = self.tampered();
        self.world.claim("acme", "victim", object);
        let answer = self.world.acme.get("victim").await;
        self.is_refusal(what, &answer, released);
        self.is_audited(what, before);
    }

    /// The same of a range.
    async fn refuses_range(&self, what: &str, object: Object, range: &str) {
        let before = self.tampered();
        self.world.claim("acme", "victim", object);
        let answer = self.world.acme.get_range("victim", range).await;
        self.is_refusal(what, &answer, 0);
        self.is_audited(what, before);
    }

    /// An error that says what it is, or an answer that broke off with no byte that is not the plaintext's.
    fn is_refusal(&self, what: &str, answer: &Answer, released: usize) {
        match answer.status() {
            403 => {
                let code = answer.code();
                assert!(
                    ["ObjectTampered", "ObjectNotSealed"].contains(&code.as_str()),
                    "{what}: {code}"
                );
            }
            0 if released > 0 => {}
            200 | 206 if released > 0 => {
                assert!(!answer.whole, "{what}: served");
                assert!(
                    answer.body.len() <= released,
                    "{what}: {} bytes came",
                    answer.body.len()
                );
                assert!(self.plain.starts_with(&answer.body), "{what}: other bytes came");
            }
            status => panic!("{what}: {status} {}", answer.code()),
        }
    }

    fn is_audited(&self, what: &str, before: usize) {
        let events = self.world.audit("acme", "object_tampered");
        assert_eq!(events.len(), before + 1, "{what}: one audit event");
        let event = &events[before];
        assert_eq!(
            (event.field("container"), event.field("name")),
            ("acme-files", "victim"),
            "{what}"
        );
        assert!(event.in_request, "{what}: the audit has the request's id");
        assert_ne!(event.field("what"), "", "{what}: the audit says what gave it away");
        assert_eq!(event.field("operation"), "GetObject", "{what}");
        let version = event.field("version");
        assert!(version.is_empty() || version == self.version(), "{what}: {version}");
    }

    /// The version of acme's key that its lease is under.
    fn version(&self) -> String {
        self.world.audit("acme", "lease_granted")[0].field("version").to_owned()
    }

    /// Everything so far was found out under acme's own lease, or nothing was, and the audit names a version only where there was one.
    fn was_held_against_the_key(&self, held: bool) {
        let wanted = if held { self.version() } else { String::new() };
        let events = self.world.audit("acme", "object_tampered");
        assert!(
            !events.is_empty() && events.iter().all(|event| event.field("version") == wanted),
            "{events:#?}"
        );
    }

    /// How many objects of acme's the audit has as tampered with.
    fn tampered(&self) -> usize {
        self.world.audit("acme", "object_tampered").len()
    }

    /// After all of that: no lease has ended, the vaults were asked no more than this, and everybody is served from memory.
    async fn is_undisturbed(&self, unwraps: u64) {
        let Self { world, plain, .. } = self;
        world.adversary.honest();
        for (customer, client) in [("acme", &world.acme), ("globex", &world.globex)] {
            assert!(
                client.get("witness").await.is(customer.as_bytes()),
                "{customer} is served"
            );
            for event in ["lease_ended", "key_refused", "stream_cut"] {
                assert_eq!(world.audit(customer, event), [], "{customer}: {event}");
            }
        }
        assert!(world.acme.get("victim").await.is(plain), "the victim, as it was");
        assert_eq!(world.unwraps("acme"), unwraps, "calls to acme's vault");
        assert_eq!(world.unwraps("globex"), 1, "calls to globex's vault");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_store_is_believed() {
    let scene = Scene::set().await;
    let Scene { world, plain, victim } = &scene;
    assert!(world.acme.get("victim").await.is(plain));
    assert!(!victim.body.windows(16).any(|window| window == &plain[..16]), "sealed");
    for (range, bytes) in [
        ("0-0", 0..1),
        ("5-70000", 5..70_001),
        ("65536-131071", CHUNK..2 * CHUNK),
        ("131071-", 131_071..LEN),
        ("-100", LEN - 100..LEN),
        ("0-", 0..LEN),
    ] {
        assert!(world.acme.get_range("victim", range).await.is(&plain[bytes]), "{range}");
    }
    // And a store that answers from what the adversary holds is as good.
    world.claim("acme", "victim", victim.clone());
    assert!(world.acme.get("victim").await.is(plain));
    assert!(world.acme.get_range("victim", "-100").await.is(&plain[LEN - 100..]));
    scene.is_undisturbed(1).await;
}
