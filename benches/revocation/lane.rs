//! One row's own world on loopback: a stand-in for Entra and Key Vault and a store in this process, and two gates before them as
//! `portcullis serve` starts them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis::dev::standin::{Standin, StandinOptions};
use portcullis::keys::transport::LostNames;
use tokio::task::JoinHandle;

use crate::load::{Client, Load};
use crate::process::Process;
use crate::rows::Stage;
use crate::{BOUND, IDENTITY, Problem, origin};

/// Who withdraws the key, and who is to notice nothing of it.
pub(crate) const TENANTS: [&str; 2] = ["acme", "globex"];
pub(crate) const SECRET: &str = "a-secret-of-the-measurements";
const GATES: [&str; 2] = ["gate-0", "gate-1"];
/// How long a gate may take to be there.
const START: Duration = Duration::from_secs(120);

/// The world, gone when dropped.
pub(crate) struct Lane {
    pub(crate) standin: Standin,
    names: LostNames,
    /// One a gate.
    pub(crate) loads: Vec<Load>,
    gates: Vec<Process>,
    logs: [PathBuf; 2],
    store: JoinHandle<()>,
}

impl Lane {
    /// Starts everything, stores what is read later, and begins to ask.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Problem> {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)?;
        let options = StandinOptions {
            data: folder.join("vault"),
            https_port: 0,
            imds_port: 0,
        };
        let standin = Standin::start(options).await.map_err(Problem::new)?;
        let (said, address) = tokio::sync::oneshot::channel();
        let store = tokio::spawn(async move {
            let _ = origin::run(|address| _ = said.send(address)).await;
        });
        let store_address = address.await.map_err(Problem::new)?;
        std::fs::write(folder.join("secret"), SECRET)?;
        std::fs::write(folder.join("origin-secret"), SECRET.repeat(2))?;
        let mut lane = Self {
            standin,
            names: LostNames::default(),
            loads: Vec::new(),
            gates: Vec::new(),
            logs: GATES.map(|name| folder.join(format!("{name}.log"))),
            store,
        };
        let mut addresses = Vec::new();
        for name in GATES {
            let mut started = lane.gate(folder, name, store_address).await;
            // Another process may have taken a port before it was used.
            for _ in 0..2 {
                if started.is_err() {
                    started = lane.gate(folder, name, store_address).await;
                }
            }
            addresses.push(started?);
        }
        for tenant in TENANTS {
            Client::new(addresses[0], tenant)?.store().await?;
        }
        for address in addresses {
            lane.loads.push(Load::begin(address)?);
        }
        Ok(lane)
    }

    /// Where rows are played.
    pub(crate) fn stage(&self) -> Stage<'_> {
        Stage {
            standin: &self.standin,
            names: &self.names,
            customer: TENANTS[0],
        }
    }

    /// Where each gate writes its log.
    pub(crate) fn logs(&self) -> &[PathBuf] {
        &self.logs
    }

    /// Puts the gates' logs where the end of the run does not sweep them away; says where.
    pub(crate) fn keep_logs(&self, why: &str) -> String {
        let name: String = why.chars().filter(char::is_ascii_alphanumeric).collect();
        let mut said = String::new();
        for (log, gate) in self.logs.iter().zip(GATES) {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failed-{name}-{gate}.log"));
            if std::fs::copy(log, &kept).is_ok() {
                let _ = write!(said, "; its log: {}", kept.display());
            }
        }
        said
    }

    /// Ends all of it.
    pub(crate) async fn stop(mut self) {
        self.loads.clear();
        for gate in &mut self.gates {
            gate.end();
        }
        self.store.abort();
        self.standin.shutdown().await;
    }

    async fn gate(&mut self, folder: &Path, name: &str, store: SocketAddr) -> Result<SocketAddr, Problem> {
        let [clear, admin] = free_ports()?;
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, configuration(&self.standin, store, [clear, admin]))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("serve").arg("--config").arg(&file);
        let log = folder.join(format!("{name}.log"));
        let mut process = Process::quiet(name, &mut command, &log)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, clear));
        let began = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if began.elapsed() > START || process.is_gone() {
                return Err(Problem::new(format!("a gate did not start: see {}", log.display())));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.gates.push(process);
        Ok(address)
    }
}

/// As one would run it, but for the bounds.
fn configuration(standin: &Standin, store: SocketAddr, [clear, admin]: [u16; 2]) -> String {
    let mut text = format!(
        r#"dev = true

[admin]
address = "127.0.0.1:{admin}"

[[listener]]
address = "127.0.0.1:{clear}"

[store.main]
kind = "s3"
endpoint = "http://{store}"
region = "us-east-1"
access_key_id = "BENCHSTORE"
secret_access_key = {{ file = "secret" }}
system_container = "portcullis-system"

[keys]
revocation_bound = "{bound}s"
identity_bound = "{identity_bound}s"
origin_secrets = [{{ file = "origin-secret" }}]
ca_file = "{ca}"
imds_endpoint = "{imds}"

[identity.cross-tenant]
kind = "federated"
managed_identity = "{identity}"
app = "{app}"
authority = "{authority}"

[identity.own-tenant]
kind = "managed"
managed_identity = "{identity}"
"#,
        bound = BOUND.as_secs(),
        identity_bound = IDENTITY.as_secs(),
        ca = standin.ca_file().display(),
        imds = standin.imds_endpoint(),
        identity = standin.identity_client_id(),
        app = standin.app_client_id(),
        authority = standin.authority(),
    );
    for tenant in TENANTS {
        let identity = match tenant {
            "acme" => format!("\"cross-tenant\"\nentra_tenant = \"{}\"", standin.tenant_id(tenant)),
            _ => "\"own-tenant\"".to_owned(),
        };
        let _ = write!(
            text,
            r#"
[tenant.{tenant}]
key = "{key}"
identity = {identity}

[[credential]]
access_key_id = "BENCH{tenant}"
secret_access_key = {{ file = "secret" }}
tenants = ["{tenant}"]

[bucket.{tenant}-files]
tenant = "{tenant}"
store = "main"
"#,
            key = standin.key_url(tenant),
        );
    }
    text
}

/// Held together, so that they differ; another process may still take one before it is used, and then the start fails.
fn free_ports<const N: usize>() -> Result<[u16; N], Problem> {
    let held: Vec<TcpListener> = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<_, _>>()?;
    let mut ports = [0; N];
    for (port, socket) in ports.iter_mut().zip(&held) {
        *port = socket.local_addr()?.port();
    }
    Ok(ports)
}
