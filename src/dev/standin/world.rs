//! What the stand-in's cloud consists of: two Entra tenants, the ISV's application and identity, vaults, keys and roles.
//! Plain data, kept as `world.json` with the RSA keys beside it, so that sealed data stays readable after a restart.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dev::files::write_private;
use crate::dev::standin::cast;
use crate::dev::standin::hsm::is_hsm;
use crate::dev::standin::ids;
use crate::dev::standin::material::Material;
use crate::dev::standin::rsa::{Bits, RsaError, RsaKey};

/// How long a deleted key can be recovered: Key Vault's default.
pub const RETENTION_DAYS: i64 = 90;

/// Everything, with where it is kept.
pub struct World {
    dir: PathBuf,
    state: State,
    material: BTreeMap<String, Arc<Material>>,
}

/// What `world.json` holds.
#[derive(Serialize, Deserialize)]
pub struct State {
    pub entra: Entra,
    pub vaults: BTreeMap<String, Vault>,
    pub customers: BTreeMap<String, CustomerRecord>,
}

/// The directories, and who is known there.
#[derive(Serialize, Deserialize)]
pub struct Entra {
    /// Tenant ids by name.
    pub tenants: BTreeMap<String, String>,
    pub applications: Vec<Application>,
    pub installations: Vec<Installation>,
    pub identity: ManagedIdentity,
}

/// An application registration.
#[derive(Serialize, Deserialize)]
pub struct Application {
    pub client_id: String,
    pub name: String,
    pub credential: Credential,
    /// What was added to it later.
    #[serde(default)]
    pub also: Vec<Credential>,
}

/// How an application proves itself at the token endpoint.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// A federated identity credential: a token of `issuer` about `subject` for `audience` is the proof.
    Federated {
        issuer: String,
        subject: String,
        audience: String,
    },
    /// A client secret.
    Secret(String),
    /// A certificate, as PEM: what is signed with its key is the proof.
    Certificate { pem: String },
}

/// A service principal: an application's presence in a tenant.
#[derive(Serialize, Deserialize)]
pub struct Installation {
    pub tenant: String,
    pub client_id: String,
    pub object_id: String,
    pub presence: Presence,
}

/// The states of a service principal, which Entra tells apart in its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Never consented to: AADSTS700016.
    NeverInstalled,
    Installed,
    /// Installed, but every consent is withdrawn: of client credentials' tokens that takes the `roles` claim, and Key Vault has none to
    /// give (<https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>), so they are issued as before.
    Unconsented,
    /// Sign-in switched off: AADSTS7000112.
    Disabled,
    /// Deleted: AADSTS7000229. Entra keeps it for 30 days, so it comes back with its object id and its roles.
    Removed,
}

/// A user-assigned managed identity of the ISV.
#[derive(Serialize, Deserialize)]
pub struct ManagedIdentity {
    pub tenant: String,
    pub client_id: String,
    pub principal_id: String,
    pub resource_id: String,
    /// Whether the machine asking has it: without, the identity endpoint answers 400.
    pub assigned: bool,
}

/// A vault with RBAC permission model and soft delete, or a Managed HSM ([`is_hsm`]).
#[derive(Serialize, Deserialize)]
pub struct Vault {
    /// The Entra tenant it trusts.
    pub tenant: String,
    pub network: Network,
    pub purge_protection: bool,
    pub keys: BTreeMap<String, Key>,
    pub deleted: BTreeMap<String, DeletedKey>,
    pub assignments: Vec<Assignment>,
}

/// Who may reach the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Everybody.
    Open,
    /// A firewall that knows other addresses: 403 ForbiddenByFirewall.
    Firewalled,
    /// Public access is off and the caller has no private link: 403 ForbiddenByConnection.
    PrivateOnly,
}

/// A key: its versions, oldest first. The last one is what a URL without version means.
#[derive(Clone, Serialize, Deserialize)]
pub struct Key {
    pub versions: Vec<KeyVersion>,
}

/// A version with its attributes; moments in unix seconds.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyVersion {
    /// 32 hex digits.
    pub id: String,
    /// `RSA` or `RSA-HSM`; in a Managed HSM `oct-HSM` too.
    pub kty: String,
    pub key_ops: Vec<String>,
    pub enabled: bool,
    pub not_before: Option<i64>,
    pub expires: Option<i64>,
    pub created: i64,
    pub updated: i64,
    pub tags: BTreeMap<String, String>,
}

/// A soft-deleted key.
#[derive(Serialize, Deserialize)]
pub struct DeletedKey {
    pub key: Key,
    pub deleted: i64,
}

/// A role given to a principal on one key, or on the whole vault.
#[derive(Serialize, Deserialize)]
pub struct Assignment {
    pub principal: String,
    pub role: Role,
    pub key: Option<String>,
}

/// The built-in roles of Key Vault that matter to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Key Vault Crypto Service Encryption User: read, wrap, unwrap.
    CryptoServiceEncryptionUser,
    /// Key Vault Crypto Officer: everything on keys.
    CryptoOfficer,
    /// Key Vault Reader, as far as keys go: read.
    Reader,
}

