//! One tenant's key in Key Vault: what the lease asks of it, each question one operation over the wire.

use crate::keys::classify::{RawAnswer, VaultOp, classify_vault};
use crate::keys::identity::{EntraId, Identity};
use crate::keys::key_url::KeyUrl;
use crate::keys::refusal::{Blocked, IdentityFault, Refusal, Service, Unavailable};
use crate::keys::service::Wrapped;
use crate::keys::transport::{Seen, Transport, last_challenge, refuse};
use crate::seal::{Dek, KeyVersion, WrapAlgorithm};
use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::http::{RequestContent, Url};
use azure_security_keyvault_keys::models::{
    JsonWebKey, KeyAttributes, KeyClientGetKeyOptions, KeyClientWrapKeyOptions, KeyOperationParameters, KeyType,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// How a service names an algorithm in `alg`: `RSA-OAEP-256` of RSA keys in vaults and HSMs, and `A256KW` (RFC 3394) of the
/// symmetric keys that Managed HSMs have.
pub fn algorithm_name(algorithm: WrapAlgorithm) -> &'static str {
    match algorithm {
        WrapAlgorithm::RsaOaep256 => "RSA-OAEP-256",
        WrapAlgorithm::A256Kw => "A256KW",
    }
}

/// One key, and who the proxy is to its vault. Cheap to keep; connections belong to the transport.
#[derive(Clone, Debug)]
pub struct Vault {
    key: KeyUrl,
    identity: Identity,
    pub(super) transport: Transport,
    /// What kind of key each version is, as far as it was asked: it decides how a DEK is wrapped. A version never changes it.
    kinds: Arc<Mutex<BTreeMap<KeyVersion, KeyKind>>>,
}

/// A client of the vault with the one token that was exchanged when the session began, and no other. It is used until the
/// identity's clock asks for a new one.
pub struct Session {
    pub(super) client: KeyClient,
    expires: SystemTime,
}

/// What getKey says. Policy, not proof: the vault says it of a disabled key too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    pub version: KeyVersion,
    pub enabled: bool,
    /// Past this nothing new is to be wrapped.
    pub expires: Option<SystemTime>,
    /// Before this nothing is to be wrapped.
    pub not_before: Option<SystemTime>,
    pub kind: KeyKind,
    /// Whether the key's permitted operations include wrapKey.
    pub may_wrap: bool,
    /// Whether the key's permitted operations include unwrapKey.
    pub may_unwrap: bool,
    /// What becomes of the key when it is deleted, in Key Vault's words (`recoveryLevel`).
    pub recovery: Option<String>,
}

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA in software or in an HSM, with the modulus' length in bits.
    Rsa { bits: usize, hsm: bool },
    /// A symmetric key of a Managed HSM.
    Symmetric,
    /// Elliptic curves and whatever comes: no key to wrap with.
    Other,
}

/// A row of the list of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionState {
    pub version: KeyVersion,
    pub enabled: bool,
    pub expires: Option<SystemTime>,
    pub not_before: Option<SystemTime>,
    pub created: Option<SystemTime>,
}

impl Vault {
    /// Asks nothing yet.
    pub fn new(key: KeyUrl, identity: Identity, transport: Transport) -> Self {
        Self {
            key,
            identity,
            transport,
            kinds: Arc::default(),
        }
    }

    /// The key's address.
    pub fn key(&self) -> &KeyUrl {
        &self.key
    }

    /// The application that Entra gives the tokens to, if it is not the proxy's own identity.
    pub fn application(&self) -> Option<&EntraId> {
        self.identity.application()
    }

    /// Exchanges a token now and opens a session with it. A disabled or removed application shows here and nowhere else.
    pub async fn session(&self) -> Result<Session, Refusal> {
        let token = self.identity.exchange(&self.transport, self.key.scope()).await?;
        let expires = SystemTime::from(token.expires_on);
        let options = KeyClientOptions {
            client_options: self.transport.options(Service::Vault, Some(self.key.vault())),
            verify_challenge_resource: Some(!self.key.is_loopback()),
            ..KeyClientOptions::default()
        };
        let credential = Arc::new(SessionToken {
            token,
            tenant: self.identity.tenant().cloned(),
        });
        let client =
            KeyClient::new(self.key.vault(), credential, Some(options)).map_err(|_| IdentityFault::Unusable)?;
        Ok(Session { client, expires })
    }

    /// The state of the newest version, usable or not, or of the one the configuration pins.
    pub async fn current(&self, session: &Session) -> Result<KeyState, Refusal> {
        self.get(session, self.key.version()).await
    }

    /// The state of one version.
    pub async fn state(&self, session: &Session, version: KeyVersion) -> Result<KeyState, Refusal> {
        self.get(session, Some(version)).await
    }

