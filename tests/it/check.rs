//! `portcullis check`, run as an operator runs it, against the stand-in and a store behind the adversary: one fault a test, and
//! each is told by the step it breaks, with the command that repairs it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis::dev::cckm::Cckm;
use portcullis::dev::standin::{ISV_TENANT, Network, Operation, Role, Standin, StandinOptions};
use portcullis::dev::store;
use serde_json::Value;
use tokio::net::TcpListener;

use super::world::adversary::{Adversary, End, Lie, Reply};

const BINARY: &str = env!("CARGO_BIN_EXE_portcullis");
const SECRET: &str = "a-secret-of-the-store-0123456789";
const ORIGIN: &str = "an-origin-secret-that-nobody-may-see-0123456789";
const CLIENT: &str = "a-clients-own-secret-0123456789";
const CCKM: &str = "a-password-of-ciphertrust";
const SYSTEM: &str = "portcullis-system";

#[tokio::test]
async fn a_set_up_in_order_holds_at_every_step() {
    let site = Site::start().await;
    let report = site.check("acme").await;
    assert_eq!(report.status, 0, "{}", report.text);
    for step in [
        "configuration",
        "identity",
        "token",
        "vault",
        "key",
        "validity",
        "wrap",
        "unwrap",
        "rights",
        "vault_clock",
        "store",
        "store_clock",
        "system_container",
        "conditional_writes",
        "buckets",
        "direct_access",
        "keyring",
        "round_trip",
    ] {
        assert_eq!(report.verdict(step), "ok", "{step}: {}", report.text);
    }
    // The stand-in's vaults have no purge protection.
    assert_eq!(report.verdict("recovery"), "warning");
    assert!(
        report.found("system_container").contains("is made"),
        "the first one made it"
    );
    let again = site.check("acme").await;
    assert!(
        again.found("keyring").starts_with("1 DEK "),
        "the first one's: {}",
        again.text
    );
    let (lists, left) = site.stored();
    assert_eq!(lists, 0, "nothing is written into a customer's bucket");
    assert!(left.iter().all(|name| name.contains("keyring")), "{left:?}");

    let own = site.check("globex").await;
    assert_eq!(own.status, 0, "the ISV's own vault: {}", own.text);
    assert!(
        own.found("token").contains("managed identity's own tenant"),
        "{}",
        own.text
    );
}

#[tokio::test]
async fn a_missing_role_is_told_with_the_command_that_gives_it() {
    let site = Site::start().await;
    site.standin.customer("acme").remove_role().unwrap();
    let report = site.check("acme").await;
    report.fails("key", "role_missing", "Key Vault Crypto Service Encryption User");
    assert_eq!(report.verdict("unwrap"), "skipped");
    assert_eq!(report.verdict("round_trip"), "skipped");
    assert_eq!(
        report.verdict("store"),
        "ok",
        "what is not concerned is still looked at"
    );
    let reader = site.standin.customer("acme").grant(Role::Reader);
    assert!(reader.is_ok());
    let report = site.check("acme").await;
    assert_eq!(
        report.verdict("wrap"),
        "ok",
        "who may read the key may wrap: it proves nothing"
    );
    report.fails("unwrap", "role_missing", "az role assignment create");
}

#[tokio::test]
async fn a_disabled_key_is_told_by_the_vault_itself() {
    let site = Site::start().await;
    site.standin.customer("acme").disable_key().unwrap();
    let report = site.check("acme").await;
    report.fails("validity", "key_disabled", "--enabled true");
    report.fails(
        "unwrap",
        "key_disabled",
        "az keyvault key set-attributes --vault-name acme-vault --name acme-cmk",
    );
    assert_eq!(report.verdict("round_trip"), "skipped");
    assert_eq!(site.check("globex").await.status, 0, "another tenant's set-up holds");
}

#[tokio::test]
async fn a_disabled_newest_version_is_a_warning_where_an_older_one_serves() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    let old = acme.key_version().unwrap();
    acme.rotate_key().unwrap();
    acme.set_version_enabled(&acme.key_version().unwrap(), false).unwrap();
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("validity")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(report.found("validity").contains(&old), "{}", report.text);
    assert_eq!(report.verdict("round_trip"), "ok");
}

