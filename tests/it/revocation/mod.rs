//! The customer's no, and everybody's silence, as clients of the running gate see them: the vault's and Entra's faults one by one,
//! transfers under way, recovery without a restart.
//!
//! No test waits for a lease to run out: time jumps. What is waited for is the gate's own looking at its clock, once a second.

mod blobs;
mod copies;
mod doors;
mod no;
mod recheck;
mod rows;
mod silence;
mod table;
mod transfers;

use std::time::{Duration, Instant};

use http::Method;
use portcullis::keys::Bounds;

use crate::revocation::doors::Door;
use crate::world::azure::Azure;
use crate::world::client::Answer;
use crate::world::{CUSTOMERS, World};

/// Long enough that a busy machine does not end a lease that a test wants live.
const BOUND: Duration = Duration::from_secs(10);
const IDENTITY: Duration = Duration::from_secs(40);
/// More than a third of the bound: the gate asks the vault again.
const DUE: Duration = Duration::from_secs(5);
/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A world in which both tenants have an object `file` of these bytes, and a lease.
async fn world(file: &[u8]) -> World {
    let world = World::bounded(Bounds::new(BOUND, IDENTITY)).await;
    for client in [&world.acme, &world.globex] {
        client.put("file", file).await;
        assert!(client.get("file").await.is(file));
    }
    world
}

/// The same for Azure's clients; `None` where there is no Azurite.
async fn azure(file: &[u8]) -> Option<Azure> {
    let azure = Azure::bounded(Bounds::new(BOUND, IDENTITY)).await?;
    for customer in CUSTOMERS {
        assert_eq!(azure.write(customer, "file", file).await.status(), 201);
        assert!(azure.read(customer, "file").await.is(file) && azure.is_stored(customer, "file").await);
        let log = [("x-ms-blob-type", "AppendBlob")];
        let made = azure.client(customer).send(Method::PUT, "/files/log", &log, b"").await;
        assert_eq!(made.status(), 201, "{made:?}");
    }
    Some(azure)
}

/// Asks until the answer is this, or for too long.
async fn until<A, F>(what: &str, ask: impl Fn() -> A, good: F) -> Answer
where
    A: Future<Output = Answer>,
    F: Fn(&Answer) -> bool,
{
    let began = Instant::now();
    loop {
        let answer = ask().await;
        if good(&answer) {
            return answer;
        }
        let (status, said) = (answer.status(), String::from_utf8_lossy(&answer.body));
        assert!(began.elapsed() < PATIENCE, "{what}: still {status} {said:.400}");
        tokio::task::yield_now().await;
    }
}

/// Why acme's last lease ended, and of which version it was, once more ends than these are written down: the task that keeps a lease does that, and may come
/// after whoever first saw by the clocks that it is over.
async fn why_ended(world: &World, before: usize) -> (String, String) {
    let began = Instant::now();
    loop {
        if let [.., last] = &world.audit("acme", "lease_ended")[before..] {
            return (last.field("reason").to_owned(), last.field("version").to_owned());
        }
        assert!(began.elapsed() < PATIENCE, "the end of a lease is audited");
        tokio::task::yield_now().await;
    }
}

/// Time passes while these customers are in use, until for each the next answer of the vault or of Entra has been heard: a yes or
/// a no.
async fn asked_anew(door: &impl Door, customers: &[&str]) {
    let world = door.world();
    let heard = |customer: &str| {
        let (yes, no) = (
            world.audit(customer, "lease_renewed"),
            world.audit(customer, "key_refused"),
        );
        yes.len() + no.len()
    };
    let before: Vec<_> = customers.iter().map(|customer| heard(customer)).collect();
    world.pass(DUE);
    for (customer, before) in customers.iter().zip(before) {
        until(customer, || door.glance(customer), |_| heard(customer) > before).await;
    }
}

/// The same, until Entra must have been asked for a token anew.
async fn entra_asked_anew(door: &impl Door) {
    let refused = || door.world().audit("acme", "key_refused").len();
    let before = refused();
    let mut passed = Duration::ZERO;
    while passed < IDENTITY / 3 && refused() == before {
        asked_anew(door, &CUSTOMERS).await;
        passed += DUE;
    }
}

/// Served again, without a restart, once the pauses after what went wrong are over. The jump of time may have cost others their lease.
async fn served_again(door: &impl Door, customer: &str, file: &[u8]) {
    door.world().pass(BOUND);
    let others = CUSTOMERS.iter().filter(|other| **other != customer);
    for customer in others.chain([&customer]) {
        until(customer, || door.read(customer, "file"), |answer| answer.is(file)).await;
    }
    let written = door.write(customer, "again", b"again").await;
    assert!([200, 201].contains(&written.status()), "{written:?}");
}
