//! What a vault does with its keys: read, wrap, unwrap, and the customer's own changes. The caller's right is already checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::fault::Operation;
use crate::dev::standin::hsm::is_hsm;
use crate::dev::standin::ids;
use crate::dev::standin::material::{AES_BITS, Algorithm, Material};
use crate::dev::standin::reply::Reply;
use crate::dev::standin::rsa::{Bits, RsaKey};
use crate::dev::standin::vault::Call;
use crate::dev::standin::vault_error::VaultError;
use crate::dev::standin::world::{DeletedKey, Key, KeyVersion, RETENTION_DAYS, World, WorldError};

/// Most entries on a page of a list, and what a client may ask for at most.
const PAGE: usize = 25;
const DAY: i64 = 86_400;

/// Getting succeeds on a disabled key, and says so in its attributes.
pub fn get(cloud: &Cloud, world: &World, call: &Call) -> Result<Reply, VaultError> {
    bundle(cloud, world, call, find(world, call)?)
}

/// A wrap or unwrap that was allowed: what is left is the arithmetic, off the world's lock.
pub struct Work {
    material: Arc<Material>,
    kid: String,
    algorithm: Algorithm,
    value: zeroize::Zeroizing<Vec<u8>>,
}

/// Wrapping is refused outside `nbf`..`exp`, and allowed on a disabled key: it takes the public half only.
/// (Seen on the real service in azure-sdk-for-python#45342.)
pub fn prepare_wrap(cloud: &Cloud, world: &World, call: &Call) -> Result<Work, VaultError> {
    let version = find(world, call)?;
    if !has_operation(version, "wrapKey") {
        return Err(VaultError::NotPermitted { operation: "wrapKey" });
    }
    // No public half that anybody could wrap with: nothing is captured of it, but it can't be otherwise.
    if version.is_symmetric() && !version.enabled {
        return Err(VaultError::KeyDisabled { operation: "wrapKey" });
    }
    if !version.is_current(ids::now()) {
        return Err(VaultError::OutsideValidity { operation: "wrapKey" });
    }
    prepare(cloud, world, call, version)
}

/// Unwrapping is refused on a disabled key, and allowed outside `nbf`..`exp`: old data must stay readable.
/// (Key Vault's documentation of key attributes.)
pub fn prepare_unwrap(cloud: &Cloud, world: &World, call: &Call) -> Result<Work, VaultError> {
    let version = find(world, call)?;
    if !version.enabled {
        return Err(VaultError::KeyDisabled { operation: "unwrapKey" });
    }
    if !has_operation(version, "unwrapKey") {
        return Err(VaultError::NotPermitted { operation: "unwrapKey" });
    }
    prepare(cloud, world, call, version)
}

impl Work {
    pub fn wrap(self) -> Result<Reply, VaultError> {
        let value = self
            .material
            .wrap(self.algorithm, &self.value)
            .map_err(|_| incorrect())?;
        Ok(result(&self.kid, &value))
    }

    pub fn unwrap(self) -> Result<Reply, VaultError> {
        let value = self
            .material
            .unwrap(self.algorithm, &self.value)
            .map_err(|_| incorrect())?;
        Ok(result(&self.kid, &value))
    }
}

/// All versions, enabled or not, in no order of time: sorted by id, as random as the ids are.
pub fn list_versions(cloud: &Cloud, world: &World, call: &Call) -> Result<Reply, VaultError> {
    let key = find_key(world, call)?;
    let mut versions: Vec<&KeyVersion> = key.versions.iter().collect();
    versions.sort_by(|one, other| one.id.cmp(&other.id));
    let items = versions.into_iter().map(|version| {
        with_tags(
            json!({"kid": kid(cloud, call, &call.key, Some(&version.id)), "attributes": attributes(world, call, version)}),
            version,
        )
    });
    page(cloud, call, &format!("keys/{}/versions", call.key), items.collect())
}

pub fn list(cloud: &Cloud, world: &World, call: &Call) -> Result<Reply, VaultError> {
    let vault = world.vault(&call.vault).ok_or_else(|| not_found(call))?;
    let items = vault.keys.iter().filter_map(|(name, key)| {
        let version = key.version(None)?;
        Some(with_tags(
            json!({"kid": kid(cloud, call, name, None), "attributes": attributes(world, call, version)}),
            version,
        ))
    });
    page(cloud, call, "keys", items.collect())
}

