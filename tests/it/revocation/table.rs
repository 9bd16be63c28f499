//! The table of `rows.rs`, played: each row is said by the stand-in in the service's own words, is recovered from without a restart,
//! and leaves the other customer alone. What is said at all is the table of `docs/KEYS.md`.

use http::{HeaderMap, Method};
use portcullis::dev::standin::Customer;

use super::{BOUND, DUE, IDENTITY, entra_asked_anew, served_again, until, world};
use crate::revocation::no::refused;
use crate::revocation::rows::{
    By, Row, Stage, nos_of_entra, nos_of_the_vault, silences_of_the_identity, silences_of_the_vault,
};
use crate::world::World;

const FILE: &[u8] = b"words";

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_the_vault() {
    let world = world(FILE).await;
    for row in nos_of_the_vault() {
        row.say(&stage(&world));
        world.pass(DUE);
        refused(&world, "acme", row.what, row.told.0, row.told.1).await;
        row.is_audited(&world, "key_refused");
        row.leaves_the_other_alone(&world).await;
        row.mended(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_silence_of_the_vault() {
    let world = world(FILE).await;
    for row in silences_of_the_vault() {
        row.say(&stage(&world));
        world.pass(DUE);
        assert!(world.acme.get("file").await.is(FILE), "{}: the lease runs", row.what);
        world.pass(BOUND);
        row.shuts(&world).await;
        row.leaves_the_other_alone(&world).await;
        row.mended(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_entra() {
    let world = world(FILE).await;
    for row in nos_of_entra() {
        row.say(&stage(&world));
        entra_asked_anew(&world).await;
        refused(&world, "acme", row.what, row.told.0, row.told.1).await;
        row.is_audited(&world, "key_refused");
        row.leaves_the_other_alone(&world).await;
        row.mended(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_silence_of_the_identity() {
    // A store takes no signatures of another quarter of an hour than its own, and each row passes the most of a minute.
    for rows in silences_of_the_identity().chunks(12) {
        let world = world(FILE).await;
        for row in rows {
            row.say(&stage(&world));
            world.pass(IDENTITY);
            row.shuts(&world).await;
            if matches!(row.by, By::Entra(_)) {
                row.leaves_the_other_alone(&world).await;
            }
            row.mended(&world).await;
        }
    }
}

/// `exp` and `nbf` are the gate's to heed: Key Vault unwraps all the same. Nothing new is sealed, what is sealed opens.
#[tokio::test(flavor = "multi_thread")]
async fn each_date_of_the_key() {
    const HOUR: i64 = 3600;
    let world = world(FILE).await;
    let now = || i64::try_from(world.clock.now().wall.as_secs()).unwrap();
    type Set = fn(&Customer, Option<i64>);
    let rows: [(&str, Set, i64, &str); 2] = [
        ("exp passed", |it, at| drop(it.set_expiry(at)), -HOUR, "key_expired"),
        (
            "nbf ahead",
            |it, at| drop(it.set_not_before(at)),
            HOUR,
            "key_not_yet_valid",
        ),
    ];
    for (what, set, away, reason) in rows {
        set(&world.standin.customer("acme"), Some(now() + away));
        world.pass(std::time::Duration::from_secs(61));
        let put = || world.acme.send(Method::PUT, "new", HeaderMap::new(), b"new");
        let answer = until(what, put, |answer| answer.status() != 200).await;
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (400, "KMS.KMSInvalidStateException"),
            "{what}"
        );
        assert!(world.acme.get("file").await.is(FILE), "{what}: what is sealed opens");
        assert_eq!(last_reason(&world, "request_refused"), reason, "{what}");
        set(&world.standin.customer("acme"), None);
        served_again(&world, "acme", FILE).await;
    }
}

impl Row {
    /// Mended, and served again without a restart.
    async fn mended(&self, world: &World) {
        self.take_back(&stage(world));
        served_again(world, "acme", FILE).await;
        until(self.what, || world.globex.get("file"), |answer| answer.is(FILE)).await;
    }

    /// Refused with this reason, so that SDKs come again; and nobody has said no.
    async fn shuts(&self, world: &World) {
        let nos = world.audit("acme", "key_refused").len();
        let named = format!("({})", self.reason);
        let get = || world.acme.get("file");
        let answer = until(self.what, get, |answer| {
            assert!(!answer.is(FILE), "{}: served", self.what);
            String::from_utf8_lossy(&answer.body).contains(&named)
        });
        let answer = answer.await;
        assert_eq!((answer.status(), answer.code().as_str()), self.told, "{}", self.what);
        assert!(answer.headers.contains_key("retry-after"), "{}", self.what);
        for (method, key) in [
            (Method::PUT, "new"),
            (Method::GET, "?list-type=2"),
            (Method::DELETE, "file"),
        ] {
            let answer = world.acme.send(method.clone(), key, HeaderMap::new(), b"").await;
            assert_eq!(answer.status(), 503, "{}: {method} {key}", self.what);
        }
        assert_eq!(world.acme.head("file").await.status(), 503, "{}: HEAD", self.what);
        self.is_audited(world, "request_refused");
        assert_eq!(
            world.audit("acme", "key_refused").len(),
            nos,
            "{}: nobody has said no",
            self.what
        );
    }

    fn is_audited(&self, world: &World, event: &str) {
        assert_eq!(last_reason(world, event), self.reason, "{}", self.what);
    }

    /// A renewal of the other's that a jump of time caught on the wire comes too late; it is served nevertheless.
    async fn leaves_the_other_alone(&self, world: &World) {
        until(self.what, || world.globex.get("file"), |answer| answer.is(FILE)).await;
        assert_eq!(world.audit("globex", "key_refused"), [], "{}", self.what);
    }
}

fn stage(world: &World) -> Stage<'_> {
    Stage {
        standin: &world.standin,
        names: &world.names,
        customer: "acme",
    }
}

fn last_reason(world: &World, event: &str) -> String {
    let events = world.audit("acme", event);
    events
        .last()
        .map_or_else(String::new, |event| event.field("reason").to_owned())
}
