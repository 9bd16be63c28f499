//! What a customer can do about its key, in its vault and in its Entra tenant: the switches that the proxy must obey.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::dev::standin::cast::APP_CLIENT;
use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::hsm::is_hsm;
use crate::dev::standin::ids;
use crate::dev::standin::material::Material;
use crate::dev::standin::rsa::{Bits, RsaError, RsaKey};
use crate::dev::standin::world::{
    Assignment, Credential, CustomerRecord, DeletedKey, Installation, Key, KeyVersion, Network, Presence, Role, Vault,
    World, WorldError,
};

/// An action that needs no more than its name: what `portcullis dev-customer` offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    DisableKey,
    EnableKey,
    RotateKey,
    DeleteKey,
    RecoverKey,
    PurgeKey,
    RemoveRole,
    GrantRole,
    RemoveApp,
    InstallApp,
    DisableApp,
    EnableApp,
}

/// A customer of the running stand-in. Every action is in force when it returns, and says what changed.
#[derive(Clone)]
pub struct Customer {
    pub(super) cloud: Arc<Cloud>,
    pub(super) name: String,
}

/// Who may administer a customer's keys: a client secret credential for the token endpoint.
pub struct Administrator {
    pub tenant_id: String,
    pub client_id: String,
    secret: String,
}

/// Why an action changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    #[error("there is no customer {0}")]
    UnknownCustomer(String),
    #[error("there is no action {name}; there are {all}")]
    UnknownAction { name: String, all: String },
    #[error("{0} is deleted")]
    KeyDeleted(String),
    #[error("{0} is not deleted")]
    KeyNotDeleted(String),
    #[error("{0} does not exist")]
    KeyMissing(String),
    #[error("{0} keeps its key in the ISV's own vault: there is no application of the ISV in a tenant of its own")]
    NoApp(String),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Rsa(#[from] RsaError),
}

impl Action {
    /// All of them, in the order of a help text.
    pub const ALL: [Self; 12] = [
        Self::DisableKey,
        Self::EnableKey,
        Self::RotateKey,
        Self::DeleteKey,
        Self::RecoverKey,
        Self::PurgeKey,
        Self::RemoveRole,
        Self::GrantRole,
        Self::RemoveApp,
        Self::InstallApp,
        Self::DisableApp,
        Self::EnableApp,
    ];

    /// As on the command line and in the control endpoint's path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DisableKey => "disable-key",
            Self::EnableKey => "enable-key",
            Self::RotateKey => "rotate-key",
            Self::DeleteKey => "delete-key",
            Self::RecoverKey => "recover-key",
            Self::PurgeKey => "purge-key",
            Self::RemoveRole => "remove-role",
            Self::GrantRole => "grant-role",
            Self::RemoveApp => "remove-app",
            Self::InstallApp => "install-app",
            Self::DisableApp => "disable-app",
            Self::EnableApp => "enable-app",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Action {
    type Err = ActionError;

    fn from_str(name: &str) -> Result<Self, ActionError> {
        let known = Self::ALL.into_iter().find(|action| action.name() == name);
        known.ok_or_else(|| ActionError::UnknownAction {
            name: name.to_owned(),
            all: Self::names(),
        })
    }
}

impl Administrator {
    /// The client secret, for `client_secret` at the token endpoint.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl Customer {
    pub(super) fn new(cloud: Arc<Cloud>, name: &str) -> Self {
        Self {
            cloud,
            name: name.to_owned(),
        }
    }

    /// Does an action by name.
    pub fn act(&self, action: Action) -> Result<String, ActionError> {
        match action {
            Action::DisableKey => self.disable_key(),
            Action::EnableKey => self.enable_key(),
            Action::RotateKey => self.rotate_key(),
            Action::DeleteKey => self.delete_key(),
            Action::RecoverKey => self.recover_key(),
            Action::PurgeKey => self.purge_key(),
            Action::RemoveRole => self.remove_role(),
            Action::GrantRole => self.grant_role(),
            Action::RemoveApp => self.remove_app(),
            Action::InstallApp => self.install_app(),
            Action::DisableApp => self.disable_app(),
            Action::EnableApp => self.enable_app(),
        }
    }

