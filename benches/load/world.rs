//! Everything on loopback, each in a process of its own: origin, pass-through, nginx where there is one, the gate. The stand-in
//! for Entra and Key Vault runs in this process, so that its calls can be counted and its answers delayed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::dev::standin::{Standin, StandinOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use crate::client::{self, Account, Kind, Target, Work};
use crate::process::Process;
use crate::{Problem, configuration};

/// How long any of them may take to be there.
const START: Duration = Duration::from_secs(60);
/// The bucket of what is not sealed; the others are the tenants'.
pub(crate) const PLAIN: &str = "plain-files";
const SECRET: &str = "a-secret-of-the-measurements";

/// What answers requests.
pub(crate) struct Side {
    /// `gate`, `other` (another gate), `pass`, `nginx`.
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    clear: SocketAddr,
    tls: SocketAddr,
}

/// The whole set-up.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) standin: Standin,
    origin: Process,
    origin_address: SocketAddr,
    /// The gate first.
    pub(crate) sides: Vec<Side>,
    connector: TlsConnector,
    /// How many tenants the gate has, beside acme and globex.
    tenants: usize,
}

impl World {
    /// Starts it all and stores the objects that are read later: of each size one, sealed and in clear.
    pub(crate) async fn start(
        folder: &Path,
        tenants: usize,
        sizes: &[u64],
        other: Option<&Path>,
    ) -> Result<Self, Problem> {
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)?;
        let options = StandinOptions {
            data: folder.join("vault"),
            https_port: 0,
            imds_port: 0,
        };
        let standin = Standin::start(options).await.map_err(Problem::new)?;
        for customer in ["acme", "globex"] {
            standin.customer(customer).enable_key().map_err(Problem::new)?;
        }
        let issued = standin.certificate_authority().issue(&["localhost", "127.0.0.1"]);
        let issued = issued.map_err(Problem::new)?;
        std::fs::write(folder.join("server.pem"), issued.chain_pem)?;
        std::fs::write(folder.join("server.key"), issued.key_pem.as_bytes())?;
        let connector = connector(standin.ca_pem())?;

