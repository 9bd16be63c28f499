//! What a Managed HSM does differently from a vault: its names, its local roles, symmetric keys, and the words of its
//! refusals.

use http::StatusCode;

/// A vault of the stand-in whose name ends so is a Managed HSM.
const SUFFIX: &str = "-hsm";

/// Whether this is a Managed HSM.
pub fn is_hsm(vault: &str) -> bool {
    vault.ends_with(SUFFIX)
}

/// Its host name on this machine.
pub fn host(vault: &str) -> String {
    match is_hsm(vault) {
        true => format!("{vault}.managedhsm.localhost"),
        false => format!("{vault}.localhost"),
    }
}

/// How an HSM refuses somebody without a role: its codes stand at the top (azure-cli#32719; no other refusal of an HSM was found
/// captured, and those of vaults stand in their place).
pub fn no_role(key: &str, action: &str) -> (StatusCode, &'static str, String) {
    let verb = action.rsplit('/').find(|part| *part != "action").unwrap_or(action);
    (
        StatusCode::FORBIDDEN,
        "AccessDenied",
        format!(
            "Not authorized to access /keys/{key}/{verb} (Activity ID: {})",
            crate::dev::standin::ids::uuid()
        ),
    )
}
