//! Another gate with the keys of a [`World`], before a store of its own that knows more than one user, and an adversary between them that
//! writes down who asks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use portcullis::dev::store;
use portcullis::gateway::{Connection, Gateway, S3Options};
use portcullis::listener::{Listener, ListenerOptions};
use portcullis::s3::host::Domains;
use portcullis::telemetry::clock::Clock;
use portcullis::tenant::{Client as Permitted, Container, Pattern, Rule, Tenants};
use portcullis::upstream::sigv4::{Credential, PayloadHash, SecretKey, Signer};
use portcullis::upstream::{Dialect, Store, StoreOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::world::adversary::{Adversary, Lie, Reply};
use crate::world::client::{Client, REGION};
use crate::world::{CUSTOMERS, SYSTEM_CONTAINER, World, bucket};

/// The users of the store: the gate, and two of the gate's clients.
pub const GATE: &str = "AKIDGATE";
pub const OWN: &str = "AKIDOWN";
/// The tokens of acme's temporary credentials: before the gate, and at the store.
pub const TOKEN: &str = "the/clients+token==";
pub const OWN_TOKEN: &str = "the/stores+token==";
/// The domain below which hosts name buckets.
pub const DOMAIN: &str = "s3.example.test";

/// What the gate is configured with.
#[derive(Default)]
pub struct Setting {
    /// Buckets for patterns.
    pub rules: Vec<(String, Option<&'static str>)>,
    /// Buckets of acme's that are open to the world.
    pub open: Vec<&'static str>,
    /// As whom acme asks the store, by access key.
    pub own: Option<&'static str>,
    /// Whether that, and acme's credential, are temporary: with [`OWN_TOKEN`] and [`TOKEN`].
    pub temporary: bool,
}

/// Everything, gone when dropped.
pub struct Door {
    pub world: World,
    pub adversary: Adversary,
    pub acme: Client,
    pub globex: Client,
    pub both: Client,
    address: SocketAddr,
    store: store::Server,
    gate: CancellationToken,
    data: PathBuf,
}

impl Door {
    /// A gate with this configuration, before a store with these buckets beside each customer's own.
    pub async fn open(setting: Setting, buckets: &[String]) -> Self {
        let world = World::start().await;
        Self::of(world, setting, buckets).await
    }

    pub async fn of(world: World, setting: Setting, buckets: &[String]) -> Self {
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("door-{}", world.tenant("acme")));
        let data = data.with_extension(std::process::id().to_string());
        let opened = store::Store::open(&data).unwrap();
        let users = vec![(GATE.to_owned(), secret(GATE)), (OWN.to_owned(), secret(OWN))];
        let store = store::serve(opened, any_port().await, users).unwrap();
        let adversary = Adversary::start(any_port().await, store.address());
        let upstream = upstream(&adversary, world.clock.clone());

        let listener = Listener::bind(ListenerOptions {
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            max_connections: 64,
            send_buffer: ListenerOptions::SEND_BUFFER,
            drain: Duration::ZERO,
        });
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let client = |credential| Client::new(address, credential, world.clock.clone(), "acme-files");
        let door = Self {
            acme: client(temporary("AKIDACME", setting.temporary.then_some(TOKEN))),
            globex: client(credential("AKIDGLOBEX")).at("globex-files"),
            both: client(credential("AKIDBOTH")),
            adversary,
            address,
            store,
            gate: CancellationToken::new(),
            data,
            world,
        };
        let own = CUSTOMERS.map(bucket);
        let made = own.iter().map(String::as_str).chain(buckets.iter().map(String::as_str));
        for bucket in made.chain(setting.open.iter().copied()).chain([SYSTEM_CONTAINER]) {
            door.at_store(bucket).make_bucket().await;
        }
        let gateway = Arc::new(door.gateway(setting, &upstream));
        let answer = move |request, connection: Connection| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.answer(request, &connection).await }
        };
        tokio::spawn(listener.run(answer, door.gate.clone()));
        door
    }

    fn gateway(&self, setting: Setting, store: &Arc<Store>) -> Gateway {
        let world = &self.world;
        let tenant = |customer: &str| -> Arc<str> { world.tenant(customer).into() };
        let permitted = |client: &Client, customers: &[&str]| Permitted {
            credential: client.credential(),
            tenants: customers.iter().map(|customer| tenant(customer)).collect(),
            upstream: HashMap::new(),
        };
        let own_token = setting.temporary.then_some(OWN_TOKEN);
        let own = setting
            .own
            .map(|access_key| store.caller(Arc::new(temporary(access_key, own_token))));
        let clients = vec![
            Permitted {
                upstream: own.map(|own| ("main".to_owned(), own)).into_iter().collect(),
                ..permitted(&self.acme, &["acme"])
            },
            permitted(&self.globex, &["globex"]),
            permitted(&self.both, &CUSTOMERS),
        ];
        let open = setting.open.iter().map(|name| Container {
            name: (*name).to_owned(),
            sealed_as: (*name).to_owned(),
            anonymous: true,
            ..world.container("acme", store)
        });
        let containers = CUSTOMERS.map(|customer| world.container(customer, store));
        let rules = setting.rules.iter().map(|(name, customer)| Rule {
            name: Pattern::parse(name).unwrap(),
            tenant: customer.map(tenant),
            prefix: None,
            store: Arc::clone(store),
            sealed_as: None,
            anonymous: false,
        });
        let key_urls = CUSTOMERS.map(|customer| (tenant(customer), world.standin.key_url(customer)));
        let tenants = Tenants::new(clients, containers.into_iter().chain(open).collect());
        let tenants = tenants.with_rules(rules.collect(), key_urls.into());
        let keys = Arc::new(world.keys(store));
        let options = S3Options {
            domains: Domains::new([DOMAIN]).unwrap(),
            ..S3Options::default()
        };
        Gateway::new(Arc::new(tenants), keys, options, world.clock.clone())
    }

    /// A client of the store itself, past the gate.
    pub fn at_store(&self, bucket: &str) -> Client {
        Client::new(self.store.address(), credential(GATE), self.world.clock.clone(), bucket)
    }

    /// Who asks the store from now on: the access keys of what is about this key (`*`: every other of the bucket), an empty one where
    /// nobody signed.
    pub fn askers(&self, bucket: &str, key: &str) -> Arc<Mutex<Vec<String>>> {
        let askers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&askers);
        let lie = Lie::twist(move |asked, honest: Reply| {
            seen.lock().unwrap().push(asker(&asked.headers));
            honest
        });
        self.adversary.lie(bucket, key, lie);
        askers
    }

    /// A GET that nobody signed.
    pub async fn get(&self, target: &str) -> Heard {
        self.send(Asking::get(target)).await
    }

    /// A request as it is said.
    pub async fn send(&self, asking: Asking<'_>) -> Heard {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = asking.method;
        parts.uri = format!("http://{}{}", self.address, asking.target).parse().unwrap();
        let local = self.address.to_string();
        let host = |name: &str| HeaderValue::from_str(name).unwrap();
        parts.headers.insert(HOST, host(asking.host.unwrap_or(&local)));
        for (name, value) in asking.said {
            let name: HeaderName = name.parse().unwrap();
            parts.headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        if let Some(client) = asking.signed {
            let signer = Signer::new(client.credential(), REGION, "s3");
            let now = self.world.clock.now().system_time();
            signer.sign(&mut parts, PayloadHash::of(asking.body), now).unwrap();
        }
        if let Some(other) = asking.then_host {
            parts.headers.insert(HOST, host(other));
        }
        let http = Http::builder(TokioExecutor::new()).build_http();
        let request = Request::from_parts(parts, Full::new(Bytes::copy_from_slice(asking.body)));
        let (parts, body) = http.request(request).await.unwrap().into_parts();
        Heard {
            status: parts.status.as_u16(),
            body: body.collect().await.unwrap().to_bytes(),
        }
    }
}