    /// Disables every version of the key, as a customer would who means the key.
    pub fn disable_key(&self) -> Result<String, ActionError> {
        self.set_enabled(false)
    }

    /// Enables every version of the key.
    pub fn enable_key(&self) -> Result<String, ActionError> {
        self.set_enabled(true)
    }

    /// Disables or enables one version (32 hex digits), leaving the others.
    pub fn set_version_enabled(&self, version: &str, enabled: bool) -> Result<String, ActionError> {
        self.change_key(|key| {
            let found = key.version_mut(Some(version))?;
            found.enabled = enabled;
            found.updated = ids::now();
            Some(format!("version {version} of the key is {}", state(enabled)))
        })
    }

    /// Sets or clears `exp` (unix seconds) on every version.
    pub fn set_expiry(&self, expires: Option<i64>) -> Result<String, ActionError> {
        self.change_versions(|version| version.expires = expires)?;
        Ok(match expires {
            Some(moment) => format!("{}'s key expires at {moment}", self.name),
            None => format!("{}'s key does not expire", self.name),
        })
    }

    /// Sets or clears `nbf` (unix seconds) on every version.
    pub fn set_not_before(&self, not_before: Option<i64>) -> Result<String, ActionError> {
        self.change_versions(|version| version.not_before = not_before)?;
        Ok(format!("{}'s key has another not-before", self.name))
    }

    /// Sets the operations (`wrapKey`, `unwrapKey` …) of every version.
    pub fn set_key_ops(&self, operations: &[&str]) -> Result<String, ActionError> {
        self.change_versions(|version| version.key_ops = operations.iter().map(|&name| name.to_owned()).collect())?;
        Ok(format!("{}'s key allows {}", self.name, operations.join(", ")))
    }

    /// Adds a version, of 2048 bits of RSA or in a Managed HSM of AES, which is the current one from then on. The old ones stay as
    /// they are. Generates RSA.
    pub fn rotate_key(&self) -> Result<String, ActionError> {
        let vault = self.record(&self.cloud.world())?.vault;
        match is_hsm(&vault) {
            true => self.rotate_with(Material::symmetric()?, KeyVersion::symmetric),
            false => self.rotate_key_to(Bits::Rsa2048),
        }
    }

    /// Adds a version of this size.
    pub fn rotate_key_to(&self, bits: Bits) -> Result<String, ActionError> {
        self.rotate_with(RsaKey::generate(bits)?.into(), KeyVersion::new)
    }

    /// Adds a version of RSA in an HSM, as CreateKey with that type does.
    pub fn rotate_key_to_rsa_hsm(&self) -> Result<String, ActionError> {
        self.rotate_with(RsaKey::generate(Bits::Rsa2048)?.into(), |id| KeyVersion {
            kty: "RSA-HSM".to_owned(),
            ..KeyVersion::new(id)
        })
    }

    pub(super) fn rotate_with(
        &self,
        material: Material,
        version: fn(String) -> KeyVersion,
    ) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.record(&world)?;
        self.live_key(&world, &record)?;
        let id = world.keep_material(material)?;
        let added = format!("the key has a new version {id}");
        self.on_key(&mut world, &record, |key| {
            key.add(version(id));
            Some(added)
        })
    }

    /// The current version's id.
    pub fn key_version(&self) -> Result<String, ActionError> {
        let world = self.cloud.world();
        let record = self.record(&world)?;
        let key = self.live_key(&world, &record)?;
        key.version(None)
            .map(|version| version.id.clone())
            .ok_or_else(|| ActionError::KeyMissing(record.key.clone()))
    }

