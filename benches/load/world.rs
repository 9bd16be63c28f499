//! Everything on loopback, each in a process of its own: origin, pass-through, nginx where there is one, the gate. The stand-in
//! for Entra and Key Vault runs in this process, so that its calls can be counted and its answers delayed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::body::checksum::{Algorithm, Checksum};
use portcullis::dev::standin::{Standin, StandinOptions};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use super::client::{self, Account, Connection, FILLING, Kind, Target, Work};
use super::process::Process;
use super::suite::KIB;
use super::{Problem, configuration};

/// How long any of them may take to be there.
const START: Duration = Duration::from_secs(60);
/// The bucket of what is not sealed; the others are the tenants'.
pub(crate) const PLAIN: &str = "plain-files";
const SECRET: &str = "a-secret-of-the-measurements";
/// Azure's accounts' key, the store's and the gate's.
const ACCOUNT_KEY: &str = "dGhlIGtleSBvZiBhbiBhY2NvdW50IGluIHRoZSBtZWFzdXJlbWVudHM=";
/// So many blobs of 4 KiB are listed.
const LISTED: u64 = 1000;

/// What answers requests.
pub(crate) struct Side {
    /// `gate`, `other` (another gate), `pass`, `nginx`.
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    s3: Doors,
    azure: Doors,
}

/// Where one wire is spoken. A gate has other doors for the other; the rest have the same for both.
#[derive(Clone, Copy)]
struct Doors {
    clear: SocketAddr,
    tls: SocketAddr,
}

/// What is stored before anything is measured.
pub(crate) struct Stored {
    /// The sizes of the objects that are read.
    pub(crate) s3: Vec<u64>,
    pub(crate) azure: Vec<u64>,
    /// Whether Azure's blobs are listed; S3's origin makes its listing up.
    pub(crate) azure_listing: bool,
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
    /// What is run as a gate.
    binary: PathBuf,
}

impl World {
    /// Starts it all and stores the objects that are read later: of each size one, sealed and in clear.
    pub(crate) async fn start(
        folder: &Path,
        tenants: usize,
        stored: &Stored,
        binary: &Path,
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
            binary: binary.to_owned(),
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
        world.store(&stored.s3).await?;
        world.store_blobs(stored).await?;
        Ok(world)
    }

    /// A gate as `portcullis serve` starts it, ready to serve.
    pub(crate) async fn gate(&self) -> Result<Side, Problem> {
        self.gate_of(&self.binary, "gate").await
    }

