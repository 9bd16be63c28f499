//! What is told of keys, of signatures and of bodies: the parts of [`super::AzureError`] that have many reasons.

use http::StatusCode;

use crate::azure::auth::AuthError;
use crate::azure::error::{BAD, NO, Words, words};
use crate::body::Fault;
use crate::body::aws_chunked::FramingError;
use crate::body::checksum::ChecksumError;
use crate::keys::refusal::{Refusal, Revoked, Unavailable};

/// A customer's no in the words of Azure's own customer-managed keys, which applications know; none of them is retried.
pub(super) fn refused(refusal: &Refusal) -> Words {
    const BUSY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    match refusal {
        Refusal::Revoked(revoked) => match revoked {
            Revoked::KeyDisabled
            | Revoked::KeyNotFound
            | Revoked::KeyExpired
            | Revoked::KeyNotYetValid
            | Revoked::OperationForbidden => words(
                NO,
                "KeyVaultEncryptionKeyNotFound",
                "The key vault key is not found to unwrap the encryption key.",
            ),
            Revoked::RoleMissing
            | Revoked::AccessPolicyMissing
            | Revoked::AppNotInstalled
            | Revoked::AppDisabled
            | Revoked::TenantBlocked => words(
                NO,
                "KeyVaultAccessTokenCannotBeAcquired",
                "The key vault access token cannot be acquired.",
            ),
        },
        Refusal::Unavailable(Unavailable::UnknownTenant) => auth(&AuthError::Mismatch),
        Refusal::Unavailable(_) => words(
            BUSY,
            "ServerBusy",
            format!(
                "The key's vault can't be reached at the moment ({}); try again.",
                refusal.name()
            ),
        ),
        Refusal::BadEnvelope => words(BUSY, "ServerBusy", "The key's vault gave an answer of no use."),
    }
}

pub(super) fn auth(error: &AuthError) -> Words {
    let denied = |code: &str, what: &str| {
        words(
            NO,
            code,
            format!("This request is not authorized to perform this operation using this {what}."),
        )
    };
    match error {
        AuthError::Missing => words(
            StatusCode::UNAUTHORIZED,
            "NoAuthenticationInformation",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        ),
        AuthError::Malformed => words(
            BAD,
            "InvalidAuthenticationInfo",
            "Authentication information is not given in the correct format. Check the value of Authorization header.",
        ),
        AuthError::Token(_) => words(
            StatusCode::UNAUTHORIZED,
            "InvalidAuthenticationInfo",
            "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
        ),
        AuthError::TokenInClear => words(
            NO,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Authentication scheme Bearer is not allowed with HTTP.",
        ),
        AuthError::NoToken => words(
            NO,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Only authentication scheme Bearer is supported.",
        ),
        AuthError::Unsure => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServerBusy",
            "The keys that tokens are signed with can't be had at the moment; try again.",
        ),
        AuthError::Mismatch | AuthError::Skewed | AuthError::OutOfTime | AuthError::Policy => words(
            NO,
            "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including \
             the signature.",
        ),
        AuthError::Permission => denied("AuthorizationPermissionMismatch", "permission"),
        AuthError::Service => denied("AuthorizationServiceMismatch", "service"),
        AuthError::ResourceType => denied("AuthorizationResourceTypeMismatch", "resource type"),
        AuthError::Protocol => denied("AuthorizationProtocolMismatch", "protocol"),
        AuthError::SourceIp => denied("AuthorizationSourceIPMismatch", "source IP"),
        AuthError::NotThisAccount => words(
            NO,
            "AuthorizationFailure",
            "This request is not authorized to perform this operation.",
        ),
    }
}

pub(super) fn body(fault: &Fault) -> Words {
    match fault {
        Fault::ClientGone | Fault::TooShort { .. } | Fault::TooLong => {
            words(BAD, "InvalidInput", "The body is not as long as Content-Length says.")
        }
        Fault::ClientSilent => words(
            BAD,
            "OperationTimedOut",
            "The client sent nothing of its body for too long.",
        ),
        Fault::Framing(
            FramingError::Incomplete { .. }
            | FramingError::TooLong { .. }
            | FramingError::SignatureMismatch
            | FramingError::FrameTooLarge { .. }
            | FramingError::MalformedTrailer
            | FramingError::TrailersTooLong
            | FramingError::MalformedFrame
            | FramingError::LineTooLong
            | FramingError::TrailingBytes,
        ) => words(BAD, "InvalidInput", "The structured body is malformed."),
        Fault::Checksum(error) => match error {
            ChecksumError::InvalidContentMd5 => words(
                BAD,
                "InvalidMd5",
                "The MD5 value specified in the request is invalid. The MD5 value must be 128 bits and Base64-encoded.",
            ),
            ChecksumError::ContentMd5Mismatch => words(
                BAD,
                "Md5Mismatch",
                "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
            ),
            ChecksumError::Mismatch(_) => words(
                BAD,
                "Crc64Mismatch",
                "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server.",
            ),
            ChecksumError::InvalidValue(_)
            | ChecksumError::Unknown(_)
            | ChecksumError::Several
            | ChecksumError::AlgorithmMismatch
            | ChecksumError::UnsupportedTrailer(_)
            | ChecksumError::MissingTrailer(_)
            | ChecksumError::UnannouncedTrailer(_)
            | ChecksumError::ContentSha256Mismatch => words(
                BAD,
                "InvalidHeaderValue",
                "The value for one of the HTTP headers is not in the correct format: x-ms-content-crc64.",
            ),
        },
        Fault::Form(_)
        | Fault::Seal(_)
        | Fault::Ended(_)
        | Fault::Tampered { .. }
        | Fault::NotOurs(_)
        | Fault::Unsealed(_)
        | Fault::StoreGone => words(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "Server encountered an internal error. Please try again after some time.",
        ),
    }
}