#[tokio::test]
async fn expiry_is_told_before_and_after() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    acme.set_expiry(Some(now + 3 * 86_400)).unwrap();
    assert_eq!(site.check("acme").await.verdict("validity"), "warning");
    acme.set_expiry(Some(now - 1)).unwrap();
    let report = site.check("acme").await;
    report.fails("validity", "key_expired", "--expires");
    acme.set_expiry(None).unwrap();
    acme.set_not_before(Some(now + 3600)).unwrap();
    site.check("acme")
        .await
        .fails("validity", "key_not_yet_valid", "--not-before");
}

#[tokio::test]
async fn an_application_that_is_not_there_is_told_by_the_token() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    acme.forget_app().unwrap();
    let report = site.check("acme").await;
    report.fails("token", "app_not_installed", "az ad sp create --id");
    assert_eq!(report.verdict("identity"), "ok", "the assertion was had");
    assert_eq!(report.verdict("vault"), "ok", "the vault is there all the same");
    acme.disable_app().unwrap();
    site.check("acme")
        .await
        .fails("token", "app_disabled", "accountEnabled=true");
}

#[tokio::test]
async fn a_wrong_tenant_is_told_by_the_vault() {
    let site = Site::start().await;
    let report = site
        .check_with("acme", |text| text.replace(&site.standin.tenant_id("acme"), ISV_TENANT))
        .await;
    report.fails("vault", "other_tenant", "entra_tenant");
    let found = report.found("vault");
    assert!(
        found.contains(ISV_TENANT) && found.contains(&site.standin.tenant_id("acme")),
        "{found}"
    );
}

#[tokio::test]
async fn the_isvs_own_identity_is_told_apart_from_the_customers_application() {
    let site = Site::start().await;
    site.standin.assign_identity(false).unwrap();
    let report = site.check("acme").await;
    report.fails("identity", "identity_not_assigned", "az vm identity assign");
    assert_eq!(report.verdict("token"), "skipped");
    site.standin.assign_identity(true).unwrap();
    site.standin.federate(Some("somebody-else")).unwrap();
    let report = site.check("acme").await;
    report.fails("token", "federation_mismatch", "federated-credential create");
    assert_eq!(report.verdict("identity"), "ok");
}

#[tokio::test]
async fn the_vaults_network_is_told() {
    let site = Site::start().await;
    let acme = site.standin.customer("acme");
    for (network, reason, advice) in [
        (Network::Firewalled, "vault_firewall", "network-rule add"),
        (Network::PrivateOnly, "private_link_required", "private-endpoint"),
    ] {
        acme.set_network(network).unwrap();
        let report = site.check("acme").await;
        report.fails("vault", reason, advice);
        assert_eq!(report.verdict("key"), "skipped");
    }
}

#[tokio::test]
async fn more_rights_than_needed_are_a_warning_and_nothing_is_changed_to_see_them() {
    let site = Site::start().await;
    site.standin.customer("acme").grant(Role::CryptoOfficer).unwrap();
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("rights")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(
        report
            .fix("rights")
            .contains("role assignment delete --role \"Key Vault Crypto Officer\"")
    );
    let vault = site.standin.vault("acme-vault");
    for operation in [
        Operation::UpdateKey,
        Operation::CreateKey,
        Operation::RotateKey,
        Operation::DeleteKey,
        Operation::PurgeKey,
        Operation::RecoverKey,
    ] {
        assert_eq!(vault.count(operation), 0, "{operation:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_told_and_the_key_is_proved_nevertheless() {
    let mut site = Site::start().await;
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    site.endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("store")),
        (1, "failed"),
        "{}",
        report.text
    );
    assert!(report.beside.contains("Connection refused"), "{}", report.beside);
    assert_eq!(report.verdict("unwrap"), "ok");
    for step in ["system_container", "buckets", "keyring", "round_trip"] {
        assert_eq!(report.verdict(step), "skipped", "{step}");
    }
}