/// A customer of the ISV: where its key lies and who of the ISV may use it.
#[derive(Clone, Serialize, Deserialize)]
pub struct CustomerRecord {
    pub vault: String,
    pub key: String,
    /// Object id of whoever holds the role on the key.
    pub principal: String,
    /// Client id of the customer's (or for a key at the ISV, the ISV's) administrator of keys.
    pub admin: String,
}

/// The world can't be read, written or made.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{path} is not a world of this version: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    Rsa(#[from] RsaError),
}

impl World {
    /// Reads the world kept in `dir`, or makes a new one there. Generates RSA keys on first use: call it off the threads that serve.
    pub fn open_or_create(dir: &Path) -> Result<Self, WorldError> {
        let path = dir.join("world.json");
        match fs::read(&path) {
            Ok(bytes) => Self::read(dir, &path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(dir),
            Err(source) => Err(WorldError::File { path, source }),
        }
    }

    /// Where it is kept.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directories.
    pub fn entra(&self) -> &Entra {
        &self.state.entra
    }

    /// The vaults' names.
    pub fn vault_names(&self) -> impl Iterator<Item = &str> {
        self.state.vaults.keys().map(String::as_str)
    }

    /// A vault by name.
    pub fn vault(&self, name: &str) -> Option<&Vault> {
        self.state.vaults.get(name)
    }

    /// A customer by name.
    pub fn customer(&self, name: &str) -> Option<&CustomerRecord> {
        self.state.customers.get(name)
    }

    /// The private key of a version.
    pub fn material(&self, version: &str) -> Option<Arc<Material>> {
        self.material.get(version).cloned()
    }

    /// Changes the directories and keeps the change.
    pub fn change_entra<T>(&mut self, change: impl FnOnce(&mut Entra) -> T) -> Result<T, WorldError> {
        let result = change(&mut self.state.entra);
        self.save()?;
        Ok(result)
    }

    /// Changes a vault and keeps the change. `None` where there is no such vault.
    pub fn change_vault<T>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Vault) -> T,
    ) -> Result<Option<T>, WorldError> {
        let Some(vault) = self.state.vaults.get_mut(name) else {
            return Ok(None);
        };
        let result = change(vault);
        self.save()?;
        Ok(Some(result))
    }

    /// Keeps a key's material under a fresh version id. The caller then adds the version to a key.
    pub fn keep_material(&mut self, material: impl Into<Material>) -> Result<String, WorldError> {
        let id = ids::hex32();
        let material = material.into();
        material.save(&self.dir, &id)?;
        self.material.insert(id.clone(), Arc::new(material));
        Ok(id)
    }

    /// Keeps a restored version's material under the id that it had.
    pub fn keep_material_as(&mut self, id: &str, material: Arc<Material>) -> Result<(), WorldError> {
        material.save(&self.dir, id)?;
        self.material.insert(id.to_owned(), material);
        Ok(())
    }

    /// Destroys the material of purged versions.
    pub fn destroy_material(&mut self, key: &Key) {
        for version in &key.versions {
            self.material.remove(&version.id);
            Material::remove(&self.dir, &version.id);
        }
    }

    fn create(dir: &Path) -> Result<Self, WorldError> {
        let rsa = dir.join("rsa");
        fs::create_dir_all(&rsa).map_err(|source| WorldError::File { path: rsa, source })?;
        let mut world = Self {
            dir: dir.to_owned(),
            state: cast::first_state(),
            material: BTreeMap::new(),
        };
        let customers: Vec<CustomerRecord> = world.state.customers.values().cloned().collect();
        for customer in customers {
            let version = match is_hsm(&customer.vault) {
                true => KeyVersion::symmetric(world.keep_material(Material::symmetric()?)?),
                false => KeyVersion::new(world.keep_material(RsaKey::generate(Bits::Rsa2048)?)?),
            };
            if let Some(vault) = world.state.vaults.get_mut(&customer.vault) {
                let mut key = Key { versions: Vec::new() };
                key.add(version);
                vault.keys.insert(customer.key, key);
            }
        }
        world.save()?;
        Ok(world)
    }

    fn read(dir: &Path, path: &Path, bytes: &[u8]) -> Result<Self, WorldError> {
        let state: State = serde_json::from_slice(bytes).map_err(|source| WorldError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let mut world = Self {
            dir: dir.to_owned(),
            state,
            material: BTreeMap::new(),
        };
        let live = world.state.vaults.values().flat_map(|vault| vault.keys.values());
        let deleted = world
            .state
            .vaults
            .values()
            .flat_map(|vault| vault.deleted.values().map(|deleted| &deleted.key));
        let versions: Vec<String> = live
            .chain(deleted)
            .flat_map(|key| key.versions.iter().map(|version| version.id.clone()))
            .collect();
        for id in versions {
            let material = Material::open(dir, &id)?;
            world.material.insert(id, Arc::new(material));
        }
        Ok(world)
    }

    fn save(&self) -> Result<(), WorldError> {
        let path = self.dir.join("world.json");
        let bytes = serde_json::to_vec_pretty(&self.state).map_err(|source| WorldError::Unreadable {
            path: path.clone(),
            source,
        })?;
        write_private(&path, &bytes).map_err(|source| WorldError::File { path, source })
    }
}

