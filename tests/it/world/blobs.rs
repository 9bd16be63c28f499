//! Azurite behind the adversary, the configuration of a gate before it, and raw clients: of the gate, and of the store itself.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use portcullis::dev::azurite::Azurite;
use portcullis::dev::standin::Standin;
use portcullis::keys::transport::{Transport, TransportOptions};
use portcullis::telemetry::clock::Clock;
use portcullis::upstream::shared_key::AccountKey;
use portcullis::upstream::{AzureCall, AzureCredential, AzureOptions, AzureStore, StoreBody};

use super::adversary::Adversary;
use super::any_port;

/// The account at the store.
pub const ACCOUNT: &str = "isvfiles";
pub const SYSTEM: &str = "portcullis-system";
/// Of acme's account at the gate.
pub const FILES: &str = "acme-files";
const STORE_KEY: [u8; 32] = [0x51; 32];
const CLIENT_KEY: [u8; 32] = [0x52; 32];

/// A store that speaks Azure Blob. It ends when dropped.
pub struct Blobs {
    azurite: Azurite,
    pub adversary: Adversary,
}

/// What was answered.
pub struct Said {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Blobs {
    /// A store below `data`, with acme's container; `None`, and a word of it, where no Azurite is installed.
    pub async fn start(data: &Path) -> Option<Self> {
        let Some(program) = std::env::var_os("PORTCULLIS_AZURITE") else {
            println!("PORTCULLIS_AZURITE is not set: the Azure side was not tested");
            return None;
        };
        let (data, key) = (data.to_owned(), STANDARD.encode(STORE_KEY));
        let started = tokio::task::spawn_blocking(move || {
            Azurite::start(&data, Some(&PathBuf::from(program)), &[(ACCOUNT, &key)])
        });
        let azurite = started.await.unwrap().unwrap();
        let adversary = Adversary::start(any_port().await, azurite.address());
        let blobs = Self { azurite, adversary };
        blobs.store().make(FILES).await;
        Some(blobs)
    }

    /// Whoever runs the store: past gate and adversary.
    pub fn store(&self) -> Client {
        Client::new(self.azurite.address(), ACCOUNT, &STORE_KEY)
    }

    /// A client of a gate at this address, with acme's account there.
    pub fn client(address: SocketAddr) -> Client {
        Self::client_of(address, "acme")
    }

    /// The same with another account, which has the same key.
    pub fn client_of(address: SocketAddr, account: &str) -> Client {
        Client::new(address, account, &CLIENT_KEY)
    }

    /// A blob's URL at the store itself, with what reads it, as the store wants to be told of a copy's source.
    pub fn url(&self, container: &str, blob: &str) -> String {
        let blob = percent_encoding::utf8_percent_encode(blob, percent_encoding::NON_ALPHANUMERIC);
        format!(
            "http://{}/{ACCOUNT}/{container}/{blob}?{}",
            self.azurite.address(),
            Self::sas("r")
        )
    }

    /// An account SAS of the store's with these rights. It signs none of a request's headers, so an adversary may take some away
    /// (<https://learn.microsoft.com/rest/api/storageservices/create-account-sas>).
    pub fn sas(rights: &str) -> String {
        let (expiry, version) = ("2099-01-01T00:00:00Z", "2021-12-02");
        let text = format!("{ACCOUNT}\n{rights}\nb\nsco\n\n{expiry}\n\n\n{version}\n\n");
        let signature = AccountKey::of(&STORE_KEY).sign(text.as_bytes());
        let signature = percent_encoding::utf8_percent_encode(&signature, percent_encoding::NON_ALPHANUMERIC);
        format!("sv={version}&ss=b&srt=sco&sp={rights}&se={expiry}&sig={signature}")
    }

