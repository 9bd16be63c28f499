//! `portcullis serve`: a configuration becomes a running gate.
#![allow(clippy::print_stderr)] // a command's complaint

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, Readiness, Rechecks};
use crate::azure::account::{self as azure, Accounts};
use crate::azure::auth::{Directory, Signers};
use crate::cckm::CckmError;
use crate::commands::fips::{Module, NotFips};
use crate::commands::hardening::{Hardened, harden};
use crate::commands::watching::{self, Watching};
use crate::commands::{Outcome, sweeping};
use crate::config::{AzureAccount, AzureDirectory, Config, Mistakes, Tenant};
use crate::gateway::azure::AzureGateway;
use crate::gateway::{Connection, Gateway};
use crate::keys::identity::EntraId;
use crate::keys::service::Keyring;
use crate::keys::transport::{Transport, TransportError};
use crate::keys::vault::Vault;
use crate::keys::{Keys, TenantKey};
use crate::listener::{Listener, ListenerOptions};
use crate::seal::OriginSecrets;
use crate::telemetry::clock::Clock;
use crate::telemetry::logs;
use crate::telemetry::trail::{self, Trail};
use crate::tenant::{Client, Container, Rule, Tenants};
use crate::upstream::{AzureOptions, AzureStore, Store, StoreKeyring};

/// Why a gate could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong: all of it that is wrong.
    #[error("{0}")]
    Config(Mistakes),
    /// The vault client could not be made.
    #[error("the connection to the vaults: {0}")]
    Transport(#[from] TransportError),
    /// The client of a CipherTrust Manager could not be made.
    #[error("cckm: {0}")]
    Cckm(#[from] CckmError),
    /// What was built for FIPS does not hold it.
    #[error(transparent)]
    Fips(#[from] NotFips),
    /// A socket, or the certificates of a store.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Runs the gate until SIGINT or SIGTERM.
pub fn serve(file: &Path) -> Outcome {
    let hardened = harden();
    let ran = runtime().and_then(|runtime| {
        runtime
            .block_on(run(file, &hardened))
            .map_err(|error| error.to_string())
    });
    match ran {
        Ok(()) => Outcome::Done,
        Err(error) => {
            eprintln!("portcullis serve: {error}");
            Outcome::CannotRun
        }
    }
}

async fn run(file: &Path, hardened: &Hardened) -> Result<(), ServeError> {
    let config = Config::load(file).map_err(ServeError::Config)?;
    let gate = Gate::start(config, Clock::system()).await?;
    hardened.log();
    until_told(&CancellationToken::new()).await;
    gate.stop().await;
    Ok(())
}

/// The runtime of a command that serves.
pub(super) fn runtime() -> Result<Runtime, String> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))
}

/// Waits for SIGINT, SIGTERM, or `shutdown`.
pub(super) async fn until_told(shutdown: &CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return shutdown.cancelled().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = shutdown.cancelled() => {}
    }
}

/// A running gate.
pub(super) struct Gate {
    shutdown: CancellationToken,
    admin_stop: CancellationToken,
    readiness: watch::Sender<Readiness>,
    listeners: JoinSet<()>,
    admin: JoinSet<()>,
    trail: Option<Trail>,
    _watching: Watching,
}

impl Gate {
    /// Binds every socket, then answers. No call to a vault is made before the first request.
    pub(super) async fn start(mut config: Config, clock: Clock) -> Result<Self, ServeError> {
        let trail = config.trail.as_ref().map(|options| {
            trail::open(options, trail::Writer::Gate).map_err(|source| ServeError::Io {
                what: format!("audit {}", options.directory.display()),
                source,
            })
        });
        let trail = trail.transpose()?;
        logs::start(config.log.format, &config.log.filter, trail.clone());
        let module = Module::running()?;
        tracing::info!(cryptography = %module, "starting");
        let (readiness, seen) = watch::channel(Readiness::Starting);
        let (shutdown, admin_stop) = (CancellationToken::new(), CancellationToken::new());
        let bound = Admin::bind(config.admin)
            .await
            .map_err(|source| cannot("admin", config.admin, source))?;
        let (managers, mut watching) = (std::mem::take(&mut config.cckm), Watching::default());
        let rechecks = config.recheck_token.take().map(|token| Arc::new(Rechecks::new(token)));
        let bound = bound
            .with_page(watching::PATH, watching.page())
            .with_rechecks(rechecks.clone());
        let mut admin = JoinSet::new();
        admin.spawn(bound.run(seen, admin_stop.clone()));

        let Assembled {
            listeners: options,
            gateway,
            azure_listeners,
            azure,
            keys,
        } = assemble(config, clock.clone(), &shutdown)?;
        watching.start(managers, &keys, &clock)?;
        if let Some(rechecks) = rechecks {
            rechecks.serve(keys);
        }
        let (gateway, azure) = (Arc::new(gateway), Arc::new(azure));
        let (bound, azure_bound) = (bind(options)?, bind(azure_listeners)?);
        let mut listeners = JoinSet::new();
        for listener in bound {
            let gateway = Arc::clone(&gateway);
            let answer = move |request, connection: Connection| {
                let gateway = Arc::clone(&gateway);
                async move { gateway.answer(request, &connection).await }
            };
            listeners.spawn(listener.run(answer, shutdown.clone()));
        }
        for listener in azure_bound {
            let gateway = Arc::clone(&azure);
            let answer = move |request, connection: Connection| {
                let gateway = Arc::clone(&gateway);
                async move { gateway.answer(request, &connection).await }
            };
            listeners.spawn(listener.run(answer, shutdown.clone()));
        }
        readiness.send_replace(Readiness::Ready);
        Ok(Self {
            shutdown,
            admin_stop,
            readiness,
            listeners,
            admin,
            trail,
            _watching: watching,
        })
    }

