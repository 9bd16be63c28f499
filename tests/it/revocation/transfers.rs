//! Transfers under way when the customer says no: cut at the client's socket, whether or not anybody reads or sends; and those of
//! everybody else, which go on.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

use portcullis::dev::standin::{Fault, Operation};

use super::{DUE, PATIENCE, asked_anew, entra_asked_anew, served_again, why_ended, world};
use crate::world::adversary::{End, Late, Lie};
use crate::world::client::Stalled;
use crate::world::{World, bucket, vault};

/// More than fits in the buffers between the gate and a client that does not read.
const LONG: usize = 2 << 20;

fn long() -> Vec<u8> {
    (0..LONG / 8).flat_map(|at| (at as u64).to_le_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_of_the_vault_cuts_what_is_under_way_and_nothing_of_another_tenants() {
    let file = long();
    let world = world(&file).await;
    for (no, yes, code) in [
        ("disable-key", "enable-key", "KMS.DisabledException"),
        ("delete-key", "recover-key", "KMS.NotFoundException"),
        ("remove-role", "grant-role", "AccessDenied"),
    ] {
        let transfers = Transfers::begin(&world, &file).await;
        world.standin.customer("acme").act(no.parse().unwrap()).unwrap();
        world.pass(DUE);
        transfers.are_cut(&world, no, code, &file).await;
        world.standin.customer("acme").act(yes.parse().unwrap()).unwrap();
        served_again(&world, "acme", &file).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_of_entra_cuts_what_is_under_way_and_nothing_of_another_tenants() {
    let file = long();
    let world = world(&file).await;
    let transfers = Transfers::begin(&world, &file).await;
    world.standin.customer("acme").disable_app().unwrap();
    entra_asked_anew(&world).await;
    transfers.are_cut(&world, "disable-app", "AccessDenied", &file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_cuts_what_is_under_way_when_the_lease_runs_out_and_not_before() {
    let file = long();
    let world = world(&file).await;
    let transfers = Transfers::begin(&world, &file).await;
    world.standin.vault(&vault("acme")).fault(Fault::busy());
    let unwraps = world.unwraps("acme");
    let renewed = world.audit("globex", "lease_renewed").len();
    world.pass(DUE);
    world
        .standin
        .vault(&vault("acme"))
        .seen(Operation::UnwrapKey, unwraps + 1)
        .await;
    assert_eq!(world.audit("acme", "stream_cut"), [], "the lease still runs");
    assert!(world.acme.get("file").await.is(&file));
    // Step by step, so that globex's lease is renewed meanwhile.
    let began = Instant::now();
    while world.audit("globex", "lease_renewed").len() == renewed {
        assert!(began.elapsed() < PATIENCE, "globex's key still permits");
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        asked_anew(&world, &["globex"]).await;
    }
    transfers.are_cut(&world, "silence", "ServiceUnavailable", &file).await;
}

/// A reader so slow that its download outlasts many leases is use, and keeps them renewed.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_outlives_its_first_lease() {
    let file = long();
    let world = world(&file).await;
    let download = world.acme.begin_get("file").await;
    is_use(&world, "a download that is not read").await;
    let (got, end) = download.finish().await;
    assert!(end.is_ok() && got == file);
    assert_eq!(world.audit("acme", "lease_ended"), []);
}

/// The body is gone then, and with it what was sealed under the lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_its_time_over_what_it_has_whole_outlives_the_lease_that_it_came_under() {
    let file = long();
    let world = world(&file).await;
    let late = Arc::new(Late::default());
    world.lie("acme", "late", Lie::late(&late));
    let store = async {
        late.done.notified().await;
        is_use(&world, "an upload that the store has not answered").await;
        late.told.notify_one();
    };
    tokio::join!(world.acme.put("late", &file), store);
    assert_eq!(world.audit("acme", "lease_ended"), []);
    world.adversary.honest();
    assert!(world.acme.get("late").await.is(&file));
}

/// For longer than the bound and with nothing else asked, acme's lease is renewed each time that it is due.
async fn is_use(world: &World, what: &str) {
    for _ in 0..6 {
        let renewed = world.audit("acme", "lease_renewed").len();
        world.pass(DUE);
        let began = Instant::now();
        while world.audit("acme", "lease_renewed").len() == renewed {
            assert!(began.elapsed() < PATIENCE, "{what} is use");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_stalls_keeps_no_client_past_the_lease() {
    let file = long();
    let world = world(&file).await;
    let stored = world.stored("acme", "file").await;
    let stall = move |asked: &_| stored.answer(asked).cut(1 << 20, End::Never);
    world.lie("acme", "file", Lie::instead(stall));
    let download = world.acme.begin_get("file").await;
    let reading = tokio::spawn(download.finish());
    world.standin.customer("acme").disable_key().unwrap();
    world.pass(DUE);
    let (got, end) = tokio::time::timeout(PATIENCE, reading).await.unwrap().unwrap();
    assert!(end.is_err() && got.len() < file.len());
    // Written down when the gate's side of the connection goes, which the client need not see last.
    let began = Instant::now();
    while world.audit("acme", "stream_cut").is_empty() {
        assert!(began.elapsed() < PATIENCE, "a download that was cut is audited");
        tokio::task::yield_now().await;
    }
}

/// Of acme: a download that is not read on, one that is, an upload that stalls before its first chunk is full, one in the middle.
/// Of globex: a download and an upload.
struct Transfers {
    unread: Stalled,
    uploads: Vec<(&'static str, Stalled)>,
    theirs: Stalled,
    their_upload: Stalled,
    cuts: usize,
    ends: usize,
}

impl Transfers {
    async fn begin(world: &World, file: &[u8]) -> Self {
        let begun = Self {
            cuts: world.audit("acme", "stream_cut").len(),
            ends: world.audit("acme", "lease_ended").len(),
            unread: world.acme.begin_get("file").await,
            uploads: vec![
                ("begun", world.acme.begin_put("begun", LONG, &file[..1000]).await),
                ("half", world.acme.begin_put("half", LONG, &file[..LONG / 2]).await),
                (
                    "all but a byte",
                    world.acme.begin_put("almost", LONG, &file[..LONG - 1]).await,
                ),
            ],
            theirs: world.globex.begin_get("file").await,
            their_upload: world.globex.begin_put("theirs", LONG, &file[..LONG / 2]).await,
        };
        // The store has been asked to take every upload whose first chunk is full.
        let began = Instant::now();
        while world.adversary.asked(&bucket("acme"), "half") == 0
            || world.adversary.asked(&bucket("acme"), "almost") == 0
        {
            assert!(began.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
        begun
    }

    async fn are_cut(self, world: &World, said: &str, code: &str, file: &[u8]) {
        // Nobody reads or sends meanwhile: the gate itself must notice.
        let began = Instant::now();
        while world.audit("acme", "stream_cut").len() == self.cuts {
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
        for (what, upload) in self.uploads {
            let (got, _) = tokio::time::timeout(PATIENCE, upload.finish()).await.expect("an end");
            let text = String::from_utf8_lossy(&got);
            assert!(
                text.contains(&format!("<Code>{code}</Code>")),
                "{said}: the upload {what}: {text}"
            );
        }
        let event = &world.audit("acme", "stream_cut")[self.cuts];
        assert_eq!(event.field("operation"), "GetObject");
        let (reason, version) = why_ended(world, self.ends).await;
        assert_eq!(event.field("reason"), reason, "{said}");
        assert_ne!(version, "", "{said}");
        assert_eq!(event.field("version"), version, "{said}");
        assert!(event.in_request, "{said}: the audit has the request's id");
        for key in ["begun", "half", "almost"] {
            let stored = world.store_client(&bucket("acme")).get(key).await;
            assert_eq!(stored.status(), 404, "{said}: {key} left nothing in the store");
        }

        let (got, end) = self.theirs.finish().await;
        assert!(
            end.is_ok() && got == file,
            "{said}: globex's download came whole: {end:?}, {} bytes",
            got.len()
        );
        let (got, end) = self.their_upload.send(&file[LONG / 2..]).await.finish().await;
        assert!(end.is_ok() && got.is_empty(), "{said}: globex's upload was taken");
        assert!(world.globex.get("theirs").await.is(file), "{said}");
        assert_eq!(world.audit("globex", "stream_cut"), [], "{said}");
    }
}
