//! `portcullis dev`: everything on loopback, nothing else installed. A directory store, a stand-in for Entra and Key Vault, and
//! before them the very gate that `serve` runs, from a configuration file that is left for reading.
#![allow(clippy::print_stderr)] // a command's complaint

mod azure;
mod words;

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::commands::dev::azure::{Account, Running};
use crate::commands::dev::words::{configuration, shell_lines, what_to_serve, what_to_try};
use crate::commands::hardening::{Hardened, harden};
use crate::commands::serve::{self, ServeError};
use crate::commands::{Outcome, say};
use crate::config::Config;
use crate::dev::cckm::{Cckm, CckmStandinError};
use crate::dev::files;
use crate::dev::standin::{Standin, StandinError, StandinOptions};
use crate::dev::store::{self, Store};
use crate::telemetry::clock::Clock;
use crate::upstream::sigv4::{Credential, SecretKey};
use crate::upstream::{Call, Caller, StoreBody, StoreOptions};

pub use azure::AzureSide;

/// Where the stand-in for Azure keeps its state, below the data directory.
pub(super) const VAULT_FOLDER: &str = "vault";
/// Where the one for CipherTrust Manager says how to reach it, likewise.
pub(super) const CCKM_FOLDER: &str = "cckm";
const REGION: &str = "us-east-1";
const SYSTEM_CONTAINER: &str = "portcullis-system";

/// The two tenants: name, bucket and access key. Each shows one of the two ways a key is held.
const TENANTS: [(&str, &str, &str); 2] = [
    ("acme", "acme-files", "PORTCULLISDEVACME001"),
    ("globex", "globex-files", "PORTCULLISDEVGLBX001"),
];
const STORE_ACCESS_KEY: &str = "PORTCULLISDEVSTORE01";
/// Whose key CCKM manages: a customer that has its own vault.
const CCKM_TENANT: &str = "acme";
/// As whom the gate asks it.
const CCKM_USER: &str = "portcullis";

/// Where everything goes.
pub struct DevOptions {
    /// The state's directory; made if missing.
    pub data: PathBuf,
    /// S3 in clear.
    pub s3_port: u16,
    /// S3 over TLS.
    pub s3_tls_port: u16,
    /// Health and metrics.
    pub admin_port: u16,
    /// Entra and Key Vault.
    pub vault_port: u16,
    /// Managed identity; 0 for any free one.
    pub imds_port: u16,
    /// The directory store; 0 for any free one.
    pub store_port: u16,
    /// The Azure side, if it is to run.
    pub azure: Option<AzureSide>,
    /// Whether the gate runs here, or is left to a `serve` with the same data.
    pub gate: bool,
}

