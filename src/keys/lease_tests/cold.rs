//! Requests that find no lease: one question for all of them, and envelopes that are not worth one.

use std::sync::Arc;

use futures_util::future::join_all;

use super::world::{BOUND, TENANT, World, cmk, pass, seconds, silent, version, why};
use crate::keys::refusal::{Refusal, Revoked, Service, Unavailable};
use crate::keys::{NotOurs, OpenError};
use crate::seal::{Envelope, OriginSecrets, WrapAlgorithm};

#[tokio::test(start_paused = true)]
async fn a_hundred_cold_readers_ask_once() {
    let world = World::new();
    let dek = world.gate().to_write(TENANT).await.unwrap().named();
    let record = world.record(dek);
    for refused in [None, Some(Refusal::from(Revoked::RoleMissing)), Some(silent())] {
        let gate = world.gate();
        world.vault.set().takes = seconds(2);
        world.vault.set().unwrap = refused;
        let asked = world.vault.unwraps();
        let opened = join_all((0..100).map(|_| gate.to_open(TENANT, dek, &record.envelope))).await;
        assert_eq!(world.vault.unwraps() - asked, 1, "answer {refused:?}");
        for lease in opened {
            assert_eq!(lease.err(), refused.map(|no| OpenError::Refused(no.of(version(1)))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_cold_writers_ask_once() {
    let world = World::new();
    world.gate().to_write(TENANT).await.unwrap();
    for refused in [None, Some(Refusal::from(Revoked::KeyDisabled)), Some(silent())] {
        let gate = world.gate();
        world.vault.set().takes = seconds(2);
        world.vault.set().unwrap = refused;
        let (asked, looked) = (world.vault.unwraps(), world.vault.set().looks);
        let leases = join_all((0..100).map(|_| gate.to_write(TENANT))).await;
        assert_eq!(world.vault.unwraps() - asked, 1, "answer {refused:?}");
        assert!(world.vault.set().looks - looked <= 3);
        assert!(
            leases
                .into_iter()
                .all(|lease| lease.err() == refused.map(|no| no.of(version(1))))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_later_than_the_bound_is_none_and_is_asked_for_once() {
    let world = World::new();
    let dek = world.gate().to_write(TENANT).await.unwrap().named();
    let record = world.record(dek);
    pass(BOUND * 2).await;
    let gate = world.gate();
    world.vault.set().takes = BOUND + seconds(1);
    let asked = world.vault.unwraps();
    let opened = join_all((0..100).map(|_| gate.to_open(TENANT, dek, &record.envelope))).await;
    assert!(opened.into_iter().all(|lease| lease.is_err()));
    assert_eq!(world.vault.unwraps() - asked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_does_not_take_the_answer_with_it() {
    let world = World::new();
    let gate = world.gate();
    world.vault.set().takes = seconds(3);
    let first = tokio::time::timeout(seconds(1), gate.to_write(TENANT)).await;
    assert!(first.is_err());
    assert!(gate.to_write(TENANT).await.is_ok());
    assert_eq!((world.vault.unwraps(), world.vault.set().wraps), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_bad_envelope_touches_no_lease_and_costs_one_call() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    let dek = "00112233445566778899aabbccddeeff".parse().unwrap();
    let envelope = world.bad_envelope(dek);
    let asked = world.vault.unwraps();
    for _ in 0..10 {
        let opened = gate.to_open(TENANT, dek, &envelope).await;
        assert_eq!(
            opened.err(),
            Some(OpenError::NotOurs(NotOurs::Envelope { version: version(1) }))
        );
    }
    assert_eq!(world.vault.unwraps() - asked, 1);
    assert!(lease.check().is_ok() && gate.to_write(TENANT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_false_origin_and_a_foreign_cmk_cost_no_call() {
    let world = World::new();
    let gate = world.gate();
    let dek = gate.to_write(TENANT).await.unwrap().named();
    let asked = world.vault.unwraps();
    let bytes = world.record(dek).envelope.wrapped().to_vec();
    let envelope = |of: &str, secrets: &OriginSecrets| {
        Envelope::new(
            WrapAlgorithm::RsaOaep256,
            cmk(of),
            version(1),
            &bytes,
            TENANT,
            dek,
            secrets,
        )
        .unwrap()
    };
    let forged = envelope(TENANT, &OriginSecrets::new([[1_u8; 32]]).unwrap());
    let foreign = envelope("other", &world.origin);
    let told = |opened: Result<_, OpenError>| opened.map(|_: crate::keys::Lease| ()).err();
    assert_eq!(
        told(gate.to_open(TENANT, dek, &forged).await),
        Some(OpenError::NotOurs(NotOurs::Origin))
    );
    assert_eq!(
        told(gate.to_open(TENANT, dek, &foreign).await),
        Some(OpenError::NotOurs(NotOurs::Cmk))
    );
    let theirs = world.record(dek).envelope;
    assert_eq!(
        told(gate.to_open("other", dek, &theirs).await),
        Some(OpenError::NotOurs(NotOurs::Origin))
    );
    assert_eq!(world.vault.unwraps(), asked);
    assert_eq!(
        why(gate.to_write("nobody").await),
        Some(Unavailable::UnknownTenant.into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_throttling_vault_is_left_alone() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    pass(BOUND * 2).await;
    world.vault.set().unwrap = Some(super::world::throttled(Some(20), Service::Vault));
    let asked = world.vault.unwraps();
    for _ in 0..190 {
        assert!(gate.to_write(TENANT).await.is_err());
        pass(seconds(1) / 10).await;
    }
    assert_eq!(world.vault.unwraps() - asked, 1);
    world.vault.set().unwrap = None;
    pass(seconds(1)).await;
    assert!(gate.to_write(TENANT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn two_gates_that_race_on_the_keyring_adopt_one_dek() {
    let world = World::new();
    world.ring.0.lock().unwrap().takes = seconds(1);
    let (one, two) = (world.gate(), world.gate());
    let (first, second) = tokio::join!(one.to_write(TENANT), two.to_write(TENANT));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(
        world.ring.0.lock().unwrap().records.len(),
        2,
        "a race costs a spare DEK"
    );
    for _ in 0..70 {
        pass(seconds(1)).await;
        assert!(one.to_write(TENANT).await.is_ok() && two.to_write(TENANT).await.is_ok());
    }
    let smallest = world.gate().to_write(TENANT).await.unwrap();
    for gate in [one, two] {
        let lease = gate.to_write(TENANT).await.unwrap();
        assert_eq!(lease.named(), smallest.named());
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_keyring_known_deks_serve_and_none_is_made() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    world.ring.0.lock().unwrap().down = true;
    for _ in 0..40 {
        pass(seconds(7)).await;
        assert!(gate.to_write(TENANT).await.is_ok());
    }
    let fresh = world.gate();
    let wraps = world.vault.set().wraps;
    assert_eq!(why(fresh.to_write(TENANT).await), Some(Unavailable::Keyring.into()));
    assert_eq!(world.vault.set().wraps, wraps);
    world.ring.0.lock().unwrap().down = false;
    pass(seconds(1)).await;
    assert!(fresh.to_write(TENANT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_dek_that_was_not_recorded_is_not_used_and_not_wasted() {
    let world = World::new();
    let gate: Arc<_> = world.gate();
    world.ring.0.lock().unwrap().takes = seconds(2);
    let writing = {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.to_write(TENANT).await.map(|_| ()) })
    };
    pass(seconds(1)).await;
    world.ring.0.lock().unwrap().down = true;
    assert_eq!(writing.await.unwrap(), Err(Unavailable::Keyring.into()));
    world.ring.0.lock().unwrap().down = false;
    pass(seconds(1)).await;
    assert!(gate.to_write(TENANT).await.is_ok());
    assert_eq!((world.vault.wraps(), world.vault.unwraps()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_vault_calls_bad_does_not_stop_the_tenant() {
    let world = World::new();
    let dek = "00000000000000000000000000000000".parse().unwrap();
    let record = crate::keys::service::Record {
        dek,
        envelope: world.bad_envelope(dek),
    };
    let epoch = crate::keys::service::Epoch::of(world.clock.now());
    let row = (TENANT.to_owned(), epoch, record);
    world.ring.0.lock().unwrap().records.push(row);
    assert!(world.gate().to_write(TENANT).await.is_ok());
    assert_eq!(world.vault.unwraps(), 2);
}
