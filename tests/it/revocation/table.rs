//! The table of `rows.rs`, played at either door: each row is said by the stand-in in the service's own words, is recovered from
//! without a restart, and leaves the other customer alone. What is said at all is the table of `docs/KEYS.md`.

use portcullis::dev::standin::{Customer, Operation};

use super::{BOUND, DUE, IDENTITY, asked_anew, azure, entra_asked_anew, served_again, until, world};
use crate::revocation::doors::Door;
use crate::revocation::no::{refused, refused_everywhere};
use crate::revocation::rows::{
    By, OUT_OF_DATE, Row, Stage, nos_of_entra, nos_of_the_vault, silences_of_the_identity, silences_of_the_vault,
    unfelt,
};
use crate::world::{CUSTOMERS, World};

const FILE: &[u8] = b"words";

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_the_vault_to_s3() {
    play_nos_of_the_vault(&world(FILE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_the_vault_to_azure() {
    if let Some(door) = azure(FILE).await {
        play_nos_of_the_vault(&door).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_silence_of_the_vault_to_s3() {
    play_silences_of_the_vault(&world(FILE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_silence_of_the_vault_to_azure() {
    if let Some(door) = azure(FILE).await {
        play_silences_of_the_vault(&door).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_entra_to_s3() {
    play_nos_of_entra(&world(FILE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_entra_to_azure() {
    if let Some(door) = azure(FILE).await {
        play_nos_of_entra(&door).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_silence_of_the_identity_to_s3() {
    // A store takes no signatures of another quarter of an hour than its own, and each row passes the most of a minute.
    for rows in silences_of_the_identity().chunks(12) {
        play_silences_of_the_identity(&world(FILE).await, rows).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_silence_of_the_identity_to_azure() {
    if let Some(door) = azure(FILE).await {
        play_silences_of_the_identity(&door, &silences_of_the_identity()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_date_of_the_key_to_s3() {
    play_dates_of_the_key(&world(FILE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_date_of_the_key_to_azure() {
    if let Some(door) = azure(FILE).await {
        play_dates_of_the_key(&door).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_withdrawal_is_not_felt_by_s3() {
    play_unfelt(&world(FILE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_withdrawal_is_not_felt_by_azure() {
    if let Some(door) = azure(FILE).await {
        play_unfelt(&door).await;
    }
}

async fn play_nos_of_the_vault(door: &impl Door) {
    for row in nos_of_the_vault() {
        row.say(&stage(door.world()));
        door.world().pass(DUE);
        refused(door, "acme", row.what, &row.told).await;
        row.is_audited(door.world(), "key_refused");
        row.leaves_the_other_alone(door).await;
        row.mended(door).await;
    }
}

async fn play_silences_of_the_vault(door: &impl Door) {
    for row in silences_of_the_vault() {
        row.say(&stage(door.world()));
        door.world().pass(DUE);
        let read = door.read("acme", "file").await;
        assert!(read.is(FILE), "{}: the lease runs: {read:?}", row.what);
        door.world().pass(BOUND);
        row.shuts(door).await;
        row.leaves_the_other_alone(door).await;
        row.mended(door).await;
    }
}

async fn play_nos_of_entra(door: &impl Door) {
    for row in nos_of_entra() {
        row.say(&stage(door.world()));
        entra_asked_anew(door).await;
        refused(door, "acme", row.what, &row.told).await;
        row.is_audited(door.world(), "key_refused");
        row.leaves_the_other_alone(door).await;
        row.mended(door).await;
    }
}

async fn play_silences_of_the_identity(door: &impl Door, rows: &[Row]) {
    for row in rows {
        row.say(&stage(door.world()));
        door.world().pass(IDENTITY);
        row.shuts(door).await;
        if matches!(row.by, By::Entra(_)) {
            row.leaves_the_other_alone(door).await;
        }
        row.mended(door).await;
    }
}

/// Longer than any token or proof of before counts.
async fn play_unfelt(door: &impl Door) {
    let world = door.world();
    let exchanges = || world.standin.entra("acme").count(Operation::Token);
    for row in unfelt() {
        row.say(&stage(world));
        let (before, began) = (exchanges(), world.clock.now());
        while world.clock.now().since(began) <= IDENTITY + BOUND {
            asked_anew(door, &CUSTOMERS).await;
            let read = door.read("acme", "file").await;
            assert!(read.is(FILE), "{}: {read:?}", row.what);
            assert_eq!(read.status(), door.words(&row.told).0, "{}", row.what);
        }
        assert!(exchanges() > before, "{}: Entra was asked anew", row.what);
        for event in ["key_refused", "lease_ended", "request_refused"] {
            assert_eq!(world.audit("acme", event), [], "{}", row.what);
        }
        row.mended(door).await;
    }
}

/// `exp` and `nbf` are the gate's to heed: Key Vault unwraps all the same. Nothing new is sealed, what is sealed opens.
async fn play_dates_of_the_key(door: &impl Door) {
    const HOUR: i64 = 3600;
    let world = door.world();
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
        let put = || door.write("acme", "new", b"new");
        let answer = until(what, put, |answer| !(200..300).contains(&answer.status())).await;
        let (status, code) = door.words(&OUT_OF_DATE);
        assert_eq!(
            (answer.status(), door.code(&answer)),
            (status, code.to_owned()),
            "{what}"
        );
        let read = door.read("acme", "file").await;
        assert!(read.is(FILE), "{what}: what is sealed opens: {read:?}");
        assert_eq!(last_reason(world, "request_refused"), reason, "{what}");
        set(&world.standin.customer("acme"), None);
        served_again(door, "acme", FILE).await;
    }
}

impl Row {
    /// Mended, and served again without a restart.
    async fn mended(&self, door: &impl Door) {
        self.take_back(&stage(door.world()));
        served_again(door, "acme", FILE).await;
        until(self.what, || door.read("globex", "file"), |answer| answer.is(FILE)).await;
    }

    /// Refused with this reason, so that SDKs come again; and nobody has said no.
    async fn shuts(&self, door: &impl Door) {
        let world = door.world();
        let nos = || world.audit("acme", "key_refused").len();
        let before = nos();
        let named = format!("({})", self.reason);
        let read = || door.read("acme", "file");
        until(self.what, read, |answer| {
            assert!(!answer.is(FILE), "{}: served", self.what);
            String::from_utf8_lossy(&answer.body).contains(&named)
        })
        .await;
        refused_everywhere(door, "acme", self.what, &self.told).await;
        self.is_audited(world, "request_refused");
        assert_eq!(nos(), before, "{}: nobody has said no", self.what);
    }

    fn is_audited(&self, world: &World, event: &str) {
        assert_eq!(last_reason(world, event), self.reason, "{}", self.what);
        let last = |event: &str| {
            world
                .audit("acme", event)
                .last()
                .map(|it| it.field("version").to_owned())
        };
        let (named, live) = (last(event), last("lease_granted"));
        assert_eq!(named, live, "{}: the version that was served is named", self.what);
    }

    /// A renewal of the other's that a jump of time caught on the wire comes too late; it is served nevertheless.
    async fn leaves_the_other_alone(&self, door: &impl Door) {
        until(self.what, || door.read("globex", "file"), |answer| answer.is(FILE)).await;
        assert_eq!(door.world().audit("globex", "key_refused"), [], "{}", self.what);
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
