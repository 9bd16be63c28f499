//! What a request that is not taken for its client's is told.

use http::StatusCode;

use crate::s3::auth::{AuthError, Field, Form, Unsupported};
use crate::s3::error::{Words, words};

pub(super) fn auth(error: &AuthError) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const NO: StatusCode = StatusCode::FORBIDDEN;
    match error {
        AuthError::Missing => words(NO, "AccessDenied", "Access Denied"),
        AuthError::Several => words(
            BAD,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the \
             Authorization header should be specified",
        ),
        AuthError::UnsupportedAlgorithm(Unsupported::SigV2 | Unsupported::SigV4a) => words(
            BAD,
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        ),
        AuthError::UnsupportedAlgorithm(Unsupported::Other) => {
            words(BAD, "InvalidArgument", "Unsupported Authorization Type")
        }
        AuthError::Malformed(field) => malformed(*field),
        AuthError::MalformedQuery(Field::EndOfUrl) => {
            words(NO, "AccessDenied", "Invalid date (should be seconds since epoch)")
        }
        AuthError::MalformedQuery(Field::ContentSha256) => malformed(Field::ContentSha256),
        AuthError::MalformedQuery(field) => words(
            BAD,
            QUERY,
            format!(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, \
                 X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters: {field} is missing or malformed."
            ),
        ),
        // AWS has 400; Ceph, whose tests a client of either must find passed, has 403. No SDK reads it.
        AuthError::ExpiresOutOfRange => words(
            NO,
            QUERY,
            "X-Amz-Expires must be positive and no more than a week (604800 seconds)",
        ),
        AuthError::MalformedV2 => words(
            BAD,
            "InvalidArgument",
            "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
        ),
        AuthError::IncompleteV2 => words(
            NO,
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        ),
        AuthError::Hoisted(_) => words(BAD, "InvalidRequest", format!("{error}.")),
        AuthError::MissingField(name) => words(
            BAD,
            "InvalidArgument",
            format!(
                "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
            ),
        ),
        AuthError::MalformedField(_) => words(BAD, "InvalidArgument", format!("{error}.")),
        AuthError::WrongRegion { form, given, expected } => {
            scope(*form, &format!("the region '{given}' is wrong; expecting '{expected}'"))
        }
        AuthError::WrongService { form, given } => scope(
            *form,
            &format!("incorrect service \"{given}\". This endpoint belongs to \"s3\"."),
        ),
        AuthError::WrongDate { form } => scope(*form, "its date is not that of the request."),
        AuthError::UnsignedHeader(_) | AuthError::AbsentHeader(_) => words(
            NO,
            "AccessDenied",
            format!("There were headers present in the request which were not signed, or the reverse: {error}."),
        ),
        AuthError::Skewed { .. } => words(
            NO,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        AuthError::NotYetValid => words(NO, "AccessDenied", "Request is not valid yet"),
        AuthError::Expired { .. } => words(NO, "AccessDenied", "Request has expired"),
        AuthError::UnknownAccessKey { .. } => words(
            NO,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        AuthError::SignatureMismatch => words(
            NO,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
        ),
        AuthError::InvalidToken => words(
            BAD,
            "InvalidToken",
            "The provided token is malformed or otherwise invalid.",
        ),
        AuthError::MissingDecodedLength => words(
            StatusCode::LENGTH_REQUIRED,
            "MissingContentLength",
            "You must provide the x-amz-decoded-content-length HTTP header.",
        ),
    }
}

const QUERY: &str = "AuthorizationQueryParametersError";

/// A credential for something else than this endpoint. SDKs read the region out of these words.
fn scope(form: Form, what: &str) -> Words {
    let (code, start) = match form {
        Form::Header | Form::Post => ("AuthorizationHeaderMalformed", "The authorization header is malformed"),
        Form::Query => (QUERY, "Error parsing the X-Amz-Credential parameter"),
    };
    words(StatusCode::BAD_REQUEST, code, format!("{start}; {what}"))
}

fn malformed(field: Field) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match field {
        Field::Date => words(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            "AWS authentication requires a valid Date or x-amz-date header",
        ),
        Field::ContentSha256 => words(
            BAD,
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
             STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.",
        ),
        Field::DecodedContentLength | Field::Host => words(BAD, "InvalidRequest", format!("{field} is malformed.")),
        Field::Authorization
        | Field::Credential
        | Field::SignedHeaders
        | Field::Signature
        | Field::Expires
        | Field::EndOfUrl
        | Field::SecurityToken => words(
            BAD,
            "AuthorizationHeaderMalformed",
            format!("The authorization header is malformed; {field} is missing or malformed."),
        ),
    }
}
