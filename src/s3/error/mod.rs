//! Every error in S3's own words: status, code and XML. The only place of this dialect that chooses them; the matches name
//! every variant, so that a new one asks for a decision.
//!
//! Codes and statuses: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>. An SDK retries 500, 502, 503, 504 and
//! `SlowDown`; so nothing that will not change by itself has one of those.

mod auth;
mod body;
mod copy;
mod from;
mod post;
mod upload;

pub use upload::UploadError;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::Fault;
use crate::keys::refusal::{KeyRefusal, Refusal, Revoked, Unavailable};
use crate::s3::auth::AuthError;
use crate::s3::copy::{CopyError, SourceFault};
use crate::s3::post::PostError;
use crate::seal::{KeyVersion, PlainLen};
use crate::tenant::Denied;

/// After this many seconds a client may ask again when nobody answered for the key.
const ASK_AGAIN_SECONDS: u32 = 2;

/// Why a request is not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum S3Error {
    /// Nobody has thought about it yet.
    #[error("{what} is not implemented")]
    NotImplemented {
        /// What exactly.
        what: String,
    },
    /// The request is not its client's.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The form is not taken.
    #[error(transparent)]
    Post(#[from] PostError),
    /// The bucket is not the client's.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The tenant's key: refused, or nobody answered.
    #[error(transparent)]
    Refused(KeyRefusal),
    /// The stored object is not what was sealed.
    #[error("{what}")]
    Tampered {
        /// What gave it away. For the log and the audit; the client learns only that it is so.
        what: String,
        /// The version of the tenant's key that it was held against, if it came to one. For the audit likewise.
        version: Option<KeyVersion>,
    },
    /// The stored object bears no seal.
    #[error("the object bears no seal")]
    Unsealed,
    /// The body stopped, or is not what was stated about it.
    #[error(transparent)]
    Body(Fault),
    /// Neither Content-Length nor x-amz-decoded-content-length.
    #[error("the body's length is not stated")]
    MissingLength,
    /// The key is no UTF-8, or climbs out of its bucket.
    #[error("the key is no UTF-8, or climbs out of its bucket")]
    InvalidUri,
    /// The document that came with the request can't be read.
    #[error("the document is malformed")]
    MalformedXml,
    /// Longer than a single request may store.
    #[error("larger than {largest} bytes")]
    TooLarge {
        /// In bytes of plaintext.
        largest: u64,
    },
    /// More user metadata than fits beside the gate's own.
    #[error("more than {largest} bytes of metadata")]
    MetadataTooLarge {
        /// In bytes.
        largest: usize,
    },
    /// An argument that is none of those that S3 knows.
    #[error("{message}")]
    InvalidArgument {
        /// S3's words for it.
        message: &'static str,
    },
    /// Metadata under a name that belongs to the gate.
    #[error("the metadata name {name} is reserved")]
    ReservedMetadata {
        /// The header.
        name: String,
    },
    /// The range lies past the end.
    #[error("the range is not satisfiable")]
    InvalidRange {
        /// The object's length.
        size: PlainLen,
    },
    /// The copy can't be made.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The object that is to be copied, or its key, and not the one that the request is for.
    #[error(transparent)]
    Source(SourceFault),
    /// The store said no in S3's words.
    #[error("the store answered {status}: {code}")]
    Store {
        /// Its status.
        status: StatusCode,
        /// Its code.
        code: String,
        /// Its message.
        message: String,
        /// What it says of the object along with it (a delete marker, a version), as a client may see it.
        about: Box<HeaderMap>,
    },
    /// A request that S3 does not take.
    #[error("{message}")]
    InvalidRequest {
        /// In S3's words.
        message: &'static str,
    },
    /// The object has no part of this number.
    #[error("there is no part {number}")]
    InvalidPartNumber {
        /// As asked for.
        number: u32,
    },
    /// A multipart upload that is not there, or can't be done so.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// The object lies in an archive: it must be restored first.
    #[error("the object is archived: {storage_class}")]
    Archived {
        /// As the store names it.
        storage_class: String,
        /// That of Intelligent-Tiering, as the store names it.
        access_tier: Option<String>,
    },
    /// The store is asked for too much at once.
    #[error("the store asks to be asked less")]
    SlowDown,
    /// The store gave no answer that a client could use.
    #[error("the store failed")]
    StoreFailed,
}

/// Status, code and message as S3 has them.
struct Words {
    status: StatusCode,
    code: String,
    message: String,
}

