//! Rewraps where the keyring and the blobs lie in an Azure store: beside running gates, with a keyring lost, through every form of blob.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderName, Method, StatusCode};
use portcullis::dev::standin::{Operation, Standin, StandinOptions};
use portcullis::seal::{HEADER_LEN, Header, Kind};

use super::PATIENCE;
use super::served::{Served, run};
use crate::world::adversary::{Lie, Reply};
use crate::world::blobs::{ACCOUNT, Blobs, Client, FILES, SYSTEM, Said};

/// A store, the stand-in, and gates as processes.
struct Site {
    standin: Standin,
    blobs: Blobs,
    data: PathBuf,
}

impl Site {
    async fn start() -> Option<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rewrap-blobs-{}-{number}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let standin = Standin::start(StandinOptions {
            data: data.join("vault"),
            https_port: 0,
            imds_port: 0,
        });
        let standin = standin.await.unwrap();
        let blobs = Blobs::start(&data).await?;
        Some(Self { standin, blobs, data })
    }

    async fn gate(&self) -> (Served, Client) {
        self.gate_with("").await
    }

    async fn gate_with(&self, more: &str) -> (Served, Client) {
        let gate = Served::start(&self.data, |listen| {
            self.blobs.configuration(&self.standin, &self.data, listen, more)
        });
        let gate = gate.await;
        let client = Blobs::client(gate.address);
        (gate, client)
    }

    async fn rewrap(&self, more: &[&str]) -> (Option<i32>, String) {
        let file = self.data.join("rewrap.toml");
        let text = self
            .blobs
            .configuration(&self.standin, &self.data, ([127, 0, 0, 1], 0).into(), "");
        fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        run(&[&["rewrap", "--config", &file], more].concat()).await
    }

    /// The kind of the segment whose header stands there in a blob, and the version that it is under.
    async fn version_at(&self, blob: &str, at: usize) -> (Kind, String) {
        let range = format!("bytes={at}-{}", at + HEADER_LEN - 1);
        let store = self.blobs.store();
        let said = store
            .ask(Method::GET, (FILES, blob), &[], &[("range", &range)], b"")
            .await;
        let header = Header::parse(&said.unwrap().body).unwrap();
        (header.core().kind(), header.envelope().version().to_string())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// A blob of every form, and what each is to read; `log` is appended to once more by whoever comes after a rotation.
async fn written(client: &Client) -> Vec<(&'static str, Vec<u8>)> {
    let long: Vec<u8> = (0..3 * 65_536 + 7_u32).map(|at| (at % 251) as u8).collect();
    client.put((FILES, "small"), b"words").await;
    client.put((FILES, "a & b"), &long).await;
    client.put_blocks((FILES, "blocks"), &[&long, b"the last"]).await;
    client.put_append((FILES, "log")).await;
    client.append((FILES, "log"), b"first ").await;
    client.put_append((FILES, "nothing yet")).await;
    vec![
        ("small", b"words".to_vec()),
        ("a & b", long.clone()),
        ("blocks", [&long, b"the last".as_slice()].concat()),
        ("log", b"first second".to_vec()),
    ]
}

async fn all_read(client: &Client, files: &[(&str, Vec<u8>)]) {
    let began = Instant::now();
    for (name, plain) in files {
        loop {
            let said = client.get((FILES, name)).await;
            if said
                .as_ref()
                .is_some_and(|said| said.status == 200 && said.body == *plain)
            {
                break;
            }
            let status = said.map(|said| said.status);
            assert!(began.elapsed() < PATIENCE, "{name}: still {status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Rotates, and has a fresh gate append under the new version to a log that began under the old. The old version and the new.
async fn rotated(site: &Site) -> (String, String) {
    let acme = site.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    let new = acme.key_version().unwrap();
    let (_gate, client) = site.gate().await;
    client.append((FILES, "log"), b"second").await;
    assert_eq!(site.version_at("log", 0).await, (Kind::Append, old.clone()));
    let second = b"first ".len() + 1728;
    assert_eq!(site.version_at("log", second).await, (Kind::Append, new.clone()));
    (old, new)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrap_of_an_azure_keyring_lets_the_old_version_go() {
    let Some(site) = Site::start().await else { return };
    let (_gate, client) = site.gate().await;
    let files = written(&client).await;
    let (old, new) = rotated(&site).await;
    let before = site.blobs.store().names(SYSTEM).await;
    assert_eq!(
        before.iter().filter(|name| name.starts_with("keyring/acme/")).count(),
        2,
        "{before:?}"
    );
    let (status, said) = site.rewrap(&["--tenant", "acme"]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains(&format!("the newest version is {new}; 1 DEK to")),
        "{said}"
    );
    assert!(said.contains(&format!("version {old} can go: its 1 DEK is")), "{said}");
    let wraps = site.standin.vault("acme-vault").count(Operation::WrapKey);
    let (status, said) = site.rewrap(&[]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("acme: the newest version is") && said.contains("0 DEKs to"),
        "{said}"
    );
    assert_eq!(
        site.standin.vault("acme-vault").count(Operation::WrapKey),
        wraps,
        "nothing is done twice"
    );

    site.standin.customer("acme").set_version_enabled(&old, false).unwrap();
    all_read(&client, &files).await;
    let (_fresh, fresh) = site.gate().await;
    all_read(&fresh, &files).await;
    fresh.append((FILES, "log"), b" third").await;
    assert_eq!(client.get((FILES, "log")).await.unwrap().body, "first second third");
    // The customer's no still is one.
    site.standin.customer("acme").set_version_enabled(&new, false).unwrap();
    let began = Instant::now();
    loop {
        let said = fresh.get((FILES, "small")).await.unwrap();
        if said.status == 403 {
            assert_eq!(said.headers["x-ms-error-code"], "KeyVaultEncryptionKeyNotFound");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "still {}", said.status);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_containers_brings_a_lost_keyring_back() {
    let Some(site) = Site::start().await else { return };
    let (gate, client) = site.gate().await;
    let files = written(&client).await;
    let (old, new) = rotated(&site).await;
    drop(gate);
    let store = site.blobs.store();
    for name in store.names(SYSTEM).await {
        store.delete((SYSTEM, &name)).await;
    }
    store.put((FILES, "not sealed"), &[7; 2000]).await;
    store.put((FILES, "empty"), b"").await;

    let (status, said) = site.rewrap(&["--tenant", "acme"]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(!said.contains(&old), "the keyring knows of nothing: {said}");
    // In pages, as the service has them for more than 5,000 blobs.
    let names = [
        "a &amp; b",
        "small",
        "not sealed",
        "empty",
        "nothing yet",
        "blocks",
        "log",
    ];
    site.blobs.adversary.lie(
        ACCOUNT,
        FILES,
        Lie::instead(move |asked| {
            let at = asked
                .query
                .split("marker=page")
                .nth(1)
                .map_or(0, |at| at.parse::<usize>().unwrap());
            let blobs = names[at..]
                .iter()
                .take(2)
                .map(|name| format!("<Blob><Name>{name}</Name></Blob>"));
            let marker = if at + 2 < names.len() {
                format!("page{}", at + 2)
            } else {
                String::new()
            };
            let page = format!(
                "<EnumerationResults><Blobs>{}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>",
                blobs.collect::<String>()
            );
            Reply::new(StatusCode::OK, page)
        }),
    );
    let scan = ["--tenant", "acme", "--scan", "acme/acme-files"];
    let (status, in_pages) = site.rewrap(&[&scan[..], &["--from", &"0".repeat(32)]].concat()).await;
    assert_eq!(status, Some(1), "the old version is needed yet: {in_pages}");
    site.blobs.adversary.honest();
    let (status, said) = site.rewrap(&scan).await;
    assert_eq!(status, Some(0), "{said}");
    for said in [&in_pages, &said] {
        let found = "acme/acme-files: 4 sealed and 3 other objects looked at; 2 DEKs that the keyring does not have, 0 of other tenants";
        assert!(said.contains(found), "{said}");
    }
    assert!(
        said.contains(&format!("the newest version is {new}; 1 DEK to")),
        "{said}"
    );
    assert!(said.contains(&format!("version {old} can go")), "{said}");

    site.standin.customer("acme").set_version_enabled(&old, false).unwrap();
    let (_gate, client) = site.gate().await;
    all_read(&client, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_says_what_it_could_not_see_and_what_it_does_not_know() {
    let Some(site) = Site::start().await else { return };
    let (_gate, client) = site.gate().await;
    client.put((FILES, "cold"), b"words").await;
    site.blobs.adversary.lie(
        ACCOUNT,
        &format!("{FILES}/cold"),
        Lie::instead(|_| {
            let code = HeaderName::from_static("x-ms-error-code");
            Reply::new(StatusCode::CONFLICT, "").with(code, "BlobArchived")
        }),
    );
    let (status, said) = site.rewrap(&["--scan", "acme/acme-files"]).await;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("1 object in an archive can't be read"), "{said}");
    for (place, words) in [
        (
            "acme/somebody-elses",
            "no container somebody-elses of account acme is configured",
        ),
        ("nobody/acme-files", "no account nobody is configured"),
        ("acme-files", "no bucket acme-files is configured"),
        ("globex/globex-none", "globex/globex-none: the store answered 404"),
    ] {
        let (status, said) = site.rewrap(&["--scan", place]).await;
        assert_eq!(status, Some(2), "{place}: {said}");
        assert!(said.contains(words), "{place}: {said}");
    }
}

/// By the store's own Copy Blob, into a container of another name; and the same container under another account at the gate.
#[tokio::test(flavor = "multi_thread")]
async fn copied_containers_are_read_under_the_name_that_they_were_sealed_under() {
    let Some(site) = Site::start().await else { return };
    let (gate, client) = site.gate().await;
    let mut files = written(&client).await;
    client.append((FILES, "log"), b"second").await;
    files.sort();
    drop(gate);
    let store = site.blobs.store();
    store.make("acme-restored").await;
    for (name, _) in &files {
        let source = site.blobs.url(FILES, name);
        store
            .write(("acme-restored", name), &[], &[("x-ms-copy-source", &source)], b"")
            .await;
    }
    let more = "[account.acme.container.acme-restored]\ntenant = \"acme\"\n\
                [account.moved]\nstore = \"blob\"\nkeys = [{ file = \"blob-client\" }]\n{sealed_as}\
                [account.moved.container.acme-files]\ntenant = \"acme\"\n";
    let (gate, client) = site
        .gate_with(&more.replace("{sealed_as}", "sealed_as = \"acme\"\n"))
        .await;
    let code = |said: Said| said.headers["x-ms-error-code"].to_str().unwrap().to_owned();
    for (name, _) in &files {
        let said = client.get(("acme-restored", name)).await.unwrap();
        assert_eq!(
            (said.status.as_u16(), code(said).as_str()),
            (409, "EncryptedBlobCorrupted"),
            "{name}"
        );
    }
    all_read(&client, &files).await;
    all_read(&Blobs::client_of(gate.address, "moved"), &files).await;
    drop(gate);
    let (gate, _) = site.gate_with(&more.replace("{sealed_as}", "")).await;
    let moved = Blobs::client_of(gate.address, "moved");
    for (name, _) in &files {
        let said = moved.get((FILES, name)).await.unwrap();
        assert_eq!(
            (said.status.as_u16(), code(said).as_str()),
            (409, "EncryptedBlobCorrupted"),
            "{name}"
        );
    }
}
