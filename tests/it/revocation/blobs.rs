//! Azure's operations under way when the customer says no, or nobody answers: reads are cut, writes and what waits for the store are
//! refused, blocks that wait are kept for a later yes; and another customer's go on.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use http::Method;
use portcullis::dev::standin::{Fault, Operation};
use tokio::task::JoinHandle;

use super::{DUE, PATIENCE, asked_anew, azure, entra_asked_anew, served_again, why_ended};
use crate::revocation::doors::Door;
use crate::revocation::rows::{CLOSED, DENIED, DISABLED, Told};
use crate::world::adversary::{Asked, End, Lie, Reply};
use crate::world::azure::{Azure, FILES};
use crate::world::client::{Answer, Stalled};
use crate::world::vault;

/// More than fits in the buffers between the gate and a client that does not read.
const LONG: usize = 2 << 20;
const BLOB: (&str, &str) = ("x-ms-blob-type", "BlockBlob");
const BLOCK: &str = "?comp=block&blockid=YQ%3D%3D";
const LIST: &[u8] = b"<BlockList><Latest>YQ==</Latest></BlockList>";

fn long() -> Vec<u8> {
    (0..LONG / 8).flat_map(|at| (at as u64).to_le_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_of_the_vault_ends_what_is_under_way_at_azures_door() {
    let file = long();
    let Some(azure) = azure(&file).await.map(Arc::new) else {
        return;
    };
    let under_way = UnderWay::begin(&azure, &file).await;
    azure.world.standin.customer("acme").disable_key().unwrap();
    azure.world.pass(DUE);
    under_way.end(&azure, "disable-key", &DISABLED, &file).await;
    azure.world.standin.customer("acme").enable_key().unwrap();
    nothing_is_lost(&azure, &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_of_entra_ends_what_is_under_way_at_azures_door() {
    let file = long();
    let Some(azure) = azure(&file).await.map(Arc::new) else {
        return;
    };
    let under_way = UnderWay::begin(&azure, &file).await;
    azure.world.standin.customer("acme").disable_app().unwrap();
    entra_asked_anew(&*azure).await;
    under_way.end(&azure, "disable-app", &DENIED, &file).await;
    azure.world.standin.customer("acme").enable_app().unwrap();
    nothing_is_lost(&azure, &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_what_is_under_way_at_azures_door_when_the_lease_runs_out_and_not_before() {
    let file = long();
    let Some(azure) = azure(&file).await.map(Arc::new) else {
        return;
    };
    let under_way = UnderWay::begin(&azure, &file).await;
    let site = azure.world.standin.vault(&vault("acme"));
    site.fault(Fault::busy());
    let unwraps = azure.world.unwraps("acme");
    let renewed = || azure.world.audit("globex", "lease_renewed").len();
    let before = renewed();
    azure.world.pass(DUE);
    site.seen(Operation::UnwrapKey, unwraps + 1).await;
    assert_eq!(azure.world.audit("acme", "stream_cut"), [], "the lease still runs");
    assert!(azure.read("acme", "file").await.is(&file));
    // Step by step, so that globex's lease is renewed meanwhile.
    let began = Instant::now();
    while renewed() == before {
        assert!(began.elapsed() < PATIENCE, "globex's key still permits");
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        asked_anew(&*azure, &["globex"]).await;
    }
    under_way.end(&azure, "silence", &CLOSED, &file).await;
    site.clear_faults();
    nothing_is_lost(&azure, &file).await;
}

/// Of acme: a download that nobody reads on; uploads that stall before their first chunk is full, and in the middle; and what waits
/// for a store that does not answer. Of globex: a download and a block.
struct UnderWay {
    unread: Stalled,
    uploads: Vec<(&'static str, Stalled)>,
    waiting: Vec<(&'static str, JoinHandle<Answer>)>,
    theirs: Stalled,
    their_block: Stalled,
}

impl UnderWay {
    async fn begin(azure: &Arc<Azure>, file: &[u8]) -> Self {
        // A block that waits to be named by a list.
        let staged = format!("/{FILES}/staged{BLOCK}");
        let put = azure.client("acme").send(Method::PUT, &staged, &[], file).await;
        assert_eq!(put.status(), 201, "{put:?}");
        assert!(azure.is_stored("acme", "staged").await);

        let at = format!("/{FILES}/file");
        let download = async |customer| {
            let begun = azure.client(customer).begin(Method::GET, &at, &[], None, b"").await;
            begun.head(200).await
        };
        let (theirs, half) = (format!("/{FILES}/theirs{BLOCK}"), &file[..LONG / 2]);
        let globex = azure.client("globex");
        Self {
            uploads: Self::uploads(azure, file).await,
            waiting: Self::waiting(azure, file).await,
            unread: download("acme").await,
            theirs: download("globex").await,
            their_block: globex.begin(Method::PUT, &theirs, &[], Some(LONG), half).await,
        }
    }

    async fn uploads(azure: &Azure, file: &[u8]) -> Vec<(&'static str, Stalled)> {
        let half = LONG / 2;
        let mut uploads = Vec::new();
        for (what, name, query, headers, sent) in [
            ("Put Block, begun", "begun", BLOCK, &[][..], 1000),
            ("Put Block, half", "half", BLOCK, &[], half),
            ("Put Block, all but a byte", "almost", BLOCK, &[], LONG - 1),
            ("Put Blob, half", "whole", "", &[BLOB], half),
            ("Append Block, half", "log", "?comp=appendblock", &[], half),
        ] {
            let (client, target) = (azure.client("acme"), format!("/{FILES}/{name}{query}"));
            let upload = client.begin(Method::PUT, &target, headers, Some(LONG), &file[..sent]);
            uploads.push((what, upload.await));
        }
        // The store has been asked to take each whose first chunk is full; a block that is appended waits for its end.
        for name in ["half", "almost", "whole"] {
            is_asked(azure, name, 0).await;
        }
        uploads
    }

    /// Of one blob the store sends the half, about others it says nothing.
    async fn waiting(azure: &Arc<Azure>, file: &[u8]) -> Vec<(&'static str, JoinHandle<Answer>)> {
        assert_eq!(azure.write("acme", "slow", file).await.status(), 201);
        let half = |asked: &Asked, reply: Reply| match asked.method == Method::GET && reply.body.len() > LONG / 2 {
            true => reply.cut(LONG / 2, End::Never),
            false => reply,
        };
        azure.adversary.lie("acme", &key("slow"), Lie::twist(half));
        let mut waiting = Vec::new();
        for (what, method, name, query, source, body) in [
            ("Get Blob Properties", Method::HEAD, "quiet", "", "", &b""[..]),
            ("Get Block List", Method::GET, "blocks", "?comp=blocklist", "", b""),
            ("Put Block List", Method::PUT, "listed", "?comp=blocklist", "", LIST),
            ("Copy Blob", Method::PUT, "copied", "", "file", b""),
            ("Put Block From URL", Method::PUT, "copied-block", BLOCK, "slow", b""),
            ("List Blobs", Method::GET, "", "?restype=container&comp=list", "", b""),
        ] {
            if source != "slow" {
                azure.adversary.lie("acme", &key(name), Lie::silence());
            }
            let before = asked(azure, name);
            let (azure_too, target) = (Arc::clone(azure), format!("/{}{query}", key(name)));
            let request = tokio::spawn(async move {
                let client = azure_too.client("acme");
                let url = client.url(source);
                let copied = [("x-ms-copy-source", url.as_str())];
                let headers = if source.is_empty() { &[] } else { &copied[..] };
                client.send(method, &target, headers, body).await
            });
            is_asked(azure, name, before).await;
            waiting.push((what, request));
        }
        waiting
    }

    async fn end(self, azure: &Azure, said: &str, told: &Told, file: &[u8]) {
        let (status, code) = azure.words(told);
        // Nobody reads or sends meanwhile: the gate itself must notice.
        let began = Instant::now();
        while azure.world.audit("acme", "stream_cut").is_empty() {
            assert!(began.elapsed() < PATIENCE, "{said}: not cut");
            tokio::task::yield_now().await;
        }
        let (got, end) = self.unread.finish().await;
        let end = end.expect_err("cut").kind();
        assert_eq!(
            end,
            ErrorKind::ConnectionReset,
            "{said}: no client takes a part for the whole"
        );
        assert!(got.len() < LONG / 2, "{said}: {} bytes came", got.len());
        let cut = &azure.world.audit("acme", "stream_cut")[0];
        assert_eq!(cut.field("operation"), "GetBlob");
        let (reason, version) = why_ended(&azure.world, 0).await;
        assert_eq!(
            (cut.field("reason"), cut.field("version")),
            (&*reason, &*version),
            "{said}"
        );

        for (what, upload) in self.uploads {
            let (got, _) = tokio::time::timeout(PATIENCE, upload.finish()).await.expect("an end");
            let text = String::from_utf8_lossy(&got);
            assert!(text.contains(&format!("<Code>{code}</Code>")), "{said}: {what}: {text}");
        }
        for (what, request) in self.waiting {
            let answer = tokio::time::timeout(PATIENCE, request).await.expect("an end").unwrap();
            let refused = (answer.status(), azure.code(&answer));
            assert_eq!(refused, (status, code.to_owned()), "{said}: {what}: {answer:?}");
        }
        for name in ["begun", "half", "almost", "whole", "listed", "copied", "copied-block"] {
            assert!(
                !azure.is_stored("acme", name).await,
                "{said}: {name} left something in the store"
            );
        }

        let (got, end) = self.theirs.finish().await;
        assert!(
            end.is_ok() && got == file,
            "{said}: globex's download came whole: {end:?}"
        );
        let (got, end) = self.their_block.send(&file[LONG / 2..]).await.finish().await;
        assert!(end.is_ok() && got.is_empty(), "{said}: globex's block was taken");
        committed(azure, "globex", "theirs", file).await;
        assert_eq!(azure.world.audit("globex", "stream_cut"), [], "{said}");
        assert_eq!(azure.world.audit("globex", "key_refused"), [], "{said}");
    }
}

/// Served again: what was stored before is there, what was under way is not.
async fn nothing_is_lost(azure: &Azure, file: &[u8]) {
    azure.adversary.honest();
    served_again(azure, "acme", file).await;
    committed(azure, "acme", "staged", file).await;
    assert!(azure.read("acme", "log").await.is(b""), "nothing was appended");
}

/// The block that waits under this name becomes the blob, and is what was put.
async fn committed(azure: &Azure, customer: &str, name: &str, file: &[u8]) {
    let target = format!("/{FILES}/{name}?comp=blocklist");
    let list = azure.client(customer).send(Method::PUT, &target, &[], LIST).await;
    assert_eq!(list.status(), 201, "{customer}: {list:?}");
    assert!(azure.read(customer, name).await.is(file), "{customer}: {name}");
}

/// A blob, as the adversary knows it; with no name, the container.
fn key(name: &str) -> String {
    format!("{FILES}/{name}").trim_end_matches('/').to_owned()
}

/// How often the gate has asked the store about it, of acme's.
fn asked(azure: &Azure, name: &str) -> u64 {
    azure.adversary.asked("acme", &key(name))
}

async fn is_asked(azure: &Azure, name: &str, before: u64) {
    let began = Instant::now();
    while asked(azure, name) <= before {
        assert!(began.elapsed() < PATIENCE, "the store is not asked about {name}");
        tokio::task::yield_now().await;
    }
}
