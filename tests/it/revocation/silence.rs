//! Nobody answers for the key: a tenant that has a lease is served until it ends, then told to come again; nobody else feels it.

use std::time::Duration;

use portcullis::dev::standin::{Fault, Network, Operation, Site};

use super::{BOUND, DUE, IDENTITY, asked_anew, served_again, until, world};
use crate::world::{World, vault};

const FILE: &[u8] = b"words";

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_answers_nothing_of_use_closes_the_gate_at_the_bound() {
    let world = world(FILE).await;
    let firewall_of_the_way = Fault::proxy_refusal();
    for (what, fault) in [
        ("throttled", Fault::throttled(None)),
        ("throttled, with a wish", Fault::throttled(Some(7))),
        ("500", Fault::broken()),
        ("503", Fault::busy()),
        ("a bare 403", firewall_of_the_way),
        ("409", Fault::conflict("acme-cmk")),
        (
            "not JSON",
            Fault::answer(http::StatusCode::NOT_FOUND, "text/html", "<h1>404</h1>"),
        ),
    ] {
        let site = world.standin.vault(&vault("acme"));
        site.fault(fault);
        closes_at_the_bound(&world, what, &site).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_does_not_answer_closes_the_gate_at_the_bound() {
    let world = world(FILE).await;
    for (what, fault) in [
        ("dropped before", Fault::dropped_before()),
        ("dropped after", Fault::dropped_after()),
        ("late", Fault::late(Duration::from_secs(3))),
        ("silent", Fault::silent()),
    ] {
        let site = world.standin.vault(&vault("acme"));
        site.fault(fault);
        closes_at_the_bound(&world, what, &site).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_out_of_reach_closes_the_gate_at_the_bound() {
    let world = world(FILE).await;
    let site = world.standin.vault(&vault("acme"));
    for network in [Network::Firewalled, Network::PrivateOnly] {
        world.standin.customer("acme").set_network(network).unwrap();
        closes_at_the_bound(&world, &format!("{network:?}"), &site).await;
    }
    // Requests never arrive, so there is nothing to be seen at the vault.
    site.fault(Fault::unreachable());
    world.pass(DUE);
    assert!(
        world.acme.get("file").await.is(FILE),
        "unreachable: the lease still runs"
    );
    closed(&world, "unreachable", &site).await;
}

/// Shows only when a token is asked for anew: at the end of `identity_bound`.
#[tokio::test(flavor = "multi_thread")]
async fn an_entra_that_gives_no_token_closes_the_gate_at_the_identity_bound() {
    let world = world(FILE).await;
    for (what, fault) in [
        ("throttled", Fault::throttled(Some(9))),
        ("500", Fault::broken()),
        ("silent", Fault::silent()),
    ] {
        let site = world.standin.entra("acme");
        site.fault(fault.on(Operation::Token));
        // The vault goes on to say yes to the token that there is.
        let began = world.clock.now();
        while world.clock.now().since(began) + 2 * BOUND < IDENTITY {
            asked_anew(&world, &["acme"]).await;
            assert!(
                world.acme.get("file").await.is(FILE),
                "{what}: served by the token that there is"
            );
        }
        // The token may have been asked for a little after that, by an exchange that was under way: a lease would be given for the rest
        // of its time, and the request that came for it be cut.
        world.pass(BOUND + DUE);
        closed(&world, what, &site).await;
    }
}

/// Served until the bound, whatever the vault says when it is asked anew; closed from then on; open again afterwards.
async fn closes_at_the_bound(world: &World, what: &str, site: &Site) {
    let asked = site.total();
    assert!(world.acme.get("file").await.is(FILE), "{what}: the lease runs");
    world.pass(DUE);
    until(
        what,
        || world.acme.get("file"),
        |answer| {
            assert!(
                answer.is(FILE),
                "{what}: no request waits for the vault, and none is refused"
            );
            site.total() > asked
        },
    )
    .await;
    world.acme.put("more", b"more").await;
    closed(world, what, site).await;
}

/// The bound has passed: refused so that clients try again; then mended.
async fn closed(world: &World, what: &str, site: &Site) {
    world.pass(BOUND);
    // The jump of time may come between an answer's last byte and the gate's knowing that it left: its connection is reset with its
    // lease then, and the next request on it finds that. Nothing is served either way.
    let first = world.acme.get("file").await;
    assert!(
        first.body.is_empty() && first.status() == 0 || first.status() == 503,
        "{what}: {}",
        first.status()
    );
    for answer in [
        world.acme.get("file").await,
        world.acme.get_range("file", "1-2").await,
        world.acme.get("?list-type=2").await,
    ] {
        assert_eq!(
            (answer.status(), answer.code().as_str()),
            (503, "ServiceUnavailable"),
            "{what}"
        );
        let after: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&after), "{what}: Retry-After {after}");
    }
    assert_eq!(world.acme.head("file").await.status(), 503, "{what}");
    // A renewal of globex's that the jump of time caught on the wire has come a whole bound late, which is silence, and the
    // vault is left alone for a moment after it. Nothing else may keep globex from being served.
    until(
        what,
        || world.globex.get("file"),
        |answer| {
            let served = answer.is(FILE);
            let said = String::from_utf8_lossy(&answer.body);
            assert!(
                served || (answer.status() == 503 && said.contains("(timeout)")),
                "{what}: {said}"
            );
            served
        },
    )
    .await;
    assert_ne!(world.audit("acme", "request_refused"), [], "{what}");
    assert_eq!(world.audit("acme", "key_refused"), [], "{what}: nobody has said no");
    world.standin.customer("acme").set_network(Network::Open).unwrap();
    site.clear_faults();
    served_again(world, "acme", FILE).await;
}
