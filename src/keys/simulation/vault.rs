//! The customers' side: the truth about each tenant's key, the vault and Entra that tell it, sometimes late or not at all,
//! and the store that holds the keyring.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use crate::keys::refusal::{Refusal, Revoked, Service, Unavailable};
use crate::keys::service::{Epoch, KeyState, KeyVault, Keyring, KeyringError, Record, VaultSession, Wrapped};
use crate::keys::simulation::judge::{Judge, Said};
use crate::keys::simulation::{Dice, Life};
use crate::seal::{Dek, DekId, KeyVersion, WrapAlgorithm};
use crate::telemetry::clock::{Clock, Moment};

/// A network that is well takes no longer than this each way.
pub const FAST: Duration = Duration::from_millis(50);

/// What is true of one tenant, whoever knows it.
pub struct Truth {
    pub number: usize,
    pub name: String,
    /// The vault that its key is in.
    pub host: String,
    state: Mutex<State>,
}

pub struct State {
    /// Oldest first, and whether each is enabled.
    pub versions: Vec<(KeyVersion, bool)>,
    /// The customer's no to the application as a whole.
    pub role_missing: bool,
    /// The customer's no at Entra.
    pub app_disabled: bool,
    pub vault: Weather,
    pub entra: Weather,
    pub calls: u64,
    dice: Dice,
}

/// How a service answers at present.
#[derive(Clone, Copy, Debug)]
pub enum Weather {
    Fine,
    /// Each way takes up to so long.
    Slow(Duration),
    /// It answers at once, with this.
    Failing(Refusal),
    /// It answers nothing, for so long.
    Hanging(Duration),
    /// Either, as it comes.
    Flapping(Refusal),
}

