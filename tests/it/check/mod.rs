//! `portcullis check`, run as an operator runs it, against the stand-in and a store behind the adversary: one fault a test, and
//! each is told by the step it breaks, with the command that repairs it.

mod blobs;
mod cckm;
mod key;
mod upstream;
mod whole;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis::dev::standin::{Standin, StandinOptions};
use portcullis::dev::store;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::world::adversary::Adversary;

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
const SECRET: &str = "a-secret-of-the-store-0123456789";
const ORIGIN: &str = "an-origin-secret-that-nobody-may-see-0123456789";
const CLIENT: &str = "a-clients-own-secret-0123456789";
const CCKM: &str = "a-password-of-ciphertrust";
const SYSTEM: &str = "portcullis-system";

/// The stand-in, a store behind the adversary, and a configuration that names both.
pub struct Site {
    pub standin: Standin,
    adversary: Adversary,
    endpoint: String,
    pub data: PathBuf,
    _store: store::Server,
}

/// What a check said.
pub struct Report {
    pub status: i32,
    pub text: String,
    /// On standard error.
    beside: String,
    steps: Vec<Value>,
}

impl Site {
    pub async fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{}-{number}", std::process::id()));
        let standin = Standin::start(StandinOptions {
            data: data.join("vault"),
            https_port: 0,
            imds_port: 0,
        });
        let standin = standin.await.unwrap();
        let free = || TcpListener::bind("127.0.0.1:0");
        let opened = store::Store::open(data.join("store")).unwrap();
        let credentials = vec![("AKIDSTORE".to_owned(), SECRET.to_owned())];
        let server = store::serve(opened, free().await.unwrap(), credentials).unwrap();
        let adversary = Adversary::start(free().await.unwrap(), server.address());
        fs::write(data.join("store-secret"), SECRET).unwrap();
        fs::write(data.join("origin"), ORIGIN).unwrap();
        fs::write(data.join("client-secret"), CLIENT).unwrap();
        let site = Self {
            endpoint: format!("http://{}", adversary.address()),
            standin,
            adversary,
            data,
            _store: server,
        };
        for bucket in ["acme-files", "globex-files"] {
            site.make(bucket).await;
        }
        site
    }

    async fn make(&self, bucket: &str) {
        use portcullis::telemetry::clock::Clock;
        use portcullis::upstream::sigv4::{Credential, SecretKey};
        let credential = Credential::new("AKIDSTORE", SecretKey::new(SECRET)).unwrap();
        let address = self.adversary.address();
        let client = super::world::client::Client::new(address, credential, Clock::system(), bucket);
        client.make_bucket().await;
    }

    fn configuration(&self) -> String {
        let standin = &self.standin;
        let mut text = format!(
            r#"
dev = true
[[listener]]
address = "127.0.0.1:0"
[store.main]
kind = "s3"
endpoint = "{}"
access_key_id = "AKIDSTORE"
secret_access_key = {{ file = "store-secret" }}
system_container = "{SYSTEM}"
[keys]
origin_secrets = [{{ file = "origin" }}]
ca_file = "{}"
imds_endpoint = "{}"
[identity.cross-tenant]
kind = "federated"
managed_identity = "{identity}"
app = "{}"
authority = "{}"
[identity.own-tenant]
kind = "managed"
managed_identity = "{identity}"
[tenant.acme]
key = "{}"
identity = "cross-tenant"
entra_tenant = "{}"
[tenant.globex]
key = "{}"
identity = "own-tenant"
[[credential]]
access_key_id = "AKIDCLIENT"
secret_access_key = {{ file = "client-secret" }}
tenants = ["acme", "globex"]
"#,
            self.endpoint,
            standin.ca_file().display(),
            standin.imds_endpoint(),
            standin.app_client_id(),
            standin.authority(),
            standin.key_url("acme"),
            standin.tenant_id("acme"),
            standin.key_url("globex"),
            identity = standin.identity_client_id(),
        );
        for tenant in ["acme", "globex"] {
            let _ = write!(
                text,
                "[bucket.{tenant}-files]\ntenant = \"{tenant}\"\nstore = \"main\"\n"
            );
        }
        text
    }

    fn write(&self, change: impl FnOnce(String) -> String) -> PathBuf {
        let file = self.data.join("portcullis.toml");
        fs::write(&file, change(self.configuration())).unwrap();
        file
    }

    async fn check(&self, tenant: &str) -> Report {
        self.check_with(tenant, |text| text).await
    }

    /// With a changed configuration.
    pub async fn check_with(&self, tenant: &str, change: impl FnOnce(String) -> String) -> Report {
        self.check_on_host(tenant, &[], change).await
    }

    /// With a changed configuration, on a host that sets these variables.
    pub async fn check_on_host(
        &self,
        tenant: &str,
        variables: &[(&str, &str)],
        change: impl FnOnce(String) -> String,
    ) -> Report {
        let file = self.write(change).display().to_string();
        let arguments = ["check", "--config", &file, "--tenant", tenant, "--json"];
        let (status, text, beside) = self.run_apart(&arguments, variables).await;
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let tenant_report = json["tenants"][0].clone();
        Report {
            status: status.unwrap(),
            steps: tenant_report["steps"].as_array().unwrap().clone(),
            text,
            beside,
        }
    }

    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (status, text, _) = self.run_apart(arguments, &[]).await;
        (status, text)
    }

    /// The program's status, its answer, and what it says beside; none of the secrets is in either.
    async fn run_apart(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
        let done = tokio::process::Command::new(BINARY)
            .args(arguments)
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap();
        let (text, beside) = (
            String::from_utf8(done.stdout).unwrap(),
            String::from_utf8(done.stderr).unwrap(),
        );
        for secret in [SECRET, ORIGIN, CLIENT, CCKM, "eyJ"] {
            assert!(
                !text.contains(secret) && !beside.contains(secret),
                "a secret is printed:\n{text}{beside}"
            );
        }
        (done.status.code(), text, beside)
    }

    /// How many files lie in customers' buckets, and the names of those in the system container.
    fn stored(&self) -> (usize, Vec<String>) {
        let objects = self.data.join("store").join("objects");
        let customers = ["acme-files", "globex-files"].map(|bucket| files(&objects.join(bucket)).len());
        (customers.iter().sum(), files(&objects.join(SYSTEM)))
    }
}

fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path.display().to_string()],
        })
        .collect()
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data);
    }
}

impl Report {
    pub fn step(&self, name: &str) -> &Value {
        let found = self.steps.iter().find(|step| step["step"] == name);
        found.unwrap_or_else(|| panic!("no step {name} in {}", self.text))
    }

    pub fn verdict(&self, step: &str) -> &str {
        self.step(step)["verdict"].as_str().unwrap()
    }

    pub fn found(&self, step: &str) -> &str {
        self.step(step)["found"].as_str().unwrap()
    }

    pub fn fix(&self, step: &str) -> String {
        self.step(step)["fix"].to_string().replace("\\\"", "\"")
    }

    /// The step failed for this reason, and its remedy names that.
    pub fn fails(&self, step: &str, reason: &str, remedy: &str) {
        assert_eq!(self.verdict(step), "failed", "{step}: {}", self.text);
        assert_eq!(self.step(step)["reason"], reason, "{}", self.text);
        assert!(self.fix(step).contains(remedy), "{remedy}: {}", self.text);
        assert_eq!(self.status, 1, "{}", self.text);
    }
}