impl Entra {
    /// The id of the tenant that a URL names, by id or by the stand-in's name.
    pub fn tenant_id(&self, named: &str) -> Option<&str> {
        let by_name = self.tenants.get(named).map(String::as_str);
        by_name.or_else(|| {
            self.tenants
                .values()
                .map(String::as_str)
                .find(|id| id.eq_ignore_ascii_case(named))
        })
    }

    /// An application by client id, in whatever tenant.
    pub fn application(&self, client_id: &str) -> Option<&Application> {
        self.applications
            .iter()
            .find(|application| application.client_id.eq_ignore_ascii_case(client_id))
    }

    /// An application's presence in a tenant, with its object id.
    pub fn installation(&self, tenant: &str, client_id: &str) -> Option<&Installation> {
        self.installations
            .iter()
            .find(|entry| entry.tenant == tenant && entry.client_id.eq_ignore_ascii_case(client_id))
    }
}

impl Vault {
    /// The roles of a principal that reach `key` (or the vault as a whole, for `None`).
    pub fn roles<'a>(&'a self, principal: &'a str, key: Option<&'a str>) -> impl Iterator<Item = Role> + 'a {
        self.assignments
            .iter()
            .filter(move |entry| entry.principal == principal)
            .filter(move |entry| entry.key.is_none() || entry.key.as_deref() == key)
            .map(|entry| entry.role)
    }
}

impl Key {
    /// The version a URL means: the one it names, else the newest.
    pub fn version(&self, id: Option<&str>) -> Option<&KeyVersion> {
        match id {
            Some(id) => self.versions.iter().find(|version| version.id == id),
            None => self.versions.last(),
        }
    }

    /// As [`Self::version`], to change it.
    pub fn version_mut(&mut self, id: Option<&str>) -> Option<&mut KeyVersion> {
        match id {
            Some(id) => self.versions.iter_mut().find(|version| version.id == id),
            None => self.versions.last_mut(),
        }
    }

    /// Adds the newest version. Two made within one second would show the same `created`, and a client could not tell which
    /// is newer; the later one is dated a second on, so that what clients see is always in order.
    pub fn add(&mut self, mut version: KeyVersion) {
        if let Some(last) = self.versions.last() {
            version.created = version.created.max(last.created.saturating_add(1));
            version.updated = version.updated.max(version.created);
        }
        self.versions.push(version);
    }
}

impl KeyVersion {
    /// An enabled software RSA version with every operation, made now.
    pub fn new(id: String) -> Self {
        let now = ids::now();
        let key_ops = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
        Self {
            id,
            kty: "RSA".to_owned(),
            key_ops: key_ops.map(str::to_owned).to_vec(),
            enabled: true,
            not_before: None,
            expires: None,
            created: now,
            updated: now,
            tags: BTreeMap::new(),
        }
    }

    /// A version of 256 bits of AES, in a Managed HSM.
    pub fn symmetric(id: String) -> Self {
        let key_ops = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];
        Self {
            kty: "oct-HSM".to_owned(),
            key_ops: key_ops.map(str::to_owned).to_vec(),
            ..Self::new(id)
        }
    }

    /// Whether it is AES, without a public half.
    pub fn is_symmetric(&self) -> bool {
        self.kty == "oct-HSM"
    }

    /// Whether `nbf` and `exp` allow the operations that they govern, at `now` (unix seconds).
    pub fn is_current(&self, now: i64) -> bool {
        self.not_before.is_none_or(|from| now >= from) && self.expires.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_world_read_back_has_the_same_keys() {
        let dir = std::env::temp_dir().join(format!("portcullis-world-{}", std::process::id()));
        let first = World::open_or_create(&dir).unwrap();
        let again = World::open_or_create(&dir).unwrap();
        for customer in ["acme", "globex"] {
            let record = first.customer(customer).unwrap();
            let id = first.vault(&record.vault).unwrap().keys[&record.key]
                .version(None)
                .unwrap()
                .id
                .clone();
            let same = again.vault(&record.vault).unwrap().keys[&record.key]
                .version(None)
                .unwrap();
            assert_eq!(same.id, id);
            assert_eq!(
                again.material(&id).unwrap().public(),
                first.material(&id).unwrap().public()
            );
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn versions_made_in_one_second_stay_in_order() {
        let mut key = Key { versions: Vec::new() };
        for _ in 0..3 {
            key.add(KeyVersion::new(ids::hex32()));
        }
        assert!(key.versions.windows(2).all(|pair| pair[0].created < pair[1].created));
    }
}
