//! The vault client as the lease machine sees it: [`KeyVault`] on top of the official crates.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

use crate::keys::identity::EntraId;
use crate::keys::refusal::Refusal;
use crate::keys::service::{KeyState, KeyVault, VaultSession, Wrapped};
use crate::keys::vault::{self, Session, Vault};
use crate::seal::{Dek, KeyVersion};

/// A session with the vault it belongs to.
struct Connected {
    vault: Vault,
    session: Session,
}

#[async_trait]
impl KeyVault for Vault {
    fn host(&self) -> &str {
        self.key().vault()
    }

    fn application(&self) -> Option<&str> {
        Self::application(self).map(EntraId::as_str)
    }

    async fn session(&self) -> Result<Arc<dyn VaultSession>, Refusal> {
        let session = Self::session(self).await?;
        Ok(Arc::new(Connected {
            vault: self.clone(),
            session,
        }))
    }
}

#[async_trait]
impl VaultSession for Connected {
    fn token_ends(&self) -> Duration {
        since_epoch(self.session.expires())
    }

    async fn current(&self) -> Result<KeyState, Refusal> {
        Ok(described(&self.vault.current(&self.session).await?))
    }

    async fn state(&self, version: KeyVersion) -> Result<KeyState, Refusal> {
        Ok(described(&self.vault.state(&self.session, version).await?))
    }

    async fn versions(&self) -> Result<Vec<KeyState>, Refusal> {
        if self.vault.key().version().is_some() {
            return Ok(vec![self.current().await?]);
        }
        let versions = self.vault.versions(&self.session).await?;
        let versions = versions.into_iter().map(|row| KeyState {
            version: row.version,
            enabled: row.enabled,
            expires: row.expires.map(since_epoch),
            not_before: row.not_before.map(since_epoch),
        });
        Ok(versions.collect())
    }

    async fn wrap(&self, version: KeyVersion, dek: &[u8; 32]) -> Result<Wrapped, Refusal> {
        self.vault.wrap(&self.session, version, dek).await
    }

    async fn unwrap(&self, version: KeyVersion, wrapped: &Wrapped) -> Result<Dek, Refusal> {
        self.vault.unwrap(&self.session, version, wrapped).await
    }
}

fn described(state: &vault::KeyState) -> KeyState {
    KeyState {
        version: state.version,
        enabled: state.enabled,
        expires: state.expires.map(since_epoch),
        not_before: state.not_before.map(since_epoch),
    }
}

fn since_epoch(moment: SystemTime) -> Duration {
    moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
