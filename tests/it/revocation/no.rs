//! Every way to say no: it acts once the gate hears it, has its own code, holds for every operation, and can be taken back.

use http::{HeaderMap, Method};
use portcullis::dev::standin::{Customer, Fault, Gate, Operation};

use super::{BOUND, DUE, entra_asked_anew, served_again, until, world};
use crate::world::client::Answer;
use crate::world::{World, vault};

const FILE: &[u8] = b"words";

type Act = fn(&Customer) -> String;

/// What a customer can do in its vault, how it is undone, and what clients are told.
const IN_THE_VAULT: [(Act, Act, u16, &str); 4] = [
    (
        |it| it.disable_key().unwrap(),
        |it| it.enable_key().unwrap(),
        400,
        "KMS.DisabledException",
    ),
    (
        |it| it.delete_key().unwrap(),
        |it| it.recover_key().unwrap(),
        400,
        "KMS.NotFoundException",
    ),
    (
        |it| it.remove_role().unwrap(),
        |it| it.grant_role().unwrap(),
        403,
        "AccessDenied",
    ),
    (
        |it| it.set_key_ops(&["wrapKey"]).unwrap(),
        |it| it.set_key_ops(&["wrapKey", "unwrapKey"]).unwrap(),
        400,
        "KMS.InvalidKeyUsageException",
    ),
];

/// What a customer can do in its Entra tenant.
const IN_ENTRA: [(Act, Act, u16, &str); 3] = [
    (
        |it| it.disable_app().unwrap(),
        |it| it.enable_app().unwrap(),
        403,
        "AccessDenied",
    ),
    (
        |it| it.remove_app().unwrap(),
        |it| it.install_app().unwrap(),
        403,
        "AccessDenied",
    ),
    (
        |it| it.forget_app().unwrap(),
        |it| it.install_app().unwrap(),
        403,
        "AccessDenied",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_no_of_the_vault_closes_every_operation_and_each_yes_opens_it() {
    let world = world(FILE).await;
    for (customer, other) in [("acme", "globex"), ("globex", "acme")] {
        for (no, yes, status, code) in IN_THE_VAULT {
            let said = no(&world.standin.customer(customer));
            world.pass(DUE);
            refused(&world, customer, &said, status, code).await;
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
    for (no, yes, status, code) in IN_ENTRA {
        let said = no(&world.standin.customer("acme"));
        entra_asked_anew(&world).await;
        refused(&world, "acme", &said, status, code).await;
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
    refused(
        &world,
        "acme",
        "disabled while a yes was on its way",
        400,
        "KMS.DisabledException",
    )
    .await;
    world.pass(BOUND);
    refused(&world, "acme", "still disabled", 400, "KMS.DisabledException").await;
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

/// From the first refusal on, nothing is served; and it is every operation that is refused, with this code.
pub(super) async fn refused(world: &World, customer: &str, said: &str, status: u16, code: &str) {
    let client = world.client(customer);
    let is = |answer: &Answer| (answer.status(), answer.code().as_str()) == (status, code);
    let get = || client.get("file");
    until(said, get, |answer| {
        // Whose answer was on its way when the lease ended, it is cut.
        assert!(
            answer.is(FILE) || is(answer) || !answer.whole,
            "{said}: {} {}",
            answer.status(),
            answer.code()
        );
        !answer.is(FILE)
    })
    .await;
    let empty = HeaderMap::new;
    for (what, answer) in [
        ("GET", client.get("file").await),
        ("a range", client.get_range("file", "1-2").await),
        ("LIST", client.get("?list-type=2").await),
        ("PUT", client.send(Method::PUT, "new", empty(), b"new").await),
        ("DELETE", client.send(Method::DELETE, "file", empty(), b"").await),
    ] {
        assert!(is(&answer), "{said}: {what}: {} {}", answer.status(), answer.code());
        assert!(
            !answer.headers.contains_key("retry-after"),
            "{said}: no SDK is to try again"
        );
    }
    assert_eq!(client.head("file").await.status(), status, "{said}: HEAD");
    let (no, ended) = (
        world.audit(customer, "key_refused"),
        world.audit(customer, "lease_ended"),
    );
    assert!(!no.is_empty() && !ended.is_empty(), "{said}: audited");
    assert_ne!(no.last().unwrap().field("reason"), "", "{said}");
}