fn words(status: StatusCode, code: &str, message: impl Into<String>) -> Words {
    Words {
        status,
        code: code.to_owned(),
        message: message.into(),
    }
}

impl S3Error {
    /// As it showed under a lease of this version of the key.
    #[must_use]
    pub fn under(self, held_against: KeyVersion) -> Self {
        match self {
            Self::Tampered { what, version: None } => Self::Tampered {
                what,
                version: Some(held_against),
            },
            other => other,
        }
    }

    /// The answer: XML, or just the head where the request was a HEAD.
    pub fn response(&self, key_url: &str, resource: &str, request_id: &str, head: bool) -> Response<String> {
        let words = self.words(key_url);
        let body = if head {
            String::new()
        } else {
            xml(&words, &self.details(), resource, request_id)
        };
        let mut response = Response::new(body);
        *response.status_mut() = words.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if let Self::InvalidRange { size } = self
            && let Ok(range) = HeaderValue::try_from(format!("bytes */{}", size.0))
        {
            headers.insert(CONTENT_RANGE, range);
        }
        if let Self::Store { about, .. } = self {
            headers.extend((**about).clone());
        }
        if words.status == StatusCode::SERVICE_UNAVAILABLE {
            let about = match self {
                Self::Source(fault) => &fault.error,
                own => own,
            };
            let asked = match about {
                Self::Refused(refusal) => refusal.why.retry_after().map(|span| span.as_secs().max(1)),
                _ => None,
            };
            headers.insert(
                RETRY_AFTER,
                HeaderValue::from(asked.unwrap_or(u64::from(ASK_AGAIN_SECONDS))),
            );
        }
        response
    }

    /// The elements that belong to one error only. The region to sign for, where the client signed for another: SDKs read it here, and
    /// sign again. The class of an archived object.
    fn details(&self) -> String {
        let element = |name: &str, text: &str| format!("<{name}>{}</{name}>", quick_xml::escape::escape(text));
        match self {
            Self::Auth(AuthError::WrongRegion { expected, .. }) => element("Region", expected),
            Self::Archived {
                storage_class,
                access_tier,
            } => {
                let tier = access_tier.as_deref().map(|tier| element("AccessTier", tier));
                element("StorageClass", storage_class) + &tier.unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    /// The status alone.
    pub fn status(&self) -> StatusCode {
        self.words("").status
    }

    fn words(&self, key_url: &str) -> Words {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::NotImplemented { what } => words(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                format!("A header or query you provided requests functionality that is not implemented: {what}."),
            ),
            Self::Auth(error) => auth::auth(error),
            Self::Post(error) => post::post(error),
            Self::Denied(Denied::UnknownContainer) => words(
                StatusCode::NOT_FOUND,
                "NoSuchBucket",
                "The specified bucket does not exist",
            ),
            Self::Denied(Denied::OtherTenant | Denied::OutsidePrefix | Denied::NotAnonymous) => {
                words(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied")
            }
            Self::Refused(refusal) => refused(&refusal.why, key_url),
            // A vendor's code: S3 has none. 403 because asking again won't help, and no SDK does.
            Self::Tampered { .. } => words(
                StatusCode::FORBIDDEN,
                "ObjectTampered",
                "The stored object is not what was sealed under this name; it is not returned.",
            ),
            Self::Unsealed => words(
                StatusCode::FORBIDDEN,
                "ObjectNotSealed",
                "The stored object bears no seal; objects without one are not returned.",
            ),
            Self::Body(fault) => body::words_of(fault),
            Self::MissingLength => words(
                StatusCode::LENGTH_REQUIRED,
                "MissingContentLength",
                "You must provide the Content-Length HTTP header.",
            ),
            Self::InvalidUri => words(BAD, "InvalidURI", "Couldn't parse the specified URI."),
            Self::MalformedXml => words(
                BAD,
                "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our published schema",
            ),
            Self::TooLarge { largest } => words(
                BAD,
                "EntityTooLarge",
                format!("Your proposed upload exceeds the maximum allowed size of {largest} bytes in one request."),
            ),
            Self::MetadataTooLarge { largest } => words(
                BAD,
                "MetadataTooLarge",
                format!("Your metadata headers exceed the maximum allowed metadata size of {largest} bytes."),
            ),
            Self::InvalidArgument { message } => words(BAD, "InvalidArgument", *message),
            Self::ReservedMetadata { name } => {
                words(BAD, "InvalidArgument", format!("The metadata name {name} is reserved."))
            }
            Self::InvalidRange { .. } => words(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                "The requested range is not satisfiable",
            ),
            Self::InvalidRequest { message } => words(BAD, "InvalidRequest", *message),
            // Its own documentation has no such code; this is what S3 answers, and what its emulators were held to.
            Self::InvalidPartNumber { .. } => words(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidPartNumber",
                "The requested partnumber is not satisfiable",
            ),
            Self::Copy(error) => copy::copy(error),
            Self::Source(fault) => fault.error.words(&fault.container.0.key_url),
            Self::Store {
                status, code, message, ..
            } => words(*status, code, message.as_str()),
            Self::Upload(error) => upload::words_of(error),
            Self::Archived { .. } => words(
                StatusCode::FORBIDDEN,
                "InvalidObjectState",
                "The operation is not valid for the object's storage class",
            ),
            // SDKs know it, and ask less for a while.
            Self::SlowDown => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "SlowDown",
                "Please reduce your request rate.",
            ),
            Self::StoreFailed => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                "The store behind this endpoint did not answer; try again.",
            ),
        }
    }
}

/// A customer's no in the words of SSE-KMS, which applications know; statuses as AWS has them, none of which is retried.
fn refused(refusal: &Refusal, key: &str) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match refusal {
        Refusal::Revoked(revoked) => match revoked {
            Revoked::KeyDisabled => words(BAD, "KMS.DisabledException", format!("{key} is disabled.")),
            Revoked::KeyNotFound => words(BAD, "KMS.NotFoundException", format!("Key '{key}' does not exist")),
            Revoked::KeyExpired => words(BAD, "KMS.KMSInvalidStateException", format!("{key} has expired.")),
            Revoked::KeyNotYetValid => words(BAD, "KMS.KMSInvalidStateException", format!("{key} is not valid yet.")),
            Revoked::OperationForbidden => words(
                BAD,
                "KMS.InvalidKeyUsageException",
                format!("{key} does not permit the operations that sealing needs."),
            ),
            Revoked::RoleMissing | Revoked::AccessPolicyMissing => words(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                format!("The service is not authorized to use {key}: its role on the key is missing."),
            ),
            Revoked::AppNotInstalled | Revoked::AppDisabled | Revoked::TenantBlocked => words(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                format!(
                    "The service is not authorized to use {key}: its application has no access to the key's tenant."
                ),
            ),
        },
        Refusal::Unavailable(Unavailable::UnknownTenant) => {
            words(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied")
        }
        Refusal::Unavailable(_) => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            format!(
                "The key {key} can't be reached at the moment ({}); try again.",
                refusal.name()
            ),
        ),
        Refusal::BadEnvelope => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            "The key's vault gave an answer of no use.",
        ),
    }
}

