//! Every error in Azure's own words: status, code and XML. The only place of this dialect that chooses them; the matches name
//! every variant, so that a new one asks for a decision.
//!
//! Codes: <https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes> and `common-rest-api-error-codes`. SDKs
//! retry 408, 500, 502, 503 and 504 (JavaScript 500 and 503 only); so nothing that will not change by itself has one of those.

mod from;
mod told;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use quick_xml::escape::escape;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::azure::auth::AuthError;
use crate::azure::error::told::{auth, body, refused};
use crate::body::Fault;
use crate::keys::refusal::KeyRefusal;
use crate::seal::{ChoiceError, KeyVersion, PlainLen};

/// After this many seconds a client may ask again when nobody answered for the key.
const ASK_AGAIN_SECONDS: u64 = 2;
const X_MS_ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");

/// Why a request is not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AzureError {
    /// The request is not its client's, or the client may not.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The gate serves no account of that name.
    #[error("no such account is configured")]
    UnknownAccount,
    /// The account has no container of that name.
    #[error("no such container is configured")]
    UnknownContainer,
    /// The tenant's key: refused, or nobody answered.
    #[error(transparent)]
    Refused(KeyRefusal),
    /// The stored blob is not what was sealed.
    #[error("{what}")]
    Tampered {
        /// What gave it away. For the log and the audit; the client learns only that it is so.
        what: String,
        /// The version of the tenant's key that it was held against, if it came to one. For the audit likewise.
        version: Option<KeyVersion>,
    },
    /// The stored blob bears no seal.
    #[error("the blob bears no seal")]
    Unsealed,
    /// The body stopped, or is not what was stated about it.
    #[error(transparent)]
    Body(Fault),
    /// No `Content-Length`.
    #[error("the body's length is not stated")]
    MissingLength,
    /// A path or query that is no text, or a name that climbs out of its container.
    #[error("the URI can't be read")]
    InvalidUri,
    /// A container's or blob's name that can't be one.
    #[error("the resource's name can't be one")]
    InvalidResourceName,
    /// No operation of Azure's, or one that only reads from the secondary.
    #[error("this method is not for this resource")]
    UnsupportedVerb,
    /// Nobody has thought about it yet, or encryption makes it impossible.
    #[error("{what} is not supported")]
    UnsupportedHeader {
        /// Which header, or what it would do.
        what: String,
    },
    /// Nobody has thought about it yet, or encryption makes it impossible.
    #[error("the query parameter {name} is not supported")]
    UnsupportedQuery {
        /// Which parameter.
        name: String,
    },
    /// A header's value that can't be.
    #[error("the value of {name} is wrong")]
    InvalidHeader {
        /// Which header.
        name: &'static str,
    },
    /// A header that is needed and not there.
    #[error("the header {name} is missing")]
    MissingHeader {
        /// Which header.
        name: &'static str,
    },
    /// A query parameter's value that can't be.
    #[error("the value of {name} is wrong")]
    InvalidQuery {
        /// Which parameter.
        name: &'static str,
    },
    /// `Content-MD5` and `x-ms-content-crc64` together.
    #[error("two checksums are stated")]
    TwoChecksums,
    /// Longer than may be.
    #[error("larger than {largest} bytes")]
    TooLarge {
        /// In bytes of plaintext.
        largest: u64,
    },
    /// Metadata under a name that belongs to the gate.
    #[error("the metadata name {name} is reserved")]
    ReservedMetadata {
        /// The header.
        name: String,
    },
    /// A batch of requests that do not all do the same.
    #[error("the batch has requests of several kinds")]
    MixedBatch,
    /// A document that is no XML, or not the one expected.
    #[error("the document can't be read")]
    InvalidXml,
    /// An element of a document whose text can't be.
    #[error("the element {name} is wrong")]
    InvalidXmlNode {
        /// Which element.
        name: &'static str,
    },
    /// The block list names what is not there, or is too long.
    #[error(transparent)]
    BlockList(#[from] ChoiceError),
    /// The range lies past the end.
    #[error("the range is not satisfiable")]
    InvalidRange {
        /// The blob's length.
        size: PlainLen,
    },
    /// A parameter that is longer or larger than may be.
    #[error("the value of {name} is out of range")]
    OutOfRange {
        /// Which parameter.
        name: &'static str,
    },
    /// A range of more than 4 MiB whose checksum was asked for.
    #[error("the range is too long for a checksum")]
    RangeTooLong,
    /// `x-ms-blob-condition-appendpos` does not hold.
    #[error("the append position is another")]
    AppendPosition,
    /// `x-ms-blob-condition-maxsize` does not hold.
    #[error("the blob would be larger than the condition permits")]
    MaxSize,
    /// A precondition that the gate itself could judge.
    #[error("the condition is not met")]
    ConditionNotMet,
    /// More than one condition, and no pair that Azure knows.
    #[error("more than one condition")]
    SeveralConditions,
    /// Only a new blob was to be written, and there is one.
    #[error("the blob is there already")]
    AlreadyExists,
    /// A precondition on the source of a copy.
    #[error("the condition on the source is not met")]
    SourceConditionNotMet,
    /// The source of a copy can't be read by the gate.
    #[error("the copy's source can't be had: {status}")]
    CopySource {
        /// What its server answered, or what stands for it.
        status: StatusCode,
    },
    /// The store said no in Azure's words.
    #[error("the store answered {status}: {code}")]
    Store {
        /// Its status.
        status: StatusCode,
        /// Its code.
        code: String,
        /// Its message, without request id and time.
        message: String,
    },
    /// The store gave no answer that a client could use.
    #[error("the store failed")]
    StoreFailed,
}

