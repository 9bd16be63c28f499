//! Every refusal of Key Vault that the stand-in knows, with the service's own status, codes and words, `\r\n` included.
//!
//! The words are those of public captures: recordings of Azure's SDK tests, and issues where customers quote their vault.
//! What no capture was found for is marked so; a client must not lean on it.

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::json;

use crate::dev::standin::cloud::Cloud;
use crate::dev::standin::hsm;
use crate::dev::standin::reply::Reply;
use crate::dev::standin::token::{Claims, TokenFault, sts_issuer};

/// Why a vault refuses.
#[derive(Debug)]
pub enum VaultError {
    NoToken,
    BadToken(TokenFault),
    WrongAudience {
        found: String,
    },
    WrongIssuer {
        expected: String,
        found: String,
    },
    Firewalled {
        caller: Caller,
    },
    PrivateOnly {
        caller: Caller,
    },
    NoRole {
        caller: Caller,
        action: &'static str,
        key: String,
    },
    KeyNotFound {
        key: String,
        version: Option<String>,
    },
    DeletedKeyNotFound {
        key: String,
    },
    DeletedButRecoverable {
        key: String,
    },
    KeyDisabled {
        operation: &'static str,
    },
    NotPermitted {
        operation: &'static str,
    },
    OutsideValidity {
        operation: &'static str,
    },
    PurgeProtected,
    BadParameter {
        message: String,
    },
    NoApiVersion,
    NotServed,
    Broken {
        reason: String,
    },
}

/// The caller as error messages name it.
#[derive(Clone, Debug)]
pub struct Caller(String);

impl Caller {
    pub fn new(claims: &Claims) -> Self {
        let app = claims.appid.as_deref().unwrap_or_default();
        Self(format!("appid={app};oid={};iss={}", claims.oid, claims.iss))
    }
}

