//! Key Vault's keys API: what is asked, who asks, whether they may; then [`keys`](crate::dev::standin::keys) does it.
//!
//! Checked in the order of the real service: token, audience, issuer, network, role; then the key and its state.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, EXPIRES, HeaderName, PRAGMA, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::fault::Operation;
use crate::dev::standin::hsm;
use crate::dev::standin::ids;
use crate::dev::standin::keys;
use crate::dev::standin::query::Pairs;
use crate::dev::standin::reply::Reply;
use crate::dev::standin::token::{Claims, sts_issuer};
use crate::dev::standin::vault_error::{Caller, VaultError};
use crate::dev::standin::world::{Network, Role, Vault, World};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const REGION: HeaderName = HeaderName::from_static("x-ms-keyvault-region");
const SERVICE_VERSION: HeaderName = HeaderName::from_static("x-ms-keyvault-service-version");
const NETWORK_INFO: HeaderName = HeaderName::from_static("x-ms-keyvault-network-info");

/// One request to a vault.
pub struct Call {
    pub vault: String,
    pub operation: Operation,
    /// Empty for operations on the whole vault.
    pub key: String,
    pub version: Option<String>,
    pub query: Pairs,
    pub body: Bytes,
    bearer: Option<String>,
    client_request_id: Option<String>,
}