#[tokio::test]
async fn a_wrong_store_credential_is_told_by_name() {
    let site = Site::start().await;
    fs::write(site.data.join("store-secret"), "another-secret-0123456789").unwrap();
    let report = site.check("acme").await;
    assert_eq!(report.verdict("store"), "failed", "{}", report.text);
    assert!(
        report.found("store").contains("SignatureDoesNotMatch"),
        "{}",
        report.text
    );
    assert!(report.fix("store").contains("secret_access_key"), "{}", report.text);
    let report = site
        .check_with("acme", |text| text.replace("AKIDSTORE", "AKIDNOBODY"))
        .await;
    assert!(report.fix("store").contains("access_key_id"), "{}", report.text);
}

#[tokio::test]
async fn a_missing_bucket_a_wrong_clock_and_an_open_bucket_are_told() {
    let site = Site::start().await;
    let report = site
        .check_with("acme", |text| {
            text.replace("[bucket.acme-files]", "[bucket.no-such-files]")
        })
        .await;
    assert_eq!(report.verdict("buckets"), "failed", "{}", report.text);
    assert!(report.fix("buckets").contains("create-bucket --bucket no-such-files"));

    site.adversary.lie(
        SYSTEM,
        "",
        Lie::twist(|_, mut reply| {
            reply
                .headers
                .insert(DATE, HeaderValue::from_static("Tue, 15 Nov 1994 08:12:31 GMT"));
            reply
        }),
    );
    site.adversary.lie(
        "acme-files",
        "",
        Lie::instead(|asked| {
            let open = !asked.headers.contains_key(AUTHORIZATION);
            let listing = "<ListBucketResult></ListBucketResult>";
            Reply {
                status: if open { StatusCode::OK } else { StatusCode::FORBIDDEN },
                headers: HeaderMap::new(),
                body: listing.into(),
                end: End::Whole,
            }
        }),
    );
    let report = site.check("acme").await;
    assert_eq!(report.verdict("store_clock"), "failed", "{}", report.text);
    assert_eq!(
        report.verdict("buckets"),
        "failed",
        "a bucket that the gate may not list"
    );
    site.adversary.lie(
        "acme-files",
        "",
        Lie::instead(|_| Reply {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: "<ListBucketResult></ListBucketResult>".into(),
            end: End::Whole,
        }),
    );
    let report = site.check("acme").await;
    assert_eq!(report.verdict("direct_access"), "warning", "{}", report.text);
    assert!(report.fix("direct_access").contains("put-public-access-block"));
}

#[tokio::test]
async fn a_store_that_does_not_give_back_what_it_got_is_told() {
    let site = Site::start().await;
    site.adversary.lie(
        SYSTEM,
        "*",
        Lie::twist(|_, mut reply| {
            let mut body = reply.body.to_vec();
            if body.len() > 100_000 {
                body[700] ^= 1;
            }
            reply.body = body.into();
            reply
        }),
    );
    let report = site.check("acme").await;
    assert_eq!(
        (report.status, report.verdict("round_trip")),
        (1, "failed"),
        "{}",
        report.text
    );
}

#[tokio::test]
async fn what_it_cannot_run_on_and_what_is_wrong_have_their_own_statuses() {
    let site = Site::start().await;
    assert_eq!(site.run(&["check", "--config", "/nonexistent.toml"]).await.0, Some(2));
    let file = site.write(|text| text).display().to_string();
    assert_eq!(
        site.run(&["check", "--config", &file, "--tenant", "nobody"]).await.0,
        Some(2)
    );
    let report = site
        .check_with("acme", |text| text.replace("tenant = \"acme\"", "tenant = \"acmee\""))
        .await;
    assert_eq!(
        (report.status, report.verdict("configuration")),
        (1, "failed"),
        "{}",
        report.text
    );
    let (status, table) = site
        .run(&["check", "--config", &site.write(|text| text).display().to_string()])
        .await;
    assert_eq!(status, Some(0), "{table}");
    assert!(
        table.contains("tenant acme") && table.contains("tenant globex"),
        "{table}"
    );
    assert!(table.contains("  round trip") && table.contains("  ok "), "{table}");
}

