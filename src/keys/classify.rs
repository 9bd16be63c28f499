//! From a raw answer to a [`Refusal`]: the one table of what Key Vault, Entra and the managed identity endpoint say. It reads
//! status and body itself, because the SDK's own error codes are lost whenever a message holds an escape (azure_core 1.1:
//! borrowed `&str` fields, so the `\r\n` in every real "ForbiddenByRbac" turns the code into "403").
//!
//! A no is believed only as the service's own JSON with a known code; an egress proxy's bare 403 is not one.

use crate::keys::refusal::{Blocked, IdentityFault, Refusal, Revoked, Service, Unavailable};
use serde::Deserialize;
use std::time::Duration;

/// The most of an error's body that is kept, in bytes.
pub const BODY_LIMIT: usize = 16 * 1024;

/// What was asked of the vault; the same answer can mean another thing for another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultOp {
    Get,
    Versions,
    Wrap,
    Unwrap,
}

/// An answer that was not a success, as it came over the wire. No Debug: what a service echoes in its errors names
/// identities, and stays out of logs.
#[derive(Default)]
pub struct RawAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// The first [`BODY_LIMIT`] bytes of the body; empty when the status was a success, whose body may hold a token or a DEK.
    pub body: Vec<u8>,
    /// How long the service asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The `WWW-Authenticate` header.
    pub challenge: Option<String>,
    /// `x-ms-request-id`, by which Microsoft's support finds the call.
    pub request_id: Option<String>,
}

/// Reads the vault's answer to `op`.
pub fn classify_vault(op: VaultOp, raw: &RawAnswer) -> Refusal {
    if let Some(reason) = transient(Service::Vault, raw) {
        return reason.into();
    }
    let Some(error) = raw.json::<VaultAnswer>().map(|answer| answer.error) else {
        return unrecognised(Service::Vault, raw);
    };
    let inner = error.innererror.and_then(|inner| inner.code).unwrap_or_default();
    let message = error.message.unwrap_or_default();
    match (raw.status, error.code.as_str(), inner.as_str()) {
        (403, "Forbidden", "KeyDisabled") => Revoked::KeyDisabled.into(),
        (403, "Forbidden", "KeyOperationForbidden") => Revoked::OperationForbidden.into(),
        (403, "Forbidden", "ForbiddenByRbac") => Revoked::RoleMissing.into(),
        (403, "Forbidden", "AccessDenied") => Revoked::AccessPolicyMissing.into(),
        // Managed HSM has local roles and puts the code at the top.
        (403, "AccessDenied", _) => Revoked::RoleMissing.into(),
        (403, "Forbidden", "ForbiddenByFirewall") => Blocked::Firewall.into(),
        (403, "Forbidden", "ForbiddenByConnection") => Blocked::PrivateLink.into(),
        (403, "Forbidden", "KeyNotYetValidOrExpired") => Blocked::OutsideValidity.into(),
        (404, "KeyNotFound", _) => Revoked::KeyNotFound.into(),
        (409, "Conflict", _) => Blocked::InTransition.into(),
        // "Error occurred while decoding OAEP padding." (azure-sdk-for-net#36269)
        (400, "BadParameter", _) if op == VaultOp::Unwrap => Refusal::BadEnvelope,
        // The codes of a 401 are only in its message: AKV10000 is the challenge itself, still standing because it named
        // something that may not be answered; AKV10032 an issuer of another tenant.
        (401, "Unauthorized", _) if message.starts_with("AKV10032") => Blocked::WrongIssuer.into(),
        (401, "Unauthorized", _) if message.starts_with("AKV10000") => Blocked::BadChallenge.into(),
        (401, "Unauthorized", _) => Blocked::TokenRefused.into(),
        _ => unrecognised(Service::Vault, raw),
    }
}

/// Reads Entra's answer to a token request.
pub fn classify_entra(raw: &RawAnswer) -> Refusal {
    if let Some(reason) = transient(Service::Entra, raw) {
        return reason.into();
    }
    let codes = match (raw.status, raw.json::<EntraAnswer>()) {
        (400 | 401, Some(answer)) => answer.error_codes,
        _ => return unrecognised(Service::Entra, raw),
    };
    let mut reasons = codes.into_iter().map(|code| entra_reason(code, raw));
    let Some(first) = reasons.next() else {
        return unrecognised(Service::Entra, raw);
    };
    // Several codes are a no only when each of them is.
    reasons.fold(first, |so_far, next| {
        if matches!(so_far, Refusal::Revoked(_)) {
            next
        } else {
            so_far
        }
    })
}

