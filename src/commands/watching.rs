//! The watches over CipherTrust Managers, as `serve` runs them: what they see on the admin listener, what they ask of the keys.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use serde_json::json;
use tokio::task::JoinSet;

use crate::cckm::{CckmError, CckmOptions, Proof, Prover, Watch};
use crate::keys::{Keys, Refusal};
use crate::telemetry::clock::Clock;

/// Where the admin listener shows what CCKM said.
pub(super) const PATH: &str = "/cckm";

/// All watches; they end when dropped.
#[derive(Default)]
pub(super) struct Watching {
    /// Set once: the admin listener answers before there are any.
    watches: Arc<OnceLock<Vec<Arc<Watch>>>>,
    tasks: JoinSet<()>,
}

/// Asks by way of the leases, live ones too, so that the vault's answer does what it does there.
pub struct ByKeys(Arc<Keys>);

impl ByKeys {
    /// Of these keys.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self(keys)
    }
}

#[async_trait]
impl Prover for ByKeys {
    async fn prove(&self, tenant: &str) -> Proof {
        match self.0.prove(tenant).await {
            Ok(()) => Proof::Yes,
            Err(Refusal::Revoked(reason)) => Proof::No(reason.name()),
            Err(Refusal::Unavailable(_) | Refusal::BadEnvelope) => Proof::Silent,
        }
    }
}

impl Watching {
    /// What is shown: every manager, and each tenant's key as it was last seen there.
    pub(super) fn page(&self) -> impl Fn() -> String + Send + Sync + 'static {
        let watches = Arc::clone(&self.watches);
        move || {
            let watches = watches.get().map(Vec::as_slice).unwrap_or_default();
            let boards: Vec<_> = watches.iter().map(|watch| watch.board()).collect();
            json!({ "managers": boards }).to_string()
        }
    }

    /// Begins to ask.
    ///
    /// # Errors
    /// No client can be made of a manager's certificates.
    pub(super) fn start(&mut self, all: Vec<CckmOptions>, keys: &Arc<Keys>, clock: &Clock) -> Result<(), CckmError> {
        let watch = |options| {
            let prover: Arc<dyn Prover> = Arc::new(ByKeys::new(Arc::clone(keys)));
            Watch::new(options, clock.clone(), prover).map(Arc::new)
        };
        let watches = all.into_iter().map(watch).collect::<Result<Vec<_>, _>>()?;
        for watch in &watches {
            self.tasks.spawn(Arc::clone(watch).run());
        }
        // Started once; a second start would show nothing new.
        let _ = self.watches.set(watches);
        Ok(())
    }
}
