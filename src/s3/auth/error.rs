//! Why a request is not taken for its client's. What the client is told of it, `s3::error` decides.

use std::fmt;
use std::time::SystemTime;

use crate::s3::auth::Form;

/// Why a request is not taken for its client's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the request is not signed")]
    Missing,
    #[error("the request is signed in more than one way")]
    Several,
    #[error("{0} is not supported")]
    UnsupportedAlgorithm(Unsupported),
    /// In the headers.
    #[error("{0} is missing or malformed")]
    Malformed(Field),
    /// In a presigned URL.
    #[error("{0} is missing or malformed")]
    MalformedQuery(Field),
    /// A presigned URL that lasts for no second, or for more than a week.
    #[error("X-Amz-Expires is not within 1 to 604800 seconds")]
    ExpiresOutOfRange,
    /// SigV2's `Authorization` is not `AWS <access key>:<signature>`.
    #[error("the Authorization header of Signature Version 2 is malformed")]
    MalformedV2,
    /// A URL presigned with SigV2 lacks one of its three parameters, or has one twice.
    #[error("Signature, Expires or AWSAccessKeyId is missing or malformed")]
    IncompleteV2,
    /// A header that a presigned URL states, and states twice, or otherwise than the request does, or that no header can be.
    #[error("{0} is stated twice, or can't be a header")]
    Hoisted(String),
    /// A form that is signed lacks a field that its signature needs.
    #[error("the form has no field {0}")]
    MissingField(&'static str),
    /// A field that a form's signature needs can't be read.
    #[error("the form's field {0} is malformed")]
    MalformedField(&'static str),
    #[error("the header {0} is not signed")]
    UnsignedHeader(String),
    #[error("the signed header {0} is not in the request")]
    AbsentHeader(String),
    #[error("signed for region {given}, not {expected}")]
    WrongRegion {
        form: Form,
        given: String,
        expected: String,
    },
    #[error("signed for service {given}, not s3")]
    WrongService { form: Form, given: String },
    #[error("the credential's date is not that of the request")]
    WrongDate { form: Form },
    #[error("the request's time is too far from the time here")]
    Skewed { request: SystemTime, now: SystemTime },
    #[error("the URL is not valid yet")]
    NotYetValid,
    #[error("the URL has expired")]
    Expired { at: SystemTime },
    #[error("the access key is unknown")]
    UnknownAccessKey { access_key: String },
    #[error("the signature does not match")]
    SignatureMismatch,
    #[error("the session token is not the credential's")]
    InvalidToken,
    /// A framed body whose decoded length is not stated. boto3 sends it for a stream it can't measure.
    #[error("x-amz-decoded-content-length is missing")]
    MissingDecodedLength,
}

/// Ways to sign that are known, and not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// Where it is not taken: see [`super::SigV2`].
    SigV2,
    /// `AWS4-ECDSA-P256-SHA256`, of multi-region access points.
    SigV4a,
    Other,
}

/// The part of a signed request that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Authorization,
    Credential,
    SignedHeaders,
    Signature,
    Date,
    Expires,
    /// `Expires` of SigV2, a moment.
    EndOfUrl,
    ContentSha256,
    DecodedContentLength,
    SecurityToken,
    Host,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SigV2 => "Signature Version 2",
            Self::SigV4a => "Signature Version 4A",
            Self::Other => "the authorization scheme",
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorization => "Authorization",
            Self::Credential => "Credential",
            Self::SignedHeaders => "SignedHeaders",
            Self::Signature => "Signature",
            Self::Date => "x-amz-date",
            Self::Expires => "X-Amz-Expires",
            Self::EndOfUrl => "Expires",
            Self::ContentSha256 => "x-amz-content-sha256",
            Self::DecodedContentLength => "x-amz-decoded-content-length",
            Self::SecurityToken => "x-amz-security-token",
            Self::Host => "Host",
        })
    }
}
