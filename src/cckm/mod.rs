//! What Thales CipherTrust Cloud Key Management (CCKM) says of the tenants' keys: a read-only client of CipherTrust Manager's REST
//! API, asked at intervals.
//!
//! It warns, and makes the gate ask a key's vault sooner. It is never an authority: what CCKM says is a copy that it took of Azure at
//! `syncedAt`, so only the vault and Entra begin and end leases, and a CCKM that is silent changes nothing. docs/cckm.md.

mod client;
mod row;
mod schedule;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use zeroize::Zeroizing;

pub use client::CckmError;
pub use row::{KeyRow, State};
pub use schedule::Schedule;
pub use watch::{Board, Notice, Proof, Prover, Seen, Watch};

/// One CipherTrust Manager, and whose keys are looked for there.
#[derive(Clone)]
pub struct CckmOptions {
    /// Its name in the configuration.
    pub name: String,
    /// `https://host[:port]`.
    pub endpoint: Url,
    /// A user who may read Azure keys and schedules, and nothing more.
    pub username: String,
    /// The user's password.
    pub password: Password,
    /// The domain that the keys are in; the root domain if `None`.
    pub domain: Option<String>,
    /// The only certificates to trust, as PEM: a CipherTrust Manager usually has an authority of its own.
    pub ca_pem: Option<Vec<u8>>,
    /// How often it is asked.
    pub interval: Duration,
    /// The tenants, in the order of their names.
    pub tenants: Vec<Watched>,
}

/// A tenant whose key is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The tenant's name.
    pub tenant: Arc<str>,
    /// The key's URL without version, as the vault names it.
    pub key: String,
}

impl Watched {
    /// The key's name in its vault.
    fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }
}

/// A password: wiped when dropped, and never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Of this text.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    fn expose(&self) -> &str {
        &self.0
    }
}