    /// Accepts nothing more, lets running requests end within the configured time, and returns when all is closed. The
    /// admin listener says that the gate is not ready meanwhile, and goes last.
    pub(super) async fn stop(mut self) {
        self.readiness.send_replace(Readiness::Draining);
        self.shutdown.cancel();
        while self.listeners.join_next().await.is_some() {}
        self.admin_stop.cancel();
        while self.admin.join_next().await.is_some() {}
        if let Some(trail) = self.trail {
            trail.flush();
        }
    }
}

fn cannot(what: &str, address: SocketAddr, source: io::Error) -> ServeError {
    ServeError::Io {
        what: format!("{what} {address}"),
        source,
    }
}

fn bind(options: Vec<ListenerOptions>) -> Result<Vec<Listener>, ServeError> {
    let bind = |options: ListenerOptions| {
        let address = options.address;
        Listener::bind(options).map_err(|source| cannot("listener", address, source))
    };
    options.into_iter().map(bind).collect()
}

/// The modules, wired together.
struct Assembled {
    listeners: Vec<ListenerOptions>,
    gateway: Gateway,
    azure_listeners: Vec<ListenerOptions>,
    azure: AzureGateway,
    keys: Arc<Keys>,
}

/// The Azure stores, by name.
pub(super) fn azure_stores(
    stores: BTreeMap<String, AzureOptions>,
    transport: &Transport,
    clock: &Clock,
) -> Result<HashMap<String, Arc<AzureStore>>, ServeError> {
    let made = stores.into_iter().map(|(name, options)| {
        let store = AzureStore::new(options, transport, clock.clone());
        let store = store.map_err(|source| ServeError::Io {
            what: format!("store {name}"),
            source,
        })?;
        Ok((name, Arc::new(store)))
    });
    made.collect()
}

/// The keyring, in whichever kind of store it lies.
pub(super) fn keyring(
    name: &str,
    stores: &HashMap<String, Arc<Store>>,
    azure_stores: &HashMap<String, Arc<AzureStore>>,
) -> Result<Arc<dyn Keyring>, ServeError> {
    let s3 = stores.get(name).map(|store| StoreKeyring::new(Arc::clone(store)));
    let azure = || StoreKeyring::azure(Arc::clone(azure_stores.get(name)?));
    let ring = s3.or_else(azure).ok_or_else(|| unknown(name))?;
    Ok(Arc::new(ring))
}

fn unknown(store: &str) -> ServeError {
    ServeError::Io {
        what: format!("store {store}"),
        source: io::ErrorKind::NotFound.into(),
    }
}

/// The accounts that clients of Azure's dialect address.
fn accounts(
    stores: &HashMap<String, Arc<AzureStore>>,
    accounts: Vec<AzureAccount>,
    key_urls: &HashMap<Arc<str>, String>,
    fleet: &Arc<OriginSecrets>,
    directories: &mut Directories,
) -> Accounts {
    let key_urls = Arc::new(key_urls.clone());
    let accounts = accounts.into_iter().filter_map(|account| {
        let rules = account.rules.into_iter().map(|rule| azure::Rule {
            name: rule.name,
            tenant: rule.tenant,
            prefix: rule.prefix,
            sealed_as: rule.sealed_as,
            anonymous: rule.anonymous,
        });
        Some(azure::Account {
            rules: rules.collect(),
            store: Arc::clone(stores.get(&account.store)?),
            name: account.name,
            keys: account.keys,
            domains: account.domains,
            key_urls: Arc::clone(&key_urls),
            directory: account.entra.map(|entra| directories.directory(entra)),
            fleet: Arc::clone(fleet),
        })
    });
    Accounts::new(accounts.collect())
}

