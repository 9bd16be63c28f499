//! Whom an Entra tenant's tokens are signed by: its own published metadata and keys, asked for when a token comes, and remembered.
//!
//! Entra changes its keys without notice (<https://learn.microsoft.com/entra/identity-platform/signing-key-rollover>): a key that is
//! not known yet is looked for at once, but not more often than [`FLOOR`] says, whatever tokens name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::azure::auth::AuthError;
use crate::keys::identity::{Authority, EntraId};
use crate::keys::transport::Transport;
use crate::telemetry::clock::{Clock, Moment};

/// Keys are asked for again after this: one that Entra withdrew counts no longer.
const AGE: Duration = Duration::from_secs(3600);
/// While Entra does not answer, what it said before counts this long.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// The least between two questions while keys are known, and while none are.
const FLOOR: Duration = Duration::from_secs(60);
const FLOOR_WITHOUT: Duration = Duration::from_secs(2);

/// Reads what Entra publishes.
#[async_trait]
pub trait Published: Send + Sync {
    /// The document at this URL.
    async fn get(&self, url: &str) -> Option<Vec<u8>>;
}

#[async_trait]
impl Published for Transport {
    async fn get(&self, url: &str) -> Option<Vec<u8>> {
        self.published(url).await
    }
}

/// The signers of one tenant.
pub struct Signers {
    published: Box<dyn Published>,
    authority: Authority,
    tenant: EntraId,
    clock: Clock,
    state: Mutex<State>,
    /// One question at a time, however many tokens wait for its answer.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    known: Option<Arc<Known>>,
    asked: Option<Moment>,
    /// Whether the last question had no answer.
    silent: bool,
}

/// What was published when it was asked for.
pub struct Known {
    at: Moment,
    issuers: Vec<String>,
    keys: HashMap<String, DecodingKey>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

/// A JSON Web Key (RFC 7517), with Entra's own `issuer`.
#[derive(Deserialize)]
struct Key {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    issuer: Option<String>,
}

impl Known {
    /// The key of this id.
    pub fn key(&self, kid: &str) -> Option<&DecodingKey> {
        self.keys.get(kid)
    }

    /// Whether it issues tokens under this name.
    pub fn issues(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|own| own == issuer)
    }
}

