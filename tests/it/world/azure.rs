//! The Azure side of a world: a gate for Azure Blob, an account a customer, before a real Azurite.
//!
//! ```text
//! client ── gate (the real listener) ── adversary ── Azurite
//!                    └── the world's stand-in for Entra and Key Vault
//! ```
//!
//! It has keys of its own, so that nothing is renewed or refused but by what is asked at this door. `PORTCULLIS_AZURITE` names an
//! installed `azurite-blob`; `./test` sets it where npm is there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use portcullis::azure::account::{Account, Accounts, Anonymous, Rule};
use portcullis::dev::azurite::Azurite;
use portcullis::gateway::Connection;
use portcullis::gateway::azure::AzureGateway;
use portcullis::keys::Bounds;
use portcullis::keys::transport::{Transport, TransportOptions};
use portcullis::listener::Listener;
use portcullis::seal::OriginSecrets;
use portcullis::telemetry::clock::Clock;
use portcullis::tenant::Pattern;
use portcullis::upstream::shared_key::{AccountKey, Order, Plus, Scheme as Signed, Signable};
use portcullis::upstream::{AzureCredential, AzureOptions, AzureStore, StoreKeyring, http_date};
use tokio::io::AsyncWriteExt;

use crate::world::adversary::Adversary;
use crate::world::client::{Answer, Stalled, send_head};
use crate::world::{CUSTOMERS, ORIGIN, SYSTEM_CONTAINER, World, any_port, listen};

/// The container of every account.
pub const FILES: &str = "files";
/// The account in Azurite that is the gate's own.
const GATE: &str = "gate";
/// The key of every account in Azurite, and of every account of the gate.
const KEYS: (&str, &str) = ("c3RvcmUtc3RvcmUtc3RvcmU=", "Y2xpZW50LWNsaWVudC1jbGllbnQ=");
/// What SDKs of 2024 speak.
const VERSION: &str = "2023-11-03";

/// Everything, gone when dropped.
pub struct Azure {
    pub world: World,
    /// Between the gate and Azurite. Its buckets are accounts, its keys begin with the container.
    pub adversary: Adversary,
    acme: BlobClient,
    globex: BlobClient,
    azurite: SocketAddr,
    _running: Azurite,
}

/// A client of one account, with its key.
pub struct BlobClient {
    http: Http<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    account: String,
    key: AccountKey,
    clock: Clock,
}

impl Azure {
    /// A gate with these bounds; `None`, and that is said, where there is no Azurite.
    pub async fn bounded(bounds: Bounds) -> Option<Self> {
        let Some(program) = std::env::var_os("PORTCULLIS_AZURITE").map(PathBuf::from) else {
            println!("PORTCULLIS_AZURITE is not set: the Azure side was not tested");
            return None;
        };
        let world = World::bounded(bounds).await;
        let running = started(&world, program).await;
        let adversary = Adversary::start(any_port().await, running.address());
        let (listener, address) = listen();
        let client = |account: &str| BlobClient::new(address, account, KEYS.1, &world.clock);
        let azure = Self {
            acme: client("acme"),
            globex: client("globex"),
            azurite: running.address(),
            adversary,
            _running: running,
            world,
        };
        azure.serve(listener);
        Some(azure)
    }

    /// A customer's client of the gate.
    pub fn client(&self, customer: &str) -> &BlobClient {
        match customer {
            "acme" => &self.acme,
            _ => &self.globex,
        }
    }

    /// A client of Azurite itself, past gate and adversary: whoever runs the store.
    pub fn store_client(&self, account: &str) -> BlobClient {
        BlobClient::new(self.azurite, account, KEYS.0, &self.world.clock)
    }

    /// Wired as `portcullis serve` wires it.
    fn serve(&self, listener: Listener) {
        let world = &self.world;
        let key_urls = CUSTOMERS.map(|customer| (world.tenant(customer).into(), world.standin.key_url(customer)));
        let key_urls = Arc::new(key_urls.into());
        let accounts = CUSTOMERS.map(|customer| Account {
            name: customer.to_owned(),
            keys: vec![AccountKey::parse(KEYS.1).unwrap()],
            store: self.upstream(customer, None),
            rules: vec![Rule {
                name: Pattern::parse("*").unwrap(),
                tenant: Some(world.tenant(customer).into()),
                prefix: None,
                sealed_as: customer.to_owned(),
                anonymous: Anonymous::Nothing,
            }],
            domains: Vec::new(),
            key_urls: Arc::clone(&key_urls),
            directory: None,
            fleet: Arc::new(OriginSecrets::new([ORIGIN]).unwrap()),
        });
        let keyring = StoreKeyring::azure(self.upstream(GATE, Some(SYSTEM_CONTAINER.to_owned())));
        let keys = Arc::new(world.keys_of(keyring.unwrap()));
        let gateway = AzureGateway::new(Accounts::new(accounts.into()), keys, world.clock.clone(), false);
        let gateway = Arc::new(gateway);
        let answer = move |request, connection: Connection| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.answer(request, &connection).await }
        };
        tokio::spawn(listener.run(answer, world.gate.clone()));
    }

    fn upstream(&self, account: &str, system_container: Option<String>) -> Arc<AzureStore> {
        let options = AzureOptions {
            scheme: Scheme::HTTP,
            authority: Authority::try_from(self.adversary.address().to_string()).unwrap(),
            path_style: true,
            account: account.to_owned(),
            credential: AzureCredential::Key(Box::new(AccountKey::parse(KEYS.0).unwrap())),
            system_container,
            roots: None,
        };
        let transport = Transport::new(TransportOptions::default()).unwrap();
        Arc::new(AzureStore::new(options, &transport, self.world.clock.clone()).unwrap())
    }
}

