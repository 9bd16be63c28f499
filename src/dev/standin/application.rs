//! Applications of the ISV's own, which talk to storage in their own name.

use crate::dev::standin::cast::ISV_TENANT;
use crate::dev::standin::ids;
use crate::dev::standin::world::{Application, Credential, Entra, Installation, Presence};

/// What an application's operator knows of it.
pub struct IsvApplication {
    /// Its client id.
    pub client_id: String,
    /// The object id of its service principal.
    pub object_id: String,
    secret: String,
}

impl IsvApplication {
    /// Its client secret.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The one of this name; a new one where there is none.
    pub(super) fn of(entra: &mut Entra, name: &str) -> Self {
        if let Some(found) = Self::find(entra, name) {
            return found;
        }
        let made = Self {
            client_id: ids::uuid(),
            object_id: ids::uuid(),
            secret: ids::hex32(),
        };
        entra.applications.push(Application {
            client_id: made.client_id.clone(),
            name: name.to_owned(),
            credential: Credential::Secret(made.secret.clone()),
            also: Vec::new(),
        });
        entra.installations.push(Installation {
            tenant: ISV_TENANT.to_owned(),
            client_id: made.client_id.clone(),
            object_id: made.object_id.clone(),
            presence: Presence::Installed,
        });
        made
    }

    fn find(entra: &Entra, name: &str) -> Option<Self> {
        let application = entra.applications.iter().find(|application| application.name == name)?;
        let installation = entra.installation(ISV_TENANT, &application.client_id)?;
        match &application.credential {
            Credential::Secret(secret) => Some(Self {
                client_id: application.client_id.clone(),
                object_id: installation.object_id.clone(),
                secret: secret.clone(),
            }),
            Credential::Federated { .. } | Credential::Certificate { .. } => None,
        }
    }
}