/// The signers of each Entra tenant, once for all accounts that take its tokens.
struct Directories {
    transport: Transport,
    clock: Clock,
    signers: HashMap<(String, EntraId), Arc<Signers>>,
}

impl Directories {
    fn directory(&mut self, entra: AzureDirectory) -> Directory {
        let place = (entra.authority.as_str().to_owned(), entra.tenant.clone());
        let signers = self.signers.entry(place).or_insert_with(|| {
            let published = Box::new(self.transport.clone());
            let clock = self.clock.clone();
            Arc::new(Signers::new(published, entra.authority, entra.tenant.clone(), clock))
        });
        Directory {
            signers: Arc::clone(signers),
            tenant: entra.tenant,
            audiences: entra.audiences,
            roles: entra.roles,
        }
    }
}

/// Wires the modules together.
fn assemble(config: Config, clock: Clock, shutdown: &CancellationToken) -> Result<Assembled, ServeError> {
    let mut stores: HashMap<String, Arc<Store>> = HashMap::new();
    for (name, options) in config.stores {
        let store = Store::new(options, clock.clone());
        let store = store.map_err(|source| ServeError::Io {
            what: format!("store {name}"),
            source,
        })?;
        let store = Arc::new(store);
        // Told to the log early; a store that is down now is asked again when it matters.
        let probed = Arc::clone(&store);
        tokio::spawn(async move { probed.heeded().await });
        tokio::spawn(sweeping::run(Arc::clone(&store), clock.clone(), shutdown.clone()));
        stores.insert(name, store);
    }
    let transport = Transport::new(config.keys.transport)?;
    let azure_stores = azure_stores(config.azure_stores, &transport, &clock)?;
    let keyring = keyring(&config.keys.keyring, &stores, &azure_stores)?;

    let key_url = |(name, tenant): (&Arc<str>, &Tenant)| (Arc::clone(name), tenant.key.versionless().to_owned());
    let key_urls: HashMap<_, _> = config.tenants.iter().map(key_url).collect();
    let (mut containers, mut rules) = (Vec::new(), Vec::new());
    for bucket in config.buckets {
        let store = Arc::clone(stores.get(&bucket.store).ok_or_else(|| unknown(&bucket.store))?);
        match (bucket.tenant, bucket.prefix) {
            (Some(tenant), None) if bucket.name.is_literal() => containers.push(Container {
                key_url: key_urls.get(&tenant).cloned().unwrap_or_default(),
                name: bucket.name.as_str().to_owned(),
                tenant,
                sealed_as: bucket.sealed_as.unwrap_or_else(|| bucket.name.as_str().to_owned()),
                store,
                anonymous: bucket.anonymous,
                shared: false,
            }),
            (tenant, prefix) => rules.push(Rule {
                name: bucket.name,
                tenant,
                prefix,
                store,
                sealed_as: bucket.sealed_as,
                anonymous: bucket.anonymous,
            }),
        }
    }
    let clients = config.clients.into_iter().map(|client| {
        let own = client.upstream.into_iter();
        let own = own.filter_map(|(name, credential)| Some((stores.get(&name)?.caller(credential), name)));
        Client {
            credential: client.credential,
            tenants: client.tenants,
            upstream: own.map(|(caller, name)| (name, caller)).collect(),
        }
    });
    let mut directories = Directories {
        transport: transport.clone(),
        clock: clock.clone(),
        signers: HashMap::new(),
    };
    let fleet = &config.keys.origin;
    let accounts = accounts(&azure_stores, config.accounts, &key_urls, fleet, &mut directories);
    let tenants = Tenants::new(clients.collect(), containers).with_rules(rules, key_urls);

    let keys = config.tenants.into_iter().map(|(name, tenant)| TenantKey {
        tenant: name,
        cmk: tenant.key.cmk(),
        terms: tenant.terms,
        vault: Box::new(Vault::new(tenant.key, tenant.identity, transport.clone())),
    });
    let keys = Keys::new(
        keys.collect(),
        &config.keys.origin,
        &keyring,
        &clock,
        config.keys.bounds,
        config.keys.budgets,
    );
    let keys = Arc::new(keys);
    Ok(Assembled {
        listeners: config.listeners,
        azure_listeners: config.azure_listeners,
        azure: AzureGateway::new(accounts, Arc::clone(&keys), clock.clone(), config.dev),
        gateway: Gateway::new(Arc::new(tenants), Arc::clone(&keys), config.s3, clock),
        keys,
    })
}
