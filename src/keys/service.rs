//! What the lease machine asks of a key's vault and of the keyring's store: two traits, each with the real thing behind it
//! in production and a seeded one in the simulation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::keys::refusal::{Refusal, Revoked};
use crate::seal::{Dek, DekId, Envelope, KeyVersion, WrapAlgorithm};
use crate::telemetry::clock::Moment;

/// A tenant's CMK in its vault.
#[async_trait]
pub trait KeyVault: Send + Sync {
    /// Which vault it is in: all keys of one share a budget of calls.
    fn host(&self) -> &str;
    /// The client id of the application that Entra gives its tokens to, which other tenants may share; `None` where the identity is
    /// its own.
    fn application(&self) -> Option<&str> {
        None
    }
    /// Exchanges a token now, past every cache, and gives a session that uses it.
    async fn session(&self) -> Result<Arc<dyn VaultSession>, Refusal>;
}

/// Calls to the vault with one token, each a single one over the wire: the budget counts them.
#[async_trait]
pub trait VaultSession: Send + Sync {
    /// When the session's token ends, since the Unix epoch: a new one is exchanged before.
    fn token_ends(&self) -> Duration;
    /// The newest version and its attributes (getKey), whether it is usable or not, or the one that the configuration pins.
    /// Policy, not proof: it succeeds on a disabled key.
    async fn current(&self) -> Result<KeyState, Refusal>;
    /// One version and its attributes (getKey). Policy, not proof, like `current`.
    async fn state(&self, version: KeyVersion) -> Result<KeyState, Refusal>;
    /// All versions, newest first, or only the one that the configuration pins. Policy, not proof, like `current`.
    async fn versions(&self) -> Result<Vec<KeyState>, Refusal>;
    /// Wraps a DEK (wrapKey). No proof either: it needs only the public half.
    async fn wrap(&self, version: KeyVersion, dek: &[u8; 32]) -> Result<Wrapped, Refusal>;
    /// Unwraps a DEK (unwrapKey) over the wire: the one proof of access there is.
    async fn unwrap(&self, version: KeyVersion, wrapped: &Wrapped) -> Result<Dek, Refusal>;
}

/// A CMK version as the vault describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Which version.
    pub version: KeyVersion,
    /// The vault's `enabled` attribute.
    pub enabled: bool,
    /// `exp`, since the Unix epoch: nothing new is sealed past it, and by the tenant's terms nothing opened. Key Vault itself
    /// still unwraps (see docs/KEYS.md).
    pub expires: Option<Duration>,
    /// `nbf`, since the Unix epoch.
    pub not_before: Option<Duration>,
}

impl KeyState {
    /// Whether something new may be sealed under it at `now`, by the key's own `nbf` and `exp`.
    ///
    /// # Errors
    /// Which of the two forbids it.
    pub fn sealable(&self, now: Moment) -> Result<(), Revoked> {
        if self.expires.is_some_and(|expires| now.wall >= expires) {
            return Err(Revoked::KeyExpired);
        }
        if self.not_before.is_some_and(|start| now.wall < start) {
            return Err(Revoked::KeyNotYetValid);
        }
        Ok(())
    }
}

/// A wrapped DEK and how it was wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The algorithm the vault was asked to use.
    pub algorithm: WrapAlgorithm,
    /// The vault's answer.
    pub bytes: Vec<u8>,
}

/// Thirty days of a tenant's DEKs; a new epoch begins a new DEK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

impl Epoch {
    /// Days in an epoch.
    pub const DAYS: u64 = 30;

    /// The epoch that holds `now`.
    pub fn of(now: Moment) -> Self {
        Self(now.wall.as_secs() / (Self::DAYS * 86_400))
    }

    /// This epoch and the `before` ones before it, newest first.
    pub fn and_before(self, before: u64) -> impl Iterator<Item = Self> {
        (self.0.saturating_sub(before)..=self.0).rev().map(Self)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:06}", self.0)
    }
}

/// A keyring record: one DEK's envelope, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The DEK's id, which is also the record's name.
    pub dek: DekId,
    /// What unwraps it.
    pub envelope: Envelope,
}

/// Where a fleet keeps the envelopes of its shared DEKs: the upstream's system container.
#[async_trait]
pub trait Keyring: Send + Sync {
    /// All records of a tenant's epoch. What does not parse is left out: it lies in an untrusted store.
    async fn list(&self, tenant: &str, epoch: Epoch) -> Result<Vec<Record>, KeyringError>;
    /// Writes a record; returns when it is stored.
    async fn put(&self, tenant: &str, epoch: Epoch, record: &Record) -> Result<(), KeyringError>;
    /// The record that a rewrap left of a DEK under this version of the CMK, if there is one that parses.
    async fn rewrapped(&self, tenant: &str, dek: DekId, version: KeyVersion) -> Result<Option<Record>, KeyringError>;
    /// The versions that rewraps say to have left records of a DEK under, in no order.
    async fn rewrapped_under(&self, tenant: &str, dek: DekId) -> Result<Vec<KeyVersion>, KeyringError>;
    /// Writes what a rewrap made, beside the DEK's other records; returns when it is stored. It is not found by
    /// [`Self::list`]: what a DEK was wrapped again under is no reason to seal anything new under that DEK.
    async fn put_rewrapped(&self, tenant: &str, record: &Record) -> Result<(), KeyringError>;
    /// Every record of a tenant: of all epochs, and those of rewraps.
    async fn all(&self, tenant: &str) -> Result<Vec<Record>, KeyringError>;
}

/// The keyring's store did not do it. What it said stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keyring is out of reach")]
pub struct KeyringError;
