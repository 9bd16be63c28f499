//! All that this process logs, down to TRACE and from every crate, kept and waited for.

use std::io;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static MORE: Condvar = Condvar::new();

/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the subscriber writes.
struct Keep;

impl io::Write for Keep {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(line);
        MORE.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// From here on everything is kept. The gate's own subscriber comes second, and so never.
pub fn keep() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(|| Keep)
        .init();
}

/// How much has been logged so far.
pub fn so_far() -> usize {
    LINES.lock().unwrap().len()
}

/// Waits until a line with all these words was logged, later than `since`.
pub fn await_line(since: usize, words: &[&str]) {
    let lines = LINES.lock().unwrap();
    let missing = |lines: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(&lines[since..]);
        !text.lines().any(|line| words.iter().all(|word| line.contains(word)))
    };
    let (lines, waited) = MORE.wait_timeout_while(lines, PATIENCE, missing).unwrap();
    assert!(
        !waited.timed_out(),
        "{words:?} in {}",
        String::from_utf8_lossy(&lines[since..])
    );
}

/// All of it.
pub fn all() -> Vec<u8> {
    LINES.lock().unwrap().clone()
}