impl Truth {
    pub fn new(number: u64, seed: u64, host: String, versions: u8) -> Arc<Self> {
        Arc::new(Self {
            number: usize::try_from(number).unwrap(),
            name: format!("tenant-{number}"),
            host,
            state: Mutex::new(State {
                versions: (1..=versions).map(|number| (version(number), true)).collect(),
                role_missing: false,
                app_disabled: false,
                vault: Weather::Fine,
                entra: Weather::Fine,
                calls: 0,
                dice: Dice::new(seed, 100 + number),
            }),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn door(self: &Arc<Self>, life: Life, clock: Clock, judge: &Arc<Judge>) -> Door {
        Door {
            truth: Arc::clone(self),
            life,
            clock,
            judge: Arc::clone(judge),
        }
    }
}

impl State {
    /// Whether the customer lets this version be used; the reason if not.
    pub fn verdict(&self, version: KeyVersion) -> Result<(), Revoked> {
        if self.role_missing {
            return Err(Revoked::RoleMissing);
        }
        match self.versions.iter().find(|(of, _)| *of == version) {
            Some((_, true)) => Ok(()),
            Some((_, false)) => Err(Revoked::KeyDisabled),
            None => Err(Revoked::KeyNotFound),
        }
    }

    pub fn rotate(&mut self, enabled: bool) -> KeyVersion {
        let next = version(u8::try_from(self.versions.len() + 1).unwrap());
        self.versions.push((next, enabled));
        next
    }
}

/// A DEK as [`Visit`] wraps it.
pub fn wrapped(version: KeyVersion, dek: &[u8; 32]) -> Vec<u8> {
    [version.as_bytes().as_slice(), dek].concat()
}

pub fn version(number: u8) -> KeyVersion {
    hex::encode([number; 16]).parse().unwrap()
}

/// One process's way to a tenant's vault.
#[derive(Clone)]
pub struct Door {
    truth: Arc<Truth>,
    life: Life,
    clock: Clock,
    judge: Arc<Judge>,
}

struct Visit {
    door: Door,
    exchanged: Moment,
}

impl Door {
    /// The way there and back with what is true on arrival.
    async fn call<T>(
        &self,
        by: Service,
        weather: impl Fn(&State) -> Weather,
        truth: impl Fn(&State) -> Result<T, Revoked>,
    ) -> Result<T, Refusal> {
        let host = match by {
            Service::Vault => self.truth.host.as_str(),
            _ => "entra",
        };
        self.judge.called(self.life, host);
        let (there, back, luck) = {
            let mut state = self.truth.state();
            state.calls += 1;
            let most = match weather(&state) {
                Weather::Slow(most) => most,
                _ => FAST,
            };
            let there = state.dice.between(Duration::ZERO, most);
            let back = state.dice.between(Duration::ZERO, most);
            (there, back, state.dice.below(2) == 0)
        };
        tokio::time::sleep(there).await;
        let (hangs, answer) = {
            let state = self.truth.state();
            match weather(&state) {
                Weather::Failing(refusal) => (None, Err(refusal)),
                Weather::Flapping(refusal) if luck => (None, Err(refusal)),
                Weather::Hanging(span) => (Some(span), Err(Unavailable::Timeout { by }.into())),
                _ => (None, truth(&state).map_err(Refusal::from)),
            }
        };
        tokio::time::sleep(hangs.unwrap_or(back)).await;
        answer
    }

    async fn ask<T>(&self, truth: impl Fn(&State) -> Result<T, Revoked>) -> Result<T, Refusal> {
        self.call(Service::Vault, |state| state.vault, truth).await
    }
}

#[async_trait]
impl KeyVault for Door {
    fn host(&self) -> &str {
        &self.truth.host
    }

    async fn session(&self) -> Result<Arc<dyn VaultSession>, Refusal> {
        let exchanged = self.clock.now();
        let asked = (self.life, self.truth.number, None);
        self.judge.asked(asked);
        let truth = |state: &State| match state.app_disabled {
            true => Err(Revoked::AppDisabled),
            false => Ok(()),
        };
        let answer = self.call(Service::Entra, |state| state.entra, truth).await;
        self.judge.answered(asked, answer.err());
        match answer {
            Ok(()) => Ok(Arc::new(Visit {
                door: self.clone(),
                exchanged,
            })),
            Err(refusal) => {
                if matches!(refusal, Refusal::Revoked(_)) {
                    self.judge.entra_said_no(self.life, self.truth.number);
                }
                Err(refusal)
            }
        }
    }
}

#[async_trait]
impl VaultSession for Visit {
    fn token_ends(&self) -> Duration {
        self.exchanged.wall + Duration::from_secs(3600)
    }

    async fn current(&self) -> Result<KeyState, Refusal> {
        let newest = |state: &State| match state.role_missing {
            true => Err(Revoked::RoleMissing),
            false => state.versions.last().copied().ok_or(Revoked::KeyNotFound),
        };
        self.door.ask(newest).await.map(described)
    }

    async fn state(&self, version: KeyVersion) -> Result<KeyState, Refusal> {
        let one = |state: &State| match state.versions.iter().find(|(of, _)| *of == version) {
            Some(known) => Ok(*known),
            None => Err(Revoked::KeyNotFound),
        };
        self.door.ask(one).await.map(described)
    }

    async fn versions(&self) -> Result<Vec<KeyState>, Refusal> {
        let all = self.door.ask(|state| Ok(state.versions.clone())).await?;
        Ok(all.into_iter().rev().map(described).collect())
    }

    async fn wrap(&self, version: KeyVersion, dek: &[u8; 32]) -> Result<Wrapped, Refusal> {
        // Only the public half is needed: a disabled version wraps as well.
        self.door.ask(|_| Ok(())).await?;
        Ok(Wrapped {
            algorithm: WrapAlgorithm::RsaOaep256,
            bytes: wrapped(version, dek),
        })
    }

    async fn unwrap(&self, version: KeyVersion, wrapped: &Wrapped) -> Result<Dek, Refusal> {
        let door = &self.door;
        let said = Said {
            asked: door.clock.now(),
            exchanged: self.exchanged,
        };
        let asked = (door.life, door.truth.number, Some(version));
        door.judge.asked(asked);
        let answer = door.ask(|state| state.verdict(version)).await;
        door.judge.answered(asked, answer.err());
        match answer {
            Ok(()) => {
                door.judge.said_yes(door.life, door.truth.number, version, said);
                let (stamp, dek) = wrapped.bytes.split_at(16);
                if stamp != version.as_bytes() {
                    return Err(Refusal::BadEnvelope);
                }
                Ok(Dek::from_bytes(dek).unwrap())
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::Revoked(_)) {
                    door.judge.said_no(door.life, door.truth.number, version);
                }
                Err(refusal)
            }
        }
    }
}

fn described((version, enabled): (KeyVersion, bool)) -> KeyState {
    KeyState {
        version,
        enabled,
        expires: None,
        not_before: None,
    }
}

/// The store of the fleet's keyring.
pub struct Ring(Mutex<Shelf>);

pub struct Shelf {
    records: Vec<(String, Epoch, Record)>,
    pub weather: Weather,
    dice: Dice,
}

impl Ring {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Shelf {
            records: Vec::new(),
            weather: Weather::Fine,
            dice: Dice::new(seed, 99),
        }))
    }

    pub fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap()
    }

    async fn way(&self) -> Result<(), KeyringError> {
        let (span, up) = {
            let mut shelf = self.shelf();
            let most = match shelf.weather {
                Weather::Slow(most) => most,
                _ => FAST,
            };
            let up = matches!(shelf.weather, Weather::Fine | Weather::Slow(_));
            (shelf.dice.between(Duration::ZERO, most), up)
        };
        tokio::time::sleep(span).await;
        if up { Ok(()) } else { Err(KeyringError) }
    }
}

#[async_trait]
impl Keyring for Ring {
    async fn list(&self, tenant: &str, epoch: Epoch) -> Result<Vec<Record>, KeyringError> {
        self.way().await?;
        let found: Vec<_> = {
            let shelf = self.shelf();
            let ours = shelf.records.iter().filter(|(of, at, _)| of == tenant && *at == epoch);
            ours.map(|(_, _, record)| record.clone()).collect()
        };
        self.way().await?;
        Ok(found)
    }

    async fn put(&self, tenant: &str, epoch: Epoch, record: &Record) -> Result<(), KeyringError> {
        self.way().await?;
        self.shelf().records.push((tenant.to_owned(), epoch, record.clone()));
        // The answer may be lost although the record is stored.
        self.way().await
    }

    /// Nobody rewraps in the simulation.
    async fn rewrapped(&self, _: &str, _: DekId, _: KeyVersion) -> Result<Option<Record>, KeyringError> {
        self.way().await?;
        Ok(None)
    }

    async fn rewrapped_under(&self, _: &str, _: DekId) -> Result<Vec<KeyVersion>, KeyringError> {
        self.way().await?;
        Ok(Vec::new())
    }

    async fn put_rewrapped(&self, _: &str, _: &Record) -> Result<(), KeyringError> {
        Err(KeyringError)
    }

    async fn all(&self, _: &str) -> Result<Vec<Record>, KeyringError> {
        Err(KeyringError)
    }
}

impl Shelf {
    /// Whether a DEK was recorded: none may be used before.
    pub fn holds(&self, dek: DekId) -> bool {
        self.records.iter().any(|(_, _, record)| record.dek == dek)
    }
}
