//! What a rewrap writes into the audit's trail, beside the gate whose directory it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis::telemetry::trail::{self, TrailOptions, Writer};
use serde_json::Value;

use super::{Directory, configuration, world};

const KEY: &str = "a key of digests, of thirty-two bytes and more";

/// Runs `portcullis` to its end: its status, and what it said.
async fn portcullis(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(arguments);
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap());
    let ran = ran.await.unwrap();
    let said = String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap();
    (ran.status.code(), said)
}

/// All lines of a directory's chain, the oldest first.
fn lines(directory: &Path, chain: &str) -> Vec<Value> {
    let files = trail::files(directory).unwrap().into_iter();
    let text = files
        .filter(|(name, _)| name == chain)
        .map(|(_, path)| fs::read_to_string(path).unwrap());
    let text: String = text.collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrap_is_written_down_in_chains_of_its_own_beside_the_gates() {
    let (world, _) = world().await;
    let (tenant, acme) = (world.tenant("acme"), world.standin.customer("acme"));
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    let newest = acme.key_version().unwrap();

    let directory = Directory::of(&world);
    let (config, audit, key) = (
        directory.0.join("portcullis.toml"),
        directory.0.join("audit"),
        directory.0.join("audit-key"),
    );
    fs::write(&key, KEY).unwrap();
    let sections = format!(
        "{}[audit]\ndirectory = \"audit\"\nkey = {{ file = \"audit-key\" }}\n",
        configuration(&world, &directory.0)
    );
    fs::write(&config, sections).unwrap();
    let gates = TrailOptions {
        directory: audit.clone(),
        key: Some(KEY.as_bytes().to_vec()),
    };
    // As a gate that runs holds it.
    let gate = trail::open(&gates, Writer::Gate).unwrap();

    let paths = [&config, &audit, &key].map(|path| path.to_str().unwrap());
    let [config, directory_of_audit, key] = paths;
    let rewrap = ["rewrap", "--config", config, "--tenant", &tenant];
    for _ in 0..2 {
        let (status, said) = portcullis(&rewrap).await;
        assert_eq!(status, Some(0), "{said}");
    }
    acme.disable_key().unwrap();
    acme.set_version_enabled(&old, false).unwrap();
    let (status, said) = portcullis(&rewrap).await;
    assert_eq!(status, Some(1), "{said}");

    let chain = format!("{tenant}.rewrap");
    let written = lines(&audit, &chain);
    let events: Vec<_> = written.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        [
            "rewrap_begun",
            "dek_rewrapped",
            "rewrap_finished",
            "rewrap_begun",
            "rewrap_finished",
            "request_refused"
        ]
    );
    let [begun, dek, finished, again, nothing, refused] = [0, 1, 2, 3, 4, 5].map(|at| &written[at]);
    assert!(
        written
            .iter()
            .all(|line| line["tenant"] == *tenant && line["chain"] == *chain)
    );
    assert_eq!(
        (&begun["from"], &begun["version"]),
        (&Value::from(&*old), &Value::from(&*newest))
    );
    assert_eq!((&begun["deks"], &finished["rewrapped"]), (&1.into(), &1.into()));
    assert_eq!((&dek["from"], &dek["version"]), (&begun["from"], &begun["version"]));
    assert_eq!((&finished["failed"], &finished["left"]), (&0.into(), &0.into()));
    assert_eq!((&again["deks"], &again["from"]), (&0.into(), &"".into()));
    assert_eq!(nothing["rewrapped"], 0);
    assert_eq!(
        (&refused["operation"], &refused["reason"]),
        (&"Rewrap".into(), &"key_disabled".into())
    );

    let verify = |directory| ["audit", "verify", directory, "--key", key];
    let (status, said) = portcullis(&verify(directory_of_audit)).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("{chain}: {} lines", written.len())), "{said}");
    // What the customer is given verifies too, and no line of it can go.
    let (status, exported) = portcullis(&["audit", "export", directory_of_audit, "--tenant", &tenant]).await;
    assert_eq!(
        (status, exported.lines().count()),
        (Some(0), written.len()),
        "{exported}"
    );
    let given = directory.0.join("given");
    let file = given.join(format!("{tenant}.2026-01-01.jsonl"));
    fs::create_dir(&given).unwrap();
    fs::write(&file, &exported).unwrap();
    let given = given.to_str().unwrap();
    let own = async |tenant: &str| {
        let (status, said) = portcullis(&["audit", "key", "--key", key, "--tenant", tenant]).await;
        assert_eq!((status, said.trim_end().len()), (Some(0), 64), "{said}");
        let file = directory.0.join(format!("{tenant}.key"));
        fs::write(&file, said).unwrap();
        portcullis(&["audit", "verify", given, "--tenant-key", file.to_str().unwrap()]).await
    };
    let (status, said) = own(&tenant).await;
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = own("another").await;
    assert_eq!(status, Some(1), "another's key is of no use: {said}");
    let (status, said) = portcullis(&verify(given)).await;
    assert_eq!(status, Some(0), "{said}");
    let without: Vec<_> = exported.lines().enumerate().filter(|(at, _)| *at != 1).collect();
    let without: String = without.iter().map(|(_, line)| format!("{line}\n")).collect();
    fs::write(&file, without).unwrap();
    let (status, said) = portcullis(&verify(given)).await;
    assert_eq!(status, Some(1), "{said}");
    drop(gate);
}
