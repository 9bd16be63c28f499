//! Secrets that `dev` has none of, put into the gate's configuration: CipherTrust Manager's, Azure's, the audit's, those of other
//! identities.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};

use crate::log::EVERYTHING;

/// Those that are text in a file. What each is for stands in [`configuration`].
const TEXTS: [&str; 7] = [
    "recheck",
    "audit-key",
    "cckm",
    "jwt",
    "refresh",
    "application",
    "stranger",
];
/// Those that are keys of storage accounts: to clients, and at the store.
const ACCOUNTS: [&str; 2] = ["acme-azure", "acme-blob"];

/// The private key of an application's certificate.
const CERTIFICATE: &str = "certificate";

pub struct Planted {
    secrets: Vec<(&'static str, String)>,
    /// Of an application's certificate, as PEM.
    certificate: String,
    key: KeyPair,
}

impl Planted {
    pub fn new() -> Self {
        let texts = TEXTS.map(|name| (name, hex::encode(random::<24>())));
        let accounts = ACCOUNTS.map(|name| (name, BASE64_STANDARD.encode(random::<64>())));
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::new(vec!["gate".to_owned()])
            .unwrap()
            .self_signed(&key);
        Self {
            secrets: texts.into_iter().chain(accounts).collect(),
            certificate: certificate.unwrap().pem(),
            key,
        }
    }

    pub fn get(&self, name: &str) -> &str {
        &self.secrets.iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Each in a file of its own.
    pub fn write(&self, folder: &Path) {
        for (name, secret) in &self.secrets {
            fs::write(folder.join(name), secret).unwrap();
        }
        let pem = self.certificate.clone() + &self.key.serialize_pem();
        fs::write(folder.join("certificate.pem"), pem).unwrap();
    }

    /// What each is called.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.secrets.iter().map(|(name, _)| *name).chain([CERTIFICATE])
    }

    /// All the forms that a secret has; `None` if it is none of these.
    pub fn forms(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        if name == CERTIFICATE {
            return Some(self.forms_of_the_key());
        }
        let (_, secret) = self.secrets.iter().find(|(known, _)| *known == name)?;
        let raw = ACCOUNTS
            .contains(&name)
            .then(|| BASE64_STANDARD.decode(secret).unwrap());
        Some([secret.as_bytes().to_vec()].into_iter().chain(raw).collect())
    }

    fn forms_of_the_key(&self) -> Vec<Vec<u8>> {
        // From where the private numbers lie: version, modulus and public exponent take the first 300 bytes.
        let der = self.key.serialize_der();
        let raw = [400, 700, 1000].map(|at| der[at..at + 32].to_vec());
        let pem = self.key.serialize_pem();
        let lines = pem.lines().filter(|line| line.len() == 64).skip(8);
        raw.into_iter()
            .chain(lines.map(|line| line.as_bytes().to_vec()))
            .collect()
    }
}

/// The gate's configuration with all of them in it.
pub fn configuration(of_dev: &str, azure: u16, mirror: SocketAddr) -> String {
    let value = |key: &str| {
        let (_, rest) = of_dev.split_once(&format!("\n{key} = \"")).unwrap();
        rest.split_once('"').unwrap().0
    };
    // No two gates write one trail.
    let text = of_dev.replace(
        "directory = \"audit\"",
        "directory = \"audit-under-test\"\nkey = { file = \"secrets/audit-key\" }",
    );
    let text = text.replace(
        "format = \"text\"\nfilter = \"info\"",
        &format!("filter = \"{EVERYTHING}\""),
    );
    let text = text.replace("[admin]\n", "[admin]\nrecheck_token = { file = \"secrets/recheck\" }\n");
    let (app, authority, tenant) = (value("app"), value("authority"), value("entra_tenant"));
    let key = of_dev
        .split_once("[tenant.acme]\nkey = \"")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    text + &format!(
        r#"
[cckm.mirror]
endpoint = "http://{mirror}"
username = "portcullis"
password = {{ file = "secrets/cckm" }}
interval = "10s"
tenants = ["acme"]

# Entra knows neither this certificate nor this secret.
[identity.certified]
kind = "certificate"
app = "{app}"
authority = "{authority}"
certificate = "secrets/certificate.pem"

[tenant.initech]
key = "{key}"
identity = "certified"
entra_tenant = "{tenant}"

[bucket.initech-files]
tenant = "initech"
store = "main"

[identity.secretive]
kind = "secret"
app = "{app}"
authority = "{authority}"
secret = {{ file = "secrets/application" }}

[tenant.hooli]
key = "{key}"
identity = "secretive"
entra_tenant = "{tenant}"

[bucket.hooli-files]
tenant = "hooli"
store = "main"

[[credential]]
access_key_id = "PORTCULLISDEVOTHER01"
secret_access_key = {{ file = "secrets/stranger" }}
tenants = ["initech", "hooli"]

[[listener]]
address = "127.0.0.1:{azure}"
protocol = "azure"

[store.blob]
kind = "azure"
endpoint = "http://{mirror}/acme"
account = "acme"
account_key = {{ file = "secrets/acme-blob" }}

[account.acme]
store = "blob"
keys = [{{ file = "secrets/acme-azure" }}]

[account.acme.container."*"]
tenant = "acme"
"#
    )
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).unwrap();
    bytes
}
