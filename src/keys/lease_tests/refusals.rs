//! What a no does, what a yes that comes too late does not, and how access comes back.

use super::world::{BOUND, TENANT, World, key, pass, seconds, silent, version, why};
use crate::keys::budget::Budgets;
use crate::keys::refusal::{Refusal, Revoked, Unavailable};
use crate::keys::{CleanUp, OpenError, Recheck, Terms, WhenRevoked};

#[tokio::test(start_paused = true)]
async fn a_yes_asked_for_before_a_no_was_heard_counts_for_nothing() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    // At two hundred seconds a token is exchanged in the background: Entra's no arrives while a renewal is on its way.
    pass(seconds(195)).await;
    world.vault.set().takes = seconds(9);
    world.vault.set().entra = Some(Revoked::AppDisabled.into());
    let asked = world.vault.unwraps();
    lease.over().cancelled().await;
    assert_eq!(why(lease.check()), Some(Revoked::AppDisabled.into()));
    pass(seconds(60)).await;
    assert!(world.vault.unwraps() > asked, "a yes came after it");
    assert_eq!(why(gate.to_write(TENANT).await), Some(Revoked::AppDisabled.into()));
}

#[tokio::test(start_paused = true)]
async fn access_given_back_is_noticed_without_a_restart() {
    let world = World::new();
    let gate = world.gate();
    let dek = gate.to_write(TENANT).await.unwrap().named();
    let record = world.record(dek);
    for revoked_for in [1, 3, 10, 60, 600] {
        world.vault.set().unwrap = Some(Revoked::RoleMissing.into());
        pass(BOUND).await;
        let asked = world.vault.unwraps();
        for _ in 0..revoked_for {
            let no = Refusal::from(Revoked::RoleMissing);
            assert_eq!(why(gate.to_write(TENANT).await), Some(no));
            let opened = gate.to_open(TENANT, dek, &record.envelope).await;
            assert_eq!(opened.err(), Some(OpenError::Refused(no.of(version(1)))));
            pass(seconds(1)).await;
        }
        let calls = world.vault.unwraps() - asked;
        assert!(calls <= 7 + revoked_for / 30, "{calls} calls in {revoked_for} s");
        world.vault.set().unwrap = None;
        let restored = world.clock.now();
        while gate.to_write(TENANT).await.is_err() {
            pass(seconds(1) / 4).await;
        }
        assert!(world.clock.now().since(restored) <= seconds(31));
        assert!(gate.to_open(TENANT, dek, &record.envelope).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_leaves_only_cleaning_up_and_only_where_the_terms_say_so() {
    let world = World::new();
    let terms = Terms {
        when_revoked: WhenRevoked::DenyData,
        ..Terms::default()
    };
    let (strict, gate) = (
        world.gate(),
        world.gate_on(terms, Budgets::default(), [TENANT, "other"]),
    );
    let dek = gate.to_write(TENANT).await.unwrap().named();
    let envelope = world.record(dek).envelope;
    assert!(matches!(gate.to_clean_up(TENANT).await, Ok(CleanUp::Lease(_))));
    assert!(strict.to_clean_up(TENANT).await.is_ok());
    for no in [Revoked::KeyDisabled, Revoked::RoleMissing] {
        world.vault.set().unwrap = Some(no.into());
        pass(BOUND * 2).await;
        let refused = Refusal::from(no);
        assert!(
            matches!(gate.to_clean_up(TENANT).await, Ok(CleanUp::Revoked { no: by, version: Some(of) }) if by == no && of == version(1))
        );
        assert_eq!(strict.to_clean_up(TENANT).await.err(), Some(refused.of(version(1))));
        assert_eq!(gate.to_write(TENANT).await.err(), Some(refused.of(version(1))));
        assert_eq!(why(gate.to_operate(TENANT).await), Some(refused));
        let opened = gate.to_open(TENANT, dek, &envelope).await.err();
        assert_eq!(opened, Some(OpenError::Refused(refused.of(version(1)))));
    }
    world.vault.set().unwrap = Some(silent());
    pass(BOUND * 2).await;
    assert_eq!(
        gate.to_clean_up(TENANT).await.err(),
        Some(silent().of(version(1))),
        "silence is not a no"
    );
    assert!(gate.to_clean_up("nobody").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_after_a_silence_ends_it() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    world.vault.set().unwrap = Some(silent());
    for _ in 0..300 {
        pass(seconds(1)).await;
        let _ = gate.to_write(TENANT).await;
    }
    assert_eq!(why(gate.to_write(TENANT).await), Some(silent()));
    world.vault.set().unwrap = None;
    pass(BOUND / 4).await;
    assert!(gate.to_write(TENANT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_silence_does_not_hide_a_no() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    world.vault.set().unwrap = Some(silent());
    pass(seconds(15)).await;
    assert!(lease.check().is_ok());
    world.vault.set().unwrap = Some(Revoked::KeyNotFound.into());
    lease.over().cancelled().await;
    assert_eq!(why(lease.check()), Some(Revoked::KeyNotFound.into()));
}

#[tokio::test(start_paused = true)]
async fn a_recheck_hears_a_no_at_once_and_decides_nothing_itself() {
    let world = World::new();
    let gate = world.gate();
    assert_eq!(gate.recheck(TENANT), Some(Recheck::Asked(0)), "nobody is in use");
    assert_eq!(gate.recheck("nobody"), None);
    let lease = gate.to_write(TENANT).await.unwrap();
    pass(seconds(3)).await;
    let unwraps = world.vault.unwraps();
    assert_eq!(gate.recheck(TENANT), Some(Recheck::Asked(1)));
    for _ in 0..100 {
        assert_eq!(gate.recheck(TENANT), Some(Recheck::TooSoon));
    }
    pass(seconds(1)).await;
    assert_eq!(world.vault.unwraps() - unwraps, 1);
    // Silence ends nothing.
    world.vault.set().unwrap = Some(silent());
    pass(seconds(2)).await;
    gate.recheck(TENANT);
    pass(seconds(1)).await;
    assert!(lease.check().is_ok());
    world.vault.set().unwrap = None;
    pass(seconds(9)).await;
    world.vault.disable(1);
    gate.recheck(TENANT);
    pass(seconds(1)).await;
    assert_eq!(why(lease.check()), Some(Revoked::KeyDisabled.into()));
}

/// What a token outlives shows as well.
#[tokio::test(start_paused = true)]
async fn a_recheck_asks_entra_anew_but_not_in_a_row() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    let exchanges = world.vault.set().exchanges;
    pass(seconds(5)).await;
    gate.recheck(TENANT);
    pass(seconds(1)).await;
    assert_eq!(world.vault.set().exchanges, exchanges, "the token is new");
    pass(seconds(30)).await;
    world.vault.set().entra = Some(Revoked::AppDisabled.into());
    gate.recheck(TENANT);
    pass(seconds(1)).await;
    assert_eq!(why(lease.check()), Some(Revoked::AppDisabled.into()));
}

#[tokio::test(start_paused = true)]
async fn a_proof_waited_for_is_the_vaults_word_of_now() {
    let world = World::new();
    let gate = world.gate();
    assert_eq!(gate.prove("nobody").await, Err(Unavailable::UnknownTenant.into()));
    assert_eq!(
        gate.prove(TENANT).await,
        Ok(()),
        "nobody is in use, and the vault is asked"
    );
    let lease = gate.to_write(TENANT).await.unwrap();
    let unwraps = world.vault.unwraps();
    assert_eq!(gate.prove(TENANT).await, Ok(()));
    assert_eq!(gate.prove(TENANT).await, Ok(()), "as often as it is asked for");
    assert_eq!(world.vault.unwraps() - unwraps, 2);
    // Asked for while a renewal is on its way, which left before whatever is asked about.
    world.vault.set().takes = seconds(1);
    pass(BOUND / 3).await;
    world.vault.disable(1);
    assert_eq!(gate.prove(TENANT).await, Err(Revoked::KeyDisabled.into()));
    assert_eq!(why(lease.check()), Some(Revoked::KeyDisabled.into()));
    // The no that is remembered does not answer.
    world.vault.change(1, |key| key.enabled = true);
    pass(seconds(1) / 10).await;
    assert!(gate.to_write(TENANT).await.is_err());
    assert_eq!(gate.prove(TENANT).await, Ok(()));
    assert!(gate.to_write(TENANT).await.is_ok());
    // Silence is told, and ends nothing.
    let lease = gate.to_write(TENANT).await.unwrap();
    world.vault.set().unwrap = Some(silent());
    assert_eq!(gate.prove(TENANT).await, Err(silent()));
    assert_eq!(gate.prove(TENANT).await, Err(silent()), "and is left alone");
    assert!(lease.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_proof_finds_the_version_that_works_and_the_newer_one() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    world.vault.set().versions.push(key(2));
    assert_eq!(gate.prove(TENANT).await, Ok(()));
    pass(seconds(1)).await;
    assert_eq!(gate.to_write(TENANT).await.unwrap().version(), version(2));
    world.vault.disable(1);
    assert_eq!(gate.prove(TENANT).await, Ok(()));
    world.vault.disable(2);
    assert_eq!(gate.prove(TENANT).await, Err(Revoked::KeyDisabled.into()));
}

#[tokio::test(start_paused = true)]
async fn a_recheck_without_a_live_lease_lets_the_next_request_ask() {
    let world = World::new();
    let gate = world.gate();
    gate.to_write(TENANT).await.unwrap();
    world.vault.disable(1);
    // The pauses have grown.
    for _ in 0..60 {
        pass(seconds(1)).await;
        assert!(gate.to_write(TENANT).await.is_err() || world.vault.unwraps() < 4);
    }
    let unwraps = world.vault.unwraps();
    world.vault.change(1, |key| key.enabled = true);
    pass(seconds(2)).await;
    assert!(gate.to_write(TENANT).await.is_err());
    assert_eq!(world.vault.unwraps(), unwraps);
    assert_eq!(gate.recheck(TENANT), Some(Recheck::Asked(0)));
    assert!(gate.to_write(TENANT).await.is_ok());
}
