//! How late this process itself is, for whoever reads the table of a busy machine: it excuses nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often it is looked.
const TICK: Duration = Duration::from_millis(10);
/// Less is no lag.
const LEAST: Duration = Duration::from_millis(30);

/// When a tick came late, and how late.
static LATE: Mutex<Vec<(Instant, Duration)>> = Mutex::new(Vec::new());

/// Watches for as long as it is polled.
pub(crate) async fn watch() {
    loop {
        let due = Instant::now() + TICK;
        tokio::time::sleep(TICK).await;
        let lag = due.elapsed();
        if lag >= LEAST {
            LATE.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((Instant::now(), lag));
        }
    }
}

/// The most between these moments.
pub(crate) fn most(from: Instant, to: Instant) -> Duration {
    let late = LATE.lock().unwrap_or_else(PoisonError::into_inner);
    let within = late.iter().filter(|(at, lag)| *at >= from && *at - *lag <= to);
    within.map(|(_, lag)| *lag).max().unwrap_or_default()
}
