//! Rewrapping: a tenant's DEKs wrapped once more, under the newest version of the CMK, so that an older one can go.
//!
//! Work goes by DEKs, not by objects. What is there stays as it is: a gate that runs meanwhile misses nothing, a rewrap that was
//! broken off goes on where it ended, and two at a time do no more than the same work twice. A record is written only after the
//! vault has unwrapped it once over the wire.
//!
//! A DEK is in the clear here from the vault's yes under the old version to its answer under the new one, without a lease, and
//! nothing is sealed or opened with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::keys::budget::Purpose;
use crate::keys::refusal::{Refusal, Unavailable};
use crate::keys::service::{Record, Wrapped};
use crate::keys::tenant::{TenantKeys, of_one_version};
use crate::keys::{Keys, NotOurs};
use crate::seal::{Dek, DekId, Envelope, KeyVersion};
use crate::telemetry::audit::{self, Event};

/// How often a call that nobody answered is tried again before the DEK is left for another run.
const TRIES: u32 = 5;

/// A tenant's DEKs and what each is wrapped under.
pub struct Rewrap {
    keys: Arc<TenantKeys>,
    newest: KeyVersion,
    deks: BTreeMap<DekId, BTreeMap<KeyVersion, Envelope>>,
    /// Versions that have said no, which are not asked again.
    refused: HashMap<KeyVersion, Refusal>,
    disbelieved: usize,
}

/// What is wrapped under one version of the CMK.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Under {
    /// DEKs with a record under it.
    pub deks: usize,
    /// Those of them that have none under the newest: without this version, what they sealed can't be read.
    pub left: usize,
}

/// Why a DEK was not wrapped again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewrapError {
    /// The key's owner, or nobody, answered.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The record holds another DEK than it says, or none.
    #[error("{0}")]
    NotOurs(NotOurs),
}

impl Keys {
    /// Reads a tenant's keyring, and asks the vault which version is the newest that may be wrapped with. `None` without such a
    /// tenant.
    ///
    /// # Errors
    /// The vault, Entra or the keyring did not answer, the customer said no, or no version may be wrapped with.
    pub async fn rewrap(&self, tenant: &str) -> Option<Result<Rewrap, Refusal>> {
        let keys = Arc::clone(self.tenants.get(tenant)?);
        Some(Rewrap::of(keys).await)
    }
}

impl Rewrap {
    async fn of(keys: Arc<TenantKeys>) -> Result<Self, Refusal> {
        let newest = keys.to_rewrap_under().await?;
        let records = keys.deks.keyring.all(&keys.deks.tenant).await;
        let mut this = Self {
            keys,
            newest,
            deks: BTreeMap::new(),
            refused: HashMap::new(),
            disbelieved: 0,
        };
        for record in records.map_err(|_| Unavailable::Keyring)? {
            if this.find(record) == Found::Disbelieved {
                this.disbelieved += 1;
            }
        }
        Ok(this)
    }

    /// The version that DEKs are wrapped under.
    pub fn newest(&self) -> KeyVersion {
        self.newest
    }

    /// Records of the keyring that no gate of this fleet made for this tenant and CMK. They are left alone.
    pub fn disbelieved(&self) -> usize {
        self.disbelieved
    }

    /// Takes a DEK up from wherever its envelope was found: in an object, where the keyring has lost it.
    pub fn find(&mut self, record: Record) -> Found {
        if !self.keys.rewrapped.believes(&record) {
            return Found::Disbelieved;
        }
        let known = self.deks.contains_key(&record.dek);
        let versions = self.deks.entry(record.dek).or_default();
        versions.insert(record.envelope.version(), record.envelope);
        match known {
            true => Found::Known,
            false => Found::New,
        }
    }

    /// The DEKs that are still to be wrapped under the newest version: all, or those that `from` holds.
    pub fn left(&self, from: Option<KeyVersion>) -> Vec<DekId> {
        let deks = self.deks.iter().filter(|(_, versions)| {
            !versions.contains_key(&self.newest) && from.is_none_or(|from| versions.contains_key(&from))
        });
        deks.map(|(dek, _)| *dek).collect()
    }

    /// What is under each version, the newest too.
    pub fn versions(&self) -> BTreeMap<KeyVersion, Under> {
        let mut found: BTreeMap<KeyVersion, Under> = BTreeMap::new();
        for versions in self.deks.values() {
            let left = !versions.contains_key(&self.newest);
            for version in versions.keys() {
                let under = found.entry(*version).or_default();
                under.deks += 1;
                under.left += usize::from(left);
            }
        }
        found
    }

    /// Versions without which something can't be read, and which the vault refuses already.
    pub fn refused(&self) -> BTreeSet<KeyVersion> {
        self.refused.keys().copied().collect()
    }

