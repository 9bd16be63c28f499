//! All that this process says on standard error, where the gate logs everything, down to TRACE and from every crate: it goes to a file,
//! and is waited for there. It is the gate's own subscriber that writes, and so the audit's trail is written too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use rustix::stdio::dup2_stderr;

static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The file is looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// What `log.filter` has to say, for the gate leaves out most of the cloud SDK's lines otherwise.
pub const EVERYTHING: &str = "trace,azure_identity=trace,azure_core=trace,typespec_client_core=trace";

/// From here on standard error is this file.
pub fn keep(file: &Path) {
    dup2_stderr(File::create(file).unwrap()).unwrap();
    FILE.set(file.to_owned()).unwrap();
}

/// How much has been logged so far.
pub fn so_far() -> usize {
    all().len()
}

/// Waits until a line with all these words was logged, later than `since`.
pub fn await_line(since: usize, words: &[&str]) {
    let began = Instant::now();
    loop {
        let lines = all();
        let text = String::from_utf8_lossy(&lines[since..]);
        if text.lines().any(|line| words.iter().all(|word| line.contains(word))) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{words:?} is not logged");
        thread::sleep(LOOK);
    }
}

/// All of it.
pub fn all() -> Vec<u8> {
    fs::read(FILE.get().unwrap()).unwrap()
}
