//! Who is in a new world: the cast of the integration guides.
//!
//! **isv** publishes a multitenant application with a user-assigned managed identity as its federated credential; **acme**
//! installs that application in its own Entra tenant and keeps its key in its own vault there; **globex** keeps its key in a
//! vault of the ISV's tenant, where the managed identity itself has the role; **hooli** does as acme does, with a symmetric key
//! in a Managed HSM.

use std::collections::BTreeMap;

use crate::dev::standin::ids;
use crate::dev::standin::world::{
    Application, Assignment, Credential, CustomerRecord, Entra, Installation, ManagedIdentity, Network, Presence, Role,
    State, Vault,
};

/// The ISV's Entra tenant. The identifiers are fixed so that example configurations can name them.
pub const ISV_TENANT: &str = "a0000000-0000-4000-8000-000000000001";
/// The Entra tenant of the customer acme.
pub const ACME_TENANT: &str = "a0000000-0000-4000-8000-000000000002";
/// Client id of the ISV's multitenant application.
pub const APP_CLIENT: &str = "b0000000-0000-4000-8000-000000000001";
/// Client id of the ISV's user-assigned managed identity.
pub const IDENTITY_CLIENT: &str = "c0000000-0000-4000-8000-000000000001";
const IDENTITY_PRINCIPAL: &str = "d0000000-0000-4000-8000-000000000001";
const ACME_APP_PRINCIPAL: &str = "d0000000-0000-4000-8000-000000000002";
const ACME_ADMIN_CLIENT: &str = "b0000000-0000-4000-8000-000000000002";
const ACME_ADMIN_PRINCIPAL: &str = "d0000000-0000-4000-8000-000000000003";
/// The Entra tenant of the customer hooli.
pub const HOOLI_TENANT: &str = "a0000000-0000-4000-8000-000000000003";
const HOOLI_APP_PRINCIPAL: &str = "d0000000-0000-4000-8000-000000000005";
const HOOLI_ADMIN_CLIENT: &str = "b0000000-0000-4000-8000-000000000004";
const HOOLI_ADMIN_PRINCIPAL: &str = "d0000000-0000-4000-8000-000000000006";
const ISV_ADMIN_CLIENT: &str = "b0000000-0000-4000-8000-000000000003";
const ISV_ADMIN_PRINCIPAL: &str = "d0000000-0000-4000-8000-000000000004";

/// A world without keys: the vaults are there, their customers' keys are not yet made.
pub fn first_state() -> State {
    let tenants = [("isv", ISV_TENANT), ("acme", ACME_TENANT), ("hooli", HOOLI_TENANT)];
    let installed = |tenant: &str, client_id: &str, object_id: &str| Installation {
        tenant: tenant.to_owned(),
        client_id: client_id.to_owned(),
        object_id: object_id.to_owned(),
        presence: Presence::Installed,
    };
    let administrator = |client_id: &str, name: &str| Application {
        client_id: client_id.to_owned(),
        name: name.to_owned(),
        credential: Credential::Secret(ids::hex32()),
        also: Vec::new(),
    };
    let entra = Entra {
        tenants: tenants.map(|(name, id)| (name.to_owned(), id.to_owned())).into(),
        applications: vec![
            Application {
                client_id: APP_CLIENT.to_owned(),
                name: "Portcullis".to_owned(),
                credential: Credential::Federated {
                    // The names that the real portal shows; a stand-in's own port would change with every start.
                    issuer: format!("https://login.microsoftonline.com/{ISV_TENANT}/v2.0"),
                    subject: IDENTITY_PRINCIPAL.to_owned(),
                    audience: "api://AzureADTokenExchange".to_owned(),
                },
                also: Vec::new(),
            },
            administrator(ACME_ADMIN_CLIENT, "acme key administration"),
            administrator(ISV_ADMIN_CLIENT, "isv key administration"),
            administrator(HOOLI_ADMIN_CLIENT, "hooli key administration"),
        ],
        installations: vec![
            installed(ACME_TENANT, APP_CLIENT, ACME_APP_PRINCIPAL),
            installed(ACME_TENANT, ACME_ADMIN_CLIENT, ACME_ADMIN_PRINCIPAL),
            installed(ISV_TENANT, ISV_ADMIN_CLIENT, ISV_ADMIN_PRINCIPAL),
            installed(HOOLI_TENANT, APP_CLIENT, HOOLI_APP_PRINCIPAL),
            installed(HOOLI_TENANT, HOOLI_ADMIN_CLIENT, HOOLI_ADMIN_PRINCIPAL),
        ],
        identity: ManagedIdentity {
            tenant: ISV_TENANT.to_owned(),
            client_id: IDENTITY_CLIENT.to_owned(),
            principal_id: IDENTITY_PRINCIPAL.to_owned(),
            resource_id: "/subscriptions/e0000000-0000-4000-8000-000000000001/resourcegroups/isv/providers/\
                          Microsoft.ManagedIdentity/userAssignedIdentities/portcullis"
                .to_owned(),
            assigned: true,
        },
    };
    let customers = [
        (
            "acme",
            ACME_TENANT,
            ACME_APP_PRINCIPAL,
            ACME_ADMIN_CLIENT,
            ACME_ADMIN_PRINCIPAL,
        ),
        (
            "globex",
            ISV_TENANT,
            IDENTITY_PRINCIPAL,
            ISV_ADMIN_CLIENT,
            ISV_ADMIN_PRINCIPAL,
        ),
        (
            "hooli",
            HOOLI_TENANT,
            HOOLI_APP_PRINCIPAL,
            HOOLI_ADMIN_CLIENT,
            HOOLI_ADMIN_PRINCIPAL,
        ),
    ];
    let mut state = State {
        entra,
        vaults: BTreeMap::new(),
        customers: BTreeMap::new(),
    };
    for (name, tenant, principal, admin, admin_principal) in customers {
        let kind = if name == "hooli" { "hsm" } else { "vault" };
        let (vault, key) = (format!("{name}-{kind}"), format!("{name}-cmk"));
        let assignment = |principal: &str, role, key| Assignment {
            principal: principal.to_owned(),
            role,
            key,
        };
        let assignments = vec![
            assignment(principal, Role::CryptoServiceEncryptionUser, Some(key.clone())),
            assignment(admin_principal, Role::CryptoOfficer, None),
        ];
        let record = Vault {
            tenant: tenant.to_owned(),
            network: Network::Open,
            purge_protection: false,
            keys: BTreeMap::new(),
            deleted: BTreeMap::new(),
            assignments,
        };
        state.vaults.insert(vault.clone(), record);
        let customer = CustomerRecord {
            vault,
            key,
            principal: principal.to_owned(),
            admin: admin.to_owned(),
        };
        state.customers.insert(name.to_owned(), customer);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_on_one_key_does_not_reach_another() {
        let state = first_state();
        let vault = &state.vaults["acme-vault"];
        assert_eq!(vault.roles(ACME_APP_PRINCIPAL, Some("acme-cmk")).count(), 1);
        assert_eq!(vault.roles(ACME_APP_PRINCIPAL, Some("other")).count(), 0);
        assert_eq!(vault.roles(ACME_APP_PRINCIPAL, None).count(), 0);
        assert_eq!(vault.roles(ACME_ADMIN_PRINCIPAL, Some("other")).count(), 1);
    }
}
