//! What a form that is not taken is told.

use http::StatusCode;

use crate::body::FormFault;
use crate::s3::error::{Words, words};
use crate::s3::post::{PostError, Stopped};

pub(super) fn post(error: &PostError) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match error {
        PostError::NotAForm => words(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold: Bucket POST must be of the enclosure-type \
             multipart/form-data",
        ),
        PostError::Malformed => malformed(),
        PostError::FieldsTooLarge => words(
            BAD,
            "MaxPostPreDataLengthExceededError",
            "Your POST request fields preceding the upload file were too large.",
        ),
        PostError::NoFile => words(
            BAD,
            "InvalidArgument",
            "POST requires exactly one file upload per request.",
        ),
        PostError::NoKey => words(
            BAD,
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
        ),
        PostError::EmptyKey => words(BAD, "InvalidArgument", "User key must have a length greater than 0."),
        PostError::InvalidField(_) => words(BAD, "InvalidArgument", format!("{error}.")),
        PostError::MalformedXml => words(
            BAD,
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema",
        ),
        PostError::InvalidPolicy(what) => words(BAD, "InvalidPolicyDocument", format!("Invalid Policy: {what}")),
        PostError::Denied(what) => words(
            StatusCode::FORBIDDEN,
            "AccessDenied",
            format!("Invalid according to Policy: {what}"),
        ),
        PostError::Body(Stopped::Gone) => words(BAD, "IncompleteBody", "The request body terminated unexpectedly"),
        PostError::Body(Stopped::Silent) => words(
            BAD,
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout period.",
        ),
    }
}

/// The file in a form.
pub(super) fn file(fault: FormFault) -> Words {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match fault {
        FormFault::Malformed => malformed(),
        FormFault::TooSmall { least } => words(
            BAD,
            "EntityTooSmall",
            format!("Your proposed upload is smaller than the minimum allowed size of {least} bytes."),
        ),
        FormFault::TooLarge { most } => words(
            BAD,
            "EntityTooLarge",
            format!("Your proposed upload exceeds the maximum allowed size of {most} bytes."),
        ),
    }
}

fn malformed() -> Words {
    words(
        StatusCode::BAD_REQUEST,
        "MalformedPOSTRequest",
        "The body of your POST request is not well-formed multipart/form-data.",
    )
}