/// A running Azurite, with the containers that there must be.
async fn started(world: &World, program: PathBuf) -> Azurite {
    let containers = [("acme", FILES), ("globex", FILES), (GATE, SYSTEM_CONTAINER)];
    for attempt in 0..5 {
        let (program, data) = (program.clone(), world.data.join(format!("azurite-{attempt}")));
        let start = move || Azurite::start(&data, Some(&program), &containers.map(|(account, _)| (account, KEYS.0)));
        // It may end at once, or another may answer: somebody took its port between its being chosen and its use.
        let Ok(azurite) = tokio::task::spawn_blocking(start).await.unwrap() else {
            continue;
        };
        let mut made = true;
        for (account, container) in containers {
            let client = BlobClient::new(azurite.address(), account, KEYS.0, &world.clock);
            let target = format!("/{container}?restype=container");
            made &= client.send(Method::PUT, &target, &[], b"").await.status() == 201;
        }
        if made {
            return azurite;
        }
    }
    panic!("no port stays free");
}

impl BlobClient {
    fn new(address: SocketAddr, account: &str, key: &str, clock: &Clock) -> Self {
        Self {
            http: Http::builder(TokioExecutor::new()).build_http(),
            address,
            account: account.to_owned(),
            key: AccountKey::parse(key).unwrap(),
            clock: clock.clone(),
        }
    }

    /// The URL of a blob, as a copy names its source.
    pub fn url(&self, blob: &str) -> String {
        format!("http://{}/{}/{FILES}/{blob}", self.address, self.account)
    }

    /// One request about a target of the account, as `/files/report?comp=metadata`.
    pub async fn send(&self, method: Method, target: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
        let len = (!body.is_empty() || method == Method::PUT).then_some(body.len());
        let parts = self.signed(method, target, headers, len);
        let body = Full::new(Bytes::copy_from_slice(body));
        match self.http.request(Request::from_parts(parts, body)).await {
            Ok(answer) => Answer::collect(answer).await,
            Err(error) => {
                println!("no answer to {target}: {error:?}");
                Answer::default()
            }
        }
    }

    /// Begins a request on a connection of its own with a small window, whose body is to be `len` bytes, sends these, and no more.
    pub async fn begin(
        &self,
        method: Method,
        target: &str,
        headers: &[(&'static str, &str)],
        len: Option<usize>,
        first: &[u8],
    ) -> Stalled {
        let mut stream = send_head(self.address, &self.signed(method, target, headers, len)).await;
        stream.write_all(first).await.unwrap();
        Stalled::unread(stream)
    }

    fn signed(&self, method: Method, target: &str, headers: &[(&'static str, &str)], len: Option<usize>) -> Parts {
        let target = format!("http://{}/{}{target}", self.address, self.account);
        let (mut parts, ()) = Request::builder()
            .method(method)
            .uri(target)
            .body(())
            .unwrap()
            .into_parts();
        let date = http_date(self.clock.now().system_time().into()).unwrap();
        let own = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        parts.headers = HeaderMap::from_iter(own);
        parts
            .headers
            .insert(HOST, HeaderValue::try_from(self.address.to_string()).unwrap());
        parts.headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        parts.headers.insert("x-ms-date", date);
        if let Some(len) = len {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        let signable = Signable {
            method: &parts.method,
            headers: &parts.headers,
            account: &self.account,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
        };
        let text = signable.text(Signed::SharedKey, Order::Collation, Plus::Space);
        let authorization = format!("SharedKey {}:{}", self.account, self.key.sign(&text));
        parts
            .headers
            .insert(AUTHORIZATION, HeaderValue::try_from(authorization).unwrap());
        parts
    }
}
