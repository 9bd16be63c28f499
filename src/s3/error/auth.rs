//! What a request that is not taken for its client's is told.

use http::StatusCode;

use crate::s3::auth::{AuthError, Unsupported};
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
        AuthError::UnsupportedAlgorithm(Unsupported::SigV2 | Unsupported::SigV4a | Unsupported::Other) => words(
            BAD,
            "InvalidRequest",
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        ),
        AuthError::Malformed(_) => words(BAD, "AuthorizationHeaderMalformed", format!("{error}.")),
        AuthError::WrongRegion { given, expected } => words(
            BAD,
            "AuthorizationHeaderMalformed",
            format!("The authorization header is malformed; the region '{given}' is wrong; expecting '{expected}'"),
        ),
        AuthError::WrongService { .. } | AuthError::WrongDate => words(
            BAD,
            "AuthorizationHeaderMalformed",
            format!("The authorization header is malformed; {error}."),
        ),
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
