//! Who may say no, and how fast: the lease on each tenant's CMK, the DEKs under it, the vault and identity behind it.
//!
//! The only door is [`Keys`]: it gives a [`Lease`] or a [`Refusal`]. Everything that uses a DEK goes through the lease and
//! asks it again for every chunk; `docs/KEYS.md` states what that promises.

pub mod budget;
pub mod classify;
mod client;
mod deks;
mod ending;
pub mod identity;
pub mod key_url;
pub mod lease;
#[cfg(test)]
mod lease_tests;
mod publisher;
pub mod refusal;
pub mod rewrap;
mod rewrapped;
mod segments;
pub mod service;
mod session;
#[cfg(test)]
mod simulation;
pub mod survey;
mod tenant;
mod terms;
pub mod transport;
pub mod vault;
mod version;
#[cfg(test)]
mod wire_tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub use ending::LeaseEnd;
pub use lease::{Lease, Leased, UseError};
pub use refusal::{KeyRefusal, Refusal};
pub use tenant::{Recheck, TenantKey};
pub use terms::{CleanUp, Expired, Terms, WhenRevoked};

use crate::keys::budget::{Budget, Budgets, Share};
use crate::keys::publisher::Publishers;
use crate::keys::refusal::{Service, Unavailable};
use crate::keys::service::Keyring;
use crate::keys::session::Shares;
use crate::keys::tenant::TenantKeys;
use crate::seal::{DekId, Envelope, KeyVersion, OriginSecrets};
use crate::telemetry::clock::Clock;

/// How long a yes counts.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// After the vault's last yes, no chunk is sealed or opened later than this (`revocation_bound`).
    pub revocation: Duration,
    /// No yes counts longer than this after the exchange of the token that carried it (`identity_bound`).
    pub identity: Duration,
    /// After a no the vault is asked again on demand, at the latest this often.
    pub ask_again: Duration,
}

impl Bounds {
    /// Bounds as configured; a tenant that is given access back is asked about at the latest once a bound, and twice a minute.
    pub fn new(revocation: Duration, identity: Duration) -> Self {
        Self {
            revocation,
            identity,
            ask_again: revocation.min(Duration::from_secs(30)),
        }
    }
}

/// Every tenant's keys.
pub struct Keys {
    tenants: HashMap<Arc<str>, Arc<TenantKeys>>,
}

/// Leases on one tenant's DEKs, for an object whose segments each name their own, and are come to long after the request began.
#[derive(Clone)]
pub struct TenantLeases(Option<Arc<TenantKeys>>);

/// Why an object's DEK can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The key's owner, or nobody, answered.
    #[error("{0}")]
    Refused(KeyRefusal),
    /// The object's envelope was not made by this fleet for this tenant. No lease is touched by it.
    #[error("{0}")]
    NotOurs(NotOurs),
}

/// What is wrong with an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Its origin is false: somebody who can write the store made it, or it belongs to another tenant.
    #[error("the envelope's origin is false")]
    Origin,
    /// It names a CMK that is not the tenant's.
    #[error("the envelope names another CMK")]
    Cmk,
    /// The vault could not unwrap it, or it held another DEK than it says.
    #[error("the envelope does not hold the DEK it names")]
    Envelope {
        /// Whose key did not unwrap it.
        version: KeyVersion,
    },
}

impl NotOurs {
    /// The version of the tenant's key that the envelope was held against. `None` where it is another key's, or nobody's.
    pub fn version(self) -> Option<KeyVersion> {
        match self {
            Self::Envelope { version } => Some(version),
            Self::Origin | Self::Cmk => None,
        }
    }
}

impl Keys {
    /// Keys of these tenants; `keyring` and `origin` are the fleet's. No call is made before the first request.
    pub fn new(
        tenants: Vec<TenantKey>,
        origin: &Arc<OriginSecrets>,
        keyring: &Arc<dyn Keyring>,
        clock: &Clock,
        bounds: Bounds,
        budgets: Budgets,
    ) -> Self {
        let entra = Budget::new(Service::Entra, budgets.entra, clock.clone());
        let publishers = Arc::new(Publishers::new(bounds.identity));
        let mut vaults: HashMap<String, Arc<Budget>> = HashMap::new();
        let tenants = tenants.into_iter().map(|key| {
            let vault = vaults
                .entry(key.vault.host().to_owned())
                .or_insert_with(|| Budget::new(Service::Vault, budgets.vault, clock.clone()));
            let share = |budget: &Arc<Budget>| Share {
                budget: Arc::clone(budget),
                tenant: Arc::clone(&key.tenant),
            };
            let shares = Shares {
                vault: share(vault),
                entra: share(&entra),
                publishers: Arc::clone(&publishers),
            };
            let (origin, keyring) = (Arc::clone(origin), Arc::clone(keyring));
            let name = Arc::clone(&key.tenant);
            (
                name,
                TenantKeys::new(key, origin, keyring, clock.clone(), bounds, shares),
            )
        });
        Self {
            tenants: tenants.collect(),
        }
    }

