//! Why a key could not be used: revoked or unavailable, and under each word its own named reason. The reasons are read off
//! the wire by [`classify`](crate::keys::classify); nothing else decides what counts as a no.

use std::fmt;
use std::time::Duration;

use crate::seal::KeyVersion;

/// One of the three services a key operation passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// The customer's Key Vault or Managed HSM.
    Vault,
    /// Entra, which exchanges the proxy's assertion for a token of the customer's tenant.
    Entra,
    /// The managed identity endpoint of the machine (IMDS, App Service, Azure Arc), or the token file of a pod.
    Identity,
    /// The gate itself, or the store its keyring lies in.
    Gate,
}

impl Service {
    /// The stable name for audit and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Entra => "entra",
            Self::Identity => "identity",
            Self::Gate => "gate",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vault => "Key Vault",
            Self::Entra => "Entra",
            Self::Identity => "the managed identity endpoint",
            Self::Gate => "the gate",
        })
    }
}

/// Every failure of a key operation. A small `Copy` value without any text from the wire, so it may be logged, counted and
/// handed to every request that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A definitive no: it acts at once.
    #[error("revoked: {0}")]
    Revoked(Revoked),
    /// Everything that is not known to be a no: the gate closes when the lease ends.
    #[error("unavailable: {0}")]
    Unavailable(Unavailable),
    /// The vault could not unwrap these bytes with this version. It says nothing about access to the key.
    #[error("Key Vault cannot unwrap this envelope")]
    BadEnvelope,
}

/// A refusal, and which version of the key it is about: what whoever asked for a lease, or held one, is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct KeyRefusal {
    /// The reason.
    pub why: Refusal,
    /// The version whose lease ended, or that was asked for one. `None` if it did not come to one: Entra refused before a version
    /// was chosen, say.
    pub version: Option<KeyVersion>,
}

/// A definitive no, seen as the service's own JSON over verified TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Revoked {
    #[error("the key version is disabled")]
    KeyDisabled,
    /// Deleted, purged, or never there: Key Vault does not tell these apart.
    #[error("the key or its version does not exist")]
    KeyNotFound,
    #[error("the key's permitted operations do not include this one")]
    OperationForbidden,
    #[error("the proxy's identity holds no role for this operation on the key")]
    RoleMissing,
    #[error("the vault's access policy does not permit this operation")]
    AccessPolicyMissing,
    #[error("the application is not installed in the customer's tenant")]
    AppNotInstalled,
    /// The customer disabled it; the ISV deactivating the application everywhere looks the same.
    #[error("the application is disabled in the customer's tenant")]
    AppDisabled,
    #[error("Microsoft has blocked the customer's tenant")]
    TenantBlocked,
    /// Policy of the gate, read with getKey: Key Vault itself would still unwrap.
    #[error("the key has expired, nothing new is sealed under it")]
    KeyExpired,
    /// Policy of the gate likewise.
    #[error("the key is not valid yet, nothing is sealed under it")]
    KeyNotYetValid,
}

/// No usable answer. It never renews a lease and never ends one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Too many requests. Key Vault often sends no `Retry-After` (`None`): back off on one's own.
    #[error("{by} is throttling")]
    Throttled { by: Service, retry_after: Option<Duration> },
    /// 408, any 5xx, or one of Entra's transient codes.
    #[error("{by} failed with status {status}")]
    ServerError { by: Service, status: u16 },
    #[error("{by} did not answer in time")]
    Timeout { by: Service },
    /// The host's name does not resolve. A deleted vault looks like this too.
    #[error("the name of {by} does not resolve")]
    NameUnresolved { by: Service },
    #[error("the TLS handshake with {by} failed")]
    TlsFailed { by: Service },
    /// Refused, reset, or closed before an answer was complete.
    #[error("{by} cannot be reached")]
    Unreachable { by: Service },
    /// The service answered that something other than the customer's will stands in the way.
    #[error(transparent)]
    Blocked(Blocked),
    /// The proxy's own identity is not in order: the operator's to repair, not the customer's.
    #[error(transparent)]
    Identity(IdentityFault),
    /// An answer that is none of the known ones, such as the bare 403 of an egress proxy.
    #[error("{by} gave an unrecognised answer with status {status}")]
    Unrecognised { by: Service, status: u16 },
    /// The gate's own budget of calls to a service had no room in time: too much else was asked of it.
    #[error("the gate's budget of calls to {to} is used up")]
    BudgetExhausted { to: Service },
    /// The lease ran out before a proof renewed it, and no call had failed: nobody was asked, or the machine slept.
    #[error("the lease ran out")]
    Lapsed,
    /// The store that holds the keyring records did not answer, or did not take one.
    #[error("the keyring cannot be reached")]
    Keyring,
    #[error("the system gave no random bytes")]
    Randomness,
    #[error("no key is configured for the tenant")]
    UnknownTenant,
}

