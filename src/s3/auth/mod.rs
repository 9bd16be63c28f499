//! Who is asking: verifies the SigV4 signature of a client's request, in the `Authorization` header or in a presigned URL.
//!
//! Only [`Authenticator::verify`] makes a [`Verified`]. Nothing of the body has been read by then: what the signature says
//! about the body comes along as [`Payload`], for the body's adapters to hold it to.

mod claim;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::HOST;
use http::request::Parts;

use crate::body::aws_chunked::{FrameVerifier, Framing};
use crate::s3::auth::claim::Claim;
use crate::upstream::sigv4::{CanonicalRequest, Credential, Scope, SecretKey, Signature, SigningKey, UNSIGNED_PAYLOAD};

/// How far a client's clock may be off, either way; S3's own bound.
pub const LARGEST_SKEW: Duration = Duration::from_secs(15 * 60);

const X_AMZ_DECODED_CONTENT_LENGTH: &str = "x-amz-decoded-content-length";

/// Verifies requests against the credentials that `lookup` finds.
pub struct Authenticator {
    lookup: Box<Lookup>,
    regions: Regions,
    /// Verified against where the access key is unknown, so that the answer takes about as long.
    nobody: Arc<Credential>,
}

type Lookup = dyn Fn(&str) -> Option<Arc<Credential>> + Send + Sync;

/// Which regions a client may sign for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    Any,
    /// The first is the one named to a client that signed for another: SDKs then sign again with it.
    Only(Vec<String>),
}

/// A request whose signature holds.
#[derive(Debug)]
pub struct Verified {
    credential: Arc<Credential>,
    form: Form,
    payload: Payload,
}

/// Where the signature stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Header,
    /// A presigned URL. SDKs move `x-amz-meta-*` into its query, and checksums of an empty body, which S3 ignores there.
    Query,
}

/// What the signature says about the body.
#[derive(Debug)]
pub enum Payload {
    /// The whole body's SHA-256 is signed.
    Signed([u8; 32]),
    /// Nothing.
    Unsigned,
    /// The body comes in aws-chunked frames.
    AwsChunked(Framing),
}

/// Why a request is not taken for its client's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("the request is not signed")]
    Missing,
    #[error("the request is signed in more than one way")]
    Several,
    #[error("{0} is not supported")]
    UnsupportedAlgorithm(Unsupported),
    #[error("{0} is missing or malformed")]
    Malformed(Field),
    #[error("the header {0} is not signed")]
    UnsignedHeader(String),
    #[error("the signed header {0} is not in the request")]
    AbsentHeader(String),
    #[error("signed for region {given}, not {expected}")]
    WrongRegion { given: String, expected: String },
    #[error("signed for service {given}, not s3")]
    WrongService { given: String },
    #[error("the credential's date is not that of the request")]
    WrongDate,
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
    /// `AWS key:signature`, or `AWSAccessKeyId` in the query, as boto3 presigns by default for custom endpoints.
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
    ContentSha256,
    DecodedContentLength,
    SecurityToken,
    Host,
}

impl Authenticator {
    /// `lookup` finds the credential of an access key, and must not block.
    pub fn new(lookup: impl Fn(&str) -> Option<Arc<Credential>> + Send + Sync + 'static, regions: Regions) -> Self {
        Self {
            lookup: Box::new(lookup),
            regions,
            nobody: Arc::new(Credential::nobody()),
        }
    }

    /// Verifies the head of a request as it was received: raw target, and all headers.
    ///
    /// # Errors
    /// Whatever keeps the request from being its client's; nothing was read of its body then.
    pub fn verify(&self, parts: &Parts, now: SystemTime) -> Result<Verified, AuthError> {
        let claim = Claim::read(parts)?;
        let scope = self.check_scope(&claim)?;
        check_time(&claim, now)?;
        check_coverage(&claim, parts)?;
        let content = Content::parse(&claim.payload)?;

        // The same work whether the access key is known or not.
        let found = (self.lookup)(claim.access_key());
        let credential = found.as_ref().unwrap_or(&self.nobody);
        let key = credential.signing_key(&scope);
        let request = CanonicalRequest {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            signed_headers: &claim.signed_headers,
            left_out_of_query: claim.form.left_out_of_query(),
            payload: &claim.payload,
        };
        let hash = request.hash().map_err(|absent| AuthError::AbsentHeader(absent.0))?;
        let signature = key.sign(&claim.timestamp, scope.text, &hash);
        let genuine = signature.is(&claim.signature);

        let Some(credential) = found else {
            self.nobody.remember(scope.text, &key);
            return Err(AuthError::UnknownAccessKey {
                access_key: claim.access_key().to_owned(),
            });
        };
        if !genuine {
            return Err(AuthError::SignatureMismatch);
        }
        credential.remember(scope.text, &key);
        check_token(credential.session_token(), claim.token.as_deref())?;
        let payload = content.into_payload(&parts.headers, &claim, &key, &signature)?;
        Ok(Verified {
            credential,
            form: claim.form,
            payload,
        })
    }

    fn check_scope<'a>(&self, claim: &'a Claim<'_>) -> Result<Scope<'a>, AuthError> {
        let scope = claim.scope().ok_or(AuthError::Malformed(Field::Credential))?;
        if scope.service != "s3" {
            return Err(AuthError::WrongService {
                given: scope.service.to_owned(),
            });
        }
        if let Regions::Only(regions) = &self.regions
            && regions.iter().all(|region| region != scope.region)
        {
            let expected = regions.first().cloned().unwrap_or_default();
            return Err(AuthError::WrongRegion {
                given: scope.region.to_owned(),
                expected,
            });
        }
        if scope.date != claim.timestamp.date() {
            return Err(AuthError::WrongDate);
        }
        Ok(scope)
    }
}

