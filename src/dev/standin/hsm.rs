//! What a Managed HSM does differently from a vault: its names, its audience, its local roles, symmetric keys, and the words of its
//! refusals.

use http::StatusCode;

use crate::dev::standin::vault_error::RESOURCE as VAULT;

/// The resource that an HSM's tokens are for.
pub const RESOURCE: &str = "https://managedhsm.azure.net";

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

/// What its tokens are for.
pub fn resource(vault: &str) -> &'static str {
    match is_hsm(vault) {
        true => RESOURCE,
        false => VAULT,
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