impl Call {
    /// Reads a request to `vault`.
    pub fn read(vault: &str, parts: &Parts, body: Bytes) -> Self {
        let header = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header(&AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let (operation, key, version) = route(&parts.method, parts.uri.path());
        Self {
            vault: vault.to_owned(),
            // A request without a token asks for nothing but the challenge, whatever its path.
            operation: if bearer.is_some() {
                operation
            } else {
                Operation::Challenge
            },
            key,
            version,
            query: Pairs::read(parts.uri.query().unwrap_or_default()),
            body,
            bearer,
            client_request_id: header(&CLIENT_REQUEST_ID).map(str::to_owned),
        }
    }
}

/// Decides a request, and does it. Creating a key takes RSA generation: not on a thread that serves.
pub fn answer(cloud: &Cloud, call: &Call) -> Reply {
    let reply = decide(cloud, call).unwrap_or_else(|error| {
        let world = cloud.world();
        let tenant = world
            .vault(&call.vault)
            .map(|vault| vault.tenant.as_str())
            .unwrap_or_default();
        error.reply(cloud, &call.vault, tenant)
    });
    dress(call, reply)
}

/// The headers that Key Vault puts on every answer.
pub fn dress(call: &Call, reply: Reply) -> Reply {
    let reply = reply
        .with(CACHE_CONTROL, "no-cache")
        .with(PRAGMA, "no-cache")
        .with(EXPIRES, "-1")
        .with(REGION, "westeurope")
        .with(REQUEST_ID, &ids::uuid())
        .with(SERVICE_VERSION, "1.9.1720.1")
        .with(NETWORK_INFO, "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;")
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with(STRICT_TRANSPORT_SECURITY, "max-age=31536000;includeSubDomains");
    match &call.client_request_id {
        Some(id) => reply.with(CLIENT_REQUEST_ID, id),
        None => reply,
    }
}

fn decide(cloud: &Cloud, call: &Call) -> Result<Reply, VaultError> {
    let caller = authenticate(cloud, call)?;
    // Generated before the lock is taken for good: the world must not wait for it. So the caller's right is checked twice.
    let material = match call.operation {
        Operation::CreateKey | Operation::RotateKey => {
            authorize(&cloud.world(), call, &caller)?;
            Some(keys::generate(cloud, call)?)
        }
        _ => None,
    };
    let mut world = cloud.world();
    authorize(&world, call, &caller)?;
    if call.query.value("api-version").is_none_or(str::is_empty) {
        return Err(VaultError::NoApiVersion);
    }
    match (call.operation, material) {
        (Operation::WrapKey, _) => {
            let work = keys::prepare_wrap(cloud, &world, call)?;
            drop(world);
            work.wrap()
        }
        (Operation::UnwrapKey, _) => {
            let work = keys::prepare_unwrap(cloud, &world, call)?;
            drop(world);
            work.unwrap()
        }
        (Operation::GetKey, _) => keys::get(cloud, &world, call),
        (Operation::ListVersions, _) => keys::list_versions(cloud, &world, call),
        (Operation::ListKeys, _) => keys::list(cloud, &world, call),
        (Operation::ListDeletedKeys, _) => keys::list_deleted(cloud, &world, call),
        (Operation::GetDeletedKey, _) => keys::get_deleted(cloud, &world, call),
        (Operation::UpdateKey, _) => keys::update(cloud, &mut world, call),
        (Operation::CreateKey | Operation::RotateKey, Some(material)) => keys::add(cloud, &mut world, call, material),
        (Operation::DeleteKey, _) => keys::delete(cloud, &mut world, call),
        (Operation::RecoverKey, _) => keys::recover(cloud, &mut world, call),
        (Operation::PurgeKey, _) => keys::purge(&mut world, call),
        (
            Operation::CreateKey
            | Operation::RotateKey
            | Operation::Challenge
            | Operation::Token
            | Operation::Discovery
            | Operation::IdentityToken
            | Operation::Unknown,
            _,
        ) => Err(VaultError::NotServed),
    }
}

/// A token, its signature and time, and that it is for a vault.
fn authenticate(cloud: &Cloud, call: &Call) -> Result<Claims, VaultError> {
    let token = call.bearer.as_deref().ok_or(VaultError::NoToken)?;
    let claims = cloud.signer.verify(token).map_err(VaultError::BadToken)?;
    match claims.aud.trim_end_matches('/') == cloud.national().resource(&call.vault) {
        true => Ok(claims),
        false => Err(VaultError::WrongAudience { found: claims.aud }),
    }
}

/// That the token is of the vault's tenant, the network lets it through, and a role allows the operation.
fn authorize(world: &World, call: &Call, claims: &Claims) -> Result<(), VaultError> {
    let Some(vault) = world.vault(&call.vault) else {
        return Err(VaultError::Broken {
            reason: format!("there is no vault {}", call.vault),
        });
    };
    if claims.iss != sts_issuer(&vault.tenant) {
        return Err(VaultError::WrongIssuer {
            expected: vault.tenant.clone(),
            found: claims.iss.clone(),
        });
    }
    let caller = Caller::new(claims);
    match vault.network {
        Network::Open => {}
        Network::Firewalled => return Err(VaultError::Firewalled { caller }),
        Network::PrivateOnly => return Err(VaultError::PrivateOnly { caller }),
    }
    let Some(action) = action(call.operation) else {
        return Err(VaultError::NotServed);
    };
    match may(vault, call, &claims.oid) {
        true => Ok(()),
        false => Err(VaultError::NoRole {
            caller,
            action,
            key: call.key.clone(),
        }),
    }
}

fn may(vault: &Vault, call: &Call, principal: &str) -> bool {
    let key = (!call.key.is_empty()).then_some(call.key.as_str());
    let hsm = hsm::is_hsm(&call.vault);
    vault.roles(principal, key).any(|role| role.allows(call.operation, hsm))
}

impl Role {
    /// Whether the role's data actions cover an operation. Reading covers wrapping too: on an RSA key it needs the public
    /// half only, and Key Vault leaves public-key operations to whoever may read (Microsoft's text for `keys/read`). In a Managed
    /// HSM, whose keys need have none, it does not.
    fn allows(self, operation: Operation, hsm: bool) -> bool {
        let reads = matches!(
            operation,
            Operation::GetKey | Operation::ListVersions | Operation::ListKeys
        );
        let wraps = operation == Operation::WrapKey;
        match self {
            Self::CryptoOfficer => true,
            Self::CryptoServiceEncryptionUser => reads || wraps || operation == Operation::UnwrapKey,
            Self::Reader => reads || (wraps && !hsm),
        }
    }
}

/// The data action that an operation needs, as refusals name it; `None` for what the stand-in does not serve.
fn action(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::GetKey | Operation::ListVersions | Operation::ListKeys => {
            Some("Microsoft.KeyVault/vaults/keys/read")
        }
        // No capture names the action for deleted keys; it is none that a reader of keys has.
        Operation::GetDeletedKey | Operation::ListDeletedKeys => Some("Microsoft.KeyVault/vaults/deletedkeys/read"),
        Operation::WrapKey => Some("Microsoft.KeyVault/vaults/keys/wrap/action"),
        Operation::UnwrapKey => Some("Microsoft.KeyVault/vaults/keys/unwrap/action"),
        Operation::UpdateKey => Some("Microsoft.KeyVault/vaults/keys/update/action"),
        Operation::CreateKey => Some("Microsoft.KeyVault/vaults/keys/create/action"),
        Operation::RotateKey => Some("Microsoft.KeyVault/vaults/keys/rotate/action"),
        Operation::DeleteKey => Some("Microsoft.KeyVault/vaults/keys/delete"),
        Operation::RecoverKey => Some("Microsoft.KeyVault/vaults/keys/recover/action"),
        Operation::PurgeKey => Some("Microsoft.KeyVault/vaults/keys/purge/action"),
        Operation::Challenge
        | Operation::Token
        | Operation::Discovery
        | Operation::IdentityToken
        | Operation::Unknown => None,
    }
}