/// Obstacles between the proxy and a key that nobody has withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Blocked {
    #[error("the vault's firewall does not admit the proxy's address")]
    Firewall,
    #[error("the vault is closed to public networks and this connection is no approved private link")]
    PrivateLink,
    #[error("the key is being deleted or recovered")]
    InTransition,
    /// Wrapping only: Key Vault unwraps before `nbf` and past `exp` as well.
    #[error("the key version is outside its validity period")]
    OutsideValidity,
    /// AKV10032: the vault moved to another tenant, or the configuration names the wrong one.
    #[error("the vault trusts another tenant than the one that issued the token")]
    WrongIssuer,
    /// Seen before the token was sent to the vault.
    #[error("the vault asks for a token of another tenant than the configured one")]
    OtherTenant,
    /// The vault asks for a token for a resource that is not its own.
    #[error("the vault's authentication challenge is not one that may be answered")]
    BadChallenge,
    #[error("the vault does not accept the proxy's token")]
    TokenRefused,
    #[error("the vault pointed to another host")]
    OtherHost,
    #[error("Entra does not know the customer's tenant")]
    TenantUnknown,
    #[error("Key Vault is not registered in the customer's tenant")]
    VaultServiceMissing,
    #[error("a conditional access policy of the customer's tenant refuses the application")]
    ConditionalAccess,
}

/// What is wrong with the identity of the proxy itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IdentityFault {
    #[error("the managed identity is not assigned to this machine")]
    NotAssigned,
    #[error("this kind of host offers no managed identity that is supported")]
    UnsupportedHost,
    #[error("the federated token file cannot be read")]
    TokenFile,
    /// Azure Arc's agent asks to see a file that is none of its own, or that the proxy may not read.
    #[error("the challenge of Azure Arc's agent cannot be answered")]
    ArcChallenge,
    /// AADSTS700027: not registered, or expired there.
    #[error("the certificate is not one that the application has registered")]
    CertificateUnknown,
    #[error("the client secret is wrong or has expired")]
    SecretRefused,
    /// AADSTS700024: one of the clocks is wrong, or a service account's token was not renewed.
    #[error("the assertion is outside its time by Entra's clock")]
    AssertionTime,
    #[error("the application has no federated credential that matches the assertion")]
    FederationMismatch,
    #[error("the application is homed in another tenant than the managed identity")]
    AppElsewhere,
    #[error("the application is deactivated by its own publisher")]
    AppDeactivated,
    #[error("the session's token has expired")]
    SessionExpired,
    /// The SDK would not even send the request.
    #[error("the identity's settings are refused by the SDK")]
    Unusable,
}

impl Refusal {
    /// The stable snake_case name of the reason, for audit and metrics; the same reason keeps its name whoever gave it
    /// ([`Refusal::by`]).
    pub fn name(self) -> &'static str {
        match self {
            Self::Revoked(reason) => reason.name(),
            Self::Unavailable(reason) => reason.name(),
            Self::BadEnvelope => "bad_envelope",
        }
    }

    /// Whose answer, or silence, this is.
    pub fn by(self) -> Service {
        match self {
            Self::Revoked(Revoked::AppNotInstalled | Revoked::AppDisabled | Revoked::TenantBlocked) => Service::Entra,
            Self::Revoked(Revoked::KeyExpired | Revoked::KeyNotYetValid) => Service::Gate,
            Self::Revoked(_) | Self::BadEnvelope => Service::Vault,
            Self::Unavailable(reason) => reason.by(),
        }
    }

    /// As the answer for this version of the key.
    pub fn of(self, version: KeyVersion) -> KeyRefusal {
        KeyRefusal {
            why: self,
            version: Some(version),
        }
    }

    /// How long the service asked to be left alone.
    pub fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Unavailable(Unavailable::Throttled { retry_after, .. }) => retry_after,
            _ => None,
        }
    }
}

impl From<Refusal> for KeyRefusal {
    /// About no version that is known.
    fn from(why: Refusal) -> Self {
        Self { why, version: None }
    }
}

