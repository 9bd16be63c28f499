//! A faithful stand-in for Azure: managed identity, Entra and Key Vault, on loopback, for `portcullis dev` and the tests.
//!
//! It speaks the real wire protocol to the real SDKs, with real RSA and the services' own error bodies, and fails on demand.
//! Its faithfulness is tested from outside by Microsoft's Python SDK (`tests/conformance/standin_sdk.py`).
//!
//! ```text
//! https://login.localhost:P            Entra: tokens and metadata for the tenants isv and acme
//! https://acme-vault.localhost:P       Key Vault (also localhost and 127.0.0.1)
//! https://globex-vault.localhost:P     Key Vault
//! https://127.0.0.1:P/stand-in/…       the control endpoint of `portcullis dev-customer`
//! https://hooli-hsm.managedhsm.localhost:P  Managed HSM
//! http://127.0.0.1:I                   managed identity: IMDS and the App Service form
//! http://127.0.0.1:A                   the agent of Azure Arc, where it is asked for
//! ```
//!
//! Not covered: certificates, secrets, EC keys (but that there is one), sign and verify, encrypt and decrypt, backup, import, rotation
//! policies, access policies (RBAC only), a Managed HSM's security domain and role
//! assignments over its own API, and time that Azure takes to enforce a change: changes hold at once.

mod application;
mod arc;
mod book;
mod cast;
mod cloud;
pub mod control;
mod customer;
mod entra;
mod fault;
mod hsm;
mod identity;
mod ids;
mod keys;
mod managed;
mod material;
mod national;
mod proof;
mod query;
mod reply;
mod rsa;
mod server;
mod token;
mod vault;
mod vault_error;
mod world;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::dev::authority::{Authority, AuthorityError};

pub use application::IsvApplication;
pub use arc::ArcMachine;
pub use book::{Answer, Counters, Entry};
pub use cast::{ACME_TENANT, APP_CLIENT, HOOLI_TENANT, IDENTITY_CLIENT, ISV_TENANT};
pub use customer::{Action, ActionError, Administrator, Customer};
pub use fault::{Fault, Gate, Operation, Place};
pub use managed::{Backup, KeyView, VersionView};
pub use national::National;
pub use rsa::Bits;
pub use world::{Network, Role};

use cloud::Cloud;
use rsa::{RsaError, RsaKey};
use token::Signer;
use world::{Credential, World, WorldError};

/// Where a stand-in keeps its world and listens.
#[derive(Clone, Debug)]
pub struct StandinOptions {
    /// Its directory: the authority, the world and its RSA keys, all 0600. Made if it is not there.
    pub data: PathBuf,
    /// Port for Entra and the vaults on 127.0.0.1; 0 for any free one.
    pub https_port: u16,
    /// Port for managed identity on 127.0.0.1; 0 for any free one.
    pub imds_port: u16,
}

/// A running stand-in. It stops when dropped, connections and all; its world stays on disk.
pub struct Standin {
    cloud: Arc<Cloud>,
    authority: Authority,
    listeners: [AbortHandle; 2],
}

/// One service of the stand-in, to break and to watch.
#[derive(Clone)]
pub struct Site {
    cloud: Arc<Cloud>,
    place: Place,
}

/// Why a stand-in does not start.
#[derive(Debug, thiserror::Error)]
pub enum StandinError {
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("port {port}: {source}")]
    Listen { port: u16, source: io::Error },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Rsa(#[from] RsaError),
    #[error("the key that signs tokens can't be used")]
    Signer,
    #[error("interrupted while starting")]
    Interrupted,
}

impl Standin {
    /// Opens or makes the world in `options.data` and serves it. On first use this generates three RSA keys.
    pub async fn start(options: StandinOptions) -> Result<Self, StandinError> {
        let https = listen(options.https_port).await?;
        let identity = listen(options.imds_port).await?;
        let data = options.data;
        let opened = tokio::task::spawn_blocking({
            let data = data.clone();
            move || open(&data)
        });
        let (authority, world, signer) = opened.await.map_err(|_| StandinError::Interrupted)??;
        let config = Arc::new(certificate(&authority, &world)?);
        let cloud = Arc::new(Cloud::new(world, signer, port(&https)?, port(&identity)?));
        control::write_contact(&data, cloud.https_port, &cloud.control_token, authority.file())
            .map_err(|source| StandinError::File { path: data, source })?;
        let serve = |listener, kind| tokio::spawn(server::serve(Arc::clone(&cloud), listener, kind)).abort_handle();
        let listeners = [
            serve(https, server::Listener::Https(config)),
            serve(identity, server::Listener::Identity),
        ];
        Ok(Self {
            cloud,
            authority,
            listeners,
        })
    }

    /// `https://{vault}.localhost:{port}`, and `https://{hsm}.managedhsm.localhost:{port}`.
    pub fn vault_url(&self, vault: &str) -> String {
        self.cloud.vault_url(vault)
    }