/// Reads the answer of the managed identity endpoint. Nothing it says is the customer's no, and it speaks plain HTTP.
pub fn classify_identity(raw: &RawAnswer) -> Refusal {
    match (transient(Service::Identity, raw), raw.status) {
        (Some(reason), _) => reason.into(),
        (None, 400) => IdentityFault::NotAssigned.into(),
        // 404 and 410 come while the endpoint starts or updates, up to 70 s (Entra's how-to-use-vm-token).
        (None, 404 | 410) => Unavailable::ServerError {
            by: Service::Identity,
            status: raw.status,
        }
        .into(),
        (None, _) => unrecognised(Service::Identity, raw),
    }
}

/// Entra's codes; any other is unrecognised, since Microsoft reserves changing them.
fn entra_reason(code: u32, raw: &RawAnswer) -> Refusal {
    match code {
        700016 | 7000229 => Revoked::AppNotInstalled.into(),
        7000112 => Revoked::AppDisabled.into(),
        5000224 | 5000225 => Revoked::TenantBlocked.into(),
        90002 => Blocked::TenantUnknown.into(),
        500011 => Blocked::VaultServiceMissing.into(),
        53003 => Blocked::ConditionalAccess.into(),
        70021 | 700211 | 700212 | 700213 | 7002137 | 7002138 => IdentityFault::FederationMismatch.into(),
        700027 => IdentityFault::CertificateUnknown.into(),
        7000215 | 7000222 => IdentityFault::SecretRefused.into(),
        700024 => IdentityFault::AssertionTime.into(),
        700236 => IdentityFault::AppElsewhere.into(),
        70001 => IdentityFault::AppDeactivated.into(),
        90006 | 90024 | 90033 | 90055 | 90090 => Unavailable::ServerError {
            by: Service::Entra,
            status: raw.status,
        }
        .into(),
        // Entra takes our exchanges for a loop.
        50196 => Unavailable::Throttled {
            by: Service::Entra,
            retry_after: raw.retry_after,
        }
        .into(),
        _ => unrecognised(Service::Entra, raw),
    }
}

/// What needs no body to be understood.
fn transient(by: Service, raw: &RawAnswer) -> Option<Unavailable> {
    match raw.status {
        429 => Some(Unavailable::Throttled {
            by,
            retry_after: raw.retry_after,
        }),
        408 | 500..=599 => Some(Unavailable::ServerError { by, status: raw.status }),
        _ => None,
    }
}

fn unrecognised(by: Service, raw: &RawAnswer) -> Refusal {
    Unavailable::Unrecognised { by, status: raw.status }.into()
}

impl RawAnswer {
    /// The body, if it is JSON and says so.
    fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        let media_type = self.content_type.as_deref()?.split(';').next()?.trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return None;
        }
        serde_json::from_slice(&self.body).ok()
    }

    /// The service's codes, joined for a log line: identifiers only, never its prose, which names people and addresses.
    pub fn codes(&self) -> String {
        let mut codes = Vec::new();
        if let Some(VaultAnswer { error }) = self.json() {
            codes.push(error.code);
            codes.extend(error.innererror.and_then(|inner| inner.code));
        } else if let Some(EntraAnswer { error_codes }) = self.json() {
            codes.extend(error_codes.iter().map(u32::to_string));
        }
        codes.retain(|code| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric()));
        codes.join("/")
    }
}

/// Key Vault's error body (learn.microsoft.com, Key Vault REST "Authentication, requests and responses").
#[derive(Deserialize)]
struct VaultAnswer {
    error: VaultError,
}

#[derive(Deserialize)]
struct VaultError {
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    innererror: Option<InnerError>,
}

#[derive(Deserialize)]
struct InnerError {
    #[serde(default)]
    code: Option<String>,
}

/// Entra's error body; only the numbers are to be branched on (Entra's reference-error-codes).
#[derive(Deserialize)]
struct EntraAnswer {
    error_codes: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json; charset=utf-8";

    fn answer(status: u16, content_type: &str, body: &str) -> RawAnswer {
        RawAnswer {
            status,
            content_type: Some(content_type.to_owned()),
            body: body.as_bytes().to_vec(),
            ..RawAnswer::default()
        }
    }

