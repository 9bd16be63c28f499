//! Versions and epochs come and go; keys expire. The tenant goes on as far as the customer lets it.

use super::world::{BOUND, TENANT, World, key, pass, seconds, silent, version, why};
use crate::keys::budget::Budgets;
use crate::keys::refusal::{Refusal, Revoked};
use crate::keys::{Expired, OpenError, Terms};

const DAY: u64 = 86_400;

#[tokio::test(start_paused = true)]
async fn a_new_version_is_written_with_within_minutes() {
    let world = World::new();
    let gate = world.gate();
    let old = gate.to_write(TENANT).await.unwrap();
    world.vault.set().versions.push(key(2));
    let rotated = world.clock.now();
    while gate.to_write(TENANT).await.unwrap().version() != version(2) {
        pass(seconds(1)).await;
    }
    assert!(world.clock.now().since(rotated) <= seconds(62));
    assert!(old.check().is_ok(), "old objects still open");
}

#[tokio::test(start_paused = true)]
async fn a_key_rotated_and_its_old_version_disabled_at_once_goes_on() {
    let world = World::new();
    let gate = world.gate();
    let old = gate.to_write(TENANT).await.unwrap();
    world.vault.set().versions.push(key(2));
    world.vault.disable(1);
    old.over().cancelled().await;
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(2));
}

#[tokio::test(start_paused = true)]
async fn a_disabled_newest_version_does_not_stop_the_tenant() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    world.vault.set().versions.push(key(2));
    world.vault.disable(2);
    for _ in 0..100 {
        pass(seconds(2)).await;
        assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(1));
    }
    assert_eq!(
        world.gate().to_write(TENANT).await.unwrap().version(),
        version(1),
        "nor a new gate"
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_disabled_after_it_was_moved_to_gives_way_to_the_one_before() {
    let world = World::new();
    world.vault.set().versions.push(key(2));
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    assert_eq!(lease.version(), version(2));
    world.vault.disable(2);
    lease.over().cancelled().await;
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(1));
    world.vault.disable(1);
    pass(BOUND).await;
    let no = Some(Refusal::from(Revoked::KeyDisabled));
    assert_eq!(why(gate.to_write(TENANT).await), no, "all of them disabled is a no");
    world.vault.change(2, |key| key.enabled = true);
    pass(BOUND).await;
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(2));
}

