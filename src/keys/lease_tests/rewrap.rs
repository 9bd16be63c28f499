//! An old version goes after a rewrap, and what it sealed stays readable; nothing but a true record makes it so.

use std::sync::Arc;

use super::world::{BOUND, TENANT, World, cmk, key, pass, seconds, silent, version};
use crate::keys::refusal::{Refusal, Revoked, Unavailable};
use crate::keys::rewrap::{Found, RewrapError, Under};
use crate::keys::service::Record;
use crate::keys::{Keys, Lease, NotOurs, OpenError};
use crate::seal::{DekId, Envelope, OriginSecrets, WrapAlgorithm};

/// A DEK was made under version 1; version 2 is the newest.
async fn rotated(world: &World) -> Record {
    let dek = world.gate().to_write(TENANT).await.unwrap().named();
    world.vault.set().versions.push(key(2));
    world.record(dek)
}

async fn rewrap_all(gate: &Keys) -> usize {
    let mut rewrap = gate.rewrap(TENANT).await.unwrap().unwrap();
    let left = rewrap.left(None);
    for dek in &left {
        rewrap.rewrap(*dek).await.unwrap();
    }
    assert_eq!(rewrap.left(None), []);
    left.len()
}

async fn open(gate: &Arc<Keys>, record: &Record) -> Result<Lease, OpenError> {
    gate.to_open(TENANT, record.dek, &record.envelope).await
}

fn disabled() -> OpenError {
    OpenError::Refused(Refusal::from(Revoked::KeyDisabled).of(version(1)))
}

#[tokio::test(start_paused = true)]
async fn after_a_rewrap_the_old_version_can_go() {
    let world = World::new();
    let record = rotated(&world).await;
    let gate = world.gate();
    assert_eq!(rewrap_all(&gate).await, 1);
    world.vault.disable(1);
    pass(BOUND).await;
    for gate in [&gate, &world.gate()] {
        let lease = open(gate, &record).await.unwrap();
        assert_eq!((lease.version(), lease.named()), (version(2), record.dek));
    }
    assert_eq!(rewrap_all(&gate).await, 0, "nothing is left for a second run");
}