    fn vault_body(code: &str, inner: &str, message: &str) -> String {
        let mut error = serde_json::json!({ "code": code, "message": message });
        if !inner.is_empty() {
            error["innererror"] = serde_json::json!({ "code": inner });
        }
        serde_json::json!({ "error": error }).to_string()
    }

    fn entra_body(error: &str, codes: &[u32], description: &str) -> String {
        serde_json::json!({
            "error": error, "error_description": description, "error_codes": codes,
            "timestamp": "2026-01-02 03:04:05Z", "trace_id": "t", "correlation_id": "c",
            "error_uri": "https://login.microsoftonline.com/error?code=1",
        })
        .to_string()
    }

    const RBAC: &str = "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: appid=11111111-1111-4111-8111-111111111111;oid=22222222-2222-4222-8222-222222222222;iss=https://sts.windows.net/33333333-3333-4333-8333-333333333333/\r\nAction: 'Microsoft.KeyVault/vaults/keys/unwrap/action'\r\nResource: '/subscriptions/s/resourcegroups/g/providers/microsoft.keyvault/vaults/v/keys/k'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\nVault: v;location=westeurope\r\n";
    const FIREWALL: &str = "Client address is not authorized and caller is not a trusted service.\r\nClient address: 192.0.2.1\r\nCaller: appid=a;oid=o;iss=i\r\nVault: v;location=westeurope";
    const NO_PRIVATE_LINK: &str = "Public network access is disabled and request is not from a trusted service nor via an approved private link.\r\nCaller: appid=a;oid=o;iss=i\r\nVault: v;location=westeurope";
    const POLICY: &str = "The user, group or application 'appid=a;oid=o;iss=i' does not have keys unwrapKey permission on key vault 'v;location=westeurope'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287";
    const NOT_FOUND: &str = "A key with (name/id) k was not found in this key vault. If you recently deleted this key you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182";

    #[test]
    fn each_answer_of_the_vault_has_its_reason() {
        use VaultOp::{Get, Unwrap, Versions, Wrap};
        #[rustfmt::skip]
        let table: &[(VaultOp, u16, &str, &str, &str, Refusal)] = &[
            (Unwrap, 403, "Forbidden", "KeyDisabled", "Operation unwrapKey is not allowed on a disabled key.", Revoked::KeyDisabled.into()),
            (Wrap, 403, "Forbidden", "KeyDisabled", "Operation wrapKey is not allowed on a disabled key.", Revoked::KeyDisabled.into()),
            (Wrap, 403, "Forbidden", "KeyNotYetValidOrExpired", "Operation wrap is not allowed on an expired key.", Blocked::OutsideValidity.into()),
            (Unwrap, 403, "Forbidden", "KeyOperationForbidden", "Operation unwrapKey is not permitted on this key.", Revoked::OperationForbidden.into()),
            (Unwrap, 404, "KeyNotFound", "", NOT_FOUND, Revoked::KeyNotFound.into()),
            (Get, 404, "KeyNotFound", "", NOT_FOUND, Revoked::KeyNotFound.into()),
            (Versions, 404, "KeyNotFound", "", NOT_FOUND, Revoked::KeyNotFound.into()),
            (Unwrap, 409, "Conflict", "ObjectIsBeingDeleted", "Key k is currently being deleted.", Blocked::InTransition.into()),
            (Unwrap, 409, "Conflict", "ObjectIsBeingRecovered", "Key k is currently being recovered.", Blocked::InTransition.into()),
            (Unwrap, 403, "Forbidden", "ForbiddenByRbac", RBAC, Revoked::RoleMissing.into()),
            (Get, 403, "Forbidden", "ForbiddenByRbac", RBAC, Revoked::RoleMissing.into()),
            (Unwrap, 403, "Forbidden", "AccessDenied", POLICY, Revoked::AccessPolicyMissing.into()),
            (Unwrap, 403, "AccessDenied", "", "Not authorized to access /keys/k/unwrapkey", Revoked::RoleMissing.into()),
            (Unwrap, 403, "Forbidden", "ForbiddenByFirewall", FIREWALL, Blocked::Firewall.into()),
            (Unwrap, 403, "Forbidden", "ForbiddenByConnection", NO_PRIVATE_LINK, Blocked::PrivateLink.into()),
            (Unwrap, 401, "Unauthorized", "", "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/a/, found https://sts.windows.net/b/.", Blocked::WrongIssuer.into()),
            (Unwrap, 401, "Unauthorized", "", "AKV10000: Request is missing a Bearer or PoP token.", Blocked::BadChallenge.into()),
            (Unwrap, 401, "Unauthorized", "", "AKV10022: Invalid audience.", Blocked::TokenRefused.into()),
            (Unwrap, 400, "BadParameter", "", "Error occurred while decoding OAEP padding.", Refusal::BadEnvelope),
            (Wrap, 400, "BadParameter", "", "The value is too long.", Unavailable::Unrecognised { by: Service::Vault, status: 400 }.into()),
            (Unwrap, 429, "Throttled", "", "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached", Unavailable::Throttled { by: Service::Vault, retry_after: None }.into()),
            (Unwrap, 408, "", "", "", Unavailable::ServerError { by: Service::Vault, status: 408 }.into()),
            (Unwrap, 500, "InternalServerError", "", "An internal error occurred.", Unavailable::ServerError { by: Service::Vault, status: 500 }.into()),
            (Unwrap, 503, "ServiceUnavailable", "", "", Unavailable::ServerError { by: Service::Vault, status: 503 }.into()),
            (Unwrap, 403, "Forbidden", "SomethingNew", "", Unavailable::Unrecognised { by: Service::Vault, status: 403 }.into()),
            (Unwrap, 403, "Forbidden", "", "", Unavailable::Unrecognised { by: Service::Vault, status: 403 }.into()),
            (Unwrap, 404, "VaultNotFound", "", "", Unavailable::Unrecognised { by: Service::Vault, status: 404 }.into()),
            (Unwrap, 418, "Forbidden", "KeyDisabled", "", Unavailable::Unrecognised { by: Service::Vault, status: 418 }.into()),
        ];
        for &(op, status, code, inner, message, expected) in table {
            let raw = answer(status, JSON, &vault_body(code, inner, message));
            assert_eq!(
                classify_vault(op, &raw),
                expected,
                "{op:?} {status} {code} {inner} {message}"
            );
        }
    }

