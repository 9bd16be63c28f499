//! A body that stopped, or is not what was stated about it, in S3's words.

use http::StatusCode;

use crate::body::Fault;
use crate::body::aws_chunked::FramingError;
use crate::body::checksum::ChecksumError;
use crate::s3::error::{Words, post, words};

pub(super) fn words_of(fault: &Fault) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match fault {
        Fault::ClientGone | Fault::TooShort { .. } | Fault::Framing(FramingError::Incomplete { .. }) => words(
            BAD,
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header.",
        ),
        Fault::ClientSilent => words(
            BAD,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period. Idle connections \
             will be closed.",
        ),
        Fault::TooLong | Fault::Framing(FramingError::TooLong { .. }) => {
            words(BAD, "InvalidRequest", "The body is longer than announced.")
        }
        Fault::Framing(FramingError::SignatureMismatch) => words(
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "The signature of a chunk or of the trailers does not match.",
        ),
        Fault::Framing(FramingError::FrameTooLarge { .. }) => {
            words(BAD, "InvalidRequest", "A chunk of the body is too large.")
        }
        Fault::Framing(FramingError::MalformedTrailer | FramingError::TrailersTooLong) => words(
            BAD,
            "MalformedTrailerError",
            "The request contained trailing data that was not well-formed.",
        ),
        Fault::Framing(FramingError::MalformedFrame | FramingError::LineTooLong | FramingError::TrailingBytes) => {
            words(
                BAD,
                "InvalidRequest",
                "The aws-chunked encoding of the body is malformed.",
            )
        }
        Fault::Checksum(error) => checksum(error),
        Fault::Form(fault) => post::file(*fault),
        Fault::Seal(_)
        | Fault::Ended(_)
        | Fault::Tampered { .. }
        | Fault::NotOurs(_)
        | Fault::Unsealed(_)
        | Fault::StoreGone => words(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "We encountered an internal error.",
        ),
    }
}

fn checksum(error: &ChecksumError) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match error {
        ChecksumError::InvalidContentMd5 => words(BAD, "InvalidDigest", "The Content-MD5 you specified was invalid."),
        ChecksumError::ContentMd5Mismatch => words(
            BAD,
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
        ),
        ChecksumError::ContentSha256Mismatch => words(
            BAD,
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        ChecksumError::Mismatch(algorithm) => words(
            BAD,
            "BadDigest",
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.header()
            ),
        ),
        ChecksumError::MissingTrailer(_) | ChecksumError::UnannouncedTrailer(_) => {
            words(BAD, "MalformedTrailerError", format!("{error}."))
        }
        ChecksumError::InvalidValue(_)
        | ChecksumError::Unknown(_)
        | ChecksumError::Several
        | ChecksumError::AlgorithmMismatch
        | ChecksumError::UnsupportedTrailer(_) => words(BAD, "InvalidRequest", format!("{error}.")),
    }
}