    /// A customer's key without version: `https://acme-vault.localhost:{port}/keys/acme-cmk` for acme. Every customer's vault
    /// and key are named after it.
    pub fn key_url(&self, customer: &str) -> String {
        let record = self.cloud.world().customer(customer).cloned();
        let vault = record.map_or_else(|| format!("{customer}-vault"), |record| record.vault);
        format!("{}/keys/{customer}-cmk", self.vault_url(&vault))
    }

    /// Connects the machine with Azure Arc: an agent that gives tokens of the managed identity as the machine's own.
    ///
    /// # Errors
    /// No port or no directory for it.
    pub async fn connect_machine(&self) -> io::Result<ArcMachine> {
        let data = self.cloud.world().dir().to_owned();
        ArcMachine::start(Arc::clone(&self.cloud), &data).await
    }

    /// Registers a certificate (PEM) with the ISV's application.
    pub fn register_certificate(&self, pem: &str) -> Result<(), StandinError> {
        self.add_credential(Credential::Certificate { pem: pem.to_owned() })
    }

    /// Gives the ISV's application a client secret.
    pub fn register_secret(&self, secret: &str) -> Result<(), StandinError> {
        self.add_credential(Credential::Secret(secret.to_owned()))
    }

    /// Lets the ISV's application trust the service account of a Kubernetes cluster.
    pub fn trust_cluster(&self) -> Result<(), StandinError> {
        self.add_credential(proof::cluster_trust())
    }

    /// A token of that service account, as the cluster projects it into a pod: for an hour, or what
    /// [`Self::set_token_lifetime`] says.
    pub fn account_token(&self) -> Option<String> {
        proof::account_token(&self.cloud, self.cloud.account_token_lifetime())
    }

    fn add_credential(&self, credential: Credential) -> Result<(), StandinError> {
        let change = |entra: &mut world::Entra| {
            let ours = entra
                .applications
                .iter_mut()
                .find(|application| application.client_id == APP_CLIENT);
            if let Some(application) = ours {
                application.also.push(credential);
            }
        };
        Ok(self.cloud.world().change_entra(change)?)
    }

    /// Entra: `https://login.localhost:{port}`.
    pub fn authority(&self) -> String {
        self.cloud.authority()
    }

