//! The lease for an object's DEK: by the object's own envelope, or by what a rewrap left where that one's version says no.

use std::sync::Arc;

use crate::keys::lease::Lease;
use crate::keys::refusal::Refusal;
use crate::keys::tenant::{TenantKeys, of_one_version};
use crate::keys::{NotOurs, OpenError};
use crate::seal::{DekId, Envelope, KeyVersion};

impl TenantKeys {
    /// A lease on the DEK that sealed an object, by the object's own envelope.
    pub(in crate::keys) async fn to_open(
        self: &Arc<Self>,
        dek: DekId,
        envelope: &Envelope,
    ) -> Result<Lease, OpenError> {
        self.origin
            .verify(&self.name, dek, envelope)
            .map_err(|_| OpenError::NotOurs(NotOurs::Origin))?;
        if envelope.cmk() != self.cmk {
            return Err(OpenError::NotOurs(NotOurs::Cmk));
        }
        if let Some(lease) = self.warm(dek) {
            return Ok(lease);
        }
        // Once an object's own version was refused, what a rewrap left comes first: else the vault would be asked about the
        // refused one for ever.
        let mut refused = Vec::new();
        let known = self.rewrapped.known(dek);
        if let Some(lease) = self.first_that_opens(dek, &known, &mut refused).await? {
            return Ok(lease);
        }
        let own = self.version(envelope.version());
        let no = match own.lease(dek, &Arc::new(envelope.clone())).await {
            Ok(lease) => return Ok(lease),
            Err(Refusal::BadEnvelope) => return Err(OpenError::NotOurs(NotOurs::Envelope { version: own.id })),
            Err(refusal) => refusal,
        };
        if !of_one_version(no) {
            return Err(OpenError::Refused(no.of(own.id)));
        }
        refused.push(own.id);
        let newest = self.writing().as_ref().map(|writing| writing.version.id);
        let found = self.rewrapped.search(dek, newest, &refused).await;
        let found = found.map_err(|refusal| OpenError::Refused(refusal.of(own.id)))?;
        let lease = self.first_that_opens(dek, &found, &mut refused).await?;
        lease.ok_or(OpenError::Refused(no.of(own.id)))
    }

    /// A lease by the first of these envelopes that opens. The versions that say no are added to `refused`; those in it already
    /// are not asked.
    async fn first_that_opens(
        self: &Arc<Self>,
        dek: DekId,
        envelopes: &[Arc<Envelope>],
        refused: &mut Vec<KeyVersion>,
    ) -> Result<Option<Lease>, OpenError> {
        for envelope in envelopes {
            if refused.contains(&envelope.version()) {
                continue;
            }
            match self.version(envelope.version()).lease(dek, envelope).await {
                Ok(lease) => return Ok(Some(lease)),
                Err(no) if of_one_version(no) => refused.push(envelope.version()),
                // What a rewrap left says nothing of the object.
                Err(Refusal::BadEnvelope) => {}
                Err(refusal) => return Err(OpenError::Refused(refusal.of(envelope.version()))),
            }
        }
        Ok(None)
    }
}
