//! What goes wrong, and when: customers change their minds, services fail, clocks are set, machines sleep, processes die.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::keys::refusal::{Refusal, Service, Unavailable};
use crate::keys::simulation::judge::Trouble;
use crate::keys::simulation::vault::{FAST, Truth, Weather};
use crate::keys::simulation::{Dice, Gate, World};

/// Starts what may go wrong under this seed.
pub fn unleash(world: &Arc<World>) {
    if world.calm {
        return;
    }
    let mut dice = Dice::new(world.seed, 1);
    for truth in &world.tenants {
        if dice.below(3) > 0 {
            tokio::spawn(customer(Arc::clone(world), Arc::clone(truth)));
        }
        for entra in [false, true] {
            if dice.below(2) == 0 {
                tokio::spawn(service(Arc::clone(world), Arc::clone(truth), entra));
            }
        }
    }
    for gate in &world.gates {
        if dice.below(3) == 0 {
            tokio::spawn(machine(Arc::clone(world), Arc::clone(gate)));
        }
    }
    if dice.below(2) == 0 {
        tokio::spawn(store(Arc::clone(world)));
    }
}

/// A customer revokes and restores, rotates, disables versions, disables the application.
async fn customer(world: Arc<World>, truth: Arc<Truth>) {
    let bound = world.bounds.revocation;
    let mut dice = Dice::new(world.seed, 200 + truth.number as u64);
    loop {
        sleep(dice.between(Duration::ZERO, bound * 3)).await;
        let span = dice.between(Duration::from_millis(1), bound * 3);
        // What is reckoned with in a vault's budget is one version of each tenant.
        let ways = if world.crowd { 3 } else { 6 };
        match dice.below(ways) {
            0 => {
                revoke(&world, &truth, span, |state, no| state.role_missing = no).await;
            }
            1 => {
                let span = span.max(world.bounds.identity.min(bound * 6));
                revoke(&world, &truth, span, |state, no| state.app_disabled = no).await;
            }
            2 => {
                revoke(&world, &truth, span, |state, no| {
                    state.versions.iter_mut().for_each(|(_, enabled)| *enabled = !no);
                })
                .await;
            }
            3 => {
                // A newest version that is disabled must stop nobody.
                let enabled = dice.below(3) > 0;
                change(&world, &truth, |state| _ = state.rotate(enabled));
            }
            4 => {
                // Rotated, and the old one disabled at once.
                trouble_with_versions(&world, &truth, span);
                change(&world, &truth, |state| {
                    state.versions.iter_mut().for_each(|(_, enabled)| *enabled = false);
                    state.rotate(true);
                });
            }
            _ => {
                // One of the versions comes or goes.
                trouble_with_versions(&world, &truth, bound);
                let which = usize::try_from(dice.next() >> 32).unwrap();
                change(&world, &truth, |state| {
                    let count = state.versions.len();
                    state.versions[which % count].1 ^= true;
                    if state.versions.iter().all(|(_, enabled)| !enabled) {
                        state.versions[0].1 = true;
                    }
                });
            }
        }
        trouble_with_versions(&world, &truth, Duration::ZERO);
    }
}

async fn revoke(
    world: &World,
    truth: &Truth,
    span: Duration,
    apply: impl Fn(&mut crate::keys::simulation::vault::State, bool),
) {
    world.judge.trouble(Trouble::Tenant(truth.number), span);
    change(world, truth, |state| apply(state, true));
    sleep(span).await;
    change(world, truth, |state| apply(state, false));
    world.judge.trouble(Trouble::Tenant(truth.number), Duration::ZERO);
}

fn change(world: &World, truth: &Truth, apply: impl FnOnce(&mut crate::keys::simulation::vault::State)) {
    let mut state = truth.state();
    apply(&mut state);
    world.judge.customer_means(truth.number, &state);
}