pub fn list_deleted(cloud: &Cloud, world: &World, call: &Call) -> Result<Reply, VaultError> {
    let vault = world.vault(&call.vault).ok_or_else(|| not_found(call))?;
    let items = vault.deleted.iter().filter_map(|(name, deleted)| {
        let version = deleted.key.version(None)?;
        let mut item = json!({"kid": kid(cloud, call, name, None), "attributes": attributes(world, call, version)});
        add_deletion(&mut item, cloud, call, name, deleted.deleted);
        Some(with_tags(item, version))
    });
    page(cloud, call, "deletedkeys", items.collect())
}

pub fn get_deleted(cloud: &Cloud, world: &World, call: &Call) -> Result<Reply, VaultError> {
    let vault = world.vault(&call.vault).ok_or_else(|| not_found(call))?;
    let deleted = vault.deleted.get(&call.key).ok_or_else(|| deleted_not_found(call))?;
    deleted_bundle(cloud, world, call, deleted)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyAttributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct KeyChange {
    attributes: Option<KeyAttributes>,
    key_ops: Option<Vec<String>>,
    tags: Option<BTreeMap<String, String>>,
}

/// Changes what is named of a version's attributes, operations and tags.
pub fn update(cloud: &Cloud, world: &mut World, call: &Call) -> Result<Reply, VaultError> {
    let change: KeyChange = parse(&call.body)?;
    let changed = world.change_vault(&call.vault, |vault| {
        let key = vault.keys.get_mut(&call.key).ok_or_else(|| not_found(call))?;
        let version = key
            .version_mut(call.version.as_deref())
            .ok_or_else(|| not_found(call))?;
        change.apply(version);
        version.updated = version.updated.max(ids::now());
        Ok(())
    });
    changed
        .map_err(|error| broken(&error))?
        .ok_or_else(|| not_found(call))??;
    get(cloud, world, call)
}

#[derive(Deserialize)]
struct NewKey {
    kty: String,
    key_size: Option<u64>,
    #[serde(flatten)]
    change: KeyChange,
}

/// Makes the material for a new key or version.
pub fn generate(cloud: &Cloud, call: &Call) -> Result<Material, VaultError> {
    let invalid = || bad("Property key_size has invalid value");
    let made = match call.operation {
        Operation::CreateKey => {
            let wanted: NewKey = parse(&call.body)?;
            match (wanted.kty.as_str(), is_hsm(&call.vault)) {
                ("RSA", false) | ("RSA-HSM", _) => {
                    let bits = Bits::new(wanted.key_size.unwrap_or(2048)).ok_or_else(invalid)?;
                    RsaKey::generate(bits).map(Material::Rsa)
                }
                ("oct-HSM", true) if wanted.key_size.is_none_or(|bits| bits == AES_BITS) => Material::symmetric(),
                ("oct-HSM", true) => return Err(invalid()),
                _ => {
                    return Err(bad(
                        "the stand-in makes RSA and RSA-HSM keys, and oct-HSM in Managed HSMs",
                    ));
                }
            }
        }
        _ => current(&cloud.world(), call)?.like(),
    };
    made.map_err(|error| VaultError::Broken {
        reason: error.to_string(),
    })
}

/// Adds a version: to the key of that name where there is one, else as the first of a new key.
pub fn add(cloud: &Cloud, world: &mut World, call: &Call, material: Material) -> Result<Reply, VaultError> {
    let vault = world.vault(&call.vault).ok_or_else(|| not_found(call))?;
    if vault.deleted.contains_key(&call.key) {
        return Err(VaultError::DeletedButRecoverable { key: call.key.clone() });
    }
    let template = match call.operation {
        Operation::CreateKey => {
            let wanted: NewKey = parse(&call.body)?;
            let mut version = KeyVersion {
                kty: wanted.kty,
                ..KeyVersion::new(String::new())
            };
            wanted.change.apply(&mut version);
            version
        }
        // A rotation repeats the newest version's kind and operations; whether that one is enabled plays no part.
        _ => {
            let last = find(world, call)?.clone();
            let fresh = KeyVersion::new(String::new());
            KeyVersion {
                kty: last.kty,
                key_ops: last.key_ops,
                tags: last.tags,
                ..fresh
            }
        }
    };
    let id = world.keep_material(material).map_err(|error| broken(&error))?;
    let added = world.change_vault(&call.vault, |vault| {
        let key = vault
            .keys
            .entry(call.key.clone())
            .or_insert_with(|| Key { versions: Vec::new() });
        key.add(KeyVersion { id, ..template });
    });
    added.map_err(|error| broken(&error))?;
    bundle(cloud, world, call, find(world, call)?)
}

/// Soft-deletes a key with all its versions.
pub fn delete(cloud: &Cloud, world: &mut World, call: &Call) -> Result<Reply, VaultError> {
    let moved = world.change_vault(&call.vault, |vault| {
        let key = vault.keys.remove(&call.key)?;
        vault.deleted.insert(
            call.key.clone(),
            DeletedKey {
                key,
                deleted: ids::now(),
            },
        );
        Some(())
    });
    moved
        .map_err(|error| broken(&error))?
        .flatten()
        .ok_or_else(|| not_found(call))?;
    let vault = world.vault(&call.vault).ok_or_else(|| not_found(call))?;
    let deleted = vault.deleted.get(&call.key).ok_or_else(|| not_found(call))?;
    deleted_bundle(cloud, world, call, deleted)
}

/// Brings a soft-deleted key back with all its versions.
pub fn recover(cloud: &Cloud, world: &mut World, call: &Call) -> Result<Reply, VaultError> {
    let moved = world.change_vault(&call.vault, |vault| {
        let deleted = vault.deleted.remove(&call.key)?;
        vault.keys.insert(call.key.clone(), deleted.key);
        Some(())
    });
    moved
        .map_err(|error| broken(&error))?
        .flatten()
        .ok_or_else(|| deleted_not_found(call))?;
    get(cloud, world, call)
}

/// Destroys a soft-deleted key.
pub fn purge(world: &mut World, call: &Call) -> Result<Reply, VaultError> {
    if world.vault(&call.vault).is_some_and(|vault| vault.purge_protection) {
        return Err(VaultError::PurgeProtected);
    }
    let purged = world.change_vault(&call.vault, |vault| vault.deleted.remove(&call.key));
    let purged = purged
        .map_err(|error| broken(&error))?
        .flatten()
        .ok_or_else(|| deleted_not_found(call))?;
    world.destroy_material(&purged.key);
    let mut reply = Reply::json(StatusCode::NO_CONTENT, &Value::Null);
    reply.body = Bytes::new();
    Ok(reply)
}

impl KeyChange {
    fn apply(self, version: &mut KeyVersion) {
        let attributes = self.attributes.unwrap_or_default();
        version.enabled = attributes.enabled.unwrap_or(version.enabled);
        version.not_before = attributes.nbf.or(version.not_before);
        version.expires = attributes.exp.or(version.expires);
        if let Some(operations) = self.key_ops {
            version.key_ops = operations;
        }
        if let Some(tags) = self.tags {
            version.tags = tags;
        }
    }
}

#[derive(Deserialize)]
struct WrapRequest {
    alg: String,
    value: String,
}

fn prepare(cloud: &Cloud, world: &World, call: &Call, version: &KeyVersion) -> Result<Work, VaultError> {
    let request: WrapRequest = parse(&call.body)?;
    let algorithm = Algorithm::new(&request.alg).ok_or_else(|| bad("Property alg has invalid value"))?;
    let value = URL_SAFE_NO_PAD
        .decode(request.value.trim_end_matches('='))
        .map_err(|_| bad("Property value has invalid value"))?;
    let material = world.material(&version.id).ok_or_else(|| not_found(call))?;
    Ok(Work {
        material,
        kid: kid(cloud, call, &call.key, Some(&version.id)),
        algorithm,
        value: value.into(),
    })
}

fn find<'a>(world: &'a World, call: &Call) -> Result<&'a KeyVersion, VaultError> {
    find_key(world, call)?
        .version(call.version.as_deref())
        .ok_or_else(|| not_found(call))
}