        let mut command = Command::new(std::env::current_exe()?);
        command.args(["as-origin"]);
        let (origin, said) = Process::saying("origin", &mut command, &folder.join("origin.log"))?;
        let origin_address = said.parse().map_err(Problem::new)?;
        let mut world = Self {
            folder: folder.to_owned(),
            standin,
            origin,
            origin_address,
            sides: Vec::new(),
            connector,
            tenants,
        };
        let gate = world.gate().await?;
        world.sides.push(gate);
        if let Some(binary) = other {
            let other = world.gate_of(binary, "other").await?;
            world.sides.push(other);
        }
        let pass = world.pass()?;
        world.sides.push(pass);
        world.sides.extend(world.nginx().await?);
        world.store(sizes).await?;
        Ok(world)
    }

    /// A gate as `portcullis serve` starts it, ready to serve.
    pub(crate) async fn gate(&self) -> Result<Side, Problem> {
        self.gate_of(Path::new(env!("CARGO_BIN_EXE_portcullis")), "gate").await
    }

    async fn gate_of(&self, binary: &Path, name: &'static str) -> Result<Side, Problem> {
        let [clear, tls, admin] = free_ports()?;
        let file = self.folder.join(format!("{name}.toml"));
        let text = configuration::gate(&self.standin, self.origin_address, [clear, tls, admin], self.tenants);
        std::fs::write(&file, text)?;
        std::fs::write(self.folder.join("secret"), SECRET)?;
        std::fs::write(self.folder.join("origin-secret"), SECRET.repeat(2))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(&file);
        let process = Process::quiet(name, &mut command, &self.folder.join(format!("{name}.log")))?;
        let (clear, tls) = (loopback(clear), loopback(tls));
        let mut side = Side {
            name,
            process,
            clear,
            tls,
        };
        let began = Instant::now();
        while tokio::net::TcpStream::connect(tls).await.is_err() {
            if began.elapsed() > START || side.process.is_gone() {
                return Err(Problem::new("the gate did not start: see gate.log"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(side)
    }

    /// The bare pass-through, in clear and with TLS.
    fn pass(&self) -> Result<Side, Problem> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("as-pass")
            .arg(self.origin_address.to_string())
            .arg(&self.folder);
        let (process, said) = Process::saying("pass", &mut command, &self.folder.join("pass.log"))?;
        let (clear, tls) = said.split_once(' ').ok_or_else(|| Problem::new("no addresses"))?;
        Ok(Side {
            name: "pass",
            process,
            clear: clear.parse().map_err(Problem::new)?,
            tls: tls.parse().map_err(Problem::new)?,
        })
    }

    /// nginx with its default proxying, if this machine has it.
    async fn nginx(&self) -> Result<Option<Side>, Problem> {
        if !Command::new("nginx")
            .arg("-v")
            .output()
            .is_ok_and(|said| said.status.success())
        {
            return Ok(None);
        }
        let [clear, tls] = free_ports()?;
        let file = self.folder.join("nginx.conf");
        std::fs::write(
            &file,
            configuration::nginx(&self.folder, self.origin_address, clear, tls),
        )?;
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(&self.folder)
            .arg("-c")
            .arg(&file)
            .args(["-e", "nginx.log"]);
        let process = Process::quiet("nginx", &mut command, &self.folder.join("nginx.err"))?;
        let (clear, tls) = (loopback(clear), loopback(tls));
        let mut side = Side {
            name: "nginx",
            process,
            clear,
            tls,
        };
        let began = Instant::now();
        while tokio::net::TcpStream::connect(tls).await.is_err() {
            if began.elapsed() > START || side.process.is_gone() {
                return Err(Problem::new("nginx did not start: see nginx.log"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(Some(side))
    }

    /// Stores an object of each size, through the gate for acme and globex, and in clear for the others.
    async fn store(&self, sizes: &[u64]) -> Result<(), Problem> {
        let sealed = |bucket| self.gate_target(&self.sides[0], false, vec![account(bucket)?]);
        for size in sizes {
            let work = Work {
                kind: Kind::Put,
                size: *size,
                connections: 1,
            };
            let key = client::key(Kind::Get, *size);
            for target in [sealed("acme-files")?, sealed("globex-files")?, self.direct()] {
                let status = client::once(&target, work, &key).await?;
                if !status.is_success() {
                    return Err(Problem::new(format!(
                        "an object of {size} bytes could not be stored: {status}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The side's address, for a tenant at a gate and for the objects in clear elsewhere.
    pub(crate) fn target(&self, side: &Side, tls: bool) -> Result<Target, Problem> {
        match side.name {
            "gate" | "other" => self.gate_target(side, tls, vec![account("acme-files")?]),
            _ => self.gate_target(side, tls, vec![Account::open(PLAIN)]),
        }
    }

    /// The gate, for one tenant.
    pub(crate) fn tenant(&self, side: &Side, tenant: &str) -> Result<Target, Problem> {
        self.gate_target(side, false, vec![account(&format!("{tenant}-files"))?])
    }

    /// The gate, for the first `active` of the many tenants, in turns.
    pub(crate) fn many(&self, side: &Side, active: usize) -> Result<Target, Problem> {
        let accounts = (0..active).map(|number| account(&format!("{}-files", configuration::tenant(number))));
        self.gate_target(side, false, accounts.collect::<Result<_, _>>()?)
    }

    fn gate_target(&self, side: &Side, tls: bool, accounts: Vec<Account>) -> Result<Target, Problem> {
        let address = if tls { side.tls } else { side.clear };
        Ok(Target {
            address,
            host: format!("localhost:{}", address.port()),
            tls: tls.then(|| self.connector.clone()),
            accounts: accounts.into_iter().map(Arc::new).collect(),
        })
    }

    /// The origin itself.
    pub(crate) fn direct(&self) -> Target {
        Target {
            address: self.origin_address,
            host: self.origin_address.to_string(),
            tls: None,
            accounts: vec![Arc::new(Account::open(PLAIN))],
        }
    }

    /// How many requests the origin has had, and how many bytes of content it has given out.
    pub(crate) async fn origin_counts(&self) -> Result<(u64, u64), Problem> {
        let text = client::text(&self.direct(), "/stub/counts").await?;
        let counts = text
            .split_once(' ')
            .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        counts.ok_or_else(|| Problem::new("the origin does not count"))
    }

    /// Calls to the vaults and to Entra so far.
    pub(crate) fn vault_calls(&self) -> u64 {
        let vaults = ["acme-vault", "globex-vault"].map(|vault| self.standin.vault(vault).total());
        let entra = ["isv", "acme"].map(|tenant| self.standin.entra(tenant).total());
        vaults.iter().chain(&entra).sum()
    }

    /// Ends all of it.
    pub(crate) async fn stop(mut self) {
        for side in &mut self.sides {
            side.process.end();
        }
        self.origin.end();
        self.standin.shutdown().await;
    }
}

fn account(bucket: &str) -> Result<Account, Problem> {
    let tenant = bucket.trim_end_matches("-files");
    Account::signed(bucket, &configuration::access_key(tenant), SECRET, "us-east-1")
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
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

fn connector(ca_pem: &str) -> Result<TlsConnector, Problem> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(Problem::new)?;
    roots.add(certificate).map_err(Problem::new)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Problem::new)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