    /// The configuration of a gate before this store alone, for acme and globex, whose secrets it writes into `data`.
    pub fn configuration(&self, standin: &Standin, data: &Path, listen: SocketAddr, more: &str) -> String {
        fs::write(data.join("blob-store"), STANDARD.encode(STORE_KEY)).unwrap();
        fs::write(data.join("blob-client"), STANDARD.encode(CLIENT_KEY)).unwrap();
        fs::write(data.join("blob-origin"), [b'o'; 32]).unwrap();
        let mut text = format!(
            r#"dev = true
[log]
filter = "warn"
[[listener]]
address = "{listen}"
protocol = "azure"
[store.blob]
kind = "azure"
endpoint = "http://{store}/{ACCOUNT}"
account = "{ACCOUNT}"
account_key = {{ file = "blob-store" }}
system_container = "{SYSTEM}"
[keys]
ca_file = "{ca}"
imds_endpoint = "{imds}"
origin_secrets = [{{ file = "blob-origin" }}]
revocation_bound = "5s"
[identity.app]
kind = "federated"
managed_identity = "{identity}"
app = "{app}"
authority = "{authority}"
[identity.own]
kind = "managed"
managed_identity = "{identity}"
[tenant.acme]
key = "{acme_key}"
identity = "app"
entra_tenant = "{acme_tenant}"
[tenant.globex]
key = "{globex_key}"
identity = "own"
"#,
            store = self.adversary.address(),
            ca = standin.ca_file().display(),
            imds = standin.imds_endpoint(),
            identity = standin.identity_client_id(),
            app = standin.app_client_id(),
            authority = standin.authority(),
            acme_key = standin.key_url("acme"),
            acme_tenant = standin.tenant_id("acme"),
            globex_key = standin.key_url("globex"),
        );
        for (tenant, rule) in [("acme", FILES), ("globex", "globex-*")] {
            let _ = write!(
                text,
                "[account.{tenant}]\nstore = \"blob\"\nkeys = [{{ file = \"blob-client\" }}]\n\
                 [account.{tenant}.container.\"{rule}\"]\ntenant = \"{tenant}\"\n"
            );
        }
        text + more
    }
}

/// Signs with an account's key, and sends what it is told to.
pub struct Client(AzureStore);

impl Client {
    fn new(address: SocketAddr, account: &str, key: &[u8]) -> Self {
        let options = AzureOptions {
            scheme: Scheme::HTTP,
            authority: Authority::try_from(address.to_string()).unwrap(),
            path_style: true,
            account: account.to_owned(),
            credential: AzureCredential::Key(Box::new(AccountKey::of(key))),
            system_container: None,
            roots: None,
        };
        let transport = Transport::new(TransportOptions::default()).unwrap();
        Self(AzureStore::new(options, &transport, Clock::system()).unwrap())
    }

    /// Asks; `None` where nobody answers.
    pub async fn ask(
        &self,
        method: Method,
        (container, blob): (&str, &str),
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Option<Said> {
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let call = AzureCall {
            method,
            secondary: false,
            container,
            blob,
            query: &query,
            headers: headers.iter().map(header).collect(),
            spelling: Extensions::new(),
            body: match body.is_empty() {
                true => StoreBody::empty(),
                false => StoreBody::control(body.to_vec()),
            },
        };
        let (head, body) = self.0.send(call).await.ok()?.into_parts();
        Some(Said {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.ok()?.to_bytes(),
        })
    }

    /// Writes, and that must be done.
    pub async fn write(
        &self,
        place: (&str, &str),
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Said {
        let said = self.ask(Method::PUT, place, query, headers, body).await.unwrap();
        let text = String::from_utf8_lossy(&said.body);
        assert!(said.status.is_success(), "{place:?} {query:?}: {} {text}", said.status);
        said
    }

    /// Makes a container, if it is not there.
    pub async fn make(&self, container: &str) {
        let query = [("restype", "container")];
        let said = self.ask(Method::PUT, (container, ""), &query, &[], b"").await.unwrap();
        assert!(
            [201, 409].contains(&said.status.as_u16()),
            "{container}: {}",
            said.status
        );
    }

    /// Put Blob.
    pub async fn put(&self, place: (&str, &str), body: &[u8]) {
        self.write(place, &[], &[("x-ms-blob-type", "BlockBlob")], body).await;
    }

    /// Put Block of each, and Put Block List of them.
    pub async fn put_blocks(&self, place: (&str, &str), blocks: &[&[u8]]) {
        let mut list = String::from("<BlockList>");
        for (number, block) in blocks.iter().enumerate() {
            let id = STANDARD.encode(format!("block-{number:06}"));
            self.write(place, &[("comp", "block"), ("blockid", &id)], &[], block)
                .await;
            let _ = write!(list, "<Latest>{id}</Latest>");
        }
        list.push_str("</BlockList>");
        self.write(place, &[("comp", "blocklist")], &[], list.as_bytes()).await;
    }

    /// An append blob with nothing in it.
    pub async fn put_append(&self, place: (&str, &str)) {
        self.write(place, &[], &[("x-ms-blob-type", "AppendBlob")], b"").await;
    }

    /// Append Block.
    pub async fn append(&self, place: (&str, &str), block: &[u8]) {
        self.write(place, &[("comp", "appendblock")], &[], block).await;
    }

    /// What lies there.
    pub async fn get(&self, place: (&str, &str)) -> Option<Said> {
        self.ask(Method::GET, place, &[], &[], b"").await
    }

    /// The names in a container.
    pub async fn names(&self, container: &str) -> Vec<String> {
        let query = [("restype", "container"), ("comp", "list")];
        let said = self.ask(Method::GET, (container, ""), &query, &[], b"").await.unwrap();
        assert_eq!(said.status, 200, "{container}");
        let text = String::from_utf8(said.body.to_vec()).unwrap();
        let names = text.split("<Name>").skip(1);
        names
            .map(|rest| rest.split("</Name>").next().unwrap().to_owned())
            .collect()
    }

    pub async fn delete(&self, place: (&str, &str)) {
        let said = self.ask(Method::DELETE, place, &[], &[], b"").await.unwrap();
        assert_eq!(said.status, 202, "{place:?}");
    }
}
