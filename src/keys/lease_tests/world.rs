//! A fleet of gates in one test: a vault that answers as it is told, Entra before it, and a keyring in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::keys::budget::Budgets;
use crate::keys::refusal::{KeyRefusal, Refusal, Revoked, Service, Unavailable};
use crate::keys::service::{Epoch, KeyState, KeyVault, Keyring, KeyringError, Record, VaultSession, Wrapped};
use crate::keys::{Bounds, Keys, TenantKey, Terms};
use crate::seal::{CmkRef, Dek, DekId, Envelope, KeyVersion, OriginSecrets, WrapAlgorithm};
use crate::telemetry::clock::{Clock, Skew};

pub const TENANT: &str = "acme";
pub const BOUND: Duration = Duration::from_secs(30);
pub const IDENTITY: Duration = Duration::from_secs(600);

/// Clocks, vaults and keyring of a fleet; gates are started with [`World::gate`].
pub struct World {
    pub clock: Clock,
    pub skew: Arc<Skew>,
    pub vault: Arc<Desk>,
    pub other: Arc<Desk>,
    pub ring: Arc<Ring>,
    pub origin: Arc<OriginSecrets>,
}

impl World {
    pub fn new() -> Self {
        let (clock, skew) = Clock::virtual_time(7);
        Self {
            clock,
            skew,
            vault: Arc::default(),
            other: Arc::default(),
            ring: Arc::default(),
            origin: Arc::new(OriginSecrets::new([[9_u8; 32]]).unwrap()),
        }
    }

    /// A gate with the tenants `acme` and `other`, each with a vault of its own.
    pub fn gate(&self) -> Arc<Keys> {
        self.gate_within(Budgets::default(), [TENANT, "other"])
    }

    /// A gate whose tenants' keys are in these vaults, and which calls each of them so often.
    pub fn gate_within(&self, budgets: Budgets, hosts: [&str; 2]) -> Arc<Keys> {
        self.gate_on(Terms::default(), budgets, hosts)
    }

    /// A gate whose tenants have agreed to these terms.
    pub fn gate_on(&self, terms: Terms, budgets: Budgets, hosts: [&str; 2]) -> Arc<Keys> {
        let tenants = [(TENANT, &self.vault, hosts[0]), ("other", &self.other, hosts[1])];
        self.gate_of(terms, budgets, &tenants)
    }

    /// A gate of these tenants, each at a desk behind a host, and all of them with one application.
    pub fn gate_of(&self, terms: Terms, budgets: Budgets, tenants: &[(&str, &Arc<Desk>, &str)]) -> Arc<Keys> {
        let tenants = tenants.iter().map(|(name, desk, host)| TenantKey {
            tenant: (*name).into(),
            cmk: cmk(name),
            terms,
            vault: Box::new(Door(Arc::clone(desk), self.clock.clone(), (*host).to_owned())),
        });
        let ring: Arc<dyn Keyring> = Arc::clone(&self.ring) as Arc<dyn Keyring>;
        let bounds = Bounds::new(BOUND, IDENTITY);
        Arc::new(Keys::new(
            tenants.collect(),
            &self.origin,
            &ring,
            &self.clock,
            bounds,
            budgets,
        ))
    }

    /// The record of the DEK that a lease stands for.
    pub fn record(&self, dek: DekId) -> Record {
        let records = self.ring.0.lock().unwrap();
        let found = records.records.iter().find(|(_, _, record)| record.dek == dek);
        found.map(|(_, _, record)| record.clone()).unwrap()
    }

    /// An honest envelope of a tenant's, which no gate has seen yet.
    pub fn envelope(&self, tenant: &str, version: KeyVersion, dek: &Dek) -> Envelope {
        let masked = dek.expose().iter().map(|byte| byte ^ 0x5a);
        let wrapped: Vec<u8> = version.as_bytes().iter().copied().chain(masked).collect();
        let algorithm = WrapAlgorithm::RsaOaep256;
        Envelope::new(
            algorithm,
            cmk(tenant),
            version,
            &wrapped,
            tenant,
            dek.id(),
            &self.origin,
        )
        .unwrap()
    }

    /// An envelope with a true origin around bytes that the vault never wrapped.
    pub fn bad_envelope(&self, dek: DekId) -> Envelope {
        let version = version(1);
        Envelope::new(
            WrapAlgorithm::RsaOaep256,
            cmk(TENANT),
            version,
            &[1; 48],
            TENANT,
            dek,
            &self.origin,
        )
        .unwrap()
    }
}

pub fn cmk(tenant: &str) -> CmkRef {
    CmkRef::of(&format!("https://{tenant}.vault.azure.net/keys/gate"))
}

