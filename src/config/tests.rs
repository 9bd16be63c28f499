//! The example loads; every mistake is told, with its place, and without a secret.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use super::*;
use crate::keys::identity::Identity;
use crate::upstream::{Addressing, ConditionalWrites, Dialect, Payload, Provider};

pub(super) const EXAMPLE: &str = include_str!("../../config/example.toml");
const SECRET: &str = "correct-horse-battery-staple-correct-horse";

/// A certificate with its RSA key, as `az` writes them. Made once: it takes a while.
static GATE: LazyLock<String> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    format!("{}{}", key.serialize_pem(), params.self_signed(&key).unwrap().pem())
});

/// A directory with what the example refers to; removed when dropped.
pub(super) struct Files(pub(super) PathBuf);

impl Files {
    pub(super) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("portcullis-config-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("secrets")).unwrap();
        fs::create_dir_all(dir.join("tls")).unwrap();
        for secret in [
            "store-main",
            "store-main-token",
            "origin",
            "operations",
            "operations-token",
            "azure-identity-token",
            "audit",
            "cckm",
            "recheck",
        ] {
            fs::write(dir.join("secrets").join(secret), format!("{SECRET}\n")).unwrap();
        }
        for key in ["store-blob", "acme-azure"] {
            fs::write(
                dir.join("secrets").join(key),
                "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==\n",
            )
            .unwrap();
        }
        fs::write(
            dir.join("secrets/isv-sas"),
            "sv=2026-04-06&ss=b&sp=rwdl&sig=c2lnbmF0dXJl\n",
        )
        .unwrap();
        fs::write(dir.join("secrets/short"), "hunter2-hunter2").unwrap();
        fs::write(dir.join("secrets/lines"), "hunter2\nhunter2\n").unwrap();
        fs::write(dir.join("secrets/nothing"), "\n").unwrap();
        fs::write(dir.join("secrets/gate.pem"), GATE.as_str()).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(dir.join("tls/server.pem"), made.cert.pem()).unwrap();
        fs::write(dir.join("tls/server.key"), made.signing_key.serialize_pem()).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(dir.join("tls/other.key"), other.signing_key.serialize_pem()).unwrap();
        Self(dir)
    }

    pub(super) fn parse(&self, text: &str) -> Result<Config, Mistakes> {
        Config::parse(text, &self.0, |name| {
            (name == "ACME_APP_SECRET").then(|| SECRET.to_owned())
        })
    }