impl VaultError {
    /// As the vault answers it. A 401 repeats the challenge.
    pub fn reply(&self, cloud: &Cloud, vault: &str, tenant: &str) -> Reply {
        let (status, code, inner, message) = match self {
            Self::NoRole { action, key, .. } if hsm::is_hsm(vault) => {
                let (status, code, message) = hsm::no_role(key, action);
                (status, code, None, message)
            }
            _ => {
                let (status, code, inner) = self.codes();
                (
                    status,
                    code,
                    inner,
                    self.message(vault, &cloud.national().resource(vault)),
                )
            }
        };
        let error = match inner {
            Some(inner) => json!({"code": code, "message": message, "innererror": {"code": inner}}),
            None => json!({"code": code, "message": message}),
        };
        let reply = Reply::json(status, &json!({"error": error})).coded(inner.unwrap_or(code));
        match status {
            StatusCode::UNAUTHORIZED => {
                let authority = cloud.authority();
                let resource = cloud.national().resource(vault);
                let challenge = format!(r#"Bearer authorization="{authority}/{tenant}", resource="{resource}""#);
                reply.with(WWW_AUTHENTICATE, &challenge)
            }
            _ => reply,
        }
    }

    fn codes(&self) -> (StatusCode, &'static str, Option<&'static str>) {
        let forbidden = |inner| (StatusCode::FORBIDDEN, "Forbidden", Some(inner));
        match self {
            Self::NoToken | Self::BadToken(_) | Self::WrongAudience { .. } | Self::WrongIssuer { .. } => {
                (StatusCode::UNAUTHORIZED, "Unauthorized", None)
            }
            Self::Firewalled { .. } => forbidden("ForbiddenByFirewall"),
            Self::PrivateOnly { .. } => forbidden("ForbiddenByConnection"),
            Self::NoRole { .. } => forbidden("ForbiddenByRbac"),
            Self::KeyDisabled { .. } => forbidden("KeyDisabled"),
            Self::NotPermitted { .. } => forbidden("KeyOperationForbidden"),
            // No capture of the inner code; other emulators use this one.
            Self::OutsideValidity { .. } => forbidden("KeyNotYetValidOrExpired"),
            // No capture of the inner code.
            Self::PurgeProtected => forbidden("ObjectIsPurgeProtected"),
            Self::KeyNotFound { .. } | Self::DeletedKeyNotFound { .. } => (StatusCode::NOT_FOUND, "KeyNotFound", None),
            Self::DeletedButRecoverable { .. } => {
                (StatusCode::CONFLICT, "Conflict", Some("ObjectIsDeletedButRecoverable"))
            }
            Self::BadParameter { .. } | Self::NoApiVersion => (StatusCode::BAD_REQUEST, "BadParameter", None),
            Self::NotServed => (StatusCode::NOT_IMPLEMENTED, "NotServedByTheStandIn", None),
            Self::Broken { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", None),
        }
    }

    fn message(&self, vault: &str, resource: &str) -> String {
        let place = format!("Vault: {vault};location=westeurope");
        match self {
            Self::NoToken => "AKV10000: Request is missing a Bearer or PoP token.".to_owned(),
            Self::BadToken(TokenFault::Expired | TokenFault::NotYetValid) => {
                "[TokenExpired] Error validating token: 'S2S12086'.".to_owned()
            }
            // No captures of these two.
            Self::BadToken(TokenFault::BadSignature) => {
                "[BearerReadAccessTokenFailed] Error validating token: 'S2S12021'.".to_owned()
            }
            Self::BadToken(TokenFault::Malformed) => {
                "[BearerReadAccessTokenFailed] Error validating token: 'S2S12005'.".to_owned()
            }
            Self::WrongAudience { found } => {
                format!("AKV10022: Invalid audience. Expected {resource}, found: {found}.")
            }
            // The real list goes on with Microsoft's own tenants.
            Self::WrongIssuer { expected, found } => format!(
                "AKV10032: Invalid issuer. Expected one of {}, https://sts.windows.net/f8cdef31-a31e-4b4a-93e4-5f571e91255a/, \
                 https://sts.windows.net/e2d54eb5-3869-4f70-8578-dee5fc7331f4/, found {found}.",
                sts_issuer(expected)
            ),
            Self::Firewalled { caller } => format!(
                "Client address is not authorized and caller is not a trusted service.\r\nClient address: 127.0.0.1\r\n\
                 Caller: {}\r\n{place}",
                caller.0
            ),
            Self::PrivateOnly { caller } => format!(
                "Public network access is disabled and request is not from a trusted service nor via an approved private \
                 link.\r\nCaller: {}\r\n{place}",
                caller.0
            ),
            Self::NoRole { caller, action, key } => format!(
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role \
                 definitions were changed recently, please observe propagation time.\r\nCaller: {}\r\nAction: '{action}'\r\n\
                 Resource: '/subscriptions/e0000000-0000-4000-8000-000000000002/resourcegroups/{vault}/providers/\
                 microsoft.keyvault/vaults/{vault}/keys/{key}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\n\
                 DecisionReason: 'DeniedWithNoValidRBAC' \r\n{place}\r\n",
                caller.0
            ),
            Self::KeyNotFound { key, version } => {
                let version = version
                    .as_ref()
                    .map(|version| format!("/{version}"))
                    .unwrap_or_default();
                format!(
                    "A key with (name/id) {key}{version} was not found in this key vault. If you recently deleted this key \
                     you may be able to recover it using the correct recovery command. For help resolving this issue, \
                     please see https://go.microsoft.com/fwlink/?linkid=2125182"
                )
            }
            Self::DeletedKeyNotFound { key } => format!("Deleted Key not found: {key}"),
            Self::DeletedButRecoverable { key } => format!(
                "Key {key} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, \
                 the key can only be recovered or purged."
            ),
            Self::KeyDisabled { operation } => format!("Operation {operation} is not allowed on a disabled key."),
            Self::NotPermitted { operation } => format!("Operation {operation} is not permitted on this key."),
            // No capture.
            Self::OutsideValidity { operation } => {
                format!("Operation {operation} is not allowed on an expired or not yet valid key.")
            }
            // No capture.
            Self::PurgeProtected => {
                "Operation \"purge\" is not allowed because purge protection is enabled for this vault.".to_owned()
            }
            Self::BadParameter { message } => message.clone(),
            // No capture.
            Self::NoApiVersion => "The request has no api-version query parameter.".to_owned(),
            Self::NotServed => "Key Vault may know this operation; this stand-in does not.".to_owned(),
            Self::Broken { reason } => reason.clone(),
        }
    }
}
