//! What CipherTrust Manager says of a tenant's key, beside what the vault has just said.

use std::sync::Arc;

use async_trait::async_trait;

use crate::cckm::{CckmError, CckmOptions, Notice, Proof, Prover, Seen, State, Watch};
use crate::commands::check::report::{Finding, Step};
use crate::telemetry::clock::Clock;

/// The vault has been asked by the steps before.
struct Asked;

#[async_trait]
impl Prover for Asked {
    async fn prove(&self, _: &str) -> Proof {
        Proof::Silent
    }
}

/// The step of every manager that watches this tenant's key. `usable` is the vault's own word.
pub(super) async fn examine(all: &[CckmOptions], tenant: &str, usable: Option<bool>, clock: &Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manager in all {
        let mut options = manager.clone();
        options.tenants.retain(|watched| &*watched.tenant == tenant);
        if options.tenants.is_empty() {
            continue;
        }
        let finding = match Watch::new(options, clock.clone(), Arc::new(Asked)) {
            Err(error) => unanswered(error),
            Ok(watch) => match watch.poll().await {
                Err(error) => unanswered(error),
                Ok(notices) => {
                    let notices: Vec<Notice> = notices.into_iter().map(|(_, notice)| notice).collect();
                    let board = watch.board();
                    board.tenants.first().map_or_else(
                        || unanswered(CckmError::Unreachable),
                        |seen| judged(seen, &notices, usable),
                    )
                }
            },
        };
        findings.push(finding.of(&manager.name));
    }
    findings
}

/// CCKM's silence is a warning: no lease depends on it.
fn unanswered(error: CckmError) -> Finding {
    let advice = match error {
        CckmError::Unreachable => "allow connections from here to `endpoint`; its certificate's authority is `ca_file`",
        CckmError::Unauthorized => "see `username`, `password` and `domain`",
        CckmError::Forbidden => "put the user into the group CCKM Users, with permission to view the key's vault",
        CckmError::Unrecognised { .. } => "see whether a CipherTrust Manager answers at `endpoint`",
        CckmError::Certificates => "see `ca_file`",
    };
    Finding::warning(Step::Cckm, error.to_string())
        .because(error.name())
        .fix([advice.to_owned()])
}

fn judged(seen: &Seen, notices: &[Notice], usable: Option<bool>) -> Finding {
    let Some(state) = seen.state else {
        return Finding::warning(Step::Cckm, "CCKM does not know the key")
            .fix(["add the key's vault to CCKM, and synchronise: the key may also be managed elsewhere".to_owned()]);
    };
    let synced = seen.synced.as_deref().unwrap_or("an unknown time");
    let mut found = format!("CCKM says {}, as of {synced}", word(state));
    if let Some(at) = &seen.rotates {
        found.push_str(&format!("; the next version comes at {at}"));
    }
    if seen.backed_up {
        found.push_str("; it holds a backup: a purge does not end the key for good");
    }
    let said = seen.versions.values().any(|state| *state == State::Enabled);
    if usable.is_some_and(|usable| usable != said) {
        let advice = "the vault's word holds; have CCKM synchronise the vault (POST keys/{id}/refresh)";
        return Finding::warning(Step::Cckm, format!("{found}; the vault says otherwise"))
            .because(Notice::Disagreement.name())
            .fix([advice.to_owned()]);
    }
    if notices.contains(&Notice::RotationDisables) {
        let advice =
            "let the schedule enable new versions (auto_rotate_enable_key), or new objects stay under an old one";
        return Finding::warning(Step::Cckm, format!("{found}; its schedule makes disabled versions"))
            .because(Notice::RotationDisables.name())
            .fix([advice.to_owned()]);
    }
    Finding::ok(Step::Cckm, found)
}

const fn word(state: State) -> &'static str {
    match state {
        State::Enabled => "enabled",
        State::Disabled => "the newest version is disabled",
        State::SoftDeleted => "deleted, recoverable",
        State::Deleted => "purged",
        State::Unknown => "a state that is not known",
    }
}
