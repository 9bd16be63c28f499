//! Who is asking: verifies a request's SharedKey, SharedKeyLite, shared access signature, or token of Entra's.
//!
//! Only [`verify`] and [`identify`] make a [`Verified`]. It proves that the request is of somebody who has one of the account's keys,
//! was given a SAS, or is known to the account by Entra's word; [`Verified::authorize`] says whether that permits the operation.

mod bearer;
mod permission;
mod sas;
mod signers;

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

pub use bearer::{Directory, LONGEST_DELEGATION, Principal, Role, TokenFault};
pub use sas::{Delegation, Policy, moment};
pub use signers::{Published, Signers};

use crate::azure::account::Account;
use crate::azure::address::Address;
use crate::azure::auth::permission::{needs, overwrites, role};
use crate::azure::auth::sas::{Kind, Sas};
use crate::azure::operation::Operation;
use crate::upstream::shared_key::{AccountKey, Order, Plus, Scheme, Signable};

/// How far a client's clock may be off, either way; Azure's own bound.
pub const LARGEST_SKEW: Duration = Duration::from_secs(15 * 60);

/// A request that somebody with one of the account's keys made, or permitted.
#[derive(Debug)]
pub struct Verified {
    grant: Grant,
}

#[derive(Debug)]
enum Grant {
    /// The account's key itself: everything.
    Key,
    AccountSas {
        services: String,
        resources: String,
        permissions: String,
    },
    /// Permissions, and the stored access policy that the rest stands in.
    ServiceSas {
        permissions: String,
        policy: Option<String>,
        /// Of whoever's user delegation key signed it: it goes no further than they do.
        role: Option<Role>,
    },
    Token(Principal),
}

/// How far a SAS goes, where the operation itself has to see to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Full,
    /// It may create, and replace nothing that is there.
    NewOnly,
}

/// Why a request is not its client's, or the client may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the request is not signed")]
    Missing,
    #[error("the signature is malformed")]
    Malformed,
    #[error("the signature does not match")]
    Mismatch,
    #[error("the request's time is too far from the time here")]
    Skewed,
    #[error("the SAS is not valid yet, or no longer")]
    OutOfTime,
    #[error("the stored access policy is not there, or does not fit")]
    Policy,
    #[error("the SAS does not permit it")]
    Permission,
    #[error("the SAS is not for this service")]
    Service,
    #[error("the SAS is not for this type of resource")]
    ResourceType,
    #[error("the SAS is not for this protocol")]
    Protocol,
    #[error("the SAS is not for this address")]
    SourceIp,
    /// It concerns containers that are not this account's.
    #[error("it concerns the whole upstream account, or another tenant")]
    NotThisAccount,
    /// Of a token.
    #[error("the token: {0}")]
    Token(TokenFault),
    /// A token is for whoever reads it.
    #[error("a token came without TLS")]
    TokenInClear,
    /// Only a token will do.
    #[error("it takes a token of Entra's")]
    NoToken,
    /// Nobody says whether a token is genuine.
    #[error("Entra does not tell its signing keys")]
    Unsure,
}

/// Verifies the head of a request as it was received, with whatever it shows. `clear` says that tokens are taken without TLS.
///
/// # Errors
/// Whatever keeps the request from being its client's; nothing was read of its body then.
pub async fn identify(parts: &Parts, address: &Address, clear: bool, now: SystemTime) -> Result<Verified, AuthError> {
    match parts
        .headers
        .get(AUTHORIZATION)
        .filter(|header| bearer_of(header).is_some())
    {
        Some(header) => verify_token_of(address, header, clear, now).await,
        None => verify(parts, address, now),
    }
}

/// The token of a header that says `Bearer`.
fn bearer_of(header: &HeaderValue) -> Option<&str> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Verifies a token, which came with a request or is for the source of a copy. No other scheme will do for that one:
/// <https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url>, `x-ms-copy-source-authorization`.
///
/// # Errors
/// It is none, or none of this account's directory that holds.
pub async fn verify_token_of(
    address: &Address,
    header: &HeaderValue,
    clear: bool,
    now: SystemTime,
) -> Result<Verified, AuthError> {
    let token = bearer_of(header).ok_or(AuthError::Malformed)?;
    if !clear {
        return Err(AuthError::TokenInClear);
    }
    let directory = address.account.directory.as_ref().ok_or(AuthError::Malformed)?;
    let principal = directory.verify(token, &address.account.name, now).await?;
    Ok(Verified {
        grant: Grant::Token(principal),
    })
}

