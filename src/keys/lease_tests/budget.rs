//! A vault bears so many calls: whose lease is live keeps it, whatever else is wanted of the vault.

use std::sync::Arc;

use super::world::{BOUND, TENANT, World, key, pass, seconds, version};
use crate::keys::budget::{Budgets, Calls};
use crate::keys::refusal::{Refusal, Service, Unavailable};
use crate::keys::{Keys, OpenError};
use crate::seal::Dek;

/// The smallest budget: one call at a time, nine in ten seconds.
fn smallest() -> Budgets {
    Budgets {
        vault: Calls::new(Calls::LEAST).unwrap(),
        ..Budgets::default()
    }
}

/// Under each of so many versions, two clients read one object under a DEK of its own after the other.
fn scan(world: &Arc<World>, gate: &Arc<Keys>, tenant: &'static str, versions: u8) {
    for number in (1..=versions).flat_map(|number| [number; 2]).enumerate() {
        let (world, gate) = (Arc::clone(world), Arc::clone(gate));
        tokio::spawn(async move {
            let (client, number) = number;
            for each in 0_u64.. {
                let mut bytes = [u8::try_from(client).unwrap(); 32];
                bytes[..8].copy_from_slice(&each.to_le_bytes());
                let dek = Dek::from_bytes(&bytes).unwrap();
                let envelope = world.envelope(tenant, version(number), &dek);
                _ = gate.to_open(tenant, dek.id(), &envelope).await;
                // What is refused at once must not stop the clock.
                pass(seconds(1) / 100).await;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn cold_reads_of_a_tenant_cost_no_other_its_lease() {
    let world = Arc::new(World::new());
    world.other.set().versions = (1..=30).map(key).collect();
    let gate = world.gate_within(smallest(), ["shared", "shared"]);
    let lease = gate.to_write(TENANT).await.unwrap();
    scan(&world, &gate, "other", 30);
    for _ in 0..30 {
        let before = world.vault.calls() + world.other.calls();
        pass(seconds(10)).await;
        assert_eq!(lease.check(), Ok(()));
        let calls = world.vault.calls() + world.other.calls() - before;
        assert!(calls <= 10, "{calls} calls in ten seconds");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenants_own_cold_reads_do_not_cost_it_its_lease() {
    let world = Arc::new(World::new());
    world.vault.set().versions = (1..=12).map(key).collect();
    let gate = world.gate_within(smallest(), [TENANT, "other"]);
    let lease = gate.to_write(TENANT).await.unwrap();
    assert_eq!(lease.version(), version(12));
    scan(&world, &gate, TENANT, 11);
    let mut least = BOUND;
    for _ in 0..600 {
        pass(seconds(1) / 4).await;
        least = least.min(lease.stretch().ends().left(world.clock.now()));
    }
    assert_eq!(lease.check(), Ok(()));
    assert!(least > BOUND / 3, "a renewal waited until {least:?} were left");
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_in_the_budget_is_told_so_in_time_and_served_when_there_is() {
    let world = Arc::new(World::new());
    world.vault.set().versions = (1..=30).map(key).collect();
    let gate = world.gate_within(smallest(), [TENANT, "other"]);
    scan(&world, &gate, TENANT, 30);
    pass(seconds(1)).await;
    let dek = Dek::from_bytes(&[0xee; 32]).unwrap();
    let envelope = world.envelope(TENANT, version(7), &dek);
    let began = world.clock.now();
    let refused = gate.to_open(TENANT, dek.id(), &envelope).await.err();
    let exhausted = Refusal::from(Unavailable::BudgetExhausted { to: Service::Vault });
    assert_eq!(refused, Some(OpenError::Refused(exhausted.of(version(7)))));
    assert!(world.clock.now().since(began) <= seconds(11), "behind sixty others");
    assert_eq!((exhausted.name(), exhausted.by()), ("budget_exhausted", Service::Gate));
    while gate.to_open(TENANT, dek.id(), &envelope).await.is_err() {}
    let waited = world.clock.now().since(began);
    assert!(waited < seconds(120), "{waited:?}");
    assert!(
        gate.to_write("other").await.is_ok(),
        "another vault has a budget of its own"
    );
}

#[tokio::test(start_paused = true)]
async fn exchanges_are_few_and_tenants_wait_for_their_turn() {
    let world = Arc::new(World::new());
    let entra = Calls::new(Calls::LEAST).unwrap();
    let budgets = Budgets {
        entra,
        ..Budgets::default()
    };
    let gate = world.gate_within(budgets, [TENANT, "other"]);
    let began = world.clock.now();
    gate.to_write(TENANT).await.unwrap();
    assert!(world.clock.now().since(began) < seconds(1));
    gate.to_write("other").await.unwrap();
    assert!(world.clock.now().since(began) >= seconds(1), "one at a time");
}
