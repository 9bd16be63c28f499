//! Where else a DEK is wrapped: what rewraps have left in the keyring, for objects whose own envelope names a version of the CMK
//! that is refused or gone.
//!
//! Nothing of it is trusted before its origin holds for this tenant and DEK. What was found is remembered for as long as it is of
//! use; that nothing was found, or that the keyring was out of reach, for a moment only, and one search at a time runs for a
//! tenant: so a crowd of readers under a version that is gone costs the store a few small requests and the vault none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::keys::refusal::{Refusal, Unavailable};
use crate::keys::service::{Keyring, KeyringError, Record};
use crate::seal::{CmkRef, DekId, Envelope, KeyVersion, OriginSecrets};
use crate::telemetry::clock::{Clock, Moment};

/// Of so many DEKs it is remembered where else they are wrapped.
const REMEMBERED: usize = 4096;

/// How many records of one DEK are read in a search: those under the newest versions do, and there is no order to go by.
const READ_AT_MOST: usize = 8;

/// After a search that the store did not answer, the next one waits this long.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a tenant's rewraps have left.
pub(super) struct Rewrapped {
    pub(super) tenant: Arc<str>,
    pub(super) cmk: CmkRef,
    pub(super) clock: Clock,
    pub(super) origin: Arc<OriginSecrets>,
    pub(super) keyring: Arc<dyn Keyring>,
    /// How long nothing found is an answer.
    pub(super) look_again: Duration,
    pub(super) known: Mutex<HashMap<DekId, Known>>,
    pub(super) searching: tokio::sync::Mutex<()>,
}

/// What the last search for a DEK gave.
#[derive(Clone)]
pub(super) struct Known {
    found: Result<Vec<Arc<Envelope>>, Refusal>,
    looked: Moment,
}

impl Rewrapped {
    /// What is remembered of a DEK. Asks nobody.
    pub(super) fn known(&self, dek: DekId) -> Vec<Arc<Envelope>> {
        let found = self.memory().get(&dek).and_then(|known| known.found.clone().ok());
        found.unwrap_or_default()
    }

    /// The envelopes under other versions than `not`, that of `first` before the others. Searches the keyring, unless that was
    /// done a moment ago.
    ///
    /// # Errors
    /// The keyring is out of reach.
    pub(super) async fn search(
        &self,
        dek: DekId,
        first: Option<KeyVersion>,
        not: &[KeyVersion],
    ) -> Result<Vec<Arc<Envelope>>, Refusal> {
        if let Some(answer) = self.recent(dek) {
            return answer;
        }
        let _one = self.searching.lock().await;
        // Whoever searched before may have looked for the same.
        if let Some(answer) = self.recent(dek) {
            return answer;
        }
        let looked = self.clock.now();
        let found = self.look(dek, first, not).await;
        let found = found.map_err(|KeyringError| Unavailable::Keyring.into());
        let mut memory = self.memory();
        if memory.len() >= REMEMBERED {
            memory.clear();
        }
        let known = Known {
            found: found.clone(),
            looked,
        };
        memory.insert(dek, known);
        found
    }

    /// Whether the record may be believed: the fleet made it, for this tenant's DEK of that id and under this tenant's CMK.
    pub(super) fn believes(&self, record: &Record) -> bool {
        record.envelope.cmk() == self.cmk && self.origin.verify(&self.tenant, record.dek, &record.envelope).is_ok()
    }

    fn recent(&self, dek: DekId) -> Option<Result<Vec<Arc<Envelope>>, Refusal>> {
        let memory = self.memory();
        let known = memory.get(&dek)?;
        let pause = match &known.found {
            Ok(_) => self.look_again,
            Err(_) => AFTER_FAILURE,
        };
        (self.clock.now().since(known.looked) < pause).then(|| known.found.clone())
    }

    async fn look(
        &self,
        dek: DekId,
        first: Option<KeyVersion>,
        not: &[KeyVersion],
    ) -> Result<Vec<Arc<Envelope>>, KeyringError> {
        // Where a rewrap has kept up with rotation this is all there is to ask.
        if let Some(version) = first.filter(|version| !not.contains(version))
            && let Some(envelope) = self.read(dek, version).await?
        {
            return Ok(vec![envelope]);
        }
        let mut versions = self.keyring.rewrapped_under(&self.tenant, dek).await?;
        versions.retain(|version| !not.contains(version) && Some(*version) != first);
        versions.sort_unstable();
        let mut found = Vec::new();
        for version in versions.into_iter().take(READ_AT_MOST) {
            found.extend(self.read(dek, version).await?);
        }
        Ok(found)
    }

    async fn read(&self, dek: DekId, version: KeyVersion) -> Result<Option<Arc<Envelope>>, KeyringError> {
        let record = self.keyring.rewrapped(&self.tenant, dek, version).await?;
        let ours =
            record.filter(|record| record.dek == dek && record.envelope.version() == version && self.believes(record));
        Ok(ours.map(|record| Arc::new(record.envelope)))
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<DekId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
