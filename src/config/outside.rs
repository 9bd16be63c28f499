//! What a configuration refers to: files and the environment. The only place that reads them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::config::mistake::Fault;
use crate::config::section::{Entry, Section};

/// The directory that relative paths start at, and the environment.
pub(super) struct Outside<'a> {
    pub(super) base: &'a Path,
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

/// A secret as it was found, without one newline at its end: editors and `openssl rand -base64` leave one.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub(super) fn bytes(&self) -> &[u8] {
        let bytes = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    /// Text of `least` bytes at least.
    pub(super) fn text(&self, least: usize) -> Result<&str, Fault> {
        let text = std::str::from_utf8(self.bytes()).map_err(|_| Fault::NotText)?;
        match text.len() >= least {
            true => Ok(text),
            false => Err(Fault::ShortSecret {
                found: text.len(),
                least,
            }),
        }
    }
}

impl Outside<'_> {
    /// `{ file = "…" }` or `{ env = "…" }`. Neither name is repeated in a mistake: somebody may have put the secret there.
    pub(super) fn secret(&self, entry: Entry<'_, '_>) -> Option<Secret> {
        if entry.is_text() {
            entry.wrong(Fault::InlineSecret);
            return None;
        }
        let mut source = entry.section()?;
        let bytes = match (source.take("file"), source.take("env")) {
            (Some(file), None) => {
                let read = fs::read(self.base.join(file.text()?));
                file.check(read.map_err(|error| Fault::SecretFile {
                    reason: error.to_string(),
                }))?
            }
            (None, Some(variable)) => {
                let value = (self.env)(variable.text()?);
                variable.check(value.ok_or(Fault::NoVariable))?.into_bytes()
            }
            _ => {
                source.wrong("", Fault::SecretSource);
                return None;
            }
        };
        Some(Secret(Zeroizing::new(bytes)))
    }

    /// What is no secret, as it stands or as `{ env = "…" }`, with the entry that has its mistakes.
    pub(super) fn text<'r, 'i>(&self, entry: Entry<'r, 'i>) -> Option<(String, Entry<'r, 'i>)> {
        if !entry.is_table() {
            return Some((entry.text()?.to_owned(), entry));
        }
        let variable = entry.section()?.need("env")?;
        let value = (self.env)(variable.text()?);
        Some((variable.check(value.ok_or(Fault::NoVariable))?, variable))
    }

    /// Where a file is, if it can be read.
    pub(super) fn path(&self, entry: &Entry<'_, '_>) -> Option<PathBuf> {
        let path = self.base.join(entry.text()?);
        let opened = fs::File::open(&path).and_then(|file| file.metadata());
        let is_file = entry
            .check(opened.map_err(|error| unreadable(&path, &error)))?
            .is_file();
        match is_file {
            true => Some(path),
            false => {
                let error = std::io::Error::from(std::io::ErrorKind::IsADirectory);
                entry.wrong(unreadable(&path, &error));
                None
            }
        }
    }

    /// The certificates of a PEM file, one at least, and the file itself.
    pub(super) fn certificates(&self, entry: &Entry<'_, '_>) -> Option<(Vec<u8>, Vec<CertificateDer<'static>>)> {
        let (path, pem) = self.read(entry)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = entry.check(chain.ok_or_else(|| Fault::Certificates {
            path: path.display().to_string(),
        }))?;
        Some((pem.to_vec(), chain))
    }

    /// The roots of trust in a PEM file, and the file itself.
    pub(super) fn roots(&self, entry: &Entry<'_, '_>) -> Option<(Vec<u8>, rustls::RootCertStore)> {
        let (pem, certificates) = self.certificates(entry)?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates {
            entry.check(roots.add(certificate).map_err(|error| Fault::Tls(error.to_string())))?;
        }
        Some((pem, roots))
    }

    /// `{ certificate = "…", key = "…" }`: what a TLS listener shows.
    pub(super) fn tls(&self, mut section: Section<'_, '_>) -> Option<Arc<rustls::ServerConfig>> {
        let certificate = section.need("certificate");
        let key = section.need("key");
        let chain = certificate.and_then(|entry| self.certificates(&entry));
        let key = key.and_then(|entry| self.private_key(&entry));
        let made = server_config(chain?.1, key?);
        made.map_err(|error| section.wrong("", Fault::Tls(error.to_string())))
            .ok()
    }

    /// A certificate and the private key that belongs to it, from one PEM file or from two.
    pub(super) fn certified(
        &self,
        certificate: &Entry<'_, '_>,
        key: Option<&Entry<'_, '_>>,
    ) -> Option<Arc<CertifiedKey>> {
        let (_, chain) = self.certificates(certificate)?;
        let key = self.private_key(key.unwrap_or(certificate))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider);
        certificate.check(certified.map(Arc::new).map_err(|error| Fault::Tls(error.to_string())))
    }

    fn private_key(&self, entry: &Entry<'_, '_>) -> Option<PrivateKeyDer<'static>> {
        let (path, pem) = self.read(entry)?;
        // The parser's own reason may quote the file.
        entry.check(PrivateKeyDer::from_pem_slice(&pem).map_err(|_| Fault::PrivateKey {
            path: path.display().to_string(),
        }))
    }

    fn read(&self, entry: &Entry<'_, '_>) -> Option<(PathBuf, Zeroizing<Vec<u8>>)> {
        let path = self.base.join(entry.text()?);
        let bytes = entry.check(fs::read(&path).map_err(|error| unreadable(&path, &error)))?;
        Some((path, Zeroizing::new(bytes)))
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::File {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}
