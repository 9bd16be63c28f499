//! What all services of a running stand-in share: the world, the book, the signing key, its own addresses.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::dev::standin::book::Book;
use crate::dev::standin::hsm;
use crate::dev::standin::ids;
use crate::dev::standin::national::National;
use crate::dev::standin::token::Signer;
use crate::dev::standin::world::World;

/// The shared state. A decision is taken under the world's lock, so whoever changed the world and returned knows that
/// every request arriving from then on is decided by the change.
pub struct Cloud {
    world: Mutex<World>,
    pub book: Book,
    pub signer: Signer,
    /// Of the listener for Entra and the vaults.
    pub https_port: u16,
    /// Of the listener for managed identity.
    pub identity_port: u16,
    /// The bearer secret of the control endpoint, new at every start.
    pub control_token: String,
    /// What App Service gives its app as `IDENTITY_HEADER`, new at every start.
    pub identity_header: String,
    lifetime: Mutex<Option<Duration>>,
    national: Mutex<National>,
}

impl Cloud {
    pub fn new(world: World, signer: Signer, https_port: u16, identity_port: u16) -> Self {
        Self {
            world: Mutex::new(world),
            book: Book::new(),
            signer,
            https_port,
            identity_port,
            control_token: ids::hex32(),
            identity_header: ids::hex32(),
            lifetime: Mutex::new(None),
            national: Mutex::default(),
        }
    }

    /// The world, to read or to change. Every change is one assignment or one insertion, so a panic leaves nothing half done.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `https://{vault}.localhost:{port}` (`….managedhsm.localhost` of an HSM), the vault's one name in key ids, whatever name it was asked by.
    pub fn vault_url(&self, vault: &str) -> String {
        match self.national().vault_host(vault) {
            Some(host) => format!("https://{host}"),
            None => format!("https://{}:{}", hsm::host(vault), self.https_port),
        }
    }

    /// Which of Microsoft's clouds this is.
    pub fn national(&self) -> National {
        *self.national.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is that one.
    pub fn set_national(&self, national: National) {
        *self.national.lock().unwrap_or_else(PoisonError::into_inner) = national;
    }

    /// `https://login.localhost:{port}`.
    pub fn authority(&self) -> String {
        format!("https://{}", self.login())
    }

    /// Entra's host, with the port where it is not 443.
    pub fn login(&self) -> String {
        match self.national().login() {
            Some(host) => host.to_owned(),
            None => format!("login.localhost:{}", self.https_port),
        }
    }

    /// Sets how long all new tokens live; `None` for what Azure does.
    pub fn set_token_lifetime(&self, lifetime: Option<Duration>) {
        *self.lifetime.lock().unwrap_or_else(PoisonError::into_inner) = lifetime;
    }

    /// Seconds for a token of Entra: 60 to 90 minutes, drawn at random as the real ones are.
    pub fn access_token_lifetime(&self) -> u64 {
        self.lifetime().unwrap_or_else(|| 3600 + ids::below(1801))
    }

    /// Seconds for a token of a managed identity: a day.
    pub fn identity_token_lifetime(&self) -> u64 {
        self.lifetime().unwrap_or(86_400)
    }

    /// Seconds for a service account's token: an hour, Kubernetes' default.
    pub fn account_token_lifetime(&self) -> u64 {
        self.lifetime().unwrap_or(3600)
    }

    fn lifetime(&self) -> Option<u64> {
        self.lifetime
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map(|lifetime| lifetime.as_secs())
    }
}