    /// IMDS without path: `http://127.0.0.1:{port}`, in the place of `http://169.254.169.254`.
    pub fn imds_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.cloud.identity_port)
    }

    /// What App Service would give as `IDENTITY_ENDPOINT`.
    pub fn app_service_endpoint(&self) -> String {
        format!("{}{}", self.imds_endpoint(), identity::APP_SERVICE_PATH)
    }

    /// What App Service would give as `IDENTITY_HEADER`.
    pub fn app_service_header(&self) -> &str {
        &self.cloud.identity_header
    }

    /// The file with the authority's certificate, which clients must trust.
    pub fn ca_file(&self) -> &Path {
        self.authority.file()
    }

    /// The authority's certificate.
    pub fn ca_pem(&self) -> &str {
        self.authority.pem()
    }

    /// The authority, for certificates of other loopback listeners.
    pub fn certificate_authority(&self) -> &Authority {
        &self.authority
    }

    /// The port of Entra and the vaults, for clients that resolve names themselves.
    pub fn https_port(&self) -> u16 {
        self.cloud.https_port
    }

    /// Client id of the ISV's multitenant application.
    pub fn app_client_id(&self) -> &'static str {
        APP_CLIENT
    }

    /// Client id of the ISV's user-assigned managed identity.
    pub fn identity_client_id(&self) -> &'static str {
        IDENTITY_CLIENT
    }

    /// The id of an Entra tenant (`isv` or `acme`). An id names itself.
    pub fn tenant_id(&self, name: &str) -> String {
        let world = self.cloud.world();
        world.entra().tenant_id(name).unwrap_or(name).to_owned()
    }

    /// An application of the ISV's own tenant that proves itself with a secret, made if there is none of this name yet.
    pub fn application(&self, name: &str) -> Result<IsvApplication, StandinError> {
        Ok(self
            .cloud
            .world()
            .change_entra(|entra| IsvApplication::of(entra, name))?)
    }

    /// A customer, `acme` or `globex`, to act as.
    pub fn customer(&self, name: &str) -> Customer {
        Customer::new(Arc::clone(&self.cloud), name)
    }

    /// A vault, `acme-vault` or `globex-vault`.
    pub fn vault(&self, name: &str) -> Site {
        self.site(Place::Vault(name.to_owned()))
    }

    /// An Entra tenant, by name or id.
    pub fn entra(&self, tenant: &str) -> Site {
        self.site(Place::Entra(self.tenant_id(tenant)))
    }

    /// The identity endpoints.
    pub fn identity(&self) -> Site {
        self.site(Place::Identity)
    }

    /// Whether the machine has the managed identity: without, IMDS answers 400.
    pub fn assign_identity(&self, assigned: bool) -> Result<(), StandinError> {
        Ok(self
            .cloud
            .world()
            .change_entra(|entra| entra.identity.assigned = assigned)?)
    }

    /// Lets the ISV's application trust another subject than its managed identity (a mistake of the ISV, AADSTS700213); `None`
    /// puts the right one back.
    pub fn federate(&self, subject: Option<&str>) -> Result<(), StandinError> {
        let change = |entra: &mut world::Entra| {
            let right = entra.identity.principal_id.clone();
            let mut credentials = entra
                .applications
                .iter_mut()
                .map(|application| &mut application.credential);
            if let Some(Credential::Federated { subject: trusted, .. }) =
                credentials.find(|credential| matches!(credential, Credential::Federated { .. }))
            {
                *trusted = subject.map_or(right, str::to_owned);
            }
        };
        Ok(self.cloud.world().change_entra(change)?)
    }

    /// Makes it another of Microsoft's clouds, with Entra and the vaults under that one's own names: clients must be led to
    /// [`Self::https_port`] for them, by a way on which the certificates of those names are theirs to bring. What the ISV's application
    /// federates with is registered as that cloud wants it.
    pub fn move_to(&self, national: National) -> Result<(), StandinError> {
        self.cloud.set_national(national);
        let change = |entra: &mut world::Entra| {
            let home = national.issuer(&entra.identity.tenant);
            for application in &mut entra.applications {
                if let Credential::Federated { issuer, audience, .. } = &mut application.credential {
                    issuer.clone_from(&home);
                    national.exchange().clone_into(audience);
                }
            }
        };
        Ok(self.cloud.world().change_entra(change)?)
    }

    /// How long new tokens live; `None` for what Azure does: a day from IMDS, 60 to 90 minutes from Entra.
    pub fn set_token_lifetime(&self, lifetime: Option<Duration>) {
        self.cloud.set_token_lifetime(lifetime);
    }

    /// How often everything was asked for since the start.
    pub fn counters(&self) -> Counters {
        self.cloud.book.counters()
    }

    /// What became of the last 10,000 requests.
    pub fn log(&self) -> Vec<Entry> {
        self.cloud.book.log()
    }

    /// Stops serving, and returns when both ports are free.
    pub async fn shutdown(self) {
        self.stop();
        for listener in &self.listeners {
            while !listener.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    fn stop(&self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }

    fn site(&self, place: Place) -> Site {
        Site {
            cloud: Arc::clone(&self.cloud),
            place,
        }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Site {
    /// Adds a fault. Of several that match a request the oldest applies.
    pub fn fault(&self, fault: Fault) {
        self.cloud.book.add(self.place.clone(), fault);
    }

    /// Forgets all faults of this service. Requests already held stay held.
    pub fn clear_faults(&self) {
        self.cloud.book.clear(&self.place);
    }

    /// How often an operation was asked for.
    pub fn count(&self, operation: Operation) -> u64 {
        self.cloud.book.counters().count(&self.place, operation)
    }

    /// How many requests came in all.
    pub fn total(&self) -> u64 {
        self.cloud.book.counters().total(&self.place)
    }

    /// Returns once an operation was asked for this often in all.
    pub async fn seen(&self, operation: Operation, times: u64) {
        self.cloud.book.seen(&self.place, operation, times).await;
    }
}

async fn listen(port: u16) -> Result<TcpListener, StandinError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|source| StandinError::Listen { port, source })
}

fn port(listener: &TcpListener) -> Result<u16, StandinError> {
    let address = listener
        .local_addr()
        .map_err(|source| StandinError::Listen { port: 0, source })?;
    Ok(address.port())
}

fn open(data: &Path) -> Result<(Authority, World, Signer), StandinError> {
    fs::create_dir_all(data).map_err(|source| StandinError::File {
        path: data.to_owned(),
        source,
    })?;
    let authority = Authority::open_or_create(data)?;
    let world = World::open_or_create(data)?;
    let signer = open_signer(&data.join("entra-key.pem"))?;
    Ok((authority, world, signer))
}

/// Tokens outlive a restart, so their key does too.
fn open_signer(path: &Path) -> Result<Signer, StandinError> {
    let key = match path.exists() {
        true => RsaKey::open(path)?,
        false => {
            let key = RsaKey::generate(Bits::Rsa2048)?;
            key.save(path)?;
            key
        }
    };
    Signer::new(&key).ok_or(StandinError::Signer)
}

/// One certificate for every name. Vaults are named one by one: TLS stacks refuse a wildcard right below `localhost`.
fn certificate(authority: &Authority, world: &World) -> Result<rustls::ServerConfig, AuthorityError> {
    let vaults: Vec<String> = world.vault_names().map(hsm::host).collect();
    let fixed = ["localhost", "login.localhost", "*.vault.localhost", "127.0.0.1"];
    let names: Vec<&str> = fixed.into_iter().chain(vaults.iter().map(String::as_str)).collect();
    authority.issue(&names)?.server_config()
}
