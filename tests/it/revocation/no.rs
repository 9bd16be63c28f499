//! Every way to say no: it acts once the gate hears it, has its own code, holds for every operation, and can be taken back.

use http::{HeaderMap, Method};
use portcullis::dev::standin::{Customer, Fault, Gate, Operation};

use super::{BOUND, DUE, entra_asked_anew, served_again, until, world};
use crate::revocation::doors::Door;
use crate::revocation::rows::{DENIED, DISABLED, GONE, Told, USAGE};
use crate::world::vault;

const FILE: &[u8] = b"words";

type Act = fn(&Customer) -> String;

/// What a customer can do in its vault, how it is undone, and what clients are told.
const IN_THE_VAULT: [(Act, Act, Told); 4] = [
    (|it| it.disable_key().unwrap(), |it| it.enable_key().unwrap(), DISABLED),
    (|it| it.delete_key().unwrap(), |it| it.recover_key().unwrap(), GONE),
    (|it| it.remove_role().unwrap(), |it| it.grant_role().unwrap(), DENIED),
    (
        |it| it.set_key_ops(&["wrapKey"]).unwrap(),
        |it| it.set_key_ops(&["wrapKey", "unwrapKey"]).unwrap(),
        USAGE,
    ),
];

/// What a customer can do in its Entra tenant.
const IN_ENTRA: [(Act, Act, Told); 3] = [
    (|it| it.disable_app().unwrap(), |it| it.enable_app().unwrap(), DENIED),
    (|it| it.remove_app().unwrap(), |it| it.install_app().unwrap(), DENIED),
    (|it| it.forget_app().unwrap(), |it| it.install_app().unwrap(), DENIED),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_the_vault_closes_every_operation_and_each_yes_opens_it() {
    let world = world(FILE).await;
    for (customer, other) in [("acme", "globex"), ("globex", "acme")] {
        for (no, yes, told) in IN_THE_VAULT {
            let said = no(&world.standin.customer(customer));
            world.pass(DUE);
            refused(&world, customer, &said, &told).await;
            assert!(
                world.client(other).get("file").await.is(FILE),
                "{said}: {other} is served"
            );
            yes(&world.standin.customer(customer));
            served_again(&world, customer, FILE).await;
        }
        assert_eq!(world.audit(other, "stream_cut"), []);
    }
}

/// Seen when a token is asked for anew, a third of `identity_bound` after the last at the latest.
#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_entra_closes_every_operation_and_each_yes_opens_it() {
    let world = world(FILE).await;
    for (no, yes, told) in IN_ENTRA {
        let said = no(&world.standin.customer("acme"));
        entra_asked_anew(&world).await;
        refused(&world, "acme", &said, &told).await;
        assert!(world.globex.get("file").await.is(FILE), "{said}: globex is served");
        yes(&world.standin.customer("acme"));
        served_again(&world, "acme", FILE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_asked_for_before_the_no_opens_nothing() {
    let world = world(FILE).await;
    let site = world.standin.vault(&vault("acme"));
    // One renewal is decided, and its answer held; then the customer disables the key.
    let held = Gate::new();
    site.fault(Fault::late_until(&held).on(Operation::UnwrapKey).times(1));
    let asked = world.unwraps("acme");
    world.pass(DUE);
    site.seen(Operation::UnwrapKey, asked + 1).await;
    world.standin.customer("acme").disable_key().unwrap();
    held.open();
    // The held yes extends the lease from when it was asked for, and not longer.
    world.pass(DUE);
    refused(&world, "acme", "disabled while a yes was on its way", &DISABLED).await;
    world.pass(BOUND);
    refused(&world, "acme", "still disabled", &DISABLED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_rotated_and_its_old_version_disabled_at_once_shuts_nobody_out_from_writing() {
    let world = world(FILE).await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    acme.set_version_enabled(&old, false).unwrap();
    world.pass(BOUND);
    let put = || world.acme.send(Method::PUT, "new", HeaderMap::new(), FILE);
    until("a PUT under the new version", put, |answer| answer.status() == 200).await;
    assert!(world.acme.get("new").await.is(FILE));
    let answer = world.acme.get("file").await;
    assert_eq!(
        (answer.status(), answer.code().as_str()),
        (400, "KMS.DisabledException"),
        "sealed under the old one"
    );
    acme.set_version_enabled(&old, true).unwrap();
    served_again(&world, "acme", FILE).await;
}

/// From the first refusal on, nothing is served; and it is every operation that is refused so, and nothing that is stored.
pub(super) async fn refused(door: &impl Door, customer: &str, said: &str, told: &Told) {
    let (status, code) = door.words(told);
    let read = || door.read(customer, "file");
    until(said, read, |answer| {
        // Whose answer was on its way when the lease ended, it is cut.
        let is_no = (answer.status(), door.code(answer).as_str()) == (status, code);
        let served = answer.is(FILE);
        assert!(served || is_no || !answer.whole, "{said}: {answer:?}");
        !served
    })
    .await;
    refused_everywhere(door, customer, said, told).await;
    let world = door.world();
    let (no, ended) = (
        world.audit(customer, "key_refused"),
        world.audit(customer, "lease_ended"),
    );
    assert!(!no.is_empty() && !ended.is_empty(), "{said}: audited");
    assert_ne!(no.last().unwrap().field("reason"), "", "{said}");
}

/// Now it is every operation that is refused so; and of what they would have written, nothing is stored. Only where nobody has said
/// no SDKs are to try again.
pub(super) async fn refused_everywhere(door: &impl Door, customer: &str, said: &str, told: &Told) {
    let (status, code) = door.words(told);
    for (what, answer) in Box::pin(door.each_operation(customer)).await {
        let refused = (answer.status(), door.code(&answer));
        assert_eq!(refused, (status, code.to_owned()), "{said}: {what}: {answer:?}");
        let again = answer.headers.contains_key("retry-after");
        assert_eq!(again, status == 503, "{said}: {what}: {answer:?}");
    }
    assert_eq!(door.glance(customer).await.status(), status, "{said}: HEAD");
    assert!(!door.is_stored(customer, "new").await, "{said}: nothing is stored");
}