fn xml(words: &Words, details: &str, resource: &str, request_id: &str) -> String {
    use quick_xml::escape::escape;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>{details}<Resource>{}</Resource><RequestId>{request_id}\
         </RequestId><HostId>portcullis</HostId></Error>",
        escape(words.code.as_str()),
        escape(words.message.as_str()),
        escape(resource),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customers_no_is_never_retried_and_silence_always_is() {
        use crate::keys::refusal::Service;
        for revoked in [
            Revoked::KeyDisabled,
            Revoked::KeyNotFound,
            Revoked::RoleMissing,
            Revoked::AppDisabled,
        ] {
            assert!(S3Error::Refused(revoked.into()).status().is_client_error());
        }
        let silent = Unavailable::Timeout { by: Service::Vault };
        let answer = S3Error::Refused(silent.into()).response("k", "/b", "1", false);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn a_client_that_signed_for_another_region_is_told_which() {
        let wrong = AuthError::WrongRegion {
            form: crate::s3::auth::Form::Header,
            given: "us-east-1".to_owned(),
            expected: "eu-central-1".to_owned(),
        };
        let answer = S3Error::Auth(wrong).response("k", "/b", "1", false);
        let body = answer.body();
        assert!(body.contains("<Code>AuthorizationHeaderMalformed</Code>"), "{body}");
        assert!(
            body.contains("expecting &apos;eu-central-1&apos;</Message><Region>eu-central-1</Region>"),
            "{body}"
        );
    }

    #[test]
    fn what_a_client_named_is_escaped() {
        let answer = S3Error::Unsealed.response("k", "/b/<x>&", "1", false);
        assert!(answer.body().contains("/b/&lt;x&gt;&amp;"));
        assert!(S3Error::Unsealed.response("k", "/b", "1", true).body().is_empty());
    }
}