    /// The mistakes as they are shown, without the directory's name.
    pub(super) fn mistakes(&self, text: &str) -> Vec<String> {
        let mistakes = self.parse(text).err().map(|mistakes| {
            assert!(!format!("{mistakes}{mistakes:?}").contains(SECRET), "a secret is shown");
            mistakes.to_string()
        });
        let dir = format!("{}/", self.0.display());
        let lines = mistakes.as_deref().unwrap_or_default().lines();
        lines.map(|line| line.replace(&dir, "")).collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_example_loads() {
    let files = Files::new("example");
    assert_eq!(files.mistakes(EXAMPLE), [""; 0]);
    let config = files.parse(EXAMPLE).ok().unwrap();
    assert_eq!(config.log.filter, "info");
    assert_eq!(config.admin.to_string(), "127.0.0.1:9900");
    let listener = &config.listeners[0];
    assert_eq!(listener.address.to_string(), "0.0.0.0:9000");
    assert_eq!(listener.tls.as_ref().unwrap().alpn_protocols, [b"http/1.1"]);
    assert_eq!((listener.max_connections, listener.send_buffer), (4096, 256 * 1024));
    let store = &config.stores["main"];
    assert_eq!(store.authority, "s3.eu-central-1.amazonaws.com");
    assert_eq!(store.credential.access_key(), "AKIAEXAMPLEGATE");
    assert_eq!(config.keys.bounds.revocation, Duration::from_secs(30));
    assert_eq!(config.keys.bounds.identity, Duration::from_secs(600));
    assert_eq!(config.keys.keyring, "main");
    let acme = &config.tenants["acme"];
    assert_eq!(acme.key.versionless(), "https://acme-kv.vault.azure.net/keys/cmk");
    assert!(matches!(&acme.identity, Identity::Federated { tenant, .. } if tenant.as_str().starts_with("3c2b1a09")));
    assert_eq!(config.clients[1].tenants, [Arc::from("acme"), Arc::from("globex")]);
    let buckets: Vec<_> = config
        .buckets
        .iter()
        .map(|bucket| (bucket.name.as_str(), bucket.tenant.as_deref(), bucket.prefix.is_some()))
        .collect();
    assert_eq!(
        buckets,
        [
            ("acme-files", Some("acme"), false),
            ("globex-files", Some("globex"), false),
            ("isv-{tenant}-files", None, false),
            ("shared-files", None, true)
        ]
    );
}

/// What the example says of a default is true: each line that is commented out may be said aloud.
#[test]
fn the_example_shows_the_defaults() {
    let files = Files::new("defaults");
    fs::copy(files.0.join("tls/server.pem"), files.0.join("tls/store-ca.pem")).unwrap();
    fs::copy(files.0.join("tls/server.pem"), files.0.join("tls/azure-ca.pem")).unwrap();
    fs::copy(files.0.join("tls/server.pem"), files.0.join("tls/ciphertrust-ca.pem")).unwrap();
    let is_setting = |line: &str| {
        let key = line.split_once(" = ").map_or("", |(key, _)| key);
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let said: Vec<_> = EXAMPLE
        .lines()
        .map(|line| {
            let bare = line.strip_prefix("# ").unwrap_or(line);
            // The region's default is told above another value.
            let other = ["region = \"us-east-1\"", "imds_endpoint"];
            match is_setting(bare) && !other.iter().any(|other| bare.starts_with(other)) {
                true => bare,
                false => line,
            }
        })
        .collect();
    let said = said.join("\n");
    assert!(said.contains("\nkeyring = \"main\"\n") && said.contains("\ndev = false\n"));
    assert_eq!(files.mistakes(&said), [""; 0]);
    let (said, silent) = (files.parse(&said).ok().unwrap(), files.parse(EXAMPLE).ok().unwrap());
    assert_eq!(said.log, silent.log);
    assert_eq!(said.admin, silent.admin);
    assert_eq!(said.buckets, silent.buckets);
    assert_eq!(said.keys.keyring, silent.keys.keyring);
    assert_eq!(said.stores["main"].dialect, silent.stores["main"].dialect);
    assert_eq!(format!("{:?}", said.keys.bounds), format!("{:?}", silent.keys.bounds));
    assert_eq!(said.keys.transport.deadline, silent.keys.transport.deadline);
    let of = |config: &Config| {
        let listener = &config.listeners[0];
        (listener.max_connections, listener.send_buffer, listener.drain)
    };
    assert_eq!(of(&said), of(&silent));
    assert_eq!(
        format!("{:?}", said.tenants["acme"]),
        format!("{:?}", silent.tenants["acme"])
    );
}

/// One change to the example, and the one mistake that it makes.
#[test]
#[rustfmt::skip] // a row a mistake
fn each_mistake_is_told_with_its_place() {
    let files = Files::new("mistakes");
    let table: &[(&str, &str, &str)] = &[
        // Unknown, missing, of the wrong kind.
        ("[log]", "colour = 1\n[log]", "colour: is not known; known here: dev, drain, log, audit, admin, listener, s3, identity, store, keys, tenant, cckm, credential, bucket, account"),
        ("[admin]", "[admin]\nport = 1", "admin.port: is not known; known here: recheck_token, address"),
        ("address = \"0.0.0.0:9000\"\n", "", "listener[0].address: is missing"),
        ("address = \"0.0.0.0:9000\"", "address = 9000", "listener[0].address: should be text, not a number"),
        ("[[listener]]", "[listener]", "listener: should be a list, not a table"),
        ("tenants = [\"acme\"]", "tenants = \"acme\"", "credential[0].tenants: should be a list, not text"),
        ("kind = \"managed\"", "kind = \"password\"", "identity.own.kind: should be one of \"federated\", \"managed\", \"workload\", \"certificate\", \"azure-arc\", \"secret\""),
        ("kind = \"managed\"", "kind = \"secret\"", "identity.own.kind: is only for dev = true"),
        ("kind = \"managed\"", "kind = \"managed\"\ncloud = \"germany\"", "identity.own.cloud: should be one of \"public\", \"usgov\", \"china\""),
        ("kind = \"managed\"", "kind = \"managed\"\ncloud = \"china\"", "tenant.globex.key: the host our-kv.vault.azure.net is not among the vault hosts that are allowed: those of the identity's cloud, or vault_hosts"),
        ("# authority = \"https://login.microsoftonline.com\"", "authority = \"https://login.microsoftonline.us\"", "tenant.acme.key: the host acme-kv.vault.azure.net is not among the vault hosts that are allowed: those of the identity's cloud, or vault_hosts"),
        ("# authority = \"https://login.microsoftonline.com\"", "cloud = \"china\"\nauthority = \"https://login.microsoftonline.us\"", "identity.isv.authority: should be of the cloud that `cloud` names"),
        ("secrets/gate.pem", "tls/server.pem", "identity.elsewhere.certificate: tls/server.pem holds no usable PEM private key"),
        ("kind = \"managed\"", "kind = \"azure-arc\"\nagent = \"http://127.0.0.1:1\"", "identity.own.agent: is only for dev = true"),
        ("kind = \"s3\"", "kind = \"gcs\"", "store.main.kind: should be one of \"s3\", \"azure\""),
        ("# provider = \"aws\"", "provider = \"gcs\"", "store.main.provider: should be one of \"aws\", \"minio\", \"garage\", \"ceph\", \"other\""),
        ("# conditional_writes = true", "conditional_writes = \"yes\"", "store.main.conditional_writes: should be one of \"probe\""),
        ("# conditional_writes = true", "conditional_writes = 1", "store.main.conditional_writes: should be true or false, not a number"),
        ("# largest_put = \"5GiB\"", "largest_put = \"4MiB\"", "store.main.largest_put: should be from 6MiB to 5GiB"),
        // Files.
        ("tls/server.pem", "tls/none.pem", "listener[0].tls.certificate: tls/none.pem can't be read: No such file or directory (os error 2)"),
        ("tls/server.pem", "tls/server.key", "listener[0].tls.certificate: tls/server.key holds no usable PEM certificate"),
        ("tls/server.key", "tls/server.pem", "listener[0].tls.key: tls/server.pem holds no usable PEM private key"),
        ("tls/server.key", "tls/other.key", "listener[0].tls: the certificate and its key can't be used: keys may not be consistent: KeyMismatch"),
        ("# ca_file = \"tls/store-ca.pem\"", "ca_file = \"secrets/origin\"", "store.main.ca_file: secrets/origin holds no usable PEM certificate"),
        ("azure-identity-token", "none", "identity.cluster.token_file: secrets/none can't be read: No such file or directory (os error 2)"),
        ("# authority = \"https://login.microsoftonline.com\"", "authority = \"http://login.microsoftonline.com\"", "identity.isv.authority: should be an https URL without a path"),
        // The environment.
        ("\"0.0.0.0:9000\"", "{ env = \"NONE\" }", "listener[0].address.env: names an environment variable that is not set, or is not text"),
        ("\"0.0.0.0:9000\"", "{ env = \"ACME_APP_SECRET\" }", "listener[0].address.env: should be an IP address and a port, like \"0.0.0.0:9000\" or \"[::]:9000\""),
        ("\"0.0.0.0:9000\"", "{ }", "listener[0].address.env: is missing"),
        // Secrets.
        ("{ file = \"secrets/operations\" }", "\"correct-horse-battery-staple-correct-horse\"", "credential[1].secret_access_key: a secret never stands in the configuration itself: give { file = \"…\" } or { env = \"…\" }"),
        ("{ file = \"secrets/operations\" }", "{ env = \"correct-horse-battery-staple-correct-horse\" }", "credential[1].secret_access_key.env: names an environment variable that is not set, or is not text"),
        ("{ file = \"secrets/operations\" }", "{ file = \"correct-horse-battery-staple-correct-horse\" }", "credential[1].secret_access_key.file: names a file that can't be read: No such file or directory (os error 2)"),
        ("{ file = \"secrets/operations\" }", "{}", "credential[1].secret_access_key: should be either { file = \"…\" } or { env = \"…\" }"),
        ("{ file = \"secrets/operations\" }", "{ file = \"secrets/short\" }", "credential[1].secret_access_key: the secret has 15 bytes; it should have 16 at least"),
        ("[{ file = \"secrets/origin\" }]", "[{ file = \"secrets/origin\" }, { file = \"secrets/short\" }]", "keys.origin_secrets[1]: an origin secret has 32 bytes at least; number 2 has 15"),
        ("# session_token = { file = \"secrets/store-main-token\" }", "session_token = \"correct-horse-battery-staple-correct-horse\"", "store.main.session_token: a secret never stands in the configuration itself: give { file = \"…\" } or { env = \"…\" }"),
        ("# session_token = { file = \"secrets/store-main-token\" }", "session_token = { file = \"secrets/lines\" }", "store.main.session_token: should be visible ASCII characters only"),
        ("# session_token = { file = \"secrets/operations-token\" }", "session_token = { file = \"secrets/nothing\" }", "credential[1].session_token: the secret has 0 bytes; it should have 1 at least"),
        ("[{ file = \"secrets/origin\" }]", "[]", "keys.origin_secrets: is missing"),
        // References.
        ("identity = \"own\"", "identity = \"none\"", "tenant.globex.identity: there is no [identity.none]"),
        ("tenants = [\"acme\"]", "tenants = [\"acme\", \"none\"]", "credential[0].tenants[1]: there is no [tenant.none]"),
        ("tenants = [\"acme\"]", "tenants = []", "credential[0].tenants: should be one tenant's name at least"),
        ("# keyring = \"main\"", "keyring = \"none\"", "keys.keyring: there is no [store.none]"),
        // Twice.
        ("\"OPERATIONS\"", "\"ACMEAPP1\"", "credential[1].access_key_id: is taken by credential[0].access_key_id already"),
        ("0.0.0.0:9000", "0.0.0.0:9900", "listener[0].address: is taken by admin.address already"),
        ("portcullis-system", "acme-files", "bucket.acme-files: is taken by store.main.system_container already"),
        // Bounds.
        ("# revocation_bound = \"30s\"", "revocation_bound = \"4s\"", "keys.revocation_bound: should be from 5s to 1h"),
        ("# identity_bound = \"10m\"", "identity_bound = \"299s\"", "keys.identity_bound: should be from 5m to 24h"),
        ("# revocation_bound = \"30s\"", "revocation_bound = \"20m\"", "keys.identity_bound: should be no shorter than revocation_bound"),
        ("# expired = \"allow\"", "expired = \"never\"", "tenant.acme.expired: should be one of \"allow\", \"deny\""),
        ("# when_revoked = \"deny\"", "when_revoked = \"allow\"", "tenant.acme.when_revoked: should be one of \"deny\", \"deny-data\""),
        ("# vault_budget = 100", "vault_budget = 9", "keys.vault_budget: should be from 10 to 100000"),
        ("# deadline = \"10s\"", "deadline = \"31s\"", "keys.deadline: should be from 1s to 30s"),
        ("# max_connections = 4096", "max_connections = 0", "listener[0].max_connections: should be from 1 to 1000000"),
        // Forms.
        ("acme-kv.vault.azure.net", "acme-kv.example.com", "tenant.acme.key: the host acme-kv.example.com is not among the vault hosts that are allowed: those of the identity's cloud, or vault_hosts"),
        ("acme-kv.vault.azure.net", "acme-vault.localhost:8443", "tenant.acme.key: the host acme-vault.localhost is not among the vault hosts that are allowed: those of the identity's cloud, or vault_hosts"),
        ("app = \"0b8e3a9c-2d6f-4f0a-8e21-5b7c9d3e1f42\"\n# The cloud", "app = \"common\"\n# The cloud", "identity.isv.app: should be a GUID"),
        ("entra_tenant = \"3c2b1a09-8d7e-4f6a-9b5c-4d3e2f1a0b9c\"\n", "", "tenant.acme.entra_tenant: is missing"),
        ("identity = \"own\"", "identity = \"own\"\nentra_tenant = \"3c2b1a09-8d7e-4f6a-9b5c-4d3e2f1a0b9c\"", "tenant.globex.entra_tenant: should be left out: a managed identity has a tenant of its own"),
        ("# imds_endpoint", "imds_endpoint", "keys.imds_endpoint: is only for dev = true"),
        ("\"ACMEAPP1\"", "\"ACME/APP\"", "credential[0].access_key_id: an access key is 1 to 128 visible ASCII characters without '/', ',' and '='"),
        ("[tenant.globex]", "[tenant.\"glo/bex\"]", "tenant.glo/bex: should be a name of 1 to 64 letters, digits, '-' and '_'"),
        ("# unsealed = \"deny\"", "unsealed = \"serve\"", "bucket.acme-files.unsealed: should be one of \"deny\""),
        ("# filter = \"info\"", "filter = \"portcullis=loud\"", "log.filter: should be a filter, like \"info\" or \"info,portcullis=debug\""),
    ];
    for (from, to, expected) in table {
        assert!(EXAMPLE.contains(from), "{from}");
        let told = files.mistakes(&EXAMPLE.replacen(from, to, 1));
        let told: Vec<_> = told.iter().map(|line| line.split_once(": ").unwrap().1).collect();
        assert!(told.contains(expected), "{to}: {told:#?}");
        // What follows from a name that is gone is told as well, but nothing else is.
        let others = told.iter().filter(|line| *line != expected);
        assert!(
            others.clone().all(|line| line.contains("there is no [")),
            "{to}: {told:#?}"
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let files = Files::new("all");
    let text = "\
dev = \"yes\"
[[listener]]
address = \"nowhere\"
backlog = 5
[store.main]
kind = \"s3\"
endpoint = \"s3.example.com\"
secret_access_key = \"correct-horse-battery-staple-correct-horse\"
[tenant.acme]
key = \"http://acme-kv.vault.azure.net/keys/cmk\"
";
    let expected = [
        "bucket: is missing",
        "credential: is missing",
        "identity: is missing",
        "keys.origin_secrets: is missing",
        "line 1: dev: should be true or false, not text",
        "line 3: listener[0].address: should be an IP address and a port, like \"0.0.0.0:9000\" or \"[::]:9000\"",
        "line 4: listener[0].backlog: is not known; known here: address, protocol, tls, max_connections, send_buffer",
        "line 5: store.main.access_key_id: is missing",
        "line 5: store.main.system_container: is missing",
        "line 7: store.main.endpoint: should be an http or https URL without a path, like \"https://s3.eu-central-1.amazonaws.com\"",
        "line 8: store.main.secret_access_key: a secret never stands in the configuration itself: give { file = \"…\" } or { env = \"…\" }",
        "line 9: tenant.acme.identity: is missing",
        "line 10: tenant.acme.key: not an https URL of the form https://<vault>/keys/<name>[/<version>]",
    ];
    assert_eq!(files.mistakes(text), expected);
}

#[test]
fn what_is_not_toml_is_told_without_the_line_itself() {
    let files = Files::new("syntax");
    let broken = EXAMPLE.replacen(
        "{ file = \"secrets/operations\" }",
        "\"correct-horse-battery-staple-correct-horse",
        1,
    );
    let told = files.mistakes(&broken);
    assert!(told.iter().any(|line| line.contains("not TOML: ")), "{told:#?}");
}

#[test]
fn dev_allows_stand_ins_on_this_machine() {
    let files = Files::new("dev");
    let text = EXAMPLE
        .replace("# dev = false", "dev = true")
        .replace("# identity_bound = \"10m\"", "identity_bound = \"60s\"")
        .replace("# imds_endpoint", "imds_endpoint")
        .replace("acme-kv.vault.azure.net", "acme-vault.localhost:8443");
    let config = files.parse(&text).ok().unwrap();
    assert!(config.tenants["acme"].key.is_loopback());
    assert_eq!(
        config.keys.transport.imds_endpoint.unwrap().as_str(),
        "http://127.0.0.1:9902/"
    );
    let text = text.replace("identity_bound = \"60s\"", "identity_bound = \"59s\"");
    assert_eq!(files.mistakes(&text).len(), 1);
}

#[test]
fn addresses_may_come_from_the_environment() {
    let files = Files::new("environment");
    let text = EXAMPLE
        .replace("\"0.0.0.0:9000\"", "{ env = \"LISTEN\" }")
        .replace("# address = \"127.0.0.1:9900\"", "address = { env = \"ADMIN\" }");
    let load = |listen: &str| {
        Config::parse(&text, &files.0, |name| {
            Some(match name {
                "LISTEN" => listen.to_owned(),
                "ADMIN" => "127.0.0.1:9911".to_owned(),
                _ => SECRET.to_owned(),
            })
        })
    };
    let config = load("127.0.0.1:9011").ok().unwrap();
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:9011");
    assert_eq!(config.admin.to_string(), "127.0.0.1:9911");
    assert!(
        load("0.0.0.0:9911")
            .err()
            .unwrap()
            .to_string()
            .ends_with("listener[0].address.env: is taken by admin.address already")
    );
}

#[test]
fn a_store_is_what_its_provider_makes_it_unless_said_otherwise() {
    let files = Files::new("dialect");
    let with = |endpoint: &str, lines: &str| {
        let text = EXAMPLE.replacen("https://s3.eu-central-1.amazonaws.com", endpoint, 1);
        let text = text.replacen("kind = \"s3\"\n", &format!("kind = \"s3\"\n{lines}\n"), 1);
        files.parse(&text).ok().unwrap().stores["main"].dialect
    };
    let amazon = "https://s3.cn-north-1.amazonaws.com.cn";
    assert_eq!(with(amazon, ""), Dialect::of(Provider::Aws));
    assert_eq!(with("https://s3.example.com", ""), Dialect::of(Provider::Other));
    assert_eq!(with(amazon, "provider = \"ceph\""), Dialect::of(Provider::Ceph));
    let all = "provider = \"minio\"\naddressing = \"virtual\"\npayload = \"trailer\"\nconditional_writes = false\nlargest_put = \"64MiB\"";
    let said = Dialect {
        addressing: Addressing::Virtual,
        payload: Payload::Trailer,
        conditional_writes: ConditionalWrites::Ignored,
        largest_put: 64 << 20,
        ..Dialect::of(Provider::Minio)
    };
    assert_eq!(with("http://127.0.0.1:9000", all), said);
    let probed = with(amazon, "conditional_writes = \"probe\"").conditional_writes;
    assert_eq!(probed, ConditionalWrites::Probe);
}

#[test]
fn several_stores_need_a_keyring() {
    let files = Files::new("keyring");
    let (_, store) = EXAMPLE.split_once("[store.main]").unwrap();
    let (store, _) = store.split_once("# What all tenants").unwrap();
    let text = format!("{EXAMPLE}\n[store.other]{store}");
    let told = files.mistakes(&text);
    assert!(
        told.len() == 1 && told[0].ends_with("keys.keyring: is missing"),
        "{told:#?}"
    );
    let text = text.replace("# keyring = \"main\"", "keyring = \"other\"");
    assert_eq!(files.parse(&text).ok().unwrap().keys.keyring, "other");
}

/// A lease takes 3.6 calls in a bound; the tenants are counted by vault.
#[test]
fn a_budget_too_small_for_all_leases_is_refused() {
    let files = Files::new("budget");
    let (_, globex) = EXAMPLE.split_once("[tenant.globex]").unwrap();
    let (globex, _) = globex.split_once("# Who may ask").unwrap();
    let more: String = (0..10).map(|n| format!("\n[tenant.more-{n}]{globex}")).collect();
    let crowded = format!("{EXAMPLE}{more}");
    assert_eq!(files.mistakes(&crowded), [""; 0]);
    let fast = crowded.replace("# revocation_bound = \"30s\"", "revocation_bound = \"5s\"");
    let told = files.mistakes(&fast);
    let expected = "keys.vault_budget: 100 calls in 10 s can't renew the leases of the 11 tenants in https://our-kv.vault.azure.net: \
                    that takes 101, or a longer revocation_bound";
    assert!(told.len() == 1 && told[0].ends_with(expected), "{told:#?}");
    let raised = fast.replace("# vault_budget = 100", "vault_budget = 101");
    assert_eq!(files.mistakes(&raised), [""; 0]);
    let more: String = (10..70).map(|n| format!("\n[tenant.more-{n}]{globex}")).collect();
    let entra = format!("{crowded}{more}")
        .replace("# vault_budget = 100", "vault_budget = 1000")
        .replace("# entra_budget = 30", "entra_budget = 10")
        .replace("# identity_bound = \"10m\"", "identity_bound = \"5m\"");
    let told = files.mistakes(&entra);
    let expected = "keys.entra_budget: 10 calls in 10 s can't renew the leases of the 72 tenants configured: \
                    that takes 11, or a longer identity_bound";
    assert!(told.len() == 1 && told[0].ends_with(expected), "{told:#?}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_too() {
    let missing = Config::load(Path::new("/nonexistent/portcullis.toml")).err().unwrap();
    assert_eq!(
        missing.to_string(),
        "/nonexistent/portcullis.toml can't be read: No such file or directory (os error 2)"
    );
}

/// In the example it stands last.
#[test]
fn a_ciphertrust_manager_is_named_with_its_tenants() {
    let files = Files::new("cckm");
    let config = files.parse(EXAMPLE).ok().unwrap();
    let manager = &config.cckm[0];
    assert_eq!(
        (manager.name.as_str(), manager.interval),
        ("thales", Duration::from_secs(60))
    );
    let watched: Vec<_> = manager.tenants.iter().map(|watched| &*watched.tenant).collect();
    assert_eq!(watched, ["acme"]);
    assert_eq!(manager.tenants[0].key, "https://acme-kv.vault.azure.net/keys/cmk");
    let (before, _) = EXAMPLE.split_once("[cckm.thales]").unwrap();
    assert!(files.parse(before).ok().unwrap().cckm.is_empty(), "there may be none");
    let all = EXAMPLE.strip_suffix("tenants = [\"acme\"]\n").unwrap();
    assert_eq!(files.parse(all).ok().unwrap().cckm[0].tenants.len(), 2);
    for (was, wrong, told) in [
        (
            "https://ciphertrust.",
            "http://ciphertrust.",
            "cckm.thales.endpoint: should be an https URL",
        ),
        (
            "{ file = \"secrets/cckm\" }",
            "\"hunter2\"",
            "cckm.thales.password: a secret never stands",
        ),
        (
            "# interval = \"60s\"",
            "interval = \"1s\"",
            "cckm.thales.interval: should be from 10s",
        ),
        (
            "[cckm.thales]",
            "[cckm.thales]\nverify = false",
            "cckm.thales.verify: is not known",
        ),
    ] {
        let said = files.mistakes(&EXAMPLE.replace(was, wrong));
        assert!(said.len() == 1 && said[0].contains(told), "{wrong}: {said:?}");
    }
    let said = files.mistakes(&format!("{all}tenants = [\"nobody\"]\n"));
    assert!(
        said[0].contains("cckm.thales.tenants[0]: there is no [tenant.nobody]"),
        "{said:?}"
    );
}