pub fn version(number: u8) -> KeyVersion {
    hex::encode([number; 16]).parse().unwrap()
}

/// Lets `span` of virtual time pass.
pub async fn pass(span: Duration) {
    tokio::time::sleep(span).await;
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The reason alone of a refusal.
pub fn why<T>(refused: Result<T, KeyRefusal>) -> Option<Refusal> {
    refused.err().map(|refused| refused.why)
}

pub fn silent() -> Refusal {
    Unavailable::Timeout { by: Service::Vault }.into()
}

pub fn throttled(seconds: Option<u64>, by: Service) -> Refusal {
    let retry_after = seconds.map(Duration::from_secs);
    Unavailable::Throttled { by, retry_after }.into()
}

/// The desk of a vault: what it answers, and what it was asked.
#[derive(Default)]
pub struct Desk(Mutex<Answers>);

#[derive(Default)]
pub struct Answers {
    /// Newest last.
    pub versions: Vec<KeyState>,
    /// What unwrapKey answers instead of the truth, of every version.
    pub unwrap: Option<Refusal>,
    /// How long unwrapKey takes; the answer is settled when it is asked.
    pub takes: Duration,
    /// Answers of the next unwrapKey calls, before all else.
    pub next: VecDeque<(Duration, Result<(), Refusal>)>,
    /// What getKey answers instead of a version's state.
    pub look: Option<Refusal>,
    /// What an exchange at Entra answers instead of a token.
    pub entra: Option<Refusal>,
    pub entra_takes: Duration,
    pub unwraps: usize,
    /// Of which versions, in order.
    pub asked_of: Vec<KeyVersion>,
    pub wraps: usize,
    pub looks: usize,
    pub exchanges: usize,
}

impl Desk {
    pub fn set(&self) -> MutexGuard<'_, Answers> {
        let mut answers = self.0.lock().unwrap();
        if answers.versions.is_empty() {
            answers.versions.push(key(1));
        }
        answers
    }

    pub fn unwraps(&self) -> usize {
        self.set().unwraps
    }

    /// Calls to the vault, of every kind.
    pub fn calls(&self) -> usize {
        let answers = self.set();
        answers.unwraps + answers.wraps + answers.looks
    }

    pub fn wraps(&self) -> usize {
        self.set().wraps
    }

    pub fn disable(&self, number: u8) {
        self.change(number, |key| key.enabled = false);
    }

    pub fn change(&self, number: u8, change: impl Fn(&mut KeyState)) {
        let mut answers = self.set();
        let rows = answers.versions.iter_mut();
        rows.filter(|key| key.version == version(number)).for_each(change);
    }
}

pub fn key(number: u8) -> KeyState {
    KeyState {
        version: version(number),
        enabled: true,
        expires: None,
        not_before: None,
    }
}

struct Door(Arc<Desk>, Clock, String);

struct Visit {
    desk: Arc<Desk>,
    token_ends: Duration,
}

#[async_trait]
impl KeyVault for Door {
    fn host(&self) -> &str {
        &self.2
    }

    fn application(&self) -> Option<&str> {
        Some("one-application")
    }

    async fn session(&self) -> Result<Arc<dyn VaultSession>, Refusal> {
        let (takes, answer) = {
            let mut answers = self.0.set();
            answers.exchanges += 1;
            (answers.entra_takes, answers.entra)
        };
        pass(takes).await;
        match answer {
            Some(refusal) => Err(refusal),
            None => Ok(Arc::new(Visit {
                desk: Arc::clone(&self.0),
                token_ends: self.1.now().wall + seconds(3600),
            })),
        }
    }
}

#[async_trait]
impl VaultSession for Visit {
    fn token_ends(&self) -> Duration {
        self.token_ends
    }

    async fn current(&self) -> Result<KeyState, Refusal> {
        let mut answers = self.desk.set();
        answers.looks += 1;
        if let Some(refusal) = answers.look {
            return Err(refusal);
        }
        answers
            .versions
            .last()
            .copied()
            .ok_or(Refusal::Revoked(Revoked::KeyNotFound))
    }

    async fn state(&self, version: KeyVersion) -> Result<KeyState, Refusal> {
        let mut answers = self.desk.set();
        answers.looks += 1;
        if let Some(refusal) = answers.look {
            return Err(refusal);
        }
        let found = answers.versions.iter().find(|key| key.version == version);
        found.copied().ok_or(Refusal::Revoked(Revoked::KeyNotFound))
    }

    async fn versions(&self) -> Result<Vec<KeyState>, Refusal> {
        let mut answers = self.desk.set();
        answers.looks += 1;
        Ok(answers.versions.iter().rev().copied().collect())
    }