    /// Wraps one DEK under the newest version and records it, unless that is done. What nobody answered is tried again a few
    /// times, ever more slowly and as the service wishes.
    ///
    /// # Errors
    /// [`RewrapError`]; the DEK stays as it was, and another run tries it again.
    pub async fn rewrap(&mut self, dek: DekId) -> Result<(), RewrapError> {
        let Some(versions) = self.deks.get(&dek).filter(|it| !it.contains_key(&self.newest)) else {
            return Ok(());
        };
        let envelopes: Vec<Envelope> = versions.values().cloned().collect();
        // There is one at least.
        let version = versions.keys().next().map_or(self.newest, |version| *version);
        let mut failed = RewrapError::NotOurs(NotOurs::Envelope { version });
        for envelope in envelopes {
            let version = envelope.version();
            if let Some(no) = self.refused.get(&version) {
                failed = (*no).into();
                continue;
            }
            match self.rewrap_from(dek, &envelope).await {
                Ok(made) => {
                    self.deks.entry(dek).or_default().insert(self.newest, made);
                    return Ok(());
                }
                Err((At::Old, no)) if of_one_version(no) => {
                    self.refused.insert(version, no);
                    failed = no.into();
                }
                // Another record of the same DEK may be whole.
                Err((At::Old, Refusal::BadEnvelope)) => {}
                Err((_, refusal)) => return Err(refusal.into()),
            }
        }
        Err(failed)
    }

    async fn rewrap_from(&self, dek: DekId, envelope: &Envelope) -> Result<Envelope, (At, Refusal)> {
        let wrapped = Wrapped {
            algorithm: envelope.algorithm(),
            bytes: envelope.wrapped().to_vec(),
        };
        let plain = self.unwrap(dek, envelope.version(), &wrapped).await;
        let plain = plain.map_err(|refusal| (At::Old, refusal))?;
        let made = self.wrap(&plain).await.map_err(|refusal| (At::New, refusal))?;
        drop(plain);
        let record = Record { dek, envelope: made };
        let keyring = &self.keys.deks.keyring;
        let stored = keyring.put_rewrapped(&self.keys.deks.tenant, &record).await;
        stored.map_err(|_| (At::New, Unavailable::Keyring.into()))?;
        audit::record(&Event::DekRewrapped {
            tenant: &self.keys.deks.tenant,
            version: &self.newest,
            from: &envelope.version(),
            dek: &dek,
        });
        Ok(record.envelope)
    }

    /// Wrapped, and unwrapped once: wrapKey by itself proves nothing.
    async fn wrap(&self, plain: &Dek) -> Result<Envelope, Refusal> {
        let again = Again::new(&self.keys);
        let wrapped = again
            .while_silent(async || {
                let session = self.keys.sessions.policy().await?;
                session.wrap(self.newest, plain.expose()).await
            })
            .await?;
        self.unwrap(plain.id(), self.newest, &wrapped).await?;
        let deks = &self.keys.deks;
        let made = Envelope::new(
            wrapped.algorithm,
            deks.cmk,
            self.newest,
            &wrapped.bytes,
            &deks.tenant,
            plain.id(),
            &deks.origin,
        );
        made.map_err(|_| Refusal::BadEnvelope)
    }

    async fn unwrap(&self, dek: DekId, version: KeyVersion, wrapped: &Wrapped) -> Result<Dek, Refusal> {
        let again = Again::new(&self.keys);
        let plain = again
            .while_silent(async || {
                let now = self.keys.deks.clock.now();
                let (session, _) = self.keys.sessions.to_prove(Purpose::Other, now).await?;
                session.unwrap(version, wrapped).await
            })
            .await?;
        match plain.id() == dek {
            true => Ok(plain),
            false => Err(Refusal::BadEnvelope),
        }
    }
}

/// What became of a record that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A DEK that the keyring does not have.
    New,
    /// One that is known already.
    Known,
    /// No gate of this fleet made it for this tenant and CMK.
    Disbelieved,
}

/// Under which version a call failed.
enum At {
    Old,
    New,
}

/// Patience with a vault that says nothing of use: a rewrap is in no hurry.
struct Again<'a> {
    keys: &'a TenantKeys,
}

impl<'a> Again<'a> {
    fn new(keys: &'a TenantKeys) -> Self {
        Self { keys }
    }

    async fn while_silent<T>(&self, call: impl AsyncFn() -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut pause = Duration::from_secs(1);
        let mut tries = 1;
        loop {
            match call().await {
                Err(refusal @ Refusal::Unavailable(_)) if tries < TRIES => {
                    tries += 1;
                    let clock = &self.keys.deks.clock;
                    clock.sleep(pause.max(refusal.retry_after().unwrap_or_default())).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
    }
}