/// A version that is disabled refuses its readers as long as it is; writers have to find another.
fn trouble_with_versions(world: &World, truth: &Truth, span: Duration) {
    world.judge.trouble(Trouble::Writers(truth.number), span);
    let versions = truth.state().versions.clone();
    for (version, enabled) in versions {
        let whose = Trouble::Version(truth.number, version);
        // Until it is enabled again, which is looked at after every change.
        let span = if enabled { span } else { world.length };
        world.judge.trouble(whose, span);
    }
}

/// A service fails in one way or another, for a while.
async fn service(world: Arc<World>, truth: Arc<Truth>, entra: bool) {
    let bound = world.bounds.revocation;
    let by = if entra { Service::Entra } else { Service::Vault };
    let mut dice = Dice::new(world.seed, 300 + truth.number as u64 * 2 + u64::from(entra));
    loop {
        sleep(dice.between(Duration::ZERO, bound * 4)).await;
        let (weather, tail) = weather(&mut dice, by, bound);
        let span = dice.between(Duration::from_millis(1), bound * 2);
        world.judge.trouble(Trouble::Tenant(truth.number), span + tail);
        let set = |weather| {
            let mut state = truth.state();
            match entra {
                true => state.entra = weather,
                false => state.vault = weather,
            }
        };
        set(weather);
        sleep(span).await;
        set(Weather::Fine);
    }
}

/// Some weather, and for how long it is felt after it is over.
fn weather(dice: &mut Dice, by: Service, bound: Duration) -> (Weather, Duration) {
    let status = 503;
    let failing: Refusal = match dice.below(3) {
        0 => Unavailable::Unreachable { by }.into(),
        1 => Unavailable::ServerError { by, status }.into(),
        _ => {
            let seconds = [None, Some(1), Some(3), Some(9)];
            let retry_after = dice.one_of(&seconds).map(Duration::from_secs);
            Unavailable::Throttled { by, retry_after }.into()
        }
    };
    let tail = failing.retry_after().unwrap_or_default() + FAST * 2;
    match dice.below(4) {
        0 => {
            let most = dice.between(FAST, bound);
            (Weather::Slow(most), most * 2)
        }
        1 => {
            let span = dice.between(FAST, bound * 2);
            (Weather::Hanging(span), span + FAST)
        }
        2 => (Weather::Flapping(failing), tail),
        _ => (Weather::Failing(failing), tail),
    }
}

/// The keyring's store fails. Nobody who is warm may notice, nor any reader.
async fn store(world: Arc<World>) {
    let bound = world.bounds.revocation;
    let mut dice = Dice::new(world.seed, 400);
    loop {
        sleep(dice.between(Duration::ZERO, bound * 4)).await;
        let span = dice.between(Duration::from_millis(1), bound * 2);
        let most = dice.between(FAST, bound);
        let weather = match dice.below(2) {
            0 => Weather::Slow(most),
            _ => Weather::Hanging(most),
        };
        world.judge.trouble(Trouble::Keyring, span + most * 4);
        world.ring.shelf().weather = weather;
        sleep(span).await;
        world.ring.shelf().weather = Weather::Fine;
    }
}

/// A machine's clocks are set, it sleeps, a hypervisor holds it still, its process is started anew.
async fn machine(world: Arc<World>, gate: Arc<Gate>) {
    let bound = world.bounds.revocation;
    let mut dice = Dice::new(world.seed, 500 + gate.number as u64);
    loop {
        sleep(dice.between(Duration::ZERO, bound * 3)).await;
        world.judge.trouble(Trouble::Gate(gate.number), Duration::ZERO);
        let millis = i64::try_from(dice.between(Duration::ZERO, bound * 2).as_millis()).unwrap();
        match dice.below(6) {
            0 => gate.skew.set_wall(millis),
            1 => gate.skew.set_wall(-millis),
            2 => gate
                .skew
                .set_wall(*dice.one_of(&[3_600_000, -3_600_000, 3_000_000_000])),
            3 => gate.skew.set_wall(*dice.one_of(&[900, -900, 1_100, -1_100])),
            4 => gate.skew.suspend(dice.between(Duration::ZERO, bound * 3)),
            _ => world.restart(&gate),
        }
    }
}
