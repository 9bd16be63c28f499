//! The gate as it runs, in this process, between a client that signs and a store that lies:
//!
//! ```text
//! client ── gate (the real listener) ── adversary ── the directory store
//!                    └── the stand-in for Entra and Key Vault
//! ```
//!
//! ```no_run
//! let world = World::start().await;
//! world.acme.put("report", b"words").await;
//! world.claim("acme", "report", forged);
//! ```
//!
//! Time is the machine's until a test says [`World::pass`]: then it jumps, and no test waits for a lease to run out.

pub mod adversary;
pub mod audit;
pub mod azure;
pub mod blobs;
pub mod client;
pub mod multipart;
pub mod object;
pub mod theft;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::uri::{Authority, Scheme};
use portcullis::dev::standin::{Operation, Standin, StandinOptions};
use portcullis::dev::store;
use portcullis::gateway::{Connection, Gateway, S3Options};
use portcullis::keys::budget::Budgets;
use portcullis::keys::identity::{Identity, PUBLIC_AUDIENCE};
use portcullis::keys::key_url::{KeyUrl, VaultHosts};
use portcullis::keys::service::Keyring;
use portcullis::keys::transport::{LostNames, Transport, TransportOptions};
use portcullis::keys::vault::Vault;
use portcullis::keys::{Bounds, Keys, TenantKey, Terms};
use portcullis::listener::{Listener, ListenerOptions};
use portcullis::seal::OriginSecrets;
use portcullis::telemetry::clock::{Clock, Skew};
use portcullis::tenant::{Client as Permitted, Container, Pattern, Rule, Tenants};
use portcullis::upstream::sigv4::{Credential, SecretKey};
use portcullis::upstream::{Dialect, Store, StoreKeyring, StoreOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use adversary::{Adversary, Lie};
use audit::Record;
use client::Client;
use object::Object;

/// The customers whom the stand-in knows: one key in the customer's own vault, one in the vault of whoever runs the gate.
pub const CUSTOMERS: [&str; 2] = ["acme", "globex"];
/// A bucket of acme's beside its own.
pub const ARCHIVE: &str = "acme-archive";
/// A bucket of all customers', each below `customers/` and its name.
pub const SHARED: &str = "shared";
pub const SYSTEM_CONTAINER: &str = "system";
const STORE: (&str, &str) = ("AKIDSTORE", "store-secret");
/// How long the gate waits for the vault, Entra or the managed identity.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// The fleet's origin secret. A store does not have it.
pub const ORIGIN: [u8; 32] = [0x0f; 32];

/// Everything, gone when dropped.
pub struct World {
    pub standin: Standin,
    pub adversary: Adversary,
    pub acme: Client,
    pub globex: Client,
    /// May act for both customers; in acme's bucket.
    pub both: Client,
    /// How long a yes of the vault counts.
    pub bounds: Bounds,
    /// What the gate takes its store to be.
    pub dialect: Dialect,
    pub clock: Clock,
    /// The names that this world's gates look up in vain.
    pub names: LostNames,
    skew: Arc<Skew>,
    gate: CancellationToken,
    store: store::Server,
    number: u32,
    data: PathBuf,
}

impl World {
    /// A gate whose leases outlast every test, so that each call to a vault has a cause in the test.
    pub async fn start() -> Self {
        let hour = Duration::from_secs(3600);
        Self::bounded(Bounds::new(hour, hour)).await
    }

    /// A gate with these bounds.
    pub async fn bounded(bounds: Bounds) -> Self {
        Self::set_up(bounds, Dialect::default()).await
    }

    /// A gate that takes its store to be so.
    pub async fn before(dialect: Dialect) -> Self {
        let hour = Duration::from_secs(3600);
        Self::set_up(Bounds::new(hour, hour), dialect).await
    }

    async fn set_up(bounds: Bounds, dialect: Dialect) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        audit::capture();
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("world-{}-{number}", std::process::id()));
        let (clock, skew) = clock();
        let standin = Standin::start(StandinOptions {
            data: data.join("vault"),
            https_port: 0,
            imds_port: 0,
        });
        let standin = standin.await.unwrap();

        let opened = store::Store::open(data.join("store")).unwrap();
        let credentials = vec![(STORE.0.to_owned(), STORE.1.to_owned())];
        let store = store::serve(opened, any_port().await, credentials).unwrap();
        let adversary = Adversary::start(any_port().await, store.address());

        let (listener, address) = listen();
        let client = |customer: &str, access_key: &str, secret: &str| {
            let credential = Credential::new(access_key, SecretKey::new(secret)).unwrap();
            Client::new(address, credential, clock.clone(), &bucket(customer))
        };
        let world = Self {
            acme: client("acme", "AKIDACME", "acme-secret"),
            globex: client("globex", "AKIDGLOBEX", "globex-secret"),
            both: client("acme", "AKIDBOTH", "both-secret"),
            standin,
            adversary,
            bounds,
            dialect,
            clock,
            names: LostNames::default(),
            skew,
            gate: CancellationToken::new(),
            store,
            number,
            data,
        };
        for container in CUSTOMERS
            .map(bucket)
            .iter()
            .map(String::as_str)
            .chain([ARCHIVE, SHARED, SYSTEM_CONTAINER])
        {
            world.store_client(container).make_bucket().await;
        }
        world.serve(listener);
        world
    }

    /// A replica of the gate, with keys of its own, before the same store; a customer's client of it.
    pub fn replica(&self, customer: &str) -> Client {
        let (listener, address) = listen();
        self.serve(listener);
        let credential = match customer {
            "acme" => Credential::new("AKIDACME", SecretKey::new("acme-secret")),
            _ => Credential::new("AKIDGLOBEX", SecretKey::new("globex-secret")),
        };
        Client::new(address, credential.unwrap(), self.clock.clone(), &bucket(customer))
    }

    fn serve(&self, listener: Listener) {
        let gateway = Arc::new(self.gateway());
        let answer = move |request, connection: Connection| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.answer(request, &connection).await }
        };
        tokio::spawn(listener.run(answer, self.gate.clone()));
    }

    /// A customer's client of the gate.
    pub fn client(&self, customer: &str) -> &Client {
        match customer {
            "acme" => &self.acme,
            _ => &self.globex,
        }
    }

    /// A client of the store itself, past gate and adversary: whoever runs the store.
    pub fn store_client(&self, bucket: &str) -> Client {
        let credential = Credential::new(STORE.0, SecretKey::new(STORE.1)).unwrap();
        Client::new(self.store.address(), credential, self.clock.clone(), bucket)
    }

    /// What lies in the store under this key.
    pub async fn stored(&self, customer: &str, key: &str) -> Object {
        let answer = self.store_client(&bucket(customer)).get(key).await;
        assert_eq!(answer.status(), 200, "{key} is not stored");
        Object::of(&answer)
    }

    /// From now on the store answers for this key as if this lay there.
    pub fn claim(&self, customer: &str, key: &str, object: Object) {
        self.lie(customer, key, Lie::instead(move |asked| object.answer(asked)));
    }

    /// From now on the store lies so about this key (empty: about the bucket).
    pub fn lie(&self, customer: &str, key: &str, lie: Lie) {
        self.adversary.lie(&bucket(customer), key, lie);
    }

    /// Time passes at once, on all clocks of the gate.
    pub fn pass(&self, span: Duration) {
        self.skew.suspend(span);
    }

    /// The name that a customer has in this world's gate. No other world's has it, so the audit tells them apart.
    pub fn tenant(&self, customer: &str) -> String {
        format!("{customer}-{}", self.number)
    }

    /// What the audit has of a customer in this world, oldest first.
    pub fn audit(&self, customer: &str, event: &str) -> Vec<Record> {
        audit::records(&self.tenant(customer), event)
    }

    /// How often a customer's vault was asked to unwrap.
    pub fn unwraps(&self, customer: &str) -> u64 {
        self.standin.vault(&vault(customer)).count(Operation::UnwrapKey)
    }

    /// How often a customer's vault was asked anything.
    pub fn vault_calls(&self, customer: &str) -> u64 {
        self.standin.vault(&vault(customer)).total()
    }

    /// The vault of a customer as the gate sees it, with the gate's own identity.
    pub fn vault(&self, customer: &str) -> Vault {
        let hosts = VaultHosts::none().with_localhost("https://vault.azure.net/.default");
        let key = KeyUrl::parse(&self.standin.key_url(customer), &hosts).unwrap();
        let managed_identity = self.standin.identity_client_id().parse().unwrap();
        let identity = match customer {
            "acme" => Identity::Federated {
                managed_identity,
                audience: PUBLIC_AUDIENCE.to_owned(),
                app: self.standin.app_client_id().parse().unwrap(),
                tenant: self.standin.tenant_id("acme").parse().unwrap(),
                authority: self.standin.authority().parse().unwrap(),
            },
            _ => Identity::Managed {
                managed_identity: Some(managed_identity),
            },
        };
        let transport = Transport::new(TransportOptions {
            ca_pem: Some(self.standin.ca_pem().into()),
            imds_endpoint: Some(self.standin.imds_endpoint().parse().unwrap()),
            deadline: DEADLINE,
            lost_names: self.names.clone(),
            ..TransportOptions::default()
        });
        Vault::new(key, identity, transport.unwrap())
    }

    /// The gate's own keyring, where it lies.
    pub fn keyring(&self) -> StoreKeyring {
        StoreKeyring::new(self.upstream())
    }

    /// Wired as `portcullis serve` wires it.
    fn gateway(&self) -> Gateway {
        let store = self.upstream();
        let containers = CUSTOMERS.map(|customer| self.container(customer, &store));
        let clients = CUSTOMERS.map(|customer| Permitted {
            credential: self.client(customer).credential(),
            tenants: vec![self.tenant(customer).into()],
            upstream: HashMap::new(),
        });
        let (mut clients, mut containers) = (Vec::from(clients), Vec::from(containers));
        clients.push(Permitted {
            credential: self.both.credential(),
            tenants: CUSTOMERS.map(|customer| self.tenant(customer).into()).into(),
            upstream: HashMap::new(),
        });
        containers.push(Container {
            name: ARCHIVE.to_owned(),
            sealed_as: ARCHIVE.to_owned(),
            ..self.container("acme", &store)
        });
        let shared = Rule {
            name: Pattern::parse(SHARED).unwrap(),
            tenant: None,
            prefix: Some(Pattern::parse("customers/{tenant}/").unwrap()),
            store: Arc::clone(&store),
            sealed_as: None,
            anonymous: false,
        };
        let key_urls = CUSTOMERS.map(|customer| (self.tenant(customer).into(), self.standin.key_url(customer)));
        let tenants = Tenants::new(clients, containers).with_rules(vec![shared], key_urls.into());
        let keys = Arc::new(self.keys(&store));
        Gateway::new(Arc::new(tenants), keys, S3Options::default(), self.clock.clone())
    }

    /// A customer's bucket in this store.
    pub fn container(&self, customer: &str, store: &Arc<Store>) -> Container {
        Container {
            name: bucket(customer),
            tenant: self.tenant(customer).into(),
            key_url: self.standin.key_url(customer),
            sealed_as: bucket(customer),
            store: Arc::clone(store),
            anonymous: false,
            shared: false,
        }
    }

    /// Keys of their own, as a gate has them.
    pub fn keys(&self, store: &Arc<Store>) -> Keys {
        self.keys_of(StoreKeyring::new(Arc::clone(store)))
    }

    /// The same, with another keyring.
    fn keys_of(&self, keyring: StoreKeyring) -> Keys {
        let keyring: Arc<dyn Keyring> = Arc::new(keyring);
        let keys = CUSTOMERS.map(|customer| {
            let vault = self.vault(customer);
            TenantKey {
                tenant: self.tenant(customer).into(),
                cmk: vault.key().cmk(),
                vault: Box::new(vault),
                terms: Terms::default(),
            }
        });
        let origin = Arc::new(OriginSecrets::new([ORIGIN]).unwrap());
        let budgets = Budgets::default();
        Keys::new(keys.into(), &origin, &keyring, &self.clock, self.bounds, budgets)
    }

    /// The store as the gate reaches it: through the adversary.
    pub fn upstream(&self) -> Arc<Store> {
        let credential = Credential::new(STORE.0, SecretKey::new(STORE.1)).unwrap();
        let options = StoreOptions {
            name: "main".to_owned(),
            scheme: Scheme::HTTP,
            authority: Authority::try_from(self.adversary.address().to_string()).unwrap(),
            region: client::REGION.to_owned(),
            credential: Arc::new(credential),
            roots: None,
            system_container: SYSTEM_CONTAINER.to_owned(),
            dialect: self.dialect,
        };
        Arc::new(Store::new(options, self.clock.clone()).unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gate.cancel();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// A customer's bucket, also the name it is sealed as.
pub fn bucket(customer: &str) -> String {
    format!("{customer}-files")
}

/// A customer's vault in the stand-in.
pub fn vault(customer: &str) -> String {
    format!("{customer}-vault")
}

/// The machine's time, as tokens and signatures have it, but movable.
fn clock() -> (Clock, Arc<Skew>) {
    let (clock, skew) = Clock::virtual_time(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ahead = i64::try_from(now.as_millis()).unwrap() - i64::try_from(clock.now().wall.as_millis()).unwrap();
    skew.set_wall(ahead);
    (clock, skew)
}

async fn any_port() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

/// Little of an answer fits between the gate and a client that does not read; but more than one segment of the loopback's, or each
/// would wait 40 ms for the client's delayed acknowledgement.
fn listen() -> (Listener, std::net::SocketAddr) {
    let listener = Listener::bind(ListenerOptions {
        address: ([127, 0, 0, 1], 0).into(),
        tls: None,
        max_connections: 256,
        send_buffer: 128 * 1024,
        drain: Duration::ZERO,
    });
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