impl Signers {
    /// Nothing is asked before the first token.
    pub fn new(published: Box<dyn Published>, authority: Authority, tenant: EntraId, clock: Clock) -> Self {
        Self {
            published,
            authority,
            tenant,
            clock,
            state: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// Where the tenant is.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// What is published, with the key of this id in it if there is one.
    ///
    /// # Errors
    /// Nobody says.
    pub async fn knowing(&self, kid: &str) -> Result<Arc<Known>, AuthError> {
        if let Some(known) = self.fresh(kid) {
            return Ok(known);
        }
        let _one = self.asking.lock().await;
        // Whoever was before this one in the queue may have asked.
        if let Some(known) = self.fresh(kid) {
            return Ok(known);
        }
        if self.may_ask() {
            let answer = self.ask().await;
            let mut state = self.state();
            state.silent = answer.is_none();
            state.known = answer.map(Arc::new).or_else(|| state.known.take());
        }
        let (now, state) = (self.clock.now(), self.state());
        let known = state.known.clone().filter(|known| !known.at.after(STALE).reached(now));
        match known {
            // The key may be one of those that nobody told of.
            Some(known) if state.silent && known.key(kid).is_none() => Err(AuthError::Unsure),
            Some(known) => Ok(known),
            None => Err(AuthError::Unsure),
        }
    }

    fn fresh(&self, kid: &str) -> Option<Arc<Known>> {
        let now = self.clock.now();
        let known = self.state().known.clone()?;
        (known.key(kid).is_some() && !known.at.after(AGE).reached(now)).then_some(known)
    }

    /// Notes the question if it may be asked.
    fn may_ask(&self) -> bool {
        let now = self.clock.now();
        let mut state = self.state();
        let floor = if state.known.is_some() { FLOOR } else { FLOOR_WITHOUT };
        let may = state.asked.is_none_or(|asked| asked.after(floor).reached(now));
        if may {
            state.asked = Some(now);
        }
        may
    }

    async fn ask(&self) -> Option<Known> {
        let at = self.clock.now();
        let (authority, tenant) = (self.authority.as_str(), &self.tenant);
        // Tokens of both versions are signed with the same keys; only their issuers differ.
        let of_version = |version: &str| format!("{authority}/{tenant}{version}/.well-known/openid-configuration");
        let (first, second): (Option<Metadata>, Option<Metadata>) =
            futures_util::future::join(self.read(&of_version("")), self.read(&of_version("/v2.0"))).await;
        let (first, second) = (first?, second?);
        let own = |metadata: &Metadata| metadata.issuer.to_ascii_lowercase().contains(tenant.as_str());
        if !own(&first) || !own(&second) || !second.jwks_uri.starts_with(&format!("{authority}/")) {
            tracing::error!(%tenant, "Entra's metadata is another tenant's, or leads elsewhere");
            return None;
        }
        let set: KeySet = self.read(&second.jwks_uri).await?;
        let keys = set
            .keys
            .into_iter()
            .filter_map(|key| key.usable(&second.issuer, tenant.as_str()));
        Some(Known {
            at,
            keys: keys.collect(),
            issuers: vec![first.issuer, second.issuer],
        })
    }

    async fn read<T: DeserializeOwned>(&self, url: &str) -> Option<T> {
        let document = self.published.get(url).await;
        let read = document.and_then(|document| serde_json::from_slice(&document).ok());
        if read.is_none() {
            tracing::warn!(url, "Entra does not tell its signing keys");
        }
        read
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    /// The key, if it is one that signs for this issuer.
    fn usable(self, issuer: &str, tenant: &str) -> Option<(String, DecodingKey)> {
        let signs = self.kty == "RSA" && self.usage.as_deref().is_none_or(|usage| usage == "sig");
        // Entra's sets may hold keys for personal accounts and other clouds, each with its issuer.
        let ours = self
            .issuer
            .is_none_or(|own| own.replace("{tenantid}", tenant) == issuer);
        let key = DecodingKey::from_rsa_components(&self.n?, &self.e?).ok()?;
        (signs && ours).then_some((self.kid?, key))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};

    use super::*;

    pub(in crate::azure::auth) const TENANT: &str = "a0000000-0000-4000-8000-00000000000a";

    /// What a test's Entra publishes, and how often it was asked.
    struct Shelf {
        documents: Mutex<HashMap<String, serde_json::Value>>,
        asked: AtomicU64,
    }

    /// An Entra with one key.
    pub(in crate::azure::auth) struct Entra {
        key: EncodingKey,
        shelf: Arc<Shelf>,
    }

    #[async_trait]
    impl Published for Arc<Shelf> {
        async fn get(&self, url: &str) -> Option<Vec<u8>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let documents = self.documents.lock().unwrap();
            documents.get(url).map(|document| document.to_string().into_bytes())
        }
    }

    impl Entra {
        pub(in crate::azure::auth) fn new() -> Self {
            let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
            let parts = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
            let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
            let key = |kid: &str, more: serde_json::Value| {
                let mut key = serde_json::json!({"kty": "RSA", "kid": kid, "n": text(&parts.n), "e": text(&parts.e)});
                key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                key
            };
            let at = "https://login.localhost";
            let v2 = format!("{at}/{TENANT}/v2.0");
            let metadata = |issuer: &str| serde_json::json!({"issuer": issuer, "jwks_uri": format!("{at}/{TENANT}/discovery/v2.0/keys")});
            let keys = serde_json::json!({"keys": [
                key("1", serde_json::json!({"use": "sig", "issuer": format!("{at}/{{tenantid}}/v2.0")})),
                key("personal", serde_json::json!({"use": "sig", "issuer": format!("{at}/other/v2.0")})),
                key("encrypts", serde_json::json!({"use": "enc"})),
            ]});
            let documents = HashMap::from([
                (
                    format!("{at}/{TENANT}/.well-known/openid-configuration"),
                    metadata(&format!("https://sts.windows.net/{TENANT}/")),
                ),
                (format!("{v2}/.well-known/openid-configuration"), metadata(&v2)),
                (format!("{at}/{TENANT}/discovery/v2.0/keys"), keys),
            ]);
            let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
            let pem = pem(der.as_ref());
            Self {
                key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
                shelf: Arc::new(Shelf {
                    documents: Mutex::new(documents),
                    asked: AtomicU64::new(0),
                }),
            }
        }

        pub(in crate::azure::auth) fn token(&self, claims: &serde_json::Value) -> String {
            let header = Header {
                kid: Some("1".to_owned()),
                ..Header::new(Algorithm::RS256)
            };
            jsonwebtoken::encode(&header, claims, &self.key).unwrap()
        }

        pub(in crate::azure::auth) fn signers(&self) -> Arc<Signers> {
            Arc::new(self.at(Clock::system()))
        }

        fn at(&self, clock: Clock) -> Signers {
            let authority = "https://login.localhost".parse().unwrap();
            Signers::new(
                Box::new(Arc::clone(&self.shelf)),
                authority,
                TENANT.parse().unwrap(),
                clock,
            )
        }

        fn asked(&self) -> u64 {
            self.shelf.asked.load(Ordering::SeqCst)
        }
    }

    fn pem(der: &[u8]) -> String {
        let text = base64::prelude::BASE64_STANDARD.encode(der);
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }

    #[tokio::test]
    async fn only_keys_that_sign_for_the_tenant_are_taken() {
        let entra = Entra::new();
        let known = entra.signers().knowing("1").await.unwrap();
        assert!(known.key("1").is_some() && known.key("personal").is_none() && known.key("encrypts").is_none());
        // Metadata that leads elsewhere is none.
        for (field, value) in [
            ("jwks_uri", "https://evil.example/keys"),
            ("issuer", "https://sts.windows.net/x/"),
        ] {
            let entra = Entra::new();
            let url = format!("https://login.localhost/{TENANT}/v2.0/.well-known/openid-configuration");
            entra.shelf.documents.lock().unwrap().get_mut(&url).unwrap()[field] = value.into();
            assert_eq!(
                entra.signers().knowing("1").await.err(),
                Some(AuthError::Unsure),
                "{field}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn entra_is_asked_seldom_and_a_new_key_is_found() {
        let entra = Entra::new();
        let (clock, _) = Clock::virtual_time(1);
        let signers = entra.at(clock);
        signers.knowing("1").await.unwrap();
        assert_eq!(entra.asked(), 3);
        // What tokens name makes nobody ask more often than the floor.
        for _ in 0..10 {
            assert!(signers.knowing("unknown").await.unwrap().key("unknown").is_none());
        }
        assert_eq!(entra.asked(), 3);
        tokio::time::advance(FLOOR).await;
        signers.knowing("unknown").await.unwrap();
        assert_eq!(entra.asked(), 6);
        tokio::time::advance(AGE).await;
        signers.knowing("1").await.unwrap();
        assert_eq!(entra.asked(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_said_counts_for_a_while_when_entra_falls_silent() {
        let entra = Entra::new();
        let (clock, _) = Clock::virtual_time(1);
        let signers = entra.at(clock);
        signers.knowing("1").await.unwrap();
        let documents = std::mem::take(&mut *entra.shelf.documents.lock().unwrap());
        tokio::time::advance(AGE).await;
        assert!(signers.knowing("1").await.is_ok());
        assert_eq!(
            signers.knowing("2").await.err(),
            Some(AuthError::Unsure),
            "it may be a new one"
        );
        tokio::time::advance(STALE).await;
        assert_eq!(signers.knowing("1").await.err(), Some(AuthError::Unsure));
        *entra.shelf.documents.lock().unwrap() = documents;
        tokio::time::advance(FLOOR).await;
        assert!(signers.knowing("1").await.is_ok());
    }
}
