//! A rewrap that is killed in the middle, beside a gate that serves all the while.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portcullis::dev::standin::{Fault, Operation};

use super::{BOUND, Directory, LOOK, all_read, configuration, moved, rewrap, world, writes};
use crate::world::client::Client;
use crate::world::{SYSTEM_CONTAINER, World, vault};

/// How many versions have a DEK each before the newest.
const OLD: usize = 6;

/// How many DEKs are recorded under the version.
async fn rewrapped(world: &World, version: &str) -> usize {
    let listing = world
        .store_client(SYSTEM_CONTAINER)
        .get("?list-type=2&prefix=keyring-by-dek")
        .await;
    let text = String::from_utf8(listing.body.to_vec()).unwrap();
    text.matches(&format!("/{version}</Key>")).count()
}

/// Reads everything again and again until it is told to end; how often.
async fn reading(client: Client, files: Vec<(&'static str, Vec<u8>)>, end: Arc<AtomicBool>, rounds: Arc<AtomicU64>) {
    while !end.load(Ordering::Relaxed) {
        for (name, plain) in &files {
            let answer = client.get(name).await;
            assert!(answer.is(plain), "{name}: {} {}", answer.status(), answer.code());
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrap_that_is_killed_beside_running_gates_is_finished_by_the_next() {
    let (world, mut files) = world().await;
    let acme = world.standin.customer("acme");
    let mut versions = Vec::new();
    const NAMES: [&str; OLD] = ["under-0", "under-1", "under-2", "under-3", "under-4", "under-5"];
    for name in NAMES {
        let plain = name.as_bytes().to_vec();
        world.acme.put(name, &plain).await;
        files.push((name, plain));
        let old = acme.key_version().unwrap();
        acme.rotate_key().unwrap();
        world.pass(LOOK);
        moved(&world, &world.acme, &old).await;
        versions.push(old);
    }
    let newest = acme.key_version().unwrap();
    all_read(&world.acme, &files).await;

    let (end, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let replica = world.replica("acme");
    let reader = tokio::spawn(reading(replica, files.clone(), Arc::clone(&end), Arc::clone(&rounds)));

    // Two unwraps a DEK, so that progress is told, once a second, while some are left.
    let site = world.standin.vault(&vault("acme"));
    site.fault(Fault::slow(Duration::from_millis(300)).on(Operation::UnwrapKey));
    let directory = Directory::of(&world);
    let file = directory.0.join("killed.toml");
    fs::write(&file, configuration(&world, &directory.0)).unwrap();
    let tenant = world.tenant("acme");
    let of = format!("{tenant}: ");
    let killed = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["rewrap", "--tenant", &tenant, "--config"]).arg(file);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = lines.map_while(Result::ok).find_map(|line| {
            let (done, all) = line.strip_prefix(&of)?.split_once(" of ")?;
            Some((done.parse::<usize>().ok()?, all.parse::<usize>().ok()?))
        });
        // SIGKILL: nothing of it is there to tidy up.
        child.kill().unwrap();
        (told, child.wait().unwrap().code())
    });
    let (told, code) = killed.await.unwrap();
    let (done, all) = told.expect("progress is told on standard error");
    assert_eq!((all, code), (OLD, None), "killed by a signal");
    let kept = rewrapped(&world, &newest).await;
    assert!(0 < done && done <= kept && kept < OLD, "told {done}, kept {kept}");
    site.clear_faults();

    let (status, said) = rewrap(&world, &["--tenant", &world.tenant("acme")]).await;
    assert_eq!(status, Some(0), "{said}");
    let left = OLD - kept;
    let left = format!("{left} DEK{} to wrap again", if left == 1 { "" } else { "s" });
    assert!(said.contains(&left), "no more than what was left: {said}");
    for old in &versions {
        assert!(said.contains(&format!("version {old} can go: its 1 DEK is")), "{said}");
    }
    assert_eq!(rewrapped(&world, &newest).await, OLD);
    end.store(true, Ordering::Relaxed);
    reader.await.unwrap();
    assert!(rounds.load(Ordering::Relaxed) > 0, "the gate served meanwhile");

    for old in &versions {
        acme.set_version_enabled(old, false).unwrap();
    }
    world.pass(BOUND);
    all_read(&world.acme, &files).await;
    let replica = world.replica("acme");
    all_read(&replica, &files).await;
    writes(&replica).await;
}