    /// All versions, newest first.
    pub async fn versions(&self, session: &Session) -> Result<Vec<VersionState>, Refusal> {
        let listing = async {
            let mut versions = Vec::new();
            let mut pages = session
                .client
                .list_key_properties_versions(self.key.name(), None)?
                .into_pages();
            while let Some(page) = pages.next().await {
                versions.extend(page?.into_model()?.value);
            }
            Ok(versions)
        };
        let listed = self.ask(VaultOp::Versions, listing).await?;
        let mut versions = Vec::with_capacity(listed.len());
        for row in listed {
            let version = row
                .kid
                .and_then(|kid| self.key.version_of(&kid))
                .ok_or_else(malformed)?;
            let attributes = row.attributes.unwrap_or_default();
            versions.push(VersionState {
                version,
                enabled: enabled(&attributes),
                expires: attributes.expires.map(SystemTime::from),
                not_before: attributes.not_before.map(SystemTime::from),
                created: attributes.created.map(SystemTime::from),
            });
        }
        // The vault lists them in no order.
        versions.sort_by_key(|row| std::cmp::Reverse(row.created));
        Ok(versions)
    }

    /// Wraps a DEK under a version, in the way that its kind of key allows. No proof of access: the vault wraps with a disabled RSA
    /// key too.
    pub async fn wrap(&self, session: &Session, version: KeyVersion, dek: &[u8; 32]) -> Result<Wrapped, Refusal> {
        let algorithm = self.algorithm(session, version).await?;
        let options = KeyClientWrapKeyOptions {
            key_version: Some(version.to_string()),
            ..Default::default()
        };
        let call = session
            .client
            .wrap_key(self.key.name(), parameters(algorithm, dek), Some(options));
        let response = self.ask(VaultOp::Wrap, call).await?;
        let answer = OperationAnswer::read(response.body(), &self.key, version)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(answer.value.as_bytes());
        Ok(Wrapped {
            algorithm,
            bytes: bytes.map_err(|_| malformed())?,
        })
    }

    /// Unwraps a DEK under a version, over the wire, always: the one proof that the key may be used.
    pub async fn unwrap(&self, session: &Session, version: KeyVersion, wrapped: &Wrapped) -> Result<Dek, Refusal> {
        let name = version.to_string();
        let call = session.client.unwrap_key(
            self.key.name(),
            &name,
            parameters(wrapped.algorithm, &wrapped.bytes),
            None,
        );
        let response = self.ask(VaultOp::Unwrap, call).await?;
        let answer = OperationAnswer::read(response.body(), &self.key, version)?;
        let plain = BASE64_URL_SAFE_NO_PAD.decode(answer.value.as_bytes());
        let plain = Zeroizing::new(plain.map_err(|_| malformed())?);
        // Anyone can wrap under a public key: what comes out need not be a DEK.
        Dek::from_bytes(&plain).map_err(|_| Refusal::BadEnvelope)
    }

