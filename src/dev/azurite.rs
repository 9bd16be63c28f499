//! Azurite, Microsoft's own emulator of Azure Storage, as the store behind the gate's Azure side: installed below the data directory on
//! first use (`npm install azurite`), run on loopback with accounts of our own.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The version that is installed.
const VERSION: &str = "3.37.0";
/// How long it may take to listen.
const START: Duration = Duration::from_secs(60);

/// Why there is no Azurite.
#[derive(Debug, thiserror::Error)]
pub enum AzuriteError {
    /// Node.js is not there, or its package manager.
    #[error("Azurite needs Node.js with npm, which is not installed here")]
    NoNode,
    /// It could not be installed.
    #[error("npm could not install Azurite; see {log}")]
    Install {
        /// What npm said.
        log: PathBuf,
    },
    /// It does not answer.
    #[error("Azurite does not answer; see {log}")]
    Silent {
        /// What it said.
        log: PathBuf,
    },
    /// The system's.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A running Azurite.
pub struct Azurite {
    child: Child,
    address: SocketAddr,
}

impl Azurite {
    /// Starts it with these accounts, names and keys; what they hold lies below `data`. `program` is one that is installed already.
    ///
    /// # Errors
    /// [`AzuriteError`].
    pub fn start(data: &Path, program: Option<&Path>, accounts: &[(&str, &str)]) -> Result<Self, AzuriteError> {
        let folder = data.join("azurite");
        std::fs::create_dir_all(folder.join("blobs"))?;
        let program = match program {
            Some(program) => program.to_owned(),
            None => installed(&folder)?,
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let accounts: Vec<String> = accounts.iter().map(|(name, key)| format!("{name}:{key}")).collect();
        let log = folder.join("log");
        let said = File::create(&log)?;
        let mut child = Command::new(program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()])
            .args([
                "--silent",
                "--disableTelemetry",
                "--skipApiVersionCheck",
                "--blobKeepAliveTimeout",
                "120",
            ])
            .arg("--location")
            .arg(folder.join("blobs"))
            .env("AZURITE_ACCOUNTS", accounts.join(";"))
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => AzuriteError::NoNode,
                _ => AzuriteError::Io(error),
            })?;
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let gone = child.try_wait()?.is_some();
            if gone || begun.elapsed() > START {
                let _ = child.kill();
                let _ = child.wait();
                return Err(AzuriteError::Silent { log });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { child, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        // It writes its index as it goes; what it answered is on disk once it has ended by itself.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, installed if it is not yet.
fn installed(folder: &Path) -> Result<PathBuf, AzuriteError> {
    let program = folder.join("node_modules/.bin/azurite-blob");
    if program.exists() {
        return Ok(program);
    }
    let log = folder.join("npm.log");
    let said = File::create(&log)?;
    let done = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-save", "--prefix"])
        .arg(folder)
        .arg(format!("azurite@{VERSION}"))
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said)
        .status();
    match done {
        Ok(status) if status.success() && program.exists() => Ok(program),
        Ok(_) => Err(AzuriteError::Install { log }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(AzuriteError::NoNode),
        Err(error) => Err(error.into()),
    }
}