fn find_key<'a>(world: &'a World, call: &Call) -> Result<&'a Key, VaultError> {
    world
        .vault(&call.vault)
        .and_then(|vault| vault.keys.get(&call.key))
        .ok_or_else(|| not_found(call))
}

fn current(world: &World, call: &Call) -> Result<Arc<Material>, VaultError> {
    let version = find(world, call)?;
    world.material(&version.id).ok_or_else(|| not_found(call))
}

fn has_operation(version: &KeyVersion, operation: &str) -> bool {
    version.key_ops.iter().any(|allowed| allowed == operation)
}

fn bundle(cloud: &Cloud, world: &World, call: &Call, version: &KeyVersion) -> Result<Reply, VaultError> {
    Ok(Reply::json(StatusCode::OK, &bundle_json(cloud, world, call, version)?))
}

fn deleted_bundle(cloud: &Cloud, world: &World, call: &Call, deleted: &DeletedKey) -> Result<Reply, VaultError> {
    let version = deleted.key.version(None).ok_or_else(|| deleted_not_found(call))?;
    let mut json = bundle_json(cloud, world, call, version)?;
    add_deletion(&mut json, cloud, call, &call.key, deleted.deleted);
    Ok(Reply::json(StatusCode::OK, &json))
}

fn bundle_json(cloud: &Cloud, world: &World, call: &Call, version: &KeyVersion) -> Result<Value, VaultError> {
    let material = world.material(&version.id).ok_or_else(|| not_found(call))?;
    let mut key = material.public();
    let described = [
        ("kid", kid(cloud, call, &call.key, Some(&version.id)).into()),
        ("kty", json!(version.kty)),
        ("key_ops", json!(version.key_ops)),
    ];
    if let Some(key) = key.as_object_mut() {
        key.extend(described.map(|(name, value)| (name.to_owned(), value)));
    }
    Ok(with_tags(
        json!({"key": key, "attributes": attributes(world, call, version)}),
        version,
    ))
}

