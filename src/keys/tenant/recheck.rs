//! A proof at once, for whoever has heard that something changed.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use crate::keys::refusal::Refusal;
use crate::keys::tenant::TenantKeys;
use crate::keys::version::Version;
use crate::telemetry::clock::Moment;

/// Of one tenant no more rechecks than this are heeded: they cost calls, and whoever asks for them must not use up the budget.
const RECHECK_AGAIN: Duration = Duration::from_secs(2);

/// A recheck has no token exchanged that is younger: Entra throttles those who exchange more often.
const EXCHANGE_AGAIN: Duration = Duration::from_secs(30);

/// What became of a wish for a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// So many live leases are being proved. Where there is none, the next request asks, whatever no is remembered.
    Asked(usize),
    /// The last one was a moment ago.
    TooSoon,
}

impl TenantKeys {
    /// Asks for a proof of every live lease at once, and for a token of every such proof where the last is not new; see
    /// [`crate::keys::Keys::recheck`].
    pub(in crate::keys) fn recheck(&self) -> Recheck {
        let now = self.clock.now();
        {
            let mut last = self.rechecked.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last: Moment| now.since(last) < RECHECK_AGAIN) {
                return Recheck::TooSoon;
            }
            *last = Some(now);
        }
        self.sessions.recheck(EXCHANGE_AGAIN);
        let versions = self.to_ask_anew();
        Recheck::Asked(versions.iter().filter(|version| version.recheck()).count())
    }

    /// Has every live lease proved at once, and waits for what the vault says: yes, if it does so of one version; else what a request
    /// would hear now, for which another version is looked for. See [`crate::keys::Keys::prove`].
    pub(in crate::keys) async fn prove(self: &Arc<Self>) -> Result<(), Refusal> {
        let versions = self.to_ask_anew();
        // There may be a newer version.
        self.look_for_rotation();
        let mut silence = None;
        for answer in join_all(versions.iter().map(|version| version.proved())).await {
            match answer {
                Some(Ok(())) => return Ok(()),
                Some(Err(refusal @ Refusal::Unavailable(_))) => silence = Some(refusal),
                Some(Err(Refusal::Revoked(_) | Refusal::BadEnvelope)) | None => {}
            }
        }
        match silence {
            Some(silence) => Err(silence),
            None => self.to_operate().await.map(drop).map_err(|refused| refused.why),
        }
    }

    /// Every version there is; what was remembered of a search that ended in a no answers for no other.
    fn to_ask_anew(&self) -> Vec<Arc<Version>> {
        if let Some(last) = self.refused().as_mut()
            && matches!(last.refusal.why, Refusal::Revoked(_))
        {
            last.pause = Duration::ZERO;
        }
        self.versions().values().map(Arc::clone).collect()
    }
}