    #[test]
    fn each_answer_of_entra_has_its_reason() {
        let server_error = |status| {
            Unavailable::ServerError {
                by: Service::Entra,
                status,
            }
            .into()
        };
        let unknown = |status| {
            Unavailable::Unrecognised {
                by: Service::Entra,
                status,
            }
            .into()
        };
        #[rustfmt::skip]
        let table: &[(u16, &str, &[u32], Refusal)] = &[
            (401, "invalid_client", &[7000229], Revoked::AppNotInstalled.into()),
            (400, "unauthorized_client", &[700016], Revoked::AppNotInstalled.into()),
            (401, "unauthorized_client", &[7000112], Revoked::AppDisabled.into()),
            (400, "invalid_request", &[5000224], Revoked::TenantBlocked.into()),
            (400, "invalid_request", &[5000225], Revoked::TenantBlocked.into()),
            (400, "invalid_request", &[90002], Blocked::TenantUnknown.into()),
            (400, "invalid_resource", &[500011], Blocked::VaultServiceMissing.into()),
            (400, "access_denied", &[53003], Blocked::ConditionalAccess.into()),
            (400, "invalid_request", &[70021], IdentityFault::FederationMismatch.into()),
            (401, "invalid_client", &[700211], IdentityFault::FederationMismatch.into()),
            (401, "invalid_client", &[700213], IdentityFault::FederationMismatch.into()),
            (401, "invalid_client", &[700212], IdentityFault::FederationMismatch.into()),
            (401, "invalid_client", &[700027], IdentityFault::CertificateUnknown.into()),
            (401, "invalid_client", &[700024], IdentityFault::AssertionTime.into()),
            (401, "invalid_client", &[7000215], IdentityFault::SecretRefused.into()),
            (401, "invalid_client", &[7000222], IdentityFault::SecretRefused.into()),
            (401, "invalid_client", &[7002137], IdentityFault::FederationMismatch.into()),
            (401, "invalid_client", &[7002138], IdentityFault::FederationMismatch.into()),
            (401, "invalid_client", &[700236], IdentityFault::AppElsewhere.into()),
            (400, "unauthorized_client", &[70001], IdentityFault::AppDeactivated.into()),
            (400, "temporarily_unavailable", &[90006], server_error(400)),
            (400, "temporarily_unavailable", &[90024], server_error(400)),
            (400, "temporarily_unavailable", &[90033], server_error(400)),
            (400, "invalid_request", &[90055], server_error(400)),
            (400, "temporarily_unavailable", &[90090], server_error(400)),
            (400, "invalid_grant", &[50196], Unavailable::Throttled { by: Service::Entra, retry_after: None }.into()),
            (429, "temporarily_unavailable", &[7000229], Unavailable::Throttled { by: Service::Entra, retry_after: None }.into()),
            (503, "server_error", &[7000229], server_error(503)),
            (400, "invalid_request", &[7000229, 90033], server_error(400)),
            (400, "invalid_request", &[7000229, 700016], Revoked::AppNotInstalled.into()),
            (400, "invalid_request", &[7000229, 4242], unknown(400)),
            (400, "invalid_request", &[], unknown(400)),
            (403, "invalid_client", &[7000229], unknown(403)),
        ];
        for &(status, error, codes, expected) in table {
            for description in [
                "AADSTS1: a reason.\r\nTrace ID: t\r\nTimestamp: z",
                "AADSTS1: 'a' \"reason\". Trace ID: t",
            ] {
                let raw = answer(status, JSON, &entra_body(error, codes, description));
                assert_eq!(classify_entra(&raw), expected, "{status} {error} {codes:?}");
            }
        }
    }

