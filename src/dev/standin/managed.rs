//! What a key manager does to a customer's key beyond what the customer's own switches do: it looks at all versions, makes the
//! key, uploads versions whose material it made itself, keeps backups, and restores them.

use std::sync::Arc;

use crate::dev::standin::customer::{ActionError, Customer};
use crate::dev::standin::ids;
use crate::dev::standin::material::Material;
use crate::dev::standin::rsa::{Bits, RsaKey};
use crate::dev::standin::world::{CustomerRecord, Key, KeyVersion};

/// A version as a key manager sees it when it synchronises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionView {
    /// 32 hex digits.
    pub id: String,
    /// The vault's `enabled`.
    pub enabled: bool,
    /// In seconds since the Unix epoch.
    pub created: i64,
    /// `exp`, in seconds since the Unix epoch.
    pub expires: Option<i64>,
}

/// A key as a key manager sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyView {
    /// Whether it is soft-deleted.
    pub deleted: bool,
    /// Oldest first.
    pub versions: Vec<VersionView>,
}

/// A key with its private halves, as Key Vault's backup holds them under its own encryption.
#[derive(Clone)]
pub struct Backup {
    key: Key,
    material: Vec<(String, Arc<Material>)>,
}

impl Customer {
    /// The key with all its versions; `None` where the vault has no such key, not even a deleted one.
    pub fn look(&self) -> Result<Option<KeyView>, ActionError> {
        let world = self.cloud.world();
        let record = self.entry(&world)?;
        let Some(vault) = world.vault(&record.vault) else {
            return Ok(None);
        };
        let live = vault.keys.get(&record.key).map(|key| (key, false));
        let deleted = || vault.deleted.get(&record.key).map(|deleted| (&deleted.key, true));
        let view = |version: &KeyVersion| VersionView {
            id: version.id.clone(),
            enabled: version.enabled,
            created: version.created,
            expires: version.expires,
        };
        Ok(live.or_else(deleted).map(|(key, deleted)| KeyView {
            deleted,
            versions: key.versions.iter().map(view).collect(),
        }))
    }

    /// Makes the key, with one version of 2048 bits, where there is none. Generates RSA.
    pub fn create_key(&self) -> Result<String, ActionError> {
        let material = RsaKey::generate(Bits::Rsa2048)?;
        let mut world = self.cloud.world();
        let record = self.entry(&world)?;
        let taken = world.vault(&record.vault);
        if taken.is_some_and(|vault| vault.keys.contains_key(&record.key)) {
            return Err(ActionError::KeyNotDeleted(record.key));
        }
        let id = world.keep_material(material)?;
        world.change_vault(&record.vault, |vault| {
            let mut key = Key { versions: Vec::new() };
            key.add(KeyVersion::new(id.clone()));
            vault.keys.insert(record.key.clone(), key);
        })?;
        Ok(id)
    }

    /// Adds a version that is an elliptic curve's, which only signs.
    pub fn rotate_key_to_elliptic(&self) -> Result<String, ActionError> {
        self.rotate_with(Material::elliptic(), |id| KeyVersion {
            kty: "EC".to_owned(),
            key_ops: ["sign", "verify"].map(str::to_owned).to_vec(),
            ..KeyVersion::new(id)
        })
    }

    /// Adds a version of 1024 bits of RSA.
    pub fn rotate_key_to_short_rsa(&self) -> Result<String, ActionError> {
        self.rotate_with(Material::short_rsa(), KeyVersion::new)
    }

    /// Takes a backup of the key, which outlives its purge.
    pub fn back_up(&self) -> Result<Backup, ActionError> {
        let world = self.cloud.world();
        let record = self.entry(&world)?;
        let vault = world.vault(&record.vault);
        let key = vault.and_then(|vault| vault.keys.get(&record.key));
        let key = key.ok_or_else(|| ActionError::KeyMissing(record.key.clone()))?.clone();
        let material = |version: &KeyVersion| Some((version.id.clone(), world.material(&version.id)?));
        Ok(Backup {
            material: key.versions.iter().filter_map(material).collect(),
            key,
        })
    }

    /// Puts a backup where there is no key: the same versions, with the same ids.
    pub fn restore_key(&self, backup: &Backup) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.entry(&world)?;
        let vault = world.vault(&record.vault);
        if vault.is_some_and(|vault| vault.keys.contains_key(&record.key) || vault.deleted.contains_key(&record.key)) {
            return Err(ActionError::KeyNotDeleted(record.key));
        }
        for (id, material) in &backup.material {
            world.keep_material_as(id, Arc::clone(material))?;
        }
        world.change_vault(&record.vault, |vault| {
            vault.keys.insert(record.key.clone(), backup.key.clone());
        })?;
        Ok(format!("{} is restored from a backup", record.key))
    }

    /// Imports what a backup's newest version consists of, as a key manager that kept the source key does: the same key material as a
    /// version with an id of its own, the first of a new key or the newest of the one that is there.
    pub fn import_key(&self, backup: &Backup) -> Result<String, ActionError> {
        let mut world = self.cloud.world();
        let record = self.entry(&world)?;
        let newest = backup.key.version(None).zip(backup.material.last());
        let (last, (_, material)) = newest.ok_or_else(|| ActionError::KeyMissing(record.key.clone()))?;
        let id = ids::hex32();
        world.keep_material_as(&id, Arc::clone(material))?;
        let made = KeyVersion {
            kty: last.kty.clone(),
            key_ops: last.key_ops.clone(),
            ..KeyVersion::new(id.clone())
        };
        world.change_vault(&record.vault, |vault| {
            let key = vault.keys.entry(record.key.clone());
            key.or_insert_with(|| Key { versions: Vec::new() }).add(made);
        })?;
        Ok(id)
    }

    fn entry(&self, world: &crate::dev::standin::world::World) -> Result<CustomerRecord, ActionError> {
        let record = world.customer(&self.name).cloned();
        record.ok_or_else(|| ActionError::UnknownCustomer(self.name.clone()))
    }
}