/// Status, code and message as Azure has them.
struct Words(StatusCode, String, String);

fn words(status: StatusCode, code: &str, message: impl Into<String>) -> Words {
    Words(status, code.to_owned(), message.into())
}

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const NO: StatusCode = StatusCode::FORBIDDEN;

impl AzureError {
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
    pub fn response(&self, request_id: &str, now: OffsetDateTime, head: bool) -> Response<String> {
        let Words(status, code, message) = self.words();
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        if !head && status != StatusCode::NOT_MODIFIED {
            let time = now.format(&Rfc3339).unwrap_or_default();
            let (code, message) = (escape(code.as_str()), escape(message.as_str()));
            let detail = match self {
                Self::Auth(AuthError::Token(fault)) => {
                    format!("<AuthenticationErrorDetail>{fault}</AuthenticationErrorDetail>")
                }
                _ => String::new(),
            };
            *response.body_mut() = format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>{message}\nRequestId:{request_id}\nTime:{time}\
                 </Message>{detail}</Error>"
            );
            let xml = HeaderValue::from_static("application/xml");
            response.headers_mut().insert(CONTENT_TYPE, xml);
        }
        let headers = response.headers_mut();
        if let Ok(code) = HeaderValue::try_from(code) {
            headers.insert(X_MS_ERROR_CODE, code);
        }
        if let Self::InvalidRange { size } = self
            && let Ok(range) = HeaderValue::try_from(format!("bytes */{}", size.0))
        {
            headers.insert(CONTENT_RANGE, range);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("SharedKey"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let asked = match self {
                Self::Refused(refusal) => refusal.why.retry_after().map(|span| span.as_secs().max(1)),
                _ => None,
            };
            headers.insert(RETRY_AFTER, HeaderValue::from(asked.unwrap_or(ASK_AGAIN_SECONDS)));
        }
        response
    }

    /// The status alone.
    pub fn status(&self) -> StatusCode {
        self.words().0
    }