    /// Soft-deletes the key.
    pub fn delete_key(&self) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.record(&world)?;
        self.live_key(&world, &record)?;
        world.change_vault(&record.vault, |vault| {
            if let Some(key) = vault.keys.remove(&record.key) {
                vault.deleted.insert(
                    record.key.clone(),
                    DeletedKey {
                        key,
                        deleted: ids::now(),
                    },
                );
            }
        })?;
        Ok(format!("{} is deleted, and can be recovered", record.key))
    }

    /// Recovers the soft-deleted key with all its versions.
    pub fn recover_key(&self) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.record(&world)?;
        let recovered = world.change_vault(&record.vault, |vault| {
            let deleted = vault.deleted.remove(&record.key)?;
            vault.keys.insert(record.key.clone(), deleted.key);
            Some(())
        })?;
        recovered
            .flatten()
            .ok_or_else(|| ActionError::KeyNotDeleted(record.key.clone()))?;
        Ok(format!("{} is recovered", record.key))
    }

    /// Destroys the soft-deleted key. What was sealed under it is lost.
    pub fn purge_key(&self) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.record(&world)?;
        let purged = world.change_vault(&record.vault, |vault| vault.deleted.remove(&record.key))?;
        let purged = purged
            .flatten()
            .ok_or_else(|| ActionError::KeyNotDeleted(record.key.clone()))?;
        world.destroy_material(&purged.key);
        Ok(format!(
            "{} is purged: what was sealed under it can never be opened",
            record.key
        ))
    }

    /// Takes every role in the vault from the ISV's principal.
    pub fn remove_role(&self) -> Result<String, ActionError> {
        self.change_roles(|vault, record| vault.assignments.retain(|entry| entry.principal != record.principal))?;
        Ok(format!("the ISV has no role on {}'s key", self.name))
    }

    /// Gives the ISV's principal 'Key Vault Crypto Service Encryption User' on the key, and nothing else.
    pub fn grant_role(&self) -> Result<String, ActionError> {
        self.grant(Role::CryptoServiceEncryptionUser)
    }

    /// Gives the ISV's principal this one role on the key.
    pub fn grant(&self, role: Role) -> Result<String, ActionError> {
        self.change_roles(|vault, record| {
            vault.assignments.retain(|entry| entry.principal != record.principal);
            let (principal, key) = (record.principal.clone(), Some(record.key.clone()));
            vault.assignments.push(Assignment { principal, role, key });
        })?;
        Ok(format!("the ISV has its role on {}'s key", self.name))
    }

    /// Deletes the ISV's application from the customer's tenant (AADSTS7000229 from then on).
    pub fn remove_app(&self) -> Result<String, ActionError> {
        self.set_presence(Presence::Removed)
    }

    /// Restores the application, with its object id and so with its roles, as Entra does within 30 days.
    pub fn install_app(&self) -> Result<String, ActionError> {
        self.set_presence(Presence::Installed)
    }

    /// Switches the application's sign-in off (AADSTS7000112).
    pub fn disable_app(&self) -> Result<String, ActionError> {
        self.set_presence(Presence::Disabled)
    }

    /// Switches the application's sign-in on.
    pub fn enable_app(&self) -> Result<String, ActionError> {
        self.set_presence(Presence::Installed)
    }

    /// As if the customer had never installed the application (AADSTS700016).
    pub fn forget_app(&self) -> Result<String, ActionError> {
        self.set_presence(Presence::NeverInstalled)
    }

    /// Withdraws every consent to the application, and leaves it installed. Nothing that the ISV does needs one.
    pub fn withdraw_consent(&self) -> Result<String, ActionError> {
        self.set_presence(Presence::Unconsented)
    }

    /// Opens or closes the vault's network.
    pub fn set_network(&self, network: Network) -> Result<String, ActionError> {
        self.change_roles(|vault, _| vault.network = network)?;
        Ok(format!("the network of {}'s vault is {network:?}", self.name))
    }

    /// Moves the vault to another Entra tenant (by id): tokens of the old one get AKV10032.
    pub fn move_vault(&self, tenant_id: &str) -> Result<String, ActionError> {
        self.change_roles(|vault, _| tenant_id.clone_into(&mut vault.tenant))?;
        Ok(format!("{}'s vault trusts tenant {tenant_id}", self.name))
    }

    /// Switches purge protection of the vault.
    pub fn set_purge_protection(&self, on: bool) -> Result<String, ActionError> {
        self.change_roles(|vault, _| vault.purge_protection = on)?;
        Ok(format!("purge protection of {}'s vault is {}", self.name, state(on)))
    }

    /// Who may administer the key over the vault's own REST API.
    pub fn administrator(&self) -> Result<Administrator, ActionError> {
        let world = self.cloud.world();
        let record = self.record(&world)?;
        let application = world.entra().application(&record.admin);
        let tenant_id = world.vault(&record.vault).map(|vault| vault.tenant.clone());
        match (application.map(|application| &application.credential), tenant_id) {
            (Some(Credential::Secret(secret)), Some(tenant_id)) => Ok(Administrator {
                tenant_id,
                client_id: record.admin,
                secret: secret.clone(),
            }),
            _ => Err(ActionError::UnknownCustomer(self.name.clone())),
        }
    }

    fn set_enabled(&self, enabled: bool) -> Result<String, ActionError> {
        self.change_versions(|version| version.enabled = enabled)?;
        Ok(format!("every version of {}'s key is {}", self.name, state(enabled)))
    }

    fn set_presence(&self, presence: Presence) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.record(&world)?;
        let changed = world.change_entra(|entra| {
            let mine = |entry: &&mut Installation| entry.object_id == record.principal && entry.client_id == APP_CLIENT;
            entra
                .installations
                .iter_mut()
                .find(mine)
                .map(|entry| entry.presence = presence)
        })?;
        changed.ok_or_else(|| ActionError::NoApp(self.name.clone()))?;
        Ok(match presence {
            Presence::Installed => format!("the ISV's application is installed in {}'s tenant", self.name),
            Presence::Unconsented => format!("the ISV's application has no consent in {}'s tenant", self.name),
            Presence::Disabled => format!("the ISV's application is disabled in {}'s tenant", self.name),
            Presence::Removed => format!("the ISV's application is removed from {}'s tenant", self.name),
            Presence::NeverInstalled => format!("the ISV's application is unknown in {}'s tenant", self.name),
        })
    }

    fn change_versions(&self, change: impl Fn(&mut KeyVersion)) -> Result<String, ActionError> {
        self.change_key(|key| {
            for version in &mut key.versions {
                change(version);
                version.updated = version.updated.max(ids::now());
            }
            Some(String::new())
        })
    }

    fn change_key(&self, change: impl FnOnce(&mut Key) -> Option<String>) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.record(&world)?;
        self.live_key(&world, &record)?;
        self.on_key(&mut world, &record, change)
    }

    fn on_key(
        &self,
        world: &mut World,
        record: &CustomerRecord,
        change: impl FnOnce(&mut Key) -> Option<String>,
    ) -> Result<String, ActionError> {
        let changed = world.change_vault(&record.vault, |vault| vault.keys.get_mut(&record.key).and_then(change))?;
        changed
            .flatten()
            .ok_or_else(|| ActionError::KeyMissing(record.key.clone()))
    }

    fn change_roles(&self, change: impl FnOnce(&mut Vault, &CustomerRecord)) -> Result<(), ActionError> {
        let mut world = self.cloud.world();
        let record = self.record(&world)?;
        let changed = world.change_vault(&record.vault, |vault| change(vault, &record))?;
        changed.ok_or_else(|| ActionError::UnknownCustomer(self.name.clone()))
    }

    fn record(&self, world: &World) -> Result<CustomerRecord, ActionError> {
        world
            .customer(&self.name)
            .cloned()
            .ok_or_else(|| ActionError::UnknownCustomer(self.name.clone()))
    }

    fn live_key<'a>(&self, world: &'a World, record: &CustomerRecord) -> Result<&'a Key, ActionError> {
        let vault = world
            .vault(&record.vault)
            .ok_or_else(|| ActionError::UnknownCustomer(self.name.clone()))?;
        match (vault.keys.get(&record.key), vault.deleted.contains_key(&record.key)) {
            (Some(key), _) => Ok(key),
            (None, true) => Err(ActionError::KeyDeleted(record.key.clone())),
            (None, false) => Err(ActionError::KeyMissing(record.key.clone())),
        }
    }
}

fn state(enabled: bool) -> &'static str {
    match enabled {
        true => "enabled",
        false => "disabled",
    }
}