#[tokio::test]
async fn what_cckm_says_is_compared_with_the_vault() {
    let site = Site::start().await;
    let cckm = Cckm::start(&site.standin, "portcullis", CCKM).await.unwrap();
    fs::write(site.data.join("cckm-secret"), CCKM).unwrap();
    let with_cckm = |text: String| {
        let (endpoint, ca) = (cckm.endpoint(), site.standin.ca_file().display().to_string());
        format!(
            "{text}[cckm.main]\nendpoint = \"{endpoint}\"\nusername = \"portcullis\"\n\
             password = {{ file = \"cckm-secret\" }}\nca_file = \"{ca}\"\ntenants = [\"acme\"]\n"
        )
    };
    let report = site.check_with("acme", with_cckm).await;
    assert_eq!(
        (report.status, report.verdict("cckm")),
        (0, "warning"),
        "{}",
        report.text
    );
    assert!(
        report.found("cckm").contains("does not know the key"),
        "{}",
        report.text
    );
    let key = cckm.manage(site.standin.customer("acme"), &site.standin.key_url("acme"));
    let key = key.unwrap();
    assert_eq!(site.check_with("acme", with_cckm).await.verdict("cckm"), "ok");
    key.set_enabled(false).unwrap();
    site.standin.customer("acme").enable_key().unwrap();
    let report = site.check_with("acme", with_cckm).await;
    assert_eq!(report.step("cckm")["reason"], "disagreement", "{}", report.text);
    assert_eq!(report.status, 0, "CCKM is no authority");
    cckm.fail(Some(StatusCode::SERVICE_UNAVAILABLE));
    let report = site.check_with("acme", with_cckm).await;
    assert_eq!(
        (report.status, report.verdict("cckm")),
        (0, "warning"),
        "{}",
        report.text
    );
    let globex = site.check_with("globex", with_cckm).await;
    assert!(
        globex.steps.iter().all(|step| step["step"] != "cckm"),
        "not its manager"
    );
}

#[tokio::test]
async fn a_running_gate_shows_what_cckm_says_on_the_admin_listener() {
    let site = Site::start().await;
    let cckm = Cckm::start(&site.standin, "portcullis", CCKM).await.unwrap();
    cckm.manage(site.standin.customer("acme"), &site.standin.key_url("acme"))
        .unwrap();
    fs::write(site.data.join("cckm-secret"), CCKM).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = free.local_addr().unwrap();
    drop(free);
    let file = site.write(|text| {
        let (endpoint, ca) = (cckm.endpoint(), site.standin.ca_file().display().to_string());
        format!(
            "{text}[admin]\naddress = \"{admin}\"\n[cckm.main]\nendpoint = \"{endpoint}\"\nusername = \"portcullis\"\n\
             password = {{ file = \"cckm-secret\" }}\nca_file = \"{ca}\"\n"
        )
    });
    let mut gate = tokio::process::Command::new(BINARY)
        .args(["serve", "--config"])
        .arg(file)
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let began = std::time::Instant::now();
    let board = loop {
        let asked = reqwest::get(format!("http://{admin}/cckm")).await;
        let text = match asked {
            Ok(answer) => answer.text().await.unwrap(),
            Err(_) => String::new(),
        };
        if text.contains("\"answer\":\"ok\"") {
            break text;
        }
        assert!(began.elapsed().as_secs() < 20, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    gate.kill().await.unwrap();
    assert!(!board.contains(CCKM), "{board}");
    let board: Value = serde_json::from_str(&board).unwrap();
    let tenants = board["managers"][0]["tenants"].as_array().unwrap();
    let state = |name: &str| tenants.iter().find(|seen| seen["tenant"] == name).unwrap()["state"].clone();
    assert_eq!(state("acme"), "enabled");
    assert_eq!(state("globex"), Value::Null, "not under its management");
}

#[tokio::test]
async fn every_step_is_explained() {
    let site = Site::start().await;
    let page = include_str!("../../docs/onboarding.md");
    let table = page
        .split("| step | proves |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for step in site.check("acme").await.steps {
        let name = match step["step"].as_str().unwrap() {
            "wrap" => "wrapKey".to_owned(),
            "unwrap" => "unwrapKey".to_owned(),
            name => name.replace('_', " "),
        };
        assert!(table.contains(&name), "{name}");
    }
}

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
