//! What is wrong with a multipart upload, and what its client is told: codes and messages of
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html> and
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use http::StatusCode;

use crate::s3::error::{Words, words};
use crate::seal::{CompleteError, PlainLen};

/// Why something can't be done with a multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// No such upload, or not any more.
    #[error("there is no such upload")]
    NoSuchUpload,
    /// A part that is listed is not there, or not with that ETag.
    #[error("part {number} is not there with that ETag")]
    InvalidPart {
        /// Its number.
        number: u32,
    },
    /// The list is not in order.
    #[error("part {number} is out of order")]
    InvalidPartOrder {
        /// The first that is not.
        number: u32,
    },
    /// A part that is not the last is too small.
    #[error("part {number} has {} bytes and is not the last", found.0)]
    EntityTooSmall {
        /// Its number.
        number: u32,
        /// Its plaintext.
        found: PlainLen,
    },
}

impl From<CompleteError> for UploadError {
    fn from(error: CompleteError) -> Self {
        match error {
            // A list without a part is no list; whoever reads it says so before.
            CompleteError::Empty => Self::InvalidPart { number: 0 },
            CompleteError::InvalidPartOrder { number } => Self::InvalidPartOrder { number },
            CompleteError::InvalidPart { number } => Self::InvalidPart { number },
            CompleteError::EntityTooSmall { number, found } => Self::EntityTooSmall { number, found },
        }
    }
}

pub(super) fn words_of(error: &UploadError) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match error {
        UploadError::NoSuchUpload => words(
            StatusCode::NOT_FOUND,
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
             completed.",
        ),
        UploadError::InvalidPart { .. } => words(
            BAD,
            "InvalidPart",
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified \
             entity tag may not match the part's entity tag.",
        ),
        UploadError::InvalidPartOrder { .. } => words(
            BAD,
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ),
        UploadError::EntityTooSmall { .. } => words(
            BAD,
            "EntityTooSmall",
            "Your proposed upload is smaller than the minimum allowed size",
        ),
    }
}
