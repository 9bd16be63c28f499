//! `portcullis dev-customer`: plays a customer of a running `portcullis dev`.
#![allow(clippy::print_stderr)] // a command's complaint

use std::path::Path;

use crate::commands::dev::{CCKM_FOLDER, VAULT_FOLDER};
use crate::commands::{Outcome, say};
use crate::dev::standin::control;

/// What begins the name of an action of CCKM's.
const CCKM: &str = "cckm-";

/// Does what the customer would do in its vault or tenant, or in CCKM, and returns once it is so.
pub fn customer(data: &Path, tenant: &str, action: &str) -> Outcome {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portcullis: no runtime: {error}");
            return Outcome::CannotRun;
        }
    };
    let (folder, action) = match action.strip_prefix(CCKM) {
        Some(action) => (CCKM_FOLDER, action),
        None => (VAULT_FOLDER, action),
    };
    match runtime.block_on(control::act(&data.join(folder), tenant, action)) {
        Ok(changed) => {
            say(&changed);
            Outcome::Done
        }
        Err(error) => {
            eprintln!("portcullis: {error}");
            Outcome::CannotRun
        }
    }
}