    /// How DEKs are wrapped under a version. Mostly known: the lease asks for a version's state before it seals under it. Where it
    /// is not, it is asked for, once.
    async fn algorithm(&self, session: &Session, version: KeyVersion) -> Result<WrapAlgorithm, Refusal> {
        let known = self.kinds().get(&version).copied();
        let kind = match known {
            Some(kind) => kind,
            None => self.get(session, Some(version)).await?.kind,
        };
        Ok(match kind {
            KeyKind::Symmetric => WrapAlgorithm::A256Kw,
            // What is no key to wrap with, the vault itself refuses.
            KeyKind::Rsa { .. } | KeyKind::Other => WrapAlgorithm::RsaOaep256,
        })
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<KeyVersion, KeyKind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn get(&self, session: &Session, version: Option<KeyVersion>) -> Result<KeyState, Refusal> {
        let options = KeyClientGetKeyOptions {
            key_version: version.map(|version| version.to_string()),
            ..Default::default()
        };
        let call = session.client.get_key(self.key.name(), Some(options));
        let key = self
            .ask(VaultOp::Get, call)
            .await?
            .into_model()
            .map_err(|_| malformed())?;
        let attributes = key.attributes.unwrap_or_default();
        let jwk = key.key.ok_or_else(malformed)?;
        let named = jwk
            .kid
            .as_deref()
            .and_then(|kid| self.key.version_of(kid))
            .ok_or_else(malformed)?;
        if version.is_some_and(|version| version != named) {
            return Err(malformed());
        }
        let may = |operation: &str| {
            jwk.key_ops
                .iter()
                .flatten()
                .any(|allowed| allowed.eq_ignore_ascii_case(operation))
        };
        let kind = KeyKind::of(&jwk);
        self.kinds().insert(named, kind);
        Ok(KeyState {
            version: named,
            enabled: enabled(&attributes),
            expires: attributes.expires.map(SystemTime::from),
            not_before: attributes.not_before.map(SystemTime::from),
            kind,
            may_wrap: may("wrapKey"),
            may_unwrap: may("unwrapKey"),
            recovery: attributes.recovery_level.map(|level| level.to_string()),
        })
    }

    /// Asks the vault, and reads a failure off the wire.
    pub(super) async fn ask<T>(
        &self,
        op: VaultOp,
        call: impl Future<Output = azure_core::Result<T>>,
    ) -> Result<T, Refusal> {
        self.transport.observe(call).await.map_err(|seen| match seen {
            Seen::Answer(_, raw) => {
                let refusal = classify_vault(op, &raw);
                log(op, &raw, refusal);
                refusal
            }
            Seen::Refused(refusal) => refusal,
            Seen::Asking(by) => Unavailable::Timeout { by }.into(),
            // The session's credential never waits, so the SDK itself would not send this.
            Seen::Nothing => IdentityFault::Unusable.into(),
        })
    }
}

impl Session {
    /// When its token ends (60 to 90 minutes at Entra); the session is of no use after it.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A credential that knows one token. It gives it for whatever scope the vault's challenge asked for, because the scope it was
/// exchanged for is the configuration's, and only to a vault of the configured tenant.
struct SessionToken {
    token: AccessToken,
    tenant: Option<EntraId>,
}

#[async_trait]
impl TokenCredential for SessionToken {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        if let (Some(expected), Some(challenge)) = (&self.tenant, last_challenge())
            && challenged_tenant(&challenge).is_none_or(|tenant| !tenant.eq_ignore_ascii_case(expected.as_str()))
        {
            return Err(refuse(Blocked::OtherTenant.into()));
        }
        if SystemTime::from(self.token.expires_on) <= SystemTime::now() {
            return Err(refuse(IdentityFault::SessionExpired.into()));
        }
        Ok(self.token.clone())
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionToken")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// The tenant of `Bearer authorization="https://login.microsoftonline.com/{tenant}", …`. Older vaults name other hosts, so
/// only the path counts.
pub(super) fn challenged_tenant(challenge: &str) -> Option<String> {
    let (_, rest) = challenge.split_once("authorization=\"")?;
    let (url, _) = rest.split_once('"')?;
    let url = Url::parse(url).ok()?;
    url.path_segments()?.next().map(str::to_owned)
}

/// What wrapKey and unwrapKey answer.
#[derive(Deserialize)]
struct OperationAnswer<'a> {
    #[serde(borrow)]
    kid: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl<'a> OperationAnswer<'a> {
    /// Borrows from the answer's buffer, which is wiped on drop, so that a DEK leaves no copy behind as it would in the
    /// SDK's model.
    fn read(body: &'a [u8], key: &KeyUrl, version: KeyVersion) -> Result<Self, Refusal> {
        let answer: Self = serde_json::from_slice(body).map_err(|_| malformed())?;
        match key.version_of(&answer.kid) == Some(version) {
            true => Ok(answer),
            false => Err(malformed()),
        }
    }
}

/// The body of wrapKey and unwrapKey, in a buffer that is wiped on drop. The SDK's own model would leave the DEK in memory.
fn parameters(algorithm: WrapAlgorithm, value: &[u8]) -> RequestContent<KeyOperationParameters> {
    let mut json = Zeroizing::new(String::with_capacity(64 + value.len() * 4 / 3));
    json.push_str(r#"{"alg":""#);
    json.push_str(algorithm_name(algorithm));
    json.push_str(r#"","value":""#);
    BASE64_URL_SAFE_NO_PAD.encode_string(value, &mut json);
    json.push_str(r#""}"#);
    Bytes::from_owner(WipedText(json)).into()
}

struct WipedText(Zeroizing<String>);

impl AsRef<[u8]> for WipedText {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl KeyKind {
    fn of(jwk: &JsonWebKey) -> Self {
        let bits = || jwk.n.as_ref().map_or(0, |n| n.len() * 8);
        match jwk.kty {
            Some(KeyType::Rsa) => Self::Rsa {
                bits: bits(),
                hsm: false,
            },
            Some(KeyType::RsaHsm) => Self::Rsa {
                bits: bits(),
                hsm: true,
            },
            Some(KeyType::Oct | KeyType::OctHsm) => Self::Symmetric,
            _ => Self::Other,
        }
    }
}

/// Key Vault always says; its documented default is enabled.
fn enabled(attributes: &KeyAttributes) -> bool {
    attributes.enabled.unwrap_or(true)
}

/// A success that is not what was asked for.
fn malformed() -> Refusal {
    Unavailable::Unrecognised {
        by: Service::Vault,
        status: 200,
    }
    .into()
}

fn log(op: VaultOp, raw: &RawAnswer, refusal: Refusal) {
    tracing::debug!(
        ?op,
        status = raw.status,
        codes = raw.codes(),
        request_id = raw.request_id,
        reason = refusal.name(),
        "vault operation refused"
    );
}
