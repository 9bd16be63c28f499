//! The certificate authority behind `portcullis dev` and the tests: one key on disk, certificates for loopback names.
//!
//! Somebody may tell their system to trust `ca.pem`, so the authority is constrained (RFC 5280 section 4.2.1.10) to
//! `localhost`, the names below it, and loopback addresses: its key, if it leaks, vouches for nothing else.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use crate::dev::files::write_private;

/// How long a certificate of [`Authority::issue`] is valid. They are issued anew at every start.
const LEAF_DAYS: i64 = 90;
/// How long the authority itself is valid.
const CA_DAYS: i64 = 3650;

/// Signs certificates for loopback names. Its certificate is `ca.pem` and its key `ca-key.pem` (0600) in its directory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    file: PathBuf,
}

/// A certificate with its key, ready for a TLS listener.
pub struct Issued {
    /// The leaf alone: the authority is the client's root.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8.
    pub key: PrivateKeyDer<'static>,
    /// [`Issued::chain`] as PEM, for a listener that reads files.
    pub chain_pem: String,
    /// [`Issued::key`] as PEM.
    pub key_pem: Zeroizing<String>,
}

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{name} is neither localhost, a name below it, nor a loopback address")]
    NotLoopback { name: String },
    #[error(transparent)]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Authority {
    /// Opens the authority kept in `dir`, or makes one there on first use.
    pub fn open_or_create(dir: &Path) -> Result<Self, AuthorityError> {
        let file = dir.join("ca.pem");
        let key_file = dir.join("ca-key.pem");
        let (pem, key) = match (read(&file)?, read(&key_file)?) {
            (Some(pem), Some(key)) => (pem, KeyPair::from_pem(&key)?),
            _ => {
                let key = KeyPair::generate()?;
                let pem = ca_params()?.self_signed(&key)?.pem();
                fs::create_dir_all(dir).map_err(|source| AuthorityError::File {
                    path: dir.to_owned(),
                    source,
                })?;
                write(&key_file, key.serialize_pem().as_bytes())?;
                write(&file, pem.as_bytes())?;
                (pem, key)
            }
        };
        Ok(Self {
            issuer: Issuer::new(ca_params()?, key),
            pem,
            file,
        })
    }

    /// Issues a server certificate for `names` (DNS names or IP addresses), valid for 90 days.
    ///
    /// A wildcard needs two labels below it: TLS stacks refuse `*.localhost` as they refuse `*.com`.
    pub fn issue(&self, names: &[&str]) -> Result<Issued, AuthorityError> {
        if let Some(name) = names.iter().find(|name| !is_loopback(name)) {
            return Err(AuthorityError::NotLoopback {
                name: (*name).to_owned(),
            });
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Portcullis development");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, LEAF_DAYS);
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            chain_pem: leaf.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }

    /// The authority's certificate: what clients must trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file that holds [`Self::pem`].
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Issued {
    /// A TLS configuration for HTTP/1.1 that shows this certificate and asks clients for none.
    pub fn server_config(self) -> Result<rustls::ServerConfig, AuthorityError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Also what an authority read back from disk is rebuilt from: an issuer's name and key identifier are all that its
/// certificates repeat.
fn ca_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Portcullis development authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
            GeneralSubtree::IpAddress(CidrSubnet::V6(std::net::Ipv6Addr::LOCALHOST.octets(), [0xff; 16])),
        ],
        excluded_subtrees: Vec::new(),
    });
    set_validity(&mut params, CA_DAYS);
    Ok(params)
}

/// From yesterday, so that a clock a little behind (a container's, a virtual machine's) does not refuse it.
fn set_validity(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(days);
}

fn is_loopback(name: &str) -> bool {
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(AuthorityError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), AuthorityError> {
    write_private(path, bytes).map_err(|source| AuthorityError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{ServerName, UnixTime};

    fn verify(pem: &str, leaf: &CertificateDer<'_>, name: &str) -> Result<(), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let name = ServerName::try_from(name).unwrap();
        verifier
            .verify_server_cert(leaf, &[], &name, &[], UnixTime::now())
            .map(|_| ())
    }

    #[test]
    fn certificates_verify_for_their_names_and_survive_a_restart() {
        let dir = std::env::temp_dir().join(format!("portcullis-authority-{}", std::process::id()));
        let first = Authority::open_or_create(&dir).unwrap();
        let again = Authority::open_or_create(&dir).unwrap();
        assert_eq!(first.pem(), again.pem());

        let names = ["localhost", "acme-vault.localhost", "*.vault.localhost", "127.0.0.1"];
        let leaf = again.issue(&names).unwrap();
        for name in ["localhost", "acme-vault.localhost", "any.vault.localhost", "127.0.0.1"] {
            verify(first.pem(), &leaf.chain[0], name).unwrap();
        }
        verify(first.pem(), &leaf.chain[0], "other.localhost").unwrap_err();
        leaf.server_config().unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn names_that_are_not_loopback_are_refused() {
        let dir = std::env::temp_dir().join(format!("portcullis-authority-names-{}", std::process::id()));
        let authority = Authority::open_or_create(&dir).unwrap();
        for name in ["example.com", "10.0.0.1", "notlocalhost"] {
            assert!(
                matches!(authority.issue(&[name]), Err(AuthorityError::NotLoopback { .. })),
                "{name}"
            );
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
