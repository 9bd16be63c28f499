//! Keeps the system container clean of what uploads leave over, while the gate runs.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::s3::multipart;
use crate::telemetry::clock::Clock;
use crate::upstream::Store;

/// The time between two sweeps of a store, on average.
const EVERY: Duration = Duration::from_secs(3600);

/// Clears away what uploads have left over in a store's system container, about once an hour, until told to stop. Every replica does:
/// none needs to know of the others, and which one comes first is left to chance.
pub(super) async fn run(store: Arc<Store>, clock: Clock, shutdown: CancellationToken) {
    loop {
        let wait = EVERY / 2 + EVERY.mul_f64(chance());
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        match multipart::sweep(&store, clock.now().system_time()).await {
            Ok(0) => tracing::debug!(store = store.name(), "no upload has left anything over"),
            Ok(cleared) => tracing::info!(store = store.name(), cleared, "cleared away what uploads had left over"),
            Err(error) => {
                tracing::warn!(store = store.name(), %error, "what uploads left over was not cleared away; later again");
            }
        }
    }
}

/// Any number from 0 to 1.
fn chance() -> f64 {
    let number = RandomState::new().hash_one(0_u8);
    f64::from(u16::try_from(number >> 48).unwrap_or_default()) / f64::from(u16::MAX)
}
