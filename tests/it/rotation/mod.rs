//! The customer rotates the key, and takes the old version away: what clients can read and write before and after a rewrap, run as
//! its users run it, beside a gate that serves; and what a store can make of the keyring that all of it goes by.

mod blobs;
mod keyring;
mod killed;
mod restored;
mod served;
mod trail;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method};
use portcullis::dev::standin::{Fault, Operation};
use portcullis::keys::Bounds;

use crate::multipart::{MIB5, Upload};
use crate::world::client::Client;
use crate::world::{ORIGIN, SYSTEM_CONTAINER, World, bucket, vault};

const BOUND: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
/// As long as a gate that writes may take to look for a newer version.
const LOOK: Duration = Duration::from_secs(61);

/// A world in which acme has an object of every kind, and their bytes by name.
async fn world() -> (World, Vec<(&'static str, Vec<u8>)>) {
    let world = World::bounded(Bounds::new(BOUND, Duration::from_secs(600))).await;
    let acme = &world.acme;
    let small = b"words".to_vec();
    acme.put("small", &small).await;
    let long: Vec<u8> = (0..3 * 65_536 + 7_u32).map(|at| (at % 251) as u8).collect();
    acme.put("long", &long).await;
    let first = vec![b'a'; MIB5];
    let upload = Upload::begin(acme, "parts").await;
    let parts = [upload.part(1, &first).await, upload.part(2, b"the last").await];
    assert_eq!(upload.complete(&parts).await.status(), 200);
    let parts = [first.as_slice(), b"the last"].concat();
    for (from, to) in [("small", "small-copy"), ("parts", "parts-copy")] {
        let source = HeaderValue::try_from(format!("{}/{from}", bucket("acme"))).unwrap();
        let headers = HeaderMap::from_iter([("x-amz-copy-source".parse().unwrap(), source)]);
        assert_eq!(acme.send(Method::PUT, to, headers, b"").await.status(), 200, "{to}");
    }
    world.globex.put("small", b"of globex").await;
    let files = vec![
        ("small", small.clone()),
        ("long", long),
        ("parts", parts.clone()),
        ("small-copy", small),
        ("parts-copy", parts),
    ];
    (world, files)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_left_enabled_goes_on_and_new_objects_move() {
    let (world, files) = world().await;
    let old = world.standin.customer("acme").key_version().unwrap();
    world.standin.customer("acme").rotate_key().unwrap();
    world.pass(LOOK);
    moved(&world, &world.acme, &old).await;
    all_read(&world.acme, &files).await;
    all_read(&world.replica("acme"), &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_disabled_at_once_takes_its_objects_with_it_until_it_is_back() {
    let (world, files) = world().await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    acme.set_version_enabled(&old, false).unwrap();
    world.pass(BOUND);
    writes(&world.acme).await;
    for (name, _) in &files {
        let answer = world.acme.get(name).await;
        let refused = (answer.status(), answer.code());
        assert_eq!(refused, (400, "KMS.DisabledException".to_owned()), "{name}");
    }
    let (status, said) = rewrap(&world, &[]).await;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("key_disabled") && said.contains("still needed"), "{said}");
    acme.set_version_enabled(&old, true).unwrap();
    let (status, said) = rewrap(&world, &[]).await;
    assert_eq!(status, Some(0), "{said}");
    acme.set_version_enabled(&old, false).unwrap();
    world.pass(BOUND * 4);
    all_read(&world.acme, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newest_version_that_is_disabled_stops_nobody() {
    let (world, files) = world().await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    let newest = acme.key_version().unwrap();
    acme.set_version_enabled(&newest, false).unwrap();
    world.pass(LOOK);
    writes(&world.acme).await;
    all_read(&world.acme, &files).await;
    all_read(&world.replica("acme"), &files).await;
    let (status, said) = rewrap(&world, &[]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("the newest version is {old}; 0 DEKs")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rewrap_beside_running_gates_the_old_version_can_go() {
    let (world, files) = world().await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    let newest = acme.key_version().unwrap();
    let (status, said) = rewrap(&world, &["--tenant", &world.tenant("acme")]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains(&format!("the newest version is {newest}; 1 DEK to")),
        "{said}"
    );
    assert!(said.contains(&format!("version {old} can go: its 1 DEK is")), "{said}");
    assert!(!said.contains(&world.tenant("globex")), "{said}");
    let wraps = world.standin.vault(&vault("acme")).count(Operation::WrapKey);
    let (status, said) = rewrap(&world, &["--from", &old]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("0 DEKs to"), "{said}");
    assert_eq!(
        world.standin.vault(&vault("acme")).count(Operation::WrapKey),
        wraps,
        "nothing is done twice"
    );

    acme.set_version_enabled(&old, false).unwrap();
    world.pass(LOOK);
    writes(&world.acme).await;
    for client in [&world.acme, &world.replica("acme")] {
        all_read(client, &files).await;
        writes(client).await;
    }
    let other = world.globex.get("small").await;
    assert!(other.is(b"of globex"));

    // The customer's no still is one.
    acme.set_version_enabled(&newest, false).unwrap();
    world.pass(BOUND);
    for (name, _) in &files {
        let answer = world.acme.get(name).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (400, "KMS.DisabledException".to_owned()),
            "{name}"
        );
    }
    acme.set_version_enabled(&newest, true).unwrap();
    world.pass(BOUND);
    all_read(&world.acme, &files).await;
}

/// The upload's first part is sealed under the old version, its last and its footer under the new one; then it is rewrapped.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_spans_a_rotation_is_read_after_the_rewrap() {
    let (world, _) = world().await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    let upload = Upload::begin(&world.acme, "spanning").await;
    let first = vec![b'b'; MIB5];
    let one = upload.part(1, &first).await;
    acme.rotate_key().unwrap();
    world.pass(LOOK);
    moved(&world, &world.acme, &old).await;
    let two = upload.part(2, b"after").await;
    assert_eq!(upload.complete(&[one, two]).await.status(), 200);
    let (status, said) = rewrap(&world, &["--all"]).await;
    assert_eq!(status, Some(0), "{said}");
    acme.set_version_enabled(&old, false).unwrap();
    world.pass(BOUND);
    let plain = [first.as_slice(), b"after"].concat();
    all_read(&world.acme, &[("spanning", plain)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrap_that_is_broken_off_goes_on_where_it_ended() {
    let (world, files) = world().await;
    let acme = world.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    let site = world.standin.vault(&vault("acme"));
    // What is wrapped already stays so; what could not be unwrapped is taken up by the next run.
    let no = Fault::vault_refusal(
        http::StatusCode::FORBIDDEN,
        "Forbidden",
        Some("KeyOperationForbidden"),
        "Operation unwrapKey is not permitted on this key.",
    );
    site.fault(no.on(Operation::UnwrapKey));
    let (status, said) = rewrap(&world, &["--tenant", &world.tenant("acme")]).await;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("operation_forbidden"), "{said}");
    site.clear_faults();
    let (status, said) = rewrap(&world, &["--tenant", &world.tenant("acme")]).await;
    assert_eq!(status, Some(0), "{said}");
    acme.set_version_enabled(&old, false).unwrap();
    world.pass(BOUND);
    all_read(&world.replica("acme"), &files).await;
}

/// Writes, and waits until it is under another version than `old`.
async fn moved(world: &World, client: &Client, old: &str) {
    let began = Instant::now();
    loop {
        client.put("new", b"new").await;
        let header = portcullis::seal::Header::parse(&world.stored("acme", "new").await.body[..704]).unwrap();
        if header.envelope().version().to_string() != old {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "still under {old}");
        tokio::task::yield_now().await;
    }
}

/// Writes at last, and reads that.
async fn writes(client: &Client) {
    let began = Instant::now();
    while client.send(Method::PUT, "new", HeaderMap::new(), b"new").await.status() != 200 {
        assert!(began.elapsed() < PATIENCE, "no writing");
        tokio::task::yield_now().await;
    }
    assert!(client.get("new").await.is(b"new"));
}

async fn all_read(client: &Client, files: &[(&'static str, Vec<u8>)]) {
    for (name, plain) in files {
        let began = Instant::now();
        loop {
            let answer = client.get(name).await;
            if answer.is(plain) {
                break;
            }
            let (status, code) = (answer.status(), answer.code());
            assert!(began.elapsed() < PATIENCE, "{name}: still {status} {code}");
            tokio::task::yield_now().await;
        }
        assert_eq!(client.head(name).await.status(), 200, "{name}");
        assert!(client.get_range(name, "1-3").await.is(&plain[1..4]), "{name}");
    }
}

/// Runs the command against this world's store and vaults, with a configuration like the gate's.
async fn rewrap(world: &World, more: &[&str]) -> (Option<i32>, String) {
    let directory = Directory::of(world);
    let file = directory.0.join("portcullis.toml");
    fs::write(&file, configuration(world, &directory.0)).unwrap();
    let more: Vec<String> = more.iter().map(|it| (*it).to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let Output { status, stdout, stderr } = command
            .arg("rewrap")
            .arg("--config")
            .arg(file)
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
        (status.code(), said)
    });
    let ran = ran.await.unwrap();
    drop(directory);
    ran
}

/// Gone when dropped.
struct Directory(PathBuf);

impl Directory {
    fn of(world: &World) -> Self {
        let name = format!("rewrap-{}-{}", std::process::id(), world.tenant("acme"));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn configuration(world: &World, directory: &Path) -> String {
    fs::write(directory.join("origin"), ORIGIN).unwrap();
    fs::write(directory.join("store"), "store-secret").unwrap();
    fs::write(directory.join("client"), "acme-secret-of-some-length").unwrap();
    let (acme, globex) = (world.tenant("acme"), world.tenant("globex"));
    let standin = &world.standin;
    format!(
        r#"dev = true
[log]
filter = "warn"
[[listener]]
address = "127.0.0.1:0"
[store.main]
kind = "s3"
endpoint = "http://{store}"
region = "us-east-1"
access_key_id = "AKIDSTORE"
secret_access_key = {{ file = "store" }}
system_container = "{SYSTEM_CONTAINER}"
[keys]
ca_file = "{ca}"
imds_endpoint = "{imds}"
origin_secrets = [{{ file = "origin" }}]
[identity.app]
kind = "federated"
managed_identity = "{identity}"
app = "{app}"
authority = "{authority}"
[identity.own]
kind = "managed"
managed_identity = "{identity}"
[tenant.{acme}]
key = "{acme_key}"
identity = "app"
entra_tenant = "{acme_tenant}"
[tenant.{globex}]
key = "{globex_key}"
identity = "own"
[[credential]]
access_key_id = "AKIDACME"
secret_access_key = {{ file = "client" }}
tenants = ["{acme}", "{globex}"]
[bucket.{acme_bucket}]
tenant = "{acme}"
store = "main"
[bucket.{globex_bucket}]
tenant = "{globex}"
store = "main"
"#,
        store = world.adversary.address(),
        ca = standin.ca_file().display(),
        imds = standin.imds_endpoint(),
        identity = standin.identity_client_id(),
        app = standin.app_client_id(),
        authority = standin.authority(),
        acme_key = standin.key_url("acme"),
        acme_tenant = standin.tenant_id("acme"),
        globex_key = standin.key_url("globex"),
        acme_bucket = bucket("acme"),
        globex_bucket = bucket("globex"),
    )
}