fn attributes(world: &World, call: &Call, version: &KeyVersion) -> Value {
    // DeletionRecoveryLevel, of a vault that keeps what is deleted for 90 days.
    let protected = world.vault(&call.vault).is_some_and(|vault| vault.purge_protection);
    let level = if protected {
        "Recoverable"
    } else {
        "Recoverable+Purgeable"
    };
    let mut attributes = json!({
        "enabled": version.enabled,
        "created": version.created,
        "updated": version.updated,
        "recoveryLevel": level,
        "recoverableDays": RETENTION_DAYS,
        "exportable": false,
    });
    // Key Vault leaves out what is not set.
    for (name, moment) in [("nbf", version.not_before), ("exp", version.expires)] {
        if let (Some(moment), Some(attributes)) = (moment, attributes.as_object_mut()) {
            attributes.insert(name.to_owned(), moment.into());
        }
    }
    attributes
}

fn with_tags(mut json: Value, version: &KeyVersion) -> Value {
    if let (false, Some(object)) = (version.tags.is_empty(), json.as_object_mut()) {
        object.insert("tags".to_owned(), json!(version.tags));
    }
    json
}

fn add_deletion(json: &mut Value, cloud: &Cloud, call: &Call, key: &str, deleted: i64) {
    if let Some(object) = json.as_object_mut() {
        let recovery = format!("{}/deletedkeys/{key}", cloud.vault_url(&call.vault));
        object.insert("recoveryId".to_owned(), recovery.into());
        object.insert("deletedDate".to_owned(), deleted.into());
        object.insert(
            "scheduledPurgeDate".to_owned(),
            deleted.saturating_add(RETENTION_DAYS * DAY).into(),
        );
    }
}

fn kid(cloud: &Cloud, call: &Call, key: &str, version: Option<&str>) -> String {
    let vault = cloud.vault_url(&call.vault);
    match version {
        Some(version) => format!("{vault}/keys/{key}/{version}"),
        None => format!("{vault}/keys/{key}"),
    }
}

fn result(kid: &str, value: &[u8]) -> Reply {
    Reply::json(
        StatusCode::OK,
        &json!({"kid": kid, "value": URL_SAFE_NO_PAD.encode(value)}),
    )
}

/// One page of a list, with a link to the next while there is one.
fn page(cloud: &Cloud, call: &Call, path: &str, items: Vec<Value>) -> Result<Reply, VaultError> {
    let size = match call.query.value("maxresults") {
        None => PAGE,
        Some(text) => match text.parse() {
            Ok(size @ 1..=PAGE) => size,
            _ => return Err(bad("Invalid value for query parameter maxresults: 1 to 25 are allowed")),
        },
    };
    let start: usize = match call.query.value("$skiptoken") {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| bad("Invalid value for query parameter $skiptoken"))?,
    };
    let end = start.saturating_add(size);
    let next = (end < items.len()).then(|| {
        let version = call.query.value("api-version").unwrap_or_default();
        let vault = cloud.vault_url(&call.vault);
        format!("{vault}/{path}?api-version={version}&$skiptoken={end}&maxresults={size}")
    });
    let items: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    Ok(Reply::json(StatusCode::OK, &json!({"value": items, "nextLink": next})))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, VaultError> {
    serde_json::from_slice(body).map_err(|_| bad("Request body is not valid JSON for this operation"))
}

fn not_found(call: &Call) -> VaultError {
    VaultError::KeyNotFound {
        key: call.key.clone(),
        version: call.version.clone(),
    }
}

fn deleted_not_found(call: &Call) -> VaultError {
    VaultError::DeletedKeyNotFound { key: call.key.clone() }
}

fn bad(message: &str) -> VaultError {
    VaultError::BadParameter {
        message: message.to_owned(),
    }
}

/// What Key Vault says of bytes that do not unwrap.
fn incorrect() -> VaultError {
    bad("The parameter is incorrect.\r\n")
}

fn broken(error: &WorldError) -> VaultError {
    VaultError::Broken {
        reason: error.to_string(),
    }
}
