//! What becomes of readers and rewraps if whoever runs the store loses the keyring, sets it back, or writes one of their own.

use http::{HeaderMap, Method};
use portcullis::keys::service::{Keyring, Record};

use super::{BOUND, all_read, rewrap, world, writes};
use crate::world::theft::Theft;
use crate::world::{SYSTEM_CONTAINER, World, bucket};

/// The records' names in the store.
async fn names(world: &World) -> Vec<String> {
    let listing = world
        .store_client(SYSTEM_CONTAINER)
        .get("?list-type=2&prefix=keyring")
        .await;
    let text = String::from_utf8(listing.body.to_vec()).unwrap();
    let keys = text.split("<Key>").skip(1);
    keys.map(|rest| rest.split("</Key>").next().unwrap().to_owned())
        .collect()
}

async fn delete(world: &World, names: impl IntoIterator<Item = String>) {
    let store = world.store_client(SYSTEM_CONTAINER);
    for name in names {
        let gone = store.send(Method::DELETE, &name, HeaderMap::new(), b"").await;
        assert_eq!(gone.status(), 204, "{name}");
    }
}

/// Rotates the key and rewraps; the old version's name.
async fn rewrapped(world: &World) -> String {
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    let (status, said) = rewrap(world, &[]).await;
    assert_eq!(status, Some(0), "{said}");
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_keyring_costs_nothing_while_the_old_version_lives_and_a_scan_brings_it_back() {
    let (world, files) = world().await;
    let old = rewrapped(&world).await;
    let gone = names(&world).await;
    assert!(gone.iter().any(|name| name.starts_with("keyring-by-dek/")), "{gone:?}");
    delete(&world, gone).await;
    let replica = world.replica("acme");
    all_read(&replica, &files).await;
    writes(&replica).await;

    // The command can't know of what the keyring does not tell; looking through the bucket it can.
    let (status, said) = rewrap(&world, &["--tenant", &world.tenant("acme")]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains(&old), "{said}");
    let scan = ["--tenant", &world.tenant("acme"), "--scan", &bucket("acme")];
    let (status, said) = rewrap(&world, &scan).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("1 DEK that the keyring does not have"), "{said}");
    assert!(said.contains(&format!("version {old} can go")), "{said}");

    world.standin.customer("acme").set_version_enabled(&old, false).unwrap();
    world.pass(BOUND * 4);
    all_read(&world.acme, &files).await;
    all_read(&world.replica("acme"), &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_set_back_to_before_the_rewrap_refuses_and_serves_nothing_false() {
    let (world, files) = world().await;
    let before = names(&world).await;
    let old = rewrapped(&world).await;
    let after = names(&world).await;
    delete(&world, after.into_iter().filter(|name| !before.contains(name))).await;
    world.standin.customer("acme").set_version_enabled(&old, false).unwrap();
    world.pass(BOUND);
    let replica = world.replica("acme");
    writes(&replica).await;
    for (name, _) in &files {
        let answer = replica.get(name).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (400, "KMS.DisabledException".to_owned()),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_keyring_opens_nothing() {
    let (world, _) = world().await;
    let own = Theft::from(&world, "acme").await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    // The forger's DEK under the newest version, filed under the id of the fleet's; and his object that names both.
    let forger = Theft::forged(&world, "acme").await;
    let record = Record {
        dek: own.dek.id(),
        envelope: forger.envelope.clone(),
    };
    world.keyring().put_rewrapped(&own.tenant, &record).await.unwrap();
    acme.set_version_enabled(&old, false).unwrap();
    world.pass(BOUND);
    writes(&world.acme).await;
    let unwraps = world.unwraps("acme");
    let answer = world.acme.get("small").await;
    assert_eq!(
        (answer.status(), answer.code()),
        (400, "KMS.DisabledException".to_owned())
    );
    assert!(
        world.unwraps("acme") - unwraps <= 2,
        "the vault is not asked about a forgery"
    );
    let (_, said) = rewrap(&world, &["--tenant", &world.tenant("acme")]).await;
    assert!(
        said.contains("not made by this fleet for this key, and left alone: 1 record"),
        "{said}"
    );
}
