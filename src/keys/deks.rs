//! The DEKs a fleet shares: found in the keyring, or made, proved and recorded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::keys::refusal::{KeyRefusal, Refusal, Unavailable};
use crate::keys::service::{Epoch, Keyring, Record};
use crate::keys::session::Sessions;
use crate::keys::version::Version;
use crate::seal::{CmkRef, Dek, DekError, Envelope, OriginSecrets};
use crate::telemetry::audit::{self, Event};
use crate::telemetry::clock::Clock;

/// How many epochs back a DEK is looked for under a key that may seal nothing new: a year.
const EPOCHS_BACK: u64 = 12;

/// One tenant's part of the keyring.
pub(super) struct SharedDeks {
    pub(super) tenant: Arc<str>,
    pub(super) cmk: CmkRef,
    pub(super) clock: Clock,
    pub(super) origin: Arc<OriginSecrets>,
    pub(super) keyring: Arc<dyn Keyring>,
    pub(super) sessions: Arc<Sessions>,
    /// A DEK that was made and proved but could not be recorded: recorded later, never used before.
    pub(super) unrecorded: Mutex<Option<(Epoch, Record)>>,
}

/// Why there is no DEK to write with.
pub(super) enum NoDek {
    /// Entra was asked for a session, or remembered: the sessions keep their own pause.
    Session(Refusal),
    /// This version's proof failed, or its failure was remembered.
    Version(Refusal, Arc<Version>),
    /// Somebody else was asked: the vault about the key, or the keyring.
    Asked(KeyRefusal),
}

impl NoDek {
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::Session(refusal) | Self::Version(refusal, _) => refusal,
            Self::Asked(refusal) => refusal.why,
        }
    }
}

impl SharedDeks {
    /// The smallest valid record: all replicas pick the same.
    pub(super) async fn recorded(&self, version: &Version, epoch: Epoch) -> Result<Option<Record>, NoDek> {
        let records = self
            .keyring
            .list(&self.tenant, epoch)
            .await
            .map_err(|_| out_of_reach())?;
        let ours = records.into_iter().filter(|record| {
            record.envelope.version() == version.id
                && record.envelope.cmk() == self.cmk
                && self.origin.verify(&self.tenant, record.dek, &record.envelope).is_ok()
                && !version.calls_bad(&record.envelope)
        });
        Ok(ours.min_by_key(|record| record.dek))
    }

    /// The newest of this epoch and the year before it.
    pub(super) async fn recorded_of_late(&self, version: &Version, epoch: Epoch) -> Result<Option<Record>, NoDek> {
        for epoch in epoch.and_before(EPOCHS_BACK) {
            if let Some(record) = self.recorded(version, epoch).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Makes a DEK: wrapped, unwrapped once over the wire (wrapping proves nothing), recorded, and only then used. Another
    /// replica may have done so at the same time: the smaller id serves both, the other is never used.
    pub(super) async fn make(&self, version: &Arc<Version>, epoch: Epoch) -> Result<Record, NoDek> {
        let kept = self.unrecorded().take();
        let kept = kept.filter(|(of, record)| *of == epoch && record.envelope.version() == version.id);
        let record = match kept {
            Some((_, record)) => record,
            None => self.proved_dek(version).await?,
        };
        if self.keyring.put(&self.tenant, epoch, &record).await.is_err() {
            *self.unrecorded() = Some((epoch, record));
            return Err(out_of_reach());
        }
        audit::record(&Event::DekMade {
            tenant: &self.tenant,
            version: &version.id,
            dek: &record.dek,
        });
        Ok(self.recorded(version, epoch).await?.unwrap_or(record))
    }

    async fn proved_dek(&self, version: &Arc<Version>) -> Result<Record, NoDek> {
        let refused = |refusal| NoDek::Version(refusal, Arc::clone(version));
        if let Some(refusal) = version.refuses() {
            return Err(refused(refusal));
        }
        let dek = fresh_dek(&self.clock).map_err(|_| NoDek::Asked(Unavailable::Randomness.into()))?;
        let session = self.sessions.policy().await.map_err(NoDek::Session)?;
        let wrapped = session
            .wrap(version.id, dek.expose())
            .await
            .map_err(|no| NoDek::Asked(no.of(version.id)))?;
        let id = dek.id();
        let envelope = Envelope::new(
            wrapped.algorithm,
            self.cmk,
            version.id,
            &wrapped.bytes,
            &self.tenant,
            id,
            &self.origin,
        )
        .map_err(|_| NoDek::Asked(Refusal::BadEnvelope.of(version.id)))?;
        match version.lease(id, &Arc::new(envelope.clone())).await {
            Ok(_) => Ok(Record { dek: id, envelope }),
            // Not a record that another could replace: the vault does not unwrap what it has just wrapped.
            Err(Refusal::BadEnvelope) => Err(NoDek::Asked(Refusal::BadEnvelope.of(version.id))),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    fn unrecorded(&self) -> MutexGuard<'_, Option<(Epoch, Record)>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn out_of_reach() -> NoDek {
    NoDek::Asked(Unavailable::Keyring.into())
}

#[cfg(not(test))]
fn fresh_dek(_: &Clock) -> Result<Dek, DekError> {
    Dek::generate()
}

/// In the crate's own tests a DEK follows from the clock's seed, so that a failing simulation replays exactly.
#[cfg(test)]
fn fresh_dek(clock: &Clock) -> Result<Dek, DekError> {
    let mut bytes = [0; 32];
    for eight in bytes.chunks_exact_mut(8) {
        eight.copy_from_slice(&clock.chance().to_bits().to_le_bytes());
    }
    Dek::from_bytes(&bytes)
}