impl Verified {
    /// Whose signature it is; its access key leads to the tenant.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    pub fn form(&self) -> Form {
        self.form
    }

    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Gives up the proof for what the body must be held to.
    pub fn into_payload(self) -> Payload {
        self.payload
    }
}

impl Payload {
    /// The SHA-256 that the body must have, if the signature covers it whole.
    pub fn content_sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::Signed(hash) => Some(*hash),
            Self::Unsigned | Self::AwsChunked(_) => None,
        }
    }
}

impl Form {
    fn left_out_of_query(self) -> Option<&'static str> {
        match self {
            Self::Header => None,
            Self::Query => Some(claim::X_AMZ_SIGNATURE),
        }
    }
}

/// A presigned URL states how long it lasts; any other request must be of just now.
fn check_time(claim: &Claim<'_>, now: SystemTime) -> Result<(), AuthError> {
    let signed_at = claim.timestamp.moment();
    let ahead = signed_at.duration_since(now).unwrap_or_default();
    let behind = now.duration_since(signed_at).unwrap_or_default();
    match claim.expires {
        Some(_) if ahead > LARGEST_SKEW => Err(AuthError::NotYetValid),
        Some(lasts) if behind > lasts => Err(AuthError::Expired { at: signed_at + lasts }),
        None if ahead.max(behind) > LARGEST_SKEW => Err(AuthError::Skewed {
            request: signed_at,
            now,
        }),
        Some(_) | None => Ok(()),
    }
}

/// The signature must cover `host` and every `x-amz-*` header: whatever changes what the request does.
fn check_coverage(claim: &Claim<'_>, parts: &Parts) -> Result<(), AuthError> {
    // In strict order no name comes twice, so the canonical request is no longer than the headers are.
    let names: Vec<&str> = claim.signed_headers.split(';').collect();
    let ordered = names.iter().zip(names.iter().skip(1)).all(|(a, b)| a < b);
    if !ordered || names.iter().any(|name| name.is_empty()) {
        return Err(AuthError::Malformed(Field::SignedHeaders));
    }
    let covered = |name: &str| names.binary_search(&name).is_ok();
    let must_be_covered = |name: &&str| *name == claim.dated_by || name.starts_with("x-amz-");
    if !covered("host") {
        return Err(AuthError::UnsignedHeader("host".to_owned()));
    }
    if let Some(name) = parts
        .headers
        .keys()
        .map(|n| n.as_str())
        .filter(must_be_covered)
        .find(|name| !covered(name))
    {
        return Err(AuthError::UnsignedHeader(name.to_owned()));
    }
    // Two hosts would let the signature speak of one and the router of the other.
    let host = claim::single(&parts.headers, &HOST, Field::Host)?;
    match (host, parts.uri.authority()) {
        (Some(host), Some(authority)) if host != authority.as_str() => Err(AuthError::Malformed(Field::Host)),
        _ => Ok(()),
    }
}

fn check_token(demanded: Option<&SecretKey>, sent: Option<&str>) -> Result<(), AuthError> {
    match (demanded, sent) {
        (None, None) => Ok(()),
        (Some(demanded), Some(sent)) if demanded.is(sent.as_bytes()) => Ok(()),
        _ => Err(AuthError::InvalidToken),
    }
}

/// `x-amz-content-sha256`, read.
enum Content {
    Whole([u8; 32]),
    Unsigned,
    Frames { signed: bool, trailer: bool },
}

impl Content {
    fn parse(text: &str) -> Result<Self, AuthError> {
        Ok(match text {
            UNSIGNED_PAYLOAD => Self::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Self::Frames {
                signed: true,
                trailer: false,
            },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Self::Frames {
                signed: true,
                trailer: true,
            },
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Self::Frames {
                signed: false,
                trailer: true,
            },
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                return Err(AuthError::UnsupportedAlgorithm(Unsupported::SigV4a));
            }
            _ => {
                let mut hash = [0; 32];
                hex::decode_to_slice(text, &mut hash).map_err(|_| AuthError::Malformed(Field::ContentSha256))?;
                Self::Whole(hash)
            }
        })
    }

    fn into_payload(
        self,
        headers: &HeaderMap,
        claim: &Claim<'_>,
        key: &SigningKey,
        signature: &Signature,
    ) -> Result<Payload, AuthError> {
        let (signed, trailer) = match self {
            Self::Whole(hash) => return Ok(Payload::Signed(hash)),
            Self::Unsigned => return Ok(Payload::Unsigned),
            Self::Frames { signed, trailer } => (signed, trailer),
        };
        let name = http::HeaderName::from_static(X_AMZ_DECODED_CONTENT_LENGTH);
        let text = claim::single(headers, &name, Field::DecodedContentLength)?;
        let text = text.ok_or(AuthError::MissingDecodedLength)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let decoded_len = digits.then(|| text.parse().ok()).flatten();
        let decoded_len = decoded_len.ok_or(AuthError::Malformed(Field::DecodedContentLength))?;
        let scope = claim.scope().map(|scope| scope.text).unwrap_or_default();
        let verifier = || FrameVerifier::new(key.hmac(), claim.timestamp.as_str(), scope, *signature.digits());
        Ok(Payload::AwsChunked(Framing {
            signed: signed.then(verifier).map(Box::new),
            trailer,
            decoded_len,
        }))
    }
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
            Self::ContentSha256 => "x-amz-content-sha256",
            Self::DecodedContentLength => X_AMZ_DECODED_CONTENT_LENGTH,
            Self::SecurityToken => "x-amz-security-token",
            Self::Host => "Host",
        })
    }
}

#[cfg(test)]
mod tests;