impl From<Revoked> for KeyRefusal {
    fn from(reason: Revoked) -> Self {
        Refusal::from(reason).into()
    }
}

impl From<Unavailable> for KeyRefusal {
    fn from(reason: Unavailable) -> Self {
        Refusal::from(reason).into()
    }
}

impl From<Revoked> for Refusal {
    fn from(reason: Revoked) -> Self {
        Self::Revoked(reason)
    }
}

impl From<Unavailable> for Refusal {
    fn from(reason: Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

impl From<Blocked> for Refusal {
    fn from(reason: Blocked) -> Self {
        Self::Unavailable(Unavailable::Blocked(reason))
    }
}

impl From<IdentityFault> for Refusal {
    fn from(reason: IdentityFault) -> Self {
        Self::Unavailable(Unavailable::Identity(reason))
    }
}

impl Revoked {
    /// See [`Refusal::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyDisabled => "key_disabled",
            Self::KeyNotFound => "key_not_found",
            Self::OperationForbidden => "operation_forbidden",
            Self::RoleMissing => "role_missing",
            Self::AccessPolicyMissing => "access_policy_missing",
            Self::AppNotInstalled => "app_not_installed",
            Self::AppDisabled => "app_disabled",
            Self::TenantBlocked => "tenant_blocked",
            Self::KeyExpired => "key_expired",
            Self::KeyNotYetValid => "key_not_yet_valid",
        }
    }
}

impl Unavailable {
    /// See [`Refusal::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::ServerError { .. } => "server_error",
            Self::Timeout { .. } => "timeout",
            Self::NameUnresolved { .. } => "name_unresolved",
            Self::TlsFailed { .. } => "tls_failed",
            Self::Unreachable { .. } => "unreachable",
            Self::Blocked(reason) => reason.name(),
            Self::Identity(reason) => reason.name(),
            Self::Unrecognised { .. } => "unrecognised",
            Self::BudgetExhausted { .. } => "budget_exhausted",
            Self::Lapsed => "lease_lapsed",
            Self::Keyring => "keyring_unreachable",
            Self::Randomness => "no_randomness",
            Self::UnknownTenant => "unknown_tenant",
        }
    }

    /// See [`Refusal::by`].
    pub fn by(self) -> Service {
        match self {
            Self::Throttled { by, .. }
            | Self::ServerError { by, .. }
            | Self::Timeout { by }
            | Self::NameUnresolved { by }
            | Self::TlsFailed { by }
            | Self::Unreachable { by }
            | Self::Unrecognised { by, .. } => by,
            Self::Blocked(Blocked::TenantUnknown | Blocked::VaultServiceMissing | Blocked::ConditionalAccess) => {
                Service::Entra
            }
            Self::Blocked(_) => Service::Vault,
            Self::Identity(_) => Service::Identity,
            Self::BudgetExhausted { .. } | Self::Lapsed | Self::Keyring | Self::Randomness | Self::UnknownTenant => {
                Service::Gate
            }
        }
    }
}

impl Blocked {
    /// See [`Refusal::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Firewall => "vault_firewall",
            Self::PrivateLink => "private_link_required",
            Self::InTransition => "key_in_transition",
            Self::OutsideValidity => "key_outside_validity",
            Self::WrongIssuer => "wrong_issuer",
            Self::OtherTenant => "other_tenant",
            Self::BadChallenge => "bad_challenge",
            Self::TokenRefused => "token_refused",
            Self::OtherHost => "other_host",
            Self::TenantUnknown => "tenant_unknown",
            Self::VaultServiceMissing => "vault_service_missing",
            Self::ConditionalAccess => "conditional_access",
        }
    }
}

impl IdentityFault {
    /// See [`Refusal::name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAssigned => "identity_not_assigned",
            Self::UnsupportedHost => "identity_host_unsupported",
            Self::TokenFile => "token_file_unreadable",
            Self::ArcChallenge => "arc_challenge_unreadable",
            Self::CertificateUnknown => "certificate_unknown",
            Self::SecretRefused => "secret_refused",
            Self::AssertionTime => "assertion_out_of_time",
            Self::FederationMismatch => "federation_mismatch",
            Self::AppElsewhere => "app_elsewhere",
            Self::AppDeactivated => "app_deactivated",
            Self::SessionExpired => "session_expired",
            Self::Unusable => "identity_unusable",
        }
    }
}