/// Verifies the head of a request as it was received.
///
/// # Errors
/// Whatever keeps the request from being its client's; nothing was read of its body then.
pub fn verify(parts: &Parts, address: &Address, now: SystemTime) -> Result<Verified, AuthError> {
    let header = parts.headers.get(AUTHORIZATION);
    let Some(header) = header else {
        let sas = Sas::of(address).ok_or(AuthError::Missing)?;
        return verify_sas(&sas, address, &parts.headers);
    };
    let text = header.to_str().map_err(|_| AuthError::Malformed)?;
    let (scheme, rest) = text.split_once(' ').ok_or(AuthError::Malformed)?;
    let scheme = match scheme {
        "SharedKey" => Scheme::SharedKey,
        "SharedKeyLite" => Scheme::SharedKeyLite,
        _ => return Err(AuthError::Malformed),
    };
    let (account, signature) = rest.trim().split_once(':').ok_or(AuthError::Malformed)?;
    // The secondary is signed for by its account's name, or by the address's own (path style of .NET and JavaScript).
    if account.strip_suffix("-secondary").unwrap_or(account) != address.account.name {
        return Err(AuthError::Mismatch);
    }
    let dated = moment_of(&parts.headers).ok_or(AuthError::Mismatch)?;
    let (ahead, behind) = (dated.duration_since(now), now.duration_since(dated));
    if ahead.unwrap_or_default().max(behind.unwrap_or_default()) > LARGEST_SKEW {
        return Err(AuthError::Skewed);
    }
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or("");
    let signs = |account: &str, order, plus| {
        let signable = Signable {
            method: &parts.method,
            headers: &parts.headers,
            account,
            path,
            query,
        };
        let text = signable.text(scheme, order, plus);
        address.account.keys.iter().any(|key| key.verifies(&text, signature))
    };
    let secondary = format!("{}-secondary", address.account.name);
    let names = [address.account.name.as_str(), secondary.as_str()];
    let names = if address.secondary { &names[..] } else { &names[..1] };
    let pluses = if query.contains('+') {
        &[Plus::Space, Plus::Itself][..]
    } else {
        &[Plus::Space][..]
    };
    for name in names {
        for plus in pluses {
            if signs(name, Order::Collation, *plus) || signs(name, Order::Bytes, *plus) {
                return Ok(Verified { grant: Grant::Key });
            }
        }
    }
    Err(AuthError::Mismatch)
}

/// Verifies the SAS of a copy's source.
///
/// # Errors
/// It has none, or none that holds.
pub fn verify_sas_of(address: &Address, headers: &HeaderMap) -> Result<Verified, AuthError> {
    verify_sas(&Sas::of(address).ok_or(AuthError::Missing)?, address, headers)
}

fn verify_sas(sas: &Sas<'_>, address: &Address, headers: &HeaderMap) -> Result<Verified, AuthError> {
    let kind = sas.kind();
    let text = sas.text(kind, headers)?;
    let signature = sas.get("sig");
    let mut keys = address.account.keys.iter();
    let genuine = match kind {
        Kind::Account | Kind::Service => keys.any(|key| key.verifies(text.as_bytes(), signature)),
        Kind::Delegation => {
            let keys = sas.delegation().keys(&address.account);
            keys.iter().any(|key| key.key().verifies(text.as_bytes(), signature))
        }
    };
    if !genuine {
        return Err(AuthError::Mismatch);
    }
    let permissions = sas.get("sp").to_owned();
    let grant = match kind {
        Kind::Account => Grant::AccountSas {
            services: sas.get("ss").to_owned(),
            resources: sas.get("srt").to_owned(),
            permissions,
        },
        Kind::Service | Kind::Delegation => {
            sas.covers()?;
            let policy = Some(sas.get("si").to_owned()).filter(|policy| !policy.is_empty());
            let role = match kind {
                Kind::Delegation => Some(sas.delegator()?),
                Kind::Account | Kind::Service => None,
            };
            Grant::ServiceSas {
                permissions,
                policy,
                role,
            }
        }
    };
    Ok(Verified { grant })
}