/// What a path means. Empty segments count for nothing: the Rust SDK asks for `/keys/cmk//wrapkey` where it means the
/// newest version, and for `/keys/cmk/` likewise.
fn route(method: &Method, path: &str) -> (Operation, String, Option<String>) {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let is = |verb: &str, name: &str| name.eq_ignore_ascii_case(verb);
    let on = |operation, key: &str, version: Option<&str>| (operation, key.to_owned(), version.map(str::to_owned));
    match (method.as_str(), segments.as_slice()) {
        ("GET", ["keys"]) => on(Operation::ListKeys, "", None),
        ("GET", ["keys", key]) => on(Operation::GetKey, key, None),
        ("GET", ["keys", key, verb]) if is("versions", verb) => on(Operation::ListVersions, key, None),
        ("GET", ["keys", key, version]) => on(Operation::GetKey, key, Some(version)),
        ("POST", ["keys", key, verb]) if is("create", verb) => on(Operation::CreateKey, key, None),
        ("POST", ["keys", key, verb]) if is("rotate", verb) => on(Operation::RotateKey, key, None),
        ("POST", ["keys", key, verb]) if is("wrapkey", verb) => on(Operation::WrapKey, key, None),
        ("POST", ["keys", key, verb]) if is("unwrapkey", verb) => on(Operation::UnwrapKey, key, None),
        ("POST", ["keys", key, version, verb]) if is("wrapkey", verb) => on(Operation::WrapKey, key, Some(version)),
        ("POST", ["keys", key, version, verb]) if is("unwrapkey", verb) => on(Operation::UnwrapKey, key, Some(version)),
        ("PATCH", ["keys", key]) => on(Operation::UpdateKey, key, None),
        ("PATCH", ["keys", key, version]) => on(Operation::UpdateKey, key, Some(version)),
        ("DELETE", ["keys", key]) => on(Operation::DeleteKey, key, None),
        ("GET", ["deletedkeys"]) => on(Operation::ListDeletedKeys, "", None),
        ("GET", ["deletedkeys", key]) => on(Operation::GetDeletedKey, key, None),
        ("POST", ["deletedkeys", key, verb]) if is("recover", verb) => on(Operation::RecoverKey, key, None),
        ("DELETE", ["deletedkeys", key]) => on(Operation::PurgeKey, key, None),
        _ => on(Operation::Unknown, "", None),
    }
}

/// The answer to a name that is no vault of this stand-in, where Azure has no DNS record.
pub fn no_such_vault(host: &str) -> Reply {
    Reply::text(
        StatusCode::MISDIRECTED_REQUEST,
        "text/plain",
        format!("the stand-in has no vault at {host}\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_every_sdk_are_understood() {
        for (method, path, operation, version) in [
            ("GET", "/keys/cmk", Operation::GetKey, None),
            ("GET", "/keys/cmk/", Operation::GetKey, None),
            ("GET", "/keys/cmk/0123", Operation::GetKey, Some("0123")),
            ("GET", "/keys/cmk/versions", Operation::ListVersions, None),
            ("POST", "/keys/cmk//wrapkey", Operation::WrapKey, None),
            ("POST", "/keys/cmk/0123/wrapKey", Operation::WrapKey, Some("0123")),
            ("POST", "/keys/cmk/0123/unwrapkey", Operation::UnwrapKey, Some("0123")),
            ("PATCH", "/keys/cmk/", Operation::UpdateKey, None),
            ("DELETE", "/deletedkeys/cmk", Operation::PurgeKey, None),
            ("POST", "/keys/cmk/0123/sign", Operation::Unknown, None),
        ] {
            let (found, _, found_version) = route(&Method::from_bytes(method.as_bytes()).unwrap(), path);
            assert_eq!(
                (found, found_version.as_deref()),
                (operation, version),
                "{method} {path}"
            );
        }
    }
}
