//! A proof at once, for whoever has heard that something changed.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::keys::tenant::TenantKeys;
use crate::telemetry::clock::Moment;

/// Of one tenant no more rechecks than this are heeded: they cost calls, and whoever asks for them must not use up the budget.
const RECHECK_AGAIN: Duration = Duration::from_secs(2);

/// A recheck has no token exchanged that is younger: Entra throttles those who exchange more often.
const EXCHANGE_AGAIN: Duration = Duration::from_secs(30);

/// What became of a wish for a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recheck {
    /// So many live leases are being proved.
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
        let versions: Vec<_> = self.versions().values().map(Arc::clone).collect();
        Recheck::Asked(versions.iter().filter(|version| version.recheck()).count())
    }
}