/// A user delegation key.
pub struct DelegationKey([u8; 32]);

impl DelegationKey {
    /// As its holder is given it, in base64.
    pub fn text(&self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    fn key(&self) -> AccountKey {
        AccountKey::of(&self.0)
    }
}

impl Delegation {
    /// The keys that the gate gives out for this, the first of them now. They follow from the fleet's own secrets.
    pub fn keys(&self, account: &Account) -> Vec<DelegationKey> {
        let fields = [
            account.name.as_str(),
            &self.object,
            &self.tenant,
            &self.start,
            &self.expiry,
            &self.service,
            &self.version,
        ];
        let keys = account.fleet.derived("user delegation key", &fields);
        keys.map(DelegationKey).collect()
    }
}

impl Verified {
    /// The stored access policy that must be looked up before [`Verified::authorize`].
    pub fn policy(&self) -> Option<&str> {
        match &self.grant {
            Grant::ServiceSas { policy, .. } => policy.as_deref(),
            Grant::Key | Grant::AccountSas { .. } | Grant::Token(_) => None,
        }
    }

    /// Whether it may read every blob of the account: the sources of its copies need no SAS then.
    pub fn reads_all(&self) -> bool {
        matches!(self.grant, Grant::Key | Grant::Token(_))
    }

    /// Whose token was shown.
    ///
    /// # Errors
    /// None was.
    pub fn principal(&self) -> Result<&Principal, AuthError> {
        match &self.grant {
            Grant::Token(principal) => Ok(principal),
            Grant::Key | Grant::AccountSas { .. } | Grant::ServiceSas { .. } => Err(AuthError::NoToken),
        }
    }

    /// Says whether the operation is permitted.
    ///
    /// # Errors
    /// It is not.
    pub fn authorize(
        &self,
        operation: Operation,
        address: &Address,
        policy: Option<&Policy>,
        peer: IpAddr,
        secure: bool,
        now: SystemTime,
    ) -> Result<Reach, AuthError> {
        let needs = needs(operation);
        let (permissions, wanted) = match &self.grant {
            Grant::Key => return Ok(Reach::Full),
            Grant::Token(principal) if may(principal.role, operation) => return Ok(Reach::Full),
            Grant::Token(_) => return Err(AuthError::Permission),
            Grant::AccountSas {
                services,
                resources,
                permissions,
            } => {
                Sas::of(address)
                    .ok_or(AuthError::Missing)?
                    .check(None, peer, secure, now)?;
                if !services.contains('b') {
                    return Err(AuthError::Service);
                }
                if !resources.chars().any(|resource| needs.resource.contains(resource)) {
                    return Err(AuthError::ResourceType);
                }
                (permissions.as_str(), needs.account)
            }
            Grant::ServiceSas {
                permissions,
                policy: named,
                role,
            } => {
                if role.is_some_and(|role| !may(role, operation)) {
                    return Err(AuthError::Permission);
                }
                if named.is_some() != policy.is_some() {
                    return Err(AuthError::Policy);
                }
                Sas::of(address)
                    .ok_or(AuthError::Missing)?
                    .check(policy, peer, secure, now)?;
                let stored = policy.map_or("", |policy| policy.permissions.as_str());
                (if permissions.is_empty() { stored } else { permissions }, needs.service)
            }
        };
        if !permissions.chars().any(|permission| wanted.contains(permission)) {
            return Err(AuthError::Permission);
        }
        let versions = address.parameter("versionid").is_some();
        if operation == Operation::DeleteBlob && !permissions.contains(if versions { 'x' } else { 'd' }) {
            return Err(AuthError::Permission);
        }
        Ok(match overwrites(operation) && !permissions.contains('w') {
            true => Reach::NewOnly,
            false => Reach::Full,
        })
    }
}

fn may(held: Role, operation: Operation) -> bool {
    role(operation).is_some_and(|needed| held >= needed)
}

/// When a request was signed.
fn moment_of(headers: &HeaderMap) -> Option<SystemTime> {
    let text = headers.get("x-ms-date").or_else(|| headers.get(DATE))?.to_str().ok()?;
    OffsetDateTime::parse(text, &Rfc2822).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests;