    #[test]
    fn the_identity_endpoint_never_revokes() {
        let by = Service::Identity;
        #[rustfmt::skip]
        let table: &[(u16, Refusal)] = &[
            (400, IdentityFault::NotAssigned.into()),
            (404, Unavailable::ServerError { by, status: 404 }.into()),
            (410, Unavailable::ServerError { by, status: 410 }.into()),
            (429, Unavailable::Throttled { by, retry_after: None }.into()),
            (500, Unavailable::ServerError { by, status: 500 }.into()),
            (403, Unavailable::Unrecognised { by, status: 403 }.into()),
            (200, Unavailable::Unrecognised { by, status: 200 }.into()),
        ];
        for &(status, expected) in table {
            let raw = answer(
                status,
                JSON,
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
            );
            assert_eq!(classify_identity(&raw), expected, "{status}");
        }
    }

    #[test]
    fn a_no_in_anything_but_json_is_not_believed() {
        let body = vault_body("Forbidden", "KeyDisabled", "");
        let expected: Refusal = Unavailable::Unrecognised {
            by: Service::Vault,
            status: 403,
        }
        .into();
        for content_type in ["text/html", "text/plain", "application/json-seq", ""] {
            assert_eq!(
                classify_vault(VaultOp::Unwrap, &answer(403, content_type, &body)),
                expected,
                "{content_type}"
            );
        }
        let bare = RawAnswer {
            status: 403,
            ..RawAnswer::default()
        };
        assert_eq!(classify_vault(VaultOp::Unwrap, &bare), expected);
        let cut = answer(403, JSON, &body[..body.len() - 1]);
        assert_eq!(classify_vault(VaultOp::Unwrap, &cut), expected);
        let blocked_page = answer(403, "text/html", "<h1>Forbidden</h1>");
        assert_eq!(classify_vault(VaultOp::Unwrap, &blocked_page), expected);
    }

    #[test]
    fn a_throttled_answer_carries_its_retry_after() {
        let raw = RawAnswer {
            status: 429,
            retry_after: Some(Duration::from_secs(60)),
            ..RawAnswer::default()
        };
        assert_eq!(classify_entra(&raw).retry_after(), Some(Duration::from_secs(60)));
        assert_eq!(
            classify_vault(VaultOp::Unwrap, &raw).retry_after(),
            Some(Duration::from_secs(60))
        );
    }

    #[test]
    fn only_codes_reach_a_log_line() {
        assert_eq!(
            answer(403, JSON, &vault_body("Forbidden", "ForbiddenByRbac", RBAC)).codes(),
            "Forbidden/ForbiddenByRbac"
        );
        assert_eq!(
            answer(400, JSON, &entra_body("e", &[700016], "AADSTS700016: secret")).codes(),
            "700016"
        );
        assert_eq!(answer(403, JSON, &vault_body("a b\n", "", "")).codes(), "");
        assert_eq!(answer(403, "text/html", "x").codes(), "");
    }
}
