//! What a copy that is not made is told.

use http::StatusCode;

use crate::s3::copy::CopyError;
use crate::s3::error::{Words, words};

pub(super) fn copy(error: &CopyError) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match error {
        CopyError::Source => words(
            BAD,
            "InvalidArgument",
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        ),
        CopyError::EmptyVersion => words(BAD, "InvalidArgument", "Version id cannot be the empty string"),
        CopyError::DeleteMarker => words(
            BAD,
            "InvalidRequest",
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        ),
        CopyError::Condition => words(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold",
        ),
        CopyError::MetadataDirective => words(BAD, "InvalidArgument", "Unknown metadata directive."),
        CopyError::TaggingDirective => words(BAD, "InvalidArgument", "Unknown tagging directive."),
        CopyError::Itself => words(
            BAD,
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, \
             storage class, website redirect location or encryption attributes.",
        ),
        CopyError::Range => words(
            BAD,
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based \
             offsets of the first and last bytes to copy",
        ),
        // Amazon has been seen to call it InvalidArgument too; ceph/s3-tests hold stores to this.
        CopyError::RangeBeyond => words(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            "The specified copy range is invalid for the source object",
        ),
        CopyError::RangeTooLong { len } => words(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "InvalidRange",
            format!("Range specified is not valid for source object of size: {len}"),
        ),
        CopyError::TooLarge { largest } => words(
            BAD,
            "InvalidRequest",
            format!("The specified copy source is larger than the maximum allowable size for a copy source: {largest}"),
        ),
    }
}
