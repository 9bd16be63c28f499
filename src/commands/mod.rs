//! The commands, one file each. Each returns an [`Outcome`], whose number is the exit status; what it found goes to standard
//! output, what went wrong to standard error.

mod audit;
mod check;
mod customer;
mod dev;
mod fips;
mod hardening;
mod inspect;
mod rewrap;
mod serve;
mod sweeping;
mod watching;

use std::io::Write;
use std::process::ExitCode;

pub use audit::{audit_key, export_audit, verify_audit};
pub use check::{CheckOptions, check};
pub use customer::customer;
pub use dev::{AzureSide, DevOptions, dev};
pub use fips::{NotFips, VERSION};
pub use inspect::inspect;
pub use rewrap::{RewrapOptions, rewrap};
pub use serve::serve;
pub use watching::ByKeys;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, and nothing wrong was found.
    Done,
    /// Done, and something wrong was found.
    Found,
    /// It could not run.
    CannotRun,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Found => 1,
            Outcome::CannotRun => 2,
        })
    }
}

/// Writes a line of a command's answer. Whoever no longer reads it has seen enough.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