    fn words(&self) -> Words {
        match self {
            Self::Auth(error) => auth(error),
            // Names of accounts are told to nobody.
            Self::UnknownAccount => auth(&AuthError::Mismatch),
            Self::UnknownContainer => words(
                StatusCode::NOT_FOUND,
                "ContainerNotFound",
                "The specified container does not exist.",
            ),
            Self::Refused(refusal) => refused(&refusal.why),
            // Vendor's codes: Azure has none. 409 because asking again won't help, and no SDK does.
            Self::Tampered { .. } => words(
                StatusCode::CONFLICT,
                "EncryptedBlobCorrupted",
                "The stored blob is not what was sealed under this name; it is not returned.",
            ),
            Self::Unsealed => words(
                StatusCode::CONFLICT,
                "BlobNotEncrypted",
                "The stored blob bears no seal; blobs without one are not returned.",
            ),
            Self::Body(fault) => body(fault),
            Self::MissingLength => words(
                StatusCode::LENGTH_REQUIRED,
                "MissingContentLengthHeader",
                "Content-Length HTTP header is missing.",
            ),
            Self::InvalidUri => words(
                BAD,
                "InvalidUri",
                "The requested URI does not represent any resource on the server.",
            ),
            Self::InvalidResourceName => words(
                BAD,
                "InvalidResourceName",
                "The specified resource name contains invalid characters.",
            ),
            Self::UnsupportedVerb => words(
                StatusCode::METHOD_NOT_ALLOWED,
                "UnsupportedHttpVerb",
                "The resource doesn't support specified Http Verb.",
            ),
            Self::UnsupportedHeader { what } => words(
                BAD,
                "UnsupportedHeader",
                format!("One of the HTTP headers specified in the request is not supported: {what}."),
            ),
            Self::UnsupportedQuery { name } => words(
                BAD,
                "UnsupportedQueryParameter",
                format!("One of the query parameters specified in the request URI is not supported: {name}."),
            ),
            Self::InvalidHeader { name } => words(
                BAD,
                "InvalidHeaderValue",
                format!("The value for one of the HTTP headers is not in the correct format: {name}."),
            ),
            Self::MissingHeader { name } => words(
                BAD,
                "MissingRequiredHeader",
                format!("An HTTP header that's mandatory for this request is not specified: {name}."),
            ),
            Self::InvalidQuery { name } => words(
                BAD,
                "InvalidQueryParameterValue",
                format!("Value for one of the query parameters specified in the request URI is invalid: {name}."),
            ),
            Self::TwoChecksums => words(
                BAD,
                "BothCrc64AndMd5HeaderPresent",
                "Both x-ms-content-crc64 header and Content-MD5 header are present.",
            ),
            Self::TooLarge { largest } => words(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestBodyTooLarge",
                format!("The request body is too large and exceeds the maximum permissible limit: {largest} bytes."),
            ),
            Self::ReservedMetadata { name } => words(
                BAD,
                "InvalidMetadata",
                format!("The metadata specified is invalid: the name {name} is reserved."),
            ),
            Self::MixedBatch => words(
                BAD,
                "AllBatchSubRequestsShouldBeSameApi",
                "All batch subrequests should be the same api.",
            ),
            Self::InvalidXml => words(BAD, "InvalidXmlDocument", "XML specified is not syntactically valid."),
            Self::InvalidXmlNode { name } => words(
                BAD,
                "InvalidXmlNodeValue",
                format!("The value for one of the XML nodes is not in the correct format: {name}."),
            ),
            Self::BlockList(ChoiceError::Unknown { .. }) => {
                words(BAD, "InvalidBlockList", "The specified block list is invalid.")
            }
            Self::BlockList(ChoiceError::TooMany { .. }) => words(
                BAD,
                "BlockListTooLong",
                "The block list may not contain more than 49,999 blocks: one of Azure's 50,000 is the seal's.",
            ),
            Self::InvalidRange { .. } => words(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "InvalidRange",
                "The range specified is invalid for the current size of the resource.",
            ),
            Self::OutOfRange { name } => words(
                BAD,
                "OutOfRangeInput",
                format!("One of the request inputs is out of range: {name}."),
            ),
            Self::RangeTooLong => words(
                BAD,
                "OutOfRangeInput",
                "One of the request inputs is out of range: a checksum is computed for 4 MiB at most.",
            ),
            Self::AppendPosition => words(
                StatusCode::PRECONDITION_FAILED,
                "AppendPositionConditionNotMet",
                "The append position condition specified was not met.",
            ),
            Self::MaxSize => words(
                StatusCode::PRECONDITION_FAILED,
                "MaxBlobSizeConditionNotMet",
                "The max blob size condition specified was not met.",
            ),
            Self::ConditionNotMet => words(
                StatusCode::PRECONDITION_FAILED,
                "ConditionNotMet",
                "The condition specified using HTTP conditional header(s) is not met.",
            ),
            Self::SeveralConditions => words(
                BAD,
                "MultipleConditionHeadersNotSupported",
                "Multiple condition headers are not supported.",
            ),
            Self::AlreadyExists => words(
                StatusCode::CONFLICT,
                "BlobAlreadyExists",
                "The specified blob already exists.",
            ),
            Self::SourceConditionNotMet => words(
                StatusCode::PRECONDITION_FAILED,
                "SourceConditionNotMet",
                "The source condition specified using HTTP conditional header(s) is not met.",
            ),
            Self::CopySource { status } => words(
                if status.is_client_error() { *status } else { BAD },
                "CannotVerifyCopySource",
                "Could not verify the copy source within the specified time.",
            ),
            Self::Store { status, code, message } => words(*status, code, message.as_str()),
            Self::StoreFailed => words(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServerBusy",
                "The store behind this endpoint did not answer; try again.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customers_no_is_never_retried_and_silence_always_is() {
        use crate::keys::refusal::{Revoked, Service, Unavailable};
        for (revoked, code) in [
            (Revoked::KeyDisabled, "KeyVaultEncryptionKeyNotFound"),
            (Revoked::AppDisabled, "KeyVaultAccessTokenCannotBeAcquired"),
        ] {
            let answer = AzureError::Refused(revoked.into()).response("1", OffsetDateTime::UNIX_EPOCH, false);
            assert_eq!(answer.status(), StatusCode::FORBIDDEN);
            assert_eq!(answer.headers()[X_MS_ERROR_CODE], code);
            assert!(answer.body().contains(code));
        }
        let silent = Unavailable::Timeout { by: Service::Vault };
        let answer = AzureError::Refused(silent.into()).response("1", OffsetDateTime::UNIX_EPOCH, true);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key(RETRY_AFTER) && answer.body().is_empty());
    }

    #[test]
    fn what_a_client_named_is_escaped() {
        let error = AzureError::UnsupportedHeader { what: "<x>&".into() };
        let answer = error.response("1", OffsetDateTime::UNIX_EPOCH, false);
        assert!(answer.body().contains("&lt;x&gt;&amp;"));
    }
}