    /// A lease to seal with.
    ///
    /// # Errors
    /// The key's owner said no, or nobody answered in time.
    pub async fn to_write(&self, tenant: &str) -> Result<Lease, KeyRefusal> {
        match self.tenants.get(tenant) {
            Some(keys) => keys.to_write().await,
            None => Err(Unavailable::UnknownTenant.into()),
        }
    }

    /// The permission for operations that seal and open nothing (LIST, DELETE): a live lease of the version last written with.
    /// Unlike [`Self::to_write`] it is also had past the key's `exp` or before its `nbf`: the vault itself still says yes then,
    /// and whether the customer has revoked the key is all that is asked. Not to be sealed with.
    ///
    /// # Errors
    /// The key's owner said no, or nobody answered in time. Of a key that may not be sealed with, and under which nothing was
    /// sealed within a year, there is nothing to prove: it is refused with the reason of [`Self::to_write`].
    pub async fn to_operate(&self, tenant: &str) -> Result<Lease, KeyRefusal> {
        match self.tenants.get(tenant) {
            Some(keys) => keys.to_operate().await,
            None => Err(Unavailable::UnknownTenant.into()),
        }
    }

    /// The permission for operations that neither read nor write an object: that of [`Self::to_operate`], or, by the tenant's terms
    /// ([`WhenRevoked::DenyData`]), the customer's own no. Silence permits nothing.
    ///
    /// # Errors
    /// As [`Self::to_operate`].
    pub async fn to_clean_up(&self, tenant: &str) -> Result<CleanUp, KeyRefusal> {
        match self.tenants.get(tenant) {
            Some(keys) => keys.to_clean_up().await,
            None => Err(Unavailable::UnknownTenant.into()),
        }
    }

    /// A lease on the DEK that an object names.
    ///
    /// # Errors
    /// [`OpenError`]: refused, or the envelope is not ours.
    pub async fn to_open(&self, tenant: &str, dek: DekId, envelope: &Envelope) -> Result<Lease, OpenError> {
        self.of(tenant).to_open(dek, envelope).await
    }

    /// The leases of one tenant, to be asked for later.
    pub fn of(&self, tenant: &str) -> TenantLeases {
        TenantLeases(self.tenants.get(tenant).map(Arc::clone))
    }

    /// Has the tenant's live leases proved at once, instead of within a third of the bound: for whoever has heard that something
    /// changed. It decides nothing: what the vault and Entra answer counts as ever, and their silence ends nothing. `None` without
    /// such a tenant.
    pub fn recheck(&self, tenant: &str) -> Option<Recheck> {
        Some(self.tenants.get(tenant)?.recheck())
    }

    /// As [`Self::recheck`], for one who asks seldom: it waits for the vault's answer, past what is remembered, and a newer version
    /// is looked for. `Ok` if the vault unwraps under one version at least.
    ///
    /// # Errors
    /// The key's owner said no, or nobody answered: then the leases go on as they were.
    pub async fn prove(&self, tenant: &str) -> Result<(), Refusal> {
        match self.tenants.get(tenant) {
            Some(keys) => keys.prove().await,
            None => Err(Unavailable::UnknownTenant.into()),
        }
    }

    /// A lease on a DEK that is in memory under a live lease; nobody is asked.
    pub fn warm(&self, tenant: &str, dek: DekId) -> Option<Lease> {
        self.tenants.get(tenant)?.warm(dek)
    }
}

impl TenantLeases {
    /// A lease on the DEK that a segment names.
    ///
    /// # Errors
    /// [`OpenError`]: refused, or the envelope is not ours.
    pub async fn to_open(&self, dek: DekId, envelope: &Envelope) -> Result<Lease, OpenError> {
        match &self.0 {
            Some(keys) => keys.to_open(dek, envelope).await,
            None => Err(OpenError::Refused(Unavailable::UnknownTenant.into())),
        }
    }
}