    async fn wrap(&self, version: KeyVersion, dek: &[u8; 32]) -> Result<Wrapped, Refusal> {
        self.desk.set().wraps += 1;
        let mut bytes = version.as_bytes().to_vec();
        bytes.extend(dek.iter().map(|byte| byte ^ 0x5a));
        Ok(Wrapped {
            algorithm: WrapAlgorithm::RsaOaep256,
            bytes,
        })
    }

    async fn unwrap(&self, version: KeyVersion, wrapped: &Wrapped) -> Result<Dek, Refusal> {
        let (takes, answer) = {
            let mut answers = self.desk.set();
            answers.unwraps += 1;
            answers.asked_of.push(version);
            let truth = match answers.versions.iter().find(|key| key.version == version) {
                None => Err(Revoked::KeyNotFound.into()),
                Some(key) if !key.enabled => Err(Revoked::KeyDisabled.into()),
                Some(_) => answers.unwrap.map_or(Ok(()), Err),
            };
            let told = (answers.takes, truth);
            answers.next.pop_front().unwrap_or(told)
        };
        pass(takes).await;
        answer?;
        let (stamp, masked) = wrapped.bytes.split_at(16);
        if stamp != version.as_bytes() {
            return Err(Refusal::BadEnvelope);
        }
        let dek: Vec<u8> = masked.iter().map(|byte| byte ^ 0x5a).collect();
        Ok(Dek::from_bytes(&dek).unwrap())
    }
}

/// The keyring's store.
#[derive(Default)]
pub struct Ring(pub Mutex<Shelf>);

#[derive(Default)]
pub struct Shelf {
    pub records: Vec<(String, Epoch, Record)>,
    /// What rewraps left.
    pub rewrapped: Vec<(String, Record)>,
    /// How often somebody looked for what rewraps left.
    pub searches: usize,
    pub down: bool,
    pub takes: Duration,
}

#[async_trait]
impl Keyring for Ring {
    async fn list(&self, tenant: &str, epoch: Epoch) -> Result<Vec<Record>, KeyringError> {
        let shelf = self.0.lock().unwrap();
        if shelf.down {
            return Err(KeyringError);
        }
        let found = shelf
            .records
            .iter()
            .filter(|(of, in_epoch, _)| of == tenant && *in_epoch == epoch);
        Ok(found.map(|(_, _, record)| record.clone()).collect())
    }

    async fn put(&self, tenant: &str, epoch: Epoch, record: &Record) -> Result<(), KeyringError> {
        let takes = self.0.lock().unwrap().takes;
        pass(takes).await;
        let mut shelf = self.0.lock().unwrap();
        if shelf.down {
            return Err(KeyringError);
        }
        shelf.records.push((tenant.to_owned(), epoch, record.clone()));
        Ok(())
    }

    async fn rewrapped(&self, tenant: &str, dek: DekId, version: KeyVersion) -> Result<Option<Record>, KeyringError> {
        let found = self.0.lock().unwrap().of(tenant, dek)?;
        Ok(found.into_iter().find(|record| record.envelope.version() == version))
    }

    async fn rewrapped_under(&self, tenant: &str, dek: DekId) -> Result<Vec<KeyVersion>, KeyringError> {
        let mut shelf = self.0.lock().unwrap();
        shelf.searches += 1;
        let found = shelf.of(tenant, dek)?;
        Ok(found.iter().map(|record| record.envelope.version()).collect())
    }

    async fn put_rewrapped(&self, tenant: &str, record: &Record) -> Result<(), KeyringError> {
        let mut shelf = self.0.lock().unwrap();
        if shelf.down {
            return Err(KeyringError);
        }
        shelf.rewrapped.push((tenant.to_owned(), record.clone()));
        Ok(())
    }

    async fn all(&self, tenant: &str) -> Result<Vec<Record>, KeyringError> {
        let shelf = self.0.lock().unwrap();
        if shelf.down {
            return Err(KeyringError);
        }
        let made = shelf.records.iter().map(|(of, _, record)| (of, record));
        let again = shelf.rewrapped.iter().map(|(of, record)| (of, record));
        let ours = made.chain(again).filter(|(of, _)| *of == tenant);
        Ok(ours.map(|(_, record)| record.clone()).collect())
    }
}

impl Shelf {
    fn of(&self, tenant: &str, dek: DekId) -> Result<Vec<Record>, KeyringError> {
        if self.down {
            return Err(KeyringError);
        }
        let ours = self
            .rewrapped
            .iter()
            .filter(|(of, record)| of == tenant && record.dek == dek);
        Ok(ours.map(|(_, record)| record.clone()).collect())
    }
}