/// Why it could not run.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("the stand-in for Entra and Key Vault: {0}")]
    Standin(#[from] StandinError),
    #[error("the stand-in for CipherTrust Manager: {0}")]
    Cckm(#[from] CckmStandinError),
    #[error("the directory store: {0}")]
    Store(#[from] store::Error),
    #[error("the certificate: {0}")]
    Certificate(#[from] crate::dev::authority::AuthorityError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("another one runs on {data}: stop it, or name another directory with --data")]
    Running { data: PathBuf },
    #[error("{what} does not answer")]
    Silent { what: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs until SIGINT or SIGTERM.
pub fn dev(options: DevOptions) -> Outcome {
    let hardened = harden();
    let shutdown = CancellationToken::new();
    let ran = serve::runtime().and_then(|runtime| {
        runtime
            .block_on(run(options, &hardened, shutdown))
            .map_err(|error| error.to_string())
    });
    match ran {
        Ok(()) => Outcome::Done,
        Err(error) => {
            eprintln!("portcullis dev: {error}");
            Outcome::CannotRun
        }
    }
}

async fn run(options: DevOptions, hardened: &Hardened, shutdown: CancellationToken) -> Result<(), DevError> {
    let data = &prepare(&options.data)?;
    let _alone = alone(data)?;
    let environment = data.join("dev.env");
    let _ = std::fs::remove_file(&environment);

    let standin = Standin::start(StandinOptions {
        data: data.join(VAULT_FOLDER),
        https_port: options.vault_port,
        imds_port: options.imds_port,
    })
    .await?;
    let user = (CCKM_USER, secret(data, "cckm")?);
    let cckm = Cckm::with_console(&standin, (user.0, &user.1), &[CCKM_TENANT], &data.join(CCKM_FOLDER)).await?;
    let store_secret = secret(data, "store")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.store_port)).await?;
    let credentials = vec![(STORE_ACCESS_KEY.to_owned(), store_secret.clone())];
    let server = store::serve(Store::open(data.join("store"))?, listener, credentials)?;
    make_buckets(server.address(), &store_secret).await?;

    let mut keys = Vec::new();
    for (tenant, _, _) in TENANTS {
        keys.push(secret(data, tenant)?);
    }
    secret(data, "origin")?;
    certificate(data, &standin)?;
    let azure = azure_side(&options, data, &standin)?;
    let file = data.join("portcullis.toml");
    let mut text = configuration(&options, &standin, &cckm, server.address());
    text.extend(azure.iter().map(Running::configuration));
    write(&file, &text)?;

    let mut gate = None;
    if options.gate {
        let config = Config::load(&file).map_err(ServeError::Config)?;
        gate = Some(serve::Gate::start(config, Clock::system()).await?);
        hardened.log();
        for ((_, bucket, access_key), secret) in TENANTS.iter().zip(&keys) {
            answers(options.s3_port, access_key, secret, bucket).await?;
        }
    }
    let mut lines = shell_lines(&options, data, &standin, &keys);
    lines.extend(azure.iter().map(Running::shell_lines));
    write(&environment, &lines)?;
    say(&match options.gate {
        true => what_to_try(
            &options,
            &environment,
            &azure.as_ref().map(Running::line).unwrap_or_default(),
        ),
        false => what_to_serve(&options, server.address(), &file),
    });

    serve::until_told(&shutdown).await;
    if let Some(gate) = gate {
        gate.stop().await;
    }
    server.stop().await;
    standin.shutdown().await;
    let _ = std::fs::remove_file(&environment);
    Ok(())
}

/// The Azure side, where it was asked for and Node.js is there for its store; the S3 side runs either way.
fn azure_side(options: &DevOptions, data: &Path, standin: &Standin) -> Result<Option<Running>, DevError> {
    let Some(side) = &options.azure else {
        return Ok(None);
    };
    let mut accounts = Vec::new();
    for (tenant, _, _) in TENANTS {
        accounts.push(Account {
            tenant,
            // 64 hex digits are base64 too.
            key: secret(data, &format!("{tenant}-azure"))?,
            upstream: secret(data, &format!("{tenant}-azurite"))?,
            writer: standin.application(&format!("files of {tenant}"))?,
            reader: standin.application(&format!("reports of {tenant}"))?,
        });
    }
    match Running::start(side, data, accounts, standin.authority()) {
        Ok(running) => Ok(Some(running)),
        Err(error) => {
            eprintln!("portcullis dev: no Azure side: {error}");
            Ok(None)
        }
    }
}

/// The data directory, readable by its owner only, by its absolute path.
fn prepare(data: &Path) -> Result<PathBuf, DevError> {
    let failed = |source| DevError::File {
        path: data.to_owned(),
        source,
    };
    std::fs::create_dir_all(data.join("secrets")).map_err(failed)?;
    std::fs::set_permissions(data, Permissions::from_mode(0o700)).map_err(failed)?;
    data.canonicalize().map_err(failed)
}

/// The only `dev` on this directory, as long as the file is held: a second one would take the first one's `dev.env` away, and
/// open its store a second time.
fn alone(data: &Path) -> Result<File, DevError> {
    let path = data.join("lock");
    let locked = File::create(&path).and_then(|file| match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    });
    match locked {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(DevError::Running { data: data.to_owned() }),
        Err(source) => Err(DevError::File { path, source }),
    }
}

/// A secret of this data directory: made once, kept in `secrets/`, mode 0600.
fn secret(data: &Path, name: &str) -> Result<String, DevError> {
    let path = data.join("secrets").join(name);
    if let Ok(text) = std::fs::read_to_string(&path) {
        return Ok(text.trim().to_owned());
    }
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    let text = hex::encode(bytes);
    files::write_private(&path, text.as_bytes()).map_err(|source| DevError::File { path, source })?;
    Ok(text)
}

fn certificate(data: &Path, standin: &Standin) -> Result<(), DevError> {
    let issued = standin.certificate_authority().issue(&["localhost", "127.0.0.1"])?;
    write(&data.join("gate.pem"), &issued.chain_pem)?;
    let key = data.join("gate.key");
    files::write_private(&key, issued.key_pem.as_bytes()).map_err(|source| DevError::File { path: key, source })
}

fn write(path: &Path, text: &str) -> Result<(), DevError> {
    // Whoever waits for the file must never see half of it.
    let next = path.with_extension("next");
    std::fs::write(&next, text)
        .and_then(|()| std::fs::rename(&next, path))
        .map_err(|source| DevError::File {
            path: path.to_owned(),
            source,
        })
}

async fn make_buckets(address: SocketAddr, secret: &str) -> Result<(), DevError> {
    let client = client(address.port(), STORE_ACCESS_KEY, secret)?;
    for bucket in TENANTS.iter().map(|(_, bucket, _)| *bucket).chain([SYSTEM_CONTAINER]) {
        let answer = client
            .send(call(Method::PUT, bucket))
            .await
            .map_err(|_| DevError::Silent { what: "the store" })?;
        if !answer.status().is_success() && answer.status() != http::StatusCode::CONFLICT {
            return Err(DevError::Silent { what: "the store" });
        }
    }
    Ok(())
}

/// Asks the gate for a tenant's bucket, as a client would: listener, signature, key and store have all answered then.
async fn answers(port: u16, access_key: &str, secret: &str, bucket: &str) -> Result<(), DevError> {
    let client = client(port, access_key, secret)?;
    let answer = client
        .send(call(Method::HEAD, bucket))
        .await
        .map_err(|_| DevError::Silent { what: "the gate" })?;
    if answer.status().is_success() {
        return Ok(());
    }
    // A customer may have disabled its key before the last stop: that is an answer too.
    if answer.status().is_client_error() {
        eprintln!(
            "portcullis dev: {bucket}: the gate answers {}; is the customer's key disabled?",
            answer.status()
        );
        return Ok(());
    }
    Err(DevError::Silent { what: "the gate" })
}

fn client(port: u16, access_key: &str, secret: &str) -> Result<crate::upstream::Store, DevError> {
    let credential = Credential::new(access_key, SecretKey::new(secret)).map_err(io::Error::other)?;
    let authority = Authority::try_from(format!("127.0.0.1:{port}")).map_err(io::Error::other)?;
    let options = StoreOptions {
        name: "main".to_owned(),
        scheme: Scheme::HTTP,
        authority,
        region: REGION.to_owned(),
        credential: Arc::new(credential),
        roots: None,
        system_container: SYSTEM_CONTAINER.to_owned(),
        dialect: crate::upstream::Dialect::default(),
    };
    Ok(crate::upstream::Store::new(options, Clock::system())?)
}

fn call(method: Method, bucket: &str) -> Call<'_> {
    Call {
        method,
        bucket,
        key: "",
        query: "",
        caller: &Caller::Gate,
        headers: HeaderMap::new(),
        body: StoreBody::empty(),
    }
}
