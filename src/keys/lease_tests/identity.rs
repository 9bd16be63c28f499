//! The second clock: the application behind the tokens.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::world::{BOUND, Desk, IDENTITY, TENANT, World, pass, seconds, throttled, why};
use crate::keys::Terms;
use crate::keys::budget::Budgets;
use crate::keys::refusal::{Blocked, Revoked, Service};

#[tokio::test(start_paused = true)]
async fn tokens_are_exchanged_afresh_in_the_background() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    world.vault.set().entra_takes = seconds(30);
    for _ in 0..3600 {
        pass(seconds(1)).await;
        let before = world.clock.now();
        gate.to_write(TENANT).await.unwrap();
        assert_eq!(world.clock.now(), before);
    }
    assert!(lease.check().is_ok());
    let exchanges = world.vault.set().exchanges;
    assert!((14..=19).contains(&exchanges), "{exchanges} in an hour");
}

#[tokio::test(start_paused = true)]
async fn a_throttling_entra_is_obeyed_and_shuts_nobody_out() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    pass(seconds(180)).await;
    world.vault.set().entra = Some(throttled(Some(60), Service::Entra));
    pass(seconds(360)).await;
    assert!(lease.check().is_ok());
    let exchanges = world.vault.set().exchanges;
    assert!(exchanges <= 7, "{exchanges} exchanges, one a minute and no more");
    world.vault.set().entra = None;
    pass(seconds(600)).await;
    assert!(lease.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_removed_application_is_noticed_within_the_bound() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    pass(seconds(60)).await;
    world.vault.set().entra = Some(Revoked::AppNotInstalled.into());
    let removed = world.clock.now();
    lease.over().cancelled().await;
    let took = world.clock.now().since(removed);
    assert!(took <= IDENTITY / 3 + BOUND / 3 + seconds(1), "{took:?}");
    assert_eq!(why(lease.check()), Some(Revoked::AppNotInstalled.into()));
    world.vault.set().entra = None;
    pass(seconds(30)).await;
    assert!(gate.to_write(TENANT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn entras_silence_closes_at_the_identitys_bound_with_its_reason() {
    let world = World::new();
    let gate = world.gate();
    let exchanged = world.clock.now();
    let lease = gate.to_write(TENANT).await.unwrap();
    let silence = throttled(None, Service::Entra);
    world.vault.set().entra = Some(silence);
    let asked = world.vault.unwraps();
    lease.over().cancelled().await;
    assert_eq!(world.clock.now().since(exchanged).as_secs(), IDENTITY.as_secs());
    let calls = world.vault.unwraps() - asked;
    assert!(
        calls <= 600 / 8 + 10,
        "{calls} calls: an end brought near is no reason for more"
    );
    assert_eq!(why(gate.to_write(TENANT).await), Some(silence));
}

#[tokio::test(start_paused = true)]
async fn one_no_of_entra_ends_every_lease_of_the_tenant_at_once() {
    let world = World::new();
    let gate = world.gate();
    let old = gate.to_write(TENANT).await.unwrap();
    world.vault.set().versions.push(super::world::key(2));
    for _ in 0..70 {
        pass(seconds(1)).await;
        gate.to_write(TENANT).await.unwrap();
    }
    let new = gate.to_write(TENANT).await.unwrap();
    assert_ne!(old.version(), new.version());
    world.vault.set().entra = Some(Revoked::AppDisabled.into());
    old.over().cancelled().await;
    let noticed = world.clock.now();
    new.over().cancelled().await;
    assert_eq!(world.clock.now(), noticed);
    let exchanges = world.vault.set().exchanges;
    for _ in 0..600 {
        pass(seconds(1)).await;
        assert_eq!(why(gate.to_write(TENANT).await), Some(Revoked::AppDisabled.into()));
    }
    assert!(world.vault.set().exchanges - exchanges <= 27, "Entra is not stormed");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_vault_does_not_take_is_replaced() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    pass(seconds(60)).await;
    let exchanges = world.vault.set().exchanges;
    let no_token = Blocked::TokenRefused.into();
    world.vault.set().next.push_back((seconds(0), Err(no_token)));
    pass(seconds(30)).await;
    assert!(lease.check().is_ok());
    assert_eq!(world.vault.set().exchanges, exchanges + 1);
}

/// Their customers are refused with the reason as ever: whoever deactivates an application, its tokens are gone.
#[tokio::test(start_paused = true)]
async fn an_application_that_several_tenants_lose_at_once_is_named_in_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::ERROR)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (world, desk) = (World::new(), Arc::new(Desk::default()));
    let tenants = ["a", "b", "c", "d"];
    let at_desks = tenants.map(|name| (name, if name == "a" { &world.vault } else { &desk }, name));
    let gate = world.gate_of(Terms::default(), Budgets::default(), &at_desks);
    let leases = async || {
        let mut leases = Vec::new();
        for tenant in tenants {
            leases.push(gate.to_write(tenant).await);
        }
        leases
    };
    // One customer's own no.
    let all = leases().await;
    assert!(all.iter().all(Result::is_ok));
    world.vault.set().entra = Some(Revoked::AppDisabled.into());
    pass(IDENTITY).await;
    assert!(
        all[1].as_ref().is_ok_and(|lease| lease.check().is_ok()),
        "another is served"
    );
    assert_eq!(lines.text(), "");
    // Everybody's.
    desk.set().entra = Some(Revoked::AppDisabled.into());
    pass(IDENTITY).await;
    for lease in leases().await {
        assert_eq!(why(lease), Some(Revoked::AppDisabled.into()));
    }
    let said = lines.text();
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in [
        "application=\"one-application\"",
        "tenants=3",
        "deactivated by its publisher",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_uses_is_dropped_once_it_is_of_no_use() {
    let world = World::new();
    let gate = world.gate();
    let sessions = || Arc::strong_count(&world.vault);
    let without = sessions();
    let lease = gate.to_write(TENANT).await.unwrap();
    assert_eq!(sessions(), without + 1);
    pass(IDENTITY * 2).await;
    assert!(lease.check().is_ok());
    assert_eq!(
        sessions(),
        without + 1,
        "one that is used is followed by another, and goes"
    );
    drop(lease);
    pass(IDENTITY / 3).await;
    assert_eq!(sessions(), without + 1, "it may be wanted again");
    pass(IDENTITY).await;
    assert_eq!(sessions(), without);
    assert!(gate.to_write(TENANT).await.is_ok(), "another is exchanged");
}

#[tokio::test(start_paused = true)]
async fn a_no_of_entras_drops_the_token_at_once() {
    let world = World::new();
    let gate = world.gate();
    let without = Arc::strong_count(&world.vault);
    let lease = gate.to_write(TENANT).await.unwrap();
    world.vault.set().entra = Some(Revoked::AppDisabled.into());
    lease.over().cancelled().await;
    assert_eq!(Arc::strong_count(&world.vault), without);
}

/// A request that comes after a pause, in the last moments of the token's time, is not answered with a lease of moments.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_about_to_end_begins_no_lease_if_another_is_to_be_had() {
    let world = World::new();
    let gate = world.gate();
    drop(gate.to_write(TENANT).await.unwrap());
    pass(IDENTITY - seconds(1)).await;
    let exchanges = world.vault.set().exchanges;
    let lease = gate.to_write(TENANT).await.unwrap();
    assert_eq!(world.vault.set().exchanges, exchanges + 1);
    pass(seconds(2)).await;
    assert!(lease.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_about_to_end_serves_on_where_entra_is_silent() {
    let world = World::new();
    let gate = world.gate();
    drop(gate.to_write(TENANT).await.unwrap());
    pass(IDENTITY - seconds(5)).await;
    world.vault.set().entra = Some(throttled(None, Service::Entra));
    let lease = gate.to_write(TENANT).await.unwrap();
    pass(seconds(3)).await;
    assert!(lease.check().is_ok(), "by the old token");
    pass(seconds(3)).await;
    assert!(lease.check().is_err(), "and no longer than that");
}
