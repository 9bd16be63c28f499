//! An application that proves itself by a certificate: an assertion signed with its private key, in Entra's form
//! (learn.microsoft.com/entra/identity-platform/certificate-credentials).
//!
//! `azure_identity` 1.0 has such a credential, but on top of OpenSSL: a second library of cryptography in the process, outside of
//! what a FIPS build validates. It also signs with PKCS#1 v1.5 and names the certificate by SHA-1, where Entra advises PSS and
//! SHA-256. So the assertion is made here, and the SDK exchanges it as it does a managed identity's.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_lc_rs::{digest, rand};
use azure_core::error::ErrorKind;
use azure_core::http::ClientMethodOptions;
use azure_identity::ClientAssertion;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use serde_json::json;

use crate::keys::identity::{Authority, EntraId};

/// How long an assertion may be used. It is exchanged at once; the rest is for clocks that differ.
const LIFETIME: Duration = Duration::from_secs(300);

/// A certificate with its private key. Cloning shares the key.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    thumbprint: String,
}

/// Why a certificate is of no use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Entra verifies `PS256` and `RS256` of applications' assertions.
    #[error("an RSA key is needed")]
    NotRsa,
    #[error("there is no certificate")]
    Missing,
}

impl Certificate {
    /// From a certificate and the key that belongs to it.
    ///
    /// # Errors
    /// The key is not RSA, or there is no certificate.
    pub fn new(key: Arc<CertifiedKey>) -> Result<Self, CertificateError> {
        let leaf = key.cert.first().ok_or(CertificateError::Missing)?;
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, leaf));
        match key.key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]) {
            Some(_) => Ok(Self { key, thumbprint }),
            None => Err(CertificateError::NotRsa),
        }
    }

    /// SHA-256 of the certificate in base64url: what Entra knows it by.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// A JWT that says "I am `app`" to `endpoint`; `None` where the system has no random bytes or the key does not sign.
    fn assert(&self, app: &EntraId, endpoint: &str, now: SystemTime) -> Option<String> {
        let mut id = [0; 16];
        rand::fill(&mut id).ok()?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = json!({"alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint});
        let claims = json!({
            "aud": endpoint,
            "iss": app.as_str(),
            "sub": app.as_str(),
            "jti": hex::encode(id),
            "nbf": now.as_secs(),
            "iat": now.as_secs(),
            "exp": (now + LIFETIME).as_secs(),
        });
        let encode = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signer = self.key.key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])?;
        let signature = signer.sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// The certificate's word for an application, at one tenant's Entra.
#[derive(Debug)]
pub(super) struct CertifiedAssertion {
    certificate: Certificate,
    app: EntraId,
    endpoint: String,
}

impl CertifiedAssertion {
    pub(super) fn new(certificate: &Certificate, app: &EntraId, tenant: &EntraId, authority: &Authority) -> Self {
        Self {
            certificate: certificate.clone(),
            app: app.clone(),
            endpoint: format!("{}/{tenant}/oauth2/v2.0/token", authority.0),
        }
    }
}

#[async_trait]
impl ClientAssertion for CertifiedAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.certificate
            .assert(&self.app, &self.endpoint, SystemTime::now())
            .ok_or_else(|| azure_core::Error::with_message(ErrorKind::Credential, "the assertion could not be signed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};

    fn certified(algorithm: &'static rcgen::SignatureAlgorithm) -> (CertifiedKey, KeyPair) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(vec!["gate".to_owned()])
            .unwrap()
            .self_signed(&key);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
        let certified = CertifiedKey::from_der(vec![certificate.unwrap().der().clone()], der.into(), &provider);
        (certified.unwrap(), key)
    }

    #[test]
    fn the_assertion_is_signed_and_names_its_certificate() {
        let (key, pair) = certified(&PKCS_RSA_SHA256);
        let certificate = Certificate::new(Arc::new(key)).unwrap();
        let app: EntraId = "b0000000-0000-4000-8000-000000000001".parse().unwrap();
        let now = SystemTime::now();
        let made = certificate.assert(&app, "https://login.localhost/t/oauth2/v2.0/token", now);

        let mut wanted = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::PS256);
        wanted.set_audience(&["https://login.localhost/t/oauth2/v2.0/token"]);
        wanted.set_issuer(&[app.as_str()]);
        let key = jsonwebtoken::DecodingKey::from_rsa_der(pair.public_key_raw());
        let token = jsonwebtoken::decode::<serde_json::Value>(made.unwrap(), &key, &wanted).unwrap();
        assert_eq!(token.claims["sub"], app.as_str());
        let lives = token.claims["exp"].as_u64().unwrap() - token.claims["nbf"].as_u64().unwrap();
        assert_eq!(lives, 300);
        assert_eq!(token.header.x5t_s256.as_deref(), Some(certificate.thumbprint()));
        assert!(!format!("{certificate:?}").contains("key"), "{certificate:?}");
    }

    #[test]
    fn only_rsa_is_taken() {
        let (key, _) = certified(&PKCS_ECDSA_P256_SHA256);
        assert_eq!(Certificate::new(Arc::new(key)).unwrap_err(), CertificateError::NotRsa);
    }
}