#[tokio::test(start_paused = true)]
async fn a_version_that_has_not_begun_waits() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    let begins = world.clock.now().wall + seconds(600);
    world.vault.set().versions.push(key(2));
    world.vault.change(2, |key| key.not_before = Some(begins));
    let mut moved = None;
    for _ in 0..800 {
        pass(seconds(1)).await;
        let lease = gate.to_write(TENANT).await.unwrap();
        if lease.version() == version(2) {
            moved.get_or_insert(world.clock.now().wall);
        }
    }
    let late = moved.unwrap().checked_sub(begins).unwrap();
    assert!(late <= seconds(63), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_epoch_brings_a_new_dek_and_nobody_waits_for_it() {
    let world = World::new();
    let gate = world.gate();
    let first = gate.to_write(TENANT).await.unwrap();
    world.vault.set().takes = seconds(2);
    // Thirty days in steps that a lease survives would be many: the wall clock is set, and set again.
    world.skew.set_wall(30 * i64::try_from(DAY).unwrap() * 1000);
    let cold = gate.to_write(TENANT).await.unwrap();
    assert_eq!(cold.named(), first.named(), "the known DEK serves meanwhile");
    gate.to_write(TENANT).await.unwrap();
    pass(seconds(10)).await;
    let second = gate.to_write(TENANT).await.unwrap();
    assert_ne!(second.named(), first.named());
    let other = world.gate().to_write(TENANT).await.unwrap();
    assert_eq!(second.named(), other.named());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sealed_past_exp_and_everything_else_goes_on() {
    let world = World::new();
    let gate = world.gate();
    let dek = gate.to_write(TENANT).await.unwrap().named();
    let envelope = world.record(dek).envelope;
    let expires = world.clock.now().wall + seconds(300);
    world.vault.change(1, |key| key.expires = Some(expires));
    let expired = Some(Refusal::from(Revoked::KeyExpired));
    for _ in 0..600 {
        pass(seconds(1)).await;
        let sealed = why(gate.to_write(TENANT).await);
        let past = world.clock.now().wall >= expires;
        assert_eq!(sealed, expired.filter(|_| past));
        assert!(gate.to_operate(TENANT).await.is_ok());
        assert!(gate.to_open(TENANT, dek, &envelope).await.is_ok());
    }
    let fresh = world.gate();
    assert_eq!(why(fresh.to_write(TENANT).await), expired);
    assert!(fresh.to_operate(TENANT).await.is_ok(), "by the DEK in the keyring");
    world.vault.set().versions.push(key(2));
    pass(BOUND).await;
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(2));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_opened_past_exp_either_where_the_terms_say_so() {
    let world = World::new();
    let terms = Terms {
        expired: Expired::Deny,
        ..Terms::default()
    };
    let start = || world.gate_on(terms, Budgets::default(), [TENANT, "other"]);
    let gate = start();
    let lease = gate.to_write(TENANT).await.unwrap();
    let (dek, over) = (lease.named(), lease.over());
    let envelope = world.record(dek).envelope;
    pass(seconds(100)).await;
    let expires = world.clock.now().wall + seconds(70);
    world.vault.change(1, |key| key.expires = Some(expires));
    over.cancelled().await;
    let now = world.clock.now().wall;
    assert!((expires..expires + seconds(1)).contains(&now), "{now:?}");
    let no = Refusal::from(Revoked::KeyExpired);
    assert_eq!(why(lease.check()), Some(no));
    for gate in [&gate, &start()] {
        for _ in 0..5 {
            assert!(gate.warm(TENANT, dek).is_none());
            let opened = gate.to_open(TENANT, dek, &envelope).await.err();
            assert_eq!(opened, Some(OpenError::Refused(no.of(version(1)))));
            assert_eq!(why(gate.to_write(TENANT).await), Some(no));
            assert_eq!(why(gate.to_operate(TENANT).await), Some(no));
            pass(seconds(7)).await;
        }
    }
    world.vault.set().versions.push(key(2));
    pass(BOUND).await;
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(2));
    let opened = gate.to_open(TENANT, dek, &envelope).await.err();
    assert_eq!(
        opened,
        Some(OpenError::Refused(no.of(version(1)))),
        "each version by its own date"
    );
    world.vault.change(1, |key| key.expires = None);
    pass(BOUND).await;
    assert!(gate.to_open(TENANT, dek, &envelope).await.is_ok(), "extended");
}

#[tokio::test(start_paused = true)]
async fn dates_that_cannot_be_read_open_nothing_where_they_count() {
    let world = World::new();
    let terms = Terms {
        expired: Expired::Deny,
        ..Terms::default()
    };
    let gate = world.gate_on(terms, Budgets::default(), [TENANT, "other"]);
    let dek = gate.to_write(TENANT).await.unwrap().named();
    let envelope = world.record(dek).envelope;
    let fresh = world.gate_on(terms, Budgets::default(), [TENANT, "other"]);
    world.vault.set().look = Some(silent());
    let opened = fresh.to_open(TENANT, dek, &envelope).await.err();
    assert_eq!(opened, Some(OpenError::Refused(silent().of(version(1)))));
    assert!(
        gate.to_open(TENANT, dek, &envelope).await.is_ok(),
        "known within the minute"
    );
    world.vault.set().look = None;
    pass(BOUND).await;
    let looks = world.vault.calls();
    assert!(fresh.to_open(TENANT, dek, &envelope).await.is_ok());
    assert_eq!(world.vault.calls() - looks, 2, "one look, one proof");
}

#[tokio::test(start_paused = true)]
async fn a_gate_started_long_after_exp_proves_itself_by_an_older_epoch() {
    let world = World::new();
    world.gate().to_write(TENANT).await.unwrap();
    let expires = world.clock.now().wall;
    world.vault.change(1, |key| key.expires = Some(expires));
    world.skew.set_wall(100 * i64::try_from(DAY).unwrap() * 1000);
    let gate = world.gate();
    assert!(gate.to_operate(TENANT).await.is_ok());
    world.vault.disable(1);
    pass(BOUND * 3).await;
    assert_eq!(why(gate.to_operate(TENANT).await), Some(Revoked::KeyDisabled.into()));
}

#[tokio::test(start_paused = true)]
async fn an_expired_newest_version_gives_way_to_one_within_its_dates() {
    let world = World::new();
    world.vault.set().versions.push(key(2));
    let gate = world.gate();
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(2));
    let expires = world.clock.now().wall;
    world.vault.change(2, |key| key.expires = Some(expires));
    for _ in 0..65 {
        pass(seconds(1)).await;
        gate.to_write(TENANT).await.unwrap();
    }
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(1));
    world.vault.set().versions.push(key(3));
    let begins = world.clock.now().wall + seconds(600);
    world.vault.change(3, |key| key.not_before = Some(begins));
    world.vault.disable(1);
    pass(BOUND).await;
    assert!(gate.to_operate(TENANT).await.is_ok(), "by the one that has begun");
}

#[tokio::test(start_paused = true)]
async fn an_expiry_that_is_known_is_asked_about_before_it_refuses() {
    let world = World::new();
    let expires = world.clock.now().wall + seconds(50);
    world.vault.change(1, |key| key.expires = Some(expires));
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    pass(seconds(40)).await;
    world.vault.set().versions.push(key(2));
    pass(seconds(15)).await;
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(2));
}