/// A request, header by header.
#[derive(Clone)]
pub struct Asking<'a> {
    pub method: Method,
    pub target: &'a str,
    /// The gate's address without one.
    pub host: Option<&'a str>,
    pub said: &'a [(&'a str, &'a str)],
    /// Nobody signs without one.
    pub signed: Option<&'a Client>,
    /// In the place of the host that was signed.
    pub then_host: Option<&'a str>,
    pub body: &'a [u8],
}

impl<'a> Asking<'a> {
    pub const fn get(target: &'a str) -> Self {
        Self {
            method: Method::GET,
            target,
            host: None,
            said: &[],
            signed: None,
            then_host: None,
            body: b"",
        }
    }

    pub fn put(target: &'a str, body: &'a [u8]) -> Self {
        Self {
            method: Method::PUT,
            body,
            ..Self::get(target)
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.gate.cancel();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// What came back.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub body: Bytes,
}

impl Heard {
    /// Status, and the code in an error's XML.
    pub fn error(&self) -> (u16, String) {
        let text = String::from_utf8_lossy(&self.body);
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        (self.status, code.map_or_else(String::new, |(code, _)| code.to_owned()))
    }

    #[track_caller]
    pub fn is_error(&self, status: u16, code: &str) {
        assert_eq!(self.error(), (status, code.to_owned()), "{self:?}");
    }

    #[track_caller]
    pub fn is(&self, body: &[u8]) {
        assert!(self.status == 200 && self.body == body, "{self:?}");
    }
}

/// The access key that signed; empty where nobody did.
pub fn asker(headers: &HeaderMap) -> String {
    let text = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap());
    let scope = text.and_then(|text| text.split_once("Credential="));
    let key = scope.and_then(|(_, rest)| rest.split('/').next());
    key.unwrap_or_default().to_owned()
}

fn secret(access_key: &str) -> String {
    match access_key {
        "AKIDACME" => "acme-secret".to_owned(),
        "AKIDGLOBEX" => "globex-secret".to_owned(),
        "AKIDBOTH" => "both-secret".to_owned(),
        other => format!("{other}-secret"),
    }
}

fn credential(access_key: &str) -> Credential {
    Credential::new(access_key, SecretKey::new(secret(access_key))).unwrap()
}

/// The same with a token, if there is one.
pub fn temporary(access_key: &str, token: Option<&str>) -> Credential {
    match token {
        Some(token) => credential(access_key).with_session_token(SecretKey::new(token)),
        None => credential(access_key),
    }
}

fn upstream(adversary: &Adversary, clock: Clock) -> Arc<Store> {
    let options = StoreOptions {
        name: "main".to_owned(),
        scheme: Scheme::HTTP,
        authority: Authority::try_from(adversary.address().to_string()).unwrap(),
        region: REGION.to_owned(),
        credential: Arc::new(credential(GATE)),
        roots: None,
        system_container: SYSTEM_CONTAINER.to_owned(),
        dialect: Dialect::default(),
    };
    Arc::new(Store::new(options, clock).unwrap())
}

async fn any_port() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}
