//! What can be read of objects that were copied elsewhere by the store's own means, with or without their keyring, under other
//! names or another tenant's; and of a key that was restored, where it was or into another vault. docs/operations.md says it.

use std::fs;

use http::{HeaderMap, HeaderValue, Method};
use portcullis::telemetry::clock::Clock;

use super::served::{Served, run};
use super::{BOUND, Directory, configuration, rewrap, world};
use crate::world::client::Client;
use crate::world::{SYSTEM_CONTAINER, World, bucket};

type Files = [(&'static str, Vec<u8>)];
const RESTORED: &str = "acme-restored";
const OTHER_SYSTEM: &str = "system-restored";

/// Copies everything of a bucket to another, within the store, as its own tools do: bytes and metadata.
async fn copy_all(world: &World, from: &str, to: &str) {
    let store = world.store_client(to);
    store.make_bucket().await;
    for name in names(world, from).await {
        copy(&store, &format!("{from}/{name}"), &name).await;
    }
}

async fn copy(store: &Client, from: &str, to: &str) {
    let source = HeaderValue::try_from(from).unwrap();
    let headers = HeaderMap::from_iter([("x-amz-copy-source".parse().unwrap(), source)]);
    assert_eq!(store.send(Method::PUT, to, headers, b"").await.status(), 200, "{from}");
}

async fn names(world: &World, bucket: &str) -> Vec<String> {
    let listing = world.store_client(bucket).get("?list-type=2").await;
    let text = String::from_utf8(listing.body.to_vec()).unwrap();
    let keys = text.split("<Key>").skip(1);
    keys.map(|rest| rest.split("</Key>").next().unwrap().to_owned())
        .collect()
}

/// A configuration that names the copies: their bucket beside the others, and the system container that is said.
fn restored(world: &World, directory: &Directory, system: &str, sealed_as: &str) -> String {
    let text = configuration(world, &directory.0).replace(
        &format!("system_container = \"{SYSTEM_CONTAINER}\""),
        &format!("system_container = \"{system}\""),
    );
    let tenant = world.tenant("acme");
    format!("{text}[bucket.{RESTORED}]\ntenant = \"{tenant}\"\nstore = \"main\"\n{sealed_as}\n")
}

/// What a fresh gate with this configuration says to each name of a bucket: the codes of refusals, nothing where it gives the bytes.
async fn codes(world: &World, directory: &Directory, text: &str, bucket: &str, files: &Files) -> Vec<String> {
    let gate = Served::start(&directory.0, |listen| {
        text.replacen("127.0.0.1:0", &listen.to_string(), 1)
            .replace("\"AKIDACME\"", "\"AKIDRESTORE\"")
    });
    let gate = gate.await;
    let secret = portcullis::upstream::sigv4::SecretKey::new("acme-secret-of-some-length");
    let credential = portcullis::upstream::sigv4::Credential::new("AKIDRESTORE", secret).unwrap();
    let client = Client::new(gate.address, credential, Clock::system(), bucket);
    assert!(world.adversary.address() != gate.address);
    let mut codes = Vec::new();
    for (name, plain) in files {
        let answer = client.get(name).await;
        codes.push(match answer.is(plain) {
            true => String::new(),
            false => answer.code(),
        });
    }
    codes
}

fn all(files: &Files, code: &str) -> Vec<String> {
    vec![code.to_owned(); files.len()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_bucket_is_read_as_what_it_was_sealed_as_by_the_tenant_that_it_was() {
    let (world, files) = world().await;
    copy_all(&world, &bucket("acme"), RESTORED).await;
    let directory = Directory::of(&world);
    let as_it_was = format!("sealed_as = \"{}\"", bucket("acme"));
    // No keyring is needed.
    let text = restored(&world, &directory, OTHER_SYSTEM, &as_it_was);
    assert_eq!(
        codes(&world, &directory, &text, RESTORED, &files).await,
        all(&files, "")
    );
    let text = restored(&world, &directory, SYSTEM_CONTAINER, "");
    assert_eq!(
        codes(&world, &directory, &text, RESTORED, &files).await,
        all(&files, "ObjectTampered")
    );
    // The tenant under another name, and the fleet with another secret.
    let text = restored(&world, &directory, SYSTEM_CONTAINER, &as_it_was);
    let renamed = text.replace(&world.tenant("acme"), "acme-renamed");
    assert_eq!(
        codes(&world, &directory, &renamed, RESTORED, &files).await,
        all(&files, "ObjectTampered")
    );
    fs::write(directory.0.join("origin"), [0x10; 32]).unwrap();
    assert_eq!(
        codes(&world, &directory, &text, RESTORED, &files).await,
        all(&files, "ObjectTampered")
    );

    // Under another key; and back under its own.
    let store = world.store_client(&bucket("acme"));
    copy(&store, &format!("{}/long", bucket("acme")), "2026/long").await;
    let moved = world.acme.get("2026/long").await;
    assert_eq!(moved.code(), "ObjectTampered", "{}", moved.status());
    store.send(Method::DELETE, "long", HeaderMap::new(), b"").await;
    copy(&store, &format!("{}/2026/long", bucket("acme")), "long").await;
    assert!(world.acme.get("long").await.is(&files[1].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rewrap_a_copy_needs_the_keyring_too_once_the_old_version_is_gone() {
    let (world, files) = world().await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    let (status, said) = rewrap(&world, &[]).await;
    assert_eq!(status, Some(0), "{said}");
    copy_all(&world, &bucket("acme"), RESTORED).await;
    copy_all(&world, SYSTEM_CONTAINER, OTHER_SYSTEM).await;
    acme.set_version_enabled(&old, false).unwrap();
    let directory = Directory::of(&world);
    let as_it_was = format!("sealed_as = \"{}\"", bucket("acme"));
    let text = restored(&world, &directory, OTHER_SYSTEM, &as_it_was);
    assert_eq!(
        codes(&world, &directory, &text, RESTORED, &files).await,
        all(&files, "")
    );
    let text = restored(&world, &directory, "system-of-nothing", &as_it_was);
    let refused = codes(&world, &directory, &text, RESTORED, &files).await;
    assert_eq!(refused, all(&files, "KMS.DisabledException"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_restored_where_it_was_opens_everything_and_in_another_vault_nothing() {
    let (world, files) = world().await;
    let (acme, globex) = (world.standin.customer("acme"), world.standin.customer("globex"));
    let backup = acme.back_up().unwrap();
    acme.delete_key().unwrap();
    acme.purge_key().unwrap();
    world.pass(BOUND);
    assert_eq!(world.acme.get("long").await.code(), "KMS.NotFoundException");
    acme.restore_key(&backup).unwrap();
    world.pass(BOUND);
    super::all_read(&world.acme, &files).await;

    globex.delete_key().unwrap();
    globex.purge_key().unwrap();
    globex.restore_key(&backup).unwrap();
    let directory = Directory::of(&world);
    let tenants = |text: String| {
        let (before, rest) = text.split_once(&format!("[tenant.{}]", world.tenant("acme"))).unwrap();
        let (_, rest) = rest
            .split_once(&format!("[tenant.{}]", world.tenant("globex")))
            .unwrap();
        let (_, rest) = rest.split_once("[[credential]]").unwrap();
        let tenant = |name| {
            format!(
                "[tenant.{}]\nkey = \"{}\"\nidentity = \"own\"\n",
                world.tenant(name),
                world.standin.key_url("globex")
            )
        };
        format!("{before}{}{}[[credential]]{rest}", tenant("acme"), tenant("globex"))
    };
    let text = tenants(configuration(&world, &directory.0));
    let refused = codes(&world, &directory, &text, &bucket("acme"), &files).await;
    assert_eq!(
        refused,
        all(&files, "ObjectTampered"),
        "the envelope names the key by its URL"
    );

    let file = directory.0.join("check.toml");
    fs::write(&file, text).unwrap();
    let check = [
        "check",
        "--config",
        file.to_str().unwrap(),
        "--tenant",
        &world.tenant("acme"),
    ];
    let (status, said) = run(&check).await;
    assert_eq!(status, Some(0), "{said}");
    let warned = said
        .lines()
        .find(|line| line.trim_start().starts_with("keyring"))
        .unwrap();
    assert!(
        warned.contains("warning") && warned.contains("of another key than"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn key_material_that_is_imported_again_is_another_version_and_a_rewrap_says_what_is_missing() {
    let (world, files) = world().await;
    let acme = world.standin.customer("acme");
    let (old, backup) = (acme.key_version().unwrap(), acme.back_up().unwrap());
    acme.delete_key().unwrap();
    acme.purge_key().unwrap();
    acme.import_key(&backup).unwrap();
    world.pass(BOUND);
    for (name, _) in &files {
        assert_eq!(world.acme.get(name).await.code(), "KMS.NotFoundException", "{name}");
    }
    let (status, said) = rewrap(&world, &["--tenant", &world.tenant("acme")]).await;
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains("1 DEK not wrapped again") && said.contains("key_not_found"),
        "{said}"
    );
    assert!(said.contains(&format!("version {old} is still needed")), "{said}");
}