#[tokio::test(start_paused = true)]
async fn without_a_rewrap_the_no_stands_and_costs_next_to_nothing() {
    let world = World::new();
    let record = rotated(&world).await;
    world.vault.disable(1);
    let gate = world.gate();
    for _ in 0..200 {
        assert_eq!(open(&gate, &record).await.err(), Some(disabled()));
    }
    assert_eq!(world.ring.0.lock().unwrap().searches, 1);
    gate.to_write(TENANT).await.unwrap();
    pass(BOUND).await;
    let calls = world.vault.calls();
    let crowd = (0..50).map(|_| open(&gate, &record));
    for answer in futures_util::future::join_all(crowd).await {
        assert_eq!(answer.err(), Some(disabled()));
    }
    assert_eq!(world.ring.0.lock().unwrap().searches, 2);
    assert!(world.vault.calls() - calls <= 2);
    // Rewrapped after all, from a backup of the vault, say.
    world.vault.change(1, |key| key.enabled = true);
    rewrap_all(&world.gate()).await;
    world.vault.disable(1);
    pass(BOUND).await;
    assert_eq!(open(&gate, &record).await.unwrap().version(), version(2));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_gone_is_asked_about_once_and_not_for_ever() {
    let world = World::new();
    let record = rotated(&world).await;
    let gate = world.gate();
    rewrap_all(&gate).await;
    world.vault.disable(1);
    pass(BOUND).await;
    gate.to_write(TENANT).await.unwrap();
    open(&gate, &record).await.unwrap();
    world.vault.set().asked_of.clear();
    for _ in 0..5 {
        // Leases lapse, and the DEK with them.
        pass(BOUND * 3).await;
        open(&gate, &record).await.unwrap();
    }
    let asked_of = world.vault.set().asked_of.clone();
    assert!(
        asked_of.len() >= 5 && asked_of.iter().all(|of| *of == version(2)),
        "{asked_of:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_newest_version_that_is_disabled_gives_way_to_the_objects_own() {
    let world = World::new();
    let record = rotated(&world).await;
    let gate = world.gate();
    rewrap_all(&gate).await;
    world.vault.disable(1);
    pass(BOUND).await;
    open(&gate, &record).await.unwrap();
    world.vault.change(1, |key| key.enabled = true);
    world.vault.disable(2);
    pass(BOUND).await;
    assert_eq!(open(&gate, &record).await.unwrap().version(), version(1));
    world.vault.disable(1);
    pass(BOUND).await;
    assert_eq!(
        open(&gate, &record).await.err(),
        Some(disabled()),
        "all of them disabled is a no"
    );
}

#[tokio::test(start_paused = true)]
async fn a_keyring_out_of_reach_is_not_taken_for_a_no() {
    let world = World::new();
    let record = rotated(&world).await;
    rewrap_all(&world.gate()).await;
    world.vault.disable(1);
    world.ring.0.lock().unwrap().down = true;
    let gate = world.gate();
    let away = OpenError::Refused(Refusal::from(Unavailable::Keyring).of(version(1)));
    assert_eq!(open(&gate, &record).await.err(), Some(away));
    world.ring.0.lock().unwrap().down = false;
    pass(seconds(2)).await;
    assert!(open(&gate, &record).await.is_ok());
    // What was found once is known.
    world.ring.0.lock().unwrap().down = true;
    pass(BOUND * 3).await;
    assert!(open(&gate, &record).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn records_that_nobody_of_the_fleet_made_open_nothing() {
    let world = World::new();
    let record = rotated(&world).await;
    world.vault.disable(1);
    let other = world.gate().to_write("other").await.unwrap().named();
    let of_other = world.record(other);
    let forged = |dek: DekId, name: &str| {
        let guess = OriginSecrets::new([[0x66_u8; 32]]).unwrap();
        let wrapped = [version(2).as_bytes().as_slice(), &[0x5a; 32]].concat();
        let algorithm = WrapAlgorithm::RsaOaep256;
        let envelope = Envelope::new(algorithm, cmk(name), version(2), &wrapped, name, dek, &guess);
        Record {
            dek,
            envelope: envelope.unwrap(),
        }
    };
    let honest = crate::seal::Dek::generate().unwrap();
    let another = Record {
        dek: record.dek,
        envelope: world.envelope(TENANT, version(2), &honest),
    };
    let moved = Record {
        dek: record.dek,
        ..of_other
    };
    for (what, false_record) in [
        ("a forger's", forged(record.dek, TENANT)),
        ("another DEK's", another),
        ("another tenant's", moved),
    ] {
        world.ring.0.lock().unwrap().rewrapped = vec![(TENANT.to_owned(), false_record)];
        let gate = world.gate();
        gate.to_write(TENANT).await.unwrap();
        let unwraps = world.vault.unwraps();
        assert_eq!(open(&gate, &record).await.err(), Some(disabled()), "{what}");
        assert_eq!(
            world.vault.unwraps() - unwraps,
            1,
            "{what}: the vault is asked about the object's own alone"
        );
        let rewrap = gate.rewrap(TENANT).await.unwrap().unwrap();
        assert_eq!(rewrap.disbelieved(), 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_version_holds_is_left_and_said_so() {
    let world = World::new();
    let record = rotated(&world).await;
    world.vault.disable(1);
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    let mut rewrap = gate.rewrap(TENANT).await.unwrap().unwrap();
    assert_eq!(rewrap.newest(), version(2));
    let no = RewrapError::Refused(Revoked::KeyDisabled.into());
    assert_eq!(rewrap.rewrap(record.dek).await, Err(no));
    let unwraps = world.vault.unwraps();
    assert_eq!(rewrap.rewrap(record.dek).await, Err(no));
    assert_eq!(world.vault.unwraps(), unwraps, "not asked about each of its DEKs");
    let versions = rewrap.versions();
    assert_eq!(versions[&version(1)], Under { deks: 1, left: 1 });
    assert_eq!(versions[&version(2)], Under { deks: 1, left: 0 });
    assert_eq!(rewrap.left(Some(version(2))), []);
}

#[tokio::test(start_paused = true)]
async fn a_rewrap_waits_for_a_vault_that_is_busy_and_gives_up_on_one_that_is_silent() {
    let world = World::new();
    let record = rotated(&world).await;
    let gate = world.gate();
    let mut rewrap = gate.rewrap(TENANT).await.unwrap().unwrap();
    for _ in 0..3 {
        world.vault.set().next.push_back((seconds(1), Err(silent())));
    }
    rewrap.rewrap(record.dek).await.unwrap();

    world.vault.set().versions.push(key(3));
    let mut rewrap = gate.rewrap(TENANT).await.unwrap().unwrap();
    world.vault.set().unwrap = Some(silent());
    assert_eq!(rewrap.rewrap(record.dek).await, Err(RewrapError::Refused(silent())));
    // Another run goes on where this one ended.
    world.vault.set().unwrap = None;
    assert_eq!(rewrap_all(&gate).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dek_that_the_keyring_lost_is_taken_up_from_an_object() {
    let world = World::new();
    let record = rotated(&world).await;
    world.ring.0.lock().unwrap().records.clear();
    let gate = world.gate();
    let mut rewrap = gate.rewrap(TENANT).await.unwrap().unwrap();
    assert_eq!(rewrap.left(None), []);
    assert_eq!(rewrap.find(record.clone()), Found::New);
    assert_eq!(rewrap.find(record.clone()), Found::Known);
    let bad = Record {
        dek: record.dek,
        envelope: world.bad_envelope(other_dek()),
    };
    assert_eq!(rewrap.find(bad), Found::Disbelieved);
    rewrap.rewrap(record.dek).await.unwrap();
    world.vault.disable(1);
    assert_eq!(open(&world.gate(), &record).await.unwrap().version(), version(2));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_holds_another_dek_is_not_wrapped_again() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    world.vault.set().versions.push(key(2));
    let mut rewrap = gate.rewrap(TENANT).await.unwrap().unwrap();
    let dek = other_dek();
    rewrap.find(Record {
        dek,
        envelope: world.bad_envelope(dek),
    });
    let answer = rewrap.rewrap(dek).await;
    assert_eq!(
        answer,
        Err(RewrapError::NotOurs(NotOurs::Envelope { version: version(1) }))
    );
    assert!(world.ring.0.lock().unwrap().rewrapped.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_rewrapped_where_nobody_may_seal() {
    let world = World::new();
    rotated(&world).await;
    let gate = world.gate();
    assert!(gate.rewrap("nobody").await.is_none());
    world.vault.disable(1);
    world.vault.disable(2);
    let no: Refusal = Revoked::KeyDisabled.into();
    assert_eq!(gate.rewrap(TENANT).await.unwrap().err(), Some(no));
}

#[tokio::test(start_paused = true)]
async fn what_was_rewrapped_is_not_sealed_under_by_gates_that_come_later() {
    let world = World::new();
    let record = rotated(&world).await;
    rewrap_all(&world.gate()).await;
    let lease = world.gate().to_write(TENANT).await.unwrap();
    assert_eq!(lease.version(), version(2));
    assert_ne!(lease.named(), record.dek, "a new version begins a new DEK");
}

fn other_dek() -> DekId {
    crate::seal::Dek::from_bytes(&[3; 32]).unwrap().id()
}
