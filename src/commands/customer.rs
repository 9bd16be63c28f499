//! `portcullis dev-customer`: plays a customer of a running `portcullis dev`.
#![allow(clippy::print_stderr)] // a command's complaint

use std::path::Path;

use crate::commands::dev::VAULT_FOLDER;
use crate::commands::{Outcome, say};
use crate::dev::standin::control;

/// Does what the customer would do in its vault or tenant, and returns once it is so.
pub fn customer(data: &Path, tenant: &str, action: &str) -> Outcome {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portcullis: no runtime: {error}");
            return Outcome::CannotRun;
        }
    };
    match runtime.block_on(control::act(&data.join(VAULT_FOLDER), tenant, action)) {
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