    async fn gate_of(&self, binary: &Path, name: &'static str) -> Result<Side, Problem> {
        let ports @ [clear, tls, azure, azure_tls, _] = free_ports()?;
        let file = self.folder.join(format!("{name}.toml"));
        let text = configuration::gate(&self.standin, self.origin_address, ports, self.tenants);
        std::fs::write(&file, text)?;
        std::fs::write(self.folder.join("account-key"), ACCOUNT_KEY)?;
        std::fs::write(self.folder.join("secret"), SECRET)?;
        std::fs::write(self.folder.join("origin-secret"), SECRET.repeat(2))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config").arg(&file);
        let process = Process::quiet(name, &mut command, &self.folder.join(format!("{name}.log")))?;
        let mut side = Side {
            name,
            process,
            s3: Doors::of(clear, tls),
            azure: Doors::of(azure, azure_tls),
        };
        side.is_up(&format!("{name}.log")).await?;
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
        let doors = Doors {
            clear: clear.parse().map_err(Problem::new)?,
            tls: tls.parse().map_err(Problem::new)?,
        };
        Ok(Side {
            name: "pass",
            process,
            s3: doors,
            azure: doors,
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
        let doors = Doors::of(clear, tls);
        let mut side = Side {
            name: "nginx",
            process,
            s3: doors,
            azure: doors,
        };
        side.is_up("nginx.log").await?;
        Ok(Some(side))
    }

    /// Stores an object of each size, through the gate for acme and globex, and in clear for the others.
    async fn store(&self, sizes: &[u64]) -> Result<(), Problem> {
        let sealed = |bucket| Ok::<_, Problem>(self.at(self.sides[0].s3, false, vec![account(bucket)?]));
        for size in sizes {
            let work = Work {
                kind: Kind::Put,
                size: *size,
                connections: 1,
            };
            let key = client::key(Kind::Get, *size);
            for target in [sealed("acme-files")?, sealed("globex-files")?, self.direct()] {
                succeeds(&target, work, &key).await?;
            }
        }
        Ok(())
    }

    /// The same for Azure's clients, for acme alone. Every gate then reads each once: the footer of a blob of blocks is asked for at
    /// the first reading.
    async fn store_blobs(&self, stored: &Stored) -> Result<(), Problem> {
        let mut direct = self.direct();
        direct.accounts = vec![Arc::new(plain_container()?)];
        let stores = [self.azure(&self.sides[0], false)?, direct];
        let gates = self.sides.iter().filter(|side| side.is_gate());
        let work = |kind, size| Work {
            kind,
            size,
            connections: 1,
        };
        for size in &stored.azure {
            let key = client::key(Kind::Get, *size);
            for target in &stores {
                succeeds(target, work(Kind::Put, *size), &key).await?;
            }
            for gate in gates.clone() {
                succeeds(&self.azure(gate, false)?, work(Kind::Get, *size), &key).await?;
            }
        }
        if !stored.azure_listing {
            return Ok(());
        }
        let small = work(Kind::Put, 4 * KIB);
        for target in &stores {
            let mut connection = Connection::open(target, small, 0).await?;
            for number in 0..LISTED {
                connection.key = format!("listing/object-{number:04}.bin");
                let status = connection.status().await?;
                if !status.is_success() {
                    return Err(Problem::new(format!("{small:?} was answered {status}")));
                }
            }
        }
        for side in &self.sides {
            let page = client::document(&self.azure(side, false)?, work(Kind::List, 0)).await?;
            let is_told = |told: &str| page.matches(told).count() as u64 == LISTED;
            let len = format!("<Content-Length>{}</Content-Length>", small.size);
            let md5 = Checksum::of(Algorithm::Md5, &vec![FILLING; 4096]).to_base64();
            let md5 = format!("<Content-MD5>{md5}</Content-MD5>");
            // The MD5s that a gate shows it has opened; those of what is not sealed are the origin's invention.
            if !is_told(&len) || (side.is_gate() && !is_told(&md5)) {
                let name = side.name;
                return Err(Problem::new(format!("{name} does not list {LISTED} blobs as they are")));
            }
        }
        Ok(())
    }

    /// The side's address, for a tenant at a gate and for the objects in clear elsewhere.
    pub(crate) fn target(&self, side: &Side, tls: bool) -> Result<Target, Problem> {
        let account = match side.is_gate() {
            true => account("acme-files")?,
            false => Account::open(PLAIN),
        };
        Ok(self.at(side.s3, tls, vec![account]))
    }

    /// The same over Azure's wire.
    pub(crate) fn azure(&self, side: &Side, tls: bool) -> Result<Target, Problem> {
        let account = match side.is_gate() {
            true => Account::azure("acme", "acme-files", Some(ACCOUNT_KEY))?,
            false => plain_container()?,
        };
        Ok(self.at(side.azure, tls, vec![account]))
    }

    /// The gate, for one tenant.
    pub(crate) fn tenant(&self, side: &Side, tenant: &str) -> Result<Target, Problem> {
        Ok(self.at(side.s3, false, vec![account(&format!("{tenant}-files"))?]))
    }

    /// The gate, for the first `active` of the many tenants, in turns.
    pub(crate) fn many(&self, side: &Side, active: usize) -> Result<Target, Problem> {
        let accounts = (0..active).map(|number| account(&format!("{}-files", configuration::tenant(number))));
        Ok(self.at(side.s3, false, accounts.collect::<Result<_, _>>()?))
    }

    fn at(&self, doors: Doors, tls: bool, accounts: Vec<Account>) -> Target {
        let address = if tls { doors.tls } else { doors.clear };
        Target {
            address,
            host: format!("localhost:{}", address.port()),
            tls: tls.then(|| self.connector.clone()),
            accounts: accounts.into_iter().map(Arc::new).collect(),
        }
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

impl Side {
    fn is_gate(&self) -> bool {
        matches!(self.name, "gate" | "other")
    }

    /// Waits until its last door is open.
    async fn is_up(&mut self, log: &str) -> Result<(), Problem> {
        let began = Instant::now();
        for door in [self.s3.tls, self.azure.tls] {
            while tokio::net::TcpStream::connect(door).await.is_err() {
                if began.elapsed() > START || self.process.is_gone() {
                    return Err(Problem::new(format!("{} did not start: see {log}", self.name)));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }
}

impl Doors {
    fn of(clear: u16, tls: u16) -> Self {
        let [clear, tls] = [clear, tls].map(|port| (Ipv4Addr::LOCALHOST, port).into());
        Self { clear, tls }
    }
}

/// One request, which must be served.
async fn succeeds(target: &Target, work: Work, key: &str) -> Result<(), Problem> {
    let status = client::once(target, work, key).await?;
    match status.is_success() {
        true => Ok(()),
        false => Err(Problem::new(format!("{work:?} was answered {status}"))),
    }
}

/// What is not sealed, in the store's own account.
fn plain_container() -> Result<Account, Problem> {
    Account::azure(configuration::STORE_ACCOUNT, PLAIN, None)
}

fn account(bucket: &str) -> Result<Account, Problem> {
    let tenant = bucket.trim_end_matches("-files");
    Account::signed(bucket, &configuration::access_key(tenant), SECRET, "us-east-1")
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
