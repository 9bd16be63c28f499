//! A lease in use, a lease that nobody uses, and the clocks that end one.

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::world::{BOUND, TENANT, World, pass, seconds, silent, why};
use crate::keys::LeaseEnd;
use crate::keys::refusal::{Refusal, Revoked, Unavailable};
use crate::seal::{Domain, Place, PlainLen};

#[tokio::test(start_paused = true)]
async fn a_lease_in_use_is_renewed_at_a_third_and_nobody_waits() {
    let world = World::new();
    let gate = world.gate();
    let dek = gate.to_write(TENANT).await.unwrap().named();
    world.vault.set().takes = seconds(8);
    let asked_before = world.vault.unwraps();
    for _ in 0..600 {
        pass(seconds(1)).await;
        let before = world.clock.now();
        let lease = gate.to_write(TENANT).await.unwrap();
        assert!(lease.check().is_ok() && gate.warm(TENANT, dek).is_some());
        assert_eq!(world.clock.now(), before, "a warm tenant's request waits for nobody");
    }
    let renewals = world.vault.unwraps() - asked_before;
    assert!((40..=75).contains(&renewals), "{renewals} renewals in ten minutes");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_uses_lapses_and_its_deks_are_gone() {
    let world = World::new();
    let gate = world.gate();
    let grant = gate.to_write(TENANT).await.unwrap().stretch();
    pass(BOUND / 2).await;
    assert!(grant.live().is_ok() && grant.canary().is_some());
    pass(BOUND).await;
    assert_eq!(grant.live(), Err(Unavailable::Lapsed.into()));
    assert!(grant.canary().is_none(), "zeroized");
    let asked = world.vault.unwraps();
    pass(seconds(600)).await;
    assert_eq!(world.vault.unwraps(), asked, "nobody asks for what nobody uses");
    assert!(gate.to_write(TENANT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whoever_begins_at_the_end_of_an_idle_lease_is_not_cut() {
    let world = World::new();
    let gate = world.gate();
    let grant = gate.to_write(TENANT).await.unwrap().stretch();
    world.vault.set().takes = seconds(1);
    // Renewed once, for the first use; then idle until just before its end.
    pass(BOUND / 2).await;
    let left = grant.ends().left(world.clock.now());
    pass(left.checked_sub(seconds(1) / 2).unwrap()).await;
    let lease = gate.to_write(TENANT).await.unwrap();
    pass(seconds(5)).await;
    assert!(lease.check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_is_use() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    let place = Place {
        container: "photos",
        name: "cat.jpg",
        domain: Domain::S3,
    };
    let (_, mut sealer) = lease.seal_whole(&place, PlainLen(3)).unwrap();
    for _ in 0..60 {
        pass(BOUND).await;
        assert!(sealer.get().is_ok(), "read once in a bound, renewed all the time");
    }
}

/// Nothing runs between the clock's step and the question: neither the keeper nor anybody's timer has seen the end.
#[tokio::test(start_paused = true)]
async fn whoever_holds_opened_bytes_sees_the_end_by_the_clock_before_any_task_has() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    let (end, grown) = (lease.ending(), lease.ending().growing());
    let stream = LeaseEnd::from(CancellationToken::new()).growing();
    stream.add(&lease);
    let another = stream.clone();
    let told = || [&end, &grown, &another].map(|end| end.cancelled().now_or_never().is_some());
    assert!(![&end, &grown, &another].iter().any(|end| end.is_over()));
    world.skew.suspend(BOUND);
    assert_eq!(told(), [false; 3]);
    assert!(another.is_over(), "a lease that came later counts too");
    assert!(end.is_over() && grown.is_over());
    assert_eq!(told(), [true, true, false], "and who sees it tells those who wait");
    drop(stream);
    another.cancelled().await;
}

#[tokio::test(start_paused = true)]
async fn a_no_cuts_streams_and_takes_the_deks() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    let (grant, over) = (lease.stretch(), lease.over());
    world.vault.disable(1);
    let revoked_at = world.clock.now();
    over.cancelled().await;
    assert!(world.clock.now().since(revoked_at) <= BOUND / 3);
    assert_eq!(why(lease.check()), Some(Revoked::KeyDisabled.into()));
    assert!(grant.canary().is_none());
    assert_eq!(why(gate.to_write(TENANT).await), Some(Revoked::KeyDisabled.into()));
}

#[tokio::test(start_paused = true)]
async fn silence_closes_exactly_at_the_bound_with_its_own_reason() {
    let world = World::new();
    let gate = world.gate();
    let asked = world.clock.now();
    let lease = gate.to_write(TENANT).await.unwrap();
    world.vault.set().unwrap = Some(silent());
    lease.over().cancelled().await;
    let late = world.clock.now().since(asked).saturating_sub(BOUND);
    assert!(
        late <= seconds(0) + std::time::Duration::from_millis(1),
        "{late:?} late"
    );
    assert!(world.clock.now().since(asked) >= BOUND, "and not before");
    assert_eq!(why(lease.check()), Some(silent()));
    assert_eq!(why(gate.to_write(TENANT).await), Some(silent()));
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_hangs_does_not_hold_up_the_end() {
    let world = World::new();
    let gate = world.gate();
    let asked = world.clock.now();
    let lease = gate.to_write(TENANT).await.unwrap();
    world.vault.set().takes = seconds(300);
    lease.over().cancelled().await;
    assert_eq!(world.clock.now().since(asked).as_secs(), BOUND.as_secs());
    assert!(lease.stretch().canary().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_for_another_dek_does_not_hold_up_the_end() {
    let world = World::new();
    let gate = world.gate();
    let asked = world.clock.now();
    let lease = gate.to_write(TENANT).await.unwrap();
    let stranger = "00112233445566778899aabbccddeeff".parse().unwrap();
    let envelope = world.bad_envelope(stranger);
    world.vault.set().takes = seconds(300);
    let other = std::sync::Arc::clone(&gate);
    tokio::spawn(async move { other.to_open(TENANT, stranger, &envelope).await.map(|_| ()) });
    lease.over().cancelled().await;
    assert_eq!(world.clock.now().since(asked).as_secs(), BOUND.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_set_wall_clock_asks_for_a_proof() {
    for jump in [-3_600_000, -1_500, 1_500, 20_000] {
        let world = World::new();
        let gate = world.gate();
        let lease = gate.to_write(TENANT).await.unwrap();
        let asked = world.vault.unwraps();
        pass(seconds(2)).await;
        assert_eq!(world.vault.unwraps(), asked);
        world.skew.set_wall(jump);
        pass(seconds(1) + seconds(1) / 10).await;
        assert_eq!(world.vault.unwraps(), asked + 1, "set by {jump} ms");
        assert!(lease.check().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_machine_wakes_without_a_lease() {
    let world = World::new();
    let gate = world.gate();
    let lease = gate.to_write(TENANT).await.unwrap();
    // Asleep while it waits for the vault, too: its timers stood still meanwhile.
    for asleep_in_a_call in [false, true] {
        let lease = gate.to_write(TENANT).await.unwrap();
        if asleep_in_a_call {
            world.vault.set().takes = seconds(20);
            pass(seconds(11)).await;
        }
        world.skew.suspend(BOUND);
        assert!(lease.check().is_err());
        tokio::time::timeout(seconds(1), lease.over().cancelled())
            .await
            .unwrap();
        world.vault.set().takes = seconds(0);
        pass(seconds(30)).await;
    }
    assert!(lease.check().is_err(), "what was cut is never resumed");
    assert!(gate.to_write(TENANT).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn tenants_do_not_disturb_each_other() {
    let world = World::new();
    let gate = world.gate();
    let mine = gate.to_write(TENANT).await.unwrap();
    let theirs = gate.to_write("other").await.unwrap();
    let dek = mine.named();
    world.vault.disable(1);
    world.other.set().takes = seconds(5);
    pass(BOUND * 4).await;
    assert!(mine.check().is_err() && theirs.check().is_ok());
    assert!(gate.warm("other", dek).is_none());
    let before = world.clock.now();
    assert!(matches!(why(gate.to_write(TENANT).await), Some(Refusal::Revoked(_))));
    assert!(gate.to_write("other").await.is_ok());
    assert_eq!(world.clock.now(), before);
}
